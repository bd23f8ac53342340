"""A small recorded market, and cortex at its place in it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from nexus_common.contracts.envelope import Envelope
from nexus_common.contracts.instrument import Group, Instrument, InstrumentKind, InstrumentsListed
from nexus_common.contracts.market import Bar, Candle, CandlesBackfilled, CandlesClosed
from nexus_common.contracts.message import Event
from nexus_common.contracts.signal import JudgeMarket
from nexus_common.contracts.values import Service, Symbol, Timeframe, Venue
from nexus_common.runtime.desk import WorkDesk
from nexus_common.runtime.ports import Turn
from nexus_common.runtime.store.memory import MemoryStore
from nexus_cortex.domain.sangria import BTC, Mood
from nexus_cortex.handlers import CortexReactor
from nexus_data.bar_file import read_bars
from nexus_market.candles import Series, fold, from_millis, timeframes_from, to_millis
from nexus_market.features import BLOCK_SLOTS, HISTORY_BARS, FeatureColumns
from nexus_market.indicators import Bars

REAL = Path(__file__).parents[4] / "shared" / "data" / "ohlcv"
START = datetime(2024, 3, 1, tzinfo=UTC)
WARM_BARS = HISTORY_BARS + BLOCK_SLOTS
RECORDED_END = datetime(2021, 5, 21, tzinfo=UTC)
BASE_MS = 300_000
MAKER_FEE = Decimal("0.0002")
Market = Mapping[Symbol, Mapping[Timeframe, Series]]


class _Noon:
    def now(self) -> datetime:
        return datetime(2024, 1, 1, 12, tzinfo=UTC)


class RecordingDesk(WorkDesk):
    """The real desk, which also keeps the commands it was handed."""

    commands: list[JudgeMarket]

    async def handle(self, decider: Any, key: str, command: Any, **context: Any) -> Sequence[Envelope[Event]]:
        self.commands.append(command)
        return await super().handle(decider, key, command, **context)


@dataclass
class Stage:
    """Cortex with its desk and store; `restart` kills it and starts it anew on the same store."""

    make: Callable[[], CortexReactor]
    market: Market
    store: MemoryStore = field(default_factory=lambda: MemoryStore(fingerprint="test", clock=_Noon()))
    heard: list[Envelope[Event]] = field(default_factory=list)
    commands: list[JudgeMarket] = field(default_factory=list)
    positions: int = 0

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        self.reactor = self.make()
        self.desk = RecordingDesk(self.store, Service.CORTEX, self.reactor.observe)
        self.desk.commands = self.commands
        for envelope in self.heard:
            self.reactor.observe(envelope)

    def hear(self, event: Event, at: datetime) -> Envelope[Event]:
        self.positions += 1
        stream = f"{event.family}-binance.0"
        envelope = Envelope(
            event, UUID(int=self.positions), stream, self.positions, UUID(int=1), UUID(int=1), None, at
        )
        self.heard.append(envelope)
        self.reactor.observe(envelope)
        return envelope

    def warm_up(self, until: datetime) -> None:
        self.hear(listing(self.market), until)
        for symbol, held in self.market.items():
            for series in held.values():
                count = series.count_closed_by(to_millis(until))
                first = max(0, count - WARM_BARS)
                times = series.open_time[first:count].tolist()
                bars = tuple(Bar(t, *b) for t, b in zip(times, series.bars(first, count), strict=True))
                event = CandlesBackfilled(
                    venue=Venue.BINANCE, symbol=symbol, timeframe=series.timeframe, source="test", bars=bars
                )
                self.hear(event, until)

    def close(self, at: datetime) -> Envelope[Event] | None:
        candles = []
        for symbol, held in self.market.items():
            for series in held.values():
                index = series.count_closed_by(to_millis(at)) - 1
                if index >= 0 and int(series.close_time[index]) == to_millis(at):
                    candles.append(Candle(symbol, series.timeframe, *series.bars(index, index + 1)[0]))
        if not candles:
            return None
        return self.hear(CandlesClosed(venue=Venue.BINANCE, partition=0, at=at, candles=tuple(candles)), at)

    async def turn(self, at: datetime, number: int = 1, *, commit: bool = True) -> None:
        self.desk.begin([])
        await self.reactor.react(Turn(at, self.positions, 1, number, 2), [], self.desk)
        if commit:
            await self.desk.commit()

    async def play(self, first: datetime, last: datetime) -> None:
        at, step = first, min(timeframe.duration for held in self.market.values() for timeframe in held)
        while at < last:
            at += step
            if self.close(at) is not None:
                await self.turn(at)

    async def bodies(self) -> list[str]:
        return [recorded.body for recorded in await self.store.read_categories(["signal"], limit=100_000)]

    async def events(self) -> list[Event]:
        return [recorded.event for recorded in await self.store.read_categories(["signal"], limit=100_000)]


def listing(market: Market) -> InstrumentsListed:
    """The instruments of a market as the venue lists them."""
    instruments = tuple(
        Instrument(
            venue=Venue.BINANCE,
            symbol=symbol,
            kind=InstrumentKind.PERPETUAL,
            base=symbol.removesuffix("USDT"),
            quote="USDT",
            group=Group.MAJOR,
            tick_size=Decimal("0.01"),
            step_size=Decimal("0.001"),
            min_quantity=Decimal("0.001"),
            min_notional=Decimal(5),
            max_leverage=20,
            maker_fee=MAKER_FEE,
            taker_fee=Decimal("0.0005"),
            maintenance_margin=Decimal("0.004"),
        )
        for symbol in market
    )
    return InstrumentsListed(venue=Venue.BINANCE, instruments=instruments)


def _walk(seed: int, count: int, *, ranging: bool = False) -> Series:
    """Quiet weeks, then trends and a crash, with holes: enough for every rule to hold somewhere.

    One that is `ranging` swings around its first price until the last three days.
    """
    random = np.random.default_rng(seed)
    common = np.random.default_rng(99)
    wild = np.where(np.arange(count) // 1_440 % 2, 5.0, 1.0)
    drift = np.repeat(common.normal(0.0, 0.0004, count // 120 + 1), 120)[:count]
    drift[count - 900 : count - 600 : 9] -= 0.012
    noise = common.normal(0.0, 0.0009, count) + random.normal(0.0, 0.0009, count)
    change = (drift + noise) * wild
    if ranging:
        away = 0.0
        for bar in range(count - 900):
            change[bar] = noise[bar] - 0.03 * away
            away += change[bar]
    close = 100.0 * np.cumprod(1.0 + change)
    opened = np.concatenate(([100.0], close[:-1]))
    high, low = np.maximum(opened, close) * 1.0005, np.minimum(opened, close) * 0.9995
    columns = [np.round(column, 3) for column in (opened, high, low, close, random.random(count) * 9.0 + 1.0)]
    times = to_millis(START) + np.arange(count, dtype=np.int64) * BASE_MS
    kept = np.flatnonzero(random.random(count) > 0.01)
    return Series(Timeframe.M5, times[kept], *(column[kept] for column in columns))


def _folded(base: Series) -> Mapping[Timeframe, Series]:
    end = int(base.close_time[-1])
    return {timeframe: fold(base, timeframe, end) for timeframe in timeframes_from(base.timeframe)}


@pytest.fixture(scope="session")
def synthetic_market() -> Market:
    """Four instruments over 40 days of 5m bars; only DOGE and SOL are shark targets, ETH ranges."""
    symbols = [Symbol(name) for name in ("BTCUSDT", "DOGEUSDT", "ETHUSDT", "SOLUSDT")]
    return {
        symbol: _folded(_walk(seed, 11_520, ranging=symbol == "ETHUSDT"))
        for seed, symbol in enumerate(symbols)
    }


def _recorded(path: Path, last: datetime) -> Mapping[Timeframe, Series]:
    """The bars of a file that closed by then, on every timeframe that they give."""
    pytest.importorskip("polars")
    if not path.exists():
        pytest.skip("the recorded market is not here")
    timeframe = Timeframe(path.stem.split("-")[1])
    base = read_bars(path, timeframe)
    return _folded(base.slice(0, base.count_closed_by(to_millis(last))))


@pytest.fixture(scope="session")
def recorded_market() -> Market:
    """BTC, DOGE and LTC in the spring of 2021, from 1m bars."""
    return {
        Symbol(name): _recorded(REAL / "binance_spot" / f"{name}-1m.parquet", RECORDED_END)
        for name in ("BTCUSDT", "DOGEUSDT", "LTCUSDT")
    }


@pytest.fixture(scope="session")
def recorded_stocks() -> Market:
    """Two stocks on 1m and 5m, with nights and a weekend between their sessions, and a coin through a crash."""
    end = datetime(2025, 10, 11, tzinfo=UTC)
    return {
        Symbol("NVDA"): _recorded(REAL / "us" / "NVDA-1m.parquet", end),
        Symbol("AAPL"): _recorded(REAL / "us" / "AAPL-5m.parquet", end),
        Symbol("SOLUSDT"): _recorded(REAL / "bybit_linear" / "SOLUSDT-5m.parquet", end),
    }


def mood_of(market: Market) -> Mood:
    mood, btc = Mood(), market[BTC][Timeframe.M15]
    for opened, first, last in zip(
        btc.open_time.tolist(), btc.open.tolist(), btc.close.tolist(), strict=True
    ):
        mood.hear_btc(Venue.BINANCE, opened, first, last)
    return mood


@pytest.fixture
def mood() -> Callable[[Market], Mood]:
    """What a whole market's bitcoin candles say of Sangria."""
    return mood_of


@pytest.fixture
def stage() -> Callable[..., Stage]:
    """Cortex over a market: `stage(market, strategy=…)`."""

    def build(market: Market, **arguments: Any) -> Stage:
        return Stage(lambda: CortexReactor(**arguments), market)

    return build


@pytest.fixture(scope="session")
def live(synthetic_market: Market) -> Stage:
    """Cortex, having judged the last six days of the market row by row."""
    run = Stage(CortexReactor, synthetic_market)
    run.warm_up(START + timedelta(days=34))
    with asyncio.Runner() as runner:
        runner.run(run.play(START + timedelta(days=34), START + timedelta(days=40)))
    return run


@pytest.fixture
def columns() -> Callable[..., FeatureColumns]:
    """Rows with the features given, each a list as long as the others; `close` is a bar's price.

    The first `history` values of each list lie before the rows.
    """

    def build(history: int = 0, **features: Sequence[float]) -> FeatureColumns:
        arrays = {name: np.array(values, dtype=np.float64) for name, values in features.items()}
        count = len(next(iter(arrays.values())))
        close = arrays.pop("close", np.full(count, 100.0))
        times = to_millis(START) + np.arange(count, dtype=np.int64) * 900_000
        window = Bars(times, close, close, close, close, np.ones(count))
        return FeatureColumns(window, history, Timeframe.M15, arrays)

    return build


@pytest.fixture
def at() -> Callable[[int], datetime]:
    """The close of bar n of `columns`."""
    return lambda bar: from_millis(to_millis(START) + (bar + 1) * 900_000)
