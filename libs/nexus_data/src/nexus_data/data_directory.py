"""Which file of a data directory stands for which instrument.

Layout: `ohlcv/<venue>/<SYMBOL>-<interval>[.<span>].parquet`, `funding/<venue>/<SYMBOL>.parquet`,
`sentiment/*.csv`. One base series (1m or 5m) plays a symbol; every other file is named and left alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from nexus_common.contracts.values import Symbol, Timeframe, Venue
from nexus_common.runtime.errors import ConfigurationError
from nexus_data.bar_file import read_bars, read_span
from nexus_market.candles import Series, from_millis, slot_millis, to_millis

BASES = (Timeframe.M1, Timeframe.M5)
# A spot market stands in for a perpetual only where no other has the span.
VENUE_ORDER = ("binance_um", "bybit_linear", "us", "binance_spot")
SPOT = "binance_spot"
_ALIASES = {"binance": "binance_um", "bybit": "bybit_linear", "alpaca": "us"}
_FILE_NAME = re.compile(r"(?P<symbol>[^-]+)-(?P<interval>\d+[smhdwM])(?:\.(?P<span>.+))?\.parquet")
# Two files of a series go on as one if no more than this is missing between them. The same slack is given at
# both ends of a stock's series: nights, weekends and holidays have no bars.
_JOIN = {True: timedelta(days=1), False: timedelta(days=4)}


def venue_of_folder(folder: str) -> Venue:
    return {"us": Venue.ALPACA, "bybit_linear": Venue.BYBIT}.get(folder, Venue.BINANCE)


@dataclass(frozen=True, slots=True)
class BarFile:
    """A file of bars by its name."""

    folder: str
    symbol: Symbol
    interval: str
    path: Path

    def name(self, directory: Path) -> str:
        return self.path.relative_to(directory).as_posix()


@dataclass(frozen=True, slots=True)
class Stretch:
    """Files of one symbol and interval that go on from one another; times in milliseconds."""

    folder: str
    timeframe: Timeframe
    files: tuple[BarFile, ...]
    first_open: int
    last_close: int

    def covers(self, start: datetime | None, end: datetime | None) -> bool:
        slack = timedelta(0) if venue_of_folder(self.folder).is_crypto else _JOIN[False]
        begins, ends = from_millis(self.first_open), from_millis(self.last_close)
        return (start is None or begins - slack <= start < ends) and (
            end is None or begins < end <= ends + slack
        )

    def __str__(self) -> str:
        begins, ends = from_millis(self.first_open), from_millis(self.last_close)
        return f"{self.folder} {self.timeframe} from {begins:%Y-%m-%d %H:%M} to {ends:%Y-%m-%d %H:%M}"

    def source(self, directory: Path) -> str:
        return " + ".join(file.name(directory) for file in self.files)

    def read(self) -> Series:
        parts = [read_bars(file.path, self.timeframe) for file in self.files]
        if len(parts) == 1:
            return parts[0]
        return Series(
            self.timeframe,
            *(
                np.concatenate([getattr(part, column) for part in parts])
                for column in ("open_time", "open", "high", "low", "close", "volume")
            ),
        )


class DataDirectory:
    """The bar files of a directory.

    Raises:
        ConfigurationError: there is no such directory, or it holds no bars.
    """

    def __init__(self, directory: Path) -> None:
        self.path = directory
        if not directory.is_dir():
            raise ConfigurationError(f"{directory} is not a directory: give the path of a data directory")
        self.files = _bar_files(directory)
        if not self.files:
            raise ConfigurationError(
                f"{directory} holds no bars: expected ohlcv/<venue>/<SYMBOL>-<interval>.parquet in it "
                "(`nexus data download` or `nexus data import` fills one)"
            )

    def symbols(self) -> tuple[Symbol, ...]:
        return tuple(sorted({file.symbol for file in self.files}))

    def files_of(self, symbol: Symbol) -> tuple[BarFile, ...]:
        found = tuple(file for file in self.files if file.symbol == symbol)
        if not found:
            raise ConfigurationError(
                f"{self.path} has no bars of {symbol}: choose among {', '.join(self.symbols())}"
            )
        return found

    def stretch_for(
        self, symbol: Symbol, start: datetime | None, end: datetime | None, venue: str | None = None
    ) -> Stretch:
        """The first venue's finest base series that covers the span; without a start the latest one.

        Raises:
            ConfigurationError: no such symbol or venue, overlapping files, or the span is not covered.
        """
        files = self.files_of(symbol)
        known: list[Stretch] = []
        for folder in self.folders(venue):
            for base in BASES:
                stretches = _stretches(
                    self.path, [file for file in files if file.folder == folder and file.interval == base]
                )
                covering = [stretch for stretch in stretches if stretch.covers(start, end)]
                if covering:
                    return covering[-1]
                known += stretches
        if not known:
            others = ", ".join(file.name(self.path) for file in files)
            raise ConfigurationError(
                f"{symbol} has no 1m or 5m bars, and nothing else can be played (there is {others})"
            )
        wanted = " ".join(
            f"{word} {moment:%Y-%m-%d %H:%M}" for word, moment in (("from", start), ("to", end)) if moment
        )
        raise ConfigurationError(
            f"no series of {symbol} covers the span {wanted}; there is {'; '.join(map(str, known))}: "
            "choose a span inside one of them, or leave the symbol out"
        )

    def playable(self, folder: str) -> list[tuple[Symbol, Stretch]]:
        """Every series of a folder that can be played, by symbol and base; overlapping ones are refused."""
        here = [file for file in self.files if file.folder == folder]
        return [
            (symbol, stretch)
            for symbol in sorted({file.symbol for file in here})
            for base in BASES
            for stretch in _stretches(
                self.path, [file for file in here if file.symbol == symbol and file.interval == base]
            )
        ]

    def stretches(
        self, symbol: Symbol, intervals: Sequence[Timeframe] = BASES, venue: str | None = None
    ) -> list[Stretch]:
        """Every series of a symbol at these intervals, in the order in which venues are asked.

        Raises:
            ConfigurationError: no such symbol or venue, or overlapping files.
        """
        files = self.files_of(symbol)
        return [
            stretch
            for folder in self.folders(venue)
            for interval in intervals
            for stretch in _stretches(
                self.path, [file for file in files if (file.folder, file.interval) == (folder, interval)]
            )
        ]

    def folders(self, venue: str | None) -> tuple[str, ...]:
        """The venues' folders in the order they are asked, `venue` first."""
        present = sorted({file.folder for file in self.files})
        ranked = [folder for folder in VENUE_ORDER if folder in present]
        ranked += [folder for folder in present if folder not in VENUE_ORDER]
        if venue is None:
            return tuple(ranked)
        folder = _ALIASES.get(venue, venue)
        if folder not in present:
            raise ConfigurationError(
                f"{self.path} has no bars of venue {venue}: choose among {', '.join(present)}"
            )
        return (folder, *(other for other in ranked if other != folder))


def _bar_files(directory: Path) -> tuple[BarFile, ...]:
    found = []
    for path in sorted(directory.glob("ohlcv/*/*.parquet")):
        match = _FILE_NAME.fullmatch(path.name)
        if match:
            found.append(BarFile(path.parent.name, Symbol(match["symbol"]), match["interval"], path))
    return tuple(found)


def _stretches(directory: Path, files: Sequence[BarFile]) -> list[Stretch]:
    """Files of one venue, symbol and interval, joined where they go on from one another; oldest first."""
    if not files:
        return []
    base = Timeframe(files[0].interval)
    folder = files[0].folder
    join = _JOIN[venue_of_folder(folder).is_crypto]
    stretches: list[Stretch] = []
    for (first, last), file in sorted(((read_span(file.path), file) for file in files), key=_by_span):
        closes = last + slot_millis(base)
        before = stretches[-1] if stretches else None
        if before is not None and first < before.last_close:
            raise ConfigurationError(
                f"{before.files[-1].name(directory)} and {file.name(directory)} overlap "
                f"({from_millis(first):%Y-%m-%d %H:%M} is in both): remove one, or cut them at one time"
            )
        if before is not None and first - before.last_close <= join // timedelta(milliseconds=1):
            stretches[-1] = Stretch(folder, base, (*before.files, file), before.first_open, closes)
        else:
            stretches.append(Stretch(folder, base, (file,), first, closes))
    return stretches


def _by_span(entry: tuple[tuple[int, int], BarFile]) -> tuple[int, int, str]:
    (first, last), file = entry
    return first, last, file.path.name


def left_alone(directory: Path, files: Sequence[BarFile], played: Stretch) -> str | None:
    """The files of a symbol that do not play, in one sentence."""
    others = [file.name(directory) for file in files if file not in played.files]
    return f"{files[0].symbol}: left alone {', '.join(others)}" if others else None


def check_span(start: datetime | None, end: datetime | None) -> None:
    """Refuse spans without a zone, off the minute, or empty."""
    for word, moment in (("from", start), ("to", end)):
        if moment is None:
            continue
        if moment.tzinfo is None:
            raise ConfigurationError(f"the {word} time {moment.isoformat()} has no time zone: give it in UTC")
        if to_millis(moment) % 60_000:
            raise ConfigurationError(f"the {word} time {moment.isoformat()} is not on a whole minute")
    if start is not None and end is not None and start >= end:
        raise ConfigurationError(
            f"the span is empty: from {start.isoformat()} is not before to {end.isoformat()}"
        )
