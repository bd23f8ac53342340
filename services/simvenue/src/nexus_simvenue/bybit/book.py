"""One account as Bybit keeps it: its orders, executions and statement, written from the engine's messages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from nexus_common.contracts.order import OrderKind
from nexus_common.contracts.values import Side, format_decimal
from nexus_market.exchange import Exchange, Order, Ticket, Update
from nexus_market.exchange.account import Account
from nexus_market.instruments import venue_spelling
from nexus_simvenue.bybit.holdings import position_row, wallet_row
from nexus_simvenue.bybit.notes import (
    NAMES,
    ZERO,
    Note,
    fill_row,
    funding_row,
    order_id,
    order_row,
    stamp,
    stop_type_of,
    streamed_execution,
    streamed_order,
    takeover_row,
)

_CANCEL_TYPES = {"requested": "CancelByUser", "vanished": "CancelByAdmin"}
DEFAULT_LEVERAGE = 10


@dataclass(frozen=True, slots=True)
class Told:
    """A private message: its topic, what fault rules call it, and its data."""

    topic: str
    kind: str
    at: datetime
    data: dict[str, Any]


@dataclass(slots=True)
class Book:
    """`executions`, `statement` and `closed` are rows with their time, oldest first; `unsent` is for the stream."""

    exchange: Exchange
    account: str
    spelling: Callable[[str], str]
    notes: dict[str, Note] = field(default_factory=dict)
    refused: list[Note] = field(default_factory=list)
    leverage: dict[str, int] = field(default_factory=dict)
    executions: list[tuple[datetime, dict[str, Any]]] = field(default_factory=list)
    statement: list[tuple[datetime, dict[str, Any]]] = field(default_factory=list)
    closed: list[tuple[datetime, dict[str, Any]]] = field(default_factory=list)
    unsent: list[Told] = field(default_factory=list)
    _written: int = 0
    _records: int = 0
    _realised: dict[str, Decimal] = field(default_factory=dict)
    _held: dict[str, Decimal] = field(default_factory=dict)
    _known: int = 0

    @property
    def state(self) -> Account:
        return self.exchange.account(self.account)

    def spelled(self, symbol: str) -> str:
        """Our symbol as Bybit writes it."""
        return self.spelling(symbol)

    def held(self, symbol: str) -> Decimal:
        return self.state.held(symbol)

    def leverage_of(self, symbol: str) -> int:
        return self.leverage.get(symbol, DEFAULT_LEVERAGE)

    # -- orders -------------------------------------------------------------------------------------

    def add(self, note: Note) -> None:
        """Keep an order that the engine took."""
        if note.order is None:
            raise ValueError(f"order {note.order_id} is not in the engine")
        self.notes[note.order.ticket.client_order_id] = note

    def all_notes(self) -> list[Note]:
        """Every order, oldest first, those that were placed past this protocol too."""
        self._find_strangers()
        return [*self.refused, *(note for note in self.notes.values() if not note.superseded)]

    def open_notes(self, symbol: str | None = None) -> list[Note]:
        return [note for note in self.all_notes() if note.is_open and symbol in (None, note.symbol)]

    def attached(self, symbol: str, stop_type: str) -> Note | None:
        """The position's own order of a type, if it stands."""
        waiting = (n for n in self.open_notes(symbol) if n.stop_type == stop_type and n.waits)
        return next(waiting, None)

    def is_taken(self, link: str) -> bool:
        return any(note.link == link for note in self.all_notes()) or link in self.state.orders

    def _find_strangers(self) -> None:
        orders = self.state.orders
        if len(orders) == self._known:
            return
        for client, order in list(orders.items()):
            if client not in self.notes:
                note = self.notes[client] = self._stranger(order)
                status = "Untriggered" if note.stop_type else "New"
                self.tell_order(note, "accepted", status, note.at)
        self._known = len(orders)

    def _stranger(self, order: Order) -> Note:
        """An order by hand: the web page gives it no orderLinkId."""
        ticket: Ticket = order.ticket
        stop_type = stop_type_of(order)
        rises = (ticket.kind is OrderKind.STOP) == (ticket.side is Side.BUY)
        return Note(
            order_id(order.number),
            "",
            order.symbol,
            self.spelled(order.symbol),
            order.side,
            "Limit" if order.kind is OrderKind.LIMIT else "Market",
            ticket.quantity,
            order.placed_at or datetime.fromtimestamp(0, UTC),
            order=order,
            price=ticket.limit_price,
            time_in_force="GTC" if order.kind is OrderKind.LIMIT else "IOC",
            stop_type=stop_type,
            trigger_direction=(1 if rises else 2) if stop_type else 0,
            trigger_by="LastPrice" if stop_type else "",
            reduce_only=order.reduces,
            close_on_trigger=ticket.close_position,
            mode="Full" if ticket.close_position else "",
            distance=ticket.trail_distance,
            last_price=self.exchange.price(order.symbol),
        )

    # -- what has happened --------------------------------------------------------------------------

    def write(self) -> None:
        """Take the engine's new messages into rows and stream messages; changes nothing in the engine."""
        self._read_records()
        self._find_strangers()
        updates = self.state.updates[self._written :]
        self._written += len(updates)
        touched: dict[str, datetime] = {}
        for update in updates:
            match update.kind:
                case "fill":
                    self._filled(update)
                case "canceled":
                    self._canceled(update)
                case "triggered":
                    self._triggered(update)
                case "funding":
                    self._funded(update)
                case "liquidation":
                    self._taken_over(update)
                case "balance":
                    self._transferred(update)
                case _:
                    pass
            if update.symbol is not None and update.kind in ("fill", "liquidation"):
                touched[update.symbol] = update.at
        for symbol, at in touched.items():
            self.tell_position(symbol, at)

    def _read_records(self) -> None:
        for record in self.exchange.records[self._records :]:
            if record["account"] == self.account and "realised" in record:
                key = record.get("fill") or f"{record['kind']}/{record['symbol']}/{stamp(record['at'])}"
                self._realised[key] = record["realised"]
        self._records = len(self.exchange.records)

    def _move(self, symbol: str, signed: Decimal) -> Decimal:
        """Note a change of the position; returns how much of it closed something."""
        held = self._held.get(symbol, ZERO)
        self._held[symbol] = held + signed
        return min(abs(signed), abs(held)) if held * signed < 0 else ZERO

    def _filled(self, update: Update) -> None:
        note = self.notes[update.client_order_id or ""]
        quantity, price = update.quantity or ZERO, update.price or ZERO
        note.filled += quantity
        note.value += quantity * price
        note.fees += update.fee or ZERO
        closed = self._move(note.symbol, quantity if note.side is Side.BUY else -quantity)
        leaves = ZERO if update.complete else self._leaves(note)
        realised = self._realised.get(update.fill_id or "", ZERO)
        row = fill_row(note, update, leaves, closed, self._seq())
        self.executions.append((update.at, row))
        self.tell_order(note, "order", "Filled" if update.complete else "PartiallyFilled", update.at)
        self._tell("execution", "fill", update.at, streamed_execution(row, realised))
        self._state("TRADE", update, row, realised)
        self.tell_wallet(update.at, update.wallet)
        if closed:
            self.closed.append((update.at, self._closed_row(note, update, closed, realised)))

    def _leaves(self, note: Note) -> Decimal:
        order = note.order
        if order is None:
            return ZERO
        held = abs(self._held.get(note.symbol, ZERO))
        return held if order.ticket.close_position else max(note.quantity - note.filled, ZERO)

    def _canceled(self, update: Update) -> None:
        note = self.notes[update.client_order_id or ""]
        if note.superseded:
            return
        if note.cancel_type == "UNKNOWN":
            cleared = "CancelByTpSlTsClear" if note.is_attached else "CancelByReduceOnly"
            note.cancel_type = _CANCEL_TYPES.get(update.reason or "", cleared)
            note.cancel_reason = "EC_PerCancelRequest" if note.cancel_type == "CancelByUser" else "EC_NoError"
        self.tell_order(note, "canceled", None, update.at)

    def _triggered(self, update: Update) -> None:
        note = self.notes[update.client_order_id or ""]
        note.triggered_at = update.price
        self.tell_order(note, "triggered", "Triggered", update.at)

    def _funded(self, update: Update) -> None:
        symbol = update.symbol or ""
        row = funding_row(self.spelled(symbol), update, self._held.get(symbol, ZERO), self._seq())
        self.executions.append((update.at, row))
        self._tell("execution", "funding", update.at, streamed_execution(row, ZERO))
        self._state("SETTLEMENT", update, row, ZERO)
        self.tell_wallet(update.at, update.wallet)

    def _taken_over(self, update: Update) -> None:
        symbol, quantity = update.symbol or "", update.quantity or ZERO
        self._move(symbol, quantity if update.side is Side.BUY else -quantity)
        row = takeover_row(self.spelled(symbol), update, self._seq())
        realised = self._realised.get(f"liquidation/{symbol}/{stamp(update.at)}", update.change or ZERO)
        self.executions.append((update.at, row))
        self._tell("execution", "liquidation", update.at, streamed_execution(row, realised))
        self._state("ADL" if update.reason == "adl" else "LIQUIDATION", update, row, realised)
        self.tell_wallet(update.at, update.wallet)

    def _transferred(self, update: Update) -> None:
        change = update.change or ZERO
        self._state("TRANSFER_IN" if change > 0 else "TRANSFER_OUT", update, {}, change)
        self.tell_wallet(update.at, update.wallet, "balance")

    def _seq(self) -> int:
        return len(self.executions) + len(self.statement) + 1

    # -- rows ---------------------------------------------------------------------------------------

    def _state(self, kind: str, update: Update, row: dict[str, Any], cash_flow: Decimal) -> None:
        """A line of the statement: change = cash flow + funding - fee."""
        funding = update.change or ZERO if kind == "SETTLEMENT" else None
        fee = ZERO if kind == "SETTLEMENT" else update.fee or ZERO
        self.statement.append(
            (
                update.at,
                {
                    "id": f"{self.account}_{row.get('symbol', '')}_{len(self.statement) + 1}",
                    "symbol": row.get("symbol", ""),
                    "side": row.get("side", "None"),
                    "funding": "" if funding is None else format_decimal(funding),
                    "orderLinkId": row.get("orderLinkId", ""),
                    "orderId": row.get("orderId", ""),
                    "fee": format_decimal(fee),
                    "change": format_decimal(cash_flow + (funding or ZERO) - fee),
                    "cashFlow": format_decimal(cash_flow),
                    "transactionTime": stamp(update.at),
                    "type": kind,
                    "transSubType": "",
                    "feeRate": row.get("feeRate", ""),
                    "bonusChange": "",
                    "size": format_decimal(self._held.get(update.symbol or "", ZERO)),
                    "qty": row.get("execQty", "0"),
                    "cashBalance": format_decimal(
                        self.state.wallet if update.wallet is None else update.wallet
                    ),
                    "currency": self.state.currency,
                    "category": "linear" if row else "",
                    "tradePrice": row.get("execPrice", ""),
                    "tradeId": row.get("execId", ""),
                    "extraFees": "",
                },
            )
        )

    def _closed_row(self, note: Note, update: Update, closed: Decimal, realised: Decimal) -> dict[str, Any]:
        price = update.price or ZERO
        gained = realised / closed if note.side is Side.SELL else -realised / closed
        entry = price - gained
        return {
            "symbol": note.spelled,
            "orderId": note.order_id,
            "side": NAMES[note.side],
            "qty": format_decimal(update.quantity or ZERO),
            "orderPrice": format_decimal(note.price or ZERO),
            "orderType": note.order_type,
            "execType": "Trade",
            "closedSize": format_decimal(closed),
            "cumEntryValue": format_decimal(entry * closed),
            "avgEntryPrice": format_decimal(entry),
            "cumExitValue": format_decimal(price * closed),
            "avgExitPrice": format_decimal(price),
            "closedPnl": format_decimal(realised - (update.fee or ZERO)),
            "fillCount": "1",
            "leverage": str(self.leverage_of(note.symbol)),
            "createdTime": stamp(update.at),
            "updatedTime": stamp(update.at),
        }

    # -- the stream ---------------------------------------------------------------------------------

    def _tell(self, topic: str, kind: str, at: datetime, data: dict[str, Any]) -> None:
        self.unsent.append(Told(topic, kind, at, data))

    def tell_order(self, note: Note, kind: str, status: str | None, at: datetime) -> None:
        held = self._held.get(note.symbol, ZERO)
        self._tell("order", kind, at, streamed_order(order_row(note, held, status)))

    def tell_position(self, symbol: str, at: datetime) -> None:
        row = position_row(self, symbol)
        data = {"category": "linear", **row, "entryPrice": row.pop("avgPrice")}
        self._tell("position", "position", at, data)

    def tell_wallet(self, at: datetime, wallet: Decimal | None = None, kind: str = "wallet") -> None:
        self._tell("wallet", kind, at, wallet_row(self, wallet))

    def take(self) -> Iterator[Told]:
        """What is to be sent, once."""
        unsent, self.unsent = self.unsent, []
        yield from unsent


def spelling_of(exchange: Exchange) -> Callable[[str], str]:
    """Our symbol as Bybit spells it."""

    def spell(symbol: str) -> str:
        return next(
            (venue_spelling(i) for i in exchange.instruments if i.symbol == symbol),
            symbol,
        )

    return spell
