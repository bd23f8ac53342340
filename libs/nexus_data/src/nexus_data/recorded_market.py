"""A market played from a data directory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from nexus_common.contracts.values import Symbol, Venue
from nexus_common.runtime.errors import ConfigurationError
from nexus_data.data_directory import (
    SPOT,
    DataDirectory,
    Stretch,
    check_span,
    left_alone,
    venue_of_folder,
)
from nexus_data.playback import Listing, PlayedMarket
from nexus_data.side_series import funding_file, read_funding, read_macro
from nexus_market.candles import from_millis


class RecordedMarket(PlayedMarket):
    """The bars of `symbols` opening from `start` up to, not including, `end`; those before warm up.

    Without a start or an end, the span that all symbols have in common. `venue` (a folder of `ohlcv/`, or
    binance, bybit, alpaca) is asked first. `played_as` is the crypto venue that stands for all that crypto was
    recorded at.

    Raises:
        ConfigurationError: the directory, a symbol, the span or a file cannot be used; says which and why.
    """

    def __init__(
        self,
        directory: Path,
        symbols: Sequence[Symbol],
        start: datetime | None = None,
        end: datetime | None = None,
        venue: str | None = None,
        played_as: Venue | None = None,
    ) -> None:
        check_span(start, end)
        _check_symbols(symbols)
        data = DataDirectory(Path(directory))
        chosen = {symbol: data.stretch_for(symbol, start, end, venue) for symbol in symbols}
        start, end = _common_span(chosen, start, end)
        funding = {
            symbol: read_funding(path, start, end)
            for symbol, stretch in chosen.items()
            if (path := funding_file(data.path, stretch.folder, symbol)).is_file()
        }
        super().__init__(
            _listings(data, chosen, played_as),
            start,
            end,
            notes=[
                *_notes(data, chosen, [symbol for symbol in chosen if symbol not in funding], start),
                *_moved(chosen, played_as),
            ],
            funding=funding,
            macro=read_macro(data.path, start, end),
        )


def _check_symbols(symbols: Sequence[Symbol]) -> None:
    if not symbols:
        raise ConfigurationError("no symbols were given: name at least one, such as BTCUSDT")
    twice = sorted({symbol for symbol in symbols if list(symbols).count(symbol) > 1})
    if twice:
        raise ConfigurationError(f"{', '.join(twice)} was given twice: name each symbol once")


def _listings(
    data: DataDirectory, chosen: Mapping[Symbol, Stretch], played_as: Venue | None
) -> Iterator[Listing]:
    for symbol, stretch in chosen.items():
        yield Listing(symbol, _venue(stretch, played_as), stretch.source(data.path), stretch.read())


def _venue(stretch: Stretch, played_as: Venue | None) -> Venue:
    recorded = venue_of_folder(stretch.folder)
    return played_as if played_as is not None and recorded.is_crypto else recorded


def _moved(chosen: Mapping[Symbol, Stretch], played_as: Venue | None) -> list[str]:
    moved = [symbol for symbol, s in chosen.items() if _venue(s, played_as) is not venue_of_folder(s.folder)]
    return [f"played as {played_as}'s, though recorded elsewhere: {', '.join(moved)}"] if moved else []


def _common_span(
    chosen: Mapping[Symbol, Stretch], start: datetime | None, end: datetime | None
) -> tuple[datetime, datetime]:
    if start is None:
        start = from_millis(max(stretch.first_open for stretch in chosen.values()))
    if end is None:
        end = from_millis(min(stretch.last_close for stretch in chosen.values()))
    if start >= end:
        spans = "; ".join(f"{symbol}: {stretch}" for symbol, stretch in chosen.items())
        raise ConfigurationError(
            f"the symbols have no span in common ({spans}): give a start and an end, or other symbols"
        )
    return start, end


def _notes(
    data: DataDirectory, chosen: Mapping[Symbol, Stretch], unfunded: Sequence[Symbol], start: datetime
) -> list[str]:
    notes = []
    for symbol, stretch in chosen.items():
        if stretch.folder == SPOT:
            notes.append(f"{symbol}: the spot market (binance_spot) stands in for the perpetual")
        if from_millis(stretch.first_open) >= start:
            notes.append(f"{symbol}: no bars before the start, so it warms up while it plays")
        others = left_alone(data.path, data.files_of(symbol), stretch)
        if others:
            notes.append(others)
    perpetuals = [symbol for symbol in unfunded if venue_of_folder(chosen[symbol].folder).is_crypto]
    if perpetuals:
        notes.append(f"no funding rates are recorded for {', '.join(perpetuals)}: none are charged")
    return notes
