"""The simulated venues alone, playing a market to whoever connects."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from nexus_common.contracts.session import AccountSpec
from nexus_common.contracts.values import format_decimal
from nexus_common.runtime.clock import WallClock
from nexus_data.playback import PlayedMarket
from nexus_market.exchange import ExchangeSettings
from nexus_market.exchange.wire import simulated_secret
from nexus_ops.stack.ports import LOOPBACK, require_free
from nexus_simvenue.clock import TimeSource
from nexus_simvenue.journal import RequestJournal
from nexus_simvenue.market.dialects import ADDRESSES
from nexus_simvenue.market.floor import MarketFloor
from nexus_simvenue.market.played import MarketScore
from nexus_simvenue.server import Server, listen
from nexus_simvenue.venues import Venues


@dataclass(frozen=True, slots=True)
class Played:
    """A market, and how many seconds of it pass in one; None as fast as it can."""

    market: PlayedMarket
    speed: float | None


@dataclass(frozen=True, slots=True)
class LoneVenues:
    """Where the venues answer, the accounts that stand open there, and the market, which waits to begin."""

    control: str
    addresses: dict[str, str]
    accounts: tuple[AccountSpec, ...]
    market: MarketFloor | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            **self.addresses,
            "control": self.control,
            "accounts": [
                {
                    "account": each.account,
                    "venue": str(each.venue),
                    "balance": format_decimal(each.balance or Decimal(0)),
                    "currency": each.currency,
                    "key": each.account,
                    "secret": simulated_secret(each.account),
                }
                for each in self.accounts
            ],
        }


@asynccontextmanager
async def lone_venues(
    folder: Path,
    port: int,
    source: TimeSource,
    accounts: Iterable[AccountSpec],
    played: Played | None = None,
) -> AsyncIterator[LoneVenues]:
    """Start the server; the addresses take the ports behind the control's, or free ones with port 0.

    What is `played` streams to whoever listens, and is what orders are matched against.

    Raises:
        ConfigurationError: a port is taken.
    """
    ports = {name: port and port + number for number, name in enumerate(ADDRESSES, start=1)}
    for wanted in (port, *ports.values()) if port else ():
        require_free(wanted, "the simulated venues")
    async with AsyncExitStack() as closing:
        journal = RequestJournal(folder / "journal.jsonl", {"seed": 0})
        closing.callback(journal.close)
        server = Server(Venues(ExchangeSettings()), journal, WallClock(), source)
        if played is not None:
            server.play(MarketScore(played.market, played.speed, server.match), played.speed)
        listening = await listen(server, LOOPBACK, port)
        closing.callback(listening.close)
        closing.push_async_callback(server.hush)
        await server.speak(LOOPBACK, ports)
        opened = tuple(accounts)
        for account in opened:
            server.work("open_account", _opening(account))
        control = f"http://{LOOPBACK}:{listening.sockets[0].getsockname()[1]}"
        yield LoneVenues(control, dict(server.addresses), opened, server.market)


def _opening(account: AccountSpec) -> dict[str, Any]:
    return {
        "venue": str(account.venue),
        "account": account.account,
        "epoch": 0,
        "currency": account.currency,
        "balance": format_decimal(account.balance or Decimal(0)),
    }
