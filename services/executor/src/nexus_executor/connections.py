"""The brokers of the accounts: made once, connected when first needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal

from nexus_common.contracts.session import AccountSpec
from nexus_common.contracts.values import AccountId
from nexus_common.runtime.errors import ConfigurationError
from nexus_executor.domain.traits import TRAITS, VenueTraits
from nexus_executor.domain.view import View
from nexus_executor.venues.broker import Broker, VenueDown, VenueUpdate


class Unusable(VenueDown):
    """An account that cannot be traded as it is set up: its owner is told, other accounts go on."""


class Connections:
    """One broker for each account of one executor."""

    def __init__(self, view: View, make: Callable[[AccountSpec], Broker]) -> None:
        self._view = view
        self._make = make
        self._open: dict[AccountId, Broker] = {}
        # Made, but not answering so far.
        self._unopened: dict[AccountId, Broker] = {}

    async def broker(self, account: AccountId) -> Broker:
        """The connected broker of an account; raises VenueDown."""
        if account not in self._open:
            await self.open(account)
        return self._open[account]

    async def hear(self, account: AccountId, after: int) -> Sequence[VenueUpdate] | VenueDown:
        """Its venue's messages behind a number, or why there are none."""
        try:
            return await (await self.broker(account)).updates(after)
        except VenueDown as error:
            return error

    async def open(self, account: AccountId) -> Decimal:
        """Connect an account; returns its wallet as its venue states it then. Raises VenueDown or Unusable."""
        spec = self._view.accounts[account].spec
        try:
            broker = self._open.get(account) or self._made(account)
            wallet = await broker.open(spec.currency, spec.balance)
        except ConfigurationError as error:
            raise Unusable(str(error)) from error
        self._open[account] = broker
        self._unopened.pop(account, None)
        return wallet

    def traits(self, account: AccountId) -> VenueTraits:
        """What an account's venue can do, whether it answers or not."""
        try:
            return (self._open.get(account) or self._made(account)).traits
        except ConfigurationError:
            return TRAITS[self._view.accounts[account].spec.venue]

    def is_conclusive(self, account: AccountId) -> bool:
        """Whether its venue keeps every message and answers for certain."""
        return (self._open.get(account) or self._made(account)).conclusive_lookup

    def _made(self, account: AccountId) -> Broker:
        if account not in self._unopened:
            self._unopened[account] = self._make(self._view.accounts[account].spec)
        return self._unopened[account]
