"""pybit's private WebSocket, run by its own threads; every frame is handed to our loop as it came."""

from __future__ import annotations

import json
import logging
import socket as sockets
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import websocket
from pybit._http_manager import generate_signature
from pybit.unified_trading import WebSocket

from nexus_executor.venues.access import Access

TOPICS: Final = ("order", "execution", "position", "wallet")
_ALIVE: Final = "600s"


class NotConnected(Exception):
    """There is no private stream."""


class PrivateSocket(WebSocket):  # type: ignore[misc]
    """One connection, which is not made again by itself: who misses a frame must ask for what it missed.

    `heard` and `lost` are called in pybit's thread.
    """

    def __init__(
        self,
        access: Access,
        now_ms: int,
        heard: Callable[[str], None],
        lost: Callable[[str], None],
    ) -> None:
        """Connect and log in; for a worker thread.

        `now_ms` is the venue's time, from which the login expires.

        Raises:
            NotConnected: nobody is there.
        """
        self._address = f"{access.stream_url.rstrip('/')}/v5/private?max_active_time={_ALIVE}"
        self._proxy = _proxy_arguments(access.proxy)
        self._now_ms = now_ms
        self._heard = heard
        self._lost = lost
        self._leaving = False
        logging.getLogger("websocket").setLevel(logging.CRITICAL)
        websocket.setdefaulttimeout(access.timeout_seconds)
        try:
            super().__init__(
                "private",
                testnet=False,
                api_key=access.key,
                api_secret=access.secret,
                # pybit counts its last attempt as failed even when it succeeds: two make one.
                retries=2,
                restart_on_error=False,
                private_auth_expire=max(access.receive_window_seconds, 5),
            )
        except (websocket.WebSocketException, OSError) as error:
            raise NotConnected(f"{type(error).__name__}: {error}") from error

    # pybit makes the connection's object and starts it; the proxy is put in between.
    @property
    def ws(self) -> Any:
        return self._app

    @ws.setter
    def ws(self, app: Any) -> None:
        app.run_forever = partial(app.run_forever, **self._proxy)
        self._app = app

    def _connect(self, url: str) -> None:
        super()._connect(self._address)

    def _auth(self) -> None:
        """Log in until the venue's own time plus a few seconds, whatever our clock says."""
        expires = self._now_ms + self.private_auth_expire * 1000
        signature = generate_signature(self.rsa_authentication, self.api_secret, f"GET/realtime{expires}")
        self.ws.send(json.dumps({"op": "auth", "args": [self.api_key, expires, signature]}))

    def _on_message(self, message: str | bytes) -> None:
        text = message if isinstance(message, str) else message.decode("utf-8", "replace")
        self._heard(text)

    def _on_error(self, error: Exception) -> None:
        inner = self._app.sock
        if inner is not None:
            inner.shutdown()  # the library leaves it open after the venue's own goodbye
        if not self._leaving:
            self._lost(f"{type(error).__name__}")

    def _on_close(self) -> None:
        self._stop_custom_ping_timer()
        if not self._leaving:
            self._lost("closed")

    def listen(self) -> None:
        """Subscribe to every private topic; for a worker thread. Raises NotConnected."""
        try:
            for topic in TOPICS:
                self.subscribe(topic, self._ignore)
        except (websocket.WebSocketException, OSError, AttributeError) as error:
            raise NotConnected(f"{type(error).__name__}") from error

    @staticmethod
    def _ignore(_message: object) -> None:
        """pybit wants a callback for a topic; frames do not come this way."""

    def ping(self, identity: str) -> None:
        """Bybit's own ping, answered on this socket after everything sent before; for a worker thread.

        Raises:
            NotConnected: the socket is dead.
        """
        try:
            self.ws.send(json.dumps({"op": "ping", "req_id": identity}))
        except (websocket.WebSocketException, OSError, AttributeError) as error:
            raise NotConnected(f"{type(error).__name__}") from error

    def exit(self) -> None:
        """Hang up; for a worker thread. The reading thread ends by itself, without waiting for goodbyes."""
        self._leaving = True
        self.exited = True
        self._stop_custom_ping_timer()
        app = getattr(self, "_app", None)
        if app is None:
            return
        app.keep_running = False
        inner = getattr(app.sock, "sock", None)
        if inner is not None:
            with suppress(OSError):  # it is down already
                inner.shutdown(sockets.SHUT_RDWR)
        thread = getattr(self, "wst", None)
        if thread is not None and thread.is_alive():
            thread.join(timeout=5)


def _proxy_arguments(proxy: str | None) -> dict[str, Any]:
    """The account's proxy or none, whatever the environment says: an address may be bound to the key."""
    if proxy is None:
        # The library reads the environment unless it is given a proxy, and uses none for what is in this list.
        nobody = {"http_proxy_host": "nobody.invalid", "http_proxy_port": 1, "proxy_type": "http"}
        return {**nobody, "http_no_proxy": ["*"]}
    parts = urlsplit(proxy)
    arguments: dict[str, Any] = {
        "http_proxy_host": parts.hostname,
        "http_proxy_port": parts.port,
        "http_no_proxy": ["nobody.invalid"],
        "proxy_type": parts.scheme if parts.scheme.startswith("socks") else "http",
    }
    if parts.username:
        arguments["http_proxy_auth"] = unquote(parts.username), unquote(parts.password or "")
    return arguments
