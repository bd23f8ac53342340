"""The feed of a venue for perpetuals: streams that are kept open, questions by REST, no sessions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Protocol, TypeVar

from nexus_common.contracts.market import Bar, SessionScheduled
from nexus_common.contracts.values import Symbol, Timeframe, Venue
from nexus_ingest.venues.connection import Line
from nexus_ingest.venues.feed import Latest, Listing, Settled, Sink
from nexus_ingest.venues.socket import PATIENT, KeptSockets, Patience
from nexus_market.instruments import DEFAULT_INSTRUMENTS, by_symbol, venue_spelling

_Item = TypeVar("_Item")


class VenueRest(Protocol):
    """The part of `Feed` that is asked by REST; see there."""

    async def bars(self, symbol: Symbol, timeframe: Timeframe, first: int, last: int) -> list[Bar]: ...

    async def server_time(self) -> tuple[datetime, int]: ...

    async def listing(self) -> Listing: ...

    async def settlements(self, symbol: Symbol, first: int, last: int) -> list[Settled]: ...

    async def latest(self, symbol: Symbol) -> Latest: ...

    async def close(self) -> None: ...


class PerpetualsFeed:
    """See `Feed`. All timeframes are streamed."""

    timeframes = tuple(Timeframe)

    def __init__(
        self, venue: Venue, lines: Sequence[Line], rest: VenueRest, patience: Patience = PATIENT
    ) -> None:
        self.venue = venue
        self.sockets = KeptSockets(venue, lines, patience)
        self._rest = rest

    async def run(self, sink: Sink) -> None:
        await self.sockets.run(sink)

    def reopen(self, connection: str, reason: str) -> None:
        self.sockets.reopen(connection, reason)

    def memories(self) -> Mapping[str, object]:
        return self.sockets.memories()

    async def bars(self, symbol: Symbol, timeframe: Timeframe, first: int, last: int) -> list[Bar]:
        return await self._rest.bars(symbol, timeframe, first, last)

    async def server_time(self) -> tuple[datetime, int]:
        return await self._rest.server_time()

    async def listing(self) -> Listing:
        return await self._rest.listing()

    async def sessions(self, first: date, last: date) -> tuple[SessionScheduled, ...]:
        return ()

    async def settlements(self, symbol: Symbol, first: int, last: int) -> list[Settled]:
        return await self._rest.settlements(symbol, first, last)

    async def latest(self, symbol: Symbol) -> Latest:
        return await self._rest.latest(symbol)

    async def close(self) -> None:
        await self._rest.close()


def spelled(venue: Venue, symbols: Iterable[Symbol]) -> dict[Symbol, str]:
    """The venue's names by ours; an instrument that is not built in is asked for by our name."""
    known = by_symbol(DEFAULT_INSTRUMENTS[venue])
    return {symbol: venue_spelling(known[symbol]) if symbol in known else symbol for symbol in symbols}


def chunks(items: Sequence[_Item], size: int) -> list[Sequence[_Item]]:
    return [items[start : start + size] for start in range(0, len(items), size)]
