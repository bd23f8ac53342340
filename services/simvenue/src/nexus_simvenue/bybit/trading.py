"""Orders: create, amend, cancel, cancel all. Source: Bybit V5 documentation, Trade.

What is simulated more simply than at Bybit: a market order waits for the next bars instead of being
canceled when the book is thin, and FOK is taken as IOC.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from nexus_common.contracts.instrument import Instrument
from nexus_common.contracts.order import OrderKind
from nexus_common.contracts.values import Side
from nexus_market.exchange import Accepted, Exchange, Refused, Reuse, Status, Ticket
from nexus_market.instruments import on_step, on_tick
from nexus_simvenue.bybit.access import Flags
from nexus_simvenue.bybit.book import Book
from nexus_simvenue.bybit.codes import MESSAGES, NotDone, worded, wrong
from nexus_simvenue.bybit.notes import SIDES, Note, order_id, refused_id
from nexus_simvenue.bybit.params import Fields

CONDITIONAL_MAX: Final = 10
ACTIVE_MAX: Final = 500
UNCHANGED: Final = "The order remains unchanged as the parameters entered match the existing ones."
_BROUGHT: Final = ("takeProfit", "stopLoss", "tpTriggerBy", "slTriggerBy", "tpslMode")
_MARGIN: Final = "-2019"
_QTY_MAX: Final = Decimal("1000000000")


@dataclass(frozen=True, slots=True)
class Desk:
    """What a request about orders works with."""

    exchange: Exchange
    book: Book
    flags: Flags
    instrument: Instrument
    at: datetime

    @property
    def symbol(self) -> str:
        return self.instrument.symbol

    def price(self) -> Decimal:
        price = self.exchange.price(self.symbol)
        if price is None:
            raise NotDone(110074)
        return price

    def submit(self, ticket: Ticket) -> Accepted | Refused:
        account = self.book.state
        return self.exchange.submit(account.name, account.epoch, ticket, Reuse.NEVER)

    def cancel(self, note: Note) -> None:
        """Take a standing order off the book."""
        account = self.book.state
        if note.order is None:
            raise NotDone(110001)
        reply = self.exchange.cancel(account.name, account.epoch, note.order.ticket.client_order_id)
        if isinstance(reply, Refused):
            raise worded(reply)


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
    _sizes(fields, desk)
    _directions(fields, desk)
    if fields.get("reduceOnly") and (fields.get("takeProfit") or fields.get("stopLoss")):
        raise wrong("a reduce-only order has no take profit or stop loss")
    if fields.get("tpslMode") != "Partial" and "Limit" in (
        fields.get("tpOrderType"),
        fields.get("slOrderType"),
    ):
        raise wrong("a limit take profit or stop loss needs tpslMode=Partial")


def _sizes(fields: Fields, desk: Desk) -> None:
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
        desk.book.spelling(desk.symbol),
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


# -- orders that stand ------------------------------------------------------------------------------


def find(desk: Desk, fields: Fields) -> Note:
    """By orderId, else by orderLinkId; raises NotDone 110001 for what is not known, 10001 without either."""
    identity, link = fields.get("orderId"), fields.get("orderLinkId")
    if not identity and not link:
        raise wrong("orderId or orderLinkId is required")
    for note in desk.book.all_notes():
        if note.order_id == identity if identity else note.link == link:
            return note
    raise NotDone(110001, "order not exists or too late to cancel")


def standing(desk: Desk, fields: Fields) -> Note:
    note = find(desk, fields)
    if note.symbol != desk.symbol or not note.is_open:
        raise NotDone(110001, "order not exists or too late to cancel")
    return note


def amend(desk: Desk, fields: Fields) -> dict[str, Any]:
    """Move a trigger, a price or a quantity; refused, everything stays."""
    note = standing(desk, fields)
    order = note.order
    if order is None:
        raise NotDone(110001)
    quantity = fields.get("qty") or note.quantity
    _sizes({**fields, "qty": quantity}, desk)
    if quantity <= note.filled:
        raise NotDone(110064)
    trigger, price = fields.get("triggerPrice"), fields.get("price")
    if trigger and not note.waits:
        raise wrong("the order has no trigger price to move")
    same_price = price in (None, note.price)
    same_trigger = trigger in (None, order.trigger_price)
    if same_trigger and same_price and quantity == note.quantity:
        raise NotDone(10001, UNCHANGED)
    if note.waits:
        _move_trigger(desk, note, trigger or order.trigger_price or desk.price(), quantity)
    else:
        _replace_limit(desk, note, price or note.price, quantity)
    note.quantity = quantity
    desk.book.tell_order(note, "amended", None, desk.at)
    return {"orderId": note.order_id, "orderLinkId": note.link}


def _move_trigger(desk: Desk, note: Note, trigger: Decimal, quantity: Decimal) -> None:
    account, order = desk.book.state, note.order
    if order is None:
        raise NotDone(110001)
    client, size = order.ticket.client_order_id, None if order.ticket.close_position else quantity
    reply = desk.exchange.amend(account.name, account.epoch, client, trigger, size)
    if isinstance(reply, Refused):
        if reply.code == "-2021":
            code = 110092 if note.trigger_direction == 1 else 110093
            raise NotDone(code, MESSAGES[code].format(trigger=trigger, current=desk.price()))
        raise worded(reply)


def _replace_limit(desk: Desk, note: Note, price: Decimal | None, quantity: Decimal) -> None:
    """A limit order at another price or of another size: the engine gets a new ticket for it."""
    order = note.order
    if order is None or note.order_type != "Limit":
        raise NotDone(110079)
    number = len(desk.book.state.orders) + 1
    ticket = order.ticket._replace(
        client_order_id=f"bybit-{desk.book.account}.{number}",
        limit_price=price,
        quantity=quantity - note.filled,
    )
    supersede(desk, note, ticket)
    note.price = price


def supersede(desk: Desk, note: Note, ticket: Ticket) -> None:
    """Let another engine order stand for the same order of Bybit's; refused, the old one stays."""
    old = note.order
    if old is None:
        raise NotDone(110001)
    shadow = Note(
        note.order_id, "", note.symbol, note.spelled, note.side, note.order_type, note.quantity, note.at
    )
    shadow.order, shadow.superseded = old, True
    reply = desk.submit(ticket)
    if isinstance(reply, Refused):
        raise worded(reply)
    desk.book.notes[old.ticket.client_order_id] = shadow
    note.order = desk.book.state.orders[ticket.client_order_id]
    desk.book.add(note)
    desk.cancel(shadow)


def cancel(desk: Desk, fields: Fields) -> dict[str, Any]:
    note = standing(desk, fields)
    desk.cancel(note)
    return {"orderId": note.order_id, "orderLinkId": note.link}


def cancel_all(exchange: Exchange, book: Book, symbols: set[str], fields: Fields) -> dict[str, Any]:
    """Everything that stands for these symbols: position stops too, unless a filter spares them."""
    account, gone = book.state, []
    for note in book.open_notes():
        if note.symbol not in symbols or note.order is None:
            continue
        if fields.get("orderFilter") == "Order" and note.waits:
            continue
        if fields.get("orderFilter") == "StopOrder" and not note.waits:
            continue
        if fields.get("stopOrderType") == "Stop" and note.is_attached:
            continue
        exchange.cancel(account.name, account.epoch, note.order.ticket.client_order_id)
        gone.append({"orderId": note.order_id, "orderLinkId": note.link})
    return {"list": gone, "success": "1"}
