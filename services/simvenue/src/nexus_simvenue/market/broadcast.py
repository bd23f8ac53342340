"""Who listens to which topic, and the way out to each of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final, NamedTuple

from aiohttp import web

from nexus_simvenue.market.dialect import Worded
from nexus_simvenue.wire.dialect import Frame, Socket

# Frames that may wait for one socket. A played market that goes as fast as it can waits for room; in one that
# keeps time, a client that has fallen so far behind is cut off, as venues do.
ROOM: Final = 2_000
LEFT_BEHIND: Final = 100_000


class _Pong(NamedTuple):
    payload: bytes


class _Close(NamedTuple):
    code: int


class Line:
    """A socket's way out: everything leaves in the order in which it was put here, pongs included."""

    def __init__(self, socket: Socket, response: web.WebSocketResponse, abort: Callable[[], None]) -> None:
        self.socket = socket
        self.cut = abort  # break the connection, without a word
        self.stalled_until: float | None = None
        self._response = response
        self._waiting: list[Frame | _Pong | _Close] = []
        self._wake = asyncio.Event()
        self._drained = asyncio.Event()
        self._drained.set()

    def put(self, frame: Frame) -> None:
        self._add(frame)

    def pong(self, payload: bytes) -> None:
        self._add(_Pong(payload))

    def close(self, code: int = 1001) -> None:
        self._add(_Close(code))

    def _add(self, what: Frame | _Pong | _Close) -> None:
        self._waiting.append(what)
        self._wake.set()
        if len(self._waiting) >= ROOM:
            self._drained.clear()

    @property
    def is_full(self) -> bool:
        return len(self._waiting) >= ROOM

    @property
    def is_left_behind(self) -> bool:
        return len(self._waiting) >= LEFT_BEHIND

    async def room(self) -> None:
        """Wait until less than ROOM frames wait, or the socket is gone."""
        await self._drained.wait()

    def is_stalled(self, now: float) -> bool:
        if self.stalled_until is not None and now >= self.stalled_until:
            self.stalled_until = None
        return self.stalled_until is not None

    async def write(self) -> None:
        """Send what is put here until the socket is closed."""
        try:
            with suppress(ConnectionError):
                while await self._send_waiting():
                    await self._wake.wait()
                    self._wake.clear()
        finally:
            self._drained.set()

    async def _send_waiting(self) -> bool:
        waiting, self._waiting = self._waiting, []
        text, binary = self._response.send_str, self._response.send_bytes
        for what in waiting:
            if isinstance(what, str):
                await text(what)
            elif isinstance(what, bytes):
                await binary(what)
            elif isinstance(what, _Pong):
                await self._response.pong(what.payload)
            else:
                await self._response.close(code=what.code)
                return False
        self._drained.set()
        return True


class Broadcast:
    """The lines of one address by topic. `wrap` gives a message the envelope of a socket."""

    def __init__(self, wrap: Callable[[Socket, Worded], Frame]) -> None:
        self._wrap = wrap
        self._lines: dict[Line, frozenset[str]] = {}
        self._topics: dict[str, dict[Line, None]] = {}

    @property
    def lines(self) -> tuple[Line, ...]:
        return tuple(self._lines)

    def topics(self) -> dict[str, int]:
        """How many sockets listen to each topic."""
        return {topic: len(lines) for topic, lines in self._topics.items()}

    def follow(self, line: Line) -> None:
        """Take down what a socket listens to now; to be called after everything it has said."""
        before, after = self._lines.get(line, frozenset()), frozenset(line.socket.topics)
        self._lines[line] = after
        self._unlist(line, before - after)
        for topic in after - before:
            self._topics.setdefault(topic, {})[line] = None

    def leave(self, line: Line) -> None:
        self._unlist(line, self._lines.pop(line, frozenset()))

    def _unlist(self, line: Line, topics: Iterable[str]) -> None:
        for topic in topics:
            lines = self._topics[topic]
            lines.pop(line, None)
            if not lines:
                del self._topics[topic]

    def hearing(self, worded: Worded) -> list[Line]:
        """The lines that a message is for, each once."""
        found = self._topics.get(worded.topic)
        every = self._topics.get(worded.every) if worded.every else None
        if every is None:
            return [] if found is None else list(found)
        return list({**(found or {}), **every})

    def spread(self, worded: Worded, now: float) -> None:
        """Send a message to everybody who listens."""
        for line in self.hearing(worded):
            if line.stalled_until is not None and line.is_stalled(now):
                continue
            line.put(self._wrap(line.socket, worded))

    async def room(self) -> None:
        """Wait for the sockets that are behind."""
        for line in [line for line in self._lines if line.is_full]:
            await line.room()

    def drop_left_behind(self) -> None:
        """Cut off who does not read."""
        for line in [line for line in self._lines if line.is_left_behind]:
            line.cut()
