"""What Bybit remembers, asked over REST: orders, executions and the statement, window by window.

Sources: Bybit V5 documentation: windows of 7 days, pages of 50 orders and 100 executions.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime, timedelta
from typing import Final, TypeVar

from nexus_common.contracts.values import Symbol
from nexus_executor.venues.broker import VenueDown, VenueUpdate
from nexus_executor.venues.bybit import messages
from nexus_executor.venues.bybit.messages import CATEGORY, spelled
from nexus_executor.venues.bybit.reading import Row, moment_of, number_of, optional_number, text_of
from nexus_executor.venues.bybit.rest import Rest
from nexus_executor.venues.facts import StatementKind, StatementRow
from nexus_executor.venues.private_stream import PrivateStream, UnreadableFrame

WINDOW: Final = timedelta(days=7)
SETTLE_COIN: Final = "USDT"
_ORDERS_PAGE: Final = 50
_EXECUTIONS_PAGE: Final = 100
# A row may be stamped a moment after the time by which it is asked for.
_AHEAD: Final = timedelta(minutes=1)
_KINDS: Final = {
    "TRADE": StatementKind.REALISED,
    "SETTLEMENT": StatementKind.FUNDING,
    "TRANSFER_IN": StatementKind.TRANSFER,
    "TRANSFER_OUT": StatementKind.TRANSFER,
    "LIQUIDATION": StatementKind.REALISED,
    "ADL": StatementKind.REALISED,
}
T = TypeVar("T")


class History:
    """Asks for the past, and offers what it finds under the same keys as the private stream."""

    def __init__(self, rest: Rest, stream: PrivateStream) -> None:
        self._rest = rest
        self._stream = stream

    async def fill_up(self, since: datetime, symbols: Sequence[Symbol] = ()) -> int:
        """Everything since then, of these symbols or of all; how much of it is new. Raises VenueDown."""
        new = 0
        for row in await self.orders(since, symbols):
            new += self._offer(messages.order_changes, row)
        for row in await self._executions(since, symbols):
            new += self._offer(_execution, row)
        return new

    def _offer(self, read: Callable[[Row], Sequence[VenueUpdate]], row: Row) -> int:
        try:
            return self._stream.offer(read(row))
        except UnreadableFrame as error:
            self._stream.refuse(f"history: {error}")
            return 0

    async def orders(self, since: datetime, symbols: Sequence[Symbol] = ()) -> list[Row]:
        """Open and closed orders since then, oldest first; raises VenueDown."""
        rows = await self._rest.pages(
            "get_open_orders", category=CATEGORY, settleCoin=SETTLE_COIN, openOnly=0, limit=_ORDERS_PAGE
        )
        rows += await self._rest.pages(
            "get_open_orders", category=CATEGORY, settleCoin=SETTLE_COIN, openOnly=1, limit=_ORDERS_PAGE
        )
        async for begin, end in self._windows(since):
            rows += await self._rest.pages(
                "get_order_history",
                category=CATEGORY,
                settleCoin=SETTLE_COIN,
                startTime=begin,
                endTime=end,
                limit=_ORDERS_PAGE,
            )
        wanted = {spelled(symbol) for symbol in symbols}
        begin_ms = int(since.timestamp() * 1000)
        kept = [row for row in rows if (not wanted or row.get("symbol") in wanted) and _ms(row) >= begin_ms]
        return sorted(kept, key=_ms)

    async def _executions(self, since: datetime, symbols: Sequence[Symbol]) -> list[Row]:
        rows: list[Row] = []
        async for begin, end in self._windows(since):
            for symbol in symbols or (None,):
                named = {} if symbol is None else {"symbol": spelled(symbol)}
                rows += await self._rest.pages(
                    "get_executions",
                    category=CATEGORY,
                    startTime=begin,
                    endTime=end,
                    limit=_EXECUTIONS_PAGE,
                    **named,
                )
        # Within one millisecond: by execution, as the documents advise.
        return sorted(rows, key=lambda row: (str(row.get("execTime")), row.get("seq", 0) or 0))

    async def _windows(self, since: datetime) -> AsyncIterator[tuple[int, int]]:
        end = await self._rest.now() + _AHEAD
        begin = since
        while begin < end:
            until = min(begin + WINDOW, end)
            yield int(begin.timestamp() * 1000), int(until.timestamp() * 1000)
            begin = until

    async def statement(self, since: datetime, currency: str) -> list[StatementRow]:
        """Every change of the wallet since then, oldest first; raises VenueDown."""
        rows: list[Row] = []
        async for begin, end in self._windows(since):
            rows += await self._rest.pages(
                "get_transaction_log",
                accountType="UNIFIED",
                currency=currency,
                startTime=begin,
                endTime=end,
                limit=50,
            )
        try:
            stated = [part for row in rows for part in statement_rows(row)]
        except UnreadableFrame as error:
            raise VenueDown(f"Bybit's statement: {error}") from error
        unique = {row.key: row for row in stated}
        return sorted(unique.values(), key=lambda row: (row.at, row.key))


def _execution(row: Row) -> Sequence[VenueUpdate]:
    update = messages.execution(row)
    return () if update is None else (update,)


def _ms(row: Row) -> int:
    text = str(row.get("updatedTime", ""))
    return int(text) if text.isdecimal() else 0


def statement_rows(row: Row) -> list[StatementRow]:
    """One line of the transaction log: what came of the trade itself, and its fee."""
    kind = _KINDS.get(text_of(row, "type"), StatementKind.OTHER)
    at, identity = moment_of(row, "transactionTime"), _identity(row)
    symbol = messages.symbol_of(row) if row.get("symbol") else None
    fee = optional_number(row, "fee")
    change = number_of(row, "change")
    if kind is not StatementKind.REALISED:
        return [StatementRow(at, kind, change, identity, symbol)]
    parts = []
    gained = change + (fee or 0)
    if gained:
        parts.append(StatementRow(at, kind, gained, f"{identity}/profit", symbol))
    if fee:
        parts.append(StatementRow(at, StatementKind.FEE, -fee, f"{identity}/fee", symbol))
    return parts


def _identity(row: Row) -> str:
    """A log id is that of a symbol's sequence, which several executions may share."""
    trade = row.get("tradeId")
    return f"{text_of(row, 'id')}/{trade}" if trade else text_of(row, "id")
