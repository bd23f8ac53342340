"""The private stream: the vendor's client connects and authenticates; frames are read when they are asked for.

Nobody reads between two turns: what has come waits in the connection, and a ping that is answered proves
that all that the venue had sent before is there.
"""

from __future__ import annotations

import asyncio
import itertools
import warnings
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from alpaca.trading.stream import TradingStream

from websockets.exceptions import WebSocketException

from nexus_executor.venues.access import Access
from nexus_executor.venues.alpaca.tunnel import open_tunnel

_BROKEN = (OSError, WebSocketException, ValueError, AttributeError, TypeError, TimeoutError, RuntimeError)


class StreamDead(Exception):
    """There is no connection, or it does not answer."""


async def _nobody(_message: object) -> None:
    """The vendor's client subscribes when somebody handles messages; we read the frames themselves."""


class TradeUpdates:
    """One connection at a time; Alpaca has one stream for a key."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._address = access.stream_url.rstrip("/") + "/stream"
        self._client: Any = None
        self._pings = itertools.count(1)

    async def connect(self) -> None:
        """Connect anew, authenticate, listen; raises StreamDead."""
        await self.close()
        access = self._access
        params: dict[str, Any] = {
            "open_timeout": access.timeout_seconds,
            "close_timeout": min(access.timeout_seconds, 1.0),
            "ping_interval": 20,
            "ping_timeout": 20,
            "max_queue": None,
        }
        try:
            if access.proxy is not None:
                target = urlsplit(self._address)
                params["sock"] = await open_tunnel(access.proxy, target, access.timeout_seconds)
                if target.scheme == "wss":
                    params["server_hostname"] = target.hostname
            # The vendor's way to connect, authenticate and listen, without its endless loop around them.
            client: Any = TradingStream(
                access.key,
                access.secret,
                paper=not access.live,
                raw_data=True,
                url_override=self._address,
                websocket_params=params,
            )
            client.subscribe_trade_updates(_nobody)
            self._client = client
            await asyncio.wait_for(client._start_ws(), access.timeout_seconds)
        except _BROKEN as error:
            await self.close()
            raise StreamDead(f"no private stream: {type(error).__name__}") from None

    async def frames(self) -> list[str | bytes]:
        """Everything that the venue had sent when this was called; raises StreamDead."""
        socket: Any = None if self._client is None else self._client._ws
        if socket is None:
            raise StreamDead("not connected")
        try:
            pong = await socket.ping(f"nexus-{next(self._pings)}")
            await asyncio.wait_for(pong, self._access.timeout_seconds)
            return await self._read(socket)
        except _BROKEN as error:
            raise StreamDead(f"the private stream is gone: {type(error).__name__}") from None

    async def left(self) -> list[str | bytes]:
        """What a dead connection had still brought."""
        socket: Any = None if self._client is None else self._client._ws
        try:
            return [] if socket is None else await self._read(socket)
        except _BROKEN:
            return []

    @staticmethod
    async def _read(socket: Any) -> list[str | bytes]:
        read: list[str | bytes] = []
        while socket.messages:
            read.append(await socket.recv())
        return read

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with suppress(*_BROKEN):
                await client.close()
