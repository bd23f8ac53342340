"""Timed tasks. Owner: scheduler, streams `schedule-{user}`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from nexus_common.contracts.message import Event, command
from nexus_common.contracts.values import Instant, Number, Symbol, UserId


class TaskKind(StrEnum):
    DAILY_SUMMARY = "daily_summary"
    PRICE_ALERT = "price_alert"
    REMINDER = "reminder"


class TaskScheduled(Event):
    """`cron` (UTC) repeats; without it the task is due once. A price alert is due when `price` is crossed."""

    type = "schedule.task_scheduled"

    user: UserId
    task: str
    kind: TaskKind
    cron: str | None
    next_due: Instant | None
    text: str
    symbol: Symbol | None = None
    price: Number | None = None
    above: bool | None = None


class TaskDue(Event):
    """A task's time has come, or its price. `missed` counts later times that had passed too: it is due once."""

    type = "schedule.task_due"

    user: UserId
    task: str
    kind: TaskKind
    due: Instant
    next_due: Instant | None
    missed: int
    text: str


class TaskCanceled(Event):
    type = "schedule.task_canceled"

    user: UserId
    task: str
    reason: str


class TaskRefused(Event):
    """What a user asked for cannot be scheduled; `reason` says why."""

    type = "schedule.task_refused"

    user: UserId
    task: str
    reason: str


ScheduleEvent = TaskScheduled | TaskDue | TaskCanceled | TaskRefused


@command("schedule.schedule_task")
@dataclass(frozen=True, slots=True)
class ScheduleTask:
    """Either `cron` (UTC, five fields) or `due`, or for a price alert `symbol`, `price` and `above`."""

    user: UserId
    task: str
    kind: TaskKind
    text: str
    cron: str | None
    due: datetime | None
    symbol: Symbol | None
    price: Decimal | None
    above: bool | None
    tasks_max: int
    at: datetime


@command("schedule.cancel_task")
@dataclass(frozen=True, slots=True)
class CancelTask:
    user: UserId
    task: str
    reason: str
    at: datetime


@command("schedule.advance")
@dataclass(frozen=True, slots=True)
class Advance:
    """Time has come to `at`: is this task due?"""

    user: UserId
    task: str
    at: datetime


@command("schedule.note_close")
@dataclass(frozen=True, slots=True)
class NoteClose:
    """A candle closed at `close`: does that cross this alert's price?"""

    user: UserId
    task: str
    close: Decimal
    at: datetime


ScheduleCommand = ScheduleTask | CancelTask | Advance | NoteClose
