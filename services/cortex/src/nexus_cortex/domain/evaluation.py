"""One instrument judged: a row at a close, or whole recorded series at once with the same result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from nexus_common.contracts.signal import JudgeMarket
from nexus_common.contracts.values import Symbol, Timeframe, Venue
from nexus_cortex.domain.regime import NEEDS, RegimeColumns, macro_trend_of, read_regime
from nexus_cortex.domain.sangria import Mood
from nexus_cortex.domain.strategies.strategy import MarketView, Setup, Strategy, propose
from nexus_market.candles import from_millis
from nexus_market.features import FeatureColumns, blocks
from nexus_market.indicators import Bars, Bools, Ints


@dataclass(frozen=True, slots=True)
class Choice:
    """Which strategies are wanted: those the regime calls for (`auto`), and some by hand."""

    auto: bool
    by_hand: tuple[str, ...] = ()

    def of(self, table: Mapping[str, Strategy]) -> list[Strategy]:
        """The strategies to evaluate, in the order of the table."""
        return [strategy for name, strategy in table.items() if self.auto or name in self.by_hand]


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A strategy's setups over the rows from `first` on; before it the strategy is warming up."""

    strategy: Strategy
    first: int
    view: MarketView
    setups: tuple[Setup, ...]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Everything that the rows of one instrument say. Rows before `first` are warming up."""

    view: MarketView
    first: int
    regime: RegimeColumns
    evaluated: tuple[Evaluated, ...]

    def triggers(self) -> Bools:
        """For each row whether any strategy's trigger held."""
        held = np.zeros(len(self.view.bars), dtype=np.bool_)
        for each in self.evaluated:
            for setup in each.setups:
                held[each.first :] |= setup.trigger
        return held

    def command(self, symbol: Symbol, row: int, at: datetime, choice: Choice) -> JudgeMarket:
        """What is to be decided of a row that is not warming up."""
        return JudgeMarket(
            at=at,
            venue=self.view.venue,
            symbol=symbol,
            candle_close=from_millis(int(self.view.bars.close_time()[row])),
            reading=self.regime.reading(row - self.first),
            proposals=tuple(
                propose(each.strategy, setup, each.view, row - each.first)
                for each in self.evaluated
                for setup in each.setups
                if row >= each.first and setup.trigger[row - each.first]
            ),
            auto=choice.auto,
            by_hand=choice.by_hand,
        )


def evaluate(view: MarketView, strategies: Sequence[Strategy]) -> Evaluation | None:
    """Judge the rows of a view; None while all of them are warming up."""
    first = view.bars.first_ready(NEEDS)
    if first == len(view.bars):
        return None
    evaluated = []
    for strategy in strategies:
        ready = max(first, view.bars.first_ready(strategy.needs, strategy.lag))
        if ready < len(view.bars):
            since = view.since(ready)
            evaluated.append(Evaluated(strategy, ready, since, strategy.setups(since)))
    regime = read_regime(view.bars.since(first), view.macro)
    return Evaluation(view, first, regime, tuple(evaluated))


class SeriesScan:
    """Whole recorded series of one instrument, judged block by block.

    `closes` (milliseconds) are the only closes at which anything can come of `JudgeMarket`: a trigger held,
    or the regime changed. All others may be skipped. The first close at or after `since` that is not warming
    up is among them, since whoever begins there has no regime yet.
    """

    def __init__(
        self,
        venue: Venue,
        symbol: Symbol,
        main: Bars,
        macro: Bars,
        mood: Mood,
        table: Mapping[str, Strategy],
        choice: Choice,
        is_shark_target: bool,
        since: int = 0,
    ) -> None:
        self.symbol = symbol
        self._since = since
        self._choice = choice
        self._at: dict[int, tuple[Evaluation, int]] = {}
        direction = macro_trend_of(macro)
        strategies = choice.of(table)
        previous = -1
        for columns in blocks(main, Timeframe.M15):
            view = MarketView(columns, direction, mood, venue, is_shark_target)
            evaluation = evaluate(view, strategies)
            if evaluation is not None:
                previous = self._note(evaluation, columns, previous)
        self.closes: Ints = np.array(list(self._at), dtype=np.int64)

    def command(self, close: int) -> JudgeMarket:
        """The command of one of `closes`, as the row path would make it."""
        evaluation, row = self._at[close]
        return evaluation.command(self.symbol, row, from_millis(close), self._choice)

    def __contains__(self, close: int) -> bool:
        return close in self._at

    def _note(self, evaluation: Evaluation, columns: FeatureColumns, previous: int) -> int:
        closes = columns.close_time()
        begin = max(evaluation.first, int(np.searchsorted(closes, self._since)))
        number = evaluation.regime.number[begin - evaluation.first :]
        if not len(number):
            return previous
        wanted = evaluation.triggers()[begin:] | (np.diff(number, prepend=previous) != 0)
        for row in (begin + np.flatnonzero(wanted)).tolist():
            self._at[int(closes[row])] = (evaluation, row)
        return int(number[-1])
