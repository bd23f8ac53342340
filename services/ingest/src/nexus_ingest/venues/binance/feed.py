"""Binance's connections: two kinds of addresses, at most 200 streams on each connection.

Source: Binance documentation, USDⓈ-M Futures, WebSocket Market Streams (since 2026-03: `/public` for book tops and
trades, `/market` for all else; what is asked for at the other's address is never said). A connection is cut after
24 hours and may send 10 messages a second; an address that names its streams needs none.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

from nexus_common.contracts.values import Symbol, Timeframe, Venue
from nexus_common.runtime.settings_sections import VenueSettings
from nexus_ingest.venues.binance.frames import BinanceTalk
from nexus_ingest.venues.binance.rest import BinanceRest
from nexus_ingest.venues.connection import Line
from nexus_ingest.venues.perpetuals import PerpetualsFeed, chunks
from nexus_ingest.venues.socket import Patience

STREAMS_MAX: Final = 200
STREAMS: Final = {
    "public": ("trade", "bookTicker"),
    "market": ("markPrice@1s", *(f"kline_{timeframe}" for timeframe in Timeframe)),
}


def binance_feed(symbols: Sequence[Symbol], at: VenueSettings, patience: Patience) -> PerpetualsFeed:
    return PerpetualsFeed(Venue.BINANCE, lines(symbols, at), BinanceRest(at), patience)


def lines(symbols: Sequence[Symbol], at: VenueSettings) -> list[Line]:
    """`public-1`, `market-1`, `market-2` …; all streams of a kind of one instrument are on one connection."""
    talk = partial(BinanceTalk, {symbol: symbol for symbol in symbols})
    return [
        Line(f"{kind}-{number}", _url(at.stream_url, kind, chunk), talk, at.proxy)
        for kind, streams in STREAMS.items()
        for number, chunk in enumerate(chunks(symbols, STREAMS_MAX // len(streams)), 1)
    ]


def _url(base: str, kind: str, symbols: Sequence[Symbol]) -> str:
    streams = "/".join(f"{symbol.lower()}@{stream}" for symbol in symbols for stream in STREAMS[kind])
    return f"{base.rstrip('/')}/{kind}/stream?streams={streams}"
