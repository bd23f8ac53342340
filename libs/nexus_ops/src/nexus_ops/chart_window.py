"""What a chart of a signal shows: its candles and figures from some bars before it to some behind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from nexus_common.contracts.signal import SignalRaised
from nexus_common.contracts.values import Symbol
from nexus_cortex.domain.strategies.strategy import Strategy
from nexus_data.playback import PlayedMarket
from nexus_market.candles import to_millis
from nexus_market.features import HISTORY_BARS, FeatureColumns
from nexus_market.indicators import Bars, Floats

BEFORE: Final = 70
BEHIND: Final = 30


@dataclass(frozen=True, slots=True)
class Window:
    """Candles around a signal; `row` is the signal's own. `lines` are features by name, NaN where not ready."""

    signal: SignalRaised
    strategy: Strategy
    bars: Bars
    row: int
    lines: Mapping[str, Floats]


def first_of_each(signals: Iterable[SignalRaised], count: int) -> list[SignalRaised]:
    """The first entries of every strategy, in the order in which they come."""
    seen: dict[str, int] = {}
    found = []
    for signal in signals:
        if signal.action.is_entry and seen.get(signal.strategy, 0) < count:
            seen[signal.strategy] = seen.get(signal.strategy, 0) + 1
            found.append(signal)
    return found


def windows_of(
    market: PlayedMarket, signals: Sequence[SignalRaised], table: Mapping[str, Strategy]
) -> list[Window]:
    """The window of each signal of a market."""
    return [_window(market, signal, table[signal.strategy]) for signal in signals]


def _window(market: PlayedMarket, signal: SignalRaised, strategy: Strategy) -> Window:
    bars = _bars(market, signal)
    row = int(np.searchsorted(bars.open_time, to_millis(signal.candle_close - signal.timeframe.duration)))
    first, last = max(0, row - BEFORE), min(len(bars), row + BEHIND + 1)
    origin = max(0, first - HISTORY_BARS)
    columns = FeatureColumns(bars[origin:last], first - origin, signal.timeframe)
    return Window(
        signal,
        strategy,
        bars[first:last],
        row - first,
        {name: np.where(columns.ready(name), columns.column(name), np.nan) for name in strategy.needs},
    )


def _bars(market: PlayedMarket, signal: SignalRaised) -> Bars:
    symbol, timeframe = Symbol(signal.symbol), signal.timeframe
    return Bars.of_series(market.warm_series(symbol, timeframe).followed_by(market.series(symbol, timeframe)))
