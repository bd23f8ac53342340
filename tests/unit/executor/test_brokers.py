"""Which broker trades an account, and what stands in front of a live one."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from nexus_common.contracts.order import OrderKind
from nexus_common.contracts.session import AccountSpec
from nexus_common.contracts.values import AccountId, ClientOrderId, Side, Symbol, Venue
from nexus_common.runtime.clock import WallClock
from nexus_common.runtime.errors import ConfigurationError
from nexus_common.runtime.settings import NexusSettings, load
from nexus_executor.bootstrap import Brokers, rules
from nexus_executor.credentials import Keys
from nexus_executor.domain.traits import TRAITS
from nexus_executor.venues.access import TurnClock
from nexus_executor.venues.broker import Accepted, OrderRequest, Refused
from nexus_executor.venues.native import NATIVE, AddressBudgets, live_access, simulated_access
from nexus_executor.venues.paper import LocalGateway, PaperBroker
from nexus_executor.venues.relayed import LiveAccount, SimulatedAccount
from nexus_market.exchange import Exchange, Ohlcv
from nexus_market.instruments import DEFAULT_INSTRUMENTS

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
BTC = Symbol("BTCUSDT")
PAPER = AccountId("owner.binance.paper")
KEYS = Keys("key-of-his", "secret-of-his")


class Fixed:
    """A clock that stands."""

    def now(self) -> datetime:
        return NOON


def spec(venue: Venue, paper: bool = True) -> AccountSpec:
    name = AccountId(f"owner.{venue}.{'paper' if paper else 'live'}")
    return AccountSpec(account=name, venue=venue, paper=paper, currency="USDT", balance=Decimal(10_000))


def brokers(settings: NexusSettings) -> Brokers:
    exchange = Exchange(DEFAULT_INSTRUMENTS[Venue.BINANCE])
    return Brokers(settings, lambda venue: LocalGateway(exchange), 1, TurnClock(), WallClock())


@pytest.mark.parametrize("venue", list(Venue))
def test_paper_accounts_want_the_same_orders_by_either_protocol(venue: Venue) -> None:
    paper = brokers(load(environment={}))(spec(venue))
    native = brokers(load({"exchange": {"protocol": "native"}}, environment={}))(spec(venue))
    assert isinstance(paper, PaperBroker)
    assert isinstance(native, SimulatedAccount)
    assert paper.traits == native.traits == TRAITS[venue]


def test_a_live_account_without_keys_is_refused_with_what_to_do() -> None:
    with pytest.raises(ConfigurationError, match=r"owner.binance.live is a live account and has no keys"):
        brokers(load(environment={}))(spec(Venue.BINANCE, paper=False))


@pytest.mark.parametrize("venue", list(Venue))
def test_a_live_account_goes_to_the_venue_itself(venue: Venue, tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    path.write_text(f'["owner.{venue}.live"]\nkey = "key"\nsecret = "secret"\n')
    path.chmod(0o600)
    settings = load({"executor": {"credentials_file": path}}, environment={})
    assert isinstance(brokers(settings)(spec(venue, paper=False)), LiveAccount)


@pytest.mark.parametrize(
    ("venue", "live", "rest", "stream"),
    [
        (Venue.BINANCE, False, "https://fapi.binance.com", "wss://fstream.binance.com"),
        (Venue.BYBIT, False, "https://api.bybit.com", "wss://stream.bybit.com"),
        (Venue.ALPACA, False, "https://paper-api.alpaca.markets", "wss://paper-api.alpaca.markets"),
        (Venue.ALPACA, True, "https://api.alpaca.markets", "wss://api.alpaca.markets"),
    ],
)
def test_addresses_are_the_venues_own(venue: Venue, live: bool, rest: str, stream: str) -> None:
    chosen = {"proxy": "http://proxy:1", **({"live": True} if live else {})}
    settings = load({"venues": {str(venue): chosen}}, environment={})
    access = live_access(settings, AccountId("owner.live"), venue, KEYS)
    assert (access.rest_url, access.stream_url, access.proxy) == (rest, stream, "http://proxy:1")
    assert access.live is (venue is not Venue.ALPACA or live)
    assert KEYS.secret not in repr(access)


def test_a_simulated_account_speaks_over_the_scheme_of_its_exchange() -> None:
    settings = load({"exchange": {"bybit_url": "https://sim:1"}}, environment={})
    access = simulated_access(settings, PAPER, Venue.BYBIT)
    assert (access.rest_url, access.stream_url) == ("https://sim:1", "wss://sim:1")
    assert simulated_access(settings, PAPER, Venue.BINANCE).stream_url == "ws://127.0.0.1:8701"
    assert (access.key, len(access.secret), access.live) == (PAPER, 64, False)


def test_accounts_behind_one_address_share_what_the_venue_grants_it() -> None:
    budgets, settings = AddressBudgets(), load(environment={})
    one, other = (simulated_access(settings, AccountId(name), Venue.BINANCE) for name in ("a", "b"))
    shared = budgets.of(Venue.BINANCE, one)
    assert shared is not None
    assert budgets.of(Venue.BINANCE, other) is shared
    assert budgets.of(Venue.BINANCE, replace(other, proxy="http://proxy:1")) is not shared
    assert budgets.of(Venue.BYBIT, one) is not shared
    assert budgets.of(Venue.ALPACA, one) is None


def test_an_unresolved_order_waits_for_the_longest_window_of_any_venue() -> None:
    settings = load({"venues": {"bybit": {"receive_window_seconds": 9}}}, environment={})
    assert rules(settings).receive_window_seconds == 9


def test_who_trades_by_the_exchanges_own_protocol_imports_no_sdk() -> None:
    code = (
        "import sys, nexus_executor.bootstrap\n"
        "print([name for name in ('ccxt', 'pybit', 'alpaca') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert set(NATIVE) == set(Venue)


ENTRY = OrderRequest(ClientOrderId("nx1a"), BTC, Side.BUY, OrderKind.MARKET, Decimal("0.01"))
WAY_OUT = replace(ENTRY, client_order_id=ClientOrderId("nx1b"), side=Side.SELL, reduce_only=True)


async def test_a_live_account_enters_at_live_prices_only() -> None:
    exchange = Exchange(DEFAULT_INSTRUMENTS[Venue.BINANCE])
    bar = Ohlcv(*[Decimal(60_000)] * 4, volume=Decimal(100))
    exchange.step(NOON, {BTC: bar}, {BTC: bar})
    live = LiveAccount(PaperBroker(PAPER, LocalGateway(exchange), 1), PAPER, Fixed())
    await live.open("USDT", Decimal(10_000))
    for old in (NOON - timedelta(seconds=61), NOON + timedelta(seconds=61)):
        refused = await live.submit(ENTRY, old)
        assert isinstance(refused, Refused)
        assert refused.code == "stale-turn"
    assert isinstance(await live.submit(ENTRY, NOON - timedelta(seconds=60)), Accepted)
    (held,) = await live.positions()
    assert held.quantity == Decimal("0.01")
    assert isinstance(await live.submit(WAY_OUT, NOON - timedelta(days=1)), Accepted)
    assert await live.positions() == []


async def test_a_simulated_account_is_opened_at_the_exchange_first() -> None:
    exchange = Exchange(DEFAULT_INSTRUMENTS[Venue.BINANCE])
    gateway = LocalGateway(exchange)
    # Whoever logs in by a venue's own protocol finds the account there, and opens none.
    native = PaperBroker(PAPER, gateway, 7)
    broker = SimulatedAccount(native, PAPER, gateway, 7)
    assert await broker.open("USDT", Decimal(10_000)) == Decimal(10_000)
    assert exchange.account(PAPER).epoch == 7
