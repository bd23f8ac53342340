"""Scheduler's turns: tasks asked for, times that have come, prices that were crossed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final
from uuid import UUID

from nexus_common.contracts import ids
from nexus_common.contracts.envelope import Envelope
from nexus_common.contracts.market import CandlesClosed
from nexus_common.contracts.message import Event
from nexus_common.contracts.schedule import (
    Advance,
    CancelTask,
    NoteClose,
    ScheduleTask,
    TaskCanceled,
    TaskDue,
    TaskKind,
    TaskScheduled,
)
from nexus_common.contracts.session import SessionOpened, TaskCancelRequested, TaskRequested
from nexus_common.contracts.values import Service, Symbol, UserId
from nexus_common.runtime.ports import Desk, Turn
from nexus_market.quiet import Quiet
from nexus_scheduler.domain.cron import next_after
from nexus_scheduler.domain.schedule import SCHEDULE

DAILY_SUMMARY: Final = "daily-summary"
_ANY_TIME: Final = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, order=True)
class _Timer:
    due: datetime
    user: UserId
    task: str


@dataclass(frozen=True, slots=True)
class _Alert:
    """Watches closes after `since`: one that lies before the request says nothing."""

    user: UserId
    task: str
    symbol: Symbol
    since: datetime
    story: UUID


class SchedulerReactor:
    """Works `schedule-*`. A turn in which nothing is due compares one time, and looks at candles for alerts only.

    Raises BadCron (a ValueError) when `summary_cron` cannot be read.
    """

    service = Service.SCHEDULER
    listens: Mapping[str, int | None] = {"market": 1, "schedule": None, "session": None}

    def __init__(self, summary_cron: str = "5 0 * * *", tasks_max: int = 20) -> None:
        next_after(summary_cron, _ANY_TIME)
        self._summary_cron = summary_cron
        self._tasks_max = tasks_max
        self._timers: dict[tuple[UserId, str], _Timer] = {}
        self._alerts: dict[tuple[UserId, str], _Alert] = {}
        self._stories: dict[tuple[UserId, str], UUID] = {}
        self._earliest: datetime | None = None

    def observe(self, envelope: Envelope[Event]) -> None:
        event = envelope.event
        match event:
            case TaskScheduled():
                self._scheduled(event, envelope)
            case TaskDue():
                self._set_timer(event.user, event.task, event.next_due)
            case TaskCanceled():
                self._set_timer(event.user, event.task, None)
            case _:
                pass

    def _scheduled(self, event: TaskScheduled, envelope: Envelope[Event]) -> None:
        key = (event.user, event.task)
        self._set_timer(event.user, event.task, event.next_due)
        self._stories[key] = envelope.correlation_id
        if event.symbol is not None:
            self._alerts[key] = _Alert(
                event.user, event.task, event.symbol, envelope.occurred_at, envelope.correlation_id
            )

    def _set_timer(self, user: UserId, task: str, due: datetime | None) -> None:
        """A task without a next time is over, or waits for a price and is noted as an alert after this."""
        key = (user, task)
        if due is None:
            self._timers.pop(key, None)
            self._alerts.pop(key, None)
            self._stories.pop(key, None)
        else:
            self._timers[key] = _Timer(due, user, task)
        self._earliest = min((timer.due for timer in self._timers.values()), default=None)

    async def resume(self, desk: Desk) -> None:
        """Nothing is left open by a stop: what came due meanwhile is due at the next turn."""

    async def quiet(self, at: datetime, desk: Desk) -> Quiet | None:
        """Until the next task is due; a price alert looks at every close."""
        return None if self._alerts else Quiet(self._earliest)

    async def react(self, turn: Turn, batch: Sequence[Envelope[Event]], desk: Desk) -> None:
        for envelope in batch:
            await self._on_event(envelope, turn.at, desk)
        if self._earliest is not None and self._earliest <= turn.at:
            await self._advance(turn.at, desk)

    async def _on_event(self, envelope: Envelope[Event], at: datetime, desk: Desk) -> None:
        event = envelope.event
        match event:
            case CandlesClosed(late=False) if self._alerts:
                await self._watch(event, desk)
            case SessionOpened():
                await self._schedule(
                    _summary(event.user, self._summary_cron, self._tasks_max, at), envelope, desk
                )
            case TaskRequested():
                await self._schedule(_requested(event, self._tasks_max, at), envelope, desk)
            case TaskCancelRequested(user=user, task=task):
                command = CancelTask(user, task, "canceled by the user", at)
                story = envelope.correlation_id
                await desk.handle(SCHEDULE, user, command, cause=envelope.event_id, correlation=story)
            case _:
                pass

    async def _schedule(self, command: ScheduleTask, envelope: Envelope[Event], desk: Desk) -> None:
        story = envelope.correlation_id
        await desk.handle(SCHEDULE, command.user, command, cause=envelope.event_id, correlation=story)

    async def _advance(self, at: datetime, desk: Desk) -> None:
        for timer in sorted(timer for timer in self._timers.values() if timer.due <= at):
            cause = ids.timer_id(f"{timer.user}/{timer.task}", timer.due)
            story = self._stories.get((timer.user, timer.task))
            command = Advance(timer.user, timer.task, at)
            await desk.handle(SCHEDULE, timer.user, command, cause=cause, correlation=story)

    async def _watch(self, event: CandlesClosed, desk: Desk) -> None:
        """An instrument's candles that close together close at one price, whatever their timeframe."""
        closes: dict[Symbol, Decimal] = {candle.symbol: candle.close for candle in event.candles}
        for alert in sorted(self._alerts.values(), key=lambda alert: (alert.user, alert.task)):
            close = closes.get(alert.symbol)
            if close is None or event.at <= alert.since:
                continue
            cause = ids.derived(
                ids.step_id(event.venue, event.partition, event.at), f"alert/{alert.user}/{alert.task}"
            )
            command = NoteClose(alert.user, alert.task, close, event.at)
            await desk.handle(SCHEDULE, alert.user, command, cause=cause, correlation=alert.story)


def _summary(user: UserId, cron: str, tasks_max: int, at: datetime) -> ScheduleTask:
    return ScheduleTask(
        user=user,
        task=DAILY_SUMMARY,
        kind=TaskKind.DAILY_SUMMARY,
        text="daily summary",
        cron=cron,
        due=None,
        symbol=None,
        price=None,
        above=None,
        tasks_max=tasks_max,
        at=at,
    )


def _requested(event: TaskRequested, tasks_max: int, at: datetime) -> ScheduleTask:
    return ScheduleTask(
        user=event.user,
        task=event.task,
        kind=event.kind,
        text=event.text,
        cron=event.cron,
        due=event.due,
        symbol=event.symbol,
        price=event.price,
        above=event.above,
        tasks_max=tasks_max,
        at=at,
    )
