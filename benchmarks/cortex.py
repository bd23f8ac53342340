"""Fifty instruments judged in one process: a minute, a quarter of an hour, and the close of all five timeframes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any, Final
from uuid import UUID

import numpy as np

from benchmarks.measuring import Figure
from nexus_common.contracts.envelope import Envelope
from nexus_common.contracts.market import Bar, Candle, CandlesBackfilled, CandlesClosed
from nexus_common.contracts.message import Event
from nexus_common.contracts.values import ModelId, Symbol, Timeframe, Venue
from nexus_common.runtime.desk import WorkDesk
from nexus_common.runtime.ports import Turn
from nexus_common.runtime.store.memory import MemoryStore
from nexus_cortex.domain.classifier import MEANINGS, ByModel
from nexus_cortex.domain.evaluation import ReadRegimes, by_rules
from nexus_cortex.domain.model_features import FEATURES
from nexus_cortex.handlers import CortexReactor
from nexus_market.candles import Ohlcv, series_of, spell, to_millis
from nexus_market.features import BLOCK_SLOTS, HISTORY_BARS, FeatureColumns, blocks
from nexus_market.features import FEATURES as FIGURES
from nexus_market.indicators import Bars, Floats

INSTRUMENTS: Final = tuple(Symbol(f"COIN{number}USDT") for number in range(50))
WALKS: Final = 10
WARM_BARS: Final = HISTORY_BARS + BLOCK_SLOTS
BEGIN: Final = datetime(2026, 3, 2, tzinfo=UTC)
MINUTES: Final = 8 * 240
BLOCK_BARS: Final = 1_000_000
MODEL: Final = ModelId("bench")
NOBODY: Final = UUID(int=0)
EVERY: Final = tuple(Timeframe)

Took = Mapping[tuple[Timeframe, ...], list[float]]


@dataclass(frozen=True, slots=True)
class Boosted:
    """Three hundred trees of depth six over random rows: as costly to ask as a trained model, and as it is asked."""

    booster: Any
    model: ModelId = MODEL
    classes: tuple[str, ...] = tuple(MEANINGS)
    instruments: tuple[Symbol, ...] = INSTRUMENTS

    def predict(self, matrix: Floats) -> Floats:
        answered: Floats = self.booster.inplace_predict(matrix.astype(np.float32))
        return answered


def run() -> list[Figure]:
    return asyncio.run(_measure())


async def _measure() -> list[Figure]:
    walks = [_walk(seed, WARM_BARS + MINUTES + 1) for seed in range(WALKS)]
    ruled, modelled = await _turns(walks, by_rules), await _turns(walks, ByModel(_boosted()))
    bare = _bare_indicators(walks)
    block_seconds, block_bare = _blocks_of_a_million()
    whole, minute = _ms(modelled[EVERY]), _ms(modelled[EVERY[:1]])
    return [
        Figure(
            "50 instruments, all five timeframes close: features, one prediction, all strategies, events",
            whole,
            "ms",
            bare,
            "every indicator once on each of the 250 windows by TA-Lib alone",
            round(whole / bare, 2),
            "below 100 ms",
            whole < 100,
            f"{len(modelled[EVERY])} closes, the worst {max(modelled[EVERY]) * 1_000:.1f} ms",
        ),
        Figure("the same by the rules, without a model", _ms(ruled[EVERY]), "ms"),
        Figure("1m, 5m and 15m close", _ms(modelled[EVERY[:3]]), "ms"),
        Figure("an ordinary minute: 1m closes", minute, "ms", goal="below 20 ms", met=minute < 20),
        Figure(
            f"feature blocks over {BLOCK_BARS:,} bars",
            round(block_seconds, 2),
            "s",
            round(block_bare, 2),
            "the same indicators in one go over the whole series, on no window",
            round(block_seconds / block_bare, 1),
            "below 3 s",
            block_seconds < 3,
            f"all {len(FIGURES)} figures of every bar on its own window",
        ),
    ]


def _ms(seconds: Sequence[float]) -> float:
    return round(median(seconds) * 1_000, 2)


async def _turns(walks: Sequence[Sequence[Ohlcv]], read_regimes: ReadRegimes) -> Took:
    """CPU seconds of cortex's turns, from the candles heard to the events committed, by what closed."""
    cortex = CortexReactor(read_regimes=read_regimes)
    desk = WorkDesk(MemoryStore(lazy=True), cortex.service.value, cortex.observe)
    for event in _past(walks):
        cortex.observe(_envelope(event, 1, BEGIN))
    took: dict[tuple[Timeframe, ...], list[float]] = {}
    for minute in range(1, MINUTES + 1):
        closed = _closed(walks, minute)
        heard = _envelope(closed, minute + 1, closed.at)
        begun = time.process_time()
        cortex.observe(heard)
        await cortex.react(Turn(closed.at, minute + 1, 0, 1, 2), desk.begin([heard]), desk)
        await desk.commit()
        took.setdefault(_closing(minute), []).append(time.process_time() - begun)
        desk.take_recorded()
    return took


def _closing(minute: int) -> tuple[Timeframe, ...]:
    return tuple(timeframe for timeframe in EVERY if minute * 60 % timeframe.seconds == 0)


def _walk(seed: int, count: int) -> list[Ohlcv]:
    random = np.random.default_rng(seed)
    close = 100.0 * np.cumprod(1.0 + random.normal(0.0, 0.004, count))
    opened = np.concatenate(([100.0], close[:-1]))
    high = np.maximum(opened, close) * (1.0 + random.random(count) * 0.002)
    low = np.minimum(opened, close) * (1.0 - random.random(count) * 0.002)
    columns = [np.round(column, 4) for column in (opened, high, low, close, random.random(count) * 50.0)]
    return list(map(Ohlcv, *(map(spell, column.tolist()) for column in columns)))


def _past(walks: Sequence[Sequence[Ohlcv]]) -> Iterator[CandlesBackfilled]:
    """Every timeframe of an instrument is the same walk at another pace."""
    for number, symbol in enumerate(INSTRUMENTS):
        for timeframe in EVERY:
            slot = timeframe.seconds * 1_000
            first = to_millis(BEGIN) - WARM_BARS * slot
            bars = (
                Bar(first + row * slot, *bar) for row, bar in enumerate(walks[number % WALKS][:WARM_BARS])
            )
            yield CandlesBackfilled(
                venue=Venue.BINANCE, symbol=symbol, timeframe=timeframe, source="walk", bars=tuple(bars)
            )


def _closed(walks: Sequence[Sequence[Ohlcv]], minute: int) -> CandlesClosed:
    candles = (
        Candle(symbol, timeframe, *walks[number % WALKS][WARM_BARS + minute * 60 // timeframe.seconds])
        for number, symbol in enumerate(INSTRUMENTS)
        for timeframe in _closing(minute)
    )
    at = BEGIN + timedelta(minutes=minute)
    return CandlesClosed(venue=Venue.BINANCE, partition=0, at=at, candles=tuple(candles))


def _envelope(event: Event, position: int, at: datetime) -> Envelope[Event]:
    return Envelope(event, NOBODY, "market-binance.0", position, NOBODY, NOBODY, None, at)


def _boosted() -> Boosted:
    import xgboost

    random = np.random.default_rng(1)
    rows = xgboost.DMatrix(random.random((20_000, len(FEATURES))), random.integers(0, len(MEANINGS), 20_000))
    wanted = {"objective": "multi:softprob", "num_class": len(MEANINGS), "max_depth": 6, "nthread": 1}
    return Boosted(xgboost.train(wanted, rows, num_boost_round=50))


def _bare_indicators(walks: Sequence[Sequence[Ohlcv]]) -> float:
    """Milliseconds of TA-Lib over as many windows as close, each as long as they are on average."""
    length = HISTORY_BARS + BLOCK_SLOTS // 2
    series = series_of(Timeframe.M15, range(length), walks[0][:length])
    window = Bars.of_series(series)
    begun = time.process_time()
    for _ in range(len(INSTRUMENTS) * len(EVERY)):
        _all_figures(FeatureColumns(window, 0, Timeframe.M15))
    return round((time.process_time() - begun) * 1_000, 2)


def _blocks_of_a_million() -> tuple[float, float]:
    """Seconds of all indicators block by block, and in one go."""
    random = np.random.default_rng(2)
    close = 100.0 * np.cumprod(1.0 + random.normal(0.0, 0.0005, BLOCK_BARS)).astype(np.float64)
    times = np.arange(BLOCK_BARS, dtype=np.int64) * 900_000
    bars = Bars(times, close, close * 1.001, close * 0.999, close, random.random(BLOCK_BARS))
    begun = time.process_time()
    for block in blocks(bars, Timeframe.M15):
        _all_figures(block)
    between = time.process_time()
    _all_figures(FeatureColumns(bars, 0, Timeframe.M15))
    return between - begun, time.process_time() - between


def _all_figures(columns: FeatureColumns) -> None:
    for name in FIGURES:
        columns.column(name)
