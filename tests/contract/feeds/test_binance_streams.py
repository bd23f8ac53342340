"""Binance's public sockets by themselves: addresses, subscriptions, refusals, and the shape of what is told."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from contract.feeds.scripts import BEGIN, Script
from contract.feeds.serving import ServedMarket, serving
from contract.feeds.shapes import MESSAGES, differences, recorded
from nexus_common.contracts.values import Side, Symbol, Timeframe, Venue
from nexus_simvenue.market.happenings import Happening, Kline, Mark, Print, Top

BTC = Symbol("BTCUSDT")
AT = BEGIN + 3_000
HAPPENINGS: list[Happening] = [
    Print("68000.1", "0.004", Side.SELL, 7, AT),
    Top("68000.0", "1.5", "68000.1", "0.75", 8, AT),
    Mark("68000.05", "68001.5", "-0.000125", BEGIN + 7_200_000, AT),
    Kline(Timeframe.M5, BEGIN, "1.5", "2.5", "1.25", "2.0", "8", 4, False, AT),
]


@asynccontextmanager
async def scripted() -> AsyncIterator[ServedMarket]:
    async with serving(score=Script(Venue.BINANCE, BTC, HAPPENINGS)) as market:
        yield market


@asynccontextmanager
async def socket(market: ServedMarket, path: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    address = market.addresses["binance_ws"] + path
    async with aiohttp.ClientSession() as session, session.ws_connect(address) as connected:
        yield connected


async def asked(connected: aiohttp.ClientWebSocketResponse, **message: Any) -> Any:
    await connected.send_json(message)
    return await connected.receive_json(timeout=5)


async def told(path: str, count: int) -> list[Any]:
    """What a socket hears of the script."""
    async with scripted() as market, socket(market, path) as connected:
        assert await asked(connected, method="GET_PROPERTY", params=["combined"], id=1)
        await market.play()
        return [await connected.receive_json(timeout=5) for _ in range(count)]


async def test_streams_are_heard_at_the_address_of_their_kind_and_only_there() -> None:
    every = "btcusdt@trade/btcusdt@bookTicker/btcusdt@aggTrade/btcusdt@markPrice@1s/btcusdt@kline_5m"
    fast = await told(f"/public/ws/{every}", 2)
    assert [message["e"] for message in fast] == ["trade", "bookTicker"]
    regular = await told(f"/market/stream?streams={every}", 3)
    assert [message["stream"] for message in regular] == [
        "btcusdt@aggTrade",
        "btcusdt@markPrice@1s",
        "btcusdt@kline_5m",
    ]


async def test_the_book_of_all_instruments_has_a_stream_and_marks_one_of_every_third_second() -> None:
    (book,) = await told("/public/stream?streams=!bookTicker", 1)
    assert (book["stream"], book["data"]["s"]) == ("!bookTicker", "BTCUSDT")
    (mark,) = await told("/market/stream?streams=btcusdt@markPrice", 1)
    assert (mark["stream"], mark["data"]["p"]) == ("btcusdt@markPrice", "68000.05")


@pytest.mark.skipif(not MESSAGES.is_dir(), reason="no recorded messages beside the checkout")
async def test_messages_have_the_shape_of_recorded_and_documented_ones() -> None:
    path = "/public/ws/btcusdt@trade/btcusdt@bookTicker"
    trade, book = await told(path, 2)
    marks = "/market/ws/btcusdt@aggTrade/btcusdt@markPrice@1s/btcusdt@kline_5m"
    aggregate, mark, kline = await told(marks, 3)
    sample = MESSAGES / "binance/hftbacktest/binance_um_BTCUSDT_2024-08-08_sample.jsonl"
    heard = [json.loads(line)["msg"].get("data", {}) for line in sample.read_text().splitlines()]
    by_kind = {message["e"]: message for message in heard if "e" in message}
    documented = "binance/nautilus/r_futures__market_data_json__{}_stream{}.json"
    assert differences(trade, by_kind["trade"]) == []
    assert differences(book, by_kind["bookTicker"]) == []
    assert differences(kline, recorded(documented.format("kline", "_open"))) == []
    # `st`, the settlement type, came with 2025's documentation and is in no recording.
    for ours, name in ((aggregate, "agg_trade"), (mark, "mark_price")):
        found = differences(ours, recorded(documented.format(name, "")))
        assert [line for line in found if ".st " not in line] == []


async def test_subscriptions_are_listed_changed_and_answered_by_their_ids() -> None:
    async with scripted() as market, socket(market, "/public/ws/0") as connected:
        streams = ["btcusdt@trade", "btcusdt@bookTicker"]
        assert await asked(connected, method="SUBSCRIBE", params=streams, id=3) == {"result": None, "id": 3}
        listed = await asked(connected, method="LIST_SUBSCRIPTIONS", id=4)
        assert listed == {"result": streams, "id": 4}
        await asked(connected, method="UNSUBSCRIBE", params=streams[:1], id=5)
        assert (await asked(connected, method="LIST_SUBSCRIPTIONS", id=6))["result"] == streams[1:]
        await asked(connected, method="SET_PROPERTY", params=["combined", True], id=7)
        await market.play()
        assert (await connected.receive_json(timeout=5))["stream"] == "btcusdt@bookTicker"


@pytest.mark.parametrize(
    ("message", "code", "said"),
    [
        ('{"method":"SUBSCRIBE","params":["a@trade"],"id":"x"}', 2, "request ID must be an unsigned integer"),
        ('{"method":"SHOUT","id":1}', 2, "unknown variant SHOUT"),
        ('{"method":"SUBSCRIBE","params":"a@trade","id":1}', 2, "params must be an array"),
        ('{"method":"SET_PROPERTY","params":["combined",1],"id":1}', 1, "expected Boolean"),
        ('{"method":"SET_PROPERTY","params":["loud",true],"id":1}', 0, "Unknown property"),
        ('{"method":"SUBSCRIBE"', 3, "Invalid JSON"),
    ],
)
async def test_messages_without_sense_are_refused_as_documented(message: str, code: int, said: str) -> None:
    async with scripted() as market, socket(market, "/market/ws") as connected:
        await connected.send_str(message)
        error = (await connected.receive_json(timeout=5))["error"]
        assert error["code"] == code
        assert said in error["msg"]


async def test_more_than_ten_messages_within_a_second_end_the_connection() -> None:
    async with scripted() as market, socket(market, "/market/ws") as connected:
        for number in range(40):
            await connected.send_json({"method": "LIST_SUBSCRIPTIONS", "id": number})
        while (message := await connected.receive(timeout=5)).type is aiohttp.WSMsgType.TEXT:
            pass
        assert message.type is aiohttp.WSMsgType.CLOSE
        assert message.data == 1008


async def test_a_connection_carries_so_many_streams_and_no_more() -> None:
    async with scripted() as market, socket(market, "/public/ws") as connected:
        many = [f"coin{number}@trade" for number in range(1_024)]
        assert (await asked(connected, method="SUBSCRIBE", params=many, id=1))["result"] is None
        refused = await asked(connected, method="SUBSCRIBE", params=["btcusdt@trade"], id=2)
        assert "1024" in refused["error"]["msg"]
        assert len((await asked(connected, method="LIST_SUBSCRIPTIONS", id=3))["result"]) == 1_024


@pytest.mark.parametrize("path", ["/ws/btcusdt@trade", "/stream?streams=btcusdt@trade", "/public"])
async def test_addresses_of_before_2026_are_no_more(path: str) -> None:
    async with scripted() as market:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with socket(market, path):
                pass
        assert refused.value.status == 404


async def test_pings_are_answered() -> None:
    async with scripted() as market, aiohttp.ClientSession() as session:
        address = market.addresses["binance_ws"] + "/market/ws"
        async with session.ws_connect(address, autoping=False) as connected:
            await connected.ping(b"there?")
            answer = await connected.receive(timeout=5)
            assert (answer.type, answer.data) == (aiohttp.WSMsgType.PONG, b"there?")


async def rest(market: ServedMarket, path: str) -> tuple[int, Any]:
    async with aiohttp.ClientSession() as session, session.get(market.addresses["binance"] + path) as answer:
        return answer.status, await answer.json(content_type=None)


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("symbol=WEATHER&interval=1m", -1121),
        ("symbol=BTCUSDT&interval=7m", -1120),
        ("symbol=BTCUSDT", -1102),
        ("symbol=BTCUSDT&interval=1m&limit=1501", -1130),
        ("symbol=BTCUSDT&interval=1m&startTime=5&endTime=4", -1023),
        ("symbol=BTCUSDT&interval=1m&sky=grey", -1104),
    ],
)
async def test_questions_without_sense_are_refused_with_the_documented_codes(query: str, code: int) -> None:
    async with scripted() as market:
        status, body = await rest(market, f"/fapi/v1/klines?{query}")
        assert (status, body["code"]) == (400, code)


async def test_what_was_told_is_answered_by_rest_too() -> None:
    async with scripted() as market:
        await market.play()
        await market.ended()
        _, (trade,) = await rest(market, "/fapi/v1/trades?symbol=BTCUSDT")
        assert (trade["id"], trade["price"], trade["isBuyerMaker"]) == (7, "68000.1", True)
        _, book = await rest(market, "/fapi/v1/ticker/bookTicker?symbol=BTCUSDT")
        assert (book["bidPrice"], book["askQty"]) == ("68000.0", "0.75")
        _, mark = await rest(market, "/fapi/v1/premiumIndex?symbol=BTCUSDT")
        assert (mark["markPrice"], mark["lastFundingRate"]) == ("68000.05", "-0.000125")
        _, klines = await rest(market, "/fapi/v1/klines?symbol=BTCUSDT&interval=5m")
        assert [row[:6] for row in klines] == [[BEGIN, "1.5", "2.5", "1.25", "2.0", "8"]]


async def test_too_much_weight_is_refused_and_goes_on_to_a_ban() -> None:
    async with scripted() as market, aiohttp.ClientSession() as session:
        address = market.addresses["binance"] + "/fapi/v1/klines?symbol=BTCUSDT&interval=1m&limit=1500"
        statuses = []
        for _ in range(252):
            async with session.get(address) as answer:
                statuses.append((answer.status, answer.headers.get("Retry-After")))
        assert [status for status, _ in statuses[:240]] == [200] * 240
        assert statuses[240][0] == 429
        assert statuses[-1][0] == 418
        assert int(statuses[-1][1] or 0) > 60
