"""Steps of a live market: what became known is recorded, relayed, and the token goes round."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from nexus_common.contracts.beat import Beat
from nexus_common.contracts.decider import AnyDecider
from nexus_common.contracts.envelope import Recorded
from nexus_common.contracts.market import CandlesClosed, FundingSettled
from nexus_common.contracts.message import Event
from nexus_common.contracts.values import Service
from nexus_common.runtime.bus import topology
from nexus_common.runtime.desk import WorkDesk
from nexus_common.runtime.health import Health
from nexus_common.runtime.ports import EventStore
from nexus_common.runtime.relay import Relay
from nexus_common.runtime.ring import Mark, marks_of
from nexus_common.runtime.trace import Trace
from nexus_ingest.live.market_time import MarketTime
from nexus_ingest.live.recording import Known, Request, record_step
from nexus_ingest.rounds import Rounds

# Beats and candles have to differ in time for causes and turns to differ.
TICK: Final = timedelta(microseconds=1)
PAGE: Final = 1_000
# Of our own time: what waits for longer, because a service or the exchange is away, comes too late.
DECIDED_WITHIN_SECONDS: Final = 30.0
# After a long break the bars of days come at once; one step does not take them all.
MOST_AT_ONCE: Final = 1_000

TellExchange = Callable[[datetime, Sequence[Known]], Awaitable[None]]


class Agenda:
    """What waits to be recorded, in the order in which it became known.

    Candles that have waited here for too long are history when they are taken: nothing is to be decided on them.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._waiting: deque[tuple[float, Known]] = deque()
        self._news = asyncio.Event()
        self._is_nudged = False
        self._monotonic = monotonic

    def nudge(self) -> None:
        """Somebody wants a step, though nothing waits."""
        self._is_nudged = True
        self._news.set()

    def put(self, item: Known) -> None:
        self._waiting.append((self._monotonic(), item))
        self._news.set()

    async def wait(self, seconds: float) -> None:
        """Until something is there or a step is wanted, at most so long."""
        if self._waiting or self._is_nudged:
            return
        self._news.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return

    def take(self) -> list[Known]:
        """What belongs into one step: everything up to candles of a second instant, within reason."""
        self._is_nudged = False
        taken: list[Known] = []
        instant: datetime | None = None
        too_old = self._monotonic() - DECIDED_WITHIN_SECONDS
        while self._waiting and len(taken) < MOST_AT_ONCE:
            since, item = self._waiting[0]
            if since < too_old and isinstance(item, CandlesClosed):
                item = item.model_copy(update={"late": True})
            closes = fresh_close(item)
            if closes is not None and instant is not None and closes != instant:
                break
            instant = closes or instant
            taken.append(item)
            self._waiting.popleft()
        return taken

    def __len__(self) -> int:
        return len(self._waiting)


def fresh_close(item: Known) -> datetime | None:
    """When the candles of an item closed, if they are to be decided on."""
    return item.at if isinstance(item, CandlesClosed) and not item.late else None


class Steps:
    """Makes a step of what waits, or of time alone every `beat_seconds`, one after the other.

    A step begins with a beat that carries the time of its turns: the close of its candles where nothing later
    has been, else the venues' time. After a restart the last step is gone through again: whoever had answered
    answers the same.
    """

    def __init__(
        self,
        desk: WorkDesk,
        store: EventStore,
        relay: Relay,
        rounds: Rounds,
        time: MarketTime,
        tell_exchange: TellExchange,
        beat_seconds: float,
        trace: Trace,
        health: Health,
    ) -> None:
        self.agenda = Agenda()
        self._desk = desk
        self._store = store
        self._relay = relay
        self._rounds = rounds
        self._time = time
        self._tell_exchange = tell_exchange
        self._beat_seconds = beat_seconds
        self._trace = trace
        self._health = health
        self._at: datetime | None = None
        # A step and what is recorded beside the steps do not mix: the desk is for one at a time.
        self._turn = asyncio.Lock()

    async def run(self) -> None:
        """Take steps until cancelled."""
        async with asyncio.TaskGroup() as works:
            works.create_task(self._rounds.listen())
            await self._finish_last()
            while True:
                await self.agenda.wait(self._beat_seconds)
                async with self._turn:
                    await self._step(self.agenda.take())

    async def record_apart(self, requests: Sequence[tuple[Request, UUID]]) -> None:
        """Put on record what nobody has to answer: what is there before a market is followed."""
        async with self._turn:
            self._desk.begin(())
            for request, cause in requests:
                await self._desk.handle(request.decider, request.key, request.command, cause=cause)
            await self._desk.commit()
            await self._relay.try_publish(self._desk.take_recorded())

    async def settled(self, do: Callable[[int], None]) -> bool:
        """Call `do` with the head of the record while nothing waits to be put on it; False: something waits."""
        async with self._turn:
            head = await self._store.head()
            if len(self.agenda):
                return False
            do(head)
            return True

    async def state(self, decider: AnyDecider, key: str) -> Any:
        """The folded state of one of ingest's streams."""
        async with self._turn:
            return await self._desk.state(decider, key)

    async def _step(self, items: Sequence[Known]) -> None:
        at = self._next_time(items)
        self._trace.point(f"recording {at:%Y-%m-%dT%H:%M:%S}")
        self._desk.begin(())
        await record_step(at, items, self._desk)
        await self._desk.commit()
        self._at = at
        recorded = self._desk.take_recorded()
        await asyncio.gather(self._relay.try_publish(recorded), self._tell_exchange(at, items))
        await self._go_round(at, marks_of(recorded))

    async def _go_round(self, at: datetime, marks: Sequence[Mark]) -> None:
        await self._rounds.go(at, marks)
        self._health.note(step=at, waiting=len(self.agenda))
        self._trace.idle()

    def _next_time(self, items: Sequence[Known]) -> datetime:
        closes = next((at for at in map(fresh_close, items) if at is not None), None)
        if closes is not None and (self._at is None or closes > self._at):
            return closes
        now = self._time.now()
        return now if self._at is None else max(now, self._at + TICK)

    async def _finish_last(self) -> None:
        """The step that may have been left in the middle: its beat, and what was recorded behind it."""
        latest = await self._store.latest("beat", 1)
        if not latest or not isinstance(latest[0].event, Beat):
            return
        self._at = latest[0].event.at
        recorded = await self._own_since(latest[0].global_position)
        events = (each.event for each in recorded)
        told = [event for event in events if isinstance(event, CandlesClosed | FundingSettled)]
        async with self._turn:
            await self._tell_exchange(self._at, told)
            await self._go_round(self._at, marks_of(recorded))

    async def _own_since(self, position: int) -> list[Recorded[Event]]:
        found: list[Recorded[Event]] = []
        after = position - 1
        while page := await self._store.read_categories(topology.owned_by(Service.INGEST), after, limit=PAGE):
            found.extend(page)
            after = page[-1].global_position
        return found
