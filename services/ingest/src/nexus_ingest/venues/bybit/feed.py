"""Bybit's connections: all topics of an instrument and kind on one, which the venue asks to ping every 20 s.

Source: Bybit V5 documentation, WebSocket Stream, Connect: the topics of a connection together have at most 21,000
characters; only spot limits those of one request.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

from nexus_common.contracts.values import Symbol, Venue
from nexus_common.runtime.settings_sections import VenueSettings
from nexus_ingest.venues.bybit.frames import INTERVALS, BybitTalk
from nexus_ingest.venues.bybit.rest import BybitRest
from nexus_ingest.venues.connection import Line
from nexus_ingest.venues.perpetuals import PerpetualsFeed, chunks, spelled
from nexus_ingest.venues.socket import Patience

# 100 instruments with topics of up to 6 * 30 characters are below the limit.
_INSTRUMENTS_MAX: Final = 100
_PING_SECONDS: Final = 20.0
TOPICS: Final = {
    "public": ("publicTrade", "orderbook.1"),
    "market": ("tickers", *(f"kline.{interval}" for interval in INTERVALS.values())),
}


def bybit_feed(symbols: Sequence[Symbol], at: VenueSettings, patience: Patience) -> PerpetualsFeed:
    rest = BybitRest(at, spelled(Venue.BYBIT, symbols))
    return PerpetualsFeed(Venue.BYBIT, lines(symbols, at), rest, patience)


def lines(symbols: Sequence[Symbol], at: VenueSettings) -> list[Line]:
    """`public-1`, `market-1` …"""
    names = {name: symbol for symbol, name in spelled(Venue.BYBIT, symbols).items()}
    url = f"{at.stream_url.rstrip('/')}/v5/public/linear"
    return [
        Line(
            f"{kind}-{number}",
            url,
            partial(BybitTalk, names, {name: [f"{topic}.{name}" for topic in topics] for name in chunk}),
            at.proxy,
            ping_seconds=_PING_SECONDS,
        )
        for kind, topics in TOPICS.items()
        for number, chunk in enumerate(chunks(tuple(names), _INSTRUMENTS_MAX), 1)
    ]
