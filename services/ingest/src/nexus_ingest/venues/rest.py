"""Questions to a venue by REST through ccxt: within its limits, quiet when it wants to be left alone."""

from __future__ import annotations

import asyncio
import itertools
import logging
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import aiohttp
from ccxt.base.errors import BaseError, NetworkError

from nexus_common.contracts.market import Bar
from nexus_common.contracts.values import Symbol, Timeframe, Venue
from nexus_common.runtime.settings_sections import VenueSettings
from nexus_ingest.domain.readings import UnreadableFrame
from nexus_ingest.venues.feed import FeedDown, FeedRefused
from nexus_ingest.venues.texts import check_prices, check_span, check_volume
from nexus_market.candles import from_millis, slot_millis, spell

_ATTEMPTS: Final = 3
_FIRST_WAIT_SECONDS: Final = 0.25
# How long to be silent when the venue does not say: Binance's 429 and its first ban, Bybit's ban of an address.
_WAITS: Final = {429: 60.0, 418: 120.0, 403: 600.0}
_WAIT_MAX: Final = 3_600.0
_ORIGIN: Final = re.compile(r"^https?://[^/]+")


class Overheard:
    """Goes before a class of ccxt: lets us see each answer's status and headers."""

    learn: Callable[[int, Mapping[str, str]], None]

    def on_rest_response(
        self, code: int, reason: str, url: str, method: str, headers: dict[str, str], body: str, *rest: Any
    ) -> str:
        self.learn(code, headers)
        return body


class Questions:
    """One venue's REST. `made` is a class of ccxt behind `Overheard`.

    `weight` of ccxt's costs is what may be used within `window_seconds`.
    """

    def __init__(
        self,
        venue: Venue,
        made: Callable[[dict[str, Any]], Any],
        at: VenueSettings,
        weight: int,
        window: float,
    ) -> None:
        self._venue = venue
        self._quiet_until = 0.0
        self._exchange = made(_config(at, weight, window))
        self._exchange.learn = self._learn
        self._exchange.urls["api"] = _moved(self._exchange.urls["api"], at.rest_url.rstrip("/"))
        # ccxt logs every request.
        silent = logging.Logger("ccxt of market data")
        silent.disabled = True
        self._exchange.logger = silent

    async def ask(self, endpoint: str, params: Mapping[str, Any]) -> Any:
        """A document; `endpoint` is ccxt's name of it. Raises FeedDown."""
        method = getattr(self._exchange, endpoint)
        return await self._answered(lambda: method(dict(params)))

    async def time(self, url: str, read: Callable[[Any], int]) -> tuple[datetime, int]:
        """The venue's clock and the round trip in milliseconds, without waiting for a turn. Raises FeedDown."""
        began = time.monotonic()
        answer = await self._answered(lambda: self._exchange.fetch(url))
        round_trip = round((time.monotonic() - began) * 1_000)
        try:
            return from_millis(read(answer)), round_trip
        except (KeyError, TypeError, ValueError, OverflowError):
            raise FeedDown(f"{self._venue} does not tell its time: {str(answer)[:100]}") from None

    async def close(self) -> None:
        await self._exchange.close()

    async def _answered(self, send: Callable[[], Awaitable[Any]]) -> Any:
        wait = _FIRST_WAIT_SECONDS
        for attempt in range(1, _ATTEMPTS + 1):
            self._check_quiet()
            try:
                return await send()
            except NetworkError as error:
                self._check_quiet()
                if attempt == _ATTEMPTS:
                    raise FeedDown(f"{self._venue} does not answer: {_name(error)}") from None
            except BaseError as error:
                raise FeedRefused(f"{self._venue} refuses: {_name(error)} {str(error)[:200]}") from None
            except (aiohttp.ClientError, OSError) as error:
                raise FeedDown(f"{self._venue} cannot be asked: {_name(error)} {str(error)[:200]}") from None
            await asyncio.sleep(wait)
            wait *= 2
        raise AssertionError("the last attempt answers or raises")

    def _check_quiet(self) -> None:
        left = self._quiet_until - time.monotonic()
        if left > 0:
            raise FeedDown(f"{self._venue} wants no requests for {left:.0f} seconds")

    def _learn(self, status: int, headers: Mapping[str, str]) -> None:
        if status in _WAITS:
            told = next((value for name, value in headers.items() if name.lower() == "retry-after"), "")
            wait = float(told) if told.isascii() and told.isdigit() else _WAITS[status]
            self._quiet_until = max(self._quiet_until, time.monotonic() + min(wait, _WAIT_MAX))


class Klines:
    """Closed bars of one venue, over all pages.

    `page` fetches the bars opening from one time to another (ms, both included), at most `page_size` of them,
    in any order; `now` asks the venue's clock (ms).
    """

    def __init__(
        self,
        page_size: int,
        page: Callable[[Symbol, Timeframe, int, int], Awaitable[list[Bar]]],
        now: Callable[[], Awaitable[int]],
    ) -> None:
        self._page_size, self._page, self._now = page_size, page, now
        self._known_now = 0

    async def bars(self, symbol: Symbol, timeframe: Timeframe, first: int, last: int) -> list[Bar]:
        """See `Feed.bars`. A bar has closed if the venue's clock was behind its end before it was asked for."""
        slot = slot_millis(timeframe)
        if last + slot > self._known_now:
            self._known_now = max(self._known_now, await self._now())
        first = -(-first // slot) * slot
        last = min(last, self._known_now - slot) // slot * slot
        bars: list[Bar] = []
        for start in range(first, last + 1, self._page_size * slot):
            end = min(start + (self._page_size - 1) * slot, last)
            page = sorted(await self._page(symbol, timeframe, start, end))
            bars.extend(bar for bar in page if start <= bar.open_time <= end)
        if any(after.open_time == before.open_time for before, after in itertools.pairwise(bars)):
            raise FeedDown(f"{symbol} {timeframe}: a bar is there twice")
        return bars


def bar(timeframe: Timeframe, open_time: int, figures: Sequence[Any]) -> Bar:
    """A bar of five figures as texts; raises UnreadableFrame."""
    check_span(open_time, timeframe)
    if len(figures) != 5 or not all(isinstance(figure, str) for figure in figures):
        raise UnreadableFrame("a bar is not made of five figures")
    check_prices(*figures[:4])
    check_volume(figures[4])
    opened, high, low, close, volume = (spell(float(figure)) for figure in figures)
    return Bar(open_time, opened, high, low, close, volume)


def rows(answer: Any) -> list[Any]:
    """Raises UnreadableFrame for what is no list."""
    if not isinstance(answer, list):
        raise UnreadableFrame("not a list")
    return answer


def _config(at: VenueSettings, weight: int, window: float) -> dict[str, Any]:
    config: dict[str, Any] = {
        "enableRateLimit": True,
        "rateLimiterAlgorithm": "rollingWindow",
        "rollingWindowSize": window * 1_000,
        "rateLimit": window * 1_000 / weight,
        "timeout": int(at.timeout_seconds * 1_000),
        "options": {"maxRetriesOnFailure": 0},
    }
    if at.proxy is not None:
        config["socksProxy" if at.proxy.startswith("socks") else "httpsProxy"] = at.proxy
    return config


def _moved(addresses: Any, origin: str) -> Any:
    """ccxt's table of addresses at another host; paths stay."""
    if isinstance(addresses, dict):
        return {name: _moved(address, origin) for name, address in addresses.items()}
    return _ORIGIN.sub(origin, addresses) if isinstance(addresses, str) else addresses


def _name(error: BaseException) -> str:
    """Errors of a proxy may hold its password in their text."""
    cause = error.__cause__
    return type(error).__name__ if cause is None else f"{type(error).__name__} ({type(cause).__name__})"
