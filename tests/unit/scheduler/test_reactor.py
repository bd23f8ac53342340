"""The scheduler hears what users ask for, and speaks up when it is time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest

from nexus_common.contracts import ids
from nexus_common.contracts.envelope import Envelope
from nexus_common.contracts.market import Candle, CandlesClosed
from nexus_common.contracts.message import Event
from nexus_common.contracts.schedule import TaskDue, TaskKind, TaskScheduled
from nexus_common.contracts.session import SessionOpened, TaskCancelRequested, TaskRequested
from nexus_common.contracts.values import Mode, Profile, Symbol, Timeframe, UserId, Venue
from nexus_common.runtime.desk import WorkDesk
from nexus_common.runtime.ports import Turn
from nexus_common.runtime.recall import recall
from nexus_common.runtime.store.memory import MemoryStore
from nexus_scheduler.handlers import SchedulerReactor

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
ANNA, BERT = UserId("anna"), UserId("bert")
BTC = Symbol("BTCUSDT")


class Room:
    """The scheduler with its desk."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self._heard = 0
        self._sit()

    def _sit(self) -> None:
        self.reactor = SchedulerReactor()
        self.desk = WorkDesk(self.store, "scheduler", self.reactor.observe)

    async def restart(self) -> None:
        self._sit()
        await recall(self.reactor, self.store)

    async def turn(self, at: datetime, *events: tuple[str, Event]) -> list[Event]:
        """What the scheduler records when it hears these."""
        batch = [self._envelope(stream, event, at) for stream, event in events]
        for envelope in batch:
            self.reactor.observe(envelope)
        self.desk.begin(batch)
        await self.reactor.react(Turn(at, 1, 1, 1, 6), batch, self.desk)
        await self.desk.commit()
        return [recorded.event for recorded in self.desk.take_recorded()]

    def _envelope(self, stream: str, event: Event, at: datetime) -> Envelope[Event]:
        self._heard += 1
        cause = ids.derived(ids.NEXUS, str(self._heard))
        return Envelope(event, cause, stream, self._heard, cause, cause, None, at)


@pytest.fixture
def room() -> Room:
    return Room()


def _opened(user: UserId) -> tuple[str, Event]:
    event = SessionOpened(user=user, mode=Mode.PILOT, profile=Profile.NEXUS, strategy="auto", accounts=())
    return f"session-{user}", event


def _reminder(user: UserId, task: str, due: datetime) -> tuple[str, Event]:
    event = TaskRequested(user=user, task=task, kind=TaskKind.REMINDER, text="look", due=due)
    return f"session-{user}", event


def _alert(task: str, price: int) -> tuple[str, Event]:
    event = TaskRequested(
        user=ANNA,
        task=task,
        kind=TaskKind.PRICE_ALERT,
        text=f"above {price}",
        symbol=BTC,
        price=Decimal(price),
        above=True,
    )
    return "session-anna", event


def _closes(at: datetime, price: int) -> tuple[str, Event]:
    close = Decimal(price)
    candle = Candle(BTC, Timeframe.M1, close, close, close, close, close)
    return "market-binance.0", CandlesClosed(venue=Venue.BINANCE, partition=0, at=at, candles=(candle,))


def _told(events: Sequence[Event]) -> list[tuple[str, str]]:
    return [(event.user, event.task) for event in events if isinstance(event, TaskDue)]


async def test_a_new_session_gets_a_daily_summary_at_five_past_midnight(room: Room) -> None:
    [scheduled] = await room.turn(NOON, _opened(ANNA))
    assert isinstance(scheduled, TaskScheduled)
    assert scheduled.kind is TaskKind.DAILY_SUMMARY
    assert scheduled.next_due == datetime(2026, 1, 2, 0, 5, tzinfo=UTC)
    [due] = await room.turn(datetime(2026, 1, 2, 0, 5, tzinfo=UTC))
    assert isinstance(due, TaskDue)


async def test_what_is_due_together_comes_in_the_order_of_time_user_and_name(room: Room) -> None:
    soon = NOON + timedelta(minutes=1)
    await room.turn(
        NOON,
        _reminder(BERT, "t1", soon),
        _reminder(ANNA, "t2", soon),
        _reminder(ANNA, "t1", soon + timedelta(seconds=1)),
    )
    told = _told(await room.turn(NOON + timedelta(minutes=5)))
    assert told == [("anna", "t2"), ("bert", "t1"), ("anna", "t1")]
    assert await room.turn(NOON + timedelta(minutes=6)) == []


async def test_a_canceled_task_is_never_due(room: Room) -> None:
    await room.turn(NOON, _reminder(ANNA, "t1", NOON + timedelta(minutes=1)))
    await room.turn(NOON, ("session-anna", TaskCancelRequested(user=ANNA, task="t1")))
    assert await room.turn(NOON + timedelta(minutes=5)) == []


async def test_an_alert_looks_only_at_candles_after_it_was_set(room: Room) -> None:
    await room.turn(NOON, _alert("t1", 100), _closes(NOON, 150))
    later = NOON + timedelta(minutes=1)
    assert await room.turn(later, _closes(later, 90)) == []
    at = NOON + timedelta(minutes=2)
    [due] = await room.turn(at, _closes(at, 101))
    assert isinstance(due, TaskDue)
    assert due.text == "above 100: closed at 101"
    assert await room.turn(at + timedelta(minutes=1), _closes(at + timedelta(minutes=1), 102)) == []


async def test_timers_and_alerts_survive_a_restart(room: Room) -> None:
    await room.turn(NOON, _reminder(ANNA, "t1", NOON + timedelta(minutes=1)), _alert("t2", 100))
    await room.restart()
    at = NOON + timedelta(minutes=1)
    assert _told(await room.turn(at, _closes(at, 101))) == [("anna", "t2"), ("anna", "t1")]


async def test_a_timer_is_the_cause_of_what_it_leads_to(room: Room) -> None:
    due = NOON + timedelta(minutes=1)
    await room.turn(NOON, _reminder(ANNA, "t1", due))
    await room.turn(due)
    [scheduled, told] = await room.store.read_stream("schedule-anna")
    assert told.envelope.causation_id == ids.timer_id("anna/t1", due)
    assert told.envelope.correlation_id == scheduled.envelope.correlation_id != UUID(int=0)


def test_a_summary_that_cannot_be_scheduled_stops_the_start() -> None:
    with pytest.raises(ValueError, match="five fields"):
        SchedulerReactor(summary_cron="daily")
