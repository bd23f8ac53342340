"""Markets made by hand and by seed, through the real indicators, for what the strategies' tests share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from nexus_common.contracts.signal import Action, Proposal
from nexus_common.contracts.values import Timeframe, Venue
from nexus_cortex.domain.regime import NO_MACRO, MacroTrend
from nexus_cortex.domain.sangria import Mood
from nexus_cortex.domain.strategies.strategy import MarketView, Strategy, propose
from nexus_market.candles import to_millis
from nexus_market.features import FeatureColumns, blocks
from nexus_market.indicators import Bars

MAKER_FEE = 0.0002
PRICES = ("open", "high", "low", "close")
START = to_millis(datetime(2024, 3, 1, tzinfo=UTC))
UP = MacroTrend(np.array([0]), np.array([1]), np.array([0.0]), np.array([50.0]))
DOWN = MacroTrend(np.array([0]), np.array([-1]), np.array([0.0]), np.array([50.0]))

Judged = Mapping[Action, Proposal]


@dataclass
class Bleeding(Mood):
    """A market that is Sangria from one close (milliseconds) on."""

    since: int = 0

    def sangria(self, venue: Venue, at: int) -> str | None:
        return "a test says so" if at >= self.since else None


def candles(
    closes: Sequence[float],
    timeframe: Timeframe = Timeframe.M15,
    *,
    wick: float = 0.2,
    volume: float = 10.0,
    first: int = START,
) -> Bars:
    """Each candle opens where the last one closed, and reaches `wick` beyond its body on both sides."""
    close = np.array(closes, dtype=np.float64)
    opened = np.concatenate((close[:1], close[:-1]))
    times = first + np.arange(len(close), dtype=np.int64) * timeframe.seconds * 1_000
    high, low = np.maximum(opened, close) + wick, np.minimum(opened, close) - wick
    return Bars(times, opened, high, low, close, np.full(len(close), volume))


def calm(count: int, around: float = 100.0, swing: float = 0.5) -> list[float]:
    """A price that swings around a level, 10 candles to a wave: no trend anywhere."""
    return [around + swing * float(np.sin(step * np.pi / 5.0)) for step in range(count)]


def line(start: float, step: float, count: int) -> list[float]:
    """From `start`, not included, in equal steps."""
    return [start + step * (number + 1) for number in range(count)]


def squeezed(closes: Sequence[float], factor: float = 1e-7) -> list[float]:
    """The same moves around 100, so small that the price does not move for anyone who pays a fee."""
    return [100.0 + factor * (close - 100.0) for close in closes]


def stub(timeframe: Timeframe, history: int = 0, **values: Sequence[float] | float) -> FeatureColumns:
    """Rows whose bars and features are given, a single figure for all of them; `history` rows lie before them."""
    count = max((len(each) for each in values.values() if isinstance(each, Sequence)), default=history + 1)
    given = {"atr14": 2.0, "atr_mean50": 1.5, "close": 100.0, "volume": 10.0, **values}
    arrays = {
        name: np.array(np.broadcast_to(value, count), dtype=np.float64) for name, value in given.items()
    }
    close = arrays.pop("close")
    bars = [*(arrays.pop(name, close) for name in ("open", "high", "low")), close, arrays.pop("volume")]
    times = START + np.arange(count, dtype=np.int64) * timeframe.seconds * 1_000
    return FeatureColumns(Bars(times, *bars), history, timeframe, arrays)


def wild(seed: int, count: int, timeframe: Timeframe, *, ticks: bool = True) -> Bars:
    """Quiet weeks, trends, crashes, bursts of volume and holes.

    Prices are multiples of 1/8; without `ticks` no two of them are alike, nor any two moves.
    """
    random = np.random.default_rng(seed)
    grain = np.zeros((3, count)) if ticks else random.random((3, count))
    calm_or_wild = np.repeat(random.choice([0.5, 1.0, 3.0], count // 60 + 1), 60)[:count]
    drift = np.repeat(random.normal(0.0, 0.0015, count // 30 + 1), 30)[:count]
    steps = drift + random.normal(0.0, 0.003, count) * calm_or_wild
    closed = np.round(8_000.0 * np.exp(np.cumsum(steps - steps.mean()))) + grain[0]
    opened = np.concatenate((closed[:1], closed[:-1]))
    wicks = random.integers(0, 16, (2, count)) + grain[1:]
    high, low = np.maximum(opened, closed) + wicks[0], np.minimum(opened, closed) - wicks[1]
    volume = random.exponential(5.0, count) + 1.0
    times = START + np.arange(count, dtype=np.int64) * timeframe.seconds * 1_000
    bars = Bars(times, opened / 8.0, high / 8.0, low / 8.0, closed / 8.0, volume)
    kept = np.flatnonzero(random.random(count) > 0.005)
    return Bars(*(getattr(bars, name)[kept] for name in ("open_time", *PRICES, "volume")))


def mirrored(bars: Bars, around: float) -> Bars:
    """p becomes 2 x `around` - p, and high and low change places."""
    open_, high, low, close = (
        2.0 * around - getattr(bars, name) for name in ("open", "low", "high", "close")
    )
    return Bars(bars.open_time, open_, high, low, close, bars.volume)


def scaled(bars: Bars, factor: float) -> Bars:
    open_, high, low, close = (factor * getattr(bars, name) for name in PRICES)
    return Bars(bars.open_time, open_, high, low, close, bars.volume)


def changed(bars: Bars, row: int, **values: float) -> Bars:
    """The same bars with some figures of one of them replaced."""
    columns = {name: getattr(bars, name).copy() for name in (*PRICES, "volume")}
    for name, value in values.items():
        columns[name][row] = value
    return Bars(bars.open_time, *columns.values())


def view_of(
    columns: FeatureColumns,
    macro: MacroTrend = NO_MACRO,
    mood: Mood | None = None,
    venue: Venue = Venue.BINANCE,
    *,
    target: bool = True,
    maker_fee: float | None = MAKER_FEE,
) -> MarketView:
    return MarketView(columns, macro, Bleeding() if mood is None else mood, venue, target, maker_fee)


def said(strategy: Strategy, view: MarketView) -> list[tuple[int, Proposal]]:
    """What a strategy proposes at each row of a view, all of them ready: (close in milliseconds, proposal)."""
    closes = view.bars.close_time()
    return [
        (int(closes[row]), propose(strategy, setup, view, row))
        for setup in strategy.setups(view)
        for row in np.flatnonzero(setup.trigger).tolist()
    ]


def ready(strategy: Strategy, columns: FeatureColumns) -> FeatureColumns:
    return columns.since(columns.first_ready(strategy.needs, strategy.lag))


def said_of(strategy: Strategy, bars: Bars, **seen: Any) -> list[tuple[int, Proposal]]:
    """What a strategy proposes over a whole series, by time."""
    parts = [ready(strategy, columns) for columns in blocks(bars, strategy.timeframe)]
    found = [each for part in parts if len(part) for each in said(strategy, view_of(part, **seen))]
    return sorted(found, key=lambda each: each[0])


def judged(strategy: Strategy, market: Bars | FeatureColumns, **seen: Any) -> Judged:
    """What a strategy proposes for the last of these bars, if it is ready there, or for given rows."""
    columns = market
    if isinstance(market, Bars):
        columns = ready(strategy, FeatureColumns(market, len(market) - 1, strategy.timeframe))
        if not len(columns):
            return {}
    return {proposal.action: proposal for _, proposal in said(strategy, view_of(columns, **seen))}


def rules(proposals: Judged) -> dict[Action, str | None]:
    """The first rule that failed for each action that was triggered; None: a signal."""
    return {action: proposal.failed_rule for action, proposal in proposals.items()}
