"""Which tasks a user has and when they are due. Streams `schedule-{user}`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import assert_never

from nexus_common.contracts.decider import Decider
from nexus_common.contracts.schedule import (
    Advance,
    CancelTask,
    NoteClose,
    ScheduleCommand,
    ScheduleEvent,
    ScheduleTask,
    TaskCanceled,
    TaskDue,
    TaskKind,
    TaskRefused,
    TaskScheduled,
)
from nexus_common.contracts.values import Symbol, format_decimal
from nexus_scheduler.domain.cron import BadCron, missed_until, next_after


@dataclass(frozen=True, slots=True)
class Task:
    """Due at `next_due`, or at the first close beyond `price`."""

    kind: TaskKind
    text: str
    cron: str | None
    next_due: datetime | None
    symbol: Symbol | None
    price: Decimal | None
    above: bool | None

    def is_crossed_by(self, close: Decimal) -> bool:
        if self.price is None:
            return False
        return close > self.price if self.above else close < self.price


@dataclass(frozen=True, slots=True)
class Schedule:
    """`tasks` are those still to come, by name."""

    tasks: Mapping[str, Task] = field(default_factory=dict)


def decide(command: ScheduleCommand, state: Schedule) -> Sequence[ScheduleEvent]:
    match command:
        case ScheduleTask():
            return _schedule(command, state)
        case CancelTask(user, task, reason):
            if task in state.tasks:
                return [TaskCanceled(user=user, task=task, reason=reason)]
            return [TaskRefused(user=user, task=task, reason="there is no such task to cancel")]
        case Advance():
            return _advance(command, state.tasks.get(command.task))
        case NoteClose():
            return _note_close(command, state.tasks.get(command.task))
        case _:
            assert_never(command)


def _schedule(command: ScheduleTask, state: Schedule) -> Sequence[ScheduleEvent]:
    if command.task in state.tasks:
        return []
    try:
        next_due = command.due if command.cron is None else next_after(command.cron, command.at)
    except BadCron as error:
        return [_refused(command, str(error))]
    if len(state.tasks) >= command.tasks_max:
        return [
            _refused(command, f"you have {len(state.tasks)} tasks, the most there can be; cancel one first")
        ]
    if command.kind is TaskKind.PRICE_ALERT:
        if command.symbol is None or command.price is None or command.above is None:
            return [_refused(command, "a price alert needs a symbol, a direction and a price")]
    elif next_due is None:
        return [_refused(command, "it has neither a time nor a cron line")]
    scheduled = TaskScheduled(
        user=command.user,
        task=command.task,
        kind=command.kind,
        cron=command.cron,
        next_due=next_due,
        text=command.text,
        symbol=command.symbol,
        price=command.price,
        above=command.above,
    )
    return [scheduled]


def _refused(command: ScheduleTask, reason: str) -> TaskRefused:
    return TaskRefused(user=command.user, task=command.task, reason=reason)


def _advance(command: Advance, task: Task | None) -> Sequence[ScheduleEvent]:
    """Late by several times, a task is due once and says how many it missed."""
    if task is None or task.next_due is None or task.next_due > command.at:
        return []
    missed, following = (0, None) if task.cron is None else missed_until(task.cron, task.next_due, command.at)
    due = TaskDue(
        user=command.user,
        task=command.task,
        kind=task.kind,
        due=task.next_due,
        next_due=following,
        missed=missed,
        text=task.text,
    )
    return [due]


def _note_close(command: NoteClose, task: Task | None) -> Sequence[ScheduleEvent]:
    if task is None or not task.is_crossed_by(command.close):
        return []
    due = TaskDue(
        user=command.user,
        task=command.task,
        kind=task.kind,
        due=command.at,
        next_due=None,
        missed=0,
        text=f"{task.text}: closed at {format_decimal(command.close)}",
    )
    return [due]


def evolve(state: Schedule, event: ScheduleEvent) -> Schedule:
    match event:
        case TaskScheduled():
            task = Task(
                kind=event.kind,
                text=event.text,
                cron=event.cron,
                next_due=event.next_due,
                symbol=event.symbol,
                price=event.price,
                above=event.above,
            )
            return Schedule({**state.tasks, event.task: task})
        case TaskDue() if event.next_due is not None:
            return Schedule(
                {**state.tasks, event.task: replace(state.tasks[event.task], next_due=event.next_due)}
            )
        case TaskDue() | TaskCanceled():
            return Schedule({name: task for name, task in state.tasks.items() if name != event.task})
        case TaskRefused():
            return state
        case _:
            assert_never(event)


SCHEDULE: Decider[ScheduleCommand, Schedule, ScheduleEvent] = Decider("schedule", Schedule(), decide, evolve)
