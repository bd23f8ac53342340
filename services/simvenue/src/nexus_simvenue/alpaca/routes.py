"""What each address of Alpaca's REST API answers, for an account that is let in."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from re import Pattern, compile
from typing import Any, Final

from nexus_common.contracts.values import Side
from nexus_market.exchange import Exchange
from nexus_simvenue.alpaca.book import Book
from nexus_simvenue.alpaca.desk import Desk
from nexus_simvenue.alpaca.intake import Wish, parse_change, parse_order
from nexus_simvenue.alpaca.problems import BAD_FORMAT, Problem, order_not_found, unprocessable
from nexus_simvenue.alpaca.records import State, show
from nexus_simvenue.alpaca.views import Views, activities, moment
from nexus_simvenue.wire.dialect import Visibility
from nexus_simvenue.wire.http import HttpRequest

_SYMBOL = "([A-Za-z0-9.%/-]+)"
_Answer = tuple[int, Any]
_Route = Callable[["Routes", Book, HttpRequest, datetime, str], _Answer]


class Routes:
    """Each raises Problem for what is wrong with a request."""

    def __init__(self, exchange: Exchange, desk: Desk, visibility: Visibility) -> None:
        self._desk = desk
        self._views = Views(exchange)
        self._visibility = visibility

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


def _route(method: str, path: str, name: str, route: _Route) -> tuple[str, Pattern[str], str, _Route]:
    return method, compile(path), name, route


_D = Routes
# Method, path, the name that fault rules use, what answers.
ROUTES: Final = (
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
