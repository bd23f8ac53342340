"""Messages of the user data stream, each as Binance documents it (User Data Streams, USDⓈ-M)."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import orjson

from nexus_market.exchange import Record
from nexus_simvenue.binance.sheets import Sheet, average, digits, money

Fields = dict[str, Any]


def text(event: str, moment: int, emitted: int, fields: Mapping[str, Any]) -> str:
    """`moment` is the matching engine's time (T), `emitted` the event's (E); both in ms."""
    return orjson.dumps({"e": event, "T": moment, "E": emitted, **fields}).decode()


def order_update(
    sheet: Sheet,
    execution: str,
    status: str,
    moment: int,
    fill: Record | None = None,
    expiry: str = "0",
) -> Fields:
    """ORDER_TRADE_UPDATE; `fill` is the ledger's record of a trade."""
    order, done = sheet.order, fill is not None
    fields: Fields = {
        "s": order.symbol,
        "c": sheet.client_id,
        "S": sheet.side,
        "o": sheet.matching_type,
        "f": sheet.terms.time_in_force,
        "q": digits(sheet.quantity),
        "p": digits(sheet.limit_price),
        "ap": digits(average(order)) if done else "0",
        "sp": "0",
        "x": execution,
        "X": status,
        "i": sheet.order_id,
        "l": "0",
        "z": digits(order.filled) if execution != "NEW" else "0",
        "L": "0",
        "T": moment,
        "t": 0,
        "b": "0",
        "a": "0",
        "m": False,
        "R": order.reduces,
        "wt": sheet.terms.working_type,
        "ot": sheet.matching_type,
        "ps": sheet.terms.position_side,
        "cp": sheet.closes,
        "pP": sheet.terms.price_protect,
        "si": 0,
        "ss": 0,
        "rp": "0",
        "V": "EXPIRE_MAKER",
        "pm": "NONE",
        "gtd": 0,
        "er": expiry,
    }
    if fill is not None:
        fields |= traded(fill)
        fields["z"] = digits(fill["cumulative"])
    return {"o": fields}


def traded(fill: Record) -> Fields:
    """What a trade adds to an order's message."""
    return {
        "l": digits(fill["quantity"]),
        "L": digits(fill["price"]),
        "N": "USDT",
        "n": money(fill["fee"]),
        "t": fill["trade"],
        "m": fill.get("liquidity") == "maker",
        "rp": money(fill["realised"]),
    }


def taken_over(order: Mapping[str, Any], fill: Record, moment: int) -> Fields:
    """ORDER_TRADE_UPDATE of an order that the venue made itself: liquidation, ADL, settlement."""
    fields: Fields = {
        "s": order["symbol"],
        "c": order["clientOrderId"],
        "S": order["side"],
        "o": order["type"],
        "f": "IOC",
        "q": order["origQty"],
        "p": order["price"],
        "ap": order["avgPrice"],
        "sp": "0",
        "x": "TRADE",
        "X": "FILLED",
        "i": order["orderId"],
        "z": order["executedQty"],
        "T": moment,
        "b": "0",
        "a": "0",
        "R": True,
        "wt": "CONTRACT_PRICE",
        "ot": order["type"],
        "ps": "BOTH",
        "cp": False,
        "pP": False,
        "si": 0,
        "ss": 0,
        "V": "NONE",
        "pm": "NONE",
        "gtd": 0,
    }
    return {"o": fields | traded(fill)}


def account_update(
    reason: str,
    wallet: Decimal,
    change: Decimal,
    position: Record | None = None,
    symbol: str | None = None,
    held: tuple[Decimal, Decimal, Decimal] | None = None,
) -> Fields:
    """ACCOUNT_UPDATE. `change` is what the balance moved besides profit and commission."""
    positions: list[Fields] = []
    if position is not None:
        held = (position["quantity"], position["entry"] or Decimal(0), position["margin"])
        symbol = position["symbol"]
    if held is not None:
        quantity, entry, margin = held
        positions.append(
            {
                "s": symbol,
                "pa": digits(quantity),
                "ep": money(entry),
                "bep": money(entry),
                "cr": "0",
                "up": "0",
                "mt": "isolated",
                "iw": money(margin),
                "ps": "BOTH",
            }
        )
    balances = [{"a": "USDT", "wb": money(wallet), "cw": money(wallet), "bc": money(change)}]
    return {"a": {"m": reason, "B": balances, "P": positions}}


def algo_update(sheet: Sheet, status: str, reason: str | None = None) -> Fields:
    """ALGO_UPDATE; what the matching engine made of it is told once it is there."""
    order = sheet.order
    fields: Fields = {
        "caid": sheet.client_id,
        "aid": sheet.algo_id,
        "at": "CONDITIONAL",
        "o": sheet.order_type,
        "s": order.symbol,
        "S": sheet.side,
        "ps": sheet.terms.position_side,
        "f": sheet.terms.time_in_force,
        "q": "0" if sheet.closes else digits(order.ticket.quantity),
        "X": status,
        "ai": "",
        "tp": digits(sheet.trigger_price or order.ticket.trigger_price),
        "p": digits(sheet.limit_price),
        "V": "EXPIRE_MAKER",
        "wt": sheet.terms.working_type,
        "pm": "NONE",
        "cp": sheet.closes,
        "pP": sheet.terms.price_protect,
        "R": order.ticket.reduce_only,
        "tt": sheet.placed if sheet.triggered_at is not None else 0,
        "gtd": 0,
    }
    if status in ("TRIGGERED", "FINISHED"):
        fields |= {
            "ai": str(sheet.order_id),
            "ap": digits(average(order)) if status == "FINISHED" else "0",
            "aq": digits(order.filled) if status == "FINISHED" else "0",
            "act": sheet.matching_type,
        }
    if reason is not None:
        fields["rm"] = reason
    return {"o": fields}
