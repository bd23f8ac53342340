"""Where brokers are tried: the exchange's server in this process, on loopback, and a row for each venue.

The market moves only when a test says so, and its time is the venue's time.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from nexus_common.contracts.values import AccountId, Symbol, Venue
from nexus_common.runtime.clock import WallClock
from nexus_common.runtime.exchange_client import ExchangeClient
from nexus_executor.domain.traits import TRAITS, VenueTraits
from nexus_executor.venues.access import Access, TurnClock
from nexus_executor.venues.broker import Broker
from nexus_executor.venues.paper import LocalGateway, PaperBroker, WireGateway
from nexus_market.exchange import ExchangeSettings, Ohlcv
from nexus_market.exchange.wire import encode_step, simulated_secret
from nexus_simvenue.faults import Fault
from nexus_simvenue.journal import RequestJournal
from nexus_simvenue.server import Server, listen
from nexus_simvenue.venues import Venues
from nexus_simvenue.wire.dialect import Dialect
from nexus_simvenue.wire.dialects import DIALECTS
from nexus_simvenue.wire.http import HttpRequest, HttpResponse

# A Monday, in the stock market's hours.
MONDAY: Final = datetime(2025, 6, 2, 15, 0, tzinfo=UTC)
CALM: Final = ExchangeSettings(slippage_bps=Decimal(0), slippage_ticks=0)


class WatchedServer(Server):
    """Every account comes from an address of its own, and how much of their limits they use is noted."""

    share: float = 0.0

    def _http(self, dialect: Dialect, request: HttpRequest) -> HttpResponse:
        named = next((request.headers[name] for name in _KEYS if name in request.headers), request.peer)
        response = super()._http(dialect, replace(request, peer=named))
        self.share = max(self.share, _share(response.headers))
        return response


_KEYS: Final = ("x-mbx-apikey", "x-bapi-api-key", "apca-api-key-id")


def _share(headers: Mapping[str, str]) -> float:
    """How much of its limit an address or account has used, by the venue's own headers."""
    told = {name.lower(): value for name, value in headers.items()}
    if "x-mbx-used-weight-1m" in told:
        return int(told["x-mbx-used-weight-1m"]) / 2_400
    for left, limit in (
        ("x-bapi-limit-status", "x-bapi-limit"),
        ("x-ratelimit-remaining", "x-ratelimit-limit"),
    ):
        if left in told and int(told.get(limit, "0")):
            return 1 - int(told[left]) / int(told[limit])
    return 0.0


class VenueHouse:
    """The server with all venues; `ask` is its control protocol without a socket."""

    def __init__(self, folder: Path, settings: ExchangeSettings = CALM) -> None:
        self._journal = RequestJournal(folder / "journal.jsonl", {})
        self.venues = Venues(settings)
        self.server = WatchedServer(self.venues, self._journal, WallClock())
        self.url = ""
        self.at = MONDAY
        self._clients: list[ExchangeClient] = []

    async def start(self) -> None:
        self._listening = await listen(self.server, "127.0.0.1", 0)
        self.url = f"tcp://127.0.0.1:{self._listening.sockets[0].getsockname()[1]}"
        await self.server.speak("127.0.0.1", {})

    async def stop(self) -> None:
        for client in self._clients:
            await client.close()
        await self.server.hush()
        self._listening.close()
        await self._listening.wait_closed()
        self._journal.close()

    def client(self, timeout: float) -> ExchangeClient:
        """A connection over the exchange's own protocol, closed with the house."""
        client = ExchangeClient(self.url, timeout=timeout)
        self._clients.append(client)
        return client

    def worked(self, account: str) -> int:
        """How much has happened on an account: its venue's messages and orders."""
        for venue in Venue:
            found = self.venues.exchange(venue).accounts.get(account)
            if found is not None:
                return len(found.orders) + len(found.updates)
        return 0

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        return self.server.work(method, params)

    def step(
        self,
        venue: Venue,
        bars: Mapping[Symbol, Ohlcv],
        opening: Mapping[Symbol, Ohlcv],
        seconds: float = 60,
        funding: Mapping[Symbol, Decimal] = MappingProxyType({}),
    ) -> None:
        """Let so much time pass; `bars` closed, `opening` open now."""
        self.at += timedelta(seconds=seconds)
        self.server.work("step", {"venue": str(venue), **encode_step(self.at, bars, opening, funding)})

    def faults(self, *rules: dict[str, Any]) -> None:
        self.ask("faults", rules=list(rules))

    def fired(self) -> list[dict[str, Any]]:
        return list(self.ask("faults_fired")["fired"])

    def proofs(self) -> dict[str, Any]:
        """The ledger and what it proves."""
        self.ask("status")  # what an engine in this process was told directly is noted by the next request
        return self.ask("ledger")

    def ledger(self) -> list[dict[str, Any]]:
        return list(self.proofs()["records"])


@dataclass(frozen=True, slots=True)
class Connection:
    """What a broker is made of."""

    house: VenueHouse
    account: AccountId
    clock: TurnClock
    epoch: int = 1
    timeout: float = 0.5

    def access(self, venue: Venue) -> Access:
        addresses = self.house.server.addresses
        return Access(
            account=self.account,
            key=self.account,
            secret=simulated_secret(self.account),
            rest_url=addresses[str(venue)],
            stream_url=addresses[f"{venue}_ws"],
            timeout_seconds=self.timeout,
        )


@dataclass(frozen=True, slots=True)
class VenueRow:
    """One venue as the tests need it.

    `can_fail`: the faults that its protocol can be given; `codes`: refusals it documents for an order;
    `doubts`: codes that leave the outcome open; `limits`: HTTP statuses that say there were too many requests.
    """

    name: str
    venue: Venue
    make: Callable[[Connection], Broker]
    symbol: Symbol
    multiple: Symbol
    currency: str
    traits: VenueTraits
    can_fail: frozenset[Fault]
    is_native: bool = True
    codes: tuple[str, ...] = ()
    limits: tuple[int, ...] = ()
    doubts: tuple[str, ...] = ()
    ids_are_taken: bool = False

    def open_account(self, house: VenueHouse, account: str, balance: int = 10_000) -> None:
        house.ask(
            "open_account",
            venue=str(self.venue),
            account=account,
            epoch=0,
            currency=self.currency,
            balance=str(balance),
        )


def _local(connection: Connection) -> Broker:
    gateway = LocalGateway(connection.house.venues.exchange(Venue.BINANCE))
    return PaperBroker(connection.account, gateway, connection.epoch)


def _wire(connection: Connection) -> Broker:
    gateway = WireGateway(connection.house.client(connection.timeout), Venue.BINANCE)
    return PaperBroker(connection.account, gateway, connection.epoch)


def _native(venue: Venue, name: str) -> Callable[[Connection], Broker]:
    def make(connection: Connection) -> Broker:
        module = importlib.import_module(f"nexus_executor.venues.{venue}")
        broker: Broker = getattr(module, name)(connection.access(venue), connection.clock)
        return broker

    return make


_TCP = frozenset(
    (
        *(Fault.LOSE_REPLY, Fault.LOSE_REQUEST, Fault.REFUSE, Fault.HANG, Fault.HANG_UNWORKED),
        *(Fault.GARBAGE, Fault.TRUNCATE),
    )
)
_BINANCE_CODES = (
    *("-1008", "-1015", "-1111", "-2010", "-2015", "-2018", "-2019", "-2021", "-2022", "-4003"),
    *("-4014", "-4045", "-4061", "-4120", "-4130", "-4164"),
)
_BYBIT_CODES = (
    *("10001", "10003", "10005", "10006", "10010", "10024", "10027", "110003", "110004", "110007"),
    *("110009", "110013", "110017", "110020", "110023", "110058", "110061", "110066"),
    *("110092", "110093", "110094"),
)
# All that it documents; what it says in words stands under 40310000 and 42210000.
_ALPACA_CODES = (*("40010000", "40110000", "40310000", "40310100", "40410000", "42210000", "42910000"),)
_PAPER_CODES = (
    *("-1111", "-2018", "-2019", "-2021", "-2022", "-4003", "-4014", "-4045", "-4061", "-4120", "-4130"),
    "-4164",
)

ROWS: Final[Mapping[str, VenueRow]] = MappingProxyType(
    {
        row.name: row
        for row in (
            VenueRow(
                name="paper-local",
                venue=Venue.BINANCE,
                make=_local,
                symbol=Symbol("SOLUSDT"),
                multiple=Symbol("1000SHIBUSDT"),
                currency="USDT",
                traits=VenueTraits(),
                can_fail=frozenset(),
                is_native=False,
            ),
            VenueRow(
                name="paper-wire",
                venue=Venue.BINANCE,
                make=_wire,
                symbol=Symbol("SOLUSDT"),
                multiple=Symbol("1000SHIBUSDT"),
                currency="USDT",
                traits=VenueTraits(),
                can_fail=_TCP,
                is_native=False,
                codes=_PAPER_CODES,
            ),
            VenueRow(
                name="binance",
                venue=Venue.BINANCE,
                make=_native(Venue.BINANCE, "BinanceBroker"),
                symbol=Symbol("SOLUSDT"),
                multiple=Symbol("1000SHIBUSDT"),
                currency="USDT",
                traits=TRAITS[Venue.BINANCE],
                can_fail=frozenset(Fault),
                codes=_BINANCE_CODES,
                doubts=("-1000", "-1001", "-1006", "-1007"),
                limits=(429, 418, 403),
                ids_are_taken=True,
            ),
            VenueRow(
                name="bybit",
                venue=Venue.BYBIT,
                make=_native(Venue.BYBIT, "BybitBroker"),
                symbol=Symbol("SOLUSDT"),
                multiple=Symbol("1000SHIBUSDT"),
                currency="USDT",
                traits=TRAITS[Venue.BYBIT],
                can_fail=frozenset(Fault),
                codes=_BYBIT_CODES,
                doubts=("10000", "10016", "10019", "110079"),
                limits=(429, 403),
                ids_are_taken=True,
            ),
            VenueRow(
                name="alpaca",
                venue=Venue.ALPACA,
                make=_native(Venue.ALPACA, "AlpacaBroker"),
                symbol=Symbol("NVDA"),
                multiple=Symbol("SPY"),
                currency="USD",
                traits=TRAITS[Venue.ALPACA],
                can_fail=frozenset(Fault),
                codes=_ALPACA_CODES,
                doubts=("50010000", "50410000"),
                limits=(429,),
                ids_are_taken=True,
            ),
        )
    }
)


def spoken() -> list[VenueRow]:
    """The rows whose protocol the server speaks and whose broker is there."""
    return [row for row in ROWS.values() if not row.is_native or (row.venue in DIALECTS and _has_broker(row))]


def _has_broker(row: VenueRow) -> bool:
    try:
        module = importlib.import_module(f"nexus_executor.venues.{row.venue}")
    except ImportError:
        return False
    return any(name.endswith("Broker") for name in vars(module))


def flat(price: Decimal | str, volume: str = "100000") -> Ohlcv:
    """A bar in which nothing moves."""
    level = Decimal(price)
    return Ohlcv(level, level, level, level, Decimal(volume))


def bar(open_: str, high: str, low: str, close: str, volume: str = "100000") -> Ohlcv:
    return Ohlcv(*map(Decimal, (open_, high, low, close, volume)))
