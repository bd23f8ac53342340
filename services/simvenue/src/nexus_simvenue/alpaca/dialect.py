"""Alpaca's REST API and stream on the wire: keys, rate limit, routes, trade updates."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from re import Pattern, compile
from typing import Any, Final
from urllib.parse import unquote

import orjson

from nexus_common.contracts.values import Side, Venue
from nexus_market.exchange import Exchange
from nexus_simvenue.alpaca.book import TRADE_UPDATES, Book
from nexus_simvenue.alpaca.desk import Desk
from nexus_simvenue.alpaca.intake import Wish, parse_change, parse_order
from nexus_simvenue.alpaca.problems import (
    BAD_FORMAT,
    NOT_FOUND,
    RATE_LIMIT,
    UNAUTHORIZED,
    Problem,
    order_not_found,
    scripted,
    unprocessable,
)
from nexus_simvenue.alpaca.records import State, show
from nexus_simvenue.alpaca.views import Views, activities, moment
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
_SYMBOL = "([A-Za-z0-9.%/-]+)"
_NO_CONTENT = HttpResponse(204, "")
_Answer = tuple[int, Any]
_Route = Callable[["AlpacaDialect", Book, HttpRequest, datetime, str], _Answer]


class AlpacaDialect:
    """Speaks for all accounts of the venue. An account's API key is its name."""

    venue = Venue.ALPACA

    def __init__(self, exchange: Exchange, visibility: Visibility) -> None:
        self._exchange = exchange
        self._visibility = visibility
        self._desk = Desk(exchange)
        self._views = Views(exchange)
        self._requests = Window(60)
        self._streams: dict[str, Socket] = {}

    # -- requests -----------------------------------------------------------------------------------

    def call_of(self, request: HttpRequest) -> Call:
        for method, pattern, name, _route in _ROUTES:
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
            for method, pattern, _name, route in _ROUTES:
                match = pattern.fullmatch(request.path)
                if match and method == request.method:
                    argument = unquote(match.group(1)) if match.groups() else ""
                    status, document = route(self, book, request, now, argument)
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
            raise Problem(40310000, "forbidden.")
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

    # -- orders -------------------------------------------------------------------------------------

    def post_order(self, book: Book, request: HttpRequest, now: datetime, _: str) -> _Answer:
        wish = parse_order(request.body)
        record = self._desk.place(book, wish, now)
        document = show(record, nested=True)
        if record.state in (State.NEW, State.FILLED, State.PARTIALLY_FILLED):
            # Placing is asynchronous: the answer leaves before the market has seen the order.
            document["status"] = "pending_new"
        return 200, document

    def get_orders(self, book: Book, request: HttpRequest, now: datetime, _: str) -> _Answer:
        fields = _known(request, ORDER_FILTERS)
        status = fields.get("status", "open")
        if status not in ("open", "closed", "all"):
            raise unprocessable("status must be open, closed or all")
        limit = fields.get("limit", "50")
        if not limit.isdigit() or not 1 <= int(limit) <= 500:
            raise unprocessable("limit must be between 1 and 500")
        direction = fields.get("direction", "desc")
        if direction not in ("asc", "desc"):
            raise unprocessable("direction must be asc or desc")
        after = moment("after", fields["after"]) if "after" in fields else None
        until = moment("until", fields["until"]) if "until" in fields else None
        symbols = {symbol for symbol in fields.get("symbols", "").split(",") if symbol}
        nested = fields.get("nested", "false").lower() == "true"
        rows = [
            record
            for record in book.records.values()
            if (status == "all" or record.is_open == (status == "open"))
            and (after is None or record.created_at > after)
            and (until is None or record.created_at <= until)
            and (not symbols or record.symbol in symbols)
            and fields.get("side", str(record.side)) == str(record.side)
            and not (nested and record.parent is not None)
            and (record.source is None or self._visibility.sees(record.source, now))
        ]
        if direction == "desc":
            rows.reverse()
        return 200, [show(record, nested) for record in rows[: int(limit)]]

    def get_order(self, book: Book, request: HttpRequest, now: datetime, order_id: str) -> _Answer:
        record = book.records.get(order_id)
        if record is None or (record.source is not None and not self._visibility.sees(record.source, now)):
            raise order_not_found(order_id)
        return 200, show(record, _known(request, {"nested"}).get("nested", "").lower() == "true")

    def get_by_client_id(self, book: Book, request: HttpRequest, now: datetime, _: str) -> _Answer:
        client = _known(request, {"client_order_id"}).get("client_order_id", "")
        record = book.by_client.get(client)
        if record is None or (record.source is not None and not self._visibility.sees(record.source, now)):
            raise order_not_found(client)
        return 200, show(record)

    def patch_order(self, book: Book, request: HttpRequest, now: datetime, order_id: str) -> _Answer:
        return 200, show(self._desk.replace(book, order_id, parse_change(request.body), now))

    def delete_order(self, book: Book, _request: HttpRequest, now: datetime, order_id: str) -> _Answer:
        self._desk.cancel(book, order_id, now)
        return 204, None

    def delete_orders(self, book: Book, _request: HttpRequest, now: datetime, _: str) -> _Answer:
        done = []
        for record in list(book.open.values()):
            if record.is_open:
                self._desk.cancel(book, record.id, now)
                done.append({"id": record.id, "status": 200, "body": show(record)})
        return 207, done

    # -- positions ----------------------------------------------------------------------------------

    def get_positions(self, book: Book, _request: HttpRequest, _now: datetime, _: str) -> _Answer:
        return 200, self._views.positions(book)

    def get_position(self, book: Book, _request: HttpRequest, _now: datetime, name: str) -> _Answer:
        return 200, self._views.position(book, name)

    def delete_position(self, book: Book, request: HttpRequest, now: datetime, name: str) -> _Answer:
        return 200, self._close(book, name, _known(request, {"qty", "percentage"}), now)

    def delete_positions(self, book: Book, request: HttpRequest, now: datetime, _: str) -> _Answer:
        fields = _known(request, {"cancel_orders"})
        if fields.get("cancel_orders", "").lower() == "true":
            self.delete_orders(book, request, now, "")
        done = []
        for held in self._views.positions(book):
            try:
                document = self._close(book, held["symbol"], {}, now)
                done.append({"symbol": held["symbol"], "status": 200, "body": document})
            except Problem as problem:
                done.append({"symbol": held["symbol"], "status": problem.status, "body": problem.body})
        return 207, done

    def _close(self, book: Book, name: str, fields: Mapping[str, str], now: datetime) -> dict[str, Any]:
        held = self._views.position(book, name)
        if len(fields) > 1:
            raise unprocessable("only one of qty or percentage is accepted")
        whole = abs(Decimal(held["qty"]))
        try:
            wanted = Decimal(fields.get("qty", whole))
            if "percentage" in fields:
                wanted = round(whole * Decimal(fields["percentage"]) / 100, 9)
        except ArithmeticError:
            raise unprocessable("qty and percentage must be numbers") from None
        if not 0 < wanted <= whole:
            raise unprocessable("qty must be > 0 and at most the position")
        side = Side.SELL if held["side"] == "long" else Side.BUY
        return show(self._desk.place(book, Wish(held["symbol"], side, "market", "day", wanted), now))

    # -- the rest -----------------------------------------------------------------------------------

    def get_account(self, book: Book, _request: HttpRequest, _now: datetime, _: str) -> _Answer:
        return 200, self._views.account(book)

    def get_configurations(self, book: Book, _request: HttpRequest, _now: datetime, _: str) -> _Answer:
        return 200, self._views.configurations(book.flags)

    def patch_configurations(self, book: Book, request: HttpRequest, _now: datetime, _: str) -> _Answer:
        try:
            wanted = json.loads(request.body)
        except ValueError:
            raise Problem(BAD_FORMAT, "request body format is invalid") from None
        settable = {"no_shorting": "no_shorting", "suspend_trade": "trade_suspended_by_user"}
        if not isinstance(wanted, dict) or set(wanted) - set(self._views.configurations(book.flags)):
            raise Problem(BAD_FORMAT, "request body format is invalid")
        for name, flag in settable.items():
            if name in wanted:
                setattr(book.flags, flag, bool(wanted[name]))
        return 200, self._views.configurations(book.flags)

    def get_assets(self, book: Book, request: HttpRequest, _now: datetime, _: str) -> _Answer:
        known = {"status", "asset_class", "exchange", "attributes"}
        return 200, self._views.assets(book.flags, _known(request, known))

    def get_asset(self, book: Book, _request: HttpRequest, _now: datetime, name: str) -> _Answer:
        return 200, self._views.asset(book.flags, name)

    def get_clock(self, _book: Book, _request: HttpRequest, now: datetime, _: str) -> _Answer:
        return 200, self._views.clock(now)

    def get_calendar(self, _book: Book, request: HttpRequest, _now: datetime, _: str) -> _Answer:
        return 200, self._views.calendar(_known(request, {"start", "end", "date_type"}))

    def get_activities(self, book: Book, request: HttpRequest, _now: datetime, kind: str) -> _Answer:
        fields = _known(request, {*ACTIVITY_FILTERS, *(() if kind else ("activity_types",))})
        kinds = {kind} if kind else set(filter(None, fields.get("activity_types", "").split(",")))
        return 200, activities(book, kinds, fields)

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


ORDER_FILTERS: Final = frozenset(
    ("status", "limit", "after", "until", "direction", "nested", "symbols", "side", "asset_class")
)
ACTIVITY_FILTERS: Final = frozenset(
    ("date", "until", "after", "direction", "page_size", "page_token", "category")
)


def _known(request: HttpRequest, allowed: set[str] | frozenset[str]) -> dict[str, str]:
    """The query, if every parameter of it is documented; raises Problem."""
    fields = request.query_fields()
    unknown = sorted(set(fields) - allowed)
    if unknown:
        raise Problem(BAD_FORMAT, f"unknown query parameters: {', '.join(unknown)}")
    return fields


def _frame(stream: str, data: Mapping[str, Any]) -> Frame:
    return orjson.dumps({"stream": stream, "data": data})


def _route(method: str, path: str, name: str, route: _Route) -> tuple[str, Pattern[str], str, _Route]:
    return method, compile(path), name, route


_D = AlpacaDialect
# Method, path, the name that fault rules use, what answers.
_ROUTES: Final = (
    _route("POST", "/v2/orders", "submit", _D.post_order),
    _route("GET", "/v2/orders", "open_orders", _D.get_orders),
    _route("GET", "/v2/orders:by_client_order_id", "lookup", _D.get_by_client_id),
    _route("GET", f"/v2/orders/{_SYMBOL}", "lookup", _D.get_order),
    _route("PATCH", f"/v2/orders/{_SYMBOL}", "amend", _D.patch_order),
    _route("DELETE", f"/v2/orders/{_SYMBOL}", "cancel", _D.delete_order),
    _route("DELETE", "/v2/orders", "cancel_all", _D.delete_orders),
    _route("GET", "/v2/positions", "positions", _D.get_positions),
    _route("GET", f"/v2/positions/{_SYMBOL}", "positions", _D.get_position),
    _route("DELETE", f"/v2/positions/{_SYMBOL}", "close_position", _D.delete_position),
    _route("DELETE", "/v2/positions", "close_position", _D.delete_positions),
    _route("GET", "/v2/account", "account", _D.get_account),
    _route("GET", "/v2/account/configurations", "account", _D.get_configurations),
    _route("PATCH", "/v2/account/configurations", "account", _D.patch_configurations),
    _route("GET", "/v2/account/activities", "trades", _D.get_activities),
    _route("GET", f"/v2/account/activities/{_SYMBOL}", "trades", _D.get_activities),
    _route("GET", "/v2/assets", "instruments", _D.get_assets),
    _route("GET", f"/v2/assets/{_SYMBOL}", "instruments", _D.get_asset),
    _route("GET", "/v2/clock", "time", _D.get_clock),
    _route("GET", "/v2/calendar", "calendar", _D.get_calendar),
)
