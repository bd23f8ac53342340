"""What Binance keeps of an account, and what it tells of it: both follow from the engine's ledger."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from nexus_common.contracts.values import Side
from nexus_market.exchange import Exchange, Record, Status
from nexus_simvenue.binance import frames
from nexus_simvenue.binance.parameters import millis
from nexus_simvenue.binance.sheets import REQUESTED, ZERO, Sheet, Terms, digits, money
from nexus_simvenue.wire.dialect import Outgoing

DEFAULT_LEVERAGE: Final = 20
_TRADE_IDS: Final = 2_200_000_000
_OWN_TRADE_IDS: Final = 3_300_000_000
_OWN_ORDER_IDS: Final = 9_990_000_000
_OWN_ORDERS: Final = {
    "liquidation": "autoclose-",
    "adl": "adl_autoclose_",
    "settlement": "settlement_autoclose-",
}


@dataclass(slots=True)
class Book:
    """One account. `own_orders` are those that the venue made itself; `told` counts the engine's updates read."""

    name: str
    sheets: dict[int, Sheet] = field(default_factory=dict)
    newest: dict[str, Sheet] = field(default_factory=dict)
    own_orders: list[dict[str, Any]] = field(default_factory=list)
    trades: list[dict[str, Any]] = field(default_factory=list)
    income: list[dict[str, Any]] = field(default_factory=list)
    leverage: dict[str, int] = field(default_factory=dict)
    isolated: set[str] = field(default_factory=set)
    flags: dict[str, Any] = field(default_factory=dict)
    liquidations: int = 0
    emitted: int = 0


class Books:
    """Reads the ledger as it grows, and turns it into rows and messages."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self.accounts: dict[str, Book] = {}
        self._read = 0
        self._out: list[Outgoing] = []
        # Each settled funding by symbol and time: rate and mark price.
        self.funding: dict[tuple[str, datetime], tuple[Decimal, Decimal]] = {}
        self._sent_with: dict[tuple[str, str], tuple[Terms, str]] = {}
        self._moved: tuple[Record, Callable[[Record], None]] | None = None
        self._kinds: dict[str, Callable[[Book, Record], None]] = {
            "order": self._accepted,
            "trigger": self._triggered,
            "fill": self._filled,
            "position": self._position,
            "cancel": self._canceled,
            "funding": self._funded,
            "liquidation": self._liquidated,
            "transfer": self._transferred,
        }

    def book(self, account: str) -> Book:
        return self.accounts.setdefault(account, Book(account))

    def sent_with(self, account: str, client_id: str, terms: Terms, order_type: str) -> None:
        """Keep what an order is about to be sent with, until it is in the ledger."""
        self._sent_with[account, client_id] = (terms, order_type)

    def taken(self) -> list[Outgoing]:
        out, self._out = self._out, []
        return out

    def catch_up(self) -> None:
        """Read what the ledger has got since."""
        records = self._exchange.records
        while self._read < len(records):
            record = records[self._read]
            self._read += 1
            work = self._kinds.get(record["kind"])
            if work is not None:
                work(self.book(record["account"]), record)

    # -- messages -----------------------------------------------------------------------------------

    def tell(self, book: Book, event: str, kind: str, at: datetime, fields: dict[str, Any]) -> None:
        """One message; E grows with each, as documented for one connection."""
        moment = millis(at)
        book.emitted = max(moment, book.emitted + 1)
        frame = frames.text(event, moment, book.emitted, fields)
        self._out.append(Outgoing(book.name, event, kind, frame))

    def _tell_order(
        self, book: Book, sheet: Sheet, execution: str, status: str, kind: str, record: Record, **more: Any
    ) -> None:
        fields = frames.order_update(sheet, execution, status, millis(record["at"]), **more)
        self.tell(book, "ORDER_TRADE_UPDATE", kind, record["at"], fields)

    def _tell_algo(self, book: Book, sheet: Sheet, status: str, kind: str, at: datetime) -> None:
        self.tell(book, "ALGO_UPDATE", kind, at, frames.algo_update(sheet, status))

    # -- the ledger's records ------------------------------------------------------------------------

    def _accepted(self, book: Book, record: Record) -> None:
        client, number = record["client"], int(record["venue_order"][1:])
        order = self._exchange.account(book.name).orders[client]
        if order.number != number:
            return  # a later order has its id; nobody can ask for this one by it any more
        terms, order_type = self._sent_with.pop((book.name, client), (None, None))
        sheet = Sheet.of(order, terms, order_type)
        book.sheets[number] = book.newest[client] = sheet
        if sheet.algo:
            self._tell_algo(book, sheet, "NEW", "accepted", record["at"])
        else:
            self._tell_order(book, sheet, "NEW", "NEW", "accepted", record)

    def _triggered(self, book: Book, record: Record) -> None:
        sheet = book.newest.get(record["client"])
        if sheet is None or not sheet.algo:
            return
        sheet.triggered_at, sheet.trigger_price = record["at"], record["price"]
        sheet.covers = abs(self._exchange.account(book.name).held(sheet.order.symbol)) + sheet.order.filled
        self._tell_algo(book, sheet, "TRIGGERING", "triggered", record["at"])
        self._tell_order(book, sheet, "NEW", "NEW", "accepted", record)
        self._tell_algo(book, sheet, "TRIGGERED", "triggered", record["at"])

    def _filled(self, book: Book, record: Record) -> None:
        sheet = book.newest.get(record["client"])
        if sheet is None:
            return
        sheet.traded += record["quantity"]
        fill = {**record, "trade": _TRADE_IDS + int(record["fill"][1:]), "cumulative": sheet.traded}
        self._trade(book, fill, sheet.order_id, sheet.terms.position_side)

        def moved(position: Record) -> None:
            self._tell_position(book, fill, position)
            status = "FILLED" if fill["complete"] else "PARTIALLY_FILLED"
            self._tell_order(book, sheet, "TRADE", status, "fill", fill, fill=fill)
            if sheet.algo and fill["complete"]:
                self._tell_algo(book, sheet, "FINISHED", "finished", fill["at"])

        self._moved = (record, moved)

    def _position(self, book: Book, record: Record) -> None:
        if self._moved is not None and self._moved[0]["account"] == book.name:
            _, moved = self._moved
            self._moved = None
            moved(record)

    def _tell_position(self, book: Book, fill: Record, position: Record) -> None:
        fields = frames.account_update("ORDER", fill["wallet"], ZERO, position)
        self.tell(book, "ACCOUNT_UPDATE", "position", fill["at"], fields)

    def _canceled(self, book: Book, record: Record) -> None:
        sheet = book.newest.get(record["client"])
        if sheet is None or record["reason"] == "vanished":
            return
        asked = record["reason"] == REQUESTED
        status = "CANCELED" if asked else "EXPIRED"
        if sheet.in_matching:
            self._tell_order(book, sheet, status, status, "canceled", record, expiry="0" if asked else "8")
        if sheet.algo:
            algo = "FINISHED" if sheet.in_matching else status
            self._tell_algo(book, sheet, algo, "canceled", record["at"])

    def _funded(self, book: Book, record: Record) -> None:
        account = self._exchange.account(book.name)
        position = account.positions.get(record["symbol"])
        held = (ZERO, ZERO, ZERO)
        if position is not None:
            held = (position.quantity, position.entry_price, position.margin)
        self._income(book, record, "FUNDING_FEE", record["change"])
        self.funding[record["symbol"], record["at"]] = (record["rate"], record["price"])
        fields = frames.account_update(
            "FUNDING_FEE", record["wallet"], record["change"], symbol=record["symbol"], held=held
        )
        self.tell(book, "ACCOUNT_UPDATE", "funding", record["at"], fields)

    def _transferred(self, book: Book, record: Record) -> None:
        self._income(book, record, "TRANSFER", record["change"])
        reason = "DEPOSIT" if record["change"] > 0 else "WITHDRAW"
        fields = frames.account_update(reason, record["wallet"], record["change"])
        self.tell(book, "ACCOUNT_UPDATE", "balance", record["at"], fields)

    def _liquidated(self, book: Book, record: Record) -> None:
        updates = [u for u in self._exchange.account(book.name).updates if u.kind == "liquidation"]
        reason = updates[book.liquidations].reason or "liquidation"
        book.liquidations += 1
        prefix = _OWN_ORDERS.get(reason, _OWN_ORDERS["liquidation"])
        order = _own_order(record, f"{prefix}{record['n']}")
        book.own_orders.append(order)
        fill = {**record, "trade": _OWN_TRADE_IDS + record["n"], "cumulative": record["quantity"]}
        self._trade(book, fill, order["orderId"], "BOTH")

        def moved(position: Record) -> None:
            self._tell_position(book, fill, position)
            fields = frames.taken_over(order, fill, millis(fill["at"]))
            self.tell(book, "ORDER_TRADE_UPDATE", "liquidation", fill["at"], fields)

        self._moved = (record, moved)

    # -- rows ---------------------------------------------------------------------------------------

    def _trade(self, book: Book, fill: Record, order_id: int, position_side: str) -> None:
        buyer = fill["side"] is Side.BUY
        book.trades.append(
            {
                "symbol": fill["symbol"],
                "id": fill["trade"],
                "orderId": order_id,
                "side": "BUY" if buyer else "SELL",
                "price": digits(fill["price"]),
                "qty": digits(fill["quantity"]),
                "realizedPnl": money(fill["realised"]),
                "marginAsset": "USDT",
                "quoteQty": money(fill["price"] * fill["quantity"]),
                "commission": money(fill["fee"]),
                "commissionAsset": "USDT",
                "time": millis(fill["at"]),
                "positionSide": position_side,
                "buyer": buyer,
                "maker": fill.get("liquidity") == "maker",
            }
        )
        trade = str(fill["trade"])
        if fill["realised"]:
            self._income(book, fill, "REALIZED_PNL", fill["realised"], trade)
        if fill["fee"]:
            kind = "COMMISSION" if fill["kind"] == "fill" else "INSURANCE_CLEAR"
            self._income(book, fill, kind, -fill["fee"], trade)

    def _income(self, book: Book, record: Record, kind: str, amount: Decimal, trade: str = "") -> None:
        book.income.append(
            {
                "symbol": record["symbol"] or "",
                "incomeType": kind,
                "income": money(amount),
                "asset": "USDT",
                "info": trade or kind,
                "time": millis(record["at"]),
                "tranId": 9_689_000_000 + record["n"],
                "tradeId": trade,
            }
        )


def _own_order(record: Record, client_id: str) -> dict[str, Any]:
    """An order that the venue itself made to close a position."""
    quantity, price = record["quantity"], record["price"]
    return {
        "orderId": _OWN_ORDER_IDS + record["n"],
        "symbol": record["symbol"],
        "status": "FILLED",
        "clientOrderId": client_id,
        "price": digits(price),
        "avgPrice": digits(price),
        "origQty": digits(quantity),
        "executedQty": digits(quantity),
        "cumQuote": money(quantity * price),
        "timeInForce": "IOC",
        "type": "LIMIT",
        "reduceOnly": True,
        "closePosition": False,
        "side": "BUY" if record["side"] is Side.BUY else "SELL",
        "positionSide": "BOTH",
        "stopPrice": "0",
        "workingType": "CONTRACT_PRICE",
        "priceProtect": False,
        "origType": "LIMIT",
        "priceMatch": "NONE",
        "selfTradePreventionMode": "NONE",
        "goodTillDate": 0,
        "time": millis(record["at"]),
        "updateTime": millis(record["at"]),
    }


def settled(sheet: Sheet) -> bool:
    """Canceled or expired without a fill: gone from queries three days after it was made."""
    return sheet.order.status is Status.CANCELED and not sheet.order.filled
