"""A market instant by instant, an exchange, a store, and an executor that can be killed at any await."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid5

import pytest

from nexus_common.contracts.envelope import GENESIS, Envelope, Recorded
from nexus_common.contracts.instrument import InstrumentsListed
from nexus_common.contracts.market import Candle, CandlesClosed
from nexus_common.contracts.message import Event
from nexus_common.contracts.risk import EntryApproved
from nexus_common.contracts.session import AccountSpec, SessionOpened
from nexus_common.contracts.signal import ExitPlan
from nexus_common.contracts.values import (
    AccountId,
    Direction,
    Mode,
    Origin,
    Profile,
    Service,
    Symbol,
    Timeframe,
    UserId,
    Venue,
)
from nexus_common.runtime.desk import WorkDesk
from nexus_common.runtime.errors import ConfigurationError
from nexus_common.runtime.ports import Batch, Lease, StreamAppend
from nexus_common.runtime.recall import recall
from nexus_common.runtime.ring import Token
from nexus_common.runtime.seat import Seat
from nexus_common.runtime.store.memory import MemoryStore
from nexus_executor.domain.rules import ExecutionRules
from nexus_executor.domain.traits import VenueTraits
from nexus_executor.handlers import ExecutorReactor
from nexus_executor.venues.access import TurnClock
from nexus_executor.venues.broker import Broker, Refused, Unknown, VenueDown
from nexus_executor.venues.paper import LocalGateway, PaperBroker
from nexus_market.exchange import Exchange, ExchangeSettings, Ohlcv
from nexus_market.instruments import DEFAULT_INSTRUMENTS

NOON = datetime(2024, 6, 3, 12, 0, tzinfo=UTC)
ANNA = UserId("anna")
PAPER = AccountId("anna-paper")
BTC = Symbol("BTCUSDT")
OWN = ("account", "order", "trade")


class Killed(BaseException):
    """The process is gone; nothing may catch this."""


class Kills:
    """Counts every point at which a process can die, and kills at one of them.

    With a `gap` it kills again and again, each time after one point more, so that the work gets done.
    """

    def __init__(self, at: int | None = None) -> None:
        self.at = at
        self.gap = 0
        self.passed = 0
        self._lived = 0

    def point(self) -> None:
        self.passed += 1
        self._lived += 1
        if self.passed == self.at:
            raise Killed
        if self.gap and self._lived >= self.gap:
            self.gap, self._lived = self.gap + 1, 0
            raise Killed


class Stream:
    """Whether an account's private stream has gone silent; a backfill wakes it. `asked`: backfills so far.

    `seen_as` is what becomes of a message or a resting order on its way from the venue.
    """

    def __init__(self) -> None:
        self.seen_as: Callable[[Any], Any] = lambda each: each
        self.is_silent = False
        self.asked = 0


async def at_once(call: str) -> None:
    """No call waits for anything."""


class MortalBroker:
    """A broker whose process can die before a request leaves and after its answer came."""

    def __init__(
        self,
        inner: Broker,
        kills: Kills,
        refuse: Callable[[Any], Refused | None],
        lose: Callable[[str], str | None],
        traits: VenueTraits | None,
        conclusive: bool,
        stream: Stream,
        arrive: Callable[[str], Awaitable[object]],
    ) -> None:
        self.stream = stream
        self._arrive = arrive
        self.traits = traits or inner.traits
        self.conclusive_lookup = conclusive
        self._inner = inner
        self._kills = kills
        self._refuse = refuse
        self._lose = lose

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._inner, name)

        async def mortal(*args: Any) -> Any:
            self._kills.point()
            await self._arrive(name)
            lost = self._lose(name)
            if lost == "down":
                raise VenueDown("no answer")
            if lost == "misused":
                raise ConfigurationError("the account is in hedge mode: switch it to one-way")
            if lost == "request":
                return Unknown("time-out before it arrived")
            if name == "backfill":
                self.stream.is_silent, self.stream.asked = False, self.stream.asked + 1
            if name == "updates" and self.stream.is_silent:
                return []
            refused = self._refuse(args[0]) if name == "submit" else None
            answer: Any = refused if refused is not None else await call(*args)
            if name in ("updates", "open_orders"):
                answer = [self.stream.seen_as(each) for each in answer]
            self._kills.point()
            return Unknown("time-out after it arrived") if lost == "answer" else answer

        return mortal


class MortalStore:
    """A store whose writer can die before and after a commit."""

    def __init__(self, inner: MemoryStore, kills: Kills) -> None:
        self._inner = inner
        self._kills = kills

    async def append(self, batch: Batch) -> Any:
        self._kills.point()
        answer = await self._inner.append(batch)
        self._kills.point()
        return answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class World:
    """Everything around the executor. `kill_at` counts the points of the whole session."""

    def __init__(
        self,
        *,
        mode: Mode = Mode.PILOT,
        kill_at: int | None = None,
        rules: ExecutionRules | None = None,
        settings: ExchangeSettings | None = None,
        venue: Venue = Venue.BINANCE,
        traits: VenueTraits | None = None,
        conclusive: bool = True,
        accounts: Sequence[AccountId] = (PAPER,),
    ) -> None:
        self._accounts = accounts
        self._traits = traits
        self._conclusive = conclusive
        self.store = MemoryStore()
        self.kills = Kills(kill_at)
        self.exchange = Exchange(
            DEFAULT_INSTRUMENTS[venue],
            settings or ExchangeSettings(slippage_bps=Decimal(0), slippage_ticks=0),
        )
        self.refuse: Callable[[Any], Refused | None] = lambda order: None
        # Whether the "request" or the "answer" of a call is lost on the way, or the venue is "down".
        self.lose: Callable[[str], str | None] = lambda call: None
        # What a call waits for before the venue has it.
        self.arrive: Callable[[str], Awaitable[object]] = at_once
        self.stream = Stream()
        self.clock = TurnClock()
        self.lease: Lease | None = None
        self.deaths = 0
        self.at = NOON
        self.venue = venue
        self._mode = mode
        self._rules = rules
        self._marks: list[tuple[int, str]] = []
        self._position = 0
        self._beside: tuple[Candle, ...] = ()

    # -- processes ----------------------------------------------------------------------------------

    async def start(self) -> None:
        listed = InstrumentsListed(venue=self.venue, instruments=DEFAULT_INSTRUMENTS[self.venue])
        await self.tell(f"instrument-{self.venue}", listed)
        specs = tuple(
            AccountSpec(account=name, venue=self.venue, paper=True, currency="USDT", balance=Decimal(10_000))
            for name in self._accounts
        )
        opened = SessionOpened(
            user=ANNA, mode=self._mode, profile=Profile.NEXUS, strategy="auto", accounts=specs
        )
        await self.tell(f"session-{ANNA}", opened)
        await self._boot()

    async def _boot(self) -> None:
        store: Any = MortalStore(self.store, self.kills)

        def broker(spec: AccountSpec) -> Any:
            paper = PaperBroker(spec.account, LocalGateway(self.exchange), epoch=1 + self.deaths)
            return MortalBroker(
                paper,
                self.kills,
                lambda order: self.refuse(order),
                lambda call: self.lose(call),
                self._traits,
                self._conclusive,
                self.stream,
                lambda call: self.arrive(call),
            )

        self.reactor = ExecutorReactor(broker, self._rules, clock=self.clock)
        self.desk = WorkDesk(
            store,
            Service.EXECUTOR.value,
            self.reactor.observe,
            await self.store.inbox("executor"),
            lease=lambda: self.lease,
        )
        observed = await recall(self.reactor, store)
        self.seat = Seat(self.reactor, self.desk, store, OWN, observed)
        await self.reactor.resume(self.desk)
        await self.desk.commit()

    async def _turn(self, slot: int) -> None:
        while True:
            token = replace(Token.first(self.at, self._position, 0, tuple(self._marks)), slot=slot)
            try:
                await self.seat.take(token)
                return
            except Killed:
                await self._restart()

    async def _restart(self) -> None:
        while True:
            self.deaths += 1
            try:
                await self._boot()
                return
            except Killed:
                continue

    async def reconcile(self) -> None:
        self.desk.begin([])
        await self.reactor.reconcile(self.at, self.desk)
        await self.desk.commit()

    # -- the rest of the system ---------------------------------------------------------------------

    async def tell(self, stream: str, *events: Event, account: AccountId | None = None) -> list[UUID]:
        """Another service records events; returns their ids."""
        version = len(await self.store.read_stream(stream))
        ids = [uuid5(UUID(int=7), f"{stream}/{version + n}") for n in range(len(events))]
        envelopes = tuple(
            Envelope(event, each, stream, version + n + 1, each, each, account, self.at)
            for n, (event, each) in enumerate(zip(events, ids, strict=True))
        )
        previous = (await self.store.read_stream(stream))[-1].chain_hash if version else GENESIS
        recorded = await self.store.append(
            Batch("others", (StreamAppend(stream, version, previous, envelopes),))
        )
        assert isinstance(recorded, Sequence)
        self._marks.extend((r.global_position, r.envelope.category) for r in recorded)
        return ids

    async def minute(
        self,
        bar: tuple[str, str, str, str],
        *requests: tuple[str, Event],
        next_open: str | None = None,
        symbol: Symbol = BTC,
        funding: str | None = None,
        volume: str = "1000",
        seconds: int = 60,
    ) -> list[UUID]:
        """One market instant: the bar closes and trades, executor hears it, requests come, executor acts."""
        self.at += timedelta(seconds=seconds)
        open_, high, low, close = (Decimal(number) for number in bar)
        following = Decimal(next_open) if next_open else close
        self.exchange.step(
            self.at,
            {symbol: Ohlcv(open_, high, low, close, Decimal(volume))},
            {symbol: Ohlcv(following, following, following, following, Decimal(volume))},
            {symbol: Decimal(funding)} if funding else {},
        )
        candle = Candle(symbol, Timeframe.M1, open_, high, low, close, Decimal(volume))
        self._marks = []
        await self.tell(
            f"market-{self.venue}.0",
            CandlesClosed(venue=self.venue, partition=0, at=self.at, candles=(candle, *self._beside)),
        )
        self._position = self._marks[0][0]
        await self._turn(0)
        told: list[UUID] = []
        for stream, event in requests:
            account = AccountId(stream.removeprefix("risk-")) if stream.startswith("risk-") else None
            told += await self.tell(stream, event, account=account)
        await self._turn(4)
        return told

    async def flat(
        self, price: str, *requests: tuple[str, Event], minutes: int = 1, seconds: int = 60
    ) -> list[UUID]:
        """Minutes (of so many seconds) in which the price does not move."""
        told: list[UUID] = []
        for _ in range(minutes):
            told += await self.minute((price, price, price, price), *requests, seconds=seconds)
            requests = ()
        return told

    async def quarter(self, open_: str, high: str, low: str, close: str, *, minutes: int) -> None:
        """So many minutes up to a full quarter of an hour, at whose end its own bar closes too."""
        await self.flat(close, minutes=minutes - 1)
        assert (self.at + timedelta(minutes=1)).minute % 15 == 0
        prices = (Decimal(open_), Decimal(high), Decimal(low), Decimal(close))
        self._beside = (Candle(BTC, Timeframe.M15, *prices, Decimal(1)),)
        await self.flat(close)
        self._beside = ()

    # -- what came of it ----------------------------------------------------------------------------

    async def events(self, category: str | None = None) -> list[Recorded[Event]]:
        return list(await self.store.read_categories([category] if category else list(OWN)))

    async def types(self, category: str) -> list[str]:
        return [recorded.event.type for recorded in await self.events(category)]

    async def only(self, kind: type[Any]) -> Any:
        found = await self.all_of(kind)
        assert len(found) == 1, f"{len(found)} {kind.__name__}: {found}"
        return found[0]

    async def all_of(self, kind: type[Any]) -> list[Any]:
        return [recorded.event for recorded in await self.events() if isinstance(recorded.event, kind)]

    async def bodies(self) -> dict[str, list[str]]:
        """What must not depend on when a process died: every stream of orders, trades and accounts."""
        streams: dict[str, list[str]] = {}
        for recorded in await self.events():
            streams.setdefault(recorded.envelope.stream, []).append(recorded.body)
        return streams

    def resting(self) -> list[Any]:
        return self.exchange.open_orders(PAPER)

    def held(self) -> Decimal:
        return sum((p.quantity for p in self.exchange.positions(PAPER)), Decimal(0))


def a_verdict(
    direction: Direction = Direction.LONG,
    *,
    quantity: str = "0.1",
    price: str = "60000",
    stop_distance: str = "600",
    target_distance: str = "1200",
    trail_distance: str = "600",
    time_stop_bars: int = 96,
    symbol: Symbol = BTC,
    venue: Venue = Venue.BINANCE,
    origin: Origin = Origin.SIGNAL,
    timeframe: Timeframe = Timeframe.M15,
    equity: str = "10000",
    valid_until: datetime = NOON + timedelta(hours=10),
) -> EntryApproved:
    """An approved entry of 0.1 BTC at 60,000 with a stop 1 % away and a target at 2 R."""
    size, level, distance = Decimal(quantity), Decimal(price), Decimal(stop_distance)
    return EntryApproved(
        request_id=UUID(int=1),
        origin=origin,
        venue=venue,
        symbol=symbol,
        direction=direction,
        strategy="trend",
        timeframe=timeframe,
        quantity=size,
        leverage=5,
        margin=size * level / 5,
        notional=size * level,
        price=level,
        stop=level - direction.sign * distance,
        plan=ExitPlan(
            stop_distance=distance,
            target_distance=Decimal(target_distance),
            trail_distance=Decimal(trail_distance),
            trail_after_r=Decimal(1),
            time_stop_bars=time_stop_bars,
        ),
        atr=Decimal(400),
        risk=size * distance,
        equity=Decimal(equity),
        confidence=Decimal("0.8"),
        checks=(),
        valid_until=valid_until,
    )


@pytest.fixture
def make_world() -> type[World]:
    return World


@pytest.fixture
def verdict() -> Callable[..., EntryApproved]:
    return a_verdict


@pytest.fixture
def to_risk() -> Callable[[EntryApproved], tuple[str, Event]]:
    """An approved entry as it is told to the executor."""
    return lambda approved: (f"risk-{PAPER}", approved)
