"""Orders created. Source: Bybit V5 documentation, Trade.

What is simulated more simply than at Bybit: a market order waits for the next bars instead of being
canceled when the book is thin, and FOK is taken as IOC.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from nexus_common.contracts.order import OrderKind
from nexus_common.contracts.values import Side
from nexus_market.exchange import Refused, Status, Ticket
from nexus_market.instruments import on_step, on_tick
from nexus_simvenue.bybit.codes import MESSAGES, NotDone, worded, wrong
from nexus_simvenue.bybit.desk import Desk
from nexus_simvenue.bybit.notes import SIDES, Note, order_id, refused_id
from nexus_simvenue.bybit.params import Fields

CONDITIONAL_MAX: Final = 10
ACTIVE_MAX: Final = 500
_BROUGHT: Final = ("takeProfit", "stopLoss", "tpTriggerBy", "slTriggerBy", "tpslMode")
_MARGIN: Final = "-2019"
_QTY_MAX: Final = Decimal("1000000000")


def create(desk: Desk, fields: Fields) -> dict[str, Any]:
    """Answers with the ids only; what becomes of the order, the stream tells."""
    _form(fields, desk)
    _room(fields, desk)
    link = fields.get("orderLinkId", "")
    if link and desk.book.is_taken(link):
        raise NotDone(110072)
    note, ticket = _written(fields, desk, link)
    note.last_price = desk.price()
    late = _dies_at_once(fields, desk)
    reply = late or desk.submit(ticket)
    if isinstance(reply, Refused):
        return _refuse_late(desk, note, ticket, reply)
    order = desk.book.state.orders[ticket.client_order_id]
    note.order, note.order_id = order, order_id(order.number)
    desk.book.add(note)
    desk.book.tell_order(note, "accepted", "Untriggered" if note.stop_type else "New", desk.at)
    desk.book.write()
    if fields.get("timeInForce") in ("IOC", "FOK") and order.status is Status.OPEN and not note.stop_type:
        note.cancel_reason = "EC_CancelForNoFullFill"
        desk.cancel(note)
    return {"orderId": note.order_id, "orderLinkId": link}


def _form(fields: Fields, desk: Desk) -> None:
    """Rules that need nothing but the request and the instrument."""
    if (fields.get("positionIdx", 0) == 0) == desk.flags.hedge_mode:
        raise NotDone(10001, "position idx not match position mode")
    for name in ("isLeverage", "marketUnit", "orderFilter", "orderIv", "mmp"):
        if fields.get(name) not in (None, 0, False, "Order"):
            raise wrong(f"{name} is not for linear")
    if fields["orderType"] == "Limit" and not fields.get("price"):
        raise wrong("price is required for a limit order")
    if fields["orderType"] == "Market" and fields.get("timeInForce") == "PostOnly":
        raise wrong("a market order cannot be post only")
    check_sizes(fields, desk)
    _directions(fields, desk)
    if fields.get("reduceOnly") and (fields.get("takeProfit") or fields.get("stopLoss")):
        raise wrong("a reduce-only order has no take profit or stop loss")
    if fields.get("tpslMode") != "Partial" and "Limit" in (
        fields.get("tpOrderType"),
        fields.get("slOrderType"),
    ):
        raise wrong("a limit take profit or stop loss needs tpslMode=Partial")


def check_sizes(fields: Fields, desk: Desk) -> None:
    quantity, instrument = fields["qty"], desk.instrument
    if quantity == 0:
        if not (fields.get("reduceOnly") and fields.get("closeOnTrigger")):
            raise NotDone(10001, "The number of contracts exceeds minimum limit allowed")
    elif quantity < instrument.min_quantity:
        raise NotDone(10001, "The number of contracts exceeds minimum limit allowed")
    elif quantity > _QTY_MAX:
        raise NotDone(10001, "The number of contracts exceeds maximum limit allowed")
    elif not on_step(quantity, instrument):
        raise NotDone(10001, "Qty invalid")
    for name in ("price", "triggerPrice", "takeProfit", "stopLoss", "tpLimitPrice", "slLimitPrice"):
        price = fields.get(name)
        if price is not None and price != 0 and not on_tick(price, instrument):
            raise wrong(f"{name} {price} is no multiple of {instrument.tick_size}")


def _directions(fields: Fields, desk: Desk) -> None:
    trigger, direction = fields.get("triggerPrice"), fields.get("triggerDirection")
    if not trigger:
        if direction is not None:
            raise wrong("triggerDirection needs triggerPrice")
        return
    if direction is None:
        raise NotDone(10001, "TriggerDirection invalid")
    price = desk.price()
    if direction == 1 and trigger <= price:
        raise NotDone(110092, MESSAGES[110092].format(trigger=trigger, current=price))
    if direction == 2 and trigger >= price:
        raise NotDone(110093, MESSAGES[110093].format(trigger=trigger, current=price))


def _room(fields: Fields, desk: Desk) -> None:
    standing = desk.book.open_notes(desk.symbol)
    if len(standing) >= ACTIVE_MAX:
        raise NotDone(110020)
    conditional = [note for note in standing if note.stop_type == "Stop" and note.waits]
    if fields.get("triggerPrice") and len(conditional) >= CONDITIONAL_MAX:
        raise NotDone(110009)
    if desk.flags.reduce_only and not _reduces(fields):
        raise NotDone(110023)
    if _reduces(fields):
        held = desk.book.held(desk.symbol)
        side = SIDES[fields["side"]]
        if held == 0 or (held > 0) == (side is Side.BUY):
            raise NotDone(110017, "current position is zero, cannot fix reduce-only order qty")


def _reduces(fields: Fields) -> bool:
    return bool(fields.get("reduceOnly") or fields.get("closeOnTrigger"))


def _written(fields: Fields, desk: Desk, link: str) -> tuple[Note, Ticket]:
    side, trigger = SIDES[fields["side"]], fields.get("triggerPrice") or None
    quantity = fields["qty"] or abs(desk.book.held(desk.symbol))
    number = len(desk.book.state.orders) + len(desk.book.refused) + 1
    limit = fields.get("price") if fields["orderType"] == "Limit" else None
    ticket = Ticket(
        link or f"bybit-{desk.book.account}.{number}",
        desk.symbol,
        side,
        _kind(fields, side),
        quantity,
        limit_price=limit,
        trigger_price=trigger,
        reduce_only=_reduces(fields),
        leverage=None if _reduces(fields) else desk.book.leverage_of(desk.symbol),
    )
    note = Note(
        refused_id(number),
        link,
        desk.symbol,
        desk.book.spelled(desk.symbol),
        side,
        fields["orderType"],
        quantity,
        desk.at,
        price=limit,
        time_in_force="IOC" if fields["orderType"] == "Market" else fields.get("timeInForce", "GTC"),
        stop_type="Stop" if trigger else "",
        trigger_direction=fields.get("triggerDirection", 0),
        trigger_by=fields.get("triggerBy", "LastPrice") if trigger else "",
        reduce_only=bool(fields.get("reduceOnly")),
        close_on_trigger=bool(fields.get("closeOnTrigger")),
        mode=fields.get("tpslMode", ""),
        take_profit=str(fields.get("takeProfit", "")),
        stop_loss=str(fields.get("stopLoss", "")),
        brings={name: fields[name] for name in _BROUGHT if name in fields},
    )
    return note, ticket


def _kind(fields: Fields, side: Side) -> OrderKind:
    """A conditional order that waits on the far side of the market is a stop, else a take profit."""
    if not fields.get("triggerPrice"):
        return OrderKind.LIMIT if fields["orderType"] == "Limit" else OrderKind.MARKET
    rises = fields["triggerDirection"] == 1
    return OrderKind.STOP if rises == (side is Side.BUY) else OrderKind.TAKE_PROFIT


def _dies_at_once(fields: Fields, desk: Desk) -> Refused | None:
    """A post-only order that would take, and an IOC order that finds nobody."""
    if fields["orderType"] != "Limit" or fields.get("triggerPrice"):
        return None
    price, limit = desk.price(), fields["price"]
    takes = price <= limit if fields["side"] == "Buy" else price >= limit
    if fields.get("timeInForce") == "PostOnly" and takes:
        return Refused("late", "EC_PostOnlyWillTakeLiquidity")
    if fields.get("timeInForce") in ("IOC", "FOK") and not takes:
        return Refused("late", "EC_NoImmediateQtyToFill")
    return None


def _refuse_late(desk: Desk, note: Note, ticket: Ticket, refused: Refused) -> dict[str, Any]:
    """Accepted and then rejected: the answer says nothing, the stream does; other refusals are answers."""
    is_late = refused.code == "late" or (refused.code == _MARGIN and desk.flags.late_refusals)
    if not is_late:
        raise worded(refused)
    note.rejected = refused.reason if refused.code == "late" else "EC_Others"
    desk.book.refused.append(note)
    desk.book.tell_order(note, "rejected", "Rejected", desk.at)
    return {"orderId": note.order_id, "orderLinkId": note.link}
