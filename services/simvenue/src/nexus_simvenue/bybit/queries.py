"""What an account may ask about its orders, executions, positions and money; windows and pages as documented."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

from nexus_market.exchange import Status
from nexus_simvenue.bybit.access import Flags, milliseconds
from nexus_simvenue.bybit.book import Book
from nexus_simvenue.bybit.codes import NotDone, wrong
from nexus_simvenue.bybit.holdings import position_row, wallet_row
from nexus_simvenue.bybit.notes import ZERO, Note, order_row
from nexus_simvenue.bybit.params import Fields
from nexus_simvenue.wire.dialect import Visibility

Symbols = Callable[[Fields], set[str] | None]
T = TypeVar("T")
_WINDOW: Final = timedelta(days=7)
_UNFILLED_KEPT: Final = timedelta(hours=24)
_CLOSED_KEPT: Final = 500
_CLOSED: Final = ("Filled", "Cancelled", "Deactivated", "Rejected")


def page(rows: Sequence[T], fields: Fields, size: int) -> tuple[list[T], str]:
    """One page and the cursor of the next; the cursor is opaque to a client."""
    cursor = fields.get("cursor", "0")
    if not cursor.isdigit():
        raise wrong("cursor invalid")
    begin, limit = int(cursor), fields.get("limit", size)
    rest = begin + limit < len(rows)
    return list(rows[begin : begin + limit]), str(begin + limit) if rest else ""


def listed(rows: Sequence[dict[str, Any]], fields: Fields, size: int) -> dict[str, Any]:
    shown, cursor = page(rows, fields, size)
    return {"nextPageCursor": cursor, "category": "linear", "list": shown}


def window(fields: Fields, now: datetime) -> tuple[datetime, datetime]:
    """startTime and endTime: 7 days at most, the last 7 days without them.

    Raises:
        NotDone: 10001 for a longer one or one that ends before it begins.
    """
    start, end = fields.get("startTime"), fields.get("endTime")
    if start is None and end is None:
        return now - _WINDOW, now + timedelta(days=1)
    if start is not None and end is None:
        return _moment(start), _moment(start) + _WINDOW
    if start is None:
        return _moment(end or 0) - _WINDOW, _moment(end or 0)
    begin, until = _moment(start), _moment(end or 0)
    if until < begin or until - begin > _WINDOW:
        raise NotDone(10001, "The time range between startTime and endTime cannot exceed 7 days")
    return begin, until


def _moment(ms: int) -> datetime:
    try:
        return datetime.fromtimestamp(ms / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        raise wrong(f"time {ms} is no time") from None


def _between(
    rows: Iterable[tuple[datetime, dict[str, Any]]], span: tuple[datetime, datetime]
) -> list[dict[str, Any]]:
    """Newest first."""
    begin, end = milliseconds(span[0]), milliseconds(span[1])
    return [row for at, row in rows if begin <= milliseconds(at) <= end][::-1]


# -- orders -----------------------------------------------------------------------------------------


def realtime(
    book: Book, fields: Fields, symbols: set[str] | None, visibility: Visibility, now: datetime
) -> dict[str, Any]:
    """`order/realtime`: what stands, and on demand the 500 that were closed last."""
    notes = _seen(book, visibility, now)
    by_id = _by_id(notes, fields)
    if by_id is not None:
        chosen = by_id
    elif symbols is None:
        raise wrong("symbol, baseCoin or settleCoin is required")
    else:
        closed = sorted((n for n in notes if not n.is_open), key=lambda n: n.changed)[-_CLOSED_KEPT:]
        chosen = [n for n in notes if n.is_open] if fields.get("openOnly", 0) == 0 else closed
        chosen = [n for n in chosen if n.symbol in symbols]
    return listed(_order_rows(book, _filtered(chosen, fields)), fields, 20)


def history(
    book: Book, fields: Fields, symbols: set[str] | None, visibility: Visibility, now: datetime
) -> dict[str, Any]:
    """`order/history`: closed orders of two years; those without a fill for 24 hours."""
    if ("startTime" in fields) != ("endTime" in fields):
        raise wrong("startTime and endTime must be passed together")
    span = window(fields, now)
    notes = [n for n in _seen(book, visibility, now) if n.status() in _CLOSED]
    notes = [n for n in notes if n.filled or n.changed >= now - _UNFILLED_KEPT]
    by_id = _by_id(notes, fields)
    if by_id is not None:
        notes = by_id
    else:
        notes = [n for n in notes if span[0] <= n.at <= span[1] and (symbols is None or n.symbol in symbols)]
    if "orderStatus" in fields:
        notes = [n for n in notes if n.status() == fields["orderStatus"]]
    return listed(_order_rows(book, _filtered(notes, fields)), fields, 20)


def _seen(book: Book, visibility: Visibility, now: datetime) -> list[Note]:
    return [n for n in book.all_notes() if n.order is None or visibility.sees(n.order, now)]


def _by_id(notes: Sequence[Note], fields: Fields) -> list[Note] | None:
    if "orderId" in fields:
        return [n for n in notes if n.order_id == fields["orderId"]]
    if "orderLinkId" in fields:
        return [n for n in notes if n.link == fields["orderLinkId"]]
    return None


def _filtered(notes: Sequence[Note], fields: Fields) -> list[Note]:
    match fields.get("orderFilter"):
        case "Order":
            return [n for n in notes if not n.stop_type]
        case "StopOrder":
            return [n for n in notes if n.stop_type]
        case None:
            return list(notes)
        case _:
            return []


def _order_rows(book: Book, notes: Sequence[Note]) -> list[dict[str, Any]]:
    newest_first = sorted(notes, key=lambda n: (n.at, n.order_id), reverse=True)
    return [order_row(note, book.held(note.symbol)) for note in newest_first]


# -- executions and money ---------------------------------------------------------------------------


def executions(
    book: Book, fields: Fields, symbols: set[str] | None, visibility: Visibility, now: datetime
) -> dict[str, Any]:
    """`execution/list`: by id, else within 7 days; newest first."""
    hidden = {
        n.order_id for n in book.all_notes() if n.order is not None and not visibility.sees(n.order, now)
    }
    if "orderId" in fields or "orderLinkId" in fields:
        name = "orderId" if "orderId" in fields else "orderLinkId"
        rows = [row for _, row in book.executions if row[name] == fields[name]][::-1]
    else:
        rows = _between(book.executions, window(fields, now))
        spelled = None if symbols is None else {book.spelled(symbol) for symbol in symbols}
        rows = [row for row in rows if spelled is None or row["symbol"] in spelled]
    rows = [row for row in rows if row["orderId"] not in hidden]
    if "execType" in fields:
        rows = [row for row in rows if row["execType"] == fields["execType"]]
    return listed(rows, fields, 50)


def closed_pnl(book: Book, fields: Fields, symbols: set[str] | None, now: datetime) -> dict[str, Any]:
    rows = _between(book.closed, window(fields, now))
    spelled = None if symbols is None else {book.spelled(symbol) for symbol in symbols}
    return listed([r for r in rows if spelled is None or r["symbol"] in spelled], fields, 50)


def transactions(book: Book, fields: Fields, now: datetime) -> dict[str, Any]:
    """`account/transaction-log`: 24 hours without times, 7 days at most with them."""
    if "startTime" in fields or "endTime" in fields:
        span = window(fields, now)
    else:
        span = now - timedelta(days=1), now + timedelta(days=1)
    rows = _between(book.statement, span)
    if "type" in fields:
        rows = [row for row in rows if row["type"] == fields["type"]]
    if "currency" in fields:
        rows = [row for row in rows if row["currency"] == fields["currency"]]
    if "category" in fields:
        rows = [row for row in rows if row["category"] == fields["category"]]
    shown, cursor = page(rows, fields, 20)
    return {"nextPageCursor": cursor, "list": shown}


def wallet(book: Book, fields: Fields) -> dict[str, Any]:
    row = wallet_row(book)
    if "coin" in fields:
        asked = fields["coin"].split(",")
        row["coin"] = [coin for coin in row["coin"] if coin["coin"] in asked]
    return {"list": [row]}


# -- positions --------------------------------------------------------------------------------------


def positions(book: Book, fields: Fields, symbols: set[str] | None, flags: Flags) -> dict[str, Any]:
    """`position/list`: a symbol is answered whether it is held or not, a coin with what is held."""
    if symbols is None:
        raise wrong("symbol or settleCoin is required")
    asked = sorted(symbols)
    if "symbol" not in fields:
        asked = [symbol for symbol in asked if book.held(symbol) != 0]
    rows: list[dict[str, Any]] = []
    for symbol in asked:
        row = position_row(book, symbol)
        if not flags.hedge_mode:
            rows.append(row)
            continue
        held = book.held(symbol)
        empty = {**row, "side": "", "size": "0", "avgPrice": "0", "positionValue": "0"}
        rows.append({**(row if held > 0 else empty), "positionIdx": 1})
        rows.append({**(row if held < 0 else empty), "positionIdx": 2})
    return listed(rows, fields, 20)


def set_leverage(book: Book, symbol: str, highest: int, fields: Fields) -> dict[str, Any]:
    """Raises NotDone: 110043 when it is set already, 110013 above the instrument's limit."""
    buy, sell = fields["buyLeverage"], fields["sellLeverage"]
    if buy != sell:
        raise wrong("buyLeverage and sellLeverage must be equal in one-way mode")
    if not 1 <= buy <= highest or buy % 1 != 0:
        raise NotDone(110013)
    if book.leverage_of(symbol) == buy:
        raise NotDone(110043)
    book.leverage[symbol] = int(buy)
    return {}


def switch_mode(book: Book, flags: Flags, fields: Fields) -> dict[str, Any]:
    """One-way (0) or hedge (3), for the whole account here."""
    hedge = fields["mode"] == 3
    if hedge == flags.hedge_mode:
        raise NotDone(110025)
    if any(position.quantity != ZERO for position in book.state.positions.values()):
        raise NotDone(110024)
    if any(order.status is Status.OPEN for order in book.state.resting.values()):
        raise NotDone(110028)
    flags.hedge_mode = hedge
    return {}


def account_info(flags: Flags, now: datetime) -> dict[str, Any]:
    return {
        "marginMode": flags.margin_mode,
        "updatedTime": str(milliseconds(now)),
        "unifiedMarginStatus": 5,
        "dcpStatus": "OFF",
        "timeWindow": 10,
        "smpGroup": 0,
        "isMasterTrader": False,
        "spotHedgingStatus": "OFF",
    }


def set_margin_mode(book: Book, flags: Flags, fields: Fields) -> dict[str, Any]:
    """Raises NotDone: 3400045 while something is held, as the venue's risk check does for a switch."""
    mode = fields["setMarginMode"]
    if mode != flags.margin_mode and book.state.positions:
        raise NotDone(3400045)
    flags.margin_mode = mode
    return {"reasons": []}


def api_key(account: str, flags: Flags, now: datetime) -> dict[str, Any]:
    """`user/query-api`: what the key may do, and from where."""
    trades = [] if flags.no_trade_permission else ["Order", "Position"]
    return {
        "id": "1",
        "note": "simulated",
        "apiKey": account,
        "readOnly": 1 if flags.no_trade_permission else 0,
        "secret": "",
        "permissions": {
            "ContractTrade": trades,
            "Spot": [],
            "Wallet": ["AccountTransfer", "Withdraw"] if flags.can_withdraw else ["AccountTransfer"],
            "Options": [],
            "Derivatives": [],
            "CopyTrading": [],
            "BlockTrade": [],
            "Exchange": [],
            "NFT": [],
            "Affiliate": [],
        },
        "ips": ["*"],
        "type": 1,
        "deadlineDay": 90,
        "expiredAt": (now + timedelta(days=90)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "createdAt": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "unified": 0,
        "uta": 1,
        "userID": 1,
        "inviterID": 0,
        "vipLevel": "PRO-3",
        "mktMakerLevel": "0",
        "affiliateID": 0,
        "rsaPublicKey": "",
        "isMaster": True,
        "parentUid": "0",
        "kycLevel": "LEVEL_DEFAULT",
        "kycRegion": "",
    }
