"""What the simulated market does wrong, as a client's socket gets it; each is in the list of what fired."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from contract.feeds.scripts import BEGIN, Script
from contract.feeds.serving import ServedMarket, serving
from nexus_common.contracts.values import Side, Symbol, Venue
from nexus_simvenue.market.dialect import OVERSIZED
from nexus_simvenue.market.happenings import Happening, Print

BTC = Symbol("BTCUSDT")
TRADES: list[Happening] = [
    Print(f"{100 + number}.5", "1", Side.BUY, number, BEGIN + number * 1_000) for number in range(6)
]
TOPIC = "btcusdt@trade"


@asynccontextmanager
async def listening(
    *rules: dict[str, Any], speed: float | None = None
) -> AsyncIterator[tuple[ServedMarket, aiohttp.ClientWebSocketResponse]]:
    """A market with these faults whose trades somebody hears."""
    async with serving(score=Script(Venue.BINANCE, BTC, TRADES), speed=speed) as market:
        address = f"{market.addresses['binance_ws']}/public/ws/{TOPIC}"
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(address, max_msg_size=OVERSIZED * 2) as connected,
        ):
            await market.heard("binance", {TOPIC})
            await market.faults(*rules)
            yield market, connected


async def all_of(market: ServedMarket, connected: aiohttp.ClientWebSocketResponse) -> list[Any]:
    """Every text until the market has ended and a ping was answered behind it, or the socket is gone."""
    await market.play()
    await market.ended()
    heard: list[Any] = []
    await connected.send_str('{"method":"LIST_SUBSCRIPTIONS","id":99}')
    while (message := await connected.receive(timeout=5)).type is aiohttp.WSMsgType.TEXT:
        if '"id":99' in message.data:
            break
        heard.append(message.data)
    return heard


def numbers(heard: list[Any]) -> list[int]:
    return [json.loads(text)["t"] for text in heard]


async def test_without_faults_everything_comes_once_and_in_order() -> None:
    async with listening() as (market, connected):
        assert numbers(await all_of(market, connected)) == [0, 1, 2, 3, 4, 5]
        assert await market.fired() == []


@pytest.mark.parametrize(
    ("fault", "fields", "heard"),
    [
        ("drop", {}, [0, 1, 3, 4, 5]),
        ("duplicate", {"count": 3}, [0, 1, 2, 2, 2, 3, 4, 5]),
        ("disorder", {"count": 3}, [0, 1, 4, 3, 2, 5]),
        ("stall", {}, [0, 1]),
        ("vanish", {}, [0, 1]),
        ("halt", {}, [0, 1]),
    ],
)
async def test_messages_are_lost_repeated_and_mixed_up(
    fault: str, fields: dict[str, Any], heard: list[int]
) -> None:
    rule = {"fault": fault, "topic": TOPIC, "skip": 2, **fields}
    async with listening(rule) as (market, connected):
        assert numbers(await all_of(market, connected)) == heard
        (fired,) = await market.fired()
        assert fired["fault"] == fault
        assert (fired["address"], fired["symbol"], fired["at"]) == ("binance", BTC, BEGIN + 2_000)


async def test_what_disorder_still_holds_leaves_with_the_rules() -> None:
    async with listening({"fault": "disorder", "skip": 4, "count": 9}) as (market, connected):
        assert numbers(await all_of(market, connected)) == [0, 1, 2, 3]
        await market.faults()
        late = [await connected.receive_str(timeout=5) for _ in range(2)]
        assert numbers(late) == [5, 4]


async def test_trading_that_was_halted_goes_on() -> None:
    rules = [{"fault": "halt", "skip": 1}, {"fault": "resume", "skip": 2}]
    async with listening(*rules) as (market, connected):
        assert numbers(await all_of(market, connected)) == [0, 4, 5]


@pytest.mark.parametrize(
    ("fault", "price"), [("tenfold", "1025.0"), ("zero", "0"), ("nan", "NaN"), ("backwards", "102.5")]
)
async def test_prices_and_times_are_wrong_once(fault: str, price: str) -> None:
    async with listening({"fault": fault, "skip": 2, "seconds": 3_600}) as (market, connected):
        trades = [json.loads(text) for text in await all_of(market, connected)]
        assert [trade["p"] for trade in trades[1:4]] == ["101.5", price, "103.5"]
        backwards = trades[2]["E"] < trades[1]["E"]
        assert backwards == (fault == "backwards")


@pytest.mark.parametrize("fault", ["malformed", "truncated", "unknown", "oversized"])
async def test_noise_comes_between_messages_and_loses_none(fault: str) -> None:
    async with listening({"fault": fault, "skip": 2}) as (market, connected):
        heard = await all_of(market, connected)
        noise = heard.pop(2)
        assert numbers(heard) == [0, 1, 2, 3, 4, 5]
        if fault in ("malformed", "truncated"):
            with pytest.raises(json.JSONDecodeError):
                json.loads(noise)
        else:
            assert (len(noise) > OVERSIZED) == (fault == "oversized")


@pytest.mark.parametrize(
    ("fault", "ending", "code"),
    [
        ("cut", aiohttp.WSMsgType.CLOSED, 1006),
        ("rotate", aiohttp.WSMsgType.CLOSE, 1001),
        ("maintenance", aiohttp.WSMsgType.CLOSE, 1012),
    ],
)
async def test_connections_break_or_are_closed(fault: str, ending: aiohttp.WSMsgType, code: int) -> None:
    async with listening({"fault": fault, "skip": 2, "seconds": 0.5}) as (market, connected):
        await market.play()
        while (message := await connected.receive(timeout=5)).type is aiohttp.WSMsgType.TEXT:
            pass
        assert message.type in (ending, aiohttp.WSMsgType.CLOSED)
        assert connected.close_code == code


async def test_a_stalled_socket_answers_pings_and_what_it_is_asked() -> None:
    async with listening({"fault": "stall"}) as (market, connected):
        assert await all_of(market, connected) == []
        await connected.send_str('{"method":"LIST_SUBSCRIPTIONS","id":1}')
        assert (await connected.receive_json(timeout=5))["result"] == [TOPIC]


async def test_during_maintenance_nothing_is_answered_and_afterwards_all_is_again() -> None:
    async with listening({"fault": "maintenance", "seconds": 0.3}) as (market, _):
        await market.play()
        await market.ended()
        address = market.addresses["binance"] + "/fapi/v1/klines?symbol=BTCUSDT&interval=1m"
        async with aiohttp.ClientSession() as session:
            async with session.get(address) as answer:
                assert answer.status == 503
            with pytest.raises(aiohttp.WSServerHandshakeError):
                await session.ws_connect(market.addresses["binance_ws"] + "/public/ws")
            async with asyncio.timeout(5):
                while (await _status(session, address)) == 503:
                    pass
            connected = await session.ws_connect(market.addresses["binance_ws"] + "/public/ws")
            await connected.close()


async def _status(session: aiohttp.ClientSession, address: str) -> int:
    async with session.get(address) as answer:
        return answer.status


async def test_an_instrument_that_vanished_is_being_settled() -> None:
    async with listening({"fault": "vanish"}) as (market, connected):
        await all_of(market, connected)
        async with aiohttp.ClientSession() as session:
            base = market.addresses["binance"] + "/fapi/v1/"
            async with session.get(base + "exchangeInfo") as answer:
                (listed,) = (await answer.json())["symbols"]
                assert (listed["symbol"], listed["status"]) == (BTC, "SETTLING")
            async with session.get(base + "klines?symbol=BTCUSDT&interval=1m") as answer:
                assert (await answer.json())["code"] == -1122


async def test_the_clock_is_wrong_from_then_on() -> None:
    async with listening({"fault": "clock", "skip": 2, "seconds": -90}) as (market, connected):
        assert numbers(await all_of(market, connected)) == [0, 1, 2, 3, 4, 5]
        address = market.addresses["binance"] + "/fapi/v1/time"
        async with aiohttp.ClientSession() as session, session.get(address) as answer:
            assert (await answer.json())["serverTime"] == BEGIN + 5_000 - 90_000


async def test_a_market_that_keeps_time_does_not_run_ahead_of_what_it_tells() -> None:
    async with listening(speed=20) as (market, connected):
        before = (await market.status())["at"]
        await market.play()
        first = await connected.receive_json(timeout=5)
        assert before < (await market.status())["at"]
        assert first["E"] == BEGIN
        await market.ended()
        assert (await market.status())["told"] == len(TRADES)
