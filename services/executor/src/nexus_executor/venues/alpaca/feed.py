"""What happened on the account, each thing once: from the stream, and over REST what the stream has missed."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from nexus_executor.venues.access import Access
from nexus_executor.venues.alpaca.messages import (
    ENDINGS,
    OrderState,
    ending,
    parse_cash_activity,
    parse_fill_activity,
    parse_frame,
    parse_json,
)
from nexus_executor.venues.alpaca.queries import OLDEST, Queries, readable
from nexus_executor.venues.alpaca.rest import Rest
from nexus_executor.venues.alpaca.stream import StreamDead, TradeUpdates
from nexus_executor.venues.broker import UpdateKind, VenueDown, VenueUpdate
from nexus_executor.venues.private_stream import PrivateStream, UnreadableFrame

# How far a backfill reaches back behind the last sign of life, for clocks that differ.
_OVERLAP: Final = timedelta(seconds=60)
_CASH: Final = ("CSD", "CSW", "JNLC", "DIV", "INT", "FEE")


class Feed:
    """The account's private messages, numbered, and the wallet that goes with them."""

    def __init__(self, access: Access, rest: Rest, queries: Queries) -> None:
        self._trade_updates = TradeUpdates(access)
        self._private = PrivateStream()
        self._rest = rest
        self._queries = queries
        self._read_until: datetime | None = None
        # The stream was lost or a message could not be read, and what it missed has not been asked for yet.
        self._has_gap = False
        self._unheard: dict[str, datetime] = {}
        self._order_ids: dict[str, str] = {}
        self._wallet: Decimal | None = None
        self._wallet_due: VenueUpdate | None = None

    @property
    def private(self) -> PrivateStream:
        return self._private

    def order_id(self, client_order_id: str) -> str | None:
        """The venue's id of an order's newest replacement, as far as it was told."""
        return self._order_ids.get(client_order_id)

    def note_order(self, client_order_id: str, order_id: str) -> None:
        """The venue has taken an order: its stream must speak of it."""
        self._order_ids[client_order_id] = order_id
        self._unheard[order_id] = self._rest.now()

    async def open(self) -> Decimal:
        """Listen, then read the wallet; raises VenueDown."""
        await self._connect()
        self._read_until = self._rest.now()
        self._wallet = await self._queries.wallet()
        return self._wallet

    async def _connect(self) -> None:
        try:
            await self._trade_updates.connect()
        except StreamDead as error:
            raise VenueDown(f"Alpaca: {error}") from None

    async def updates(self, after: int) -> list[VenueUpdate]:
        """All that the venue had told when this was called; raises VenueDown."""
        now = self._rest.now()
        try:
            self._take(await self._trade_updates.frames())
        except StreamDead:
            await self._recover()
        if any(since < now for since in self._unheard.values()):
            # It took orders of an earlier turn and says nothing of them: the stream has stalled.
            await self._recover()
            self._unheard.clear()
        if self._has_gap:
            await self._fill_gap()
        self._read_until = now
        await self._follow_wallet()
        return self._private.take(after)

    async def _recover(self) -> None:
        self._has_gap = True
        self._take(await self._trade_updates.left())
        await self._connect()
        await self._fill_gap()
        try:
            self._take(await self._trade_updates.frames())
        except StreamDead as error:
            raise VenueDown(f"Alpaca: {error}") from None

    async def _fill_gap(self) -> None:
        await self.backfill((self._read_until or self._rest.now()) - _OVERLAP)
        self._has_gap = False

    def _take(self, frames: Iterable[str | bytes]) -> None:
        for raw in frames:
            try:
                order_id, updates = parse_frame(parse_json(raw))
            except UnreadableFrame as error:
                self._private.refuse(str(error))
                self._has_gap = True
                continue
            if order_id is not None:
                self._unheard.pop(order_id, None)
            self._offer(updates)

    def _offer(self, updates: Iterable[VenueUpdate]) -> None:
        for update in updates:
            if self._private.offer((update,)) and update.kind is UpdateKind.FILL:
                self._wallet_due = update

    async def _follow_wallet(self) -> None:
        """After fills the wallet is read; the stream does not say it."""
        due = self._wallet_due
        if due is None:
            return
        try:
            wallet = await self._queries.wallet()
        except VenueDown:
            return  # It stays due.
        self._wallet_due = None
        if wallet != self._wallet:
            change = None if self._wallet is None else wallet - self._wallet
            self._wallet = wallet
            told = VenueUpdate(
                0, due.at, UpdateKind.BALANCE, wallet=wallet, change=change, reason="fill",
                key=f"wallet:{due.key}",
            )  # fmt: skip
            self._private.offer((told,))

    # -- over REST ----------------------------------------------------------------------------------

    async def backfill(self, since: datetime) -> None:
        """Offer everything since then under the stream's keys; raises VenueDown."""
        orders = {order.order_id: order for order in await self._queries.orders("all", since - OLDEST)}
        since -= timedelta(seconds=1)
        for row in await self._queries.activities(("FILL",), since):
            fill = readable(parse_fill_activity, row)
            order = orders.get(fill.order_id) or await self._find(fill.order_id)
            self._offer((fill.update(order),))
        for order in orders.values():
            ended = order.ended_at if order.status in ENDINGS else None
            if ended is not None and ended >= since:
                self._offer((ending(order, order.status, ended),))
        await self._backfill_cash(since)

    async def _find(self, order_id: str) -> OrderState | None:
        found = await self._queries.by_id(order_id)
        return found if isinstance(found, OrderState) else None

    async def _backfill_cash(self, since: datetime) -> None:
        rows = [
            readable(parse_cash_activity, row)
            for row in await self._queries.activities(_CASH, since)
            if row.get("net_amount") is not None
        ]
        if not rows:
            return
        self._wallet = await self._queries.wallet()
        self._private.offer(
            VenueUpdate(
                0, row.at, UpdateKind.BALANCE, symbol=row.symbol, wallet=self._wallet, change=row.amount,
                reason=row.kind, key=f"activity:{row.activity_id}",
            )
            for row in rows
        )  # fmt: skip

    async def close(self) -> None:
        await self._trade_updates.close()
