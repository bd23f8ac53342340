"""The feed of US stocks: one connection, history from who streams them; clock, calendar and listing from Alpaca."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from functools import partial
from typing import Final, Protocol

from pydantic import SecretStr

from nexus_common.contracts.market import Bar, SessionScheduled
from nexus_common.contracts.values import Symbol, Timeframe, Venue
from nexus_common.runtime.errors import ConfigurationError
from nexus_common.runtime.settings_sections import AlpacaSettings, FeedsSettings
from nexus_ingest.venues.alpaca.rest import AlpacaBars, AlpacaTrading
from nexus_ingest.venues.alpaca.talk import PACKED, AlpacaTalk
from nexus_ingest.venues.connection import Line
from nexus_ingest.venues.feed import Listing, Settled, Sink
from nexus_ingest.venues.http import HttpQuestions
from nexus_ingest.venues.polygon.rest import PolygonBars
from nexus_ingest.venues.polygon.talk import PolygonTalk
from nexus_ingest.venues.socket import PATIENT, KeptSockets, Patience
from nexus_market.candles import slot_millis, to_millis

# A key may have one connection, so none can be opened before the old one is gone; neither source cuts by age.
_NO_ROTATION: Final = 10 * 365 * 86_400.0


class StockBars(Protocol):
    async def bars(self, symbol: Symbol, timeframe: Timeframe, first: int, last: int) -> list[Bar]:
        """See `Feed.bars`; whether the last ones have closed is not looked at."""

    async def close(self) -> None: ...


class StockFeed:
    """See `Feed`. Only minutes are streamed."""

    venue = Venue.ALPACA
    timeframes = (Timeframe.M1,)

    def __init__(
        self, line: Line, history: StockBars, trading: AlpacaTrading, patience: Patience = PATIENT
    ) -> None:
        self.sockets = KeptSockets(self.venue, [line], replace(patience, rotation=_NO_ROTATION))
        self._history, self._trading = history, trading
        self._known_now = 0

    async def run(self, sink: Sink) -> None:
        await self.sockets.run(sink)

    def reopen(self, connection: str, reason: str) -> None:
        self.sockets.reopen(connection, reason)

    def memories(self) -> Mapping[str, object]:
        return self.sockets.memories()

    async def bars(self, symbol: Symbol, timeframe: Timeframe, first: int, last: int) -> list[Bar]:
        """A bar has closed if the venue's clock was behind its end before it was asked for."""
        slot = slot_millis(timeframe)
        if last + slot > self._known_now:
            now, _ = await self._trading.server_time()
            self._known_now = max(self._known_now, to_millis(now))
        last = min(last, self._known_now - slot)
        return await self._history.bars(symbol, timeframe, first, last) if first <= last else []

    async def server_time(self) -> tuple[datetime, int]:
        return await self._trading.server_time()

    async def listing(self) -> Listing:
        return await self._trading.listing()

    async def sessions(self, first: date, last: date) -> tuple[SessionScheduled, ...]:
        return await self._trading.sessions(first, last)

    async def settlements(self, symbol: Symbol, first: int, last: int) -> list[Settled]:
        return []

    async def close(self) -> None:
        await self._history.close()
        await self._trading.close()


def stock_feed(feeds: FeedsSettings, at: AlpacaSettings, patience: Patience) -> StockFeed:
    """Streams from whom `feeds.stock_source` names; raises ConfigurationError for a key that is not there."""
    key, secret = _needed(feeds.alpaca_key, "alpaca_key"), _needed(feeds.alpaca_secret, "alpaca_secret")
    asked = {"APCA-API-KEY-ID": key, "APCA-API-SECRET-KEY": secret}
    http = partial(HttpQuestions, proxy=at.proxy)
    trading = AlpacaTrading(http("alpaca", at.trading_url, asked), feeds.stocks)
    if feeds.stock_source == "polygon":
        polygon_key = _needed(feeds.polygon_key, "polygon_key")
        polygon = http("polygon", feeds.polygon_url, {"Authorization": f"Bearer {polygon_key}"})
        line = polygon_line(feeds.stocks, feeds.polygon_stream_url, polygon_key, at.proxy)
        return StockFeed(line, PolygonBars(polygon), trading, patience)
    line = alpaca_line(
        feeds.stocks, f"{feeds.alpaca_stream_url}/v2/{feeds.stock_feed}", key, secret, at.proxy
    )
    data = http("alpaca", feeds.alpaca_data_url, asked)
    return StockFeed(line, AlpacaBars(data, feeds.stock_feed), trading, patience)


def alpaca_line(symbols: Sequence[Symbol], url: str, key: str, secret: str, proxy: str | None = None) -> Line:
    talk = partial(AlpacaTalk, symbols, key, secret)
    return Line("alpaca", url, talk, proxy, headers=PACKED, secrets=(key, secret))


def polygon_line(symbols: Sequence[Symbol], url: str, key: str, proxy: str | None = None) -> Line:
    talk = partial(PolygonTalk, symbols, key)
    return Line("polygon", f"{url.rstrip('/')}/stocks", talk, proxy, secrets=(key,))


def _needed(secret: SecretStr | None, name: str) -> str:
    if secret is None:
        raise ConfigurationError(f"feeds.{name} is not set: stocks are streamed, and asked for, with a key")
    return secret.get_secret_value()
