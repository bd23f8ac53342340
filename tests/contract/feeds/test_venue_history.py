"""What the simulated venues answer about the past, asked as their documents say: pages, limits, refusals."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import orjson
import pytest

from contract.feeds.shapes import MESSAGES, differences, recorded
from nexus_common.contracts.values import Side, Symbol, Timeframe, Venue
from nexus_market.candles import Series, slot_millis, to_millis
from nexus_market.exchange.wire import simulated_secret
from nexus_market.instruments import DEFAULT_INSTRUMENTS
from nexus_simvenue.market.alpaca import AlpacaMarket
from nexus_simvenue.market.bybit import BybitMarket
from nexus_simvenue.market.dialect import MarketDialect
from nexus_simvenue.market.happenings import Kline, Mark, Print, Top
from nexus_simvenue.market.history import PlayedHistory
from nexus_simvenue.market.keys import service_key
from nexus_simvenue.market.polygon import PolygonMarket
from nexus_simvenue.wire.http import HttpRequest, HttpResponse

NOW = datetime(2025, 10, 29, 15, 30, 20, tzinfo=UTC)
BTC, SHIB, AAPL, SPY = map(Symbol, ("BTCUSDT", "1000SHIBUSDT", "AAPL", "SPY"))
SLOT = 60_000
FIRST = to_millis(NOW) // SLOT * SLOT - 100 * SLOT
needs_recordings = pytest.mark.skipif(
    not MESSAGES.is_dir(), reason="no recorded messages beside the checkout"
)


def minutes(count: int = 200, timeframe: Timeframe = Timeframe.M1) -> Series:
    """Bars of which half lie behind the venue's present moment."""
    numbers = np.arange(count, dtype=np.float64)
    times = FIRST + np.arange(count, dtype=np.int64) * slot_millis(timeframe)
    return Series(
        timeframe, times, numbers + 100.5, numbers + 102, numbers + 100, numbers + 101.25, numbers * 3
    )


def history_of(venue: Venue, *symbols: Symbol) -> PlayedHistory:
    history = PlayedHistory(
        lambda: to_millis(NOW),
        lambda: DEFAULT_INSTRUMENTS[venue],
        {(symbol, Timeframe.M1): minutes() for symbol in symbols},
        {BTC: [(FIRST + number * 600 * SLOT, Decimal("0.0001")) for number in range(-3, 1)]},
    )
    for symbol in symbols:
        for number in range(5):
            at = to_millis(NOW) - 1_000 * (5 - number)
            history.note(symbol, Print(f"{200 + number}.5", "2", Side.BUY, number, at))
        history.note(symbol, Top("204", "3", "204.5", "1", 9, to_millis(NOW)))
        history.note(symbol, Mark("204.25", "204.2", "0.0001", to_millis(NOW) + SLOT, to_millis(NOW)))
        history.note(symbol, Kline(Timeframe.M1, FIRST + 100 * SLOT, "1", "3", "1", "2", "9", 1, False, 0))
    return history


class Asker:
    """Asks one venue in one way."""

    def __init__(self, market: MarketDialect, history: PlayedHistory, **headers: str) -> None:
        self._market = market
        self.history = history
        self._headers = headers

    def answer(self, path: str, query: str = "") -> HttpResponse:
        request = HttpRequest("GET", path, query, {n.replace("_", "-"): v for n, v in self._headers.items()})
        response = self._market.get(request, NOW, self.history)
        assert response is not None
        return response

    def __call__(self, path: str, query: str = "") -> Any:
        response = self.answer(path, query)
        assert response.status == 200, response.body
        return orjson.loads(response.body)


# -- Bybit ------------------------------------------------------------------------------------------


@pytest.fixture
def bybit() -> Asker:
    return Asker(BybitMarket({SHIB: "Delivering"}), history_of(Venue.BYBIT, BTC, SHIB))


def klines(bybit: Asker, query: str) -> list[int]:
    """The numbers of the bars in an answer."""
    result = bybit("/v5/market/kline", f"category=linear&symbol=BTCUSDT&interval=1&{query}")["result"]
    return [(int(row[0]) - FIRST) // SLOT for row in result["list"]]


def test_bybit_klines_are_newest_first_with_the_open_one(bybit: Asker) -> None:
    assert klines(bybit, "limit=4") == [100, 99, 98, 97]
    assert klines(bybit, "") == list(range(100, -1, -1))


def test_bybit_klines_of_a_span_end_at_its_end_or_go_on_from_its_start(bybit: Asker) -> None:
    assert klines(bybit, f"start={FIRST}&end={FIRST + 50 * SLOT}&limit=3") == [50, 49, 48]
    assert klines(bybit, f"start={FIRST + 10 * SLOT}&limit=3") == [12, 11, 10]
    assert klines(bybit, f"end={FIRST + 2 * SLOT + 5}") == [2, 1, 0]
    assert klines(bybit, f"start={FIRST + 150 * SLOT}") == []


@needs_recordings
@pytest.mark.parametrize(
    ("path", "query", "document"),
    [
        ("/v5/market/time", "", "market__time"),
        ("/v5/market/kline", "category=linear&symbol=BTCUSDT&interval=1", "market__kline"),
        ("/v5/market/tickers", "category=linear&symbol=BTCUSDT", "market__tickers"),
    ],
)
def test_bybit_answers_as_documented(bybit: Asker, path: str, query: str, document: str) -> None:
    assert differences(bybit(path, query), recorded(f"bybit/docs_v5/{document}.json")[0]) == []


@needs_recordings
def test_bybit_lists_an_instrument_as_documented(bybit: Asker) -> None:
    ours = bybit("/v5/market/instruments-info", "category=linear&symbol=BTCUSDT")["result"]["list"][0]
    theirs = recorded("bybit/nautilus/r_http_get_instruments_linear.json")["result"]["list"][0]
    assert not [d for d in differences(ours, theirs) if not d.endswith("is new")]


def test_bybit_lists_by_status(bybit: Asker) -> None:
    def symbols(query: str) -> list[tuple[str, str]]:
        rows = bybit("/v5/market/instruments-info", f"category=linear{query}")["result"]["list"]
        return [(row["symbol"], row["status"]) for row in rows]

    assert symbols("") == [("BTCUSDT", "Trading"), ("SHIB1000USDT", "Trading")]
    bybit.history.vanish(SHIB)
    bybit.history.vanish(BTC)
    assert symbols("") == []
    assert symbols("&status=Delivering") == [("SHIB1000USDT", "Delivering")]
    assert symbols("&symbol=BTCUSDT") == [("BTCUSDT", "Closed")]


def test_bybit_tells_the_last_of_everything(bybit: Asker) -> None:
    [ticker] = bybit("/v5/market/tickers", "category=linear&symbol=BTCUSDT")["result"]["list"]
    assert (ticker["lastPrice"], ticker["markPrice"], ticker["bid1Price"]) == ("204.5", "204.25", "204")
    trades = bybit("/v5/market/recent-trade", "category=linear&symbol=BTCUSDT&limit=2")["result"]["list"]
    assert [(trade["price"], trade["side"]) for trade in trades] == [("204.5", "Buy"), ("203.5", "Buy")]


def test_a_trade_has_one_id_in_the_stream_and_by_rest(bybit: Asker) -> None:
    worded = BybitMarket().word(BTC, Print("204.5", "2", Side.BUY, 4, 0))
    assert worded is not None
    [trade] = bybit("/v5/market/recent-trade", "category=linear&symbol=BTCUSDT&limit=1")["result"]["list"]
    assert orjson.loads(worded.plain)["data"][0]["i"] == trade["execId"]


def test_bybit_tells_settlements_newest_first(bybit: Asker) -> None:
    rows = bybit("/v5/market/funding/history", "category=linear&symbol=BTCUSDT&limit=2")["result"]["list"]
    assert [int(row["fundingRateTimestamp"]) for row in rows] == [FIRST, FIRST - 600 * SLOT]


def test_bybit_marks_have_no_volume(bybit: Asker) -> None:
    query = "category=linear&symbol=BTCUSDT&interval=1&limit=1"
    [row] = bybit("/v5/market/mark-price-kline", query)["result"]["list"]
    assert row == [str(FIRST + 100 * SLOT), "1", "3", "1", "2"]


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("kline", "category=linear&symbol=NOPEUSDT&interval=1"),
        ("kline", "category=linear&symbol=BTCUSDT&interval=7"),
        ("kline", "category=linear&symbol=BTCUSDT&interval=1&limit=1001"),
        ("kline", "category=linear&symbol=BTCUSDT"),
        ("kline", "symbol=BTCUSDT&interval=1"),
        ("funding/history", "category=linear&symbol=BTCUSDT&startTime=5"),
    ],
)
def test_bybit_refuses_wrong_parameters(bybit: Asker, path: str, query: str) -> None:
    answer = bybit(f"/v5/market/{path}", query)
    assert answer["retCode"] == 10001
    assert answer["retMsg"].startswith("params error")


# -- Alpaca -----------------------------------------------------------------------------------------


def alpaca_of(key: str = "reader") -> Asker:
    headers = {"apca_api_key_id": key, "apca_api_secret_key": simulated_secret("reader")}
    return Asker(AlpacaMarket(), history_of(Venue.ALPACA, AAPL, SPY), **headers)


@pytest.fixture
def alpaca() -> Asker:
    return alpaca_of()


START = "2025-10-29T13:00:00Z"


def test_alpaca_pages_go_on_symbol_by_symbol(alpaca: Asker) -> None:
    query = f"symbols=SPY,AAPL&timeframe=1Min&start={START}&limit=70"
    pages: list[Any] = []
    token = ""
    while token is not None:
        pages.append(alpaca("/v2/stocks/bars", query + (f"&page_token={token}" if token else "")))
        token = pages[-1]["next_page_token"]
    assert [{s: len(bars) for s, bars in page["bars"].items()} for page in pages] == [
        {"AAPL": 70},
        {"AAPL": 30, "SPY": 40},
        {"SPY": 60},
    ]
    times = [bar["t"] for page in pages for bar in page["bars"].get("AAPL", [])]
    assert len(set(times)) == 100
    assert times == sorted(times)


def test_an_alpaca_page_that_ends_with_a_symbol_goes_on_with_the_next(alpaca: Asker) -> None:
    query = f"symbols=AAPL,SPY&timeframe=1Min&start={START}&limit=100"
    first = alpaca("/v2/stocks/bars", query)
    second = alpaca("/v2/stocks/bars", f"{query}&page_token={first['next_page_token']}")
    assert [list(page["bars"]) for page in (first, second)] == [["AAPL"], ["SPY"]]
    assert (len(second["bars"]["SPY"]), second["next_page_token"]) == (100, None)


@needs_recordings
def test_alpaca_answers_as_documented(alpaca: Asker) -> None:
    bodies = recorded("alpaca/alpaca_py/data__test_historical_stock_data.json")
    known = {example["test"]: example["body"] for example in bodies}
    ours = alpaca("/v2/stocks/bars", f"symbols=AAPL&timeframe=1Min&start={START}&limit=10")
    assert differences(ours, known["test_get_bars"]) == []
    ours = alpaca("/v2/stocks/trades/latest", "symbols=AAPL,SPY")["trades"]["AAPL"]
    assert differences(ours, known["test_get_multisymbol_latest_trade"]["trades"]["AAPL"]) == []
    ours = alpaca("/v2/stocks/quotes/latest", "symbols=AAPL")
    assert differences(ours, known["test_get_latest_quote"]) == []


def test_alpaca_answers_for_one_symbol(alpaca: Asker) -> None:
    answer = alpaca("/v2/stocks/AAPL/bars", f"timeframe=1Min&start={START}&limit=2")
    assert (answer["symbol"], len(answer["bars"])) == ("AAPL", 2)
    assert answer["bars"][0]["c"] == 101.25
    assert alpaca("/v2/stocks/AAPL/trades/latest")["trade"]["p"] == 204.5
    assert alpaca("/v2/stocks/AAPL/quotes/latest")["quote"]["ap"] == 204.5


def test_alpaca_knows_the_calendar_the_clock_and_what_trades(alpaca: Asker) -> None:
    [day] = alpaca("/v2/calendar", "start=2025-11-28&end=2025-11-29")
    assert (day["date"], day["open"], day["close"]) == ("2025-11-28", "09:30", "13:00")
    assert alpaca("/v2/clock")["is_open"]
    assert {row["symbol"] for row in alpaca("/v2/assets", "status=active")} == {"AAPL", "SPY"}
    alpaca.history.vanish(SPY)
    assert {row["symbol"] for row in alpaca("/v2/assets", "status=active")} == {"AAPL"}


@pytest.mark.parametrize(
    "query",
    [
        "symbols=AAPL",
        "timeframe=1Min",
        "symbols=AAPL&timeframe=2Min",
        "symbols=AAPL&timeframe=1Min&limit=10001",
        "symbols=AAPL&timeframe=1Min&start=yesterday",
        "symbols=AAPL&timeframe=1Min&start=2025-10-29&end=2025-10-28",
        "symbols=AAPL&timeframe=1Min&page_token=guessed",
        "symbols=AAPL&timeframe=1Min&feed=gossip",
        "symbols=aapl&timeframe=1Min",
        "symbols=AAPL&timeframe=1Min&adjustment=mine",
        "symbols=AAPL&timeframe=1Min&colour=red",
    ],
)
def test_alpaca_refuses_wrong_parameters(alpaca: Asker, query: str) -> None:
    answer = alpaca.answer("/v2/stocks/bars", query)
    assert answer.status == 400
    assert orjson.loads(answer.body)["message"]


def test_alpaca_refuses_strangers_and_sells_the_newest_tape() -> None:
    assert alpaca_of("stranger").answer("/v2/clock").status == 401
    headers = {"apca_api_key_id": "reader", "apca_api_secret_key": simulated_secret("reader")}
    poor = Asker(AlpacaMarket(free_keys={"reader"}), history_of(Venue.ALPACA, AAPL), **headers)
    query = f"symbols=AAPL&timeframe=1Min&start={START}&end={NOW:%Y-%m-%dT%H:%M:%SZ}"
    assert poor.answer("/v2/stocks/bars", f"{query}&feed=sip").status == 403
    assert poor.answer("/v2/stocks/bars", query).status == 200


# -- Polygon ----------------------------------------------------------------------------------------


@pytest.fixture
def polygon() -> Asker:
    headers = {"authorization": f"Bearer {service_key('me')}", "host": "api.example:80"}
    return Asker(PolygonMarket(), history_of(Venue.ALPACA, AAPL), **headers)


@needs_recordings
def test_polygon_aggregates_are_as_documented(polygon: Asker) -> None:
    ours = polygon("/v2/aggs/ticker/AAPL/range/1/minute/2025-10-29/2025-10-29")
    theirs = recorded("polygon/rest/v2_aggs_ticker_AAPL_range_1_day_2005_04_01_2005_04_04.json")
    assert differences(ours, theirs) == [".results[0].n is lacking"]
    assert ours["resultsCount"] == 100


def test_polygon_says_where_the_next_page_is(polygon: Asker) -> None:
    path, query = "/v2/aggs/ticker/AAPL/range/1/minute/2025-10-29/2025-10-29", "limit=40"
    times: list[int] = []
    while path:
        page = polygon(path, query)
        times += [row["t"] for row in page["results"]]
        path, _, query = page.get("next_url", "").removeprefix("http://api.example:80").partition("?")
    assert times == [FIRST + number * SLOT for number in range(100)]


def test_polygon_leaves_out_results_where_there_are_none(polygon: Asker) -> None:
    assert "results" not in polygon("/v2/aggs/ticker/AAPL/range/1/minute/2024-10-29/2024-10-29")


@needs_recordings
def test_polygon_knows_holidays(polygon: Asker) -> None:
    rows = polygon("/v1/marketstatus/upcoming")
    theirs = recorded("polygon/rest/v1_marketstatus_upcoming.json")
    assert differences(rows, theirs) == []
    early = [row for row in rows if row["status"] == "early-close"]
    assert differences(early, [row for row in theirs if row["status"] == "early-close"]) == []
    assert [row["date"] for row in rows if row["exchange"] == "NYSE"][:3] == [
        "2025-11-27",
        "2025-11-28",
        "2025-12-24",
    ]


def test_polygon_knows_whether_the_market_is_open(polygon: Asker) -> None:
    status = polygon("/v1/marketstatus/now")
    assert (status["market"], status["exchanges"]["nyse"]) == ("open", "open")
    assert status["serverTime"] == "2025-10-29T11:30:20-04:00"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v2/aggs/ticker/AAPL/range/3/minute/2025-10-29/2025-10-29", 400),
        ("/v2/aggs/ticker/AAPL/range/1/minute/yesterday/2025-10-29", 400),
        ("/v2/aggs/ticker/AAPL/range/1/minute/2025-10-29/2025-10-29?limit=0", 400),
        ("/v2/aggs/nothing", 404),
    ],
)
def test_polygon_refuses_what_it_does_not_play(polygon: Asker, path: str, status: int) -> None:
    answer = polygon.answer(*path.split("?"))
    assert (answer.status, orjson.loads(answer.body)["status"]) == (status, "ERROR")


@pytest.mark.parametrize(
    ("query", "error"), [("", "API Key was not provided"), ("apiKey=x", "Unknown API Key")]
)
def test_polygon_wants_a_key(query: str, error: str) -> None:
    stranger = Asker(PolygonMarket(), history_of(Venue.ALPACA, AAPL))
    answer = stranger.answer("/v1/marketstatus/now", query)
    assert (answer.status, orjson.loads(answer.body)["error"]) == (401, error)
