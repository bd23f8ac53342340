"""Rows to learn from: the features of 15m closes, what each family earned from there, and what the rules said."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from nexus_common.contracts.values import Symbol, Timeframe, Venue
from nexus_cortex.domain.model_features import FEATURES, first_ready, matrix
from nexus_cortex.domain.outcomes import FAMILIES, HORIZON, Entries, costs_of, labels, outcomes
from nexus_cortex.domain.regime import READINGS, macro_trend_of, read_regime
from nexus_cortex.domain.sangria import Mood
from nexus_cortex.domain.strategies.shark import SHARK_TARGETS
from nexus_cortex.domain.strategies.strategy import MarketView
from nexus_data.data_directory import venue_of_folder
from nexus_data.side_series import read_macro
from nexus_market.candles import Series, fold, from_millis, to_millis
from nexus_market.features import FeatureColumns, blocks
from nexus_market.indicators import Bars, Bools, Floats, Ints
from nexus_ops.training.recordings import Recording

_FAMILY_OF_RULE = np.array([FAMILIES.index(reading.strategy) for reading in READINGS])
_FIRST = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Dataset:
    """One row for each close whose outcome is known, oldest first; times in milliseconds.

    `features` are rows by `FEATURES`, `earned` rows by `FAMILIES` (R net, NaN: not traded), `label` numbers in
    `CLASSES`, `rules` numbers in `FAMILIES`, `known_at` when the last bar of the outcome closed, `instrument`
    numbers in `symbols`. `unusable` closes were left out because a feature is no number.
    """

    symbols: tuple[Symbol, ...]
    features: Floats
    earned: Floats
    label: Ints
    rules: Ints
    time: Ints
    known_at: Ints
    instrument: Ints
    unusable: int = 0

    def __len__(self) -> int:
        return len(self.time)


@dataclass(frozen=True, slots=True)
class Span:
    """Closes after `start` whose outcome is known by `end`."""

    start: datetime | None = None
    end: datetime | None = None

    def holds(self, times: Ints, known_at: Ints) -> Bools:
        held = np.ones(len(times), dtype=np.bool_)
        if self.start is not None:
            held &= times > to_millis(self.start)
        if self.end is not None:
            held &= known_at <= to_millis(self.end)
        return held


def build_dataset(
    directory: Path,
    recordings: Sequence[Recording],
    span: Span,
    advance: Callable[[int], None] = lambda done: None,
) -> Dataset:
    """Every series judged block by block, as a backtest judges it. `advance` hears how many are done."""
    mood = recorded_mood(directory, recordings)
    symbols = tuple(sorted({recording.symbol for recording in recordings}))
    parts = []
    for done, recording in enumerate(recordings, start=1):
        stretch = recording.stretch
        part = rows_of(recording.symbol, venue_of_folder(stretch.folder), stretch.read(), mood, span)
        parts.append((symbols.index(recording.symbol), part))
        advance(done)
    return _joined(symbols, parts)


def recorded_mood(directory: Path, recordings: Sequence[Recording]) -> Mood:
    """What was known of the whole market; it is asked as of each close, so later readings are not seen."""
    mood = Mood()
    last = max(recording.stretch.last_close for recording in recordings)
    for reading in read_macro(directory, _FIRST, from_millis(last)):
        mood.hear_macro(reading)
    return mood


@dataclass(frozen=True, slots=True)
class Rows:
    """A dataset's columns of one series."""

    features: Floats
    earned: Floats
    rules: Ints
    time: Ints
    known_at: Ints


def rows_of(symbol: Symbol, venue: Venue, base: Series, mood: Mood, span: Span) -> Rows:
    """The rows of one series of bars of 15m or finer, features that are no number included."""
    until = int(base.close_time[-1])
    bars = Bars.of_series(fold(base, Timeframe.M15, until))
    macro = macro_trend_of(Bars.of_series(fold(base, Timeframe.H4, until)))
    target = venue.is_crypto and symbol in SHARK_TARGETS
    parts = [
        _block(columns, first, bars, MarketView(columns, macro, mood, venue, target), span)
        for columns, first in _placed(blocks(bars, Timeframe.M15))
    ]
    found = [part for part in parts if part is not None]
    if not found:
        return _NO_ROWS
    return Rows(*(np.concatenate([getattr(part, name) for part in found]) for name in Rows.__slots__))


_NO_ROWS = Rows(
    np.empty((0, len(FEATURES))),
    np.empty((0, len(FAMILIES))),
    *(np.empty(0, np.int64) for _ in range(3)),
)


def _placed(parts: Sequence[FeatureColumns]) -> Iterator[tuple[FeatureColumns, int]]:
    first = 0
    for columns in parts:
        yield columns, first
        first += len(columns)


def _block(columns: FeatureColumns, first: int, bars: Bars, view: MarketView, span: Span) -> Rows | None:
    """The rows of a block that are ready and lie in the span; `first` is where it begins in the series."""
    close = bars.open_time + Timeframe.M15.seconds * 1_000
    last = min(len(columns), len(bars) - HORIZON - first)
    begin = first_ready(columns)
    if begin >= last:
        return None
    ready = view.since(begin)
    rows = first + np.arange(begin, last)
    kept = np.flatnonzero(span.holds(close[rows], close[rows + HORIZON]))
    if not len(kept):
        return None
    entries = Entries.of(ready.bars, first + begin).take(kept)
    return Rows(
        matrix(ready)[kept],
        outcomes(bars, entries, costs_of(view.venue), view.is_shark_target),
        _FAMILY_OF_RULE[read_regime(ready.bars, view.macro).number[kept]],
        close[rows][kept],
        close[rows + HORIZON][kept],
    )


def _joined(symbols: tuple[Symbol, ...], parts: Sequence[tuple[int, Rows]]) -> Dataset:
    """All rows in order of time, of one instant in order of instrument; those that cannot be used left out."""
    columns = {name: np.concatenate([getattr(rows, name) for _, rows in parts]) for name in Rows.__slots__}
    instrument = np.concatenate([np.full(len(rows.time), number) for number, rows in parts])
    usable = np.isfinite(columns["features"]).all(axis=1)
    order = np.lexsort((instrument, columns["time"]))
    order = order[usable[order]]
    kept = {name: column[order] for name, column in columns.items()}
    return Dataset(
        symbols,
        **kept,
        label=labels(kept["earned"]),
        instrument=instrument[order],
        unusable=int((~usable).sum()),
    )
