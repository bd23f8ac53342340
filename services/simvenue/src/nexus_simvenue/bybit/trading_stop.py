"""The position's own stop loss, take profit and trailing stop. Source: Bybit V5 documentation, Set Trading Stop.

They are conditional orders that the venue makes: without orderLinkId, canceled with the position. In mode
Full there is one of each and a new price moves it; in mode Partial each request adds a pair.
"""

from __future__ import annotations

from contextlib import suppress
from decimal import Decimal
from typing import Any, Final

from nexus_common.contracts.order import OrderKind
from nexus_common.contracts.values import Side
from nexus_market.exchange import Refused, Ticket
from nexus_market.instruments import on_step, on_tick
from nexus_simvenue.bybit.codes import NotDone, worded, wrong
from nexus_simvenue.bybit.desk import Desk
from nexus_simvenue.bybit.notes import Note, order_id
from nexus_simvenue.bybit.params import Fields
from nexus_simvenue.bybit.standing import supersede

PARTIAL_MAX: Final = 20
_PREFIXES: Final = {
    "StopLoss": "sl",
    "TakeProfit": "tp",
    "TrailingStop": "ts",
    "PartialStopLoss": "psl",
    "PartialTakeProfit": "ptp",
}


def set_trading_stop(desk: Desk, fields: Fields) -> dict[str, Any]:
    """Raises NotDone: 10001 for what does not fit, 34040 when nothing changes."""
    _form(desk, fields)
    held = desk.book.held(desk.symbol)
    if held == 0:
        raise NotDone(10001, "can not set tp/sl/ts for zero position")
    _check_sides(desk, fields, held)
    if fields["tpslMode"] == "Partial":
        _add_partial(desk, fields, held)
        changed = True
    else:
        changes = [
            _put(desk, held, "TakeProfit", fields.get("takeProfit"), fields.get("tpTriggerBy")),
            _put(desk, held, "StopLoss", fields.get("stopLoss"), fields.get("slTriggerBy")),
        ]
        changed = any(changes)
    changed = _put_trailing(desk, held, fields.get("trailingStop"), fields.get("activePrice")) or changed
    if not changed:
        raise NotDone(34040)
    desk.book.write()
    desk.book.tell_position(desk.symbol, desk.at)
    return {}


def attach_to_fill(desk: Desk, note: Note) -> None:
    """The take profit and stop loss that an order brought along; what does not fit any more is left out."""
    wanted, note.brings = note.brings, {}
    held = desk.book.held(desk.symbol)
    with suppress(NotDone):
        if wanted.get("tpslMode") == "Partial":
            size = min(abs(held), note.filled)
            _add_partial(desk, {**wanted, "tpSize": size, "slSize": size}, held)
        else:
            _put(desk, held, "TakeProfit", wanted.get("takeProfit"), wanted.get("tpTriggerBy"))
            _put(desk, held, "StopLoss", wanted.get("stopLoss"), wanted.get("slTriggerBy"))


def _form(desk: Desk, fields: Fields) -> None:
    index = fields["positionIdx"]
    if (index == 0) == desk.flags.hedge_mode:
        raise NotDone(10001, "position idx not match position mode")
    given = [name for name in ("takeProfit", "stopLoss", "trailingStop") if name in fields]
    if not given:
        raise NotDone(10001, "params error: one of takeProfit, stopLoss, trailingStop is required")
    for name in ("takeProfit", "stopLoss", "trailingStop", "activePrice", "tpLimitPrice", "slLimitPrice"):
        price = fields.get(name)
        if price and not on_tick(price, desk.instrument):
            raise wrong(f"{name} {price} is no multiple of {desk.instrument.tick_size}")
    partial = fields["tpslMode"] == "Partial"
    for order_type, limit in (("tpOrderType", "tpLimitPrice"), ("slOrderType", "slLimitPrice")):
        if fields.get(order_type) == "Limit" and (not partial or limit not in fields):
            raise wrong(f"{order_type}=Limit needs tpslMode=Partial and {limit}")
        if limit in fields and fields.get(order_type) != "Limit":
            raise wrong(f"{limit} needs {order_type}=Limit")
    sizes = [fields[name] for name in ("tpSize", "slSize") if name in fields]
    if sizes and not partial:
        raise wrong("tpSize and slSize need tpslMode=Partial")
    if len(set(sizes)) > 1:
        raise wrong("tpSize and slSize must be equal")
    for size in sizes:
        if size <= 0 or not on_step(size, desk.instrument):
            raise wrong(f"size {size} is no multiple of {desk.instrument.step_size}")
    if "activePrice" in fields and not fields.get("trailingStop"):
        raise wrong("activePrice needs trailingStop")


def _check_sides(desk: Desk, fields: Fields, held: Decimal) -> None:
    """A stop loss lies behind the market and a take profit before it."""
    price, side = desk.price(), "Buy" if held > 0 else "Sell"
    for name, label, must_be_lower in (
        ("stopLoss", "StopLoss", held > 0),
        ("takeProfit", "TakeProfit", held < 0),
        ("activePrice", "ActivePrice", held < 0),
    ):
        level = fields.get(name)
        if not level:
            continue
        if level >= price if must_be_lower else level <= price:
            word = "lower than" if must_be_lower else "greater"
            by = fields.get("slTriggerBy" if name == "stopLoss" else "tpTriggerBy", "LastPrice")
            raise NotDone(
                10001, f"{label}:{level} set for {side} position should {word} base_price:{price}??{by}"
            )


def _put(desk: Desk, held: Decimal, stop_type: str, level: Decimal | None, trigger_by: str | None) -> bool:
    """Set, move or cancel (0) the one order of a type; False when that changes nothing."""
    if level is None:
        return False
    standing = desk.book.attached(desk.symbol, stop_type)
    if level == 0:
        if standing is None:
            return False
        desk.cancel(standing)
        return True
    if standing is None or standing.order is None:
        _place(desk, held, stop_type, trigger_price=level, trigger_by=trigger_by)
        return True
    if standing.order.trigger_price == level and standing.trigger_by == (trigger_by or standing.trigger_by):
        return False
    account = desk.book.state
    client = standing.order.ticket.client_order_id
    reply = desk.exchange.amend(account.name, account.epoch, client, level)
    if isinstance(reply, Refused):
        raise worded(reply)
    standing.trigger_by = trigger_by or standing.trigger_by
    desk.book.tell_order(standing, "amended", "Untriggered", desk.at)
    return True


def _put_trailing(desk: Desk, held: Decimal, distance: Decimal | None, active: Decimal | None) -> bool:
    if distance is None:
        return False
    standing = desk.book.attached(desk.symbol, "TrailingStop")
    if distance == 0:
        if standing is None:
            return False
        desk.cancel(standing)
        return True
    if standing is None or standing.order is None:
        _place(desk, held, "TrailingStop", trigger_price=active, distance=distance)
        return True
    if standing.distance == distance and active in (None, standing.order.trigger_price):
        return False
    ticket = _ticket(desk, held, "TrailingStop", trigger_price=active, distance=distance)
    supersede(desk, standing, ticket)
    standing.distance = distance
    desk.book.tell_order(standing, "amended", "Untriggered", desk.at)
    return True


def _add_partial(desk: Desk, fields: Fields, held: Decimal) -> None:
    standing = [n for n in desk.book.open_notes(desk.symbol) if n.stop_type.startswith("Partial")]
    wanted = [
        (stop_type, fields[price], fields.get(size), fields.get(by))
        for stop_type, price, size, by in (
            ("PartialTakeProfit", "takeProfit", "tpSize", "tpTriggerBy"),
            ("PartialStopLoss", "stopLoss", "slSize", "slTriggerBy"),
        )
        if fields.get(price)
    ]
    if len(standing) + len(wanted) > PARTIAL_MAX:
        raise NotDone(110061)
    for stop_type, level, size, by in wanted:
        if size is None:
            raise wrong("tpSize and slSize are required in mode Partial")
        if size > abs(held):
            raise NotDone(110058)
        _place(desk, held, stop_type, trigger_price=level, trigger_by=by, size=size)


def _ticket(
    desk: Desk,
    held: Decimal,
    stop_type: str,
    *,
    trigger_price: Decimal | None,
    distance: Decimal | None = None,
    size: Decimal | None = None,
) -> Ticket:
    number = len(desk.book.state.orders) + 1
    kind = OrderKind.TAKE_PROFIT if stop_type.endswith("TakeProfit") else OrderKind.STOP
    return Ticket(
        # A dot is no letter of an orderLinkId, so no client's id can be the same.
        f"bybit-{_PREFIXES[stop_type]}-{desk.symbol}.{desk.book.account}.{number}",
        desk.symbol,
        Side.SELL if held > 0 else Side.BUY,
        OrderKind.TRAILING_STOP if distance is not None else kind,
        size or abs(held),
        trigger_price=trigger_price,
        trail_distance=distance,
        reduce_only=size is not None,
        close_position=size is None,
    )


def _place(
    desk: Desk,
    held: Decimal,
    stop_type: str,
    *,
    trigger_price: Decimal | None,
    trigger_by: str | None = None,
    distance: Decimal | None = None,
    size: Decimal | None = None,
) -> None:
    ticket = _ticket(desk, held, stop_type, trigger_price=trigger_price, distance=distance, size=size)
    reply = desk.submit(ticket)
    if isinstance(reply, Refused):
        raise worded(reply)
    order = desk.book.state.orders[ticket.client_order_id]
    falls = (ticket.side is Side.SELL) != stop_type.endswith("TakeProfit")
    note = Note(
        order_id(order.number),
        "",
        desk.symbol,
        desk.book.spelled(desk.symbol),
        ticket.side,
        "Market",
        ticket.quantity,
        desk.at,
        order=order,
        time_in_force="IOC",
        stop_type=stop_type,
        trigger_direction=2 if falls else 1,
        trigger_by=trigger_by or "LastPrice",
        reduce_only=True,
        close_on_trigger=True,
        mode="Partial" if size is not None else "Full",
        distance=distance,
        last_price=desk.price(),
    )
    desk.book.add(note)
    desk.book.tell_order(note, "accepted", "Untriggered", desk.at)
