"""Alpaca's frames: what they say, what is left out and why, what cannot be used; how one logs in."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nexus_common.contracts.market import Bar
from nexus_common.contracts.values import Symbol, Timeframe
from nexus_ingest.domain.readings import BookRead, HaltRead, KlineRead, TradeRead, UnreadableFrame
from nexus_ingest.venues.alpaca.frames import read
from nexus_ingest.venues.alpaca.rest import AlpacaBars
from nexus_ingest.venues.alpaca.talk import AlpacaTalk
from nexus_ingest.venues.connection import TurnedAway
from nexus_ingest.venues.feed import FeedDown
from nexus_ingest.venues.http import HttpQuestions
from unit.ingest.scripted_server import serving_script
from unit.ingest.venue_messages import DATA, assert_sound, messages, sorted_files, spoiled

FOLDER = DATA / "messages" / "alpaca"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="no recorded messages beside the checkout")

# Files with frames of the stock stream: how many readings of each kind they have.
READ = {"docs/market-data-api__stock-pricing-data__realtime.json": {BookRead: 1, KlineRead: 1, HaltRead: 1}}
# Kinds of messages within them that are not read.
LEFT_OUT_KINDS = {
    "t": "its trade is an odd lot: that does not update the last price",
    "d": "candles of a day are not traded on",
}
# Files with rows of candles by REST.
ROWS = {"alpaca_py/data__test_historical_stock_data.json": 2}
LEFT_OUT = {
    "crypto is traded at other venues": ("alpaca_py/data__test_historical_crypto_data.json",),
    "options are not traded": (
        "alpaca_py/data__test_historical_option_data.json",
        "alpaca_py/trading__trading_client__test_option_routes.json",
    ),
    "news; no rule asks for them": (
        "alpaca_py/data__test_historical_news_data.json",
        "docs/market-data-api__news-data__*.json",
    ),
    "corporate actions; prices are read as they were traded": (
        "alpaca_py/data__test_corporate_actions.json",
        "alpaca_py/trading__trading_client__test_corporate_announcements.json",
    ),
    "movers of the day; no rule asks for them": ("alpaca_py/data__test_screener.json",),
    "instruments; test_listing.py reads them": ("alpaca_py/trading__trading_client__test_asset_routes.json",),
    "accounts; the executor reads them": (
        "alpaca_py/trading__trading_client__test_account_routes.json",
        "alpaca_py/trading__trading_client__test_order_routes.json",
        "alpaca_py/trading__trading_client__test_position_routes.json",
        "docs/trading-api__streaming.json",
    ),
}
AAPL, SPY = Symbol("AAPL"), Symbol("SPY")
NAMES = [Symbol(name) for name in ("AAPL", "SPY", "AMD")]
AT = 1_614_008_100_000  # a minute
STAMP = "2021-02-22T15:35:00.208335689Z"


def trade(**changes: Any) -> dict[str, Any]:
    told = {
        "T": "t",
        "S": "AAPL",
        "i": 96921,
        "x": "D",
        "p": 126.55,
        "s": 100,
        "t": STAMP,
        "c": ["@"],
        "z": "C",
    }
    return {**told, **changes}


def quote(**changes: Any) -> dict[str, Any]:
    told = {"T": "q", "S": "AAPL", "bx": "U", "bp": 87.66, "bs": 1, "ax": "Q", "ap": 87.68, "as": 4}
    return {**told, "t": STAMP, "c": ["R"], "z": "C", **changes}


def minute(**changes: Any) -> dict[str, Any]:
    told = {"T": "b", "S": "AAPL", "o": 388.985, "h": 389.13, "l": 388.975, "c": 389.12, "v": 49378}
    return {**told, "n": 461, "vw": 389.06, "t": "2021-02-22T15:35:00Z", **changes}


def status(**changes: Any) -> dict[str, Any]:
    told = {
        "T": "s",
        "S": "AAPL",
        "sc": "H",
        "sm": "Trading Halt",
        "rc": "T12",
        "rm": "Information asked for",
    }
    return {**told, "t": STAMP, "z": "C", **changes}


def frame(*told: Any) -> str:
    return json.dumps(list(told))


def packed(*told: dict[str, Any]) -> bytes:
    """As the venue packs it: times as MessagePack's timestamps, to the nanosecond."""
    seconds = AT // 1_000
    stamps = {STAMP: msgpack.Timestamp(seconds, 208_335_689)}
    result = msgpack.packb(
        [{**each, "t": stamps.get(each["t"], msgpack.Timestamp(seconds))} for each in told]
    )
    assert isinstance(result, bytes)
    return result


@needs_data
class TestRecordings:
    def test_every_file_is_read_or_left_out_for_a_reason(self) -> None:
        left_out = {pattern: why for why, patterns in LEFT_OUT.items() for pattern in patterns}
        read_files, rows, _ = sorted_files(FOLDER, READ, ROWS, left_out)
        for path in read_files:
            told = list(messages(path))
            said = read(json.dumps(told))
            assert said.unreadable == []
            assert Counter(map(type, said.readings)) == READ[path.relative_to(FOLDER).as_posix()]
            assert said == read(msgpack.packb(told))
            silent = {each["T"] for each in told if not read(frame(each)).readings}
            assert silent == set(LEFT_OUT_KINDS)
        assert [path.relative_to(FOLDER).as_posix() for path in rows] == list(ROWS)

    async def test_rows_of_candles_are_read_over_pages(self) -> None:
        [(name, count)] = ROWS.items()
        bodies = {each["test"]: json.dumps(each["body"]).encode() for each in messages(FOLDER / name)}
        async with serving_script() as server:
            server.script = [
                (200, bodies["test_get_bars"]),
                (200, bodies["test_get_bars_multi_empty_response"]),
            ]
            history = AlpacaBars(HttpQuestions("alpaca", server.url, {}), "sip")
            bars = await history.bars(AAPL, Timeframe.H1, 0, 2_000_000_000_000)
            await history.close()
        assert len(bars) == count
        february = int(datetime(2022, 2, 1, 5, tzinfo=UTC).timestamp()) * 1_000
        prices = [Decimal(text) for text in ("174.0", "174.84", "172.31", "174.61", "85998033.0")]
        assert bars[0] == Bar(february, *prices)
        assert [request.query.get("page_token") for request in server.asked] == [
            None,
            "QUFQTHxEfDIwMjItMDItMDJUMDU6MDA6MDAuMDAwMDAwMDAwWg==",
        ]
        assert server.asked[0].query["feed"] == "sip"


class TestWhatFramesSay:
    def test_packed_or_not_all_four_kinds_are_the_same(self) -> None:
        told = (trade(), quote(), minute(), status())
        expected = [
            TradeRead(AAPL, "126.55", "100", None, "D96921", AT + 208),
            BookRead(AAPL, "87.66", "1", "87.68", "4", AT + 208),
            KlineRead(
                *(AAPL, Timeframe.M1, AT, "388.985", "389.13", "388.975", "389.12", "49378"),
                closed=True,
                at=AT + 60_000,
            ),
            HaltRead(AAPL, True, "T12", "Information asked for", AT + 208),
        ]
        assert read(frame(*told)).readings == expected
        assert read(packed(*told)).readings == expected

    def test_an_updated_bar_is_the_minute_closed_again(self) -> None:
        [first, again] = read(frame(minute(), minute(T="u", v=49_478))).readings
        assert isinstance(first, KlineRead)
        assert isinstance(again, KlineRead)
        assert again.closed
        assert again == first._replace(volume="49478")

    @pytest.mark.parametrize(
        ("tape", "codes", "is_last"),
        [
            ("C", ["@"], True),
            ("A", [" ", "F"], True),
            ("C", None, True),
            ("C", ["@", "I"], False),
            ("C", ["@", "F", "T"], False),
            ("C", ["B"], True),
            ("A", ["B"], False),
            ("B", ["B"], False),
            ("C", ["W"], False),
            ("A", ["L"], True),
            ("C", ["6"], True),
            ("N", ["Z"], False),
            *(("C", [code], False) for code in "CGHMNPQRUV47"),
        ],
    )
    def test_a_trade_counts_if_it_updates_the_last_price(
        self, tape: str, codes: list[str] | None, is_last: bool
    ) -> None:
        said = read(frame(trade(c=codes, z=tape)))
        assert (len(said.readings), said.unreadable) == (int(is_last), [])

    @pytest.mark.parametrize(
        ("code", "halted"),
        [
            *(("H", True), ("P", True), ("2", True), ("T", False), ("3", False)),
            *((code, None) for code in ("Q", "5", "6", "7", "8", "9", "A", "C", "D", "E", "F", "x")),
        ],
    )
    def test_a_status_halts_resumes_or_says_neither(self, code: str, halted: bool | None) -> None:
        readings = read(frame(status(sc=code))).readings
        assert [reading.halted for reading in readings if isinstance(reading, HaltRead)] == (
            [] if halted is None else [halted]
        )

    def test_without_a_reason_a_status_stands_for_itself(self) -> None:
        [halt] = read(frame(status(rc="", rm=""))).readings
        assert isinstance(halt, HaltRead)
        assert (halt.code, halt.reason) == ("H", "Trading Halt")

    @pytest.mark.parametrize("side", ["bp", "ap"])
    def test_a_book_of_one_side_is_left_out(self, side: str) -> None:
        assert read(frame(quote(**{side: 0}))) == ([], [], [])


class TestWhatCannotBeUsed:
    @pytest.mark.parametrize(
        ("bad", "reason"),
        [
            (trade(p=0), "a price is no positive number"),
            (trade(p=-1.5), "a price is no positive number"),
            (trade(s=0), "a quantity is no positive number"),
            (trade(p="126"), "Expected `int | float`, got `str` - at `$.p`"),
            (quote(bp=-1), "a price is no positive number"),
            (quote(**{"as": -1}), "a volume is negative or no number"),
            (minute(t=STAMP), "a candle is off the grid of its timeframe"),
            (minute(v=-1), "a volume is negative or no number"),
            (minute(t="yesterday"), "Invalid RFC3339 encoded datetime - at `$.t`"),
            (minute(t="2021-02-22T15:35:00"), "Expected `datetime` with a timezone component - at `$.t`"),
            (minute(t="1969-12-31T23:59:00Z"), "a time is no milliseconds since 1970"),
            (minute(S=7), "Expected `str`, got `int` - at `$.S`"),
            ({"T": "weather", "sky": "grey"}, "unknown kind of message"),
            ({"S": "AAPL"}, "Object missing required field `T`"),
            ("text", "Expected `object`, got `str`"),
        ],
    )
    def test_takes_nothing_with_it(self, bad: Any, reason: str) -> None:
        said = read(frame(quote(), bad, minute()))
        assert [type(reading) for reading in said.readings] == [BookRead, KlineRead]
        assert said.unreadable == [reason]

    @pytest.mark.parametrize("figure", [float("nan"), float("inf"), float("-inf")])
    def test_packed_figures_that_are_no_numbers_are_refused(self, figure: float) -> None:
        said = read(packed(trade(p=figure), quote(ap=figure), minute(v=figure)))
        assert said.readings == []
        assert len(said.unreadable) == 3

    @pytest.mark.parametrize("bad", ["", "{}", "[{", b"\xc1 is never used", packed(minute())[:-3], b"\x81"])
    def test_what_is_no_list_of_messages_is_refused(self, bad: str | bytes) -> None:
        with pytest.raises(UnreadableFrame):
            read(bad)

    def test_deep_nesting_is_refused(self) -> None:
        with pytest.raises(UnreadableFrame):
            read("[" * 100_000)

    @given(spoiled([frame(trade(), quote()), frame(minute()), frame(status(), minute(T="u"))]))
    @settings(max_examples=400)
    def test_spoiled_frames_give_sound_readings_or_a_reason(self, bad: str | bytes) -> None:
        text = bad if isinstance(bad, str) else bad.decode(errors="replace")
        check(text)

    @given(st.data())
    @settings(max_examples=400)
    def test_spoiled_packed_frames_too(self, data: st.DataObject) -> None:
        raw = bytearray(packed(trade(), quote(), minute(), status()))
        for _ in range(data.draw(st.integers(1, 4))):
            raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
        check(bytes(raw[: data.draw(st.integers(0, len(raw)))]))


def check(spoilt: str | bytes) -> None:
    try:
        said = read(spoilt)
    except UnreadableFrame:
        return
    assert all(said.unreadable)
    for reading in said.readings:
        if not isinstance(reading, HaltRead):
            assert_sound(reading)


class TestTalk:
    def talk(self) -> AlpacaTalk:
        return AlpacaTalk(NAMES, "key", "secret")

    def say(self, talk: AlpacaTalk, told: dict[str, Any]) -> list[Any]:
        assert talk.hear(frame(told)) == []
        return [msgpack.unpackb(answer) for answer in talk.answers() if isinstance(answer, bytes)]

    def test_logs_in_when_greeted_and_subscribes_when_let_in(self) -> None:
        talk = self.talk()
        assert talk.opening() == ()
        assert self.say(talk, {"T": "success", "msg": "connected"}) == [
            {"action": "auth", "key": "key", "secret": "secret"}
        ]
        [subscription] = self.say(talk, {"T": "success", "msg": "authenticated"})
        assert subscription.pop("action") == "subscribe"
        assert subscription == {
            channel: ["AAPL", "AMD", "SPY"]
            for channel in ("trades", "quotes", "bars", "updatedBars", "statuses")
        }
        assert not talk.subscribed
        assert self.say(talk, {"T": "subscription", **subscription, "dailyBars": []}) == []
        assert talk.subscribed

    def test_is_not_subscribed_while_a_stock_is_missing_on_a_channel(self) -> None:
        talk = self.talk()
        names = ["AAPL", "AMD", "SPY"]
        told = {**dict.fromkeys(("trades", "quotes", "bars", "updatedBars"), names), "statuses": ["AAPL"]}
        self.say(talk, {"T": "subscription", **told})
        assert not talk.subscribed

    @pytest.mark.parametrize(
        ("code", "message", "advice"),
        [
            (400, "invalid syntax", ""),
            (401, "not authenticated", ""),
            (402, "auth failed", "feeds.alpaca_key"),
            (403, "already authenticated", ""),
            (404, "auth timeout", ""),
            (405, "symbol limit exceeded", "fewer stocks"),
            (406, "connection limit exceeded", "already connected"),
            (407, "slow client", "fast enough"),
            (409, "insufficient subscription", "feeds.stock_feed"),
            (410, "invalid subscribe action for this feed", ""),
            (413, "star subscription is not allowed for option quotes", ""),
            (500, "internal error", ""),
        ],
    )
    def test_is_turned_away_with_code_words_and_advice(self, code: int, message: str, advice: str) -> None:
        with pytest.raises(TurnedAway) as away:
            self.talk().hear(frame({"T": "error", "code": code, "msg": message}))
        assert str(away.value).startswith(f"{code} {message}")
        assert advice in str(away.value)
        assert "secret" not in str(away.value).replace("feeds.alpaca_secret", "")

    def test_stocks_that_nobody_asked_for_are_refused(self) -> None:
        talk = self.talk()
        assert talk.hear(frame(quote(S="MSFT"), quote(S="SPY"))) == [
            BookRead(SPY, "87.66", "1", "87.68", "4", AT + 208)
        ]
        assert talk.refused == ["unknown symbol"]


@pytest.mark.parametrize(
    ("status_code", "answer", "reason"),
    [
        (
            403,
            b'{"message": "subscription does not permit querying recent SIP data"}',
            "refused with status 403",
        ),
        (200, b"<html>", "not as documented"),
        (200, b'{"bars": {"AAPL": [{"t": "2022-02-01T05:00:00Z"}]}}', "not as documented"),
        (200, json.dumps({"bars": {"AAPL": [minute(o=0)]}}).encode(), "a price is no positive number"),
        (200, json.dumps({"bars": {"AAPL": [minute(t=STAMP)]}}).encode(), "off its grid"),
    ],
)
async def test_bars_that_cannot_be_used_are_no_bars(status_code: int, answer: bytes, reason: str) -> None:
    async with serving_script() as server:
        server.script = [(status_code, answer)]
        history = AlpacaBars(HttpQuestions("alpaca", server.url, {"APCA-API-SECRET-KEY": "hidden"}), "iex")
        with pytest.raises(FeedDown, match=reason) as down:
            await history.bars(AAPL, Timeframe.M1, 0, 2_000_000_000_000)
        await history.close()
    assert "hidden" not in str(down.value)
