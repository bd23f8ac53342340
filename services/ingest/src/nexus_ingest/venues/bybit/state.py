"""What a connection has to remember: Bybit's books and tickers are told as changes of what was told before."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from nexus_common.contracts.values import Symbol
from nexus_ingest.domain.readings import BookRead, MarkRead, UnreadableFrame
from nexus_ingest.venues.texts import check_prices, check_time, check_volume, optional_price, rate

Level = tuple[str, str]  # price and size
KnownTop = tuple[Level | None, Level | None]  # bid and ask; a side may be empty


class BookChange(msgspec.Struct, gc=False):
    """Levels that are new or have another size; with size 0, those that are gone."""

    bids: Sequence[Level] = msgspec.field(name="b")
    asks: Sequence[Level] = msgspec.field(name="a")


class BookTop:
    """Best bid and ask of one instrument."""

    def __init__(self, known: KnownTop | None = None) -> None:
        self._is_known = known is not None
        self._bid, self._ask = known or (None, None)

    def known(self) -> KnownTop | None:
        """None before the first snapshot."""
        return (self._bid, self._ask) if self._is_known else None

    def change(self, symbol: Symbol, change: BookChange, at: int, *, is_snapshot: bool) -> BookRead | None:
        """The top as it now is; None while a side is empty.

        Raises:
            UnreadableFrame: figures that cannot be, or a change of what was never told.
        """
        for price, size in (*change.bids, *change.asks):
            check_prices(price)
            check_volume(size)
        if not is_snapshot and not self._is_known:
            raise UnreadableFrame("a change before its snapshot")
        old_bid, old_ask = (None, None) if is_snapshot else (self._bid, self._ask)
        self._is_known = True
        self._bid = _best(old_bid, change.bids, highest=True)
        self._ask = _best(old_ask, change.asks, highest=False)
        if self._bid is None or self._ask is None:
            return None
        return BookRead(symbol, *self._bid, *self._ask, at)


def _best(old: Level | None, changes: Sequence[Level], *, highest: bool) -> Level | None:
    """The best of a level and those in its place; a level whose size is 0 is gone."""
    levels = {float(old[0]): old} if old else {}
    for level in changes:
        levels[float(level[0])] = level
    standing = {price: level for price, level in levels.items() if float(level[1])}
    if not standing:
        return None
    return standing[max(standing) if highest else min(standing)]


class TickerChange(msgspec.Struct, rename="camel"):
    """The fields of a ticker that are read, those that changed."""

    mark_price: str | None = None
    index_price: str | None = None
    funding_rate: str | None = None
    next_funding_time: str | None = None


class Mark:
    """Mark price and funding of one instrument, merged from changes."""

    def __init__(self, known: TickerChange | None = None) -> None:
        self._fields = known or TickerChange()

    def known(self) -> TickerChange:
        return self._fields

    def change(self, symbol: Symbol, change: TickerChange, at: int, *, is_snapshot: bool) -> MarkRead | None:
        """The mark as it now is; None when nothing of it changed, or it is not known yet.

        Raises:
            UnreadableFrame: figures that cannot be; what was known before stays.
        """
        if change == TickerChange():
            return None
        old = TickerChange() if is_snapshot else self._fields
        new = TickerChange(
            mark_price=old.mark_price if change.mark_price is None else change.mark_price,
            index_price=old.index_price if change.index_price is None else change.index_price,
            funding_rate=old.funding_rate if change.funding_rate is None else change.funding_rate,
            next_funding_time=(
                old.next_funding_time if change.next_funding_time is None else change.next_funding_time
            ),
        )
        read = _mark(symbol, new, at)
        self._fields = new
        return read


def _mark(symbol: Symbol, ticker: TickerChange, at: int) -> MarkRead | None:
    if not ticker.mark_price:
        return None
    check_prices(ticker.mark_price)
    index_price, funding_rate = optional_price(ticker.index_price or ""), rate(ticker.funding_rate or "")
    return MarkRead(symbol, ticker.mark_price, index_price, funding_rate, _due(ticker.next_funding_time), at)


def _due(text: str | None) -> int | None:
    """Milliseconds as a text; empty or 0 for contracts that settle no funding."""
    if not text or text == "0":
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise UnreadableFrame("a time is no milliseconds since 1970")
    check_time(int(text))
    return int(text)
