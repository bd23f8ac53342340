"""Bybit V5 linear over the matching engine: which request is which, and what is answered."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Final

from nexus_common.contracts.instrument import Instrument
from nexus_common.contracts.values import Venue
from nexus_market.exchange import Exchange
from nexus_market.instruments import venue_spelling
from nexus_simvenue.bybit import market, params, queries, standing, trading, trading_stop
from nexus_simvenue.bybit.access import Flags, Gate, milliseconds
from nexus_simvenue.bybit.book import Book, spelling_of
from nexus_simvenue.bybit.codes import MESSAGES, NotDone, body, wrong
from nexus_simvenue.bybit.desk import Desk
from nexus_simvenue.bybit.params import Fields, Param
from nexus_simvenue.bybit.stream import PrivateSockets, noise, outgoing
from nexus_simvenue.faults import Call
from nexus_simvenue.wire.dialect import Frame, Outgoing, Socket, Visibility
from nexus_simvenue.wire.http import HttpRequest, HttpResponse


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that was let in. `symbols`: those it names by symbol, baseCoin or settleCoin; None without."""

    fields: Fields
    book: Book
    flags: Flags
    symbols: set[str] | None
    now: datetime
    at: datetime


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`word`: what fault rules call it."""

    word: str
    params: Mapping[str, Param]
    work: Callable[[BybitDialect, Asked], Mapping[str, Any]]
    trades: bool = False


class BybitDialect:
    """The protocol of one venue; see `nexus_simvenue.wire.dialect.Dialect`."""

    venue = Venue.BYBIT

    def __init__(self, exchange: Exchange, visibility: Visibility) -> None:
        self.exchange = exchange
        self.visibility = visibility
        self._gate = Gate(exchange)
        self._sockets = PrivateSockets(self._gate)
        self._books: dict[str, Book] = {}
        self._sent = 0

    # -- requests -----------------------------------------------------------------------------------

    def call_of(self, request: HttpRequest) -> Call:
        account = request.headers.get("x-bapi-api-key")
        known = _ENDPOINTS.get((request.method, request.path))
        if known is None:
            return Call("unknown", None, account, str(self.venue))
        word, kind = known.word, None
        try:
            fields = params.read(request, known.params)
            word, kind = self._word(known.word, fields, account)
        except NotDone:
            pass
        return Call(word, kind, account, str(self.venue))

    def _word(self, word: str, fields: Fields, account: str | None) -> tuple[str, str | None]:
        """A trading stop is a submit, an amend or a cancel; a query by id is a lookup."""
        match word:
            case "submit":
                return word, _kind_of(fields)
            case "trading_stop":
                return self._stop_word(fields, account)
            case "open_orders" | "order_history" if "orderId" in fields or "orderLinkId" in fields:
                return "lookup", None
            case "positions" if "symbol" in fields:
                return "lookup", None
            case _:
                return word, None

    def _stop_word(self, fields: Fields, account: str | None) -> tuple[str, str | None]:
        for name, stop_type, kind in _STOPS:
            level = fields.get(name)
            if level is None:
                continue
            if level == 0:
                return "cancel", kind
            symbol = self._symbol_named(fields["symbol"])
            known = account in self.exchange.accounts and symbol is not None
            if known and self._book(str(account)).attached(str(symbol), stop_type) is not None:
                return "amend", kind
            return "submit", kind
        return "trading_stop", None

    def changes(self, request: HttpRequest) -> bool:
        return request.method == "POST"

    def handle(self, request: HttpRequest, now: datetime) -> HttpResponse:
        if self._gate.is_banned(request.peer, now):
            return HttpResponse(403, "403, access too frequent", {"Content-Type": "text/plain"})
        if request.method == "GET" and request.body:
            return HttpResponse(403, "403, a GET request has no body", {"Content-Type": "text/plain"})
        known = _ENDPOINTS.get((request.method, request.path))
        if known is None:
            return HttpResponse.json(body(10017, MESSAGES[10017], {}, milliseconds(now)), 404)
        headers: Mapping[str, str] = {}
        try:
            if request.path.startswith("/v5/market/"):
                result: Mapping[str, Any] = self._public(request, known, now)
            else:
                account = self._gate.account(request, now)
                headers, too_many = self._gate.count(account, request.path, now)
                if too_many:
                    raise NotDone(10006)
                result = self._private(request, known, account, now)
        except NotDone as refused:
            answer = body(refused.code, str(refused), {}, milliseconds(now))
            return HttpResponse.json(answer, refused.status, headers)
        return HttpResponse.json(body(0, "OK", result, milliseconds(now)), 200, headers)

    def _public(self, request: HttpRequest, known: Endpoint, now: datetime) -> Mapping[str, Any]:
        fields = params.read(request, known.params)
        match known.word:
            case "time":
                return market.server_time(now)
            case "instruments":
                return market.instruments_info(self._instruments(fields), fields)
            case "prices":
                return market.tickers(self.exchange, self._instruments(fields), now)
            case _:
                return market.risk_limit(self._instruments(fields))

    def _private(
        self, request: HttpRequest, known: Endpoint, account: str, now: datetime
    ) -> Mapping[str, Any]:
        flags = self._gate.flags_of(account)
        if known.trades:
            self._gate.may_trade(account)
        fields = params.read(request, known.params)
        book = self._book(account)
        book.write()
        asked = Asked(fields, book, flags, self._symbols(fields), now, self.exchange.at or now)
        try:
            return known.work(self, asked)
        finally:
            book.write()

    # -- what requests name -------------------------------------------------------------------------

    def _instruments(self, fields: Fields) -> list[Instrument]:
        chosen = [
            i
            for i in self.exchange.instruments
            if fields.get("symbol") in (None, venue_spelling(i))
            and fields.get("baseCoin") in (None, i.base, venue_spelling(i).removesuffix(i.quote))
        ]
        if "symbol" in fields and not chosen:
            raise wrong("symbol invalid")
        return chosen

    def _symbols(self, fields: Fields) -> set[str] | None:
        if "symbol" in fields:
            return {i.symbol for i in self._instruments({"symbol": fields["symbol"]})}
        if "baseCoin" in fields:
            return {i.symbol for i in self._instruments({"baseCoin": fields["baseCoin"]})}
        if "settleCoin" in fields:
            return {i.symbol for i in self.exchange.instruments if i.quote == fields["settleCoin"]}
        return None

    def _symbol_named(self, spelled: str) -> str | None:
        return next((i.symbol for i in self.exchange.instruments if venue_spelling(i) == spelled), None)

    def _book(self, account: str) -> Book:
        known = self._books.get(account)
        if known is None:
            known = self._books[account] = Book(self.exchange, account, spelling_of(self.exchange))
        return known

    def desk(self, asked: Asked) -> Desk:
        [instrument] = self._instruments({"symbol": asked.fields["symbol"]})
        return Desk(self.exchange, asked.book, asked.flags, instrument, asked.at)

    # -- what time brings ---------------------------------------------------------------------------

    def before_step(self, at: datetime) -> None:
        """Nothing of Bybit's is due at a time."""

    def tend(self) -> None:
        """Attach to positions what their filled orders brought along."""
        for account, book in self._books.items():
            book.write()
            for note in book.all_notes():
                if note.brings and note.filled:
                    [instrument] = [i for i in self.exchange.instruments if i.symbol == note.symbol]
                    flags, at = self._gate.flags_of(account), self.exchange.at or note.at
                    desk = Desk(self.exchange, book, flags, instrument, at)
                    trading_stop.attach_to_fill(desk, note)

    # -- refusals by script -------------------------------------------------------------------------

    def refusal(self, code: str, request: HttpRequest) -> HttpResponse:
        number = int(code) if code.lstrip("-").isdigit() else 10001
        if 400 <= number < 600 and number != 429:
            return HttpResponse(number, "", {"Content-Type": "text/plain"})
        message = MESSAGES.get(number, "refused by the fault script")
        at, account = self.exchange.at, request.headers.get("x-bapi-api-key", "")
        if at is None or account not in self.exchange.accounts:
            return HttpResponse.json(body(number, message, {}, 0))
        headers, _ = self._gate.count(account, request.path, at)
        return HttpResponse.json(body(number, message, {}, milliseconds(at)), 200, headers)

    def limited(self, status: int, retry_after: float, now: datetime) -> HttpResponse:
        """200: the user's limit (10006), with the time of its reset; else the address is locked out."""
        reset = str(milliseconds(now + timedelta(seconds=retry_after)))
        headers = {"X-Bapi-Limit-Status": "0", "X-Bapi-Limit-Reset-Timestamp": reset}
        if status == 200:
            return HttpResponse.json(body(10006, MESSAGES[10006], {}, milliseconds(now)), 200, headers)
        waits = {"Retry-After": f"{retry_after:g}", "Content-Type": "text/plain"}
        return HttpResponse(status, f"{status}, access too frequent", {**headers, **waits})

    # -- the private stream -------------------------------------------------------------------------

    def outbox(self) -> Sequence[Outgoing]:
        messages: list[Outgoing] = []
        for account in sorted(self.exchange.accounts):
            book = self._book(account)
            book.write()
            for told in book.take():
                self._sent += 1
                messages.append(outgoing(account, told, self._sent))
        return messages

    def opened(self, socket: Socket, now: datetime) -> Sequence[Frame]:
        return self._sockets.opened(socket)

    def heard(self, socket: Socket, frame: Frame, now: datetime) -> Sequence[Frame]:
        return self._sockets.heard(socket, frame, now)

    def wants(self, socket: Socket, outgoing: Outgoing) -> bool:
        return socket.account == outgoing.account and outgoing.topic in socket.topics

    def noise(self, unknown: bool) -> Frame:
        return noise(unknown)

    def flag(self, account: str, name: str, value: Any) -> None:
        """Flags: see `access.Flags`."""
        if account not in self.exchange.accounts:
            raise ValueError(f"account {account} does not exist; open it first")
        self._gate.flags_of(account).put(name, value)


_STOPS: Final = (
    ("stopLoss", "StopLoss", "stop"),
    ("trailingStop", "TrailingStop", "trailing_stop"),
    ("takeProfit", "TakeProfit", "take_profit"),
)


def _kind_of(fields: Fields) -> str:
    """The order's kind in the words of fault rules."""
    if not fields.get("triggerPrice"):
        return "limit" if fields["orderType"] == "Limit" else "market"
    rises = fields.get("triggerDirection") == 1
    return "stop" if rises == (fields["side"] == "Buy") else "take_profit"


def _cancel_all(dialect: BybitDialect, asked: Asked) -> Mapping[str, Any]:
    if asked.symbols is None:
        raise wrong("symbol, baseCoin or settleCoin is required")
    return standing.cancel_all(dialect.exchange, asked.book, asked.symbols, asked.fields)


def _leverage(dialect: BybitDialect, asked: Asked) -> Mapping[str, Any]:
    instrument = dialect.desk(asked).instrument
    return queries.set_leverage(asked.book, instrument.symbol, instrument.max_leverage, asked.fields)


def _nothing(_dialect: BybitDialect, _asked: Asked) -> Mapping[str, Any]:
    return {}


_ENDPOINTS: Final[Mapping[tuple[str, str], Endpoint]] = MappingProxyType(
    {
        ("GET", "/v5/market/time"): Endpoint("time", params.NOTHING, _nothing),
        ("GET", "/v5/market/instruments-info"): Endpoint("instruments", params.INSTRUMENTS, _nothing),
        ("GET", "/v5/market/tickers"): Endpoint("prices", params.TICKERS, _nothing),
        ("GET", "/v5/market/risk-limit"): Endpoint("risk_limit", params.RISK_LIMIT, _nothing),
        ("POST", "/v5/order/create"): Endpoint(
            "submit", params.CREATE, lambda d, a: trading.create(d.desk(a), a.fields), trades=True
        ),
        ("POST", "/v5/order/amend"): Endpoint(
            "amend", params.AMEND, lambda d, a: standing.amend(d.desk(a), a.fields), trades=True
        ),
        ("POST", "/v5/order/cancel"): Endpoint(
            "cancel", params.CANCEL, lambda d, a: standing.cancel(d.desk(a), a.fields), trades=True
        ),
        ("POST", "/v5/order/cancel-all"): Endpoint("cancel_all", params.CANCEL_ALL, _cancel_all, trades=True),
        ("GET", "/v5/order/realtime"): Endpoint(
            "open_orders",
            params.REALTIME,
            lambda d, a: queries.realtime(a.book, a.fields, a.symbols, d.visibility, a.now),
        ),
        ("GET", "/v5/order/history"): Endpoint(
            "order_history",
            params.HISTORY,
            lambda d, a: queries.history(a.book, a.fields, a.symbols, d.visibility, a.now),
        ),
        ("GET", "/v5/execution/list"): Endpoint(
            "trades",
            params.EXECUTIONS,
            lambda d, a: queries.executions(a.book, a.fields, a.symbols, d.visibility, a.now),
        ),
        ("GET", "/v5/position/list"): Endpoint(
            "positions",
            params.POSITIONS,
            lambda d, a: queries.positions(a.book, a.fields, a.symbols, a.flags),
        ),
        ("POST", "/v5/position/set-leverage"): Endpoint("leverage", params.LEVERAGE, _leverage, trades=True),
        ("POST", "/v5/position/switch-mode"): Endpoint(
            "position_mode",
            params.SWITCH_MODE,
            lambda d, a: queries.switch_mode(a.book, a.flags, a.fields),
            trades=True,
        ),
        ("POST", "/v5/position/trading-stop"): Endpoint(
            "trading_stop",
            params.TRADING_STOP,
            lambda d, a: trading_stop.set_trading_stop(d.desk(a), a.fields),
            trades=True,
        ),
        ("GET", "/v5/position/closed-pnl"): Endpoint(
            "closed_pnl",
            params.CLOSED_PNL,
            lambda d, a: queries.closed_pnl(a.book, a.fields, a.symbols, a.now),
        ),
        ("GET", "/v5/account/wallet-balance"): Endpoint(
            "account", params.WALLET, lambda d, a: queries.wallet(a.book, a.fields)
        ),
        ("GET", "/v5/account/info"): Endpoint(
            "account", params.NOTHING, lambda d, a: queries.account_info(a.flags, a.now)
        ),
        ("POST", "/v5/account/set-margin-mode"): Endpoint(
            "margin_mode",
            params.MARGIN_MODE,
            lambda d, a: queries.set_margin_mode(a.book, a.flags, a.fields),
            trades=True,
        ),
        ("GET", "/v5/account/transaction-log"): Endpoint(
            "statement",
            params.TRANSACTIONS,
            lambda d, a: queries.transactions(a.book, a.fields, a.now),
        ),
        ("GET", "/v5/user/query-api"): Endpoint(
            "key", params.NOTHING, lambda d, a: queries.api_key(a.book.account, a.flags, a.now)
        ),
    }
)
