"""Whether the stream can be believed, and what is done when it cannot."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from nexus_common.contracts.values import ClientOrderId, Symbol
from nexus_executor.venues.binance import rows
from nexus_executor.venues.binance.backfill import Backfill
from nexus_executor.venues.binance.fields import UnreadableFrame
from nexus_executor.venues.binance.rest import Rest
from nexus_executor.venues.binance.settings import SymbolTerms
from nexus_executor.venues.binance.user_stream import UserStream
from nexus_executor.venues.broker import UpdateKind, VenueDown, VenueUpdate
from nexus_executor.venues.private_stream import PrivateStream

CURRENCY: Final = "USDT"
# A stream that says nothing about an account with something at stake is not believed for longer.
_SILENCE: Final = timedelta(minutes=3)
# What a gap may have hidden: clocks differ, and the venue's messages come a little late.
_OVERLAP: Final = timedelta(minutes=1)
# An answer may overtake the stream's message by so much.
_WORD_TRIES: Final = 3
_WORD_SECONDS: Final = 0.05


class Listening:
    """The stream and the history behind it. `symbols` are those that a gap may concern."""

    def __init__(
        self,
        rest: Rest,
        stream: UserStream,
        private: PrivateStream,
        backfill: Backfill,
        terms: SymbolTerms,
    ) -> None:
        self._rest = rest
        self._stream = stream
        self._private = private
        self._backfill = backfill
        self._terms = terms
        self.symbols: set[Symbol] = set()
        # Orders of which the stream owes us a word; True: the last one.
        self._due: dict[ClientOrderId, bool] = {}
        self._at_stake = False
        # The stream was lost, and what it missed has not been asked for yet.
        self._has_gap = False
        self._whole_at: datetime | None = None
        self._heard_at: datetime | None = None
        self._frames = 0

    async def open(self) -> None:
        """Raises VenueDown."""
        now = await self._rest.now()
        await self._stream.connect(now)
        self._whole_at = self._heard_at = now

    def expect(self, order: ClientOrderId, *, last: bool) -> None:
        """An order was accepted or canceled: the stream has to say so; `last`: and that it is over."""
        self._at_stake = True
        self._due[order] = last

    async def updates(self, after: int) -> list[VenueUpdate]:
        """As Broker.updates."""
        now = await self._rest.now()
        if not await self._stream.is_whole(now) or await self._owes_a_word():
            # Of what is owed everything sent was read, and it was not among it.
            self._has_gap = True
            await self._stream.connect(now)
        if self._has_gap or self._stream.is_torn or self._is_too_quiet(now):
            await self._catch_up(now)
        await self._tell()
        for symbol in self._stream.changed:
            self._terms.forget(symbol)
        self._stream.changed.clear()
        self._whole_at = now
        if self._stream.frames != self._frames:
            self._frames, self._heard_at = self._stream.frames, now
        return self._private.take(after)

    async def _tell(self) -> None:
        """Hand on what the stream said, in its order; fundings are told with their rates. Raises VenueDown."""
        waiting = self._stream.waiting
        batch = list(waiting)
        try:
            self._private.offer(await self._backfill.rated(batch))
        except UnreadableFrame as error:
            raise VenueDown(f"Binance's funding rates cannot be read: {error}") from error
        if _wants_a_wallet(batch):
            # The message that tells it beside the fill was left out.
            wallet, now = await self.wallet(), await self._rest.now()
            self._private.offer([self._stream.balance(now, wallet, "fill")])
        del waiting[: len(batch)]

    async def _owes_a_word(self) -> bool:
        """Whether an answered request has not been told of, though it was waited for a little."""
        for _ in range(_WORD_TRIES):
            if not self._owed():
                break
            await asyncio.sleep(_WORD_SECONDS)
            await self._stream.barrier()
        owed = self._owed()
        self._due = dict.fromkeys(owed, False)
        self._stream.about.clear()
        self._stream.done.clear()
        return bool(owed)

    def _owed(self) -> list[ClientOrderId]:
        stream = self._stream
        return [o for o, last in self._due.items() if o not in (stream.done if last else stream.about)]

    def _is_too_quiet(self, now: datetime) -> bool:
        if not self._at_stake or self._stream.frames != self._frames:
            return False
        return self._heard_at is None or now - self._heard_at >= _SILENCE

    async def _catch_up(self, now: datetime) -> None:
        """Fill the gap since the stream was last known to be whole; raises VenueDown."""
        since = min(self._whole_at or now, self._heard_at or now) - _OVERLAP
        await self.backfill(since, sorted(self.symbols))
        self._has_gap = self._stream.is_torn = False
        self._due.clear()
        self._heard_at = now
        self._at_stake = await self._has_something_at_stake()

    async def _has_something_at_stake(self) -> bool:
        for what in ("positions", "open algo orders", "open orders"):
            if await self._rest.rows(what):
                return True
        return False

    async def backfill(self, since: datetime, symbols: Sequence[Symbol]) -> None:
        """As Broker.backfill."""
        self.symbols.update(symbols)
        await self._tell()
        try:
            found = await self._backfill.since(since, symbols)
        except UnreadableFrame as error:
            raise VenueDown(f"Binance's history cannot be read: {error}") from error
        if self._private.offer(found):
            wallet, now = await self.wallet(), await self._rest.now()
            self._private.offer([self._stream.balance(now, wallet, "backfill")])

    async def wallet(self) -> Decimal:
        """Raises VenueDown."""
        try:
            return rows.wallet(await self._rest.rows("balance"), CURRENCY)
        except UnreadableFrame as error:
            raise VenueDown(f"Binance's balance cannot be read: {error}") from error


def _wants_a_wallet(told: Sequence[VenueUpdate]) -> bool:
    """Whether the newest fill came without its wallet, and no wallet was told after it."""
    filled = max((update.at for update in told if update.kind is UpdateKind.FILL), default=None)
    known = max((update.at for update in told if update.wallet is not None), default=None)
    return filled is not None and (known is None or known < filled)
