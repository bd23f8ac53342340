"""Binance USDT-M futures: who may ask what, and how the answer is worded."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Final

from nexus_common.contracts.values import Venue
from nexus_market.exchange import Exchange
from nexus_simvenue.binance import frames
from nexus_simvenue.binance.account import AccountQueries
from nexus_simvenue.binance.algo import AlgoOrders, kind_of
from nexus_simvenue.binance.books import Books
from nexus_simvenue.binance.endpoints import Asked, Endpoint, Floor, Security
from nexus_simvenue.binance.errors import Wrong, answer, worded
from nexus_simvenue.binance.limits import WEIGHT_MAX, Banned, Limits
from nexus_simvenue.binance.market import Market
from nexus_simvenue.binance.modes import Modes
from nexus_simvenue.binance.orders import Orders
from nexus_simvenue.binance.parameters import SIGNED, Params, millis, only, sent, signed_text
from nexus_simvenue.binance.placing import Placing
from nexus_simvenue.binance.streams import Streams
from nexus_simvenue.faults import Call
from nexus_simvenue.wire.dialect import Frame, Outgoing, Socket, Visibility, simulated_secret
from nexus_simvenue.wire.http import HttpRequest, HttpResponse

_KEY_HEADER: Final = "x-mbx-apikey"
_AHEAD_MAX: Final = 1_000
_WINDOW_DEFAULT, _WINDOW_MAX = 5_000, 60_000

# Paths in the words of fault rules.
_CALLS: Final[Mapping[tuple[str, str], str]] = MappingProxyType(
    {
        ("POST", "order"): "submit",
        ("POST", "algoOrder"): "submit",
        ("DELETE", "order"): "cancel",
        ("DELETE", "algoOrder"): "cancel",
        ("DELETE", "allOpenOrders"): "cancel",
        ("DELETE", "algoOpenOrders"): "cancel",
        ("PUT", "order"): "amend",
        ("GET", "order"): "lookup",
        ("GET", "algoOrder"): "lookup",
        ("GET", "openOrder"): "lookup",
        ("GET", "openOrders"): "open_orders",
        ("GET", "openAlgoOrders"): "open_orders",
        ("GET", "allOrders"): "orders",
        ("GET", "allAlgoOrders"): "orders",
        ("GET", "positionRisk"): "positions",
        ("GET", "userTrades"): "trades",
        ("GET", "income"): "income",
        ("GET", "time"): "time",
        ("GET", "account"): "account",
        ("GET", "balance"): "account",
        ("POST", "leverage"): "leverage",
        ("POST", "marginType"): "leverage",
        ("GET", "symbolConfig"): "leverage",
    }
)
_FLAGS: Final = frozenset(
    (
        *("revoked", "hedge_mode", "no_trade_permission", "ip_restricted", "ip_refused", "can_withdraw"),
        *("fee_burn", "multi_assets", "reduce_only"),
    )
)


class BinanceDialect:
    """A dialect over one exchange; see the package for what it speaks."""

    venue = Venue.BINANCE

    def __init__(self, exchange: Exchange, visibility: Visibility) -> None:
        self._exchange = exchange
        self._books = Books(exchange)
        self._streams = Streams()
        self._limits = Limits()
        self._now: datetime | None = None
        floor = Floor(exchange, self._books, visibility)
        placing = Placing(floor)
        parts = (
            Market(floor),
            Orders(floor, placing),
            AlgoOrders(floor, placing),
            AccountQueries(floor),
            Modes(floor),
            self._streams,
        )
        self._endpoints: dict[tuple[str, str], Endpoint] = {}
        for part in parts:
            self._endpoints.update(part.endpoints())

    # -- requests -----------------------------------------------------------------------------------

    def call_of(self, request: HttpRequest) -> Call:
        account = request.headers.get(_KEY_HEADER)
        tail = request.path.rpartition("/")[2]
        method = _CALLS.get((request.method, tail), tail)
        fields = {**request.query_fields(), **request.form_fields()}
        kind = kind_of(fields.get("type"))
        if kind is None and account is not None and account in self._exchange.accounts:
            client = fields.get("origClientOrderId") or fields.get("clientAlgoId")
            known = self._exchange.account(account).orders.get(client or "")
            kind = None if known is None else str(known.kind)
        return Call(method, kind, account, str(self.venue))

    def changes(self, request: HttpRequest) -> bool:
        return request.method != "GET"

    def handle(self, request: HttpRequest, now: datetime) -> HttpResponse:
        self._now = now
        self._books.catch_up()
        self._streams.expire(now)
        endpoint = self._endpoints.get((request.method, request.path))
        if endpoint is None:
            return HttpResponse(404, "<html><body><h2>404 Not found</h2></body></html>")
        try:
            used = self._limits.spend(request.peer, _weight(endpoint, request), now)
        except Banned as banned:
            return self.limited(banned.status, (banned.until - now).total_seconds(), now)
        headers = {"X-MBX-USED-WEIGHT-1M": str(used)}
        try:
            asked = self._admit(endpoint, request, now)
            if endpoint.is_order:
                headers |= self._limits.order(asked.account, now)
            return HttpResponse.json(endpoint.answer(asked), headers=headers)
        except Wrong as wrong:
            return answer(wrong, headers)
        finally:
            self._books.catch_up()

    def _admit(self, endpoint: Endpoint, request: HttpRequest, now: datetime) -> Asked:
        account = ""
        if endpoint.security is not Security.NONE:
            account = self._owner(request)
        fields = sent(request)
        signed = endpoint.security in (Security.SIGNED, Security.TRADE)
        if signed:
            self._check_signature(request, fields, account)
            self._check_time(fields, now)
        if endpoint.security is Security.TRADE and self._flags(account).get("no_trade_permission"):
            raise Wrong(-2015)
        only(fields, (*endpoint.reads, *SIGNED) if signed else endpoint.reads)
        symbols = frozenset(str(instrument.symbol) for instrument in self._exchange.instruments)
        return Asked(Params(fields, symbols), account, now, request.peer)

    def _owner(self, request: HttpRequest) -> str:
        key = request.headers.get(_KEY_HEADER)
        if not key:
            raise Wrong(-2014)
        flags = self._flags(key)
        if key not in self._exchange.accounts or flags.get("revoked") or flags.get("ip_refused"):
            raise Wrong(-2015)
        return key

    def _flags(self, account: str) -> Mapping[str, Any]:
        book = self._books.accounts.get(account)
        return {} if book is None else book.flags

    @staticmethod
    def _check_signature(request: HttpRequest, fields: Mapping[str, str], account: str) -> None:
        given = fields.get("signature")
        if not given:
            raise Wrong(-1102, "signature")
        secret = simulated_secret(account).encode()
        due = hmac.new(secret, signed_text(request).encode(), hashlib.sha256).hexdigest()
        if not hmac.compare_digest(due, given):
            raise Wrong(-1022)

    @staticmethod
    def _check_time(fields: Mapping[str, str], now: datetime) -> None:
        params = Params(fields)
        params.needed("timestamp")
        at, window = params.integer("timestamp") or 0, params.integer("recvWindow")
        window = _WINDOW_DEFAULT if window is None else window
        if window > _WINDOW_MAX:
            raise Wrong(-1131)
        if at > millis(now) + _AHEAD_MAX:
            raise Wrong(-1021, text="Timestamp for this request was 1000ms ahead of the server's time.")
        if at + window < millis(now):
            raise Wrong(-1021)

    # -- faults -------------------------------------------------------------------------------------

    def refusal(self, code: str, request: HttpRequest) -> HttpResponse:
        return answer(worded(code))

    def limited(self, status: int, retry_after: float, now: datetime) -> HttpResponse:
        headers = {"Retry-After": str(max(1, round(retry_after)))}
        if status == 403:
            return HttpResponse(403, "<html><head><title>403 Forbidden</title></head></html>", headers)
        text = None
        if status == 418:
            until = millis(now + timedelta(seconds=retry_after))
            text = (
                f"Way too many requests; IP banned until {until}. "
                "Please use the websocket for live updates to avoid bans."
            )
        wrong = Wrong(-1003, "127.0.0.1", WEIGHT_MAX, text=text)
        response = answer(wrong, headers)
        return HttpResponse(status, response.body, response.headers)

    def noise(self, unknown: bool) -> Frame:
        if not unknown:
            return '{"e":"ORDER_TRADE_UPDATE","E":17'
        moment = 0 if self._now is None else millis(self._now)
        return frames.text("SOMETHING_NEW", moment, moment, {"o": {}})

    def flag(self, account: str, name: str, value: Any) -> None:
        """Switch one of an account's flags, end its listen key, or call for margin; raises ValueError."""
        book, at = self._books.book(account), self._exchange.at
        events: dict[str, Callable[[datetime], None]] = {
            "listen_key_expired": lambda now: self._streams.expire(now, account),
            "margin_call": lambda now: self._margin_call(account, now),
        }
        if name in events:
            if at is not None:
                events[name](at)
        elif name in _FLAGS:
            book.flags[name] = value
        else:
            raise ValueError(f"{name!r} is no flag of a Binance account; there are {sorted(_FLAGS)}")

    def _margin_call(self, account: str, now: datetime) -> None:
        positions = [
            {"s": h.symbol, "ps": "BOTH", "pa": str(h.quantity), "mt": "ISOLATED", "iw": str(h.margin)}
            for h in self._exchange.positions(account)
        ]
        fields = {"cw": str(self._exchange.account(account).wallet), "p": positions}
        self._books.tell(self._books.book(account), "MARGIN_CALL", "notice", now, fields)

    # -- streams ------------------------------------------------------------------------------------

    def before_step(self, at: datetime) -> None:
        """Nothing is due before a step."""

    def tend(self) -> None:
        """Read what the ledger has got, before the same client order id is used again."""
        self._books.catch_up()

    def outbox(self) -> Sequence[Outgoing]:
        self._books.catch_up()
        latest = max((t for t in (self._now, self._exchange.at) if t is not None), default=None)
        if latest is not None:
            self._streams.expire(latest)
        return [*self._books.taken(), *self._streams.taken()]

    def opened(self, socket: Socket, now: datetime) -> Sequence[Frame]:
        self._streams.expire(now)
        return self._streams.opened(socket)

    def heard(self, socket: Socket, frame: Frame, now: datetime) -> Sequence[Frame]:
        return self._streams.heard(frame)

    def wants(self, socket: Socket, outgoing: Outgoing) -> bool:
        return self._streams.wants(socket, outgoing)


def _weight(endpoint: Endpoint, request: HttpRequest) -> int:
    if endpoint.whole_weight is not None and "symbol" not in request.query_fields():
        return endpoint.whole_weight
    return endpoint.weight
