"""Orders that stand: found, amended, canceled. Source: Bybit V5 documentation, Trade."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from nexus_market.exchange import Exchange, Refused, Ticket
from nexus_simvenue.bybit.book import Book
from nexus_simvenue.bybit.codes import MESSAGES, NotDone, worded, wrong
from nexus_simvenue.bybit.desk import Desk
from nexus_simvenue.bybit.notes import Note
from nexus_simvenue.bybit.params import Fields
from nexus_simvenue.bybit.trading import check_sizes

UNCHANGED: Final = "The order remains unchanged as the parameters entered match the existing ones."


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
    check_sizes({**fields, "qty": quantity}, desk)
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
