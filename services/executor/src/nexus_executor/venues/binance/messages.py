"""Messages of the user data stream as facts: pure functions over what was received.

Source: User Data Streams, USDⓈ-M Futures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Final

from nexus_common.contracts.order import Liquidity
from nexus_common.contracts.values import ClientOrderId, Side, Symbol
from nexus_executor.venues.binance import fields, keys
from nexus_executor.venues.binance.fields import Row, UnreadableFrame
from nexus_executor.venues.broker import UpdateKind, VenueUpdate
from nexus_executor.venues.exact_json import exact_json

_TRANSFERS: Final = frozenset(
    (
        *("DEPOSIT", "WITHDRAW", "WITHDRAW_REJECT", "ADMIN_DEPOSIT", "ADMIN_WITHDRAW"),
        *("MARGIN_TRANSFER", "ASSET_TRANSFER", "COIN_SWAP_DEPOSIT", "COIN_SWAP_WITHDRAW"),
        *("OPTIONS_PREMIUM_FEE", "OPTIONS_SETTLE_PROFIT"),
    )
)
_ENDS: Final = frozenset(("CANCELED", "EXPIRED"))
_EXECUTIONS: Final = frozenset(("NEW", "TRADE", "CALCULATED", "AMENDMENT", *_ENDS))
_ALGO_STATUSES: Final = frozenset(
    ("NEW", "TRIGGERING", "TRIGGERED", "FINISHED", "CANCELED", "EXPIRED", "REJECTED")
)


class UnknownEvent(UnreadableFrame):
    """A kind of message that is not documented yet; of orders and money the known ones tell."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What one message says. `about` is the order's client id; `done`: nothing more is due about it.

    `wallet` stands beside a fill at the same `at` and is told apart. `lost_key`: the listen key is over.
    `changed`: the symbol whose leverage somebody changed. `emitted` orders messages of different kinds (E, in ms).
    """

    at: datetime
    updates: tuple[VenueUpdate, ...] = ()
    about: ClientOrderId | None = None
    done: bool = False
    wallet: Decimal | None = None
    lost_key: bool = False
    changed: Symbol | None = None
    emitted: int = 0


def read(frame: str | bytes, currency: str = "USDT") -> Heard:
    """Raises UnreadableFrame, with the reason, for everything that is not as documented."""
    row = exact_json(frame)
    if not isinstance(row, dict):
        raise UnreadableFrame("no object")
    if "stream" in row and isinstance(row.get("data"), dict):
        row = row["data"]
    event = fields.text(row, "e")
    work = _EVENTS.get(event)
    if work is None:
        raise UnknownEvent("unknown event")
    return work(row, currency)


# -- orders ---------------------------------------------------------------------------------------------


def _order_update(row: Row, currency: str) -> Heard:
    order, at = fields.nested(row, "o"), fields.moment(row, "T")
    execution, status = fields.text(order, "x"), fields.text(order, "X")
    if execution not in _EXECUTIONS:
        raise UnreadableFrame("unknown execution type")
    client = ClientOrderId(fields.text(order, "c"))
    symbol, side = Symbol(fields.text(order, "s")), fields.side(order, "S")
    number, done = fields.whole(order, "i"), status in ("FILLED", "CANCELED", "EXPIRED", "EXPIRED_IN_MATCH")
    reason = keys.taken_over(client)
    if execution == "CALCULATED" and reason is None:
        reason = "liquidation"
    updates: tuple[VenueUpdate, ...] = ()
    if reason is not None:
        if fields.amount(order, "l") > 0:
            updates = _fill(order, at, currency, UpdateKind.LIQUIDATION, None, reason)
    elif execution == "TRADE":
        updates = _fill(order, at, currency, UpdateKind.FILL, client, None)
    elif execution in _ENDS or status == "EXPIRED_IN_MATCH":
        words = execution.lower() + _expiry(order)
        updates = (ended(keys.ended_key(number), at, client, symbol, side, words),)
    return Heard(at, updates, client, done)


def _expiry(order: Row) -> str:
    reason = order.get("er")
    return "" if reason in (None, "0", 0) else f" (reason {reason})"


def ended(
    key: str, at: datetime, client: ClientOrderId, symbol: Symbol, side: Side, reason: str
) -> VenueUpdate:
    return VenueUpdate(
        0, at, UpdateKind.CANCELED, client_order_id=client, symbol=symbol, side=side, reason=reason, key=key
    )


def _fill(
    order: Row,
    at: datetime,
    currency: str,
    kind: UpdateKind,
    client: ClientOrderId | None,
    reason: str | None,
) -> tuple[VenueUpdate, ...]:
    trade, symbol = fields.whole(order, "t"), Symbol(fields.text(order, "s"))
    if trade <= 0:
        raise UnreadableFrame("a trade without an id")
    fill = VenueUpdate(
        0,
        at,
        kind,
        client_order_id=client,
        symbol=symbol,
        side=fields.side(order, "S"),
        fill_id=str(trade),
        quantity=fields.positive(order, "l"),
        price=fields.positive(order, "L"),
        fee=_fee(order, currency),
        liquidity=Liquidity.MAKER if fields.flag(order, "m") else Liquidity.TAKER,
        complete=fields.text(order, "X") == "FILLED",
        reason=reason,
        key=keys.fill_key(symbol, trade),
    )
    if fill.fee is not None:
        return (fill,)
    words = f"commission of {symbol} trade {trade} was taken in {order.get('N')}; pay fees in {currency}"
    return fill, VenueUpdate(0, at, UpdateKind.NOTICE, reason=words, key=f"fee/{symbol}/{trade}")


def _fee(order: Row, currency: str) -> Decimal | None:
    """The commission; documented as not sent when there is none. None when it was taken in another asset."""
    if order.get("n") is None and order.get("N") is None:
        return Decimal(0)
    if fields.text(order, "N") != currency:
        return None
    return fields.amount(order, "n")


# -- conditional orders ---------------------------------------------------------------------------------


def _algo_update(row: Row, currency: str) -> Heard:
    order, at = fields.nested(row, "o"), fields.moment(row, "T")
    client, status = ClientOrderId(fields.text(order, "caid")), fields.text(order, "X")
    if status not in _ALGO_STATUSES:
        raise UnreadableFrame("unknown algo status")
    algo = fields.whole(order, "aid")
    symbol, side = Symbol(fields.text(order, "s")), fields.side(order, "S")
    updates: tuple[VenueUpdate, ...] = ()
    if status in ("TRIGGERING", "TRIGGERED", "FINISHED"):
        price = _trigger_price(order)
        if price is not None:
            updates = (triggered(algo, at, client, symbol, side, price),)
    elif status != "NEW":
        said = order.get("rm")
        words = status.lower() + (f": {said}" if isinstance(said, str) and said else "")
        updates = (ended(keys.algo_ended_key(algo), at, client, symbol, side, words),)
    return Heard(at, updates, client, status in ("FINISHED", "CANCELED", "EXPIRED", "REJECTED"))


def _trigger_price(order: Row) -> Decimal | None:
    """Where it triggered; a trailing stop may only say at what it was filled."""
    for name in ("tp", "ap"):
        if order.get(name) is not None and fields.amount(order, name) > 0:
            return fields.amount(order, name)
    return None


def triggered(
    algo: int, at: datetime, client: ClientOrderId, symbol: Symbol, side: Side, price: Decimal
) -> VenueUpdate:
    return VenueUpdate(
        0,
        at,
        UpdateKind.TRIGGERED,
        client_order_id=client,
        symbol=symbol,
        side=side,
        price=price,
        key=keys.triggered_key(algo),
    )


# -- the account ----------------------------------------------------------------------------------------


def _account_update(row: Row, currency: str) -> Heard:
    account, at = fields.nested(row, "a"), fields.moment(row, "T")
    reason = fields.text(account, "m")
    balances = [b for b in fields.listed(account.get("B")) if fields.text(b, "a") == currency]
    positions = fields.listed(account.get("P", []))
    if not balances:
        return Heard(at)
    wallet, change = fields.amount(balances[0], "wb"), fields.amount(balances[0], "bc")
    if reason == "FUNDING_FEE" and len(positions) == 1:
        symbol = Symbol(fields.text(positions[0], "s"))
        return Heard(at, (funding(at, symbol, change, wallet),))
    if reason in ("ORDER", "FUNDING_FEE", "ADJUSTMENT", "INSURANCE_CLEAR", "MARGIN_TYPE_CHANGE"):
        return Heard(at, wallet=wallet, emitted=fields.whole(row, "E"))
    words = "transfer" if reason in _TRANSFERS else reason.lower()
    return Heard(at, (transfer(at, change, wallet, words),))


def funding(at: datetime, symbol: Symbol, change: Decimal, wallet: Decimal | None) -> VenueUpdate:
    return VenueUpdate(
        0,
        at,
        UpdateKind.FUNDING,
        symbol=symbol,
        change=change,
        wallet=wallet,
        key=keys.funding_key(symbol, at),
    )


def transfer(at: datetime, change: Decimal, wallet: Decimal | None, reason: str) -> VenueUpdate:
    key = keys.transfer_key(at, change)
    return VenueUpdate(0, at, UpdateKind.BALANCE, wallet=wallet, change=change, reason=reason, key=key)


def _margin_call(row: Row, currency: str) -> Heard:
    at = fields.moment(row, "E")
    symbols = ", ".join(fields.text(position, "s") for position in fields.listed(row.get("p")))
    return Heard(at, (_notice(at, f"margin call on {symbols}", "margin call"),))


def _config_update(row: Row, currency: str) -> Heard:
    at = fields.moment(row, "T")
    if "ac" in row:
        return Heard(at, changed=Symbol(fields.text(fields.nested(row, "ac"), "s")))
    joint = fields.flag(fields.nested(row, "ai"), "j")
    return Heard(at, (_notice(at, f"multi-assets mode is {'on' if joint else 'off'} now", "assets"),))


def _trigger_rejected(row: Row, currency: str) -> Heard:
    at, order = fields.moment(row, "E"), fields.nested(row, "or")
    words = f"a conditional order on {fields.text(order, 's')} was rejected: {order.get('r')}"
    return Heard(at, (_notice(at, words, f"rejected {order.get('i')}"),))


def _key_expired(row: Row, currency: str) -> Heard:
    return Heard(fields.moment(row, "E"), lost_key=True)


def _nothing(row: Row, currency: str) -> Heard:
    return Heard(fields.moment(row, "E"))


def _notice(at: datetime, words: str, name: str) -> VenueUpdate:
    return VenueUpdate(0, at, UpdateKind.NOTICE, reason=words, key=f"notice/{name}/{fields.millis(at)}")


_EVENTS: Final[Mapping[str, Callable[[Row, str], Heard]]] = MappingProxyType(
    {
        "ORDER_TRADE_UPDATE": _order_update,
        "ALGO_UPDATE": _algo_update,
        "ACCOUNT_UPDATE": _account_update,
        "ACCOUNT_CONFIG_UPDATE": _config_update,
        "MARGIN_CALL": _margin_call,
        "CONDITIONAL_ORDER_TRIGGER_REJECT": _trigger_rejected,
        "listenKeyExpired": _key_expired,
        # The same fills without fees, and grid and strategy orders, which are none of ours.
        "TRADE_LITE": _nothing,
        "STRATEGY_UPDATE": _nothing,
        "GRID_UPDATE": _nothing,
    }
)
