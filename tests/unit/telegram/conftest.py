"""A small installation over memory: telegram and scheduler take their turns, a script plays the other services."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from nexus_common.contracts import ids
from nexus_common.contracts.decider import Decider
from nexus_common.contracts.envelope import Recorded
from nexus_common.contracts.market import Candle, CandlesClosed
from nexus_common.contracts.message import Event
from nexus_common.contracts.notice import NoticeComposed
from nexus_common.contracts.session import AccountSpec
from nexus_common.contracts.values import AccountId, Mode, Profile, Symbol, Timeframe, UserId, Venue
from nexus_common.runtime.bus import topology
from nexus_common.runtime.desk import WorkDesk
from nexus_common.runtime.local_ring import LocalRing, Place
from nexus_common.runtime.ports import AlreadyHandled, Batch, Reactor
from nexus_common.runtime.recall import recall
from nexus_common.runtime.seat import Seat
from nexus_common.runtime.store.memory import MemoryStore
from nexus_scheduler.handlers import SchedulerReactor
from nexus_telegram.handlers import SessionSpec, TelegramReactor
from nexus_telegram.script import ScriptEntry, parse_script

START = datetime(2026, 1, 1, 12, tzinfo=UTC)
ANNA = UserId("anna")
PAPER = AccountSpec(
    account=AccountId("anna.binance.paper"),
    venue=Venue.BINANCE,
    paper=True,
    currency="USDT",
    balance=Decimal(10_000),
)
STOCKS = AccountSpec(
    account=AccountId("anna.alpaca.paper"),
    venue=Venue.ALPACA,
    paper=True,
    currency="USD",
    balance=Decimal(100_000),
)
SPEC = SessionSpec(ANNA, Mode.COPILOT, Profile.NEXUS, "auto", (PAPER, STOCKS))


class Killed(Exception):
    """The process died."""


class MortalStore(MemoryStore):
    """Kills its user before or after some of telegram's and scheduler's commits."""

    def __init__(self, before: frozenset[int] = frozenset(), after: frozenset[int] = frozenset()) -> None:
        super().__init__()
        self._before, self._after = before, after
        self._commits = 0

    async def append(self, batch: Batch) -> Sequence[Recorded[Event]] | AlreadyHandled:
        if batch.consumer == "others":
            return await super().append(batch)
        self._commits += 1
        if self._commits in self._before:
            raise Killed
        recorded = await super().append(batch)
        if self._commits in self._after:
            raise Killed
        return recorded


@dataclass(frozen=True, slots=True)
class Report:
    """What another service records: these events, on this stream."""

    events: tuple[Event, ...]
    at: datetime


# What another service records: on which stream, what, and for which account.
Fact = tuple[str, Event, AccountId | None]


class Installation:
    def __init__(self, script: Sequence[ScriptEntry], store: MemoryStore) -> None:
        self.script = script
        self.store = store
        self.now = START
        self._others = WorkDesk(self.store, "others", lambda _: None, keep_commands=False)
        self._ring: LocalRing | None = None

    async def restart(self) -> None:
        reactors: list[Reactor] = [TelegramReactor([SPEC], self.script), SchedulerReactor()]
        self._ring = LocalRing({reactor.service: await self._seat(reactor) for reactor in reactors})

    async def _seat(self, reactor: Reactor) -> Place:
        name = reactor.service.value
        head = await recall(reactor, self.store)
        desk = WorkDesk(self.store, name, reactor.observe, await self.store.inbox(name))
        await reactor.resume(desk)
        return Place(reactor, desk, Seat(reactor, desk, self.store, topology.owned_by(reactor.service), head))

    async def step(self, *facts: Fact, price: int = 100) -> None:
        """One market instant; whoever dies in it is started again until it is over."""
        recorded = await self._record(facts, price)
        if self._ring is None:
            await self.restart()
        while True:
            assert self._ring is not None
            try:
                await self._ring.step(self.now, recorded)
                break
            except Killed:
                await self.restart()
        self.now += timedelta(minutes=1)

    async def _record(self, facts: Sequence[Fact], price: int) -> Sequence[Recorded[Event]]:
        close = Decimal(price)
        candle = Candle(Symbol("BTCUSDT"), Timeframe.M1, close, close, close, close, Decimal(1))
        closed = CandlesClosed(venue=Venue.BINANCE, partition=0, at=self.now, candles=(candle,))
        for index, (stream, event, account) in enumerate((("market-binance.0", closed, None), *facts)):
            category, _, key = stream.partition("-")
            decider: Decider[Report, None, Event] = Decider(
                category, None, lambda c, _: c.events, lambda s, _: s
            )
            cause = ids.timer_id(f"others/{index}", self.now)
            await self._others.handle(decider, key, Report((event,), self.now), cause=cause, account=account)
        await self._others.commit()
        return self._others.take_recorded()

    async def events(self, category: str = "") -> list[Recorded[Event]]:
        return list(await self.store.read_categories([category] if category else [], 0))

    async def notices(self) -> list[str]:
        found = [recorded.event for recorded in await self.events("notice")]
        return [event.text for event in found if isinstance(event, NoticeComposed)]

    async def bodies(self) -> list[str]:
        """All that was recorded, stream by stream."""
        recorded = await self.events()
        ordered = sorted(recorded, key=lambda each: (each.envelope.stream, each.envelope.position))
        return [each.body for each in ordered]


@pytest.fixture
def installation() -> Callable[..., Installation]:
    def build(
        *commands: str, before: frozenset[int] = frozenset(), after: frozenset[int] = frozenset()
    ) -> Installation:
        """An installation that is told these commands, one a minute; `-` is a minute of silence."""
        lines = [
            f"{START + timedelta(minutes=n):%Y-%m-%d %H:%M} {command}" for n, command in enumerate(commands)
        ]
        script = parse_script("\n".join(line for line in lines if not line.endswith(" -")), "script")
        return Installation(script, MortalStore(before, after))

    return build
