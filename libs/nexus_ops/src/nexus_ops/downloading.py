"""Public history into a data directory: what is missing is asked for, piece by piece, and written as it comes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final, Protocol, assert_never, runtime_checkable

from nexus_common.contracts.market import Bar
from nexus_common.contracts.values import Symbol, Timeframe, Venue
from nexus_common.runtime.errors import ConfigurationError, NexusError
from nexus_common.runtime.settings_sections import FeedsSettings, VenuesSettings
from nexus_data.findings import Span
from nexus_data.growing_file import (
    BAR_SCHEMA,
    FUNDING_SCHEMA,
    GrowingFile,
    Rows,
    bar_row,
    missing_bars,
    missing_sessions,
    pieces,
    refuse_overlap,
)
from nexus_data.inventory import DataFile, bar_files
from nexus_ingest.venues.feed import FeedDown, FeedRefused, Listing, Settled
from nexus_ingest.venues.perpetuals import spelled
from nexus_market.candles import slot_millis, to_millis
from nexus_market.instruments import DEFAULT_INSTRUMENTS, by_symbol, resolve
from nexus_ops.tape_import import FOLDERS

# Bars in one answer; a question is never longer, so that what came is told and written soon.
PAGE: Final = {Venue.BINANCE: 1_500, Venue.BYBIT: 1_000, Venue.ALPACA: 10_000}
# Written whenever so many rows wait; behind an interruption all of them are.
WRITE_ROWS: Final = 20_000
# A venue that does not answer, or wants to be left alone, is asked again after each of these seconds.
PAUSES: Final = (5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0)
FUNDING_PIECE: Final = 200 * 8 * 3_600_000


class History(Protocol):
    async def bars(self, symbol: Symbol, timeframe: Timeframe, first: int, last: int) -> list[Bar]: ...

    async def listing(self) -> Listing: ...

    async def close(self) -> None: ...


@runtime_checkable
class Funded(History, Protocol):
    """Of perpetuals."""

    async def settlements(self, symbol: Symbol, first: int, last: int) -> list[Settled]: ...


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be there afterwards: from `first` up to, not including, `last`."""

    venue: Venue
    names: Sequence[str]
    timeframes: Sequence[Timeframe]
    first: datetime
    last: datetime
    directory: Path
    with_funding: bool = False


@dataclass(slots=True)
class Downloaded:
    """Rows that are new, by file below the directory. `asked` and `total` are milliseconds of series."""

    rows: dict[str, int] = field(default_factory=dict)
    asked: int = 0
    total: int = 0
    received: int = 0


# What is done so far, and the file that is being filled.
Told = Callable[[Downloaded, str], None]


@dataclass(frozen=True, slots=True)
class _Series:
    """One file to fill: what it lacks, and how that is asked for in pieces of at most so many milliseconds."""

    name: str
    file: GrowingFile
    spans: Sequence[Span]
    piece: int
    ask: Callable[[int, int], Awaitable[Rows]]


def history_of(wish: Wish, feeds: FeedsSettings, venues: VenuesSettings) -> History:
    """Raises ConfigurationError for a venue that wants a key which is not set."""
    # The venues' SDKs take a second to import; other verbs need none of them.
    from nexus_ingest.venues.binance.rest import BinanceRest
    from nexus_ingest.venues.bybit.rest import BybitRest
    from nexus_ingest.venues.table import FEEDS

    match wish.venue:
        case Venue.BINANCE:
            return BinanceRest(venues.binance)
        case Venue.BYBIT:
            known = by_symbol(DEFAULT_INSTRUMENTS[wish.venue])
            return BybitRest(venues.bybit, spelled(wish.venue, known))
        case Venue.ALPACA:
            stocks = tuple(Symbol(name.upper()) for name in wish.names)
            return FEEDS[wish.venue](feeds.model_copy(update={"stocks": stocks}), venues)
        case _:
            assert_never(wish.venue)


class Download:
    """Fill the files of a wish from a venue's history.

    `told` hears what is done, `waits` why a silent venue is waited for; `pauses` says how long.
    """

    def __init__(
        self,
        wish: Wish,
        history: History,
        told: Told,
        waits: Callable[[str], None],
        pauses: Sequence[float] = PAUSES,
    ) -> None:
        self._wish, self._history = wish, history
        self._told, self._waits, self._pauses = told, waits, pauses
        self._folder = FOLDERS[wish.venue]
        self.done = Downloaded()

    async def run(self) -> Downloaded:
        """Whatever stops it, what was received is written.

        Raises:
            ConfigurationError: an instrument that the venue does not list, or files that would overlap.
            NexusError: the venue does not answer.
        """
        # A wrong key or address shows at the first question, where waiting would not help.
        try:
            listing = await self._history.listing()
        except FeedDown as problem:
            raise NexusError(f"nothing was asked for: {problem}") from problem
        series = [one for name in self._wish.names for one in self._series_of(name, listing)]
        self.done.total = sum(last - first + 1 for one in series for first, last in one.spans)
        for one in series:
            await self._fill(one)
        return self.done

    def _series_of(self, name: str, listing: Listing) -> Iterator[_Series]:
        found = resolve(name, listing.instruments)
        if found is None:
            raise ConfigurationError(
                f"{self._wish.venue} lists no {name}: it has {len(listing.instruments)} instruments of ours"
            )
        symbol = found.instrument.symbol
        terms = listing.terms.get(symbol)
        listed = terms.listed_at if terms is not None else None
        first = max(self._wish.first, listed) if listed is not None else self._wish.first
        span = to_millis(first), to_millis(self._wish.last)
        for timeframe in self._wish.timeframes:
            yield self._bars(symbol, timeframe, *span)
        if self._wish.with_funding:
            yield self._funding(symbol, *span)

    def _bars(self, symbol: Symbol, timeframe: Timeframe, first: int, last: int) -> _Series:
        name = f"ohlcv/{self._folder}/{symbol}-{timeframe}.parquet"
        path = self._wish.directory / name
        refuse_overlap(self._siblings(symbol, timeframe), path, first, last)
        file, slot = GrowingFile(path, BAR_SCHEMA), slot_millis(timeframe)
        if self._wish.venue.is_crypto:
            spans = missing_bars(file.times, first, last, slot)
        else:
            spans = missing_sessions(file.times, first, last)

        async def ask(begin: int, end: int) -> Rows:
            return [bar_row(bar) for bar in await self._history.bars(symbol, timeframe, begin, end)]

        return _Series(name, file, spans, PAGE[self._wish.venue] * slot, ask)

    def _funding(self, symbol: Symbol, first: int, last: int) -> _Series:
        """A settlement stands for the hours before it, so only from the last one on is asked."""
        history = self._history
        if not isinstance(history, Funded):
            raise ConfigurationError(f"{self._wish.venue} settles no funding: leave --funding out")
        name = f"funding/{self._folder}/{symbol}.parquet"
        file = GrowingFile(self._wish.directory / name, FUNDING_SCHEMA)
        known = file.times
        spans = [(first, last - 1)]
        if len(known):
            spans = [(first, int(known[0]) - 1), (max(first, int(known[-1]) + 1), last - 1)]

        async def ask(begin: int, end: int) -> Rows:
            return await history.settlements(symbol, begin, end)

        return _Series(name, file, [span for span in spans if span[0] <= span[1]], FUNDING_PIECE, ask)

    def _siblings(self, symbol: Symbol, timeframe: Timeframe) -> Sequence[DataFile]:
        if not self._wish.directory.is_dir():
            return ()
        folder = self._wish.directory / "ohlcv" / self._folder
        return [file for file in bar_files(folder) if (file.symbol, file.what) == (symbol, timeframe)]

    async def _fill(self, one: _Series) -> None:
        new = 0
        try:
            for first, last in pieces(one.spans, one.piece):
                self._told(self.done, one.name)
                rows = await self._patient(one.ask, first, last)
                one.file.add(rows)
                self.done.received += len(rows)
                self.done.asked += last - first + 1
                if one.file.unwritten >= WRITE_ROWS:
                    new += one.file.write()
        finally:
            self.done.rows[one.name] = new + one.file.write()
        self._told(self.done, one.name)

    async def _patient(self, ask: Callable[[int, int], Awaitable[Rows]], first: int, last: int) -> Rows:
        """Ask until there is an answer; a venue that wants no requests gets none meanwhile."""
        for pause in (*self._pauses, None):
            try:
                return await ask(first, last)
            except FeedDown as problem:
                if pause is None or isinstance(problem, FeedRefused):
                    raise NexusError(
                        f"{problem}: what was received is written, run it again to go on"
                    ) from problem
                self._waits(f"{problem}; again in {pause:.0f} s")
            await asyncio.sleep(pause)
        raise AssertionError("the last attempt answers or raises")
