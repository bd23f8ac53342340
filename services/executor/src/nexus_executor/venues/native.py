"""The venues that are reached through their vendors' SDKs: a line each.

A vendor's SDK is imported when the first account of its venue is traded; who trades on none pays for none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Final, Protocol
from urllib.parse import urlsplit

from nexus_common.contracts.values import AccountId, Venue
from nexus_common.runtime.settings import NexusSettings
from nexus_executor.credentials import Keys
from nexus_executor.venues.access import Access, TurnClock
from nexus_executor.venues.broker import Broker
from nexus_executor.venues.facts import AccountFacts, StatementRow
from nexus_executor.venues.rate_budget import RateBudget
from nexus_market.exchange.wire import simulated_secret


class NativeBroker(Broker, Protocol):
    """A broker that can also tell what the venue says about the account itself."""

    async def facts(self) -> AccountFacts:
        """Permissions, modes, leverage and clock; to be asked after `open`. Raises VenueDown."""

    async def statement(self, since: datetime) -> Sequence[StatementRow]:
        """Every change of the wallet since then, oldest first, as the venue states it. Raises VenueDown."""


def _binance(access: Access, clock: TurnClock, budget: RateBudget | None) -> NativeBroker:
    from nexus_executor.venues.binance import BinanceBroker

    return BinanceBroker(access, clock, budget)


def _bybit(access: Access, clock: TurnClock, budget: RateBudget | None) -> NativeBroker:
    from nexus_executor.venues.bybit import BybitBroker

    return BybitBroker(access, clock, budget)


def _alpaca(access: Access, clock: TurnClock, budget: RateBudget | None) -> NativeBroker:
    from nexus_executor.venues.alpaca import AlpacaBroker

    return AlpacaBroker(access, clock, budget)


NATIVE: Final[Mapping[Venue, Callable[[Access, TurnClock, RateBudget | None], NativeBroker]]] = (
    MappingProxyType({Venue.BINANCE: _binance, Venue.BYBIT: _bybit, Venue.ALPACA: _alpaca})
)
# What a venue grants an address, whoever asks from it: weight and seconds. Alpaca counts by account.
ADDRESS_LIMITS: Final = MappingProxyType({Venue.BINANCE: (2_400, 60), Venue.BYBIT: (600, 5)})


class AddressBudgets:
    """One budget for all accounts that reach a venue from the same address."""

    def __init__(self) -> None:
        self._known: dict[tuple[Venue, str | None], RateBudget] = {}

    def of(self, venue: Venue, access: Access) -> RateBudget | None:
        """None where the venue does not count by address."""
        limit = ADDRESS_LIMITS.get(venue)
        if limit is None:
            return None
        return self._known.setdefault((venue, access.proxy), RateBudget(*limit))


def live_access(settings: NexusSettings, account: AccountId, venue: Venue, keys: Keys) -> Access:
    """The way to an account at the venue itself."""
    chosen = settings.venues.of(venue)
    live = venue is not Venue.ALPACA or settings.venues.alpaca.live
    rest, stream = chosen.rest_url, chosen.stream_url
    if venue is Venue.ALPACA:
        rest = settings.venues.alpaca.trading_url
        stream = stream or f"wss://{settings.venues.alpaca.host}"
    return Access(
        account=account,
        key=keys.key,
        secret=keys.secret,
        rest_url=rest,
        stream_url=stream,
        live=live,
        proxy=chosen.proxy,
        timeout_seconds=chosen.timeout_seconds,
        receive_window_seconds=chosen.receive_window_seconds,
    )


def simulated_access(settings: NexusSettings, account: AccountId, venue: Venue) -> Access:
    """The way to a paper account at the simulated exchange, by the venue's own protocol."""
    rest = settings.exchange.venue_url(venue)
    parts = urlsplit(rest)
    return Access(
        account=account,
        key=account,
        secret=simulated_secret(account),
        rest_url=rest,
        stream_url=parts._replace(scheme="wss" if parts.scheme == "https" else "ws").geturl(),
        timeout_seconds=settings.exchange.timeout_seconds,
        receive_window_seconds=settings.venues.of(venue).receive_window_seconds,
    )
