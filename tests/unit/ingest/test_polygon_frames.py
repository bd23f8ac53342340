"""Polygon's frames: what they say, what is left out and why, what cannot be used; how one logs in."""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings

from nexus_common.contracts.market import Bar
from nexus_common.contracts.values import Symbol, Timeframe
from nexus_ingest.domain.readings import BookRead, HaltRead, KlineRead, TradeRead, UnreadableFrame
from nexus_ingest.venues.connection import TurnedAway
from nexus_ingest.venues.feed import FeedDown
from nexus_ingest.venues.http import HttpQuestions
from nexus_ingest.venues.polygon.frames import NOT_LAST, read
from nexus_ingest.venues.polygon.rest import PolygonBars
from nexus_ingest.venues.polygon.talk import PolygonTalk
from unit.ingest.scripted_server import serving_script
from unit.ingest.venue_messages import DATA, assert_sound, messages, sorted_files, spoiled

FOLDER = DATA / "messages" / "polygon"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="no recorded messages beside the checkout")

# Files with a frame of the stock stream: how many readings of each kind it has.
READ: dict[str, dict[type, int]] = {
    "ws/stocks_AM.json": {KlineRead: 1},
    "ws/stocks_Q.json": {BookRead: 1},
    # A trade under Form T, outside hours, which does not update the last price.
    "ws/stocks_T.json": {},
    # A price band that neither halts nor resumes.
    "ws/stocks_LULD.json": {},
}
# Files with rows of candles by REST: how many.
ROWS = {"rest/v2_aggs_ticker_AAPL_range_1_day_2005_04_01_2005_04_04.json": 2}
# Files that say which trades update the last price.
CONDITIONS = {"rest/v3_reference_conditions_asset_class_stocks.json": None}
LEFT_OUT = {
    "crypto and currencies are not Polygon's here": (
        "rest/v1_last_crypto_BTC_USD.json",
        "rest/v1_last_quote_currencies_AUD_USD.json",
    ),
    "trading hours are Alpaca's calendar's": ("rest/v1_marketstatus_upcoming.json",),
    "by REST, but read from the stream; candles alone are filled up": (
        "rest/v2_last_nbbo_AAPL.json",
        "rest/v2_last_trade_AAPL.json",
        "rest/v3_quotes_AAPL.json",
        "rest/v3_trades_AAPL_limit_2.json",
        "rest/v2_snapshot_locale_us_markets_stocks_tickers_*.json",
    ),
    "candles of a day are not traded on": (
        "rest/v1_open_close_AAPL_2005_04_01_adjusted_true.json",
        "rest/v2_aggs_ticker_AAPL_prev.json",
    ),
    "instruments are Alpaca's": ("rest/v3_reference_tickers_AAPL.json", "rest/v3_reference_exchanges.json"),
    "splits; prices are read as they were traded": ("rest/v3_reference_splits.json",),
}
MSFT = Symbol("MSFT")
AT = 1_610_144_640_000  # a minute


def trade(**changes: Any) -> dict[str, Any]:
    told = {"ev": "T", "sym": "MSFT", "x": 4, "i": "12345", "z": 3, "p": 114.125, "s": 100, "t": AT + 5}
    return {**told, "q": 3681328, **changes}


def quote(**changes: Any) -> dict[str, Any]:
    told = {"ev": "Q", "sym": "MSFT", "bx": 4, "bp": 114.125, "bs": 100, "ax": 7, "ap": 114.128, "as": 160}
    return {**told, "c": 0, "i": [604], "t": AT + 5, "q": 50385480, "z": 3, **changes}


def minute(**changes: Any) -> dict[str, Any]:
    told = {"ev": "AM", "sym": "MSFT", "v": 4110, "av": 9470157, "op": 0.4372, "vw": 0.4488, "o": 0.4488}
    return {**told, "c": 0.4486, "h": 0.4489, "l": 0.4486, "a": 0.4352, "s": AT, "e": AT + 60_000, **changes}


def band(*indicators: int, **changes: Any) -> dict[str, Any]:
    told = {"ev": "LULD", "T": "MSFT", "h": 218.96, "l": 198.11, "i": list(indicators), "z": 3}
    return {**told, "t": (AT + 5) * 1_000, "q": 290317, **changes}


def status(name: str, message: str) -> dict[str, Any]:
    return {"ev": "status", "status": name, "message": message}


def frame(*told: Any) -> str:
    return json.dumps(list(told))


@needs_data
class TestRecordings:
    def test_every_file_is_read_or_left_out_for_a_reason(self) -> None:
        left_out = {pattern: why for why, patterns in LEFT_OUT.items() for pattern in patterns}
        read_files, _, _, _ = sorted_files(FOLDER, READ, ROWS, CONDITIONS, left_out)
        for path in read_files:
            said = read(json.dumps(list(messages(path))))
            assert said.unreadable == []
            assert Counter(map(type, said.readings)) == READ[path.relative_to(FOLDER).as_posix()]

    async def test_rows_of_candles_are_read(self) -> None:
        [(name, count)] = ROWS.items()
        async with serving_script() as server:
            server.script = [(200, (FOLDER / name).read_bytes())]
            history = PolygonBars(HttpQuestions("polygon", server.url, {"Authorization": "Bearer key"}))
            bars = await history.bars(Symbol("AAPL"), Timeframe.H1, 0, 2_000_000_000_000)
            await history.close()
        assert len(bars) == count
        prices = [Decimal(text) for text in ("1.5032", "1.5064", "1.4489", "1.4604", "642646396.0")]
        assert bars[0] == Bar(1_112_331_600_000, *prices)
        [request] = server.asked
        assert request.path == "/v2/aggs/ticker/AAPL/range/1/hour/0/2000000000000"
        assert request.query["adjusted"] == "false"
        assert request.headers["Authorization"] == "Bearer key"

    def test_the_trades_that_do_not_count_are_those_of_the_reference(self) -> None:
        [name] = CONDITIONS
        rules = {
            each["id"]: each["update_rules"]["consolidated"]["updates_open_close"]
            for each in json.loads((FOLDER / name).read_text())["results"]
        }
        assert len(rules) == 10
        assert {number for number, updates in rules.items() if not updates} == NOT_LAST & rules.keys()


class TestWhatFramesSay:
    def test_all_four_kinds(self) -> None:
        assert read(frame(trade(), quote(), minute(), band(21, 17))).readings == [
            TradeRead(MSFT, "114.125", "100", None, "4-12345", AT + 5),
            BookRead(MSFT, "114.125", "100", "114.128", "160", AT + 5),
            KlineRead(
                *(MSFT, Timeframe.M1, AT, "0.4488", "0.4489", "0.4486", "0.4486", "4110"),
                closed=True,
                at=AT + 60_000,
            ),
            HaltRead(MSFT, True, "17", "trading halted", AT + 5),
        ]

    def test_a_resumption(self) -> None:
        [reading] = read(frame(band(18))).readings
        assert reading == HaltRead(MSFT, False, "18", "trading resumed", AT + 5)

    @pytest.mark.parametrize("conditions", [[12], [0, 37], [2], [53, 41], [10]])
    def test_a_trade_that_does_not_update_the_last_price_is_left_out(self, conditions: list[int]) -> None:
        assert read(frame(trade(c=conditions))) == ([], [], [])

    @pytest.mark.parametrize("conditions", [[], [0], [14, 41], [8], [9]])
    def test_a_trade_that_does_is_read(self, conditions: list[int]) -> None:
        assert len(read(frame(trade(c=conditions))).readings) == 1

    def test_a_book_of_one_side_is_left_out(self) -> None:
        one_sided = quote()
        del one_sided["bp"], one_sided["bs"]
        assert read(frame(one_sided, quote(ap=0), {"ev": "A", "sym": "MSFT"})) == ([], [], [])


class TestWhatCannotBeUsed:
    @pytest.mark.parametrize(
        ("bad", "reason"),
        [
            (trade(p=0), "a price is no positive number"),
            (trade(s=-1), "a quantity is no positive number"),
            (trade(t=0), "a time is no milliseconds since 1970"),
            (trade(p=True), "Expected `int | float`, got `bool` - at `$.p`"),
            (quote(ap=-1), "a price is no positive number"),
            (minute(s=AT + 1, e=AT + 60_001), "a candle is off the grid of its timeframe"),
            (minute(e=AT + 1_000), "a bar is not one minute long"),
            (minute(h=None), "Expected `int | float`, got `null` - at `$.h`"),
            (band(17, T=7), "Expected `str`, got `int` - at `$.T`"),
            ({"ev": "weather"}, "unknown kind of message"),
            ({"sym": "MSFT"}, "Object missing required field `ev`"),
            (7, "Expected `object`, got `int`"),
        ],
    )
    def test_takes_nothing_with_it(self, bad: Any, reason: str) -> None:
        said = read(frame(quote(), bad, minute()))
        assert [type(reading) for reading in said.readings] == [BookRead, KlineRead]
        assert said.unreadable == [reason]

    @pytest.mark.parametrize("bad", ["", "{}", '[{"ev":"AM","sym":,}]', frame(minute())[:-3], b"\xff"])
    def test_what_is_no_list_of_messages_is_refused(self, bad: str | bytes) -> None:
        with pytest.raises(UnreadableFrame):
            read(bad)

    @given(spoiled([frame(trade(), quote()), frame(minute()), frame(band(17), minute())]))
    @settings(max_examples=400)
    def test_spoiled_frames_give_sound_readings_or_a_reason(self, bad: str | bytes) -> None:
        try:
            said = read(bad)
        except UnreadableFrame:
            return
        assert all(said.unreadable)
        for reading in said.readings:
            if not isinstance(reading, HaltRead):
                assert_sound(reading)


class TestTalk:
    def talk(self) -> PolygonTalk:
        return PolygonTalk([MSFT, Symbol("SPY")], "the-key")

    def say(self, talk: PolygonTalk, *told: dict[str, Any]) -> list[Any]:
        assert talk.hear(frame(*told)) == []
        return [json.loads(answer) for answer in talk.answers()]

    def test_logs_in_subscribes_and_asks_for_halts_when_the_rest_is_confirmed(self) -> None:
        talk = self.talk()
        assert self.say(talk, status("connected", "Connected Successfully")) == [
            {"action": "auth", "params": "the-key"}
        ]
        [subscription] = self.say(talk, status("auth_success", "authenticated"))
        topics = ["AM.MSFT", "AM.SPY", "T.MSFT", "T.SPY", "Q.MSFT", "Q.SPY"]
        assert subscription == {"action": "subscribe", "params": ",".join(topics)}
        confirmations = [status("success", f"subscribed to: {topic}") for topic in topics]
        assert self.say(talk, *confirmations[:-1]) == []
        assert not talk.subscribed
        assert self.say(talk, confirmations[-1]) == [{"action": "subscribe", "params": "LULD.MSFT,LULD.SPY"}]
        assert talk.subscribed
        assert self.say(talk, status("success", "subscribed to: LULD.MSFT")) == []

    def test_a_plan_without_halts_is_told_and_the_rest_goes_on(self) -> None:
        talk = PolygonTalk([MSFT], "the-key")
        topics = ("AM.MSFT", "T.MSFT", "Q.MSFT")
        self.say(talk, *(status("success", f"subscribed to: {topic}") for topic in topics))
        assert self.say(talk, status("error", "not authorized")) == []
        assert talk.refused == ["error: not authorized"]

    @pytest.mark.parametrize(
        ("name", "message", "advice"),
        [
            ("auth_failed", "authentication failed", "check feeds.polygon_key"),
            ("max_connections", "Maximum number of websocket connections exceeded.", "already connected"),
            ("error", "not authorized", ""),
            ("force_disconnect", "slow consumer", ""),
        ],
    )
    def test_is_turned_away_with_words_and_advice(self, name: str, message: str, advice: str) -> None:
        with pytest.raises(TurnedAway) as away:
            self.talk().hear(frame(status(name, message)))
        assert str(away.value).startswith(f"{name}: {message}")
        assert advice in str(away.value)

    def test_stocks_that_nobody_asked_for_are_refused(self) -> None:
        talk = self.talk()
        assert len(talk.hear(frame(quote(sym="AAPL"), quote()))) == 1
        assert talk.refused == ["unknown symbol"]


class TestHistory:
    async def answered(self, *answers: dict[str, Any], timeframe: Timeframe) -> tuple[list[Bar], list[str]]:
        async with serving_script() as server:
            server.script = [(200, json.dumps(answer).encode()) for answer in answers]
            history = PolygonBars(HttpQuestions("polygon", server.url, {}))
            try:
                bars = await history.bars(MSFT, timeframe, 0, 14_400_000 - 1)
            finally:
                await history.close()
        return bars, [request.path_qs for request in server.asked]

    async def test_the_next_page_is_asked_of_the_same_address(self) -> None:
        row = {"o": 1, "h": 2, "l": 1, "c": 2, "v": 10}
        first = {"results": [{"t": 0, **row}], "next_url": "https://elsewhere.example/v2/aggs/next?cursor=x"}
        bars, asked = await self.answered(first, {"results": [{"t": 60_000, **row}]}, timeframe=Timeframe.M1)
        assert [bar.open_time for bar in bars] == [0, 60_000]
        assert asked[1] == "/v2/aggs/next?cursor=x"

    async def test_no_results_are_no_bars(self) -> None:
        assert (await self.answered({"status": "OK", "resultsCount": 0}, timeframe=Timeframe.M5))[0] == []

    async def test_four_hours_are_folded_from_hours(self) -> None:
        hours = [
            {"t": n * 3_600_000, "o": n + 1, "h": n + 3, "l": 0.5, "c": n + 2, "v": 1.5} for n in range(4)
        ]
        bars, asked = await self.answered({"results": hours}, timeframe=Timeframe.H4)
        assert bars == [
            Bar(0, Decimal("1.0"), Decimal("6.0"), Decimal("0.5"), Decimal("5.0"), Decimal("6.0"))
        ]
        assert "/range/1/hour/" in asked[0]

    async def test_a_bar_off_the_grid_is_an_error(self) -> None:
        row = {"t": 1, "o": 1, "h": 2, "l": 1, "c": 2, "v": 10}
        with pytest.raises(FeedDown, match="off its grid"):
            await self.answered({"results": [row]}, timeframe=Timeframe.M1)
