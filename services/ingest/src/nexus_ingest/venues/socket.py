"""Keeps a feed's connections open: reconnects, replaces them before the venue cuts them, tells what is lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from nexus_common.contracts.values import Venue
from nexus_common.runtime.log import get_logger
from nexus_common.runtime.settings_sections import FeedsSettings
from nexus_ingest.domain.readings import Reading
from nexus_ingest.venues.connection import Connection, Line, Unreachable
from nexus_ingest.venues.feed import RawFrame, ReadBy, Sink

# Readings remembered of an overlap: seconds of a busy market, however long the new connection takes.
OVERLAP_MAX: Final = 100_000
log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long things may take, in seconds.

    After a connection that stood for `settled` the next is tried at once. Every failure in a row doubles the
    wait, from `retry` up to `retry_max`: well within Binance's 300 and Bybit's 500 connections in 5 minutes.
    """

    rotation: float = 23 * 3_600.0
    overlap: float = 1.0
    opening: float = 10.0
    retry: float = 0.5
    retry_max: float = 30.0
    settled: float = 10.0

    @classmethod
    def of(cls, feeds: FeedsSettings) -> Patience:
        """Connections age in market time, which runs faster at simulated venues."""
        speed = 1.0 if feeds.market_speed == "max" else float(feeds.market_speed)
        return cls(rotation=feeds.rotation_hours * 3_600.0 / speed)

    def delay(self, failures: int) -> float:
        if failures == 0:
            return 0.0
        return float(min(self.retry * 2.0 ** min(failures - 1, 30), self.retry_max))


PATIENT: Final = Patience()


class KeptSocket:
    """One line of a feed.

    `failures` counts refused attempts and short lives in a row, `opened` all connections that stood.
    """

    def __init__(self, venue: Venue, line: Line, sink: Sink, patience: Patience = PATIENT) -> None:
        self.failures = 0
        self.opened = 0
        self._venue, self._line, self._sink, self._patience = venue, line, sink, patience
        self._current: Connection | None = None
        self._alive: set[Connection] = set()
        self._attempts = 0
        # What was said lately while one connection replaces another; either may say it first, it is told once.
        self._overlap: dict[Reading, None] | None = None

    async def run(self) -> None:
        """Until cancelled."""
        try:
            while True:
                connection = await self._connected(until_it_speaks=False)
                self._sink.opened(self._venue, self._line.name, time.time_ns())
                reason = await self._kept(connection)
                self._sink.closed(self._venue, self._line.name, reason, time.time_ns())
        finally:
            for connection in tuple(self._alive):
                await self._close(connection)

    def reopen(self, reason: str) -> None:
        """End the connection there is, which is told as a loss, and open another."""
        if self._current is not None:
            self._current.hang_up(reason)

    def memories(self) -> dict[str, object]:
        """See `Feed.memories`."""
        memories = {each.read_by.reader: each.memory() for each in self._alive}
        return {reader: memory for reader, memory in memories.items() if memory is not None}

    # -- what connections hear ------------------------------------------------------------------------

    def heard(self, read_by: ReadBy, frame: RawFrame, readings: Sequence[Reading], received_ns: int) -> None:
        overlap = self._overlap
        if overlap is not None and readings:
            # A frame that says nothing new is passed on too: whoever reads along has to hear what was heard.
            counts = tuple(place for place, reading in enumerate(readings) if reading not in overlap)
            if len(counts) < len(readings):
                readings = [readings[place] for place in counts]
                read_by = ReadBy(read_by.reader, counts)
            overlap.update(dict.fromkeys(readings))
            while len(overlap) > OVERLAP_MAX:
                del overlap[next(iter(overlap))]
        self._sink.heard(self._venue, self._line.name, frame, readings, received_ns, read_by)

    def refused(self, frame: RawFrame, reason: str, received_ns: int) -> None:
        self._sink.refused(self._venue, self._line.name, frame, reason, received_ns)

    # -- a connection's life --------------------------------------------------------------------------

    async def _kept(self, connection: Connection) -> str:
        """Why it was lost in the end; until then it is replaced as often as its age asks for."""
        while True:
            self._current, since = connection, time.monotonic()
            await asyncio.wait((connection.ended,), timeout=self._patience.rotation)
            successor = None if connection.ended.done() else await self._successor(connection)
            await self._close(connection, politely=successor is not None)
            self._overlap = None
            if successor is None:
                stood = time.monotonic() - since >= self._patience.settled
                self.failures = 0 if stood else self.failures + 1
                return connection.ended.result()
            connection = successor

    async def _successor(self, old: Connection) -> Connection | None:
        """A connection that speaks, while the old one goes on; None when the old one ended first."""
        self._overlap = {}
        opening = asyncio.create_task(self._connected(until_it_speaks=True))
        try:
            await asyncio.wait((opening, old.ended), return_when=asyncio.FIRST_COMPLETED)
            if not opening.done():
                return None
            # What is on its way on the old one may have been said before the new one was subscribed.
            await asyncio.wait((old.ended,), timeout=self._patience.overlap)
            return opening.result()
        finally:
            opening.cancel()
            await asyncio.wait((opening,))

    async def _connected(self, *, until_it_speaks: bool) -> Connection:
        """As many attempts as it takes, each later than the last."""
        wait = self._patience.delay(self.failures)
        while True:
            await asyncio.sleep(wait)
            try:
                return await self._attempt(until_it_speaks)
            except Unreachable as problem:
                self.failures += 1
                wait = max(problem.wait_seconds, self._patience.delay(self.failures))
                log.warning(
                    "a market stream cannot be opened",
                    venue=self._venue,
                    connection=self._line.name,
                    reason=str(problem),
                    attempt=self.failures,
                    seconds=wait,
                )

    async def _attempt(self, until_it_speaks: bool) -> Connection:
        """Raises Unreachable."""
        self._attempts += 1
        reader = f"{self._line.name}/{self._attempts}"
        connection = await Connection.open(self._line, reader, self._patience.opening)
        self._alive.add(connection)
        connection.start(self)
        ready = asyncio.create_task(connection.ready(until_it_speaks=until_it_speaks))
        try:
            await asyncio.wait(
                (ready, connection.ended),
                timeout=self._patience.opening,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if not ready.done():
                raise Unreachable(
                    connection.ended.result() if connection.ended.done() else "no answer in time"
                )
        except BaseException:
            ready.cancel()
            await self._close(connection)
            raise
        self.opened += 1
        return connection

    async def _close(self, connection: Connection, *, politely: bool = False) -> None:
        if connection is self._current:
            self._current = None
        await connection.close(politely=politely)
        self._alive.discard(connection)


class KeptSockets:
    """All lines of one venue's feed."""

    def __init__(self, venue: Venue, lines: Sequence[Line], patience: Patience = PATIENT) -> None:
        self._venue, self._lines, self._patience = venue, lines, patience
        self._sockets: dict[str, KeptSocket] = {}

    async def run(self, sink: Sink) -> None:
        """Until cancelled."""
        self._sockets = {
            line.name: KeptSocket(self._venue, line, sink, self._patience) for line in self._lines
        }
        async with asyncio.TaskGroup() as group:
            for socket in self._sockets.values():
                group.create_task(socket.run())

    def reopen(self, connection: str, reason: str) -> None:
        """Nothing happens for a name that is not open."""
        if connection in self._sockets:
            self._sockets[connection].reopen(reason)

    def memories(self) -> Mapping[str, object]:
        """See `Feed.memories`."""
        return {
            reader: memory
            for socket in self._sockets.values()
            for reader, memory in socket.memories().items()
        }

    @property
    def opened(self) -> int:
        """Connections that stood so far, successors included."""
        return sum(socket.opened for socket in self._sockets.values())
