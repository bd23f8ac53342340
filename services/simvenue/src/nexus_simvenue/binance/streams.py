"""The user data stream: listen keys of sixty minutes, and the sockets that came with one.

Source: User Data Streams and the WebSocket change notice: /public, /market and /private are addresses of their
own, and /ws/<listenKey> without one of them is no more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Final

import orjson

from nexus_simvenue.binance.endpoints import Asked, Endpoint, Security
from nexus_simvenue.binance.errors import Wrong
from nexus_simvenue.binance.parameters import millis
from nexus_simvenue.wire.dialect import Frame, Outgoing, Socket, SocketRefused

_LIFE: Final = timedelta(minutes=60)


class Streams:
    """`keys` holds each account's key and until when it lives."""

    def __init__(self) -> None:
        self._keys: dict[str, tuple[str, datetime]] = {}
        self._made = 0
        self._out: list[Outgoing] = []

    def endpoints(self) -> Mapping[tuple[str, str], Endpoint]:
        key = Security.KEY
        return {
            ("POST", "/fapi/v1/listenKey"): Endpoint(self._make, key, 1),
            ("PUT", "/fapi/v1/listenKey"): Endpoint(self._extend, key, 1, ("listenKey",)),
            ("DELETE", "/fapi/v1/listenKey"): Endpoint(self._drop, key, 1, ("listenKey",)),
        }

    def taken(self) -> list[Outgoing]:
        out, self._out = self._out, []
        return out

    def expire(self, now: datetime, account: str | None = None) -> None:
        """End keys that are over (or one account's, at once): its sockets are told and then hear nothing."""
        for owner, (key, until) in list(self._keys.items()):
            if now >= until or owner == account:
                del self._keys[owner]
                told = {"e": "listenKeyExpired", "E": millis(now), "listenKey": key}
                frame = orjson.dumps(told).decode()
                self._out.append(Outgoing(owner, key, "listenKeyExpired", frame))

    def _make(self, asked: Asked) -> dict[str, Any]:
        known = self._keys.get(asked.account)
        if known is None:
            self._made += 1
            key = sha256(f"listen key {self._made} of {asked.account}".encode()).hexdigest()
        else:
            key = known[0]
        self._keys[asked.account] = (key, asked.now + _LIFE)
        return {"listenKey": key}

    def _extend(self, asked: Asked) -> dict[str, Any]:
        known = self._keys.get(asked.account)
        if known is None:
            raise Wrong(-1125)
        self._keys[asked.account] = (known[0], asked.now + _LIFE)
        return {"listenKey": known[0]}

    def _drop(self, asked: Asked) -> dict[str, Any]:
        if self._keys.pop(asked.account, None) is None:
            raise Wrong(-1125)
        return {}

    # -- sockets ------------------------------------------------------------------------------------

    def opened(self, socket: Socket) -> Sequence[Frame]:
        """Raises SocketRefused for an address that is no more and for a key that nobody holds."""
        kind, _, tail = socket.path.removeprefix("/private/").partition("/")
        if not socket.path.startswith("/private/") or kind != "ws":
            raise SocketRefused(404, "user data streams are at /private/ws?listenKey=… now")
        key = socket.query.get("listenKey") or tail
        owner = next((name for name, (held, _) in self._keys.items() if held == key), None)
        if owner is None:
            raise SocketRefused(400, "no such listen key")
        socket.account = owner
        socket.notes["key"] = key
        return ()

    def wants(self, socket: Socket, outgoing: Outgoing) -> bool:
        if socket.account != outgoing.account:
            return False
        if outgoing.kind == "listenKeyExpired":
            return bool(socket.notes["key"] == outgoing.topic)
        held = self._keys.get(outgoing.account)
        return held is not None and socket.notes["key"] == held[0]

    @staticmethod
    def heard(frame: Frame) -> Sequence[Frame]:
        """Answer SUBSCRIBE and the like as a stream without anything to choose does."""
        try:
            number = orjson.loads(frame).get("id")
        except (orjson.JSONDecodeError, AttributeError):
            return (orjson.dumps({"error": {"code": 3, "msg": "Invalid JSON"}}).decode(),)
        return (orjson.dumps({"result": None, "id": number}).decode(),)
