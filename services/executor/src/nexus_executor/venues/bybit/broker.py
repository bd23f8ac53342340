"""Bybit as a broker: one account, through pybit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from decimal import Decimal
from typing import Final, TypeVar

from nexus_common.contracts.values import Symbol, Venue
from nexus_executor.domain.traits import TRAITS
from nexus_executor.venues.access import Access, TurnClock
from nexus_executor.venues.broker import (
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
    VenuePosition,
    VenueUpdate,
)
from nexus_executor.venues.bybit import messages, orders
from nexus_executor.venues.bybit.account import AccountSetup
from nexus_executor.venues.bybit.evidence import NO_POSITION, Proof, proof
from nexus_executor.venues.bybit.history import SETTLE_COIN, History
from nexus_executor.venues.bybit.listener import Listener
from nexus_executor.venues.bybit.lookup import Lookup
from nexus_executor.venues.bybit.messages import CATEGORY
from nexus_executor.venues.bybit.orders import Request
from nexus_executor.venues.bybit.reading import Row, text_of
from nexus_executor.venues.bybit.rest import Answer, NotSent, Rest
from nexus_executor.venues.bybit.session import NoAnswer
from nexus_executor.venues.facts import AccountFacts, StatementRow
from nexus_executor.venues.private_stream import PrivateStream, UnreadableFrame
from nexus_executor.venues.rate_budget import RateBudget

NOT_SENT: Final = "not-sent"
_WORKERS: Final = 4
_PAGE: Final = 50
T = TypeVar("T")


class BybitBroker:
    """USDT perpetuals of a unified account, one-way mode, isolated margin.

    `budget` is the limit of the address (600 requests in 5 seconds), which the accounts behind it share.
    Bybit's lookups are not conclusive: an older request can arrive until its receive window has passed.
    """

    traits = TRAITS[Venue.BYBIT]
    conclusive_lookup = False

    def __init__(self, access: Access, clock: TurnClock, budget: RateBudget | None = None) -> None:
        self._access = access
        self._workers = ThreadPoolExecutor(_WORKERS, thread_name_prefix=f"bybit-{access.account}")
        self._rest = Rest(access, clock, self._workers, budget)
        self._stream = PrivateStream()
        self._history = History(self._rest, self._stream)
        self._setup = AccountSetup(access, self._rest)
        self._lookup = Lookup(self._rest)
        self._currency = SETTLE_COIN
        self._listener = self._new_listener()
        self._opened = self._closed = False

    def _new_listener(self) -> Listener:
        return Listener(
            self._access,
            self._rest,
            self._workers,
            self._stream,
            self._currency,
            self._fill_up,
            self._setup.heard_position,
        )

    @property
    def refused_frames(self) -> dict[str, int]:
        """How many messages could not be read, by reason."""
        return dict(self._stream.refused)

    # -- the account --------------------------------------------------------------------------------

    async def open(self, currency: str, balance: Decimal | None) -> Decimal:
        """Check the account's modes and listen; returns the wallet. `balance` is the venue's to know.

        Raises:
            VenueDown: it does not answer.
            ConfigurationError: the account is in hedge mode.
        """
        if not self._opened:
            self._currency = currency
            await self._setup.check()
            self._listener = self._new_listener()
            await self._listener.connect()
            self._opened = True
        return await self._setup.wallet(currency)

    async def facts(self) -> AccountFacts:
        """What the key may do, the modes, and the clock; raises VenueDown."""
        return await self._setup.facts(self._currency)

    async def statement(self, since: datetime) -> Sequence[StatementRow]:
        """The account's own statement since then, oldest first; raises VenueDown."""
        return await self._history.statement(since, self._currency)

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        await self._listener.hang_up()
        self._rest.close()
        self._workers.shutdown(wait=False)

    # -- orders -------------------------------------------------------------------------------------

    async def submit(self, order: OrderRequest, at: datetime) -> SubmitReply:
        try:
            request = orders.placing(order)
        except orders.NoSuchOrder as error:
            return Refused(NOT_SENT, str(error))
        if not orders.is_way_out(order):
            try:
                refused = await self._setup.prepare(order, at)
            except VenueDown as error:
                return Unknown(f"before the order: {error}")
            if refused is not None:
                return refused
        if orders.is_attached(order):
            self._lookup.remember(order, at)
        return await self._change(request, at, order.symbol, urgent=orders.is_way_out(order))

    async def cancel(self, order: OrderRequest) -> ChangeReply:
        request = orders.canceling(order)
        reply = await self._change_now(request, order.symbol, urgent=orders.is_way_out(order))
        if orders.is_attached(order) and isinstance(reply, Refused) and NO_POSITION in reply.reason:
            return Accepted(_slot(order.symbol))  # it went with the position
        return reply

    async def amend(
        self, order: OrderRequest, trigger_price: Decimal, quantity: Decimal | None = None
    ) -> ChangeReply:
        try:
            request = orders.moving(order, trigger_price, quantity)
        except orders.NoSuchOrder as error:
            return Refused(NOT_SENT, str(error))
        if orders.is_attached(order):
            self._lookup.moved(order, trigger_price)
        return await self._change_now(request, order.symbol, urgent=True)

    async def lookup(self, order: OrderRequest) -> LookupReply:
        try:
            return await self._lookup.find(order)
        except VenueDown as error:
            return Unknown(str(error))

    # -- by name ------------------------------------------------------------------------------------

    async def cancel_all_orders(self, symbol: Symbol) -> ChangeReply:
        """Cancel everything that stands for a symbol, the position's own stop included."""
        params = {"category": CATEGORY, "symbol": messages.spelled(symbol)}
        return await self._change_now(Request("cancel_all_orders", params), symbol, urgent=True)

    async def set_trading_stop(
        self,
        symbol: Symbol,
        *,
        stop_loss: Decimal | None = None,
        take_profit: Decimal | None = None,
        trailing_stop: Decimal | None = None,
        activation: Decimal | None = None,
    ) -> ChangeReply:
        """Set what belongs to the position; 0 cancels, None leaves as it is."""
        request = orders.trading_stop(
            symbol,
            stop_loss=stop_loss,
            take_profit=take_profit,
            trailing=trailing_stop,
            activation=activation,
        )
        return await self._change_now(request, symbol, urgent=True)

    async def amend_order(
        self,
        order: OrderRequest,
        *,
        trigger_price: Decimal | None = None,
        quantity: Decimal | None = None,
        price: Decimal | None = None,
    ) -> ChangeReply:
        """Change a standing order that has an id of ours; what is None stays."""
        return await self._change_now(
            orders.amending(order, trigger_price, quantity, price), order.symbol, urgent=True
        )

    async def place_trailing_stop(
        self, symbol: Symbol, distance: Decimal, activation: Decimal | None = None
    ) -> ChangeReply:
        """Let the position's stop trail at an amount of price, from `activation` on if it is given."""
        return await self.set_trading_stop(symbol, trailing_stop=distance, activation=activation)

    # -- one request, one reply ---------------------------------------------------------------------

    async def _change_now(self, request: Request, symbol: Symbol, *, urgent: bool) -> ChangeReply:
        try:
            at = await self._rest.now()
        except VenueDown as error:
            return Unknown(str(error))
        return await self._change(request, at, symbol, urgent=urgent)

    async def _change(self, request: Request, at: datetime, symbol: Symbol, *, urgent: bool) -> ChangeReply:
        witness = self._listener.witness
        frames = witness.frames_of(symbol)
        try:
            answer = await self._rest.change(request.method, request.params, at, urgent=urgent)
        except NotSent as error:
            return Refused(NOT_SENT, str(error))
        except (NoAnswer, UnreadableFrame) as error:
            return Unknown(str(error))
        reply = reply_of(request.method, answer, symbol)
        if isinstance(reply, Accepted) and answer.code == 0:
            if request.method == "place_order":
                witness.accepted_order(reply.venue_order_id)
            elif request.method == "set_trading_stop":
                witness.changed_stop(symbol, frames)
        return reply

    # -- what is told -------------------------------------------------------------------------------

    async def updates(self, after: int) -> Sequence[VenueUpdate]:
        await self._listener.catch_up()
        return self._stream.take(after)

    async def backfill(self, since: datetime, symbols: Sequence[Symbol]) -> None:
        await self._fill_up(since, symbols)

    async def _fill_up(self, since: datetime, symbols: Sequence[Symbol] = ()) -> None:
        """What happened since then; and if anything did, the wallet after it."""
        if not await self._history.fill_up(since, symbols):
            return
        at, wallet = await self._rest.now(), await self._setup.wallet(self._currency)
        key = f"wallet:{wallet}/{int(at.timestamp() * 1000)}"
        self._stream.offer([VenueUpdate(0, at, UpdateKind.BALANCE, wallet=wallet, reason="wallet", key=key)])

    async def open_orders(self) -> Sequence[VenueOrder]:
        rows = await self._rest.pages(
            "get_open_orders", category=CATEGORY, settleCoin=SETTLE_COIN, openOnly=0, limit=_PAGE
        )
        return self._read("an order", messages.standing_order, rows)

    async def positions(self) -> Sequence[VenuePosition]:
        """What is held. Where the stream told otherwise, it has a gap, which the next `updates` fills."""
        rows = await self._rest.pages("get_positions", category=CATEGORY, settleCoin=SETTLE_COIN, limit=200)
        held = [p for p in self._read("a position", messages.position, rows) if p is not None]
        sizes = {position.symbol: position.quantity for position in held}
        if not self._fits(sizes) and await self._listener.is_read():
            self._listener.witness.is_silent = not await self._listener.comes_true(lambda: self._fits(sizes))
        return held

    def _fits(self, sizes: Mapping[Symbol, Decimal]) -> bool:
        """Whether the stream told the same positions as far as it told any."""
        witness = self._listener.witness
        symbols = {*sizes, *witness.sizes()}
        return all(witness.agrees_on(symbol, sizes.get(symbol, Decimal(0))) for symbol in symbols)

    @staticmethod
    def _read(what: str, read: Callable[[Row], T], rows: Sequence[Row]) -> list[T]:
        """A state with a hole in it is no state: one row that cannot be read, and nothing can be said."""
        try:
            return [read(row) for row in rows]
        except UnreadableFrame as error:
            raise VenueDown(f"Bybit sent {what} that cannot be read: {error}") from error


def _slot(symbol: Symbol) -> str:
    """The name of what belongs to a position: setting it is answered without an id."""
    return f"position/{symbol}"


def reply_of(method: str, answer: Answer, symbol: Symbol) -> Accepted | Refused | Unknown:
    """What an answer to a change means."""
    match proof(method, answer.status, answer.code, answer.message):
        case Proof.REFUSED:
            return Refused(str(answer.code), answer.message)
        case Proof.UNKNOWN:
            return Unknown(f"{answer.code} {answer.message}")
        case Proof.DONE:
            if "orderId" not in answer.result:
                return Accepted(_slot(symbol))
    try:
        return Accepted(text_of(answer.result, "orderId"))
    except UnreadableFrame as error:
        return Unknown(f"an answer without an order: {error}")
