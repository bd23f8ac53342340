"""The broker of one Binance USDT-M account."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from nexus_common.contracts.values import Symbol, Venue
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
from nexus_executor.venues.binance.listening import CURRENCY, Listening
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


class BinanceBroker:
    """Satisfies `Broker`. A lookup is no proof: not found counts only behind the receive window."""

    def __init__(self, access: Access, clock: TurnClock, budget: RateBudget | None = None) -> None:
        self._rest = Rest(access, clock, budget)
        self._access = access
        self._terms = SymbolTerms(self._rest)
        self._private = PrivateStream()
        self._currency = CURRENCY
        self._stream = UserStream(self._rest, self._private, access.timeout_seconds, self._currency)
        self._backfill = Backfill(self._rest, self._currency)
        self._listening = Listening(self._rest, self._stream, self._private, self._backfill, self._terms)

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
        await self._check_modes()
        await self._listening.open()
        return await self._listening.wallet()

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

    # -- changes ------------------------------------------------------------------------------------

    async def submit(self, order: OrderRequest, at: datetime) -> SubmitReply:
        self._listening.symbols.add(order.symbol)
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
            filled = not conditional and said.row.get("status") == "FILLED"
            self._listening.expect(order.client_order_id, last=filled)
        elif isinstance(reply, Refused) and reply.code == HEDGE_MODE:
            self._note_mode(at)
        return reply

    def _note_mode(self, at: datetime) -> None:
        words = "the account's position mode was changed to hedge mode; switch it back to one-way"
        key = f"notice/position mode/{fields.millis(at)}"
        self._stream.waiting.append(VenueUpdate(0, at, UpdateKind.NOTICE, reason=words, key=key))

    async def cancel(self, order: OrderRequest) -> ChangeReply:
        """Canceled already is canceled; what triggered meanwhile is canceled as the order it became."""
        algo = requests.is_conditional(order)
        reply = await self._withdraw(order, algo=algo)
        if not isinstance(reply, Refused) or reply.code != UNKNOWN_ORDER_SENT:
            return reply
        try:
            found = await self._find(order, algo=algo)
            became = await self._find(order, algo=False) if found is not None and found.triggers else found
        except (VenueDown, UnreadableFrame):
            return reply
        if became is None or became.order.status is VenueOrderStatus.FILLED:
            return reply
        if became.order.status is VenueOrderStatus.CANCELED:
            return Accepted(became.order.venue_order_id)
        return reply if became is found else await self._withdraw(order, algo=False)

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
            self._listening.expect(order.client_order_id, last=True)
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
        return await self._listening.updates(after)

    async def backfill(self, since: datetime, symbols: Sequence[Symbol]) -> None:
        await self._listening.backfill(since, symbols)

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
        return await account_facts(self._rest, self._access, self._currency, self._listening.symbols)

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
