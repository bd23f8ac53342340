"""The venues whose market data is read live, and how each one's feed is made from settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from nexus_common.contracts.values import Venue
from nexus_common.runtime.settings_sections import FeedsSettings, VenuesSettings
from nexus_ingest.venues.binance.feed import binance_feed
from nexus_ingest.venues.bybit.feed import bybit_feed
from nexus_ingest.venues.feed import Feed
from nexus_ingest.venues.socket import Patience
from nexus_ingest.venues.stock_feed import stock_feed

FEEDS: Final[Mapping[Venue, Callable[[FeedsSettings, VenuesSettings], Feed]]] = MappingProxyType(
    {
        Venue.BINANCE: lambda feeds, venues: binance_feed(feeds.symbols, venues.binance, Patience.of(feeds)),
        Venue.BYBIT: lambda feeds, venues: bybit_feed(feeds.symbols, venues.bybit, Patience.of(feeds)),
        Venue.ALPACA: lambda feeds, venues: stock_feed(feeds, venues.alpaca, Patience.of(feeds)),
    }
)
