"""What each family of strategies would have earned from a 15m close on, and which one was best.

Each family is entered at the next bar's open, in the direction its rules would take at the close: trend with
EMA20 against EMA50, scalping against RSI, mean_reversion toward the middle band, shark short (on its targets
alone), grid as a ladder on both sides of EMA200 (only where it may open). Whether its other rules hold is not
asked: the label says which kind of trade would have paid. Distances are the strategies' own, by the close's ATR; a
stop too near to pay for its own costs is no trade, as shield would refuse it.

The whole position leaves at its stop, its target, or after `HORIZON` bars (the strategy's own time stop if that is
sooner); parts, trailing stops and break-even are left out. Within a bar the stop comes before the target. Entries,
stops and time-outs pay the taker's fee and slip; a ladder's fills and profits pay the maker's.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

import numpy as np

from nexus_common.contracts.values import Venue
from nexus_cortex.domain.model_features import over
from nexus_cortex.domain.strategies.grid import GRID, GridParameters
from nexus_cortex.domain.strategies.mean_reversion import MEAN_REVERSION
from nexus_cortex.domain.strategies.scalping import SCALPING
from nexus_cortex.domain.strategies.shark import SHARK
from nexus_cortex.domain.strategies.strategy import Strategy
from nexus_cortex.domain.strategies.trend import TREND
from nexus_market.features import FeatureColumns
from nexus_market.indicators import Bars, Bools, Floats, Ints
from nexus_market.instruments import FEES

FAMILIES: Final = ("trend", "scalping", "mean_reversion", "grid", "shark")
NONE: Final = "none"
CLASSES: Final = (*FAMILIES, NONE)
HORIZON: Final = 48
NEEDS: Final = ("atr14", "ema20", "ema50", "ema200", "rsi14", "bb_middle", "adx14")
# What a family has to earn, net, so that it is worth a trade.
WORTH_R: Final = 0.25
# The nearest stop that shield lets pass, as a fraction of the price, and in round trips at the taker's fee.
STOP_MIN: Final = 0.002
STOP_MIN_COSTS: Final = 4.0
# A little over the simulated exchange's: a basis point and a tick.
SLIPPAGE: Final = 0.0002


@dataclass(frozen=True, slots=True)
class Costs:
    """As fractions of a trade's value, for each fill."""

    maker: float
    taker: float
    slippage: float = SLIPPAGE

    @property
    def stop_min(self) -> float:
        """As a fraction of the price."""
        return max(STOP_MIN, STOP_MIN_COSTS * 2.0 * self.taker)


def costs_of(venue: Venue) -> Costs:
    maker, taker = FEES[venue]
    return Costs(float(maker), float(taker))


@dataclass(frozen=True, slots=True)
class Entries:
    """The closes that are entered from: where their bars stand in the path, and their figures."""

    row: Ints
    close: Floats
    atr: Floats
    ema20: Floats
    ema50: Floats
    ema200: Floats
    rsi: Floats
    middle: Floats
    adx: Floats

    def __len__(self) -> int:
        return len(self.row)

    def take(self, rows: Ints) -> Entries:
        return Entries(*(getattr(self, field.name)[rows] for field in fields(self)))

    @staticmethod
    def of(columns: FeatureColumns, first: int) -> Entries:
        """Every row, for which `NEEDS` are ready; `first` is where row 0 stands in the path."""
        return Entries(
            first + np.arange(len(columns)),
            columns.column("close"),
            *(columns.column(name) for name in NEEDS),
        )


def outcomes(path: Bars, entries: Entries, costs: Costs, is_shark_target: bool) -> Floats:
    """R net of costs, entries by `FAMILIES`; NaN where a family would not have traded.

    Of a ladder, 1 R is its loss when one side is full at its stop.

    Raises:
        ValueError: of an entry fewer than `HORIZON` bars follow.
    """
    if len(entries) and int(entries.row[-1]) + HORIZON >= len(path):
        raise ValueError(f"the outcome of an entry is known only once {HORIZON} bars follow it")
    sides = {
        TREND: np.sign(entries.ema20 - entries.ema50),
        SCALPING: np.sign(50.0 - entries.rsi),
        MEAN_REVERSION: np.sign(entries.middle - entries.close),
        SHARK: np.full(len(entries), -1.0 if is_shark_target else 0.0),
    }
    found = {each.name: _bracket(path, entries, each, side, costs) for each, side in sides.items()}
    found[GRID.name] = _ladder(path, entries, costs)
    return np.stack([found[family] for family in FAMILIES], axis=1)


def labels(earned: Floats) -> Ints:
    """For each row of `outcomes` the number in `CLASSES` of the best family; `none` if nothing was worth it."""
    ranked = np.where(np.isnan(earned), -np.inf, earned)
    best = np.argmax(ranked, axis=1)
    worth = ranked[np.arange(len(ranked)), best] > WORTH_R
    return np.where(worth, best, CLASSES.index(NONE))


def _bracket(path: Bars, entries: Entries, strategy: Strategy, side: Floats, costs: Costs) -> Floats:
    """Prices are turned over for shorts (times `side`), so that up is always profit."""
    parameters, row = strategy.parameters, entries.row
    stop_distance = float(parameters.stop_atr) * entries.atr
    target_distance = float(parameters.target_atr) * entries.atr
    if strategy is MEAN_REVERSION:
        target_distance = np.maximum(np.abs(entries.middle - entries.close), target_distance)
    is_long = side > 0.0
    entry = side * path.open[row + 1] + costs.slippage * path.open[row + 1]
    stop, target = entry - stop_distance, entry + target_distance
    earned, alive = np.zeros(len(entries)), np.ones(len(entries), dtype=np.bool_)
    last = min(HORIZON, parameters.time_stop_bars)
    for lag in range(1, last + 1):
        opened, high, low = side * path.open[row + lag], path.high[row + lag], path.low[row + lag]
        stopped = alive & (np.where(is_long, low, -high) <= stop)
        reached = alive & ~stopped & (np.where(is_long, high, -low) >= target)
        _leave(earned, stopped, np.minimum(stop, opened), entry, costs.slippage, costs.taker)
        _leave(earned, reached, np.maximum(target, opened), entry, 0.0, costs.taker)
        alive &= ~(stopped | reached)
    _leave(earned, alive, side * path.close[row + last], entry, costs.slippage, costs.taker)
    tradeable = (side != 0.0) & (stop_distance >= costs.stop_min * entries.close)
    return np.where(tradeable, over(earned, stop_distance), np.nan)


def _leave(earned: Floats, where: Bools, price: Floats, entry: Floats, slippage: float, fee: float) -> None:
    """Set what was earned in units of price; prices may be turned over."""
    received = price - slippage * np.abs(price)
    net = received - entry - fee * (np.abs(received) + np.abs(entry))
    earned[where] = net[where]


def _ladder(path: Bars, entries: Entries, costs: Costs) -> Floats:
    parameters = GRID.parameters
    assert isinstance(parameters, GridParameters)
    spacing = float(parameters.target_atr) * entries.atr
    may_open = (
        (np.abs(entries.close - entries.ema200) <= parameters.centre_atr_max * entries.atr)
        & (entries.adx <= parameters.adx_max)
        & (spacing >= parameters.cost_multiple_min * 2.0 * costs.maker * entries.close)
        & (spacing > 0.0)
    )
    earned = np.full(len(entries), np.nan)
    rows = np.flatnonzero(may_open)
    ladder = _Ladder(
        entries.ema200[rows], spacing[rows], float(parameters.stop_atr) * entries.atr[rows], parameters.levels
    )
    for lag in range(1, HORIZON + 1):
        at = entries.row[rows] + lag
        ladder.pass_bar(path.high[at], path.low[at], costs)
    ladder.close(path.close[entries.row[rows] + HORIZON], costs)
    earned[rows] = ladder.earned / ladder.risk
    return earned


class _Ladder:
    """Ladders side by side, one of each entry; quantity 1 at each level.

    Both sides are kept as if they bought: prices of the upper side are turned over.
    """

    def __init__(self, centre: Floats, spacing: Floats, beyond: Floats, levels: int) -> None:
        steps = np.arange(1, levels + 1)[:, None] * spacing
        self._spacing = spacing
        self._levels = [centre - steps, -centre - steps]
        self._stops = [side[-1] - beyond for side in self._levels]
        self._open = [np.zeros(steps.shape, dtype=np.bool_) for _ in self._levels]
        self._alive = np.ones(len(centre), dtype=np.bool_)
        self.earned = np.zeros(len(centre))
        self.risk = sum((level - self._stops[0] for level in self._levels[0]), np.zeros(len(centre)))

    def pass_bar(self, high: Floats, low: Floats, costs: Costs) -> None:
        """The stop comes first, and everything on the way to it was filled; a fill takes its profit in a later bar."""
        falls, rises = (low, -high), (high, -low)
        stopped = [fall <= stop for fall, stop in zip(falls, self._stops, strict=True)]
        ends = self._alive & (stopped[0] | stopped[1])
        goes_on = self._alive & ~ends
        for side, levels in enumerate(self._levels):
            held = self._open[side]
            self._give_up(levels, ends & stopped[side], self._stops[side], costs)
            crossed = held & ends & ~stopped[side]
            taken = (held & goes_on & (rises[side] >= levels + self._spacing)) | crossed
            self._take_profit(levels, taken, costs)
            filled = ~held & goes_on & (falls[side] <= levels)
            self._open[side] = (held & goes_on & ~taken) | filled
        self._alive = goes_on

    def close(self, price: Floats, costs: Costs) -> None:
        """What is still held leaves at the market."""
        for sign, levels, held in zip((1.0, -1.0), self._levels, self._open, strict=True):
            self._give_up(levels, held, sign * price, costs)

    def _take_profit(self, levels: Floats, where: Bools, costs: Costs) -> None:
        fees = costs.maker * (2.0 * np.abs(levels) + self._spacing)
        self._earn(np.where(where, self._spacing - fees, 0.0))

    def _give_up(self, levels: Floats, where: Bools, price: Floats, costs: Costs) -> None:
        received = price - (costs.slippage + costs.taker) * np.abs(price)
        self._earn(np.where(where, received - levels - costs.maker * np.abs(levels), 0.0))

    def _earn(self, of_levels: Floats) -> None:
        for level in of_levels:
            self.earned += level
