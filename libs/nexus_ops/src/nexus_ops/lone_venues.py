"""The simulated venues alone, playing a market to whoever connects."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from nexus_common.contracts.session import AccountSpec
from nexus_common.contracts.values import Venue, format_decimal
from nexus_common.runtime.clock import WallClock
from nexus_common.runtime.exchange_client import ExchangeClient
from nexus_data.playback import PlayedMarket
from nexus_ingest import bootstrap as ingest
from nexus_market.exchange import ExchangeSettings
from nexus_market.exchange.wire import simulated_secret
from nexus_ops.stack.ports import LOOPBACK, require_free
from nexus_simvenue.clock import TimeSource
from nexus_simvenue.journal import RequestJournal
from nexus_simvenue.server import Server, listen
from nexus_simvenue.venues import Venues

Advance = Callable[[datetime], None]


@dataclass(frozen=True, slots=True)
class LoneVenues:
    """Where the venues answer, and the accounts that stand open there."""

    control: str
    addresses: dict[str, str]
    accounts: tuple[AccountSpec, ...]

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
    folder: Path, port: int, source: TimeSource, accounts: Iterable[AccountSpec]
) -> AsyncIterator[LoneVenues]:
    """Start the server; the venues' protocols take the ports behind the control's, or free ones with port 0.

    Raises:
        ConfigurationError: a port is taken.
    """
    ports = {venue: port and port + number for number, venue in enumerate(Venue, start=1)}
    for wanted in (port, *ports.values()) if port else ():
        require_free(wanted, "the simulated venues")
    async with AsyncExitStack() as closing:
        journal = RequestJournal(folder / "journal.jsonl", {"seed": 0})
        closing.callback(journal.close)
        server = Server(Venues(ExchangeSettings()), journal, WallClock(), source)
        listening = await listen(server, LOOPBACK, port)
        closing.callback(listening.close)
        closing.push_async_callback(server.hush)
        await server.speak(LOOPBACK, ports)
        opened = tuple(accounts)
        for account in opened:
            server.work("open_account", _opening(account))
        control = f"http://{LOOPBACK}:{listening.sockets[0].getsockname()[1]}"
        yield LoneVenues(control, dict(server.addresses), opened)


def _opening(account: AccountSpec) -> dict[str, Any]:
    return {
        "venue": str(account.venue),
        "account": account.account,
        "epoch": 0,
        "currency": account.currency,
        "balance": format_decimal(account.balance or Decimal(0)),
    }


async def play(
    market: PlayedMarket, control: str, pace: ingest.Pace, stop: asyncio.Event, advance: Advance
) -> bool:
    """Have the venues match the market step by step; False when it was stopped before the end."""
    client = ExchangeClient(control, name="simvenue", timeout=60.0)
    try:
        for step in market.steps():
            await _or_stop(pace(step.at), stop)
            if stop.is_set():
                return False
            await ingest.tell(client, market, step)
            advance(step.at)
    finally:
        await client.close()
    return True


async def _or_stop(waiting: Any, stop: asyncio.Event) -> None:
    """Wait for the next step's time, unless somebody wants to stop first."""
    tasks = [asyncio.ensure_future(waiting), asyncio.ensure_future(stop.wait())]
    _, left = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in left:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
