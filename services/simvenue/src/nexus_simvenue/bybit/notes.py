"""What Bybit knows of an order beyond the engine's ticket, and how it writes orders and executions down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from nexus_common.contracts.order import Liquidity, OrderKind
from nexus_common.contracts.values import Side, format_decimal
from nexus_market.exchange import Order, Status, Update
from nexus_simvenue.bybit.access import milliseconds

ZERO: Final = Decimal(0)
SIDES: Final = {"Buy": Side.BUY, "Sell": Side.SELL}
NAMES: Final = {Side.BUY: "Buy", Side.SELL: "Sell"}
ATTACHED: Final = frozenset(
    ("StopLoss", "TakeProfit", "TrailingStop", "PartialStopLoss", "PartialTakeProfit")
)
CREATED_BY: Final = {
    "": "CreateByUser",
    "Stop": "CreateByUser",
    "StopLoss": "CreateByStopLoss",
    "TakeProfit": "CreateByTakeProfit",
    "TrailingStop": "CreateByTrailingStop",
    "PartialStopLoss": "CreateByPartialStopLoss",
    "PartialTakeProfit": "CreateByPartialTakeProfit",
}


def stamp(at: datetime | None) -> str:
    return "0" if at is None else str(milliseconds(at))


def order_id(number: int) -> str:
    """The engine's order number as an id that looks like Bybit's."""
    return f"00000000-0000-4000-8000-{number:012d}"


def refused_id(number: int) -> str:
    """An order that was accepted and rejected afterwards never reached the engine."""
    return f"00000000-0000-4000-9000-{number:012d}"


def exec_id(fill_id: str) -> str:
    """The engine's fill `t7` as an execution id."""
    return f"00000000-0000-5000-8000-{int(fill_id[1:]):012d}"


@dataclass(slots=True, eq=False)
class Note:
    """One order as Bybit keeps it. `link` is empty for what nobody gave an id; `order` the engine's own.

    `superseded`: another engine order stands for it by now. `filled`, `value` and `fees` are as far as the
    account's messages were written; `rejected` is set when the order was accepted and then rejected. `brings`:
    the take profit and stop loss that its first fill attaches to the position.
    """

    order_id: str
    link: str
    symbol: str
    spelled: str
    side: Side
    order_type: str
    quantity: Decimal
    at: datetime
    order: Order | None = None
    price: Decimal | None = None
    time_in_force: str = "GTC"
    stop_type: str = ""
    trigger_direction: int = 0
    trigger_by: str = ""
    reduce_only: bool = False
    close_on_trigger: bool = False
    mode: str = ""
    distance: Decimal | None = None
    take_profit: str = ""
    stop_loss: str = ""
    last_price: Decimal | None = None
    rejected: str | None = None
    cancel_type: str = "UNKNOWN"
    cancel_reason: str = "EC_NoError"
    filled: Decimal = ZERO
    value: Decimal = ZERO
    fees: Decimal = ZERO
    triggered_at: Decimal | None = None
    superseded: bool = False
    brings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_open(self) -> bool:
        return self.order is not None and self.order.status is Status.OPEN

    @property
    def is_attached(self) -> bool:
        return self.stop_type in ATTACHED

    @property
    def waits(self) -> bool:
        """A conditional order that has not been set off."""
        if not self.stop_type or self.order is None or self.order.triggered:
            return False
        return self.order.kind not in (OrderKind.LIMIT, OrderKind.MARKET)

    @property
    def changed(self) -> datetime:
        changed = self.at if self.order is None else self.order.changed_at
        return changed or self.at

    @property
    def trigger(self) -> Decimal | None:
        """Where it is set off; for a trailing stop where it begins to trail, and where it was set off then."""
        if self.stop_type == "TrailingStop" and self.triggered_at is not None:
            return self.triggered_at
        return None if self.order is None else self.order.trigger_price

    def status(self) -> str:
        if self.order is None:
            return "Rejected"
        if self.order.status is Status.FILLED:
            return "Filled"
        if self.order.status is Status.CANCELED:
            return "Deactivated" if self.waits else "Cancelled"
        if self.waits:
            return "Untriggered"
        return "PartiallyFilled" if self.filled else "New"

    def size(self, held: Decimal) -> Decimal:
        """What it is for in all; what closes the position has the position's size."""
        closes = self.order is not None and self.order.ticket.close_position
        return abs(held) + self.filled if closes and self.is_open else self.quantity


def order_row(note: Note, held: Decimal, status: str | None = None) -> dict[str, Any]:
    """An order as `order/realtime` and the stream write it."""
    status = status or note.status()
    quantity = note.size(held)
    is_over = status in ("Filled", "Cancelled", "Deactivated", "Rejected")
    leaves = ZERO if is_over else quantity - note.filled
    price = note.price or note.last_price or ZERO
    return {
        "symbol": note.spelled,
        "orderId": note.order_id,
        "orderLinkId": note.link,
        "blockTradeId": "",
        "side": NAMES[note.side],
        "positionIdx": 0,
        "orderStatus": status,
        "cancelType": note.cancel_type,
        "rejectReason": note.rejected or note.cancel_reason,
        "timeInForce": note.time_in_force,
        "isLeverage": "",
        "price": _text(note.price, "0"),
        "qty": format_decimal(quantity),
        "avgPrice": format_decimal(note.value / note.filled) if note.filled else "",
        "leavesQty": format_decimal(leaves),
        "leavesValue": format_decimal(leaves * price),
        "cumExecQty": format_decimal(note.filled),
        "cumExecValue": format_decimal(note.value),
        "cumExecFee": format_decimal(note.fees),
        "orderType": note.order_type,
        "stopOrderType": note.stop_type,
        "orderIv": "",
        "triggerPrice": _text(note.trigger),
        "takeProfit": note.take_profit,
        "stopLoss": note.stop_loss,
        "tpTriggerBy": note.trigger_by if note.take_profit else "",
        "slTriggerBy": note.trigger_by if note.stop_loss else "",
        "triggerDirection": note.trigger_direction,
        "triggerBy": note.trigger_by,
        "lastPriceOnCreated": _text(note.last_price),
        "reduceOnly": note.reduce_only,
        "closeOnTrigger": note.close_on_trigger,
        "placeType": "",
        "smpType": "None",
        "smpGroup": 0,
        "smpOrderId": "",
        "tpslMode": note.mode,
        "tpLimitPrice": "",
        "slLimitPrice": "",
        "createType": CREATED_BY[note.stop_type],
        "createdTime": stamp(note.at),
        "updatedTime": stamp(note.changed),
        "cumFeeDetail": {"USDT": format_decimal(note.fees)},
    }


def streamed_order(row: dict[str, Any]) -> dict[str, Any]:
    """What the stream writes beside it."""
    return {
        "category": "linear",
        **row,
        "closedPnl": "0",
        "feeCurrency": "",
        "rpiTakerAccess": False,
        "rpiMatchedQty": "0",
    }


def fill_row(note: Note, update: Update, leaves: Decimal, closed: Decimal, seq: int) -> dict[str, Any]:
    """A trade as `execution/list` writes it."""
    price, quantity = update.price or ZERO, update.quantity or ZERO
    fee = update.fee or ZERO
    return {
        **_execution(note.spelled, exec_id(update.fill_id or "t0"), update, seq),
        "orderId": note.order_id,
        "orderLinkId": note.link,
        "side": NAMES[note.side],
        "orderPrice": _text(note.price, "0"),
        "orderQty": format_decimal(note.filled + leaves),
        "leavesQty": format_decimal(leaves),
        "createType": CREATED_BY[note.stop_type],
        "orderType": note.order_type,
        "stopOrderType": note.stop_type or "UNKNOWN",
        "execFee": format_decimal(fee),
        "execType": "Trade",
        "isMaker": update.liquidity is Liquidity.MAKER,
        "feeRate": format_decimal((fee / (price * quantity)).quantize(Decimal("0.00000001"))),
        "closedSize": format_decimal(closed),
    }


def funding_row(spelled: str, update: Update, held: Decimal, seq: int) -> dict[str, Any]:
    """Funding as an execution: `execFee` is what was paid, received when negative."""
    quantity = abs(held)
    return {
        **_execution(spelled, f"00000000-0000-5000-f000-{seq:012d}", update, seq, quantity),
        "orderId": f"{stamp(update.at)}-{spelled}",
        "orderLinkId": "",
        "side": "Buy" if held > 0 else "Sell",
        "orderPrice": "0",
        "orderQty": "0",
        "leavesQty": "0",
        "createType": "CreateByUser",
        "orderType": "UNKNOWN",
        "stopOrderType": "UNKNOWN",
        "execFee": format_decimal(-(update.change or ZERO)),
        "execType": "Funding",
        "isMaker": False,
        "feeRate": format_decimal(update.rate or ZERO),
        "closedSize": "0",
    }


def takeover_row(spelled: str, update: Update, seq: int) -> dict[str, Any]:
    """A position that the venue closed: liquidation (BustTrade) or deleveraging (AdlTrade)."""
    is_adl = update.reason == "adl"
    quantity, price, fee = update.quantity or ZERO, update.price or ZERO, update.fee or ZERO
    return {
        **_execution(spelled, f"00000000-0000-5000-a000-{seq:012d}", update, seq),
        "orderId": f"00000000-0000-4000-a000-{seq:012d}",
        "orderLinkId": "",
        "side": NAMES[update.side or Side.SELL],
        "orderPrice": format_decimal(price),
        "orderQty": format_decimal(quantity),
        "leavesQty": "0",
        "createType": "CreateByAdl_PassThrough" if is_adl else "CreateByTakeOver_PassThrough",
        "orderType": "Limit",
        "stopOrderType": "UNKNOWN",
        "execFee": format_decimal(fee),
        "execType": "Settle" if update.reason == "settlement" else "AdlTrade" if is_adl else "BustTrade",
        "isMaker": False,
        "feeRate": format_decimal((fee / (price * quantity)).quantize(Decimal("0.00000001"))),
        "closedSize": format_decimal(quantity),
    }


def _execution(
    spelled: str, identity: str, update: Update, seq: int, quantity: Decimal | None = None
) -> dict[str, Any]:
    quantity = update.quantity or ZERO if quantity is None else quantity
    price = update.price or ZERO
    return {
        "symbol": spelled,
        "execId": identity,
        "execPrice": format_decimal(price),
        "execQty": format_decimal(quantity),
        "execValue": format_decimal(price * quantity),
        "execTime": stamp(update.at),
        "feeCurrency": "",
        "tradeIv": "",
        "markIv": "",
        "markPrice": format_decimal(price),
        "indexPrice": "",
        "underlyingPrice": "",
        "blockTradeId": "",
        "extraFees": "",
        "seq": seq,
    }


def streamed_execution(row: dict[str, Any], realised: Decimal) -> dict[str, Any]:
    return {
        "category": "linear",
        **row,
        "isLeverage": "0",
        "marketUnit": "",
        "execPnl": format_decimal(realised),
    }


def stop_type_of(order: Order) -> str:
    """How an order placed past this protocol looks here."""
    if order.ticket.close_position:
        return {OrderKind.STOP: "StopLoss", OrderKind.TAKE_PROFIT: "TakeProfit"}.get(
            order.kind, "TrailingStop"
        )
    return "" if order.kind in (OrderKind.MARKET, OrderKind.LIMIT) else "Stop"


def _text(number: Decimal | None, missing: str = "") -> str:
    return missing if number is None else format_decimal(number)
