"""Plays a market through the running services, one step at a time, in lock step."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from nexus_common.contracts.envelope import Recorded
from nexus_common.contracts.message import Event
from nexus_common.contracts.values import Service
from nexus_common.runtime.bus import topology
from nexus_common.runtime.desk import WorkDesk
from nexus_common.runtime.health import Health
from nexus_common.runtime.log import get_logger
from nexus_common.runtime.ports import EventStore
from nexus_common.runtime.relay import Relay
from nexus_common.runtime.ring import Mark, marks_of
from nexus_common.runtime.trace import Trace
from nexus_data.market_feed import Market, Step
from nexus_ingest.handlers import Recorder
from nexus_ingest.rounds import Rounds

OPENING_CHUNK = 20
log = get_logger(__name__)

TellExchange = Callable[[Step], Awaitable[None]]
Pace = Callable[[datetime], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class LastStep:
    """The step that was recorded last, found again after a restart."""

    at: datetime
    marks: tuple[Mark, ...]


class Player:
    """Ingest's work while a recorded or generated market stands for the venues.

    A step is recorded first, then the exchange matches it, then the token goes round until a round brings
    nothing new. After a restart the last recorded step is gone through again: whoever had answered answers
    the same.
    """

    def __init__(
        self,
        market: Market,
        recorder: Recorder,
        desk: WorkDesk,
        store: EventStore,
        relay: Relay,
        rounds: Rounds,
        tell_exchange: TellExchange,
        pace: Pace,
        trace: Trace,
        health: Health,
    ) -> None:
        self._market = market
        self._recorder = recorder
        self._desk = desk
        self._store = store
        self._relay = relay
        self._rounds = rounds
        self._tell_exchange = tell_exchange
        self._pace = pace
        self._trace = trace
        self._health = health

    async def run(self) -> None:
        """Play to the end of the market, then stay idle."""
        listener = asyncio.ensure_future(self._rounds.listen())
        try:
            await self._play()
            await listener
        finally:
            listener.cancel()

    async def _play(self) -> None:
        last = await self._last_step()
        if last is None:
            await self._open()
        at = self._market.start if last is None else last.at
        # One instant back, so that the step that was left in the middle is gone through again.
        for step in self._market.steps_after(at - timedelta(seconds=1)):
            await self._pace(step.at)
            if last is not None and step.at == last.at:
                marks = last.marks
                await self._tell_exchange(step)
            else:
                marks = await self._begin(step)
            await self._rounds.go(step.at, marks)
            self._health.note(step=step.at)
            at = step.at
        await self._recorder.end(at, self._desk)
        await self._desk.commit()
        await self._relay.try_publish(self._desk.take_recorded())
        log.info("the market has ended", at=at.isoformat())
        self._trace.idle()

    async def _open(self) -> None:
        self._trace.point("opening")
        await self._recorder.open(self._desk)
        await self._desk.commit()
        await self._publish(self._desk.take_recorded())

    async def _begin(self, step: Step) -> tuple[Mark, ...]:
        """Record the step, then let the services hear of it and the exchange match it at the same time."""
        self._trace.point(f"recording {step.at:%Y-%m-%dT%H:%M}")
        self._desk.begin(())
        await self._recorder.step(step, self._desk)
        await self._desk.commit()
        self._trace.point("telling the exchange")
        recorded = self._desk.take_recorded()
        await asyncio.gather(self._relay.try_publish(recorded), self._tell_exchange(step))
        return marks_of(recorded)

    async def _publish(self, recorded: Sequence[Recorded[Event]]) -> None:
        for start in range(0, len(recorded), OPENING_CHUNK):
            await self._relay.try_publish(recorded[start : start + OPENING_CHUNK])

    async def _last_step(self) -> LastStep | None:
        """The newest instant with candles, and the marks of everything recorded for it."""
        latest = await self._store.latest("market", 1)
        if not latest or latest[0].event.type != "market.candles_closed":
            return None
        at = latest[0].envelope.occurred_at
        own = topology.owned_by(Service.INGEST)
        tail = await self._store.read_categories(own, max(0, latest[0].global_position - 1_000))
        return LastStep(at, marks_of(r for r in tail if r.envelope.occurred_at == at and is_step(r)))


def is_step(recorded: Recorded[Event]) -> bool:
    """Whether an event belongs to a step, and not to the opening or the end of a market."""
    return recorded.event.type not in (
        "market.candles_backfilled",
        "instrument.listed",
        "feed.started",
        "feed.ended",
    )
