"""What happened since a time, asked for over REST and told under the stream's own keys.

Trades are certain: nothing hides them, and each names its order by number. Their client ids come from the
orders' history or, for older orders, from a question about each.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Final

from nexus_common.contracts.values import Symbol
from nexus_executor.venues.binance import fields, rows
from nexus_executor.venues.binance.evidence import NO_SUCH_ORDER
from nexus_executor.venues.binance.fields import Row, UnreadableFrame
from nexus_executor.venues.binance.rest import Refusal, Rest
from nexus_executor.venues.binance.rows import Placed, Trade
from nexus_executor.venues.broker import UpdateKind, VenueDown, VenueUpdate
from nexus_executor.venues.facts import StatementRow

# Windows and pages as documented; the trades of the last three months can be asked for.
_WINDOW: Final = timedelta(days=7)
_KEPT: Final = timedelta(days=89)
_PAGE: Final = 1_000
_PAGES_MAX: Final = 500
# A stop that triggers now may have been placed some days ago.
_LOOK_BACK: Final = timedelta(days=7)
_FUNDING_SLACK: Final = timedelta(minutes=30)
_TIME_STEP: Final = timedelta(milliseconds=1)


class Backfill:
    def __init__(self, rest: Rest, currency: str) -> None:
        self._rest = rest
        self._currency = currency

    async def since(self, since: datetime, symbols: Iterable[Symbol]) -> list[VenueUpdate]:
        """All that can be told, in the order in which it must have happened; raises VenueDown."""
        now = await self._rest.now()
        since = max(since, now - _KEPT)
        statement = await self.statement(since, now)
        traded = {row.symbol for row in statement if row.symbol is not None}
        found = [update for row in statement if (update := rows.update_of(row)) is not None]
        for symbol in sorted({*symbols, *traded}):
            found += await self._symbol(symbol, since, now)
        return await self.rated(sorted(found, key=lambda update: update.at))

    async def rated(self, updates: Iterable[VenueUpdate]) -> list[VenueUpdate]:
        """The same with the rate of each funding, which neither stream nor statement names; raises VenueDown."""
        return [
            replace(update, rate=await self._rate(update.symbol, update.at))
            if update.kind is UpdateKind.FUNDING and update.rate is None and update.symbol is not None
            else update
            for update in updates
        ]

    async def _rate(self, symbol: Symbol, at: datetime) -> Decimal:
        found = await self._rest.rows(
            "funding rates",
            symbol=str(symbol),
            startTime=_text(at - _FUNDING_SLACK),
            endTime=_text(at + _FUNDING_SLACK),
        )
        if not found:
            raise VenueDown(f"Binance does not show the funding rate of {symbol} at {at} yet")
        nearest = min(found, key=lambda row: abs(fields.moment(row, "fundingTime") - at))
        return fields.amount(nearest, "fundingRate")

    async def _symbol(self, symbol: Symbol, since: datetime, now: datetime) -> list[VenueUpdate]:
        trades = [
            rows.trade(row, self._currency) async for row in self._paged("trades", "id", symbol, since, now)
        ]
        early = max(since - _LOOK_BACK, now - _KEPT)
        plain = [rows.placed(row) async for row in self._paged("all orders", "orderId", symbol, early, now)]
        algo = [
            rows.placed_algo(row)
            async for row in self._paged("all algo orders", "algoId", symbol, early, now)
        ]
        orders = {each.number: each for each in plain}
        await self._name(symbol, trades, orders)
        changes = [u for each in (*algo, *plain) for u in rows.changes_of(each) if each.updated >= since]
        ends = [update for update in changes if update.price is None]
        triggers = [update for update in changes if update.price is not None]
        # Sorted by time later, and stable: of one instant the trigger comes first, ends last.
        return [*triggers, *rows.fills_of(trades, orders), *ends]

    async def _name(self, symbol: Symbol, trades: list[Trade], orders: dict[int, Placed]) -> None:
        """Ask for each order of a trade that the history did not hold."""
        for number in sorted({each.order for each in trades} - orders.keys()):
            try:
                found = await self._rest.ask("order", symbol=str(symbol), orderId=str(number))
                orders[number] = rows.placed(found if isinstance(found, dict) else {})
            except Refusal as refusal:
                if refusal.code in NO_SUCH_ORDER:
                    raise VenueDown(f"Binance does not show order {number} of a trade yet") from refusal
                raise
            except UnreadableFrame as error:
                raise VenueDown(f"Binance's order {number} cannot be read: {error}") from error

    async def statement(self, since: datetime, now: datetime) -> list[StatementRow]:
        """The income history, oldest first; raises VenueDown."""
        found: dict[str, StatementRow] = {}
        start = fields.millis(since)
        for _ in range(_PAGES_MAX):
            page = await self._rest.rows(
                "income", startTime=str(start), endTime=str(fields.millis(now)), limit=str(_PAGE)
            )
            try:
                read = [rows.statement(row) for row in page]
            except UnreadableFrame as error:
                raise VenueDown(f"Binance's income history cannot be read: {error}") from error
            new = [row for row in read if row.key not in found]
            found.update((row.key, row) for row in new)
            if len(page) < _PAGE or not new:
                return sorted(found.values(), key=lambda row: row.at)
            start = fields.millis(max(row.at for row in read))
        raise VenueDown("Binance's income history does not end")

    async def _paged(
        self, what: str, number: str, symbol: Symbol, since: datetime, now: datetime
    ) -> AsyncIterator[Row]:
        """Rows of windows of seven days; a full page is followed by the rows behind its last number."""
        for start, end in pairwise(_edges(since, now)):
            page = await self._page(what, symbol, startTime=_text(start), endTime=_text(end - _TIME_STEP))
            for _ in range(_PAGES_MAX):
                for row in page:
                    if self._time(row) < fields.millis(end):
                        yield row
                if len(page) < _PAGE or self._time(page[-1]) >= fields.millis(end):
                    break
                following = str(self._number(page[-1], number) + 1)
                first = {"fromId": following} if what == "trades" else {number: following}
                page = await self._page(what, symbol, **first)
            else:
                raise VenueDown(f"Binance's {what} do not end")

    async def _page(self, what: str, symbol: Symbol, **params: str) -> list[Row]:
        return await self._rest.rows(what, symbol=str(symbol), limit=str(_PAGE), **params)

    @staticmethod
    def _time(row: Row) -> int:
        try:
            return fields.whole(row, "time" if "time" in row else "createTime")
        except UnreadableFrame as error:
            raise VenueDown(f"a row of Binance's history cannot be read: {error}") from error

    @staticmethod
    def _number(row: Row, name: str) -> int:
        try:
            return fields.whole(row, name)
        except UnreadableFrame as error:
            raise VenueDown(f"a row of Binance's history cannot be read: {error}") from error


def _edges(since: datetime, now: datetime) -> list[datetime]:
    """Borders of windows that cover everything up to and with `now`."""
    edges, last = [since], now + _TIME_STEP
    while edges[-1] + _WINDOW < last:
        edges.append(edges[-1] + _WINDOW)
    return [*edges, max(last, since + _TIME_STEP)]


def _text(at: datetime) -> str:
    return str(fields.millis(at))
