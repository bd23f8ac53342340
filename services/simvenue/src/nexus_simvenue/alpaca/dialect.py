"""Alpaca's REST API and stream on the wire: keys, rate limit, routes, trade updates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from urllib.parse import unquote

import orjson

from nexus_common.contracts.values import Venue
from nexus_market.exchange import Exchange
from nexus_simvenue.alpaca.book import TRADE_UPDATES, Book
from nexus_simvenue.alpaca.desk import Desk
from nexus_simvenue.alpaca.problems import FORBIDDEN, NOT_FOUND, RATE_LIMIT, UNAUTHORIZED, Problem, scripted
from nexus_simvenue.alpaca.routes import ROUTES, Routes
from nexus_simvenue.faults import Call
from nexus_simvenue.wire.dialect import (
    Frame,
    Outgoing,
    Socket,
    SocketRefused,
    Visibility,
    Window,
    simulated_secret,
)
from nexus_simvenue.wire.http import HttpRequest, HttpResponse

# alpaca.markets/support/usage-limit-api-calls
REQUESTS_A_MINUTE: Final = 200
_NO_CONTENT = HttpResponse(204, "")


class AlpacaDialect:
    """Speaks for all accounts of the venue. An account's API key is its name."""

    venue = Venue.ALPACA

    def __init__(self, exchange: Exchange, visibility: Visibility) -> None:
        self._exchange = exchange
        self._desk = Desk(exchange)
        self._routes = Routes(exchange, self._desk, visibility)
        self._requests = Window(60)
        self._streams: dict[str, Socket] = {}

    # -- requests -----------------------------------------------------------------------------------

    def call_of(self, request: HttpRequest) -> Call:
        for method, pattern, name, _route in ROUTES:
            if method == request.method and pattern.fullmatch(request.path):
                return Call(name, self._kind(request), self._key(request), str(self.venue))
        return Call("unknown", None, self._key(request), str(self.venue))

    def _kind(self, request: HttpRequest) -> str | None:
        """The kind of the order that a request speaks of, as fault rules call it."""
        if request.method == "POST":
            try:
                document = orjson.loads(request.body)
            except orjson.JSONDecodeError:
                return None
            kind = document.get("type") if isinstance(document, dict) else None
            return {"stop_limit": "stop"}.get(str(kind), str(kind)) if kind else None
        book = self._desk.books.get(self._key(request) or "")
        record = None if book is None else book.records.get(request.path.rsplit("/", 1)[-1])
        return None if record is None else {"stop_limit": "stop"}.get(record.wish.type, record.wish.type)

    @staticmethod
    def _key(request: HttpRequest) -> str | None:
        return request.headers.get("apca-api-key-id")

    def changes(self, request: HttpRequest) -> bool:
        return request.method in ("POST", "PATCH", "DELETE")

    def handle(self, request: HttpRequest, now: datetime) -> HttpResponse:
        headers: dict[str, str] = {}
        try:
            book = self._authorized(request)
            headers = self._counted(book.account, now)
            for method, pattern, _name, route in ROUTES:
                match = pattern.fullmatch(request.path)
                if match and method == request.method:
                    argument = unquote(match.group(1)) if match.groups() else ""
                    status, document = route(self._routes, book, request, now, argument)
                    if status == _NO_CONTENT.status:
                        return HttpResponse(status, "", headers)
                    return HttpResponse.json(document, status, headers)
            raise Problem(NOT_FOUND, "endpoint not found.")
        except Problem as problem:
            if problem.code == RATE_LIMIT:
                headers = {**self._limits(0, now), "Retry-After": "60"}
            return problem.response(headers)

    def _authorized(self, request: HttpRequest) -> Book:
        key, secret = self._key(request), request.headers.get("apca-api-secret-key")
        if key is None or key not in self._exchange.accounts or secret != simulated_secret(key):
            raise Problem(UNAUTHORIZED, "request is not authorized")
        book = self._desk.book(key)
        if book.flags.revoked:
            raise Problem(UNAUTHORIZED, "request is not authorized")
        if book.flags.ip_restricted:
            raise Problem(FORBIDDEN, "forbidden.")
        return book

    def _counted(self, account: str, now: datetime) -> dict[str, str]:
        used = self._requests.add(account, 1, now)
        if used > REQUESTS_A_MINUTE:
            raise Problem(RATE_LIMIT, "rate limit exceeded")
        return self._limits(REQUESTS_A_MINUTE - used, now)

    @staticmethod
    def _limits(remaining: int, now: datetime) -> dict[str, str]:
        return {
            "X-Ratelimit-Limit": str(REQUESTS_A_MINUTE),
            "X-Ratelimit-Remaining": str(remaining),
            "X-Ratelimit-Reset": str(int(now.timestamp()) + 60),
        }

    def refusal(self, code: str, request: HttpRequest) -> HttpResponse:
        return scripted(code).response()

    def limited(self, status: int, retry_after: float, now: datetime) -> HttpResponse:
        headers = {**self._limits(0, now), "Retry-After": str(max(1, round(retry_after)))}
        return Problem(RATE_LIMIT, "rate limit exceeded", status=status).response(headers)

    # -- time and the stream ------------------------------------------------------------------------

    def before_step(self, at: datetime) -> None:
        self._desk.before_step(at)

    def tend(self) -> None:
        for name in self._exchange.accounts:
            self._desk.book(name)
        self._desk.tend()

    def outbox(self) -> Sequence[Outgoing]:
        out: list[Outgoing] = []
        for book in self._desk.books.values():
            out += book.outgoing
            book.outgoing = []
        return out

    def opened(self, socket: Socket, now: datetime) -> Sequence[Frame]:
        if socket.path.rstrip("/") != "/stream":
            raise SocketRefused(404, "not found")
        return ()

    def heard(self, socket: Socket, frame: Frame, now: datetime) -> Sequence[Frame]:
        try:
            message = orjson.loads(frame)
            action, data = message["action"], message.get("data") or {}
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
            return (_frame("error", {"error": "message is not understood"}),)
        if action in ("authenticate", "auth"):
            return (self._authenticate(socket, data if data else message),)
        if socket.account is None:
            return (_frame("authorization", {"status": "unauthorized", "action": action}),)
        if action == "listen":
            wanted = data.get("streams") or []
            socket.topics = {name for name in wanted if name == TRADE_UPDATES}
            return (_frame("listening", {"streams": sorted(socket.topics)}),)
        return (_frame("error", {"error": f"action {action} is unknown"}),)

    def _authenticate(self, socket: Socket, data: Mapping[str, Any]) -> Frame:
        key = data.get("key_id") or data.get("key")
        secret = data.get("secret_key") or data.get("secret")
        request = HttpRequest(
            "GET", "/stream", headers={"apca-api-key-id": str(key), "apca-api-secret-key": str(secret)}
        )
        try:
            account = self._authorized(request).account
        except Problem:
            return _frame("authorization", {"status": "unauthorized", "action": "authenticate"})
        other = self._streams.get(account)
        if other is not None and other is not socket and not other.closed:
            # One stream a key; worded as the market data stream's error 406.
            refused = {"status": "unauthorized", "action": "authenticate"}
            return _frame("authorization", {**refused, "code": 406, "msg": "connection limit exceeded"})
        socket.account = account
        self._streams[account] = socket
        return _frame("authorization", {"status": "authorized", "action": "authenticate"})

    def wants(self, socket: Socket, outgoing: Outgoing) -> bool:
        return socket.account == outgoing.account and outgoing.topic in socket.topics

    def noise(self, unknown: bool) -> Frame:
        if unknown:
            return _frame(TRADE_UPDATES, {"event": "levitated", "order": {"id": "none"}})
        return b'{"stream": "trade_updates", "data": {"event": "fi'

    def flag(self, account: str, name: str, value: Any) -> None:
        flags = self._desk.book(account).flags
        name = {"no_trade_permission": "trading_blocked"}.get(name, name)
        if not hasattr(flags, name):
            raise ValueError(f"an Alpaca account has no flag {name!r}")
        setattr(flags, name, tuple(value) if name.startswith("not_") else bool(value))


def _frame(stream: str, data: Mapping[str, Any]) -> Frame:
    return orjson.dumps({"stream": stream, "data": data})
