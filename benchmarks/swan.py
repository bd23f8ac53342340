"""A black swan in live ticks: from the tick to the last exit's commit, for 100 accounts with 10 longs each.

Shield, executor and a live ingest take turns over NATS with Postgres behind them, here in one process; the services
between them in the ring pass the token on. The exchange is in this process too, so that the last figure is what our
side takes, without the wire. Processor time is this process's alone: on a busy machine the rest is waiting.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from itertools import count
from typing import Any, Final

from benchmarks.measuring import Figure, percentile
from benchmarks.servers import Servers, servers
from nexus_common.contracts.envelope import GENESIS, Envelope, Recorded, seal_events
from nexus_common.contracts.ids import NEXUS, derived
from nexus_common.contracts.instrument import InstrumentsListed
from nexus_common.contracts.market import Bar, Candle, CandlesBackfilled, CandlesClosed
from nexus_common.contracts.message import Event
from nexus_common.contracts.order import Leg, OrderIntentRecorded
from nexus_common.contracts.session import AccountSpec, OrderRequested, RiskSettingChanged, SessionOpened
from nexus_common.contracts.trade import TradeEntered
from nexus_common.contracts.values import (
    AccountId,
    Direction,
    Mode,
    Profile,
    Service,
    Symbol,
    Timeframe,
    UserId,
    Venue,
)
from nexus_common.runtime import heap
from nexus_common.runtime.bus import topology
from nexus_common.runtime.bus.jetstream import JetStreamBus
from nexus_common.runtime.clock import WallClock
from nexus_common.runtime.health import Health
from nexus_common.runtime.local_ring import LocalRing, place
from nexus_common.runtime.lockstep import Lockstep
from nexus_common.runtime.ports import Batch, Desk, StreamAppend, Turn
from nexus_common.runtime.relay import Relay
from nexus_common.runtime.settings import load
from nexus_common.runtime.store.postgres import PostgresStore
from nexus_common.runtime.ticks import TickReader
from nexus_common.runtime.trace import Trace
from nexus_executor import bootstrap as executor
from nexus_executor.venues.paper import LocalGateway
from nexus_ingest import bootstrap as ingest
from nexus_ingest.adapters.bus_desk import take_nudges
from nexus_ingest.adapters.tick_publisher import TickPublisher
from nexus_ingest.domain.readings import TradeRead
from nexus_ingest.live.market_time import MarketTime
from nexus_ingest.live.steps import Steps
from nexus_ingest.rounds import Rounds
from nexus_market.candles import Ohlcv, to_millis
from nexus_market.exchange import Exchange
from nexus_market.instruments import DEFAULT_INSTRUMENTS
from nexus_shield.adapters.tick_watch import TickWatch
from nexus_shield.domain.market_view import REFERENCE
from nexus_shield.handlers import ShieldReactor

ACCOUNTS: Final = 100
POSITIONS: Final = 10
FALLS: Final = 5
GOAL_MS: Final = 500.0
BENCH: Final = "bench"
HISTORY: Final = 60
PATIENCE_SECONDS: Final = 60.0
STEPS_BEFORE: Final = 5
SETTINGS: Final = {"margin_fraction": "0.02", "correlated_positions": "5", "correlation_limit": "0.95"}


@dataclass(slots=True)
class Fallen:
    """Seconds from the tick: to the commit of the last exit (of them `busy` at work), to the last at the exchange."""

    committed: float
    busy: float
    sent: float


def run() -> list[Figure]:
    falls = []
    for _ in range(FALLS):
        with servers() as addresses:
            falls.append(asyncio.run(_fall(addresses)))
    exits = ACCOUNTS * POSITIONS
    committed = [each.committed * 1e3 for each in falls]
    busy = [each.busy * 1e3 for each in falls]
    sent = [each.sent * 1e3 for each in falls]
    what = f"black-swan tick to the last of {exits} exits"
    note = f"{FALLS} falls, {ACCOUNTS} accounts with {POSITIONS} longs each"
    return [
        Figure(f"{what} committed, p50", round(percentile(committed, 0.5), 1), "ms", note=note),
        Figure(
            f"{what} committed, p99",
            round(percentile(committed, 0.99), 1),
            "ms",
            goal=f"below {GOAL_MS:g} ms",
            met=percentile(committed, 0.99) < GOAL_MS,
        ),
        Figure(f"{what} committed, processor time, p50", round(percentile(busy, 0.5), 1), "ms"),
        Figure(f"{what} handed to the exchange, p99", round(percentile(sent, 0.99), 1), "ms"),
    ]


async def _fall(addresses: Servers) -> Fallen:
    async with AsyncExitStack() as closing:
        town = _Town(addresses, closing)
        await town.settle()
        return await town.fall()


class _TimedStore:
    """Executor's store; remembers when the last batch with orders was committed."""

    def __init__(self, store: PostgresStore) -> None:
        self.committed: list[tuple[float, float, int]] = []
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def append(self, batch: Batch) -> Any:
        answer = await self._store.append(batch)
        exits = sum(
            isinstance(envelope.event, OrderIntentRecorded) and envelope.event.leg is Leg.EXIT
            for append in batch.appends
            for envelope in append.envelopes
        )
        if exits:
            self.committed.append((time.perf_counter(), time.process_time(), exits))
        return answer


class _TimedGateway(LocalGateway):
    """Executor's way to the exchange; remembers when each order was handed over."""

    def __init__(self, exchange: Exchange, sent: list[float]) -> None:
        super().__init__(exchange)
        self._sent = sent

    async def submit(self, *arguments: Any) -> Any:
        self._sent.append(time.perf_counter())
        return await super().submit(*arguments)


@dataclass(slots=True)
class _Silent:
    """A service that has nothing to say."""

    service: Service
    listens: Mapping[str, int | None] = field(default_factory=lambda: {"signal": 0})

    def observe(self, envelope: Envelope[Event]) -> None: ...

    async def resume(self, desk: Desk) -> None: ...

    async def react(self, turn: Turn, batch: Sequence[Envelope[Event]], desk: Desk) -> None: ...


class _Town:
    """A hundred users at one venue, put there in this process; then the same services over the bus."""

    def __init__(self, addresses: Servers, closing: AsyncExitStack) -> None:
        self._addresses = addresses
        self._closing = closing
        self._tails: dict[str, tuple[int, bytes]] = {}
        self._numbers = count(1)
        self._sent: list[float] = []
        self._listed = [*DEFAULT_INSTRUMENTS[Venue.BINANCE]][:POSITIONS]
        self._prices = {each.symbol: each.tick_size * 20_000 for each in self._listed}
        self._exchange = Exchange(self._listed)
        self._now = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=10)

    async def settle(self) -> None:
        """Listing, history, users, and what they want to hold."""
        self._store = await self._connect()
        self._timed = _TimedStore(await self._connect())
        settings = load(environment={})
        self._shield = ShieldReactor()
        trader = executor.reactor(settings, lambda venue: _TimedGateway(self._exchange, self._sent), epoch=1)
        timed: Any = self._timed
        self._places = {
            Service.SHIELD: place(self._shield, await self._connect()),
            Service.EXECUTOR: place(trader, timed),
        }
        self._ring = LocalRing(self._places)
        heard = await self._tell(
            "instrument-binance", InstrumentsListed(venue=Venue.BINANCE, instruments=tuple(self._listed))
        )
        for symbol in self._prices:
            heard += await self._tell(f"market-binance.{symbol}.15m", self._history(symbol))
        for number in range(ACCOUNTS):
            heard += await self._user(number)
        await self._step(heard)
        for symbol in self._prices:
            wishes: list[Recorded[Event]] = []
            for number in range(ACCOUNTS):
                wishes += await self._wish(number, symbol)
            await self._step(wishes)
        await self._step([])
        held = await self._store.read_categories(["trade"], limit=1_000_000)
        entered = sum(isinstance(each.event, TradeEntered) for each in held)
        assert entered == ACCOUNTS * POSITIONS, f"{entered} positions"

    async def fall(self) -> Fallen:
        """The market falls by 5 % from one tick to the next, and stays there."""
        async with asyncio.TaskGroup() as works:
            publisher, living = await self._live(works)
            await self._calm(publisher)
            heap.settle()  # as a service does before its first turn
            self._sent.clear()
            self._timed.committed.clear()
            price = self._prices[REFERENCE]
            begun, idle = time.perf_counter(), time.process_time()
            self._say(publisher, price * 95 / 100, price * 95 / 100)
            async with asyncio.timeout(PATIENCE_SECONDS):
                while len(self._sent) < ACCOUNTS * POSITIONS:  # noqa: ASYNC110 - two stores would have to tell
                    await asyncio.sleep(0.01)
            for work in living:
                work.cancel()
        at, busy, _ = self._timed.committed[-1]
        assert sum(exits for _, _, exits in self._timed.committed) == ACCOUNTS * POSITIONS
        return Fallen(at - begun, busy - idle, self._sent[ACCOUNTS * POSITIONS - 1] - begun)

    # -- over the bus -----------------------------------------------------------------------------------

    async def _live(self, works: asyncio.TaskGroup) -> tuple[TickPublisher, list[asyncio.Task[Any]]]:
        """Everybody at work, each on connections of his own."""
        trace, living = Trace(None), []
        for service in (Service.CORTEX, Service.TELEGRAM, Service.SCHEDULER):
            self._places[service] = place(_Silent(service), await self._connect())
        for service, there in self._places.items():
            bus = await self._bus(service)
            relay = Relay(self._store, bus, topology.owned_by(service))
            work = Lockstep(there.reactor, there.seat, there.desk, bus, relay, 1, trace).run
            living.append(works.create_task(work()))
        bus = await self._bus(Service.INGEST)
        relay = Relay(self._store, bus, topology.owned_by(Service.INGEST))
        steps = Steps(
            ingest.desk(await self._connect()),
            self._store,
            relay,
            Rounds(bus, relay, 1, 1, trace),
            MarketTime(WallClock()),
            self._nobody,
            1.0,
            trace,
            Health(Service.INGEST, "1"),
        )
        publisher = TickPublisher(await self._bus("ticks"))
        hearing = await self._bus("watch")
        sentinel = self._shield.sentinel
        reader = TickReader(hearing, [(Venue.BINANCE, REFERENCE)])
        watch = TickWatch(hearing, reader, sentinel.ticks, sentinel.find)
        self._watch = watch
        for work in (steps.run, publisher.run, watch.run, partial(take_nudges, bus, steps.agenda.nudge)):
            living.append(works.create_task(work()))
        return publisher, living

    async def _nobody(self, at: datetime, items: Sequence[object]) -> None:
        """The exchange is not told: nothing is filled while we measure."""

    async def _calm(self, publisher: TickPublisher) -> None:
        """Until the sentinel hears, and everybody has caught up and waits for the next beat."""
        price = self._prices[REFERENCE]
        while self._watch.heard < 10 or len(await self._store.latest("beat", STEPS_BEFORE)) < STEPS_BEFORE:
            self._say(publisher, price)
            await asyncio.sleep(0.05)

    def _say(self, publisher: TickPublisher, *prices: Decimal) -> None:
        at = to_millis(datetime.now(UTC))
        trades = [
            TradeRead(REFERENCE, f"{price:f}", "0.1", None, str(next(self._numbers)), at) for price in prices
        ]
        publisher.put(Venue.BINANCE, trades, at)

    async def _connect(self) -> PostgresStore:
        store = await PostgresStore.connect(self._addresses.store, fingerprint=BENCH, clock=WallClock())
        self._closing.push_async_callback(store.close)
        return store

    async def _bus(self, name: str) -> JetStreamBus:
        bus = await JetStreamBus.connect(self._addresses.bus, name=name)
        self._closing.push_async_callback(bus.close)
        return bus

    # -- what others record -----------------------------------------------------------------------------

    async def _step(self, recorded: list[Recorded[Event]]) -> None:
        """One minute: bars, the exchange, and everybody's turns."""
        self._now += timedelta(minutes=1)
        bars = {
            symbol: Ohlcv(price, price, price, price, Decimal(10**9))
            for symbol, price in self._prices.items()
        }
        closed = await self._tell("market-binance.0", self._bars())
        self._exchange.step(self._now, bars, bars)
        await self._ring.step(self._now, sorted([*recorded, *closed], key=lambda each: each.global_position))

    async def _tell(self, stream: str, *events: Event) -> list[Recorded[Event]]:
        position, previous = self._tails.get(stream, (0, GENESIS))
        envelopes = seal_events(
            events,
            consumer=BENCH,
            stream=stream,
            version=position,
            at=self._now,
            cause=derived(NEXUS, f"bench/{next(self._numbers)}"),
            correlation=None,
            account=None,
        )
        answer: Any = await self._store.append(
            Batch(BENCH, (StreamAppend(stream, position, previous, envelopes),))
        )
        self._tails[stream] = (position + len(events), answer[-1].chain_hash)
        return list(answer)

    async def _user(self, number: int) -> list[Recorded[Event]]:
        user = UserId(f"u{number:03}")
        spec = AccountSpec(
            account=_account(number),
            venue=Venue.BINANCE,
            paper=True,
            currency="USDT",
            balance=Decimal(100_000),
        )
        opened = SessionOpened(
            user=user, mode=Mode.PILOT, profile=Profile.NEXUS, strategy="auto", accounts=(spec,)
        )
        changed = [
            RiskSettingChanged(user=user, name=name, value=Decimal(value)) for name, value in SETTINGS.items()
        ]
        return await self._tell(f"session-{user}", opened, *changed)

    async def _wish(self, number: int, symbol: Symbol) -> list[Recorded[Event]]:
        user = UserId(f"u{number:03}")
        wish = OrderRequested(
            user=user,
            account=_account(number),
            symbol=symbol,
            direction=Direction.LONG,
            leverage=None,
            stop_fraction=Decimal("0.02"),
            at=self._now,
        )
        return await self._tell(f"session-{user}", wish)

    def _history(self, symbol: Symbol) -> CandlesBackfilled:
        first = to_millis(self._now) - HISTORY * 900_000
        price = self._prices[symbol]
        rows = [
            Bar(first + index * 900_000, price, price * 101 / 100, price * 99 / 100, price, Decimal(1))
            for index in range(HISTORY)
        ]
        return CandlesBackfilled(
            venue=Venue.BINANCE, symbol=symbol, timeframe=Timeframe.M15, source=BENCH, bars=tuple(rows)
        )

    def _bars(self) -> CandlesClosed:
        one = Decimal(1)
        candles = tuple(
            Candle(symbol, Timeframe.M1, price, price, price, price, one)
            for symbol, price in self._prices.items()
        )
        return CandlesClosed(venue=Venue.BINANCE, partition=0, at=self._now, candles=candles)


def _account(number: int) -> AccountId:
    return AccountId(f"u{number:03}.binance.paper")
