"""Which recorded series a model learns from: every span of an instrument once, the longest series first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nexus_common.contracts.values import Symbol, Timeframe
from nexus_common.runtime.errors import ConfigurationError
from nexus_data.data_directory import DataDirectory, Stretch, venue_of_folder

# Whatever 15m bars can be folded from.
INTERVALS = (Timeframe.M1, Timeframe.M5, Timeframe.M15)


@dataclass(frozen=True, slots=True)
class Recording:
    symbol: Symbol
    stretch: Stretch


def choose_recordings(
    data: DataDirectory, symbols: Sequence[Symbol] | None, venue: str | None
) -> tuple[list[Recording], list[str]]:
    """The series to learn from, and notes on those left alone. Without symbols: all crypto of the directory.

    Several venues record one market: of series that overlap only the longest is taken, of equal ones that of the
    venue asked first.

    Raises:
        ConfigurationError: no such symbol or venue, or nothing of it can be used.
    """
    chosen: list[Recording] = []
    notes: list[str] = []
    for symbol in symbols or _crypto(data):
        taken = _without_overlap(data.stretches(symbol, INTERVALS, venue))
        if not taken and symbols:
            raise ConfigurationError(f"{symbol} has no bars of 15m or finer: leave it out")
        chosen += [Recording(symbol, stretch) for stretch in taken]
        left = {f.name(data.path) for f in data.files_of(symbol)}
        left -= {f.name(data.path) for stretch in taken for f in stretch.files}
        if left:
            notes.append(f"{symbol}: left alone {', '.join(sorted(left))}")
    if not chosen:
        raise ConfigurationError(f"{data.path} holds no crypto bars of 15m or finer: name what to learn from")
    return chosen, notes


def _crypto(data: DataDirectory) -> list[Symbol]:
    return sorted({file.symbol for file in data.files if venue_of_folder(file.folder).is_crypto})


def _without_overlap(stretches: Sequence[Stretch]) -> list[Stretch]:
    """`sorted` is stable, so that the venue asked first wins between equals."""
    taken: list[Stretch] = []
    for stretch in sorted(stretches, key=lambda each: each.first_open - each.last_close):
        if all(
            stretch.last_close <= other.first_open or other.last_close <= stretch.first_open
            for other in taken
        ):
            taken.append(stretch)
    return sorted(taken, key=lambda each: each.first_open)
