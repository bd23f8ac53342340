"""The simulated exchange is told the market that it matches on."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

from nexus_common.contracts.instrument import Instrument
from nexus_common.contracts.values import Symbol, Venue
from nexus_common.runtime.exchange_client import ExchangeClient, ExchangeDown, ExchangeUnanswered
from nexus_market.candles import Ohlcv
from nexus_market.exchange.wire import encode_step

RETRY_SECONDS = 0.2


async def tell_step(
    exchange: ExchangeClient,
    venue: Venue,
    at: datetime,
    bars: Mapping[Symbol, Ohlcv],
    next_bars: Mapping[Symbol, Ohlcv],
    funding: Mapping[Symbol, Decimal],
) -> None:
    """Have the exchange match a step at a venue, until it has; asked again it answers the same."""
    await _call(exchange, "step", {"venue": str(venue), **encode_step(at, bars, next_bars, funding)})


async def tell_listing(exchange: ExchangeClient, venue: Venue, instruments: tuple[Instrument, ...]) -> None:
    """Have the exchange trade what the venue lists, in its steps."""
    listed = [instrument.model_dump(mode="json") for instrument in instruments]
    await _call(exchange, "list_instruments", {"venue": str(venue), "instruments": listed})


async def _call(exchange: ExchangeClient, method: str, request: Mapping[str, object]) -> None:
    while True:
        try:
            await exchange.call(method, request)
        except (ExchangeDown, ExchangeUnanswered):
            await asyncio.sleep(RETRY_SECONDS)
            continue
        return
