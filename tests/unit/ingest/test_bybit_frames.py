"""Bybit's frames: what they say, what is left out and why, what cannot be used."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nexus_common.contracts.values import Side, Symbol, Timeframe, Venue
from nexus_ingest.domain.readings import BookRead, KlineRead, MarkRead, TradeRead, UnreadableFrame
from nexus_ingest.venues.bybit.frames import BybitTalk
from nexus_ingest.venues.perpetuals import spelled
from nexus_ingest.venues.rest import bar
from unit.ingest.venue_messages import DATA, assert_sound, messages, sorted_files, spoiled

FOLDER = DATA / "messages" / "bybit"
DEEP_BOOK = DATA / "ticks" / "bybit_linear" / "XRPUSDT-ob500.2024-12-01.jsonl"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="no recorded messages beside the checkout")

# Files with frames of the public stream, and how many readings of each kind are in each of them.
READ: dict[str, dict[type, int]] = {
    "docs_v5/websocket__public__kline.json": {KlineRead: 1},
    "docs_v5/websocket__public__trade.json": {TradeRead: 1},
    "docs_v5/websocket__public__ticker.json": {},
    "docs_v5/websocket__public__orderbook.json": {},
    "nautilus/r_ws_ticker_linear.json": {MarkRead: 1},
    "nautilus/r_ws_ticker_option.json": {},
    "nautilus/r_ws_orderbook_delta.json": {},
    "nautilus/r_ws_public_trade.json": {},
    "nautilus/r_ws_subscription_ack.json": {},
}
# Frames within the files above that are refused, and frames that say nothing.
REFUSED = {
    "tickers.BTC-6JAN23-17500-C": "unknown symbol",  # an option
    "orderbook.50.BTCUSDT": "unknown kind",  # a deeper book than the best prices
    "orderbook.1.BTCUSDT": "a change before its snapshot",  # by itself it says what is gone, not what is best
    "trade.linear.BTCUSDT": "unknown kind",  # its authors' own topic; the documented one is publicTrade.BTCUSDT
}
SAYS_NOTHING = {
    "tickers.BTCUSDT": "spot's ticker has no mark price",
    None: "an answer to a subscription",
}
# Rows of candles by REST, read in a test of their own.
ROWS = dict.fromkeys(("docs_v5/market__kline.json", "nautilus/r_http_get_klines_linear.json"))
LEFT_OUT = {
    "instruments; test_listing.py reads them": (
        "docs_v5/market__instrument.json",
        "nautilus/r_http_get_instruments_*.json",
    ),
    "the clock; asked in the conformance suite": ("docs_v5/market__time.json",),
    "by REST, but read from the streams; candles alone are filled up": (
        "docs_v5/market__tickers.json",
        "docs_v5/market__orderbook.json",
        "docs_v5/market__rpi-orderbook.json",
        "nautilus/r_http_get_orderbook.json",
        "nautilus/r_http_get_trades_recent.json",
    ),
    "candles of index prices and premiums; strategies read traded ones": (
        "docs_v5/market__index-kline.json",
        "docs_v5/market__premium-index-kline.json",
    ),
    "statistics, options and terms; no rule asks for them": (
        "docs_v5/market__*delivery-price.json",
        "docs_v5/market__fee-group-info.json",
        "docs_v5/market__index-components.json",
        "docs_v5/market__iv.json",
        "docs_v5/market__long-short-ratio.json",
        "docs_v5/market__open-interest.json",
    ),
    "streams that no rule asks for": (
        "docs_v5/websocket__public__all-liquidation.json",
        "docs_v5/websocket__public__insurance-pool.json",
        "docs_v5/websocket__public__order-price-limit.json",
        "docs_v5/websocket__system__system-status.json",
    ),
    "accounts; the executor reads them": (
        "docs_v5/account__*.json",
        "docs_v5/order__*.json",
        "docs_v5/position__*.json",
        "docs_v5/websocket__private__*.json",
        "docs_v5/websocket__trade__guideline.json",
        "nautilus/r_http_get_executions.json",
        "nautilus/r_http_get_fee_rate.json",
        "nautilus/r_http_get_orders_*.json",
        "nautilus/r_http_get_positions.json",
        "nautilus/r_http_get_user_*.json",
        "nautilus/r_http_get_wallet_*.json",
        "nautilus/r_ws_account_*.json",
        "nautilus/r_ws_auth_*.json",
        "nautilus/r_ws_order_response.json",
    ),
    "the shape of all answers, and what codes mean": ("docs_v5/guide.json", "error_codes.json"),
}
BTC, SHIB = Symbol("BTCUSDT"), Symbol("1000SHIBUSDT")
NAMES = {"BTCUSDT": BTC, "SHIB1000USDT": SHIB}
AT = 1_733_011_200_000


def talk() -> BybitTalk:
    return BybitTalk(NAMES, {name: [f"publicTrade.{name}"] for name in NAMES})


def push(topic: str, data: Any, kind: str = "snapshot", **fields: Any) -> str:
    return json.dumps({"topic": topic, "type": kind, "ts": AT, "data": data, **fields})


def trades(*changes: dict[str, Any]) -> str:
    row = {"T": AT, "s": "BTCUSDT", "S": "Buy", "v": "0.010", "p": "27451.00", "i": "9dc7", "BT": False}
    return push("publicTrade.BTCUSDT", [{**row, **change} for change in changes])


def book(bids: list[list[str]], asks: list[list[str]], kind: str = "snapshot", **fields: Any) -> str:
    data = {"s": "BTCUSDT", "b": bids, "a": asks, "u": 1, "seq": 2}
    return push("orderbook.1.BTCUSDT", data, kind, **{"cts": AT - 2, **fields})


def ticker(kind: str = "snapshot", **fields: Any) -> str:
    return push("tickers.BTCUSDT", {"symbol": "BTCUSDT", **fields}, kind)


def kline(topic: str = "kline.5.BTCUSDT", **changes: Any) -> str:
    row = {"start": AT, "end": AT + 299_999, "interval": "5", "open": "1.0", "close": "2.0", "high": "2.5"}
    row |= {"low": "0.5", "volume": "10", "turnover": "15", "confirm": False, "timestamp": AT + 1}
    return push(topic, [{**row, **changes}])


# -- recorded and documented messages -----------------------------------------------------------------


@needs_data
def test_every_message_is_read_or_left_out_for_a_reason() -> None:
    left_out = {pattern: reason for reason, patterns in LEFT_OUT.items() for pattern in patterns}
    read, *_ = sorted_files(FOLDER, READ, ROWS, left_out)
    for path in read:
        kinds = Counter(kind for message in messages(path) for kind in kinds_of(message))
        assert kinds == READ[path.relative_to(FOLDER).as_posix()], path


def kinds_of(message: dict[str, Any]) -> list[type]:
    topic = message.get("topic")
    if topic in REFUSED:
        with pytest.raises(UnreadableFrame, match=REFUSED[topic]):
            talk().hear(json.dumps(message))
        return []
    said = talk().hear(json.dumps(message))
    assert said or topic in SAYS_NOTHING, message
    for reading in said:
        assert_sound(reading)
    return [type(reading) for reading in said]


@needs_data
def test_rows_of_candles_are_read() -> None:
    [page] = messages(FOLDER / "docs_v5" / "market__kline.json")
    read = [bar(Timeframe.H1, int(row[0]), row[1:6]) for row in page["result"]["list"]]
    assert [str(figure) for figure in read[0]] == [
        *("1670608800000", "17071.0", "17073.0", "17027.0", "17055.5", "268611.0")
    ]
    # This document's candle opens 39 seconds into a minute.
    [invented] = messages(FOLDER / "nautilus" / "r_http_get_klines_linear.json")
    [row] = invented["result"]["list"]
    with pytest.raises(UnreadableFrame, match="off the grid"):
        bar(Timeframe.M1, int(row[0]), row[1:6])


@needs_data
def test_the_best_prices_of_a_recorded_book_are_followed() -> None:
    """A deep book's messages, cut down to what `orderbook.1` would say of them, against the whole book."""
    reader = BybitTalk({"XRPUSDT": Symbol("XRPUSDT")}, {})
    bids: dict[float, str] = {}
    asks: dict[float, str] = {}
    tops: list[list[str] | None] = [None, None]
    changes = 0
    for message in messages_of(DEEP_BOOK):
        for side, levels in ((bids, message["data"]["b"]), (asks, message["data"]["a"])):
            if message["type"] == "snapshot":
                side.clear()
            side.update({float(price): size for price, size in levels})
            for price in [price for price, size in side.items() if float(size) == 0]:
                del side[price]
        best = [[str(max(bids)), bids[max(bids)]], [str(min(asks)), asks[min(asks)]]]
        changed = [change_of(old, new) for old, new in zip(tops, best, strict=True)]
        if not any(changed):
            continue
        kind = "snapshot" if tops[0] is None else "delta"
        data = {"s": "XRPUSDT", "b": changed[0], "a": changed[1]}
        [said] = reader.hear(push("orderbook.1.XRPUSDT", data, kind))
        assert said == ("XRPUSDT", *best[0], *best[1], AT)
        tops, changes = list(best), changes + 1
    assert changes > 20


def messages_of(path: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def change_of(old: list[str] | None, new: list[str]) -> list[list[str]]:
    if old is None or old == new:
        return [] if old == new else [new]
    return [new] if old[0] == new[0] else [new, [old[0], "0"]]


# -- what frames say ----------------------------------------------------------------------------------


def test_figures_are_the_texts_the_venue_sent() -> None:
    fields = {"markPrice": "1.55", "indexPrice": "1.56", "fundingRate": "-0.0001"}
    frames = [
        trades({}, {"S": "Sell", "i": "9dc8"}),
        book([["1.5", "2"]], [["1.6", "3"]]),
        ticker(**fields, nextFundingTime=str(AT + 9), lastPrice="1.57"),
        kline(confirm=True),
    ]
    assert [reading for frame in frames for reading in talk().hear(frame)] == [
        TradeRead(BTC, "27451.00", "0.010", Side.BUY, "9dc7", AT),
        TradeRead(BTC, "27451.00", "0.010", Side.SELL, "9dc8", AT),
        BookRead(BTC, "1.5", "2", "1.6", "3", AT - 2),
        MarkRead(BTC, "1.55", "1.56", "-0.0001", AT + 9, AT),
        KlineRead(BTC, Timeframe.M5, AT, "1.0", "2.5", "0.5", "2.0", "10", True, AT + 1),
    ]


@pytest.mark.parametrize(
    ("interval", "timeframe"), [("1", "1m"), ("5", "5m"), ("15", "15m"), ("60", "1h"), ("240", "4h")]
)
def test_intervals_are_timeframes(interval: str, timeframe: str) -> None:
    [said] = talk().hear(kline(f"kline.{interval}.BTCUSDT"))
    assert isinstance(said, KlineRead)
    assert said.timeframe == timeframe


def test_the_venues_spelling_of_a_multiple_is_ours_in_readings() -> None:
    [said] = talk().hear(kline("kline.5.SHIB1000USDT"))
    assert said.symbol == SHIB
    assert spelled(Venue.BYBIT, [BTC, SHIB]) == {BTC: "BTCUSDT", SHIB: "SHIB1000USDT"}


def test_a_ticker_is_merged_from_what_changed() -> None:
    reader = talk()
    reader.hear(ticker(markPrice="1.5", indexPrice="1.6", fundingRate="0.0001", nextFundingTime=str(AT + 9)))
    assert reader.hear(ticker("delta", lastPrice="9")) == ()
    assert reader.hear(ticker("delta", markPrice="1.7")) == (
        MarkRead(BTC, "1.7", "1.6", "0.0001", AT + 9, AT),
    )
    assert reader.hear(ticker(markPrice="1.8")) == (MarkRead(BTC, "1.8", None, None, None, AT),)


def test_a_bad_change_of_a_ticker_leaves_what_was_known() -> None:
    reader = talk()
    reader.hear(ticker(markPrice="1.5", fundingRate="0.0001"))
    with pytest.raises(UnreadableFrame, match="a price is no positive number"):
        reader.hear(ticker("delta", markPrice="0"))
    assert reader.hear(ticker("delta", fundingRate="0.0002")) == (
        MarkRead(BTC, "1.5", None, "0.0002", None, AT),
    )


def test_a_change_of_a_ticker_without_a_mark_price_says_nothing() -> None:
    assert talk().hear(ticker("delta", fundingRate="0.0002")) == ()


@pytest.mark.parametrize(
    ("bids", "asks", "expected"),
    [
        ([["1.4", "5"], ["1.5", "0"]], [], ("1.4", "5", "1.6", "3")),
        ([["1.55", "5"]], [["1.6", "0"], ["1.7", "4"]], ("1.55", "5", "1.7", "4")),
        ([["1.5", "7"]], [], ("1.5", "7", "1.6", "3")),
        ([["1.50", "0"], ["1.2", "1"]], [], ("1.2", "1", "1.6", "3")),
    ],
)
def test_a_book_is_what_its_changes_leave(bids: Any, asks: Any, expected: tuple[str, ...]) -> None:
    reader = talk()
    reader.hear(book([["1.5", "2"]], [["1.6", "3"]]))
    assert reader.hear(book(bids, asks, "delta")) == ((BTC, *expected, AT - 2),)


def test_a_book_with_an_empty_side_has_no_top() -> None:
    reader = talk()
    reader.hear(book([["1.5", "2"]], [["1.6", "3"]]))
    assert reader.hear(book([["1.5", "0"]], [], "delta")) == ()
    assert reader.hear(book([["1.4", "1"]], [], "delta")) == (BookRead(BTC, "1.4", "1", "1.6", "3", AT - 2),)


# -- asking -------------------------------------------------------------------------------------------


def test_a_connection_is_subscribed_when_each_instrument_was_answered() -> None:
    reader = talk()
    assert [json.loads(frame) for frame in reader.opening()] == [
        {"op": "subscribe", "req_id": name, "args": [f"publicTrade.{name}"]} for name in NAMES
    ]
    assert (
        reader.hear('{"success":true,"ret_msg":"","conn_id":"x","req_id":"BTCUSDT","op":"subscribe"}') == ()
    )
    assert not reader.subscribed
    refusal = '{"success":false,"ret_msg":"error:handler not found","conn_id":"x","op":"subscribe"}'
    assert reader.hear(refusal) == ()
    assert reader.subscribed
    assert reader.refused == ["the venue refuses a request"]


def test_a_pong_is_no_answer_to_a_subscription() -> None:
    reader = talk()
    assert reader.ping() == '{"op":"ping"}'
    assert reader.hear('{"success":true,"ret_msg":"pong","conn_id":"x","req_id":"","op":"ping"}') == ()
    assert not reader.subscribed


# -- what cannot be used ------------------------------------------------------------------------------


def test_a_trade_that_cannot_be_used_does_not_take_the_others_with_it() -> None:
    reader = talk()
    said = reader.hear(trades({"i": "1"}, {"p": "0"}, {"i": "3"}, {"S": "Both"}, {"v": "NaN"}))
    assert [reading.number for reading in said if isinstance(reading, TradeRead)] == ["1", "3"]
    assert reader.refused == [
        "a price is no positive number",
        "a trade is neither buy nor sell",
        "a quantity is no positive number",
    ]


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (kline(low="-1"), "a price is no positive number"),
        (kline(close="NaN"), "a price is no positive number"),
        (kline(volume=""), "a volume is negative or no number"),
        (kline(start=AT + 1), "off the grid"),
        (kline("kline.3.BTCUSDT"), "unknown kind"),
        (kline("kline.5.DOGEUSDT"), "unknown symbol"),
        (kline(confirm="yes"), "Expected `bool`"),
        (ticker(markPrice="0"), "a price is no positive number"),
        (ticker(markPrice="1", nextFundingTime="soon"), "a time is no milliseconds"),
        (ticker(markPrice="1", fundingRate="x"), "a funding rate is no number"),
        (book([["0", "1"]], [["2", "1"]]), "a price is no positive number"),
        (book([["1", "-1"]], [["2", "1"]]), "a volume is negative"),
        (book([["1", "1"]], [["2", "1"]], cts=-1), "a time is no milliseconds"),
        (book([["1", "1"]], [["2", "1"]], "delta"), "a change before its snapshot"),
        (trades({})[:-5], "malformed"),
        ('{"topic":"publicTrade.BTCUSDT","data":' + "[" * 100_000, "malformed"),
        ('{"topic":"weather.BTCUSDT","data":{}}', "unknown kind"),
        ("[]", "Expected `object`"),
        ("", "malformed"),
    ],
)
def test_what_cannot_be_used_is_refused_with_a_reason(frame: str, reason: str) -> None:
    with pytest.raises(UnreadableFrame, match=reason):
        talk().hear(frame)


@given(frame=st.one_of(st.binary(max_size=200), st.text(max_size=200)))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_refused(frame: str | bytes) -> None:
    with pytest.raises(UnreadableFrame):
        talk().hear(frame)


GOOD = [
    trades({}, {}),
    book([["1.5", "2"]], [["1.6", "3"]]),
    book([["1.5", "0"], ["1.4", "2"]], [], "delta"),
    ticker(markPrice="1.5", indexPrice="1.6", fundingRate="0.0001", nextFundingTime=str(AT)),
    ticker("delta", markPrice="1.7"),
    kline(),
    kline(confirm=True),
]


@given(frames=st.lists(st.one_of(spoiled(GOOD), st.sampled_from(GOOD)), min_size=1, max_size=6))
@settings(max_examples=400, deadline=None)
def test_spoiled_frames_are_refused_or_sound_in_any_order(frames: list[str | bytes]) -> None:
    reader = talk()
    for frame in frames:
        try:
            said = reader.hear(frame)
        except UnreadableFrame:
            continue
        for reading in said:
            assert_sound(reading)
