"""The private stream of an account: connected, listened to up to a pong, and filled up when it had a gap."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from itertools import count
from typing import Final

from nexus_executor.venues.access import Access
from nexus_executor.venues.broker import VenueDown, VenueUpdate
from nexus_executor.venues.bybit import messages
from nexus_executor.venues.bybit.reading import Row, moment_of, read_document, rows_of, text_of
from nexus_executor.venues.bybit.rest import Rest
from nexus_executor.venues.bybit.socket import TOPICS, NotConnected, PrivateSocket
from nexus_executor.venues.bybit.witness import Witness
from nexus_executor.venues.private_stream import PrivateStream, UnreadableFrame

# A gap is filled from a little before it, since the venue's rows carry times of their own.
_BEFORE: Final = timedelta(minutes=2)
# A pong may overtake a message about an order, which comes from another server of the venue's.
_PATIENCE: Final = 0.25


class Listener:
    """Reads frames into a PrivateStream; `fill_up` asks over REST for what happened since a time."""

    def __init__(
        self,
        access: Access,
        rest: Rest,
        workers: Executor,
        stream: PrivateStream,
        currency: str,
        fill_up: Callable[[datetime], Awaitable[object]],
        positioned: Callable[[Row], None],
    ) -> None:
        self._access = access
        self._rest = rest
        self._workers = workers
        self._stream = stream
        self._currency = currency
        self._fill_up = fill_up
        self._positioned = positioned
        self._news = asyncio.Event()
        self._is_suspect = False
        # The stream was lost, and what it missed has not been asked for yet.
        self._has_gap = False
        self.witness = Witness()
        self._socket: PrivateSocket | None = None
        self._alive = False
        self._ready: asyncio.Future[None] | None = None
        self._subscribed = 0
        self._pongs: dict[str, asyncio.Future[None]] = {}
        self._numbers = count(1)
        self._generation = 0
        self._wallet_at: datetime | None = None
        self._whole_until: datetime | None = None

    async def connect(self) -> None:
        """Log in and subscribe; raises VenueDown."""
        await self.hang_up()
        loop = asyncio.get_running_loop()
        now = await self._rest.server_time()
        self._generation += 1
        self._ready, self._subscribed, self._alive = loop.create_future(), 0, True
        make = partial(
            PrivateSocket,
            self._access,
            int(now.timestamp() * 1000),
            partial(self._from_thread, loop, self._heard),
            partial(self._from_thread, loop, partial(self._lost, self._generation)),
        )
        try:
            self._socket = await loop.run_in_executor(self._workers, make)
            await loop.run_in_executor(self._workers, self._socket.listen)
            await asyncio.wait_for(self._ready, self._access.timeout_seconds)
        except (NotConnected, TimeoutError, RuntimeError) as error:
            self._alive = False
            await self.hang_up()
            raise VenueDown(f"Bybit's private stream: {error or type(error).__name__}") from error
        self.witness.forget()
        self._is_suspect = False
        if self._whole_until is None:
            self._whole_until = now

    @staticmethod
    def _from_thread(loop: asyncio.AbstractEventLoop, take: Callable[[str], None], text: str) -> None:
        with suppress(RuntimeError):  # the loop is gone: nobody listens any more
            loop.call_soon_threadsafe(take, text)

    def _lost(self, generation: int, reason: str) -> None:
        if generation != self._generation:
            return
        self._alive = False
        self._fail(VenueDown(f"Bybit's private stream: {reason}"))

    def _fail(self, error: Exception) -> None:
        waiting = [*self._pongs.values(), *([self._ready] if self._ready else [])]
        for future in waiting:
            if not future.done():
                future.set_exception(error)
                future.exception()  # who waits sees it; who does not, need not
        self._pongs.clear()

    async def hang_up(self) -> None:
        socket, self._socket, self._alive = self._socket, None, False
        if socket is None:
            return
        with suppress(RuntimeError):  # the workers are gone
            await asyncio.get_running_loop().run_in_executor(self._workers, socket.exit)

    # -- up to now ------------------------------------------------------------------------------------

    async def catch_up(self) -> None:
        """Make sure that all the venue has sent was read, and that nothing is missing; raises VenueDown.

        What is missing is asked for over REST; a stream that still owes it the next time is made anew.
        """
        asked_at = await self._rest.now()
        if not await self._barrier() or self.witness.is_silent:
            await self._repair()
        elif self._has_gap:
            await self._ask()
        elif not await self.comes_true(lambda: self.witness.hole() is None):
            if self._is_suspect:
                await self._repair()
            else:
                await self._ask()
                self._is_suspect = True
        else:
            self._is_suspect = False
        self._whole_until = asked_at

    async def comes_true(self, fits: Callable[[], bool]) -> bool:
        """Whether what the stream told fits, now or within the moment that a frame may take longer than a pong."""
        if fits():
            return True
        with suppress(TimeoutError):
            async with asyncio.timeout(min(_PATIENCE, self._access.timeout_seconds)):
                while not fits():
                    self._news.clear()
                    await self._news.wait()
        return fits()

    async def _ask(self) -> None:
        if self._whole_until is not None:
            await self._fill_up(self._whole_until - _BEFORE)
        self._has_gap = False
        self.witness.asked_for_it()

    async def _repair(self) -> None:
        """Listen anew, then ask for everything since the stream was whole."""
        self._has_gap = True
        await self.connect()
        if not await self._barrier():
            raise VenueDown("Bybit's private stream does not answer a ping")
        await self._ask()

    async def is_read(self) -> bool:
        """Whether all that was sent has been read; False when the stream is dead."""
        return await self._barrier()

    async def _barrier(self) -> bool:
        """A ping that is answered on the same socket behind all that was sent before it."""
        socket = self._socket
        if socket is None or not self._alive:
            return False
        identity = f"b{next(self._numbers)}"
        loop = asyncio.get_running_loop()
        pong: asyncio.Future[None] = loop.create_future()
        self._pongs[identity] = pong
        try:
            await loop.run_in_executor(self._workers, socket.ping, identity)
            await asyncio.wait_for(pong, self._access.timeout_seconds)
        except (NotConnected, TimeoutError, VenueDown, RuntimeError):
            return False  # RuntimeError: the workers are gone, the broker is closed
        finally:
            self._pongs.pop(identity, None)
        return self._alive

    # -- frames ---------------------------------------------------------------------------------------

    def _heard(self, text: str) -> None:
        try:
            frame = read_document(text)
            if "topic" in frame:
                self._private(frame)
            else:
                self._control(frame)
        except UnreadableFrame as error:
            self._stream.refuse(str(error))
            self.witness.torn(str(error))
        self._news.set()

    def _control(self, frame: Row) -> None:
        op = frame.get("op")
        if op == "pong" or frame.get("ret_msg") == "pong":
            pong = self._pongs.get(str(frame.get("req_id")))
            if pong is not None and not pong.done():
                pong.set_result(None)
        elif op in ("auth", "subscribe"):
            self._answered(str(op), frame)
        else:
            raise UnreadableFrame("neither a topic nor an answer")

    def _answered(self, op: str, frame: Row) -> None:
        if frame.get("success") is not True:
            reason = frame.get("ret_msg") or frame.get("retMsg")
            self._alive = False
            self._fail(VenueDown(f"Bybit refuses {op}: {frame.get('retCode', '')} {reason}"))
        elif op == "subscribe":
            self._subscribed += 1
            if self._subscribed == len(TOPICS) and self._ready is not None and not self._ready.done():
                self._ready.set_result(None)

    def _private(self, frame: Row) -> None:
        topic, at = text_of(frame, "topic"), moment_of(frame, "creationTime")
        rows = rows_of(frame, "data")
        if topic not in TOPICS:
            raise UnreadableFrame(f"unknown topic {topic[:40]}")
        for number, row in enumerate(rows):
            try:
                told = self._told(topic, row, f"{text_of(frame, 'id')}/{number}", at)
            except UnreadableFrame as error:
                self._stream.refuse(f"{topic}: {error}")
                self.witness.torn(f"{topic}: {error}")
                continue
            self._stream.offer(told)

    def _told(self, topic: str, row: Row, key: str, at: datetime) -> list[VenueUpdate]:
        if not messages.is_ours(row):
            return []
        match topic:
            case "execution":
                update = messages.execution(row)
                self.witness.heard_execution(row)
            case "order":
                changes = messages.order_changes(row)
                self.witness.heard_order(row)
                return changes
            case "position":
                self.witness.heard_position(row)
                self._positioned(row)
                update = messages.position_notice(row, key, at)
            case _:
                update = self._wallet(row, key, at)
        return [] if update is None else [update]

    def _wallet(self, row: Row, key: str, at: datetime) -> VenueUpdate | None:
        """The newest balance; one that comes late must not put the wallet back."""
        if self._wallet_at is not None and at < self._wallet_at:
            return None
        self._wallet_at = at
        return messages.balance(row, self._currency, key, at)
