"""Brokers in front of a venue's broker: what paper and live accounts need beside the venue's protocol."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final, TypeVar

from nexus_common.contracts.values import AccountId, Symbol
from nexus_common.runtime.ports import Clock
from nexus_executor.domain.traits import VenueTraits
from nexus_executor.venues.broker import (
    Broker,
    ChangeReply,
    LookupReply,
    OrderRequest,
    Refused,
    SubmitReply,
    Unknown,
    VenueDown,
    VenueOrder,
    VenuePosition,
    VenueUpdate,
)
from nexus_executor.venues.paper import Gateway

# Entries are decided on closed candles, within seconds; an older turn is a played market or a late catch-up.
STALE_AFTER: Final = timedelta(seconds=60)


# What a parser raises over an answer that nobody foresaw.
_MISREAD: Final = (LookupError, ValueError, ArithmeticError)
_T = TypeVar("_T")


class Relayed:
    """Hands everything on. An answer that breaks a parser is a venue's silence, not the end of other accounts."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    @property
    def traits(self) -> VenueTraits:
        return self._broker.traits

    @property
    def conclusive_lookup(self) -> bool:
        return self._broker.conclusive_lookup

    async def open(self, currency: str, balance: Decimal | None) -> Decimal:
        return await _read(self._broker.open(currency, balance))

    async def submit(self, order: OrderRequest, at: datetime) -> SubmitReply:
        return await _replied(self._broker.submit(order, at))

    async def cancel(self, order: OrderRequest) -> ChangeReply:
        return await _replied(self._broker.cancel(order))

    async def amend(
        self, order: OrderRequest, trigger_price: Decimal, quantity: Decimal | None = None
    ) -> ChangeReply:
        return await _replied(self._broker.amend(order, trigger_price, quantity))

    async def lookup(self, order: OrderRequest) -> LookupReply:
        return await _replied(self._broker.lookup(order))

    async def updates(self, after: int) -> Sequence[VenueUpdate]:
        return await _read(self._broker.updates(after))

    async def backfill(self, since: datetime, symbols: Sequence[Symbol]) -> None:
        await _read(self._broker.backfill(since, symbols))

    async def open_orders(self) -> Sequence[VenueOrder]:
        return await _read(self._broker.open_orders())

    async def positions(self) -> Sequence[VenuePosition]:
        return await _read(self._broker.positions())

    async def close(self) -> None:
        await self._broker.close()


async def _read(question: Awaitable[_T]) -> _T:
    try:
        return await question
    except _MISREAD as error:
        raise VenueDown(f"an answer of the venue could not be read ({type(error).__name__})") from error


async def _replied(request: Awaitable[_T]) -> _T | Unknown:
    try:
        return await request
    except _MISREAD as error:
        return Unknown(f"an answer of the venue could not be read ({type(error).__name__})")


class SimulatedAccount(Relayed):
    """A paper account that speaks its venue's protocol: the exchange opens it before the venue's broker logs in."""

    def __init__(self, broker: Broker, account: AccountId, gateway: Gateway, epoch: int) -> None:
        super().__init__(broker)
        self._account = account
        self._gateway = gateway
        self._epoch = epoch

    async def open(self, currency: str, balance: Decimal | None) -> Decimal:
        await self._gateway.open(self._account, self._epoch, currency, balance)
        return await super().open(currency, balance)


class LiveAccount(Relayed):
    """A live account enters at live prices only: an order that opens exposure in an old turn does not leave."""

    def __init__(self, broker: Broker, account: AccountId, wall: Clock) -> None:
        super().__init__(broker)
        self._account = account
        self._wall = wall

    async def submit(self, order: OrderRequest, at: datetime) -> SubmitReply:
        if not (order.reduce_only or order.close_position) and abs(self._wall.now() - at) > STALE_AFTER:
            return Refused(
                "stale-turn",
                f"the turn is of {at:%Y-%m-%d %H:%M:%S} and {self._account} is a live account, "
                f"which enters at prices of the last {STALE_AFTER.seconds} s only",
            )
        return await super().submit(order, at)
