"""What is published from now on, heard as it comes: a plain subscription to subjects of a stream.

Nothing is remembered for the listener, so it needs no consumer that a lost server could forget; the client asks for
the subjects again after each reconnection, and we do when the client itself was replaced. What is published while
the connection is broken is not heard.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, suppress
from typing import Final

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from nexus_common.runtime.bus.jetstream.link import Link
from nexus_common.runtime.errors import BusUnavailable

WAITING_MAX: Final = 65_536
LOOK_SECONDS: Final = 0.25


class Listener:
    """Hears subjects, patterns included. A listener that cannot follow loses the oldest; `missed` counts them."""

    def __init__(self, link: Link, subjects: Sequence[str]) -> None:
        self.missed = 0
        self._link = link
        self._subjects = list(subjects)
        self._client: Client | None = None
        self._subscriptions: list[Subscription] = []
        self._queue: asyncio.Queue[Msg] = asyncio.Queue(WAITING_MAX)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async with aclosing(self.messages()) as messages:
            async for message in messages:
                yield message.data

    async def messages(self) -> AsyncGenerator[Msg, None]:
        """Each as the client gave it, with the address that an answer goes to."""
        try:
            while True:
                await self._subscribe()
                message = await self._next()
                if message is not None:
                    yield message
                while not self._queue.empty():
                    yield self._queue.get_nowait()
        finally:
            await self._unsubscribe()

    async def _subscribe(self) -> None:
        """Have the present client send us our subjects; without a connection it is tried again later."""
        with suppress(BusUnavailable, nats.errors.Error, OSError):
            client = self._link.client
            if client is self._client:
                return
            await self._unsubscribe()
            for subject in self._subjects:
                self._subscriptions.append(await client.subscribe(subject, cb=self._on_message))
            await client.flush()
            self._client = client

    async def _next(self) -> Msg | None:
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_SECONDS):
                return await self._queue.get()
        return None

    async def _unsubscribe(self) -> None:
        subscriptions, self._subscriptions = self._subscriptions, []
        for each in subscriptions:
            with suppress(nats.errors.Error, OSError):
                await each.unsubscribe()

    async def _on_message(self, msg: Msg) -> None:
        if self._queue.full():
            self._queue.get_nowait()
            self.missed += 1
        self._queue.put_nowait(msg)
