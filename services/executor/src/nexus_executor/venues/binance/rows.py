"""Rows of REST answers as facts: orders, trades, positions, the statement. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Final, NamedTuple

from nexus_common.contracts.order import Liquidity, OrderKind
from nexus_common.contracts.values import ClientOrderId, Side, Symbol
from nexus_executor.venues.binance import fields, keys, messages
from nexus_executor.venues.binance.fields import Row, UnreadableFrame
from nexus_executor.venues.broker import (
    UpdateKind,
    VenueOrder,
    VenueOrderStatus,
    VenuePosition,
    VenueUpdate,
)
from nexus_executor.venues.facts import StatementKind, StatementRow

KINDS: Final[Mapping[str, OrderKind]] = MappingProxyType(
    {
        "MARKET": OrderKind.MARKET,
        "LIMIT": OrderKind.LIMIT,
        "LIQUIDATION": OrderKind.MARKET,
        "STOP": OrderKind.STOP,
        "STOP_MARKET": OrderKind.STOP,
        "TAKE_PROFIT": OrderKind.TAKE_PROFIT,
        "TAKE_PROFIT_MARKET": OrderKind.TAKE_PROFIT,
        "TRAILING_STOP_MARKET": OrderKind.TRAILING_STOP,
    }
)
_STATUSES: Final[Mapping[str, VenueOrderStatus]] = MappingProxyType(
    {
        "NEW": VenueOrderStatus.OPEN,
        "PARTIALLY_FILLED": VenueOrderStatus.OPEN,
        "TRIGGERING": VenueOrderStatus.OPEN,
        "TRIGGERED": VenueOrderStatus.OPEN,
        "FILLED": VenueOrderStatus.FILLED,
        "FINISHED": VenueOrderStatus.FILLED,
        "CANCELED": VenueOrderStatus.CANCELED,
        "EXPIRED": VenueOrderStatus.CANCELED,
        "EXPIRED_IN_MATCH": VenueOrderStatus.CANCELED,
        "REJECTED": VenueOrderStatus.CANCELED,
    }
)
_STATEMENT: Final[Mapping[str, StatementKind]] = MappingProxyType(
    {
        "REALIZED_PNL": StatementKind.REALISED,
        "COMMISSION": StatementKind.FEE,
        "FUNDING_FEE": StatementKind.FUNDING,
        "SPECIAL_FUNDING_FEE": StatementKind.FUNDING,
        "TRANSFER": StatementKind.TRANSFER,
        "INTERNAL_TRANSFER": StatementKind.TRANSFER,
        "INSURANCE_CLEAR": StatementKind.LIQUIDATION,
    }
)


class Placed(NamedTuple):
    """An order as a query tells it. `number` is the order id, or the algo id of a conditional order."""

    order: VenueOrder
    number: int
    is_algo: bool
    status: str
    updated: datetime
    closes_position: bool
    triggers: bool  # a conditional order that has triggered


def _known(table: Mapping[str, object], row: Row, name: str) -> str:
    value = fields.text(row, name)
    if value not in table:
        raise UnreadableFrame(f"unknown {name}")
    return value


def placed(row: Row) -> Placed:
    """A plain order; raises UnreadableFrame."""
    status = _known(_STATUSES, row, "status")
    number = fields.whole(row, "orderId")
    order = VenueOrder(
        ClientOrderId(fields.text(row, "clientOrderId")),
        str(number),
        Symbol(fields.text(row, "symbol")),
        fields.side(row, "side"),
        KINDS[_known(KINDS, row, "type")],
        _STATUSES[status],
        fields.amount(row, "origQty"),
        fields.amount(row, "executedQty"),
        _price(row, "stopPrice"),
    )
    updated = fields.moment(row, "updateTime")
    return Placed(order, number, False, status, updated, row.get("closePosition") is True, False)


def placed_algo(row: Row) -> Placed:
    """A conditional order; raises UnreadableFrame. Its quantity is 0 when it closes the position."""
    status, closes = _known(_STATUSES, row, "algoStatus"), fields.flag(row, "closePosition")
    number = fields.whole(row, "algoId")
    # An order for whatever is held has no quantity: 0, empty or left out.
    has_none = closes and row.get("quantity") in (None, "")
    order = VenueOrder(
        ClientOrderId(fields.text(row, "clientAlgoId")),
        str(number),
        Symbol(fields.text(row, "symbol")),
        fields.side(row, "side"),
        KINDS[_known(KINDS, row, "orderType")],
        _STATUSES[status],
        Decimal(0) if has_none else fields.amount(row, "quantity"),
        Decimal(0) if row.get("actualQty") in (None, "") else fields.amount(row, "actualQty"),
        _price(row, "triggerPrice") or _price(row, "activatePrice"),
    )
    updated = fields.moment(row, "updateTime")
    return Placed(order, number, True, status, updated, closes, status in ("TRIGGERED", "FINISHED"))


def _price(row: Row, name: str) -> Decimal | None:
    """Prices that are not there are sent as 0 or left out."""
    if row.get(name) in (None, ""):
        return None
    price = fields.amount(row, name)
    return price if price > 0 else None


def changes_of(found: Placed) -> list[VenueUpdate]:
    """What a query's row proves to have happened to an order besides its fills."""
    order = found.order
    client, side = order.client_order_id, order.side
    if client is None or keys.taken_over(client) is not None:
        return []
    if found.triggers and order.trigger_price is not None:
        return [
            messages.triggered(found.number, found.updated, client, order.symbol, side, order.trigger_price)
        ]
    if order.status is VenueOrderStatus.CANCELED:
        name = keys.algo_ended_key if found.is_algo else keys.ended_key
        words = found.status.lower()
        return [messages.ended(name(found.number), found.updated, client, order.symbol, side, words)]
    return []


class Trade(NamedTuple):
    """A trade of the account; it names its order only by number."""

    trade: int
    order: int
    at: datetime
    symbol: Symbol
    side: Side
    quantity: Decimal
    price: Decimal
    fee: Decimal | None
    liquidity: Liquidity


def trade(row: Row, currency: str) -> Trade:
    fee = fields.amount(row, "commission")
    return Trade(
        fields.whole(row, "id"),
        fields.whole(row, "orderId"),
        fields.moment(row, "time"),
        Symbol(fields.text(row, "symbol")),
        fields.side(row, "side"),
        fields.positive(row, "qty"),
        fields.positive(row, "price"),
        fee if fields.text(row, "commissionAsset") == currency else None,
        Liquidity.MAKER if fields.flag(row, "maker") else Liquidity.TAKER,
    )


def fills_of(trades: Sequence[Trade], orders: Mapping[int, Placed]) -> list[VenueUpdate]:
    """Trades with the client ids of their orders; every trade's order must be among `orders`."""
    last = {each.order: each.trade for each in sorted(trades)}
    return [_fill(each, orders[each.order], each.trade == last[each.order]) for each in sorted(trades)]


def _fill(each: Trade, of: Placed, is_last: bool) -> VenueUpdate:
    client = of.order.client_order_id
    reason = None if client is None else keys.taken_over(client)
    return VenueUpdate(
        0,
        each.at,
        UpdateKind.FILL if reason is None else UpdateKind.LIQUIDATION,
        client_order_id=client if reason is None else None,
        symbol=each.symbol,
        side=each.side,
        fill_id=str(each.trade),
        quantity=each.quantity,
        price=each.price,
        fee=each.fee,
        liquidity=each.liquidity,
        complete=is_last and of.order.status is VenueOrderStatus.FILLED,
        reason=reason,
        key=keys.fill_key(each.symbol, each.trade),
    )


def positions(found: Sequence[Row]) -> list[VenuePosition]:
    """What is held, signed; raises UnreadableFrame, also for a side of hedge mode."""
    held = []
    for row in found:
        quantity = fields.amount(row, "positionAmt")
        if quantity == 0:
            continue
        if fields.text(row, "positionSide") != "BOTH":
            raise UnreadableFrame("the account is in hedge mode")
        entry = fields.positive(row, "entryPrice")
        held.append(VenuePosition(Symbol(fields.text(row, "symbol")), quantity, entry))
    return held


def wallet(found: Sequence[Row], currency: str) -> Decimal:
    for row in found:
        if fields.text(row, "asset") == currency:
            return fields.amount(row, "balance")
    raise UnreadableFrame(f"no balance in {currency}")


def statement(row: Row) -> StatementRow:
    """One row of the income history."""
    kind = fields.text(row, "incomeType")
    symbol = row.get("symbol")
    return StatementRow(
        fields.moment(row, "time"),
        _STATEMENT.get(kind, StatementKind.OTHER),
        fields.amount(row, "income"),
        f"{kind}/{fields.whole(row, 'tranId')}",
        Symbol(symbol) if isinstance(symbol, str) and symbol else None,
    )


def update_of(row: StatementRow) -> VenueUpdate | None:
    """Funding and transfers of the statement, as the stream would have told them."""
    if row.key.startswith("FUNDING_FEE/") and row.symbol is not None:
        return messages.funding(row.at, row.symbol, row.amount, None)
    if row.kind is StatementKind.TRANSFER:
        return messages.transfer(row.at, row.amount, None, "transfer")
    return None
