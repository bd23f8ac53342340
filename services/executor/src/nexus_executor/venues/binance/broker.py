"""The broker of one Binance USDT-M account."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from nexus_common.contracts.values import ClientOrderId, Symbol, Venue
from nexus_common.runtime.errors import ConfigurationError
from nexus_executor.domain.traits import TRAITS, VenueTraits
from nexus_executor.venues.access import Access, TurnClock
from nexus_executor.venues.binance import fields, requests, rows
from nexus_executor.venues.binance.account import account_facts
from nexus_executor.venues.binance.backfill import Backfill
from nexus_executor.venues.binance.evidence import (
    HEDGE_MODE,
    NO_SUCH_ORDER,
    UNKNOWN_ORDER_SENT,
    Proof,
    Verdict,
)
from nexus_executor.venues.binance.fields import Row, UnreadableFrame
from nexus_executor.venues.binance.rest import NotSent, Refusal, Rest
from nexus_executor.venues.binance.settings import SymbolTerms
from nexus_executor.venues.binance.user_stream import UserStream
from nexus_executor.venues.broker import (
    Absent,
    Accepted,
    ChangeReply,
    LookupReply,
    OrderRequest,
    Refused,
    SubmitReply,
    Unknown,
    UpdateKind,
    VenueDown,
    VenueOrder,
    VenueOrderStatus,
    VenuePosition,
    VenueUpdate,
)
from nexus_executor.venues.facts import AccountFacts, StatementRow
from nexus_executor.venues.private_stream import PrivateStream
from nexus_executor.venues.rate_budget import RateBudget

# A stream that says nothing about an account with something at stake is not believed for longer.
_SILENCE: Final = timedelta(minutes=3)
# What a gap may have hidden: clocks differ, and the venue's messages come a little late.
_OVERLAP: Final = timedelta(minutes=1)
# An answer may overtake the stream's message by so much.
_WORD_TRIES: Final = 3
_WORD_SECONDS: Final = 0.05


class BinanceBroker:
    """Satisfies `Broker`. A lookup is no proof: not found counts only behind the receive window."""

    def __init__(self, access: Access, clock: TurnClock, budget: RateBudget | None = None) -> None:
        self._rest = Rest(access, clock, budget)
        self._access = access
        self._terms = SymbolTerms(self._rest)
        self._private = PrivateStream()
        self._currency = "USDT"
        self._stream = UserStream(self._rest, self._private, access.timeout_seconds, self._currency)
        self._backfill = Backfill(self._rest, self._currency)
        self._symbols: set[Symbol] = set()
        # Orders of which the stream owes us a word; True: the last one.
        self._due: dict[ClientOrderId, bool] = {}
        self._at_stake = False
        self._whole_at: datetime | None = None
        self._heard_at: datetime | None = None
        self._frames = 0

    @property
    def traits(self) -> VenueTraits:
        return TRAITS[Venue.BINANCE]

    @property
    def conclusive_lookup(self) -> bool:
        return False

    @property
    def refused_messages(self) -> dict[str, int]:
        """How many messages of the stream could not be read, by reason."""
        return dict(self._private.refused)

    async def open(self, currency: str, balance: Decimal | None) -> Decimal:
        """Connect; `balance` means nothing here.

        Raises:
            ConfigurationError: the account is in hedge mode, pays fees in BNB, or is not kept in USDT.
            VenueDown: the venue does not answer, or does not accept the key.
        """
        if currency != self._currency:
            raise ConfigurationError(
                f"account {self._access.account} is kept in {currency}; USDT-M futures are kept in USDT"
            )
        now = await self._rest.now()
        await self._check_modes()
        await self._stream.connect(now)
        self._whole_at = self._heard_at = now
        return await self._wallet()

    async def _check_modes(self) -> None:
        mode, burn = await self._rest.ask("position mode"), await self._rest.ask("fee burn")
        try:
            hedge = fields.flag(mode if isinstance(mode, dict) else {}, "dualSidePosition")
            burns = fields.flag(burn if isinstance(burn, dict) else {}, "feeBurn")
        except UnreadableFrame as error:
            raise VenueDown(f"Binance's account modes cannot be read: {error}") from error
        if hedge:
            raise ConfigurationError(
                f"account {self._access.account} is in hedge mode; close its positions and orders, then "
                "switch it to one-way mode (Futures, Preferences, Position Mode)"
            )
        if burns:
            raise ConfigurationError(
                f"account {self._access.account} pays its fees in BNB, which no trade could be charged "
                'with; switch off "Using BNB for fees" (Futures, Preferences)'
            )

    async def _wallet(self) -> Decimal:
        try:
            return rows.wallet(await self._rest.rows("balance"), self._currency)
        except UnreadableFrame as error:
            raise VenueDown(f"Binance's balance cannot be read: {error}") from error

    # -- changes ------------------------------------------------------------------------------------

    async def submit(self, order: OrderRequest, at: datetime) -> SubmitReply:
        self._symbols.add(order.symbol)
        try:
            params = requests.new_order(order)
        except requests.Inexpressible as error:
            return Refused("inexpressible", str(error))
        conditional, urgent = requests.is_conditional(order), requests.is_urgent(order)
        if not urgent:
            unsent = await self._terms.stand(order, at)
            if unsent is not None:
                return unsent
        what = "new algo order" if conditional else "new order"
        try:
            said = await self._rest.change(what, params, at, urgent=urgent)
        except NotSent as error:
            return Refused(error.code, str(error))
        reply = _reply(said, "algoId" if conditional else "orderId")
        if isinstance(reply, Accepted):
            self._at_stake = True
            filled = not conditional and said.row.get("status") == "FILLED"
            self._due[order.client_order_id] = filled
        elif isinstance(reply, Refused) and reply.code == HEDGE_MODE:
            self._note_mode(at)
        return reply

    def _note_mode(self, at: datetime) -> None:
        words = "the account's position mode was changed to hedge mode; switch it back to one-way"
        key = f"notice/position mode/{fields.millis(at)}"
        self._private.offer([VenueUpdate(0, at, UpdateKind.NOTICE, reason=words, key=key)])

    async def cancel(self, order: OrderRequest) -> ChangeReply:
        """Canceled already is canceled; what triggered meanwhile is canceled as the order it became."""
        algo = requests.is_conditional(order)
        reply = await self._withdraw(order, algo=algo)
        if not isinstance(reply, Refused) or reply.code != UNKNOWN_ORDER_SENT:
            return reply
        try:
            found = await self._find(order, algo=algo)
        except (VenueDown, UnreadableFrame):
            return reply
        if found is None or found.order.status is VenueOrderStatus.FILLED:
            return reply
        if found.order.status is VenueOrderStatus.CANCELED:
            return Accepted(found.order.venue_order_id)
        return await self._withdraw(order, algo=False) if found.triggers else reply

    async def _withdraw(self, order: OrderRequest, *, algo: bool) -> ChangeReply:
        named = {"clientAlgoId": str(order.client_order_id)}
        if not algo:
            named = {"symbol": str(order.symbol), "origClientOrderId": str(order.client_order_id)}
        what = "cancel algo order" if algo else "cancel order"
        try:
            said = await self._rest.change(what, named, await self._rest.now(), urgent=True)
        except NotSent as error:
            return Unknown(str(error))
        except VenueDown as error:
            return Unknown(str(error))
        reply = _reply(said, "algoId" if algo else "orderId")
        if isinstance(reply, Accepted):
            self._due[order.client_order_id] = True
        return reply

    async def amend(
        self, order: OrderRequest, trigger_price: Decimal, quantity: Decimal | None = None
    ) -> ChangeReply:
        return Refused(
            "unsupported", "Binance's algo service cannot amend: place another and cancel this one"
        )

    # -- questions ----------------------------------------------------------------------------------

    async def lookup(self, order: OrderRequest) -> LookupReply:
        try:
            found = await self._find(order, algo=requests.is_conditional(order))
        except (VenueDown, UnreadableFrame) as error:
            return Unknown(str(error))
        if found is None:
            return Absent(f"-2013 for client id {order.client_order_id}: order does not exist")
        if found.status == "REJECTED":
            return Refused("rejected", "the venue took the order and rejected it")
        return Accepted(found.order.venue_order_id)

    async def _find(self, order: OrderRequest, *, algo: bool) -> rows.Placed | None:
        """What the venue knows of it; None when it says that there is no such order. Raises as `ask` does."""
        try:
            if algo:
                found = await self._rest.ask("algo order", clientAlgoId=str(order.client_order_id))
                return rows.placed_algo(_object(found))
            found = await self._rest.ask(
                "order", symbol=str(order.symbol), origClientOrderId=str(order.client_order_id)
            )
            return rows.placed(_object(found))
        except Refusal as refusal:
            if refusal.code in NO_SUCH_ORDER:
                return None
            raise

    async def updates(self, after: int) -> Sequence[VenueUpdate]:
        now = await self._rest.now()
        if not await self._stream.is_whole(now):
            await self._stream.connect(now)
            await self._catch_up(now)
        elif await self._owes_a_word():
            # Something was not told although everything sent was read: the stream is not to be trusted.
            await self._stream.connect(now)
            await self._catch_up(now)
        elif self._is_too_quiet(now):
            await self._catch_up(now)
        await self._tell_fundings()
        for symbol in self._stream.changed:
            self._terms.forget(symbol)
        self._stream.changed.clear()
        self._whole_at = now
        if self._stream.frames != self._frames:
            self._frames, self._heard_at = self._stream.frames, now
        return self._private.take(after)

    async def _tell_fundings(self) -> None:
        unrated = self._stream.unrated
        if unrated:
            self._private.offer(await self._rated(unrated))
            unrated.clear()

    async def _rated(self, updates: Sequence[VenueUpdate]) -> list[VenueUpdate]:
        try:
            return await self._backfill.rated(updates)
        except UnreadableFrame as error:
            raise VenueDown(f"Binance's funding rates cannot be read: {error}") from error

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
        since = (self._whole_at or now) - _OVERLAP
        if self._heard_at is not None:
            since = min(since, self._heard_at - _OVERLAP)
        await self.backfill(since, sorted(self._symbols))
        self._due.clear()
        self._heard_at = now
        self._at_stake = bool(await self.positions()) or bool(await self.open_orders())

    async def backfill(self, since: datetime, symbols: Sequence[Symbol]) -> None:
        self._symbols.update(symbols)
        try:
            found = await self._backfill.since(since, symbols)
        except UnreadableFrame as error:
            raise VenueDown(f"Binance's history cannot be read: {error}") from error
        if self._private.offer(found):
            wallet, now = await self._wallet(), await self._rest.now()
            self._private.offer([self._stream.balance(now, wallet, "backfill")])

    async def open_orders(self) -> Sequence[VenueOrder]:
        try:
            plain = [rows.placed(row) for row in await self._rest.rows("open orders")]
            algo = [rows.placed_algo(row) for row in await self._rest.rows("open algo orders")]
        except UnreadableFrame as error:
            raise VenueDown(f"Binance's open orders cannot be read: {error}") from error
        if not any(found.closes_position for found in algo):
            return [found.order for found in (*plain, *algo)]
        held = {position.symbol: abs(position.quantity) for position in await self.positions()}
        return [
            replace(found.order, quantity=held.get(found.order.symbol, Decimal(0)))
            if found.closes_position
            else found.order
            for found in (*plain, *algo)
        ]

    async def positions(self) -> Sequence[VenuePosition]:
        try:
            return rows.positions(await self._rest.rows("positions"))
        except UnreadableFrame as error:
            raise VenueDown(f"Binance's positions cannot be read: {error}") from error

    async def facts(self) -> AccountFacts:
        """Permissions, modes, leverage and clock; raises VenueDown."""
        return await account_facts(self._rest, self._access, self._currency, self._symbols)

    async def statement(self, since: datetime) -> Sequence[StatementRow]:
        """Every change of the wallet since then, oldest first; raises VenueDown."""
        return await self._backfill.statement(since, await self._rest.now())

    async def close(self) -> None:
        await self._stream.disconnect()
        await self._rest.close()


def _object(found: Any) -> Row:
    if not isinstance(found, dict):
        raise UnreadableFrame("no object")
    return found


def _reply(said: Verdict, number: str) -> Accepted | Refused | Unknown:
    if said.proof is Proof.REFUSED:
        return Refused(said.code, said.reason)
    if said.proof is Proof.OPEN:
        return Unknown(f"{said.code}: {said.reason}")
    try:
        return Accepted(str(fields.whole(said.row, number)))
    except UnreadableFrame as error:
        return Unknown(f"an answer that cannot be read: {error}")
