"""All candles of one venue: every series in order, bundled by instant, folded and checked against folds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import assert_never

from nexus_common.contracts.feed import FoldDiffers, GapFilled, GapFound, PriceDoubted
from nexus_common.contracts.market import Bar, CandleCorrected, CandlesClosed
from nexus_common.contracts.values import Symbol, Timeframe
from nexus_ingest.domain.candle_bundles import PARTITION, CandleBundles
from nexus_ingest.domain.candle_news import REST, Corrected, Surplus, Told, Unconfirmed
from nexus_ingest.domain.candle_truth import SeriesTruth
from nexus_ingest.domain.folds import FoldCheck, Folded, Folds
from nexus_ingest.domain.liveness import Refusals
from nexus_ingest.domain.watch_rules import Series, WatchedVenue, WatchRules
from nexus_ingest.domain.watch_state import (
    BundlesState,
    CandlesState,
    CheckState,
    FoldedState,
    FoldsState,
    SeriesState,
    kept,
    recall,
)
from nexus_ingest.domain.watching import Answered, Ask, AskBars, Noted, Output, Unanswered
from nexus_market.candles import from_millis, slot_millis

_HIGHER = tuple(timeframe for timeframe in Timeframe if timeframe is not Timeframe.M1)
_FOLDED_KEPT = 128


class _FoldedSeries:
    """The folded candles of one instrument that were passed as its own."""

    def __init__(self, known: Mapping[Timeframe, int]) -> None:
        self._until = dict(known)
        self._passed: dict[tuple[Timeframe, int], Bar] = {}

    def is_next(self, timeframe: Timeframe, bar: Bar) -> bool:
        """Whether it has not been told before, in this run or an earlier one."""
        if bar.open_time <= self._until.get(timeframe, -1):
            return False
        self._until[timeframe] = bar.open_time
        self._passed[timeframe, bar.open_time] = bar
        if len(self._passed) > _FOLDED_KEPT:
            del self._passed[next(iter(self._passed))]
        return True

    def correct(self, timeframe: Timeframe, bar: Bar) -> Bar | None:
        """What it was, if it says something else now."""
        was = self._passed.get((timeframe, bar.open_time))
        if was is None or was == bar:
            return None
        self._passed[timeframe, bar.open_time] = bar
        return was


class VenueCandles:
    """Owns the venue's series; appends what has to be done to the list of outputs it is given."""

    def __init__(
        self, watched: WatchedVenue, rules: WatchRules, known: Mapping[Series, int], refusals: Refusals
    ) -> None:
        self._venue = watched.venue
        self._watched = watched
        self._refusals = refusals
        self._bundles = CandleBundles(watched.venue, watched.symbols, rules)
        self._asking: set[SeriesTruth] = set()
        self.truths = {
            (symbol, timeframe): self._truth(symbol, timeframe, rules, known)
            for symbol in watched.symbols
            for timeframe in watched.streamed
        }
        self._folds = {symbol: Folds(_HIGHER) for symbol in watched.symbols}
        self._checks = {symbol: FoldCheck(watched.venue, symbol) for symbol in watched.symbols}
        self._folded = {
            symbol: _FoldedSeries(_known_folds(watched, symbol, known)) for symbol in watched.symbols
        }
        for (symbol, timeframe), truth in self.truths.items():
            if timeframe is Timeframe.M1 and truth.next_open is not None:
                self._folds[symbol].begin(truth.next_open)

    def _truth(
        self, symbol: Symbol, timeframe: Timeframe, rules: WatchRules, known: Mapping[Series, int]
    ) -> SeriesTruth:
        series = Series(self._venue, symbol, timeframe)
        longest = slot_millis(self._watched.folded[-1]) if self._watched.folded else 0
        return SeriesTruth(
            series,
            rules,
            known=known.get(series),
            has_sessions=self._watched.has_sessions,
            look_back_to=longest if timeframe is Timeframe.M1 else 0,
        )

    def state(self) -> CandlesState:
        folds = {
            symbol: (
                kept(self._folds[symbol], FoldsState),
                kept(self._checks[symbol], CheckState),
                kept(self._folded[symbol], FoldedState),
            )
            for symbol in self._folds
        }
        series = {key: kept(truth, SeriesState) for key, truth in self.truths.items()}
        return CandlesState(kept(self._bundles, BundlesState), series, folds)

    def recall(self, state: CandlesState) -> None:
        recall(self._bundles, state.bundles)
        for key, series in state.series.items():
            recall(self.truths[key], series)
        self._asking = {truth for truth in self.truths.values() if truth.is_asking}
        for symbol, (folds, check, folded) in state.folds.items():
            recall(self._folds[symbol], folds)
            recall(self._checks[symbol], check)
            recall(self._folded[symbol], folded)

    @property
    def due_at(self) -> int:
        """When candles have to leave (ms); far away when none wait."""
        return self._bundles.due_at

    @property
    def blocks(self) -> bool:
        """Whether a break is still being repaired."""
        return any(truth.blocks for truth in self.truths.values())

    @property
    def unchecked(self) -> bool:
        """Whether a break is not repaired, though it may no longer keep the feed down."""
        return any(truth.is_unchecked for truth in self.truths.values())

    # -- what happens ---------------------------------------------------------------------------------

    def closed(self, truth: SeriesTruth, bar: Bar, now: int, out: list[Output]) -> None:
        self._take(truth, truth.heard(bar, now), now, out, repaired=False)

    def reconnected(self, truths: Iterator[SeriesTruth], now: int, out: list[Output]) -> None:
        for truth in truths:
            self._take(truth, truth.reconnected(now), now, out, repaired=True)

    def answered(self, answer: Answered, now: int, out: list[Output]) -> None:
        truth = self.truths.get((answer.ask.symbol, answer.ask.timeframe))
        if truth is None:
            return
        if truth.series.timeframe is Timeframe.M1:
            if truth.next_open is not None:
                self._folds[answer.ask.symbol].begin(truth.next_open)
            self._folds[answer.ask.symbol].remember(answer.ask.first, answer.bars)
        self._take(truth, truth.answered(answer.ask, answer.bars, now), now, out, repaired=True)

    def unanswered(self, failure: Unanswered, now: int, out: list[Output]) -> None:
        truth = self.truths.get((failure.ask.symbol, failure.ask.timeframe))
        if truth is not None:
            self._take(truth, truth.unanswered(failure.ask, now), now, out, repaired=True)

    def due(self, now: int, silence_ms: int, out: list[Output]) -> None:
        for truth in self.truths.values():
            told = truth.due(now, silence_ms)
            if told:
                self._take(truth, told, now, out, repaired=True)

    def flush(self, now: int) -> list[CandlesClosed]:
        """What has waited long enough; repaired candles wait for the last answer only."""
        if not self._asking:
            self._bundles.hurry(now)
        return self._bundles.flush(now)

    # -- what is told ---------------------------------------------------------------------------------

    def _take(
        self, truth: SeriesTruth, told: Sequence[Told], now: int, out: list[Output], *, repaired: bool
    ) -> None:
        for each in told:
            match each:
                case Bar():
                    self._pass(truth.series, each, now, out, repaired=repaired)
                case AskBars():
                    out.append(Ask(self._venue, each))
                case GapFound() | GapFilled():
                    out.append(Noted(self._venue, each, from_millis(now)))
                case Corrected():
                    self._correct(truth.series, each, now, out)
                case Unconfirmed():
                    out.append(Noted(self._venue, self._doubt(truth.series, each, now), from_millis(now)))
                case Surplus():
                    self._refusals.count("candle of a slot passed over as never traded", str(each.bar), now)
                case _:
                    assert_never(each)
        if truth.is_asking:
            self._asking.add(truth)
        else:
            self._asking.discard(truth)
        if truth.series.timeframe is Timeframe.M1 and truth.next_open is not None:
            folded = self._folds[truth.series.symbol].pass_time(truth.next_open)
            self._take_folds(truth.series.symbol, folded, now, out, repaired=repaired)

    def _pass(self, series: Series, bar: Bar, now: int, out: list[Output], *, repaired: bool) -> None:
        _, symbol, timeframe = series
        self._bundles.add(symbol, timeframe, bar, now, repaired=repaired)
        if timeframe is Timeframe.M1:
            self._take_folds(symbol, self._folds[symbol].add(bar), now, out, repaired=repaired)
        else:
            self._note_difference(self._checks[symbol].tell(timeframe, bar), now, out)

    def _take_folds(
        self, symbol: Symbol, folded: Sequence[Folded], now: int, out: list[Output], *, repaired: bool
    ) -> None:
        for timeframe, bar in folded:
            if timeframe in self._watched.streamed:
                self._note_difference(self._checks[symbol].fold(timeframe, bar), now, out)
            elif self._folded[symbol].is_next(timeframe, bar):
                self._bundles.add(symbol, timeframe, bar, now, repaired=repaired)

    def _note_difference(self, difference: FoldDiffers | None, now: int, out: list[Output]) -> None:
        if difference is not None:
            out.append(Noted(self._venue, difference, from_millis(now)))

    def _correct(self, series: Series, corrected: Corrected, now: int, out: list[Output]) -> None:
        self._tell_correction(series.symbol, series.timeframe, corrected, now, out)
        if series.timeframe is not Timeframe.M1:
            return
        for timeframe, bar in self._folds[series.symbol].correct(corrected.now):
            was = self._folded[series.symbol].correct(timeframe, bar)
            if was is not None:
                folded = Corrected(was, bar, corrected.source)
                self._tell_correction(series.symbol, timeframe, folded, now, out)

    def _tell_correction(
        self, symbol: Symbol, timeframe: Timeframe, corrected: Corrected, now: int, out: list[Output]
    ) -> None:
        """A candle that has not left yet leaves as it is now: nobody could correct what he has not heard."""
        if self._bundles.replace(symbol, timeframe, corrected.now):
            return
        correction = CandleCorrected(
            venue=self._venue,
            partition=PARTITION,
            symbol=symbol,
            timeframe=timeframe,
            was=corrected.was,
            now=corrected.now,
            source=corrected.source,
            at=from_millis(now),
        )
        out.append(correction)

    def _doubt(self, series: Series, unconfirmed: Unconfirmed, now: int) -> PriceDoubted:
        return PriceDoubted(
            venue=self._venue,
            symbol=series.symbol,
            price=unconfirmed.told.close,
            reference=unconfirmed.confirmed.close,
            reason=f"{series.timeframe} candle is another one by {REST}",
            witness=None,
            witness_price=None,
            at=from_millis(now),
        )


def _known_folds(watched: WatchedVenue, symbol: Symbol, known: Mapping[Series, int]) -> dict[Timeframe, int]:
    series = {timeframe: Series(watched.venue, symbol, timeframe) for timeframe in watched.folded}
    return {timeframe: known[each] for timeframe, each in series.items() if each in known}
