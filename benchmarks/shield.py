"""One signal to the verdicts of 200 accounts, committed in Postgres; beside bare inserts of the same rows.

Every account has settings of its own and holds up to four positions, so that every exposure rule has something
to add up and every verdict real correlations to look at.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from random import Random
from typing import Any, Final

from benchmarks.measuring import Figure, Pairs, percentile
from benchmarks.servers import servers
from nexus_common.contracts.account import BalanceChanged
from nexus_common.contracts.envelope import GENESIS, Envelope, Recorded, seal_events
from nexus_common.contracts.ids import NEXUS, derived
from nexus_common.contracts.instrument import Instrument, InstrumentsListed
from nexus_common.contracts.market import Bar, Candle, CandlesBackfilled, CandlesClosed
from nexus_common.contracts.message import Event
from nexus_common.contracts.session import AccountSpec, RiskSettingChanged, SessionOpened, StrategySwitched
from nexus_common.contracts.signal import Action, ExitPlan, SignalRaised
from nexus_common.contracts.trade import TradeEntered
from nexus_common.contracts.values import (
    AccountId,
    Direction,
    Mode,
    Profile,
    Symbol,
    Timeframe,
    TradeId,
    UserId,
    Venue,
)
from nexus_common.runtime import heap
from nexus_common.runtime.clock import WallClock
from nexus_common.runtime.desk import WorkDesk
from nexus_common.runtime.ports import Batch, EventStore, StreamAppend, Turn
from nexus_common.runtime.store import append_sql
from nexus_common.runtime.store.postgres import PostgresStore
from nexus_common.runtime.store.session import Connection, Session
from nexus_market.instruments import DEFAULT_INSTRUMENTS
from nexus_shield.handlers import ShieldReactor

ACCOUNTS: Final = 200
SIGNALS: Final = 120
STORM: Final = 50
WARM_UP: Final = 3
GOAL_MS: Final = 100.0
BENCH: Final = "bench"
START: Final = datetime(2026, 3, 2, 12, tzinfo=UTC)
BETWEEN: Final = timedelta(minutes=45)
HISTORY: Final = 60
EVENTS = (
    f"INSERT INTO events ({', '.join(append_sql.EVENT_COLUMNS)}) "
    f"VALUES ({', '.join(['%s'] * len(append_sql.EVENT_COLUMNS))})"
).encode()
COMMANDS = (
    f"INSERT INTO commands ({', '.join(append_sql.COMMAND_COLUMNS)}) "
    f"VALUES ({', '.join(['%s'] * len(append_sql.COMMAND_COLUMNS))})"
).encode()


def run() -> list[Figure]:
    with servers() as addresses:
        return asyncio.run(_measure(addresses.store))


async def _measure(url: str) -> list[Figure]:
    store = await PostgresStore.connect(url, fingerprint=BENCH, clock=WallClock())
    bare = Session(url, "bare inserts")
    town = _Town(store)
    try:
        await town.settle()
        heap.settle()  # as a service does before its first turn
        ours: list[float] = []
        floor: list[float] = []
        for number in range(WARM_UP + SIGNALS):
            seconds, recorded = await town.judge([number])
            below = await _insert_bare(bare, store, recorded)
            if number >= WARM_UP:
                ours.append(seconds)
                floor.append(below)
        storm, recorded = await town.judge(range(STORM))
        storm_floor = await _insert_bare(bare, store, recorded)
    finally:
        await bare.close()
        await store.close()
    return _figures(Pairs(tuple(ours), tuple(floor)), storm, storm_floor)


def _figures(pairs: Pairs, storm: float, storm_floor: float) -> list[Figure]:
    p50, p99 = (round(percentile(pairs.ours, share) * 1e3, 1) for share in (0.50, 0.99))
    bare50, bare99 = (round(percentile(pairs.floor, share) * 1e3, 1) for share in (0.50, 0.99))
    bare = "the same events and commands, one INSERT each in one transaction"
    what = f"signal to {ACCOUNTS} verdicts committed"
    return [
        Figure(f"{what}, p50 ({SIGNALS} signals)", p50, "ms", bare50, bare, round(pairs.ratio, 2)),
        Figure(
            f"{what}, p99",
            p99,
            "ms",
            bare99,
            bare,
            round(p99 / bare99, 2),
            f"below {GOAL_MS:g} ms",
            p99 < GOAL_MS,
        ),
        Figure(
            f"{STORM} signals of one close to {STORM * ACCOUNTS} verdicts committed",
            round(storm, 2),
            "s",
            round(storm_floor, 2),
            bare,
            round(storm / storm_floor, 2),
        ),
    ]


class _Town:
    """A shield whose 200 accounts trade one venue, between a store and what others record."""

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self._reactor = ShieldReactor()
        self._desk = WorkDesk(store, "shield", self._reactor.observe)
        self._tails: dict[str, tuple[int, bytes]] = {}
        self._listed = list(DEFAULT_INSTRUMENTS[Venue.BINANCE])
        self._prices = {each.symbol: each.tick_size * 20_000 for each in self._listed}
        self._random = Random(7)
        self._numbers = count(1)
        self._now = START

    async def settle(self) -> None:
        """Listing, history, users with their settings, wallets, positions."""
        heard = await self._tell("instrument-binance", _listing(self._listed))
        for each in self._listed:
            heard += await self._tell("market-binance.0", self._history(each))
        for number in range(ACCOUNTS):
            heard += await self._user(number)
        heard += await self._tell("market-binance.0", self._bars())
        await self._turn(heard)

    async def judge(self, signals: Sequence[int]) -> tuple[float, list[Recorded[Event]]]:
        """Seconds from the signals' arrival until all verdicts on them are committed, and those verdicts."""
        self._now += BETWEEN
        await self._turn(await self._tell("market-binance.0", self._bars()))
        heard: list[Envelope[Event]] = []
        for number in signals:
            heard += await self._tell(f"signal-binance.{number}", self._signal(number))
        self._desk.take_recorded()
        begun = time.perf_counter()
        await self._turn(heard)
        seconds = time.perf_counter() - begun
        recorded = self._desk.take_recorded()
        verdicts = [each for each in recorded if each.event.type.startswith("risk.entry_")]
        assert len(verdicts) == len(signals) * ACCOUNTS, f"{len(verdicts)} verdicts"
        return seconds, list(recorded)

    async def _turn(self, heard: Sequence[Envelope[Event]]) -> None:
        batch = self._desk.begin(heard)
        await self._reactor.react(Turn(self._now, 0, 0, 1, 1), batch, self._desk)
        await self._desk.commit()

    async def _tell(self, stream: str, *events: Event, account: str | None = None) -> list[Envelope[Event]]:
        """What another service records, and shield observes."""
        position, previous = self._tails.get(stream, (0, GENESIS))
        envelopes = seal_events(
            events,
            consumer=BENCH,
            stream=stream,
            version=position,
            at=self._now,
            cause=derived(NEXUS, f"bench/{next(self._numbers)}"),
            correlation=None,
            account=None if account is None else AccountId(account),
        )
        answer: Any = await self._store.append(
            Batch(BENCH, (StreamAppend(stream, position, previous, envelopes),))
        )
        self._tails[stream] = (position + len(events), answer[-1].chain_hash)
        for envelope in envelopes:
            self._reactor.observe(envelope)
        return list(envelopes)

    async def _user(self, number: int) -> list[Envelope[Event]]:
        """User `number` with an account, settings that differ from the neighbours' and up to four positions."""
        user, account = UserId(f"u{number}"), AccountId(f"u{number}.binance.paper")
        spec = AccountSpec(account=account, venue=Venue.BINANCE, paper=True, currency="USDT")
        profile = tuple(Profile)[number % 3]
        session: list[Event] = [
            SessionOpened(user=user, mode=Mode.PILOT, profile=profile, strategy="auto", accounts=(spec,)),
            RiskSettingChanged(user=user, name="margin_fraction", value=Decimal(1 + number % 5) / 100),
        ]
        if number % 10 == 0:
            session.append(StrategySwitched(user=user, strategy="trend", enabled=False))
        heard = await self._tell(f"session-{user}", *session)
        wallet = BalanceChanged(account=account, wallet=Decimal(10_000), change=Decimal(0), reason="deposit")
        heard += await self._tell(f"account-{account}", wallet, account=account)
        for held in self._random.sample(self._listed, number % 5):
            trade = TradeId(f"{user}.{held.symbol}")
            entered = self._position(trade, account, held)
            heard += await self._tell(f"trade-{trade}", entered, account=account)
        return heard

    def _position(self, trade: TradeId, account: AccountId, held: Instrument) -> TradeEntered:
        price = self._prices[held.symbol]
        return TradeEntered(
            trade_id=trade,
            account=account,
            venue=Venue.BINANCE,
            symbol=held.symbol,
            direction=self._random.choice(list(Direction)),
            strategy="trend",
            quantity=Decimal(500) / price,
            average_price=price,
            margin=Decimal(100),
            complete=True,
        )

    def _history(self, listed: Instrument) -> CandlesBackfilled:
        first = int(self._now.timestamp() * 1000) - HISTORY * 900_000
        price, rows = self._prices[listed.symbol], []
        for index in range(HISTORY):
            close = price + listed.tick_size * self._random.randint(-200, 200)
            rows.append(
                Bar(first + index * 900_000, price, max(price, close), min(price, close), close, Decimal(1))
            )
        return CandlesBackfilled(
            venue=Venue.BINANCE,
            symbol=listed.symbol,
            timeframe=Timeframe.M15,
            source=BENCH,
            bars=tuple(rows),
        )

    def _bars(self) -> CandlesClosed:
        one = Decimal(1)
        candles = tuple(
            Candle(symbol, timeframe, price, price, price, price, one)
            for symbol, price in self._prices.items()
            for timeframe in (Timeframe.M1, Timeframe.M15)
        )
        return CandlesClosed(venue=Venue.BINANCE, partition=0, at=self._now, candles=candles)

    def _signal(self, number: int) -> SignalRaised:
        """Long or short by turns, on one instrument after the other."""
        listed = self._listed[number % len(self._listed)]
        price = self._prices[listed.symbol]
        atr = price / 100
        return SignalRaised(
            venue=Venue.BINANCE,
            symbol=Symbol(listed.symbol),
            strategy="trend",
            action=Action.ENTER_LONG if number % 2 else Action.ENTER_SHORT,
            timeframe=Timeframe.M15,
            candle_close=self._now,
            price=price,
            atr=atr,
            atr_mean=atr,
            plan=ExitPlan(
                stop_distance=atr * 3 / 2,
                target_distance=atr * 3,
                trail_distance=atr * 3 / 2,
                trail_after_r=Decimal(1),
                time_stop_bars=96,
            ),
            confidence=Decimal("0.7"),
            leverage_hint=None,
            regime=None,
            within_regime=True,
            model_version="rules",
            features={},
            reasons=("EMA20 crossed above EMA50",),
            valid_until=self._now + timedelta(minutes=15),
        )


def _listing(listed: Sequence[Instrument]) -> InstrumentsListed:
    return InstrumentsListed(venue=Venue.BINANCE, instruments=tuple(listed))


async def _insert_bare(session: Session, store: PostgresStore, recorded: Sequence[Recorded[Event]]) -> float:
    """Seconds that rows of the same bytes take when nothing is decided, encoded or hashed."""
    rows = [await _rows(store, each) for each in recorded]
    async with session as connection:
        begun = time.perf_counter()
        async with connection.transaction():
            await _many(connection, EVENTS, [event for event, _ in rows])
            await _many(connection, COMMANDS, [command for _, command in rows])
        return time.perf_counter() - begun


async def _many(connection: Connection, statement: bytes, rows: Sequence[tuple[Any, ...]]) -> None:
    async with connection.cursor() as cursor:
        await cursor.executemany(statement, rows)


async def _rows(store: PostgresStore, each: Recorded[Event]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """A copy of an event and its command, under names of its own."""
    envelope, command = each.envelope, await store.command_behind(each.envelope.event_id)
    assert command is not None
    stream, identity = f"bare-{envelope.stream}", derived(command.command_id, "bare")
    event = (
        stream,
        "bare",
        envelope.position,
        envelope.event.type,
        derived(envelope.event_id, "bare"),
        envelope.account,
        envelope.causation_id,
        envelope.correlation_id,
        envelope.occurred_at,
        each.recorded_at,
        each.fingerprint,
        each.body,
        each.content_hash,
        each.chain_hash,
        identity,
    )
    return event, (identity, stream, envelope.position, command.type, command.causation_id, command.body)
