"""Binance's frames: what they say, what is left out and why, what cannot be used."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nexus_common.contracts.values import Side, Symbol, Timeframe
from nexus_ingest.domain.readings import BookRead, KlineRead, MarkRead, TradeRead, UnreadableFrame
from nexus_ingest.venues.binance.frames import BinanceTalk
from nexus_ingest.venues.rest import bar
from unit.ingest.venue_messages import DATA, assert_sound, messages, sorted_files, spoiled

FOLDER = DATA / "messages" / "binance"
TICKS = DATA / "ticks"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="no recorded messages beside the checkout")

# Files with frames of the market streams, and how many readings of each kind are in each of them.
READ = {
    "cryptofeed/um_ws_combined_20210722.jsonl": {BookRead: 450, KlineRead: 54},
    "hftbacktest/binance_um_BTCUSDT_2024-08-08_sample.jsonl": {TradeRead: 25, BookRead: 25},
    "hftbacktest/binance_spot_BTCUSDT_2024-08-08_sample.jsonl": {TradeRead: 25},
    "nautilus/r_futures__market_data_json__book_ticker_stream.json": {BookRead: 1},
    "nautilus/r_futures__market_data_json__kline_stream_*.json": {KlineRead: 1},
    "nautilus/r_futures__market_data_json__mark_price_stream.json": {MarkRead: 1},
    "nautilus/r_futures__market_data_json__trade_stream.json": {TradeRead: 1},
    "nautilus/p_ws_messages__ws_spot_trade.json": {TradeRead: 1},
}
# Files with rows of candles by REST.
ROWS = {"nautilus/p_http_responses__http_futures_market_continuous_klines.json": 1}
# Kinds of frames within the files above that are not read.
LEFT_OUT_KINDS = {
    "aggTrade": "the same trades, those of one order taken together",
    "depthUpdate": "changes of a deeper book than the best prices",
    None: "spot alone: a book's snapshot, and best prices without a kind and a time",
}
_MARKET = "nautilus/p_http_responses__http_futures_market_"
LEFT_OUT = {
    "the same trades, those of one order taken together": (
        "nautilus/r_futures__market_data_json__agg_trade_stream.json",
        "tiagosiebler/ws_aggTrade.json",
    ),
    "a deeper book than the best prices": (
        "nautilus/r_futures__market_data_json__depth_update_stream.json",
        "nautilus/p_ws_messages__ws_futures_depth_*.json",
        "tiagosiebler/ws_depthUpdate.json",
        "cryptofeed/um_rest_depth_*.json",
    ),
    "figures of a day; nothing is decided on them": (
        "nautilus/r_futures__market_data_json__ticker_stream.json",
        "nautilus/p_ws_messages__ws_*_ticker_24hr.json",
        "tiagosiebler/ws_24hr*.json",
    ),
    "liquidations; no rule asks for them": ("nautilus/r_futures__market_data_json__liquidation_stream.json",),
    "instruments; test_listing.py reads them": (
        "cryptofeed/um_rest_exchangeInfo_*.json",
        _MARKET + "exchange_info.json",
    ),
    "by REST, but read from the streams; candles alone are filled up": (
        _MARKET + "*trades.json",
        _MARKET + "book_ticker.json",
        _MARKET + "ticker_price.json",
        _MARKET + "funding_rate.json",
        _MARKET + "premium_index.json",
    ),
    "candles of index and mark prices; strategies read traded ones": (_MARKET + "*_price_klines.json",),
    "statistics; no rule asks for them": (
        _MARKET + "*_ratio.json",
        _MARKET + "asset_index.json",
        _MARKET + "index_info.json",
        _MARKET + "open_interest.json",
    ),
    "spot's REST; USDT-M is traded": (
        "nautilus/p_http_responses__http_spot_market_*.json",
        "nautilus/r_spot__http_json__*.json",
        "spot_error_codes.json",
    ),
    "accounts; the executor reads them": (
        "nautilus/p_http_responses__http_futures_account_*.json",
        "nautilus/p_http_responses__http*_wallet_*.json",
        "nautilus/r_futures__http_json__*.json",
        "nautilus/*user_data_*.json",
        "nautilus/p_ws_messages__ws_futures_algo_update_*.json",
        "nautilus/p_ws_messages__ws_futures_order_update_*.json",
        "nautilus/p_ws_messages__ws_futures_trade_lite.json",
        "nautilus/p_ws_messages__ws_spot_execution_report_*.json",
        "tiagosiebler/ws_[A-Z]*.json",
        "tiagosiebler/ws_balanceUpdate.json",
        "tiagosiebler/ws_executionReport.json",
        "tiagosiebler/ws_listStatus.json",
        "tiagosiebler/ws_outboundAccountPosition.json",
        "misc/*.json",
    ),
}
NAMES = ("BTCUSDT", "SUSHIUSDT", "CTKUSDT", "BNBUSDT", "ETHUSDT")
BTC = Symbol("BTCUSDT")
AT = 1_723_161_600_000


def talk() -> BinanceTalk:
    return BinanceTalk({name: Symbol(name) for name in NAMES})


def trade(**changes: Any) -> str:
    data = {"e": "trade", "E": AT, "T": AT, "s": "BTCUSDT", "t": 7, "p": "61800.30", "q": "0.006", "m": False}
    return json.dumps({"stream": "btcusdt@trade", "data": {**data, "X": "MARKET", **changes}})


def top(**changes: Any) -> str:
    data = {
        "e": "bookTicker",
        "u": 1,
        "s": "BTCUSDT",
        "b": "1.5",
        "B": "2",
        "a": "1.6",
        "A": "3",
        "T": AT,
        "E": AT,
    }
    return json.dumps({"stream": "btcusdt@bookTicker", "data": {**data, **changes}})


def mark(**changes: Any) -> str:
    data = {
        "e": "markPriceUpdate",
        "E": AT,
        "s": "BTCUSDT",
        "p": "1.55",
        "i": "1.56",
        "P": "1.57",
        "r": "-0.0001",
    }
    return json.dumps({"stream": "btcusdt@markPrice@1s", "data": {**data, "T": AT + 9, **changes}})


def kline(**changes: Any) -> str:
    candle = {
        "t": AT,
        "T": AT + 299_999,
        "s": "BTCUSDT",
        "i": "5m",
        "o": "1.0",
        "c": "2.0",
        "h": "2.5",
        "l": "0.5",
    }
    data = {
        "e": "kline",
        "E": AT + 1,
        "s": "BTCUSDT",
        "k": {**candle, "v": "10", "n": 1, "x": False, **changes},
    }
    return json.dumps({"stream": "btcusdt@kline_5m", "data": data})


# -- recorded and documented messages -----------------------------------------------------------------


@needs_data
def test_every_message_is_read_or_left_out_for_a_reason() -> None:
    left_out = {pattern: reason for reason, patterns in LEFT_OUT.items() for pattern in patterns}
    read, rows, _ = sorted_files(FOLDER, READ, ROWS, left_out)
    for path in read:
        expected = next(c for pattern, c in READ.items() if path.relative_to(FOLDER).match(pattern))
        assert Counter(kinds_in(path)) == expected, path
    for path in rows:
        for row in json.loads(path.read_text(encoding="utf-8")):
            assert bar(Timeframe.M1, row[0], row[1:6]).open_time == row[0]


def kinds_in(path: Path) -> Iterator[type]:
    """The readings in a file, once by itself and once in an envelope; frames that are left out are refused."""
    for message in messages(path):
        body = message.get("data", message)
        if body.get("e") in LEFT_OUT_KINDS:
            with pytest.raises(UnreadableFrame, match="unknown kind"):
                talk().hear(json.dumps(message))
            continue
        [reading] = talk().hear(json.dumps(message))
        assert [reading] == list(talk().hear(json.dumps({"stream": "any", "data": body})))
        assert_sound(reading)
        yield type(reading)


def recorded(market: str, stream: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """When a frame was received (ns), and the frame."""
    with gzip.open(TICKS / market / "BTCUSDT-raw_ws.2024-08-08.gz", "rt") as lines:
        for line in lines:
            received, _, frame = line.partition(" ")
            if f"@{stream}" in frame[:40]:
                yield int(received), json.loads(frame)


@needs_data
@pytest.mark.parametrize(("market", "count"), [("binance_um", 21_313), ("binance_spot", 9_757)])
def test_the_raw_recordings_are_the_trades_beside_them(market: str, count: int) -> None:
    beside = pl.read_parquet(TICKS / market / "BTCUSDT-trades.2024-08-08.parquet")
    expected = beside.select("trade_id", "trade_ms", "price", "qty", "buyer_is_maker").rows()
    reader = talk()
    read = [only(reader, frame) for _, frame in recorded(market, "trade")]
    assert len(read) == count
    assert [
        (int(r.number), r.at, float(r.price), float(r.quantity), r.taker is Side.SELL) for r in read
    ] == expected


@needs_data
@pytest.mark.parametrize(("market", "count"), [("binance_um", 66_089), ("binance_spot", 28_040)])
def test_the_raw_recordings_are_the_book_tops_beside_them(market: str, count: int) -> None:
    """Spot's have no kind and no time of their own: they are given the recorder's."""
    beside = pl.read_parquet(TICKS / market / "BTCUSDT-bookticker.2024-08-08.parquet")
    expected = beside.select("trans_ms", "local_ns", "bid", "bid_qty", "ask", "ask_qty").rows()
    reader = talk()
    read = []
    for received, frame in recorded(market, "bookTicker"):
        frame["data"] = {"e": "bookTicker", "T": received // 1_000_000, **frame["data"]}
        read.append((received, only(reader, frame)))
    assert len(read) == count
    for (received, r), (at, local_ns, *book) in zip(read, expected, strict=True):
        assert (received, r.at) == (local_ns, at or local_ns // 1_000_000)
        assert [float(figure) for figure in r[1:5]] == book


def only(reader: BinanceTalk, frame: dict[str, Any]) -> Any:
    [reading] = reader.hear(json.dumps(frame))
    return reading


# -- what frames say ----------------------------------------------------------------------------------


def test_figures_are_the_texts_the_venue_sent() -> None:
    said = [*talk().hear(trade()), *talk().hear(top()), *talk().hear(mark()), *talk().hear(kline())]
    assert said == [
        TradeRead(BTC, "61800.30", "0.006", Side.BUY, "7", AT),
        BookRead(BTC, "1.5", "2", "1.6", "3", AT),
        MarkRead(BTC, "1.55", "1.56", "-0.0001", AT + 9, AT),
        KlineRead(BTC, Timeframe.M5, AT, "1.0", "2.5", "0.5", "2.0", "10", False, AT + 1),
    ]


def test_a_trade_whose_buyer_was_waiting_was_a_sale() -> None:
    [sale] = talk().hear(trade(m=True))
    assert sale == TradeRead(BTC, "61800.30", "0.006", Side.SELL, "7", AT)


def test_a_contract_without_funding_has_no_rate_and_no_time_for_it() -> None:
    [said] = talk().hear(mark(r="", T=0))
    assert said == MarkRead(BTC, "1.55", "1.56", None, None, AT)


def test_a_trade_that_is_none_says_nothing() -> None:
    assert talk().hear(trade(X="NA", p="0", q="0")) == ()


def test_time_that_goes_backwards_is_passed_on() -> None:
    reader = talk()
    assert [reader.hear(trade(T=at))[0].at for at in (AT, AT - 60_000)] == [AT, AT - 60_000]


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (trade(p="0"), "a price is no positive number"),
        (trade(p="0.00"), "a price is no positive number"),
        (trade(p="NaN"), "a price is no positive number"),
        (trade(p="-1"), "a price is no positive number"),
        (trade(p="1e400"), "a price is no positive number"),
        (trade(p=5), "Expected `str`"),
        (trade(q="0"), "a quantity is no positive number"),
        (trade(T=-5), "a time is no milliseconds"),
        (trade(s="DOGEUSDT"), "unknown symbol"),
        (trade(e="liquidity"), "unknown kind"),
        (top(a="0"), "a price is no positive number"),
        (top(B="x"), "a quantity is no positive number"),
        (mark(p="Infinity"), "a price is no positive number"),
        (mark(i="0"), "a price is no positive number"),
        (mark(r="much"), "a funding rate is no number"),
        (kline(l="0"), "a price is no positive number"),
        (kline(v="-1"), "a volume is negative"),
        (kline(i="3m"), "unknown timeframe"),
        (kline(t=AT + 60_000), "off the grid"),
        (kline(x="true"), "Expected `bool`"),
        (trade()[:-9], "malformed"),
        ("", "malformed"),
        ("[]", "Expected `object`"),
        ('{"stream": "x", "data": ' + "[" * 100_000, "malformed"),
        ('{"result": null, "id": 1}', "unknown kind"),
    ],
)
def test_what_cannot_be_used_is_refused_with_a_reason(frame: str, reason: str) -> None:
    with pytest.raises(UnreadableFrame, match=reason):
        talk().hear(frame)


def test_a_reason_does_not_hold_what_the_frame_held() -> None:
    with pytest.raises(UnreadableFrame) as refused:
        talk().hear(kline(i="secret"))
    assert "secret" not in str(refused.value)


@given(frame=st.one_of(st.binary(max_size=200), st.text(max_size=200)))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_refused(frame: str | bytes) -> None:
    with pytest.raises(UnreadableFrame):
        talk().hear(frame)


@given(frame=spoiled([trade(), top(), mark(), kline(), kline(x=True)]))
@settings(max_examples=600, deadline=None)
def test_a_spoiled_frame_is_refused_or_sound(frame: str | bytes) -> None:
    try:
        said = talk().hear(frame)
    except UnreadableFrame:
        return
    for reading in said:
        assert_sound(reading)
