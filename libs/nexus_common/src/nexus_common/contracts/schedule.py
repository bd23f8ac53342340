"""Timed tasks. Owner: scheduler, streams `schedule-{user}`."""

from __future__ import annotations

from enum import StrEnum

from nexus_common.contracts.message import Event
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


ScheduleEvent = TaskScheduled | TaskDue | TaskCanceled
