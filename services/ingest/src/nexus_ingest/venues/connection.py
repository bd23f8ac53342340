"""One WebSocket of a venue's feed: opened, subscribed, read until it ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, Protocol

import aiohttp

from nexus_ingest.domain.readings import Reading, UnreadableFrame
from nexus_ingest.venues.feed import RawFrame, ReadBy

# Market messages are a few kilobytes at most: a longer one is refused unread. What is longer than the second
# is not even received: the connection is given up, so that memory stays bounded.
FRAME_LIMIT: Final = 1 << 20
MESSAGE_LIMIT: Final = 16 << 20
# What venues ask for when they do not say how long: a minute, Binance's first ban, Bybit's ban of an address.
_WAITS: Final = {429: 60.0, 418: 120.0, 403: 600.0}
_WAIT_MAX: Final = 3_600.0
_GOODBYE_SECONDS: Final = 0.5
_DATA: Final = (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY)


class TurnedAway(Exception):
    """The venue does not want this connection: a wrong key, too many connections, no permission."""


class Unreachable(Exception):
    """A connection could not be made; `wait_seconds` is how long the venue wants to be left alone."""

    def __init__(self, reason: str, wait_seconds: float = 0.0) -> None:
        super().__init__(reason)
        self.wait_seconds = wait_seconds


class Talk(Protocol):
    """How one connection is spoken on. Made anew for each, as it may keep what deltas are merged into."""

    refused: list[str]
    """Why parts of the frame just heard cannot be used; emptied by who takes them."""

    @property
    def subscribed(self) -> bool:
        """Whether everything asked for was answered."""

    def opening(self) -> Sequence[RawFrame]:
        """What is said first; what waits for a greeting or a login is left to `answers`."""

    def hear(self, frame: RawFrame) -> Sequence[Reading]:
        """What a frame says; nothing for answers to a request.

        Raises:
            UnreadableFrame: none of it can be used.
            TurnedAway: the venue hangs up, or should be.
        """

    def answers(self) -> Sequence[RawFrame]:
        """What is to be said now; asked for after each frame without readings."""

    def memory(self) -> object:
        """What it takes to read on from here, as plain values; None: nothing."""

    def ping(self) -> RawFrame | None:
        """The venue's own heartbeat, every `Line.ping_seconds`; None where it has none but WebSocket's."""


@dataclass(frozen=True, slots=True)
class Line:
    """A connection that a feed needs: its name within the feed, where it leads, how it is spoken on."""

    name: str
    url: str
    talk: Callable[[], Talk]
    proxy: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    ping_seconds: float = 20.0
    message_seconds: float = 0.0  # least time between two messages to the venue
    # What logs the connection in: blotted out of whatever a venue says of it before it is passed on and taped.
    secrets: tuple[str, ...] = field(default=(), repr=False)


class Listener(Protocol):
    def heard(
        self, read_by: ReadBy, frame: RawFrame, readings: Sequence[Reading], received_ns: int
    ) -> None: ...

    def refused(self, frame: RawFrame, reason: str, received_ns: int) -> None: ...


class Connection:
    """An open WebSocket. `ended` gives the reason when it is over, whoever ended it.

    Frames are read as fast as the listener takes them; meanwhile the rest waits in the network's buffers,
    and nothing is dropped.
    """

    def __init__(
        self, line: Line, reader: str, session: aiohttp.ClientSession, socket: aiohttp.ClientWebSocketResponse
    ) -> None:
        self.read_by = ReadBy(reader)
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._subscribed, self._spoke = asyncio.Event(), asyncio.Event()
        self._line, self._session, self._socket = line, session, socket
        self._talk = line.talk()
        self._tasks: list[asyncio.Task[None]] = []

    @classmethod
    async def open(cls, line: Line, reader: str, timeout_seconds: float) -> Connection:
        """`reader` names this connection among all of its line. Raises Unreachable."""
        session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=timeout_seconds))
        try:
            socket = await session.ws_connect(
                line.url,
                proxy=line.proxy,
                headers=line.headers,
                heartbeat=line.ping_seconds,
                max_msg_size=MESSAGE_LIMIT,
                timeout=aiohttp.ClientWSTimeout(ws_close=_GOODBYE_SECONDS),
            )
        except aiohttp.WSServerHandshakeError as error:
            await session.close()
            raise Unreachable(f"refused with HTTP status {error.status}", _wait(error)) from None
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            await session.close()
            # The error's own text may hold the proxy's password.
            raise Unreachable(type(error).__name__) from None
        except BaseException:
            await session.close()
            raise
        return cls(line, reader, session, socket)

    def start(self, listener: Listener) -> None:
        for work in (self._read(listener), self._speak()):
            task = asyncio.create_task(work)
            task.add_done_callback(self._finished)
            self._tasks.append(task)

    def memory(self) -> object:
        """See `Talk.memory`."""
        return self._talk.memory()

    async def ready(self, *, until_it_speaks: bool) -> None:
        """Wait until it is subscribed, and has said something of the market if that is asked for."""
        await self._subscribed.wait()
        if until_it_speaks:
            await self._spoke.wait()

    def hang_up(self, reason: str) -> None:
        """End it from our side; `close` is still to be called."""
        if not self.ended.done():
            self.ended.set_result(reason)

    async def close(self, *, politely: bool = False) -> None:
        """Let go of it; politely is with a goodbye that the venue may answer."""
        self.hang_up("closed")
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        try:
            # Not waiting for an answer, too, is how the socket's own connection is given back.
            async with asyncio.timeout(None if politely else 0):
                await self._socket.close()
        except TimeoutError:
            pass
        finally:
            await self._session.close()

    def _finished(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            return
        error = task.exception()
        if error is None or isinstance(error, TurnedAway):
            self.hang_up(str(error) if error else self._why())
        elif isinstance(error, ConnectionError | aiohttp.ClientError | RuntimeError):
            self.hang_up(f"broken: {type(error).__name__}")
        elif not self.ended.done():
            self.ended.set_exception(error)

    def _why(self) -> str:
        error = self._socket.exception()
        if error is not None:
            return f"broken: {type(error).__name__}"
        return f"closed by the venue with code {self._socket.close_code}"

    async def _read(self, listener: Listener) -> None:
        """All the work of one frame; nothing here may take long."""
        socket, talk, clock = self._socket, self._talk, time.time_ns
        receive, hear, heard, spoke = socket.receive, talk.hear, listener.heard, self._spoke
        read_by = self.read_by
        while True:
            message = await receive()
            if message.type not in _DATA:
                return
            frame, received_ns = message.data, clock()
            if len(frame) > FRAME_LIMIT:
                listener.refused(frame, "oversized", received_ns)
                continue
            try:
                readings = hear(frame)
            except UnreadableFrame as error:
                listener.refused(self._without_secrets(frame), str(error), received_ns)
                continue
            if not readings:
                frame = self._without_secrets(frame)
            if talk.refused:
                self._tell_refused(listener, frame, received_ns)
            heard(read_by, frame, readings, received_ns)
            if not readings:
                await self._answer()
            elif not spoke.is_set():
                spoke.set()

    def _without_secrets(self, frame: RawFrame) -> RawFrame:
        """As long as before, so that a binary frame can still be read."""
        for secret in self._line.secrets:
            if isinstance(frame, str):
                frame = frame.replace(secret, "*" * len(secret))
            else:
                frame = frame.replace(secret.encode(), b"*" * len(secret.encode()))
        return frame

    def _tell_refused(self, listener: Listener, frame: RawFrame, received_ns: int) -> None:
        for reason in self._talk.refused:
            listener.refused(frame, reason, received_ns)
        self._talk.refused.clear()

    async def _answer(self) -> None:
        for frame in self._talk.answers():
            await self._send(frame)
        if self._talk.subscribed:
            self._subscribed.set()

    async def _speak(self) -> None:
        for frame in self._talk.opening():
            await self._send(frame)
        if self._talk.subscribed:
            self._subscribed.set()
        while (ping := self._talk.ping()) is not None:
            await asyncio.sleep(self._line.ping_seconds)
            await self._send(ping)
        await asyncio.Event().wait()

    async def _send(self, frame: RawFrame) -> None:
        if isinstance(frame, str):
            await self._socket.send_str(frame)
        else:
            await self._socket.send_bytes(frame)
        if self._line.message_seconds:
            await asyncio.sleep(self._line.message_seconds)


def _wait(refusal: aiohttp.WSServerHandshakeError) -> float:
    """How long a refused handshake asks us to stay away, in seconds."""
    wait = _WAITS.get(refusal.status, 0.0)
    told = refusal.headers.get("Retry-After", "") if refusal.headers else ""
    with suppress(ValueError):
        wait = max(0.0, float(told))
    return min(wait, _WAIT_MAX)
