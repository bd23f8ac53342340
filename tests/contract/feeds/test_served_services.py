"""Services without an SDK of ours over real sockets: Polygon, CoinMarketCap, alternative.me, Alpaca in JSON."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from decimal import Decimal
from typing import Any

import aiohttp
import pytest

from contract.feeds.scripts import BEGIN, Script, odd_series
from contract.feeds.serving import Served, serving
from nexus_common.contracts.macro import MacroRead
from nexus_common.contracts.values import Side, Symbol, Timeframe, Venue
from nexus_market.candles import Series, from_millis
from nexus_market.exchange.wire import simulated_secret
from nexus_simvenue.market.happenings import Print
from nexus_simvenue.market.keys import service_key

AAPL, SPY = Symbol("AAPL"), Symbol("SPY")
SERIES = odd_series(Timeframe.M1, 60, shares=True)
SERVED = [Served(Venue.ALPACA, symbol, SERIES) for symbol in (AAPL, SPY)]


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def hear(socket: aiohttp.ClientWebSocketResponse, count: int) -> list[dict[str, Any]]:
    """So many messages, each out of the array it came in."""
    heard: list[dict[str, Any]] = []
    async with asyncio.timeout(20):
        while len(heard) < count:
            heard += await socket.receive_json()
    return heard


def closes(messages: Sequence[dict[str, Any]], symbol: str, name: str, time: str) -> list[tuple[Any, float]]:
    return [(message[time], message["c"]) for message in messages if message[name] == symbol]


def known(series: Series) -> list[tuple[int, float]]:
    return list(zip(series.open_time.tolist(), series.close.tolist(), strict=True))


async def test_polygon_streams_the_minutes_of_all_stocks(http: aiohttp.ClientSession) -> None:
    async with (
        serving(SERVED) as market,
        http.ws_connect(f"{market.addresses['polygon_ws']}/stocks") as socket,
    ):
        await socket.send_json({"action": "auth", "params": service_key("me")})
        await socket.send_json({"action": "subscribe", "params": "AM.*"})
        assert [m["status"] for m in await hear(socket, 3)] == ["connected", "auth_success", "success"]
        await market.play()
        told = await hear(socket, 2 * len(SERIES))
        for symbol in (AAPL, SPY):
            assert closes(told, symbol, "sym", "s") == known(SERIES)


async def test_polygon_gives_all_aggregates_page_by_page(http: aiohttp.ClientSession) -> None:
    async with serving(SERVED) as market:
        await market.play()
        await market.ended()
        address = f"{market.addresses['polygon']}/v2/aggs/ticker/AAPL/range/1/minute/0/{BEGIN * 2}?limit=25"
        rows: list[dict[str, Any]] = []
        while address:
            headers = {"Authorization": f"Bearer {service_key('me')}"}
            async with http.get(address, headers=headers) as answer:
                page = await answer.json()
            rows += page["results"]
            address = page.get("next_url", "")
    assert [(row["t"], row["c"]) for row in rows] == known(SERIES)


async def test_alpaca_speaks_json_to_those_who_do_not_ask_for_messagepack(
    http: aiohttp.ClientSession,
) -> None:
    async with (
        serving(SERVED) as market,
        http.ws_connect(f"{market.addresses['alpaca_ws']}/v2/iex") as socket,
    ):
        await socket.send_json({"action": "auth", "key": "reader", "secret": simulated_secret("reader")})
        await socket.send_json({"action": "subscribe", "bars": ["AAPL"]})
        assert [m["T"] for m in await hear(socket, 3)] == ["success", "success", "subscription"]
        await market.play()
        told = await hear(socket, len(SERIES))
        times = [f"{from_millis(time):%Y-%m-%dT%H:%M:%SZ}" for time in SERIES.open_time.tolist()]
        assert closes(told, AAPL, "S", "t") == list(zip(times, SERIES.close.tolist(), strict=True))


class WithReadings(Script):
    """Beside the market of one coin, readings of the whole market."""

    def readings(self) -> Sequence[MacroRead]:
        return [
            MacroRead(
                known_at=self.start,
                btc_dominance=Decimal("59.87"),
                total_market_cap=Decimal("3851234567890.12"),
                fear_greed=34,
            )
        ]


async def test_figures_of_the_whole_market_are_served(http: aiohttp.ClientSession) -> None:
    prints = [Print("114210.1", "1", Side.BUY, 1, BEGIN)]
    async with serving(score=WithReadings(Venue.BYBIT, Symbol("BTCUSDT"), prints)) as market:
        await market.play()
        await market.ended()
        address = f"{market.addresses['coinmarketcap']}/v1/global-metrics/quotes/latest"
        async with http.get(address, headers={"X-CMC_PRO_API_KEY": service_key("me")}) as answer:
            data = (await answer.json())["data"]
        async with http.get(f"{market.addresses['fear_greed']}/fng/?limit=1") as answer:
            [mood] = (await answer.json())["data"]
    assert (data["btc_dominance"], data["quote"]["USD"]["total_market_cap"]) == (59.87, 3851234567890.12)
    assert data["quote"]["USD"]["total_volume_24h"] is None
    assert (mood["value"], mood["value_classification"]) == ("34", "Fear")
