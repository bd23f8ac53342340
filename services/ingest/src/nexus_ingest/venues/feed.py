"""What a venue's feed is, whichever venue: sockets that are kept open, and questions by REST."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import NamedTuple, Protocol, runtime_checkable

from nexus_common.contracts.instrument import Instrument, Terms
from nexus_common.contracts.market import Bar, SessionScheduled
from nexus_common.contracts.values import Symbol, Timeframe, Venue
from nexus_ingest.domain.readings import Reading

RawFrame = str | bytes


class ReadBy(NamedTuple):
    """Which connection read a frame: `public-1/3` is the third of the line `public-1`, the successor of the second.

    `counts` has the places of those readings that count, where the connection that is being replaced had said the
    rest; None: all count.
    """

    reader: str
    counts: tuple[int, ...] | None = None


class FeedDown(Exception):
    """The venue does not answer a question; says which, and why."""


class FeedRefused(FeedDown):
    """The venue answered, and said no: asking the same again would not help."""


class Sink(Protocol):
    """Where a feed tells what happens to it, in order. `received_ns` is the wall clock, since the Unix epoch."""

    def opened(self, venue: Venue, connection: str, received_ns: int) -> None:
        """A connection stands and is subscribed."""

    def closed(self, venue: Venue, connection: str, reason: str, received_ns: int) -> None:
        """A connection is gone, and what it would have said with it."""

    def heard(
        self,
        venue: Venue,
        connection: str,
        frame: RawFrame,
        readings: Sequence[Reading],
        received_ns: int,
        read_by: ReadBy | None = None,
    ) -> None:
        """A frame and what it says; frames that say nothing (answers to a subscription) have no readings."""

    def refused(self, venue: Venue, connection: str, frame: RawFrame, reason: str, received_ns: int) -> None:
        """A frame that cannot be used."""


@dataclass(frozen=True, slots=True)
class Listing:
    """What the venue says it lists: all of it, and which of it does not trade (now, or soon not any more).

    `unreadable` gives what could not be read by the venue's name; `outside` counts what is none of Nexus'
    markets (dated futures, other quote currencies), by reason.
    """

    instruments: tuple[Instrument, ...]
    not_trading: tuple[Symbol, ...] = ()
    terms: Mapping[Symbol, Terms] = field(default_factory=dict)
    unreadable: Mapping[str, str] = field(default_factory=dict)
    outside: Mapping[str, int] = field(default_factory=dict)


class Settled(NamedTuple):
    """Funding that was settled: when it was due (ms, some milliseconds late as venues stamp it), and the rate."""

    at: int
    rate: float


class Latest(NamedTuple):
    """An instrument's last trade, its time in ms, and its mark price; as the venue spells them."""

    price: str
    at: int
    mark_price: str


@runtime_checkable
class PriceSource(Protocol):
    """A venue that can be asked for what trades right now."""

    async def latest(self, symbol: Symbol) -> Latest:
        """By REST, past all streams. Raises FeedDown."""


class Feed(Protocol):
    """One venue's market data. Made by `FEEDS` in `venues/table.py`, run by the live service."""

    venue: Venue

    @property
    def timeframes(self) -> tuple[Timeframe, ...]:
        """The candles that the venue streams; the others are folded from 1m."""

    async def run(self, sink: Sink) -> None:
        """Keep the connections open, with rotation, until cancelled. Never raises for what a network does."""

    def reopen(self, connection: str, reason: str) -> None:
        """Close a connection that says nothing and open another in its place."""

    def memories(self) -> Mapping[str, object]:
        """What the connections that stand have to know to read on, by `ReadBy.reader`; those that need nothing are
        left out. Plain values."""

    async def bars(self, symbol: Symbol, timeframe: Timeframe, first: int, last: int) -> list[Bar]:
        """Closed bars opening from `first` to `last` (ms, both included), oldest first, over all pages.

        Raises:
            FeedDown: no answer, after retries that respect the venue's limits.
        """

    async def server_time(self) -> tuple[datetime, int]:
        """The venue's clock and the round trip in milliseconds; raises FeedDown."""

    async def listing(self) -> Listing:
        """The venue's own metadata of everything that Nexus could trade; raises FeedDown."""

    async def sessions(self, first: date, last: date) -> tuple[SessionScheduled, ...]:
        """Trading hours by the venue's calendar; empty for a venue that never closes. Raises FeedDown."""

    async def settlements(self, symbol: Symbol, first: int, last: int) -> list[Settled]:
        """Funding of a perpetual from `first` to `last` (ms), oldest first; none of a stock. Raises FeedDown."""

    async def close(self) -> None:
        """Let go of what REST holds open."""
