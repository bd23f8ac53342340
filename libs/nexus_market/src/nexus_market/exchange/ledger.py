"""The exchange's own record of what happened, and what it proves: protection, duplicates, totals.

A record is a flat dict: `n` (1, 2, 3 …), `at` (market time, None before the first step), `kind`, `account`,
`symbol`, and:

- account: currency, wallet
- order: client, venue_order, side, order_kind, quantity, limit, trigger, trail, trail_rate, reduce_only,
  close_position, leverage
- resubmission: client (an order sent again, answered from memory)
- trigger: client, price · amend: client, trigger, quantity · cancel: client, reason
- fill: client, fill, side, quantity, price, fee, liquidity, realised, complete, wallet
- position: quantity (signed), entry, margin
- transfer: change, wallet
- funding: rate, price, change, wallet · liquidation: side, quantity, price, fee, realised, wallet

A server adds `wall`, the time on the wall when it was written. Amounts are Decimals or their decimal text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from nexus_common.contracts.values import format_decimal, format_instant
from nexus_market.exchange.account import Account, Position
from nexus_market.exchange.model import ZERO, Order, Record, Update


class LedgerWriter:
    """Writes the records, in order."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    @property
    def length(self) -> int:
        return len(self.records)

    def note(self, kind: str, at: datetime | None, account: str, symbol: str | None, **fields: Any) -> None:
        record: Record = {
            "n": len(self.records) + 1,
            "at": at,
            "kind": kind,
            "account": account,
            "symbol": symbol,
        }
        record.update(fields)
        self.records.append(record)

    def accepted(self, order: Order, leverage: int, at: datetime) -> None:
        ticket = order.ticket
        self.note(
            "order",
            at,
            order.account,
            ticket.symbol,
            client=ticket.client_order_id,
            venue_order=order.venue_order_id,
            side=ticket.side,
            order_kind=ticket.kind,
            quantity=ticket.quantity,
            limit=ticket.limit_price,
            trigger=ticket.trigger_price,
            trail=ticket.trail_distance,
            trail_rate=ticket.trail_rate,
            reduce_only=ticket.reduce_only,
            close_position=ticket.close_position,
            leverage=leverage,
        )

    def triggered(self, order: Order, price: Decimal, at: datetime) -> None:
        self.note(
            "trigger", at, order.account, order.symbol, client=order.ticket.client_order_id, price=price
        )

    def amended(self, order: Order, at: datetime) -> None:
        client, trigger, quantity = order.ticket.client_order_id, order.trigger_price, order.ticket.quantity
        self.note("amend", at, order.account, order.symbol, client=client, trigger=trigger, quantity=quantity)

    def canceled(self, order: Order, reason: str, at: datetime) -> None:
        client = order.ticket.client_order_id
        self.note("cancel", at, order.account, order.symbol, client=client, reason=reason)

    def filled(self, order: Order, update: Update, realised: Decimal, at: datetime) -> None:
        self.note(
            "fill",
            at,
            order.account,
            order.symbol,
            client=update.client_order_id,
            fill=update.fill_id,
            side=update.side,
            quantity=update.quantity,
            price=update.price,
            fee=update.fee,
            liquidity=update.liquidity,
            realised=realised,
            complete=update.complete,
            wallet=update.wallet,
        )

    def position(self, account: Account, symbol: str, position: Position, at: datetime) -> None:
        entry = position.entry_price if position.quantity else None
        self.note(
            "position",
            at,
            account.name,
            symbol,
            quantity=position.quantity,
            entry=entry,
            margin=position.margin,
        )

    def funded(self, account: str, update: Update) -> None:
        self.note(
            "funding",
            update.at,
            account,
            update.symbol,
            rate=update.rate,
            price=update.price,
            change=update.change,
            wallet=update.wallet,
        )

    def liquidated(self, account: str, update: Update, realised: Decimal) -> None:
        self.note(
            "liquidation",
            update.at,
            account,
            update.symbol,
            side=update.side,
            quantity=update.quantity,
            price=update.price,
            fee=update.fee,
            realised=realised,
            wallet=update.wallet,
        )


def plain(record: Mapping[str, Any]) -> Record:
    """A record in JSON's own types; amounts as plain digits."""
    return {key: _plain(value) for key, value in record.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return format_decimal(value)
    if isinstance(value, datetime):
        return format_instant(value)
    return str(value) if isinstance(value, str) else value


@dataclass(frozen=True, slots=True)
class UnprotectedSpan:
    """A position was held without a stop that covers it. `end` None: it still is."""

    account: str
    symbol: str
    start: datetime | None
    end: datetime | None
    wall_seconds: float | None


@dataclass(slots=True)
class _Watch:
    held: Decimal = ZERO
    stops: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    filled: dict[str, Decimal] = field(default_factory=dict)
    naked_since: Mapping[str, Any] | None = None

    def covered(self) -> bool:
        side = "sell" if self.held > 0 else "buy"
        covering = ZERO
        for client, order in self.stops.items():
            if order["side"] != side:
                continue
            if order["close_position"]:
                return True
            covering += Decimal(order["quantity"]) - self.filled.get(client, ZERO)
        return covering >= abs(self.held)


def unprotected_spans(
    records: Iterable[Mapping[str, Any]], until: datetime | None = None
) -> list[UnprotectedSpan]:
    """When each position stood without a working stop, in the order in which these times began.

    A stop counts from its acceptance until it is canceled or filled, if it reduces only and the stops
    together cover the position; a trailing stop counts if it trails from the start. What is unprotected
    still is timed up to `until`.
    """
    watches: dict[tuple[str, str], _Watch] = {}
    spans: list[tuple[int, UnprotectedSpan]] = []
    for record in records:
        if record["symbol"] is None:
            continue
        key = (record["account"], record["symbol"])
        watch = watches.setdefault(key, _Watch())
        _follow(watch, record)
        if record["kind"] == "fill":
            continue  # the position that it led to comes next
        naked = watch.held != 0 and not watch.covered()
        if naked and watch.naked_since is None:
            watch.naked_since = record
        elif not naked and watch.naked_since is not None:
            spans.append((watch.naked_since["n"], _span(key, watch.naked_since, record, until)))
            watch.naked_since = None
    for key, watch in watches.items():
        if watch.naked_since is not None:
            spans.append((watch.naked_since["n"], _span(key, watch.naked_since, None, until)))
    return [span for _, span in sorted(spans, key=lambda item: item[0])]


def _follow(watch: _Watch, record: Mapping[str, Any]) -> None:
    match record["kind"]:
        case "position":
            watch.held = Decimal(record["quantity"])
        case "order" if _protects(record):
            watch.stops[record["client"]] = record
        case "cancel":
            watch.stops.pop(record["client"], None)
        case "amend" if record["client"] in watch.stops:
            stop = watch.stops[record["client"]]
            watch.stops[record["client"]] = {**stop, "quantity": record["quantity"]}
        case "fill" if record["client"] in watch.stops:
            client = record["client"]
            watch.filled[client] = watch.filled.get(client, ZERO) + Decimal(record["quantity"])
            if record["complete"]:
                del watch.stops[client]


def _protects(order: Mapping[str, Any]) -> bool:
    if not (order["reduce_only"] or order["close_position"]):
        return False
    if order["order_kind"] == "trailing_stop":
        return order["trigger"] is None
    return bool(order["order_kind"] == "stop")


def _span(
    key: tuple[str, str], start: Mapping[str, Any], end: Mapping[str, Any] | None, until: datetime | None
) -> UnprotectedSpan:
    began, ended = start.get("wall"), until if end is None else end.get("wall")
    seconds = None
    if began is not None and ended is not None:
        seconds = (_instant(ended) - _instant(began)).total_seconds()
    return UnprotectedSpan(
        key[0], key[1], _moment(start["at"]), None if end is None else _moment(end["at"]), seconds
    )


def _instant(moment: datetime | str) -> datetime:
    return moment if isinstance(moment, datetime) else datetime.fromisoformat(moment)


def _moment(moment: datetime | str | None) -> datetime | None:
    return None if moment is None else _instant(moment)


@dataclass(slots=True)
class Totals:
    """What an account did in one instrument; `realised` is before fees and funding."""

    orders: int = 0
    fills: int = 0
    quantity: Decimal = ZERO
    fees: Decimal = ZERO
    realised: Decimal = ZERO
    funding: Decimal = ZERO
    liquidations: int = 0
    held: Decimal = ZERO


def totals(records: Iterable[Mapping[str, Any]]) -> tuple[dict[tuple[str, str], Totals], dict[str, Decimal]]:
    """Totals by account and instrument, and each account's wallet after the last record."""
    sums: dict[tuple[str, str], Totals] = {}
    wallets: dict[str, Decimal] = {}
    for record in records:
        if "wallet" in record:
            wallets[record["account"]] = Decimal(record["wallet"])
        if record["symbol"] is not None:
            _add(sums.setdefault((record["account"], record["symbol"]), Totals()), record)
    return sums, wallets


def _add(total: Totals, record: Mapping[str, Any]) -> None:
    match record["kind"]:
        case "order":
            total.orders += 1
        case "fill" | "liquidation":
            total.fills += record["kind"] == "fill"
            total.liquidations += record["kind"] == "liquidation"
            total.quantity += Decimal(record["quantity"])
            total.fees += Decimal(record["fee"])
            total.realised += Decimal(record["realised"])
        case "funding":
            total.funding -= Decimal(record["change"])
        case "position":
            total.held = Decimal(record["quantity"])


def duplicate_orders(records: Iterable[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Account and client order id of what was accepted as more than one order: none, ever."""
    seen: dict[tuple[str, str], int] = {}
    for record in records:
        if record["kind"] == "order":
            key = (record["account"], record["client"])
            seen[key] = seen.get(key, 0) + 1
    return sorted(key for key, count in seen.items() if count > 1)
