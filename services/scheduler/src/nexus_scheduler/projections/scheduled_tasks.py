"""`scheduled_tasks`: tasks still to come. Key: user and task; owner: the user."""

from __future__ import annotations

from collections.abc import Sequence

from nexus_common.contracts.envelope import Envelope
from nexus_common.contracts.message import Event
from nexus_common.contracts.schedule import TaskCanceled, TaskDue, TaskScheduled
from nexus_common.runtime.projection import Amend, Change, Drop, Put
from nexus_common.runtime.store.schema import scheduled_tasks


class ScheduledTasks:
    """A task that is due once leaves with its time; a repeated one says when it is due next, and was last."""

    name = "scheduled_tasks"
    categories = ("schedule",)
    tables = (scheduled_tasks,)

    def apply(self, envelope: Envelope[Event]) -> Sequence[Change]:
        event = envelope.event
        match event:
            case TaskScheduled():
                key = f"{event.user}/{event.task}"
                return [Put(scheduled_tasks, key, event.model_dump(mode="json"), owner=event.user)]
            case TaskDue() if event.next_due is not None:
                due = {"next_due": event.next_due, "last_due": event.due}
                return [Amend(scheduled_tasks, f"{event.user}/{event.task}", due)]
            case TaskDue() | TaskCanceled():
                return [Drop(scheduled_tasks, f"{event.user}/{event.task}")]
            case _:
                return []
