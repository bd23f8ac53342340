"""Instruments judged on one timeframe: a row at a close, or whole recorded series at once with the same result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

import numpy as np

from nexus_common.contracts.signal import Action, JudgeMarket, RegimeReading
from nexus_common.contracts.values import Timeframe
from nexus_cortex.domain.regime import NEEDS, read_regime
from nexus_cortex.domain.signals import EXIT_OF
from nexus_cortex.domain.strategies.strategy import MarketView, Setup, Strategy, propose
from nexus_market.candles import from_millis
from nexus_market.features import FeatureColumns, blocks
from nexus_market.indicators import Bars, Bools, Ints

MAIN: Final = Timeframe.M15
_NO_ROWS: Final[Ints] = np.empty(0, dtype=np.int64)


class Readings(Protocol):
    """The regime at consecutive rows. Rows of one `number` (0 or more) say the same as far as it is recorded."""

    @property
    def number(self) -> Ints: ...

    def reading(self, row: int) -> RegimeReading:
        """What is recorded of a row."""
        ...


class ReadRegimes(Protocol):
    """Reads the regimes of all main views at once, so that a model is asked once for a whole turn.

    Each view has one row (live) or those of a block, at all of which `regime.NEEDS` are ready. The same row must
    give the same reading in either, whatever stands beside it.
    """

    def __call__(self, views: Sequence[MarketView]) -> Sequence[Readings]: ...


def by_rules(views: Sequence[MarketView]) -> Sequence[Readings]:
    """The regimes that the rules read."""
    return [read_regime(view.bars, view.macro) for view in views]


class ViewOf(Protocol):
    """Makes the view of one instrument around rows of one of its timeframes."""

    def __call__(self, bars: FeatureColumns) -> MarketView: ...


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
class RegimeRows:
    """The regime of the rows from `first` on."""

    first: int
    readings: Readings


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Everything that the rows of one instrument and timeframe say.

    `regime` is None on other timeframes than the main one, and while all rows are warming up.
    """

    view: MarketView
    regime: RegimeRows | None
    evaluated: tuple[Evaluated, ...]

    def reading(self, row: int) -> RegimeReading | None:
        if self.regime is None or row < self.regime.first:
            return None
        return self.regime.readings.reading(row - self.regime.first)

    def command(self, row: int, at: datetime, choice: Choice) -> JudgeMarket | None:
        """What is to be decided of a row; None: nothing."""
        reading = self.reading(row)
        proposals = tuple(
            propose(each.strategy, setup, each.view, row - each.first)
            for each in self.evaluated
            for setup in each.setups
            if row >= each.first and setup.trigger[row - each.first]
        )
        if reading is None and not proposals:
            return None
        return JudgeMarket(
            at=at,
            venue=self.view.venue,
            symbol=self.view.symbol,
            candle_close=from_millis(int(self.view.bars.close_time()[row])),
            reading=reading,
            proposals=proposals,
            auto=choice.auto,
            by_hand=choice.by_hand,
            timeframe=self.view.bars.timeframe,
        )


def evaluate(
    views: Sequence[MarketView],
    timeframe: Timeframe,
    strategies: Sequence[Strategy],
    read_regimes: ReadRegimes = by_rules,
) -> list[Evaluation]:
    """Judge the rows of views of one timeframe by the strategies that run on it; one evaluation for each view."""
    regimes = _regimes(views, read_regimes) if timeframe is MAIN else [None] * len(views)
    here = [strategy for strategy in strategies if strategy.timeframe is timeframe]
    return [
        Evaluation(view, regime, _evaluated(view, here)) for view, regime in zip(views, regimes, strict=True)
    ]


def _regimes(views: Sequence[MarketView], read_regimes: ReadRegimes) -> list[RegimeRows | None]:
    firsts = [view.bars.first_ready(NEEDS) for view in views]
    ready = [view.since(first) for view, first in zip(views, firsts, strict=True) if first < len(view.bars)]
    readings = iter(read_regimes(ready) if ready else ())
    return [
        RegimeRows(first, next(readings)) if first < len(view.bars) else None
        for view, first in zip(views, firsts, strict=True)
    ]


def _evaluated(view: MarketView, strategies: Sequence[Strategy]) -> tuple[Evaluated, ...]:
    evaluated = []
    for strategy in strategies:
        first = view.bars.first_ready(strategy.needs, strategy.lag)
        if first < len(view.bars):
            since = view.since(first)
            evaluated.append(Evaluated(strategy, first, since, strategy.setups(since)))
    return tuple(evaluated)


class SeriesScan:
    """The whole recorded series of one instrument and timeframe, judged block by block.

    `closes` (milliseconds) are the only closes at which anything can come of `JudgeMarket`: an entry's trigger
    held, an exit behind an entry, or the regime changed. All others may be skipped. The first close at or after
    `since` at which the regime is ready is among them, since whoever begins there has no regime yet.
    """

    def __init__(
        self,
        series: Bars,
        timeframe: Timeframe,
        view_of: ViewOf,
        strategies: Sequence[Strategy],
        choice: Choice,
        since: int = 0,
        read_regimes: ReadRegimes = by_rules,
    ) -> None:
        self._since = since
        self._choice = choice
        self._at: dict[int, tuple[Evaluation, int]] = {}
        # Strategies and exits of which an entry may have been raised that was not left yet.
        self._entered: set[tuple[str, Action]] = set()
        previous = -1
        for columns in blocks(series, timeframe):
            (evaluation,) = evaluate([view_of(columns)], timeframe, strategies, read_regimes)
            previous = self._note(evaluation, previous)
        self.closes: Ints = np.array(list(self._at), dtype=np.int64)

    def command(self, close: int) -> JudgeMarket | None:
        """The command of one of `closes`, as the row path would make it."""
        evaluation, row = self._at[close]
        return evaluation.command(row, from_millis(close), self._choice)

    def __contains__(self, close: int) -> bool:
        return close in self._at

    def _note(self, evaluation: Evaluation, previous: int) -> int:
        """Keep the rows that matter; the number of the last row's regime is that of the row before the next block."""
        closes = evaluation.view.bars.close_time()
        begin = int(np.searchsorted(closes, self._since))
        wanted = self._triggers(evaluation)
        if evaluation.regime is not None:
            first = max(begin, evaluation.regime.first)
            number = evaluation.regime.readings.number[first - evaluation.regime.first :]
            wanted[first:] |= np.diff(number, prepend=previous) != 0
            previous = int(number[-1]) if len(number) else previous
        for row in (begin + np.flatnonzero(wanted[begin:])).tolist():
            self._at[int(closes[row])] = (evaluation, row)
        return previous

    def _triggers(self, evaluation: Evaluation) -> Bools:
        """For each row whether anything can come of a trigger: of exits only of the first behind a possible entry."""
        held = np.zeros(len(evaluation.view.bars), dtype=np.bool_)
        for each in evaluation.evaluated:
            rows = {setup.action: each.first + np.flatnonzero(setup.trigger) for setup in each.setups}
            possible = {
                setup.action: each.first + np.flatnonzero(_all_hold(setup))
                for setup in each.setups
                if setup.action in EXIT_OF
            }
            for entry, leave in EXIT_OF.items():
                held[rows.get(entry, _NO_ROWS)] = True
                exits, entries = rows.get(leave, _NO_ROWS), possible.get(entry, _NO_ROWS)
                held[self._leaving((each.strategy.name, leave), exits, entries)] = True
        return held

    def _leaving(self, leave: tuple[str, Action], exits: Ints, entries: Ints) -> Ints:
        """The exits before which something may have been entered since the one before them.

        At one close exits come before entries.
        """
        before = -1 if leave in self._entered else 0
        behind = np.searchsorted(entries, exits)
        earlier = np.concatenate([[before], behind])
        if len(entries) > earlier[-1]:
            self._entered.add(leave)
        else:
            self._entered.discard(leave)
        return exits[behind > earlier[:-1]]


def _all_hold(setup: Setup) -> Bools:
    held = setup.trigger
    for rule in setup.rules:
        held = held & rule.holds
    return held
