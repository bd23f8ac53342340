"""Bybit's rows in our words: pure functions from what was sent to what is meant.

Whatever cannot be read raises UnreadableFrame with the reason; nothing missing is ever read as zero.
Sources: Bybit V5 documentation, Order, Execution, Position and Wallet stream, and Enums Definitions.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Final

from nexus_common.contracts.order import Liquidity, OrderKind
from nexus_common.contracts.values import ClientOrderId, Side, Symbol, Venue
from nexus_executor.venues.broker import (
    UpdateKind,
    VenueOrder,
    VenueOrderStatus,
    VenuePosition,
    VenueUpdate,
)
from nexus_executor.venues.bybit.reading import (
    Row,
    moment_of,
    number_of,
    optional_number,
    positive_of,
    rows_of,
    text_of,
    whole_of,
)
from nexus_executor.venues.private_stream import UnreadableFrame
from nexus_market.instruments import DEFAULT_INSTRUMENTS, venue_spelling

CATEGORY: Final = "linear"
_SPELLED: Final[Mapping[str, str]] = MappingProxyType(
    {str(i.symbol): venue_spelling(i) for i in DEFAULT_INSTRUMENTS[Venue.BYBIT]}
)
_READ: Final[Mapping[str, str]] = MappingProxyType({theirs: ours for ours, theirs in _SPELLED.items()})
_SIDES: Final = {"Buy": Side.BUY, "Sell": Side.SELL}
_STATUSES: Final[Mapping[str, VenueOrderStatus]] = MappingProxyType(
    {
        "New": VenueOrderStatus.OPEN,
        "PartiallyFilled": VenueOrderStatus.OPEN,
        "Untriggered": VenueOrderStatus.OPEN,
        "Triggered": VenueOrderStatus.OPEN,
        "Filled": VenueOrderStatus.FILLED,
        "Cancelled": VenueOrderStatus.CANCELED,
        "PartiallyFilledCanceled": VenueOrderStatus.CANCELED,
        "Deactivated": VenueOrderStatus.CANCELED,
        "Rejected": VenueOrderStatus.CANCELED,
    }
)
_POSITION_STOPS: Final[Mapping[str, OrderKind]] = MappingProxyType(
    {
        "StopLoss": OrderKind.STOP,
        "PartialStopLoss": OrderKind.STOP,
        "TrailingStop": OrderKind.TRAILING_STOP,
        "TakeProfit": OrderKind.TAKE_PROFIT,
        "PartialTakeProfit": OrderKind.TAKE_PROFIT,
    }
)
_ATTACHED: Final = frozenset(("StopLoss", "TrailingStop"))
_TAKEOVERS: Final[Mapping[str, str]] = MappingProxyType(
    {"BustTrade": "liquidation", "AdlTrade": "adl", "Settle": "settlement", "Delivery": "settlement"}
)
_TRADES: Final = frozenset(("Trade", "BlockTrade", "MovePosition", "FutureSpread"))


def spelled(symbol: Symbol) -> str:
    """Our symbol as Bybit writes it."""
    return _SPELLED.get(symbol, symbol)


def symbol_of(row: Row) -> Symbol:
    theirs = text_of(row, "symbol")
    return Symbol(_READ.get(theirs, theirs))


def is_ours(row: Row) -> bool:
    """Whether a row is of the category we trade; a row without one comes from a query for it."""
    return bool(row.get("category", CATEGORY) == CATEGORY)


def side_of(row: Row) -> Side:
    side = _SIDES.get(text_of(row, "side"))
    if side is None:
        raise UnreadableFrame("side is neither Buy nor Sell")
    return side


def client_of(row: Row) -> ClientOrderId | None:
    """Empty for what was not placed with an id: by hand, by the venue, or as the position's own stop."""
    link = text_of(row, "orderLinkId", empty=True)
    return ClientOrderId(link) if link else None


def attached_of(row: Row) -> OrderKind | None:
    """STOP or TRAILING_STOP if the order is the position's own stop."""
    stop_type = stop_type_of(row)
    if client_of(row) is not None or stop_type not in _ATTACHED:
        return None
    return _POSITION_STOPS[stop_type]


def stop_type_of(row: Row) -> str:
    """What kind of conditional order it is; empty for none."""
    stop_type = row.get("stopOrderType")
    if stop_type is None:
        return ""
    if not isinstance(stop_type, str):
        raise UnreadableFrame("stopOrderType is no text")
    return "" if stop_type == "UNKNOWN" else stop_type


# -- executions -----------------------------------------------------------------------------------------


def execution(row: Row) -> VenueUpdate | None:
    """A trade, funding, or a position that the venue closed; None for another category's."""
    if not is_ours(row):
        return None
    kind = text_of(row, "execType")
    if kind == "Funding":
        return _funding(row)
    if kind in _TAKEOVERS:
        return _takeover(row, _TAKEOVERS[kind])
    if kind in _TRADES:
        return _fill(row)
    raise UnreadableFrame(f"unknown execType {kind[:40]}")


def _fill(row: Row) -> VenueUpdate:
    identity = text_of(row, "execId")
    leaves = optional_number(row, "leavesQty")
    is_maker = row.get("isMaker")
    if not isinstance(is_maker, bool):
        raise UnreadableFrame("isMaker is missing")
    return VenueUpdate(
        0,
        moment_of(row, "execTime"),
        UpdateKind.FILL,
        client_of(row),
        symbol_of(row),
        side_of(row),
        identity,
        positive_of(row, "execQty"),
        positive_of(row, "execPrice"),
        number_of(row, "execFee"),
        Liquidity.MAKER if is_maker else Liquidity.TAKER,
        None if leaves is None else leaves == 0,
        key=f"execution:{identity}",
        attached=attached_of(row),
    )


def _funding(row: Row) -> VenueUpdate:
    """`execFee` is what was paid; received when negative."""
    identity = text_of(row, "execId")
    return VenueUpdate(
        0,
        moment_of(row, "execTime"),
        UpdateKind.FUNDING,
        symbol=symbol_of(row),
        quantity=number_of(row, "execQty"),
        price=positive_of(row, "execPrice"),
        change=-number_of(row, "execFee"),
        rate=number_of(row, "feeRate"),
        key=f"execution:{identity}",
    )


def _takeover(row: Row, reason: str) -> VenueUpdate:
    identity = text_of(row, "execId")
    return VenueUpdate(
        0,
        moment_of(row, "execTime"),
        UpdateKind.LIQUIDATION,
        symbol=symbol_of(row),
        side=side_of(row),
        quantity=positive_of(row, "execQty"),
        price=positive_of(row, "execPrice"),
        fee=number_of(row, "execFee"),
        reason=reason,
        key=f"execution:{identity}",
    )


# -- orders ---------------------------------------------------------------------------------------------


def status_of(row: Row) -> VenueOrderStatus:
    status = _STATUSES.get(text_of(row, "orderStatus"))
    if status is None:
        raise UnreadableFrame(f"unknown orderStatus {row['orderStatus'][:40]}")
    return status


def order_changes(row: Row) -> list[VenueUpdate]:
    """What an order's row says beyond its executions: that it was set off, canceled or rejected."""
    if not is_ours(row):
        return []
    status, told = status_of(row), []
    if _was_set_off(row):
        told.append(_triggered(row))
    if status is VenueOrderStatus.CANCELED:
        told.append(_canceled(row))
    return told


def _was_set_off(row: Row) -> bool:
    """A conditional order that waits no more; what it was set off at must be there to be told."""
    if not stop_type_of(row):
        return False
    if row["orderStatus"] not in ("Triggered", "PartiallyFilled", "Filled", "New"):
        return False
    return bool(optional_number(row, "triggerPrice"))


def _triggered(row: Row) -> VenueUpdate:
    return VenueUpdate(
        0,
        moment_of(row, "updatedTime"),
        UpdateKind.TRIGGERED,
        client_of(row),
        symbol_of(row),
        side_of(row),
        price=positive_of(row, "triggerPrice"),
        key=f"order:{text_of(row, 'orderId')}:triggered",
        attached=attached_of(row),
    )


def _canceled(row: Row) -> VenueUpdate:
    return VenueUpdate(
        0,
        moment_of(row, "updatedTime"),
        UpdateKind.CANCELED,
        client_of(row),
        symbol_of(row),
        side_of(row),
        reason=why_over(row),
        key=f"order:{text_of(row, 'orderId')}:canceled",
        attached=attached_of(row),
    )


def why_over(row: Row) -> str:
    """The venue's reason for ending an order."""
    reason, kind = row.get("rejectReason"), row.get("cancelType")
    if row["orderStatus"] == "Rejected":
        return f"rejected: {reason or 'no reason given'}"
    if isinstance(kind, str) and kind not in ("", "UNKNOWN"):
        return kind
    if isinstance(reason, str) and reason not in ("", "EC_NoError"):
        return reason
    return "canceled"


def standing_order(row: Row) -> VenueOrder:
    """An order as it stands, or stood."""
    stop_type = stop_type_of(row)
    kind = _POSITION_STOPS.get(stop_type) or _kind(row)
    trigger = optional_number(row, "triggerPrice")
    client = client_of(row)
    return VenueOrder(
        client,
        text_of(row, "orderId"),
        symbol_of(row),
        side_of(row),
        kind,
        status_of(row),
        number_of(row, "qty"),
        number_of(row, "cumExecQty"),
        trigger or None,
        attached=client is None and stop_type in _POSITION_STOPS,
    )


def _kind(row: Row) -> OrderKind:
    if stop_type_of(row):
        rises = whole_of(row, "triggerDirection") == 1
        return OrderKind.STOP if rises == (side_of(row) is Side.BUY) else OrderKind.TAKE_PROFIT
    return OrderKind.LIMIT if text_of(row, "orderType") == "Limit" else OrderKind.MARKET


# -- positions and money --------------------------------------------------------------------------------


def position(row: Row) -> VenuePosition | None:
    """A held position; None for an empty one."""
    size = number_of(row, "size")
    if size == 0:
        return None
    if size < 0:
        raise UnreadableFrame("size is negative")
    average = "avgPrice" if "avgPrice" in row else "entryPrice"
    signed = size if side_of(row) is Side.BUY else -size
    return VenuePosition(symbol_of(row), signed, positive_of(row, average))


def signed_size(row: Row) -> tuple[Symbol, Decimal]:
    held = position(row)
    return symbol_of(row), Decimal(0) if held is None else held.quantity


def is_hedged(row: Row) -> bool:
    """A row of a long or a short side that stand beside one another (positionIdx 1 and 2)."""
    return whole_of(row, "positionIdx") != 0


def position_notice(row: Row, key: str, at: datetime) -> VenueUpdate | None:
    """What the owner must hear about a position: the venue closes it, or its mode is another one."""
    if not is_ours(row):
        return None
    reason = None
    if row.get("positionStatus") not in (None, "", "Normal"):
        reason = f"the venue is closing the position: {row['positionStatus']}"
    elif is_hedged(row):
        reason = "the position mode is hedge mode; set it to one-way mode"
    if reason is None:
        return None
    return VenueUpdate(0, at, UpdateKind.NOTICE, symbol=symbol_of(row), reason=reason, key=f"notice:{key}")


def wallet_of(row: Row, currency: str) -> Decimal | None:
    """The wallet balance of a currency in a unified account's row; None when it has no such coin."""
    for coin in rows_of(row, "coin"):
        if text_of(coin, "coin") == currency:
            return number_of(coin, "walletBalance")
    return None


def balance(row: Row, currency: str, key: str, at: datetime) -> VenueUpdate | None:
    wallet = wallet_of(row, currency)
    if wallet is None:
        return None
    return VenueUpdate(0, at, UpdateKind.BALANCE, wallet=wallet, reason="wallet", key=f"wallet:{key}")
