"""What scheduler shows, as tables that follow from events."""

from __future__ import annotations

from nexus_common.runtime.following import Together
from nexus_scheduler.projections.scheduled_tasks import ScheduledTasks


def read_models() -> Together:
    return Together("scheduler", [ScheduledTasks()])
