"""ccxt, kept to what it is asked for: it signs, sends and holds the sockets; answers come out as they came in.

No vendor type leaves this file.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import aiohttp
from ccxt.async_support.base.ws.client import Client
from ccxt.base.errors import BaseError
from ccxt.pro import binanceusdm

from nexus_executor.venues.access import Access
from nexus_executor.venues.binance.evidence import Raw

_REAL: Final = re.compile(r"^https://fapi\.binance\.com/?$")
_ORIGIN: Final = re.compile(r"^(http|ws)s?://[^/]+")


class NoAnswer(Exception):
    """The request may have been carried out; nothing readable came back."""


class _Answered(Exception):
    """Carries an answer past ccxt's own reading of it, which goes through floats and names of its own."""

    def __init__(self, raw: Raw) -> None:
        super().__init__(raw.status)
        self.raw = raw


class _Vendor(binanceusdm):  # type: ignore[misc]
    """Signs with the time it is told, and neither parses nor retries."""

    signing_time: int
    make_line: Callable[[str], Client]

    def nonce(self) -> int:
        return self.signing_time

    def on_rest_response(
        self, code: int, reason: str, url: str, method: str, headers: dict[str, str], body: str, *rest: Any
    ) -> str:
        raise _Answered(Raw(code, body, {name.lower(): value for name, value in headers.items()}))


class _Line(Client):  # type: ignore[misc]
    """One WebSocket whose messages come out as text, and whose pongs are heard."""

    heard: Callable[[str | bytes], None]
    ponged: Callable[[bytes], None]

    def handle_message(self, message: aiohttp.WSMessage) -> None:
        if message.type is aiohttp.WSMsgType.PONG:
            self.ponged(bytes(message.data))
        super().handle_message(message)

    def handle_text_or_binary_message(self, data: str | bytes) -> None:
        self.heard(data)


def rewritten(tree: Any, rest: str, stream: str) -> Any:
    """ccxt's table of addresses with other hosts; paths stay."""
    if isinstance(tree, dict):
        return {name: rewritten(value, rest, stream) for name, value in tree.items()}
    if not isinstance(tree, str):
        return tree
    return _ORIGIN.sub(stream if tree.startswith("ws") else rest, tree)


class VendorSession:
    """Binance's REST and WebSocket through ccxt for one account."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._vendor = _Vendor(_config(access))
        self._vendor.signing_time = 0
        if not _REAL.match(access.rest_url):
            self._vendor.urls["api"] = rewritten(
                self._vendor.urls["api"], access.rest_url.rstrip("/"), access.stream_url.rstrip("/")
            )
        self._vendor.timeout_on_exit = 0
        # ccxt logs requests with their keys and signatures.
        silent = logging.Logger("ccxt of one account")
        silent.disabled = True
        self._vendor.logger = silent

    async def send(self, endpoint: str, params: dict[str, str], signed_at: int) -> Raw:
        """One HTTP request; `endpoint` is ccxt's name of it. Raises NoAnswer."""
        method = getattr(self._vendor, endpoint)
        self._session()
        # ccxt signs before it first waits, so nobody else's time comes between.
        self._vendor.signing_time = signed_at
        try:
            await method(dict(params))
        except _Answered as answered:
            return answered.raw
        except (TimeoutError, BaseError, aiohttp.ClientError, OSError) as error:
            cause = error.__cause__ or error
            # Their texts hold the address, with its signature.
            raise NoAnswer(f"{type(error).__name__}: {type(cause).__name__}") from None
        raise NoAnswer("ccxt returned without an answer")

    async def connect(
        self, listen_key: str, heard: Callable[[str | bytes], None], ponged: Callable[[bytes], None]
    ) -> VendorLine:
        """Open the user data stream of a listen key. Raises NoAnswer."""
        vendor = self._vendor
        url = vendor.get_private_ws_url("linear", listen_key)
        session = self._session()
        line = _Line(
            url,
            lambda *_: None,
            lambda *_: None,
            lambda *_: None,
            lambda *_: None,
            {**vendor.streaming, "asyncio_loop": asyncio.get_running_loop(), "verbose": False},
        )
        line.connectionTimeout = max(1_000, int(self._access.timeout_seconds * 1_000))
        line.heard, line.ponged = heard, ponged
        proxies = [proxy for proxy in vendor.check_ws_proxy_settings()[:2] if proxy]
        line.proxy = proxies[0] if proxies else None
        await line.open(session)
        if not line.isConnected or line.closed():
            # The error's text may hold the address, with the listen key.
            raise NoAnswer(f"the user stream cannot be opened: {type(line.error).__name__}")
        return VendorLine(line)

    def _session(self) -> aiohttp.ClientSession:
        """ccxt's HTTP session, which must not repeat a DELETE whose connection broke."""
        self._vendor.open()
        session: aiohttp.ClientSession = self._vendor.session
        session._retry_connection = False
        return session

    async def close(self) -> None:
        with suppress(BaseError, aiohttp.ClientError, OSError):
            await self._vendor.close()


class VendorLine:
    """An open user data stream."""

    def __init__(self, line: _Line) -> None:
        self._line = line

    @property
    def alive(self) -> bool:
        return not self._line.closed()

    async def ping(self, payload: bytes) -> None:
        """Raises NoAnswer when the socket is gone."""
        if self._line.closed():
            raise NoAnswer("the user stream's socket is closed")
        try:
            await self._line.connection.ping(payload)
        except (ConnectionError, RuntimeError, aiohttp.ClientError) as error:
            raise NoAnswer(f"the user stream's socket is closed: {type(error).__name__}") from error

    async def close(self) -> None:
        with suppress(BaseError, aiohttp.ClientError, OSError, RuntimeError):
            await self._line.close()


def _config(access: Access) -> dict[str, Any]:
    config: dict[str, Any] = {
        "apiKey": access.key,
        "secret": access.secret,
        "enableRateLimit": False,
        "timeout": int(access.timeout_seconds * 1_000),
        "options": {"fetchCurrencies": False, "fetchMargins": False, "maxRetriesOnFailure": 0},
    }
    if access.proxy is not None:
        socks = access.proxy.startswith("socks")
        config["socksProxy" if socks else "httpsProxy"] = access.proxy
        config["wsSocksProxy" if socks else "wssProxy"] = access.proxy
    return config
