"""All services in one process, trading by the venues' own protocols at simulated venues over sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from nexus_common.contracts.values import Venue
from nexus_common.runtime.exchange_client import ExchangeClient
from nexus_common.runtime.settings import NexusSettings
from nexus_data.market_feed import Step
from nexus_data.playback import PlayedMarket
from nexus_executor import bootstrap as executor
from nexus_ingest import bootstrap as ingest
from nexus_ops.composition import LocalHouse
from nexus_ops.lone_venues import lone_venues
from nexus_simvenue.clock import TimeSource


@asynccontextmanager
async def native_house(
    settings: NexusSettings, market: PlayedMarket, folder: Path
) -> AsyncIterator[tuple[LocalHouse, NexusSettings]]:
    """A house whose executor speaks through the vendors' SDKs, and its settings with the venues' addresses.

    Everything else is as in a `LocalHouse`. `folder` takes the exchange's journal.
    """
    async with AsyncExitStack() as closing:
        venues = await closing.enter_async_context(lone_venues(folder, 0, TimeSource.MARKET, ()))
        addresses = {f"{venue}_url": venues.addresses[venue] for venue in Venue if venue in venues.addresses}
        exchange = settings.exchange.model_copy(
            update={"url": venues.control, "protocol": "native", **addresses}
        )
        there = settings.model_copy(update={"exchange": exchange})
        client = ExchangeClient(venues.control, name="ingest", timeout=60.0)
        closing.push_async_callback(client.close)

        async def match(step: Step) -> None:
            await ingest.tell(client, market, step)

        trader = executor.connected(there, "executor", 1, closing)
        house = LocalHouse(there, market, trader=trader, match=match)
        await house.open()
        yield house, there
