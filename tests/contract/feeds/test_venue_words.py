"""What the simulated venues say has the shape of what the real ones say (recorded and documented messages)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import orjson
import pytest
from msgspec import msgpack

from contract.feeds.shapes import MESSAGES, differences, recorded
from nexus_common.contracts.macro import MacroRead
from nexus_common.contracts.values import Side, Symbol, Timeframe
from nexus_market.exchange.wire import simulated_secret
from nexus_simvenue.market.alpaca import ERRORS, FREE_CHANNELS, AlpacaMarket
from nexus_simvenue.market.bybit import ARGS_LIMIT, BybitMarket
from nexus_simvenue.market.dialect import MarketDialect
from nexus_simvenue.market.happenings import Halt, Happening, Kline, Mark, Print, Top
from nexus_simvenue.market.keys import service_key
from nexus_simvenue.market.macro import MacroVenue
from nexus_simvenue.market.polygon import PolygonMarket
from nexus_simvenue.wire.dialect import Socket
from nexus_simvenue.wire.http import HttpRequest, HttpResponse

NOW = datetime(2025, 10, 29, 12, tzinfo=UTC)
AT = 1_761_739_200_123
BTC, AAPL = Symbol("BTCUSDT"), Symbol("AAPL")
PRINT = Print("114210.1", "0.012", Side.SELL, 7, AT)
TOP = Top("114210", "1.5", "114210.1", "0.3", 41, AT)
MARK = Mark("114209.87", "114201.5", "0.0001", AT + 3_600_000, AT)
MINUTE = Kline(
    Timeframe.M1, AT - AT % 60_000, "388.985", "389.13", "388.975", "389.12", "49378.0", 461, True, AT
)
HALT = Halt(True, "T12", "Trading Halted; For information requested by NASDAQ", AT)
needs_recordings = pytest.mark.skipif(
    not MESSAGES.is_dir(), reason="no recorded messages beside the checkout"
)


def connect(market: MarketDialect, path: str, **headers: str) -> tuple[Socket, list[Any]]:
    socket = Socket(path, {}, headers={name.replace("_", "-"): value for name, value in headers.items()})
    return socket, [orjson.loads(frame) for frame in market.opened(socket, NOW)]


def say(market: MarketDialect, socket: Socket, **said: Any) -> Any:
    [answer] = market.heard(socket, orjson.dumps(said).decode(), NOW)
    return orjson.loads(answer)


def hear(market: MarketDialect, socket: Socket, symbol: Symbol, happening: Happening) -> Any:
    worded = market.word(symbol, happening)
    assert worded is not None
    return orjson.loads(market.wrapped(socket, worded))


# -- Bybit ------------------------------------------------------------------------------------------


@pytest.fixture
def bybit() -> BybitMarket:
    return BybitMarket()


@needs_recordings
@pytest.mark.parametrize(
    ("happening", "document", "added"),
    [
        (PRINT, "docs_v5/websocket__public__trade.json", [".data[0].RPI is new"]),
        (TOP, "docs_v5/websocket__public__orderbook.json", []),
        (MINUTE, "docs_v5/websocket__public__kline.json", []),
        (MARK, "nautilus/r_ws_ticker_linear.json", []),
    ],
)
def test_bybit_says_what_happens_as_documented(
    bybit: BybitMarket, happening: Happening, document: str, added: list[str]
) -> None:
    socket, _ = connect(bybit, "/v5/public/linear")
    known = recorded(f"bybit/{document}")
    message = known[0] if isinstance(known, list) else known
    assert differences(hear(bybit, socket, BTC, happening), message) == added


@needs_recordings
def test_bybit_answers_a_subscription_as_documented(bybit: BybitMarket) -> None:
    socket, _ = connect(bybit, "/v5/public/linear")
    answer = say(bybit, socket, op="subscribe", req_id="sub-orderbook-1", args=["orderbook.1.BTCUSDT"])
    known = recorded("bybit/nautilus/r_ws_subscription_ack.json")
    assert differences(answer, known) == []
    assert (answer["req_id"], answer["success"]) == (known["req_id"], True)


@pytest.mark.parametrize(
    ("op", "args", "message"),
    [
        ("subscribe", ["kline.7.BTCUSDT"], "error:handler not found,topic:kline.7.BTCUSDT"),
        ("subscribe", ["publicTrade.btcusdt"], "error:handler not found,topic:publicTrade.btcusdt"),
        ("subscribe", ["publicTrade.NOPEUSDT"], "error:handler not found,topic:publicTrade.NOPEUSDT"),
        ("subscribe", ["tickers.BTCUSDT"], "error:already subscribed,topic:tickers.BTCUSDT"),
        ("subscribe", [], "Params Error"),
        ("subscribe", "tickers.ETHUSDT", "Params Error"),
        ("levitate", ["tickers.ETHUSDT"], "error:invalid op"),
    ],
)
def test_bybit_refuses_as_recorded(bybit: BybitMarket, op: str, args: Any, message: str) -> None:
    socket, _ = connect(bybit, "/v5/public/linear")
    assert say(bybit, socket, op="subscribe", args=["tickers.BTCUSDT"])["success"]
    answer = say(bybit, socket, op=op, args=args)
    assert (answer["success"], answer["ret_msg"]) == (False, message)
    assert socket.topics == {"tickers.BTCUSDT"}


def test_bybit_limits_the_topics_of_a_connection_by_their_length(bybit: BybitMarket) -> None:
    socket, _ = connect(bybit, "/v5/public/linear")
    socket.topics = {"x" * (ARGS_LIMIT - 5)}
    assert not say(bybit, socket, op="subscribe", args=["tickers.BTCUSDT"])["success"]


def test_bybit_tells_a_book_first_whole_then_by_changes(bybit: BybitMarket) -> None:
    socket, _ = connect(bybit, "/v5/public/linear")
    tops = [
        TOP,
        TOP._replace(bid_quantity="2", number=42),
        TOP._replace(bid="114209", bid_quantity="1", number=43),
        TOP._replace(bid="114209", bid_quantity="1", number=44),
    ]
    told = [hear(bybit, socket, BTC, top) for top in tops]
    assert [message["type"] for message in told] == ["snapshot", "delta", "delta", "snapshot"]
    assert [message["data"]["u"] for message in told] == [41, 42, 43, 44]
    assert told[1]["data"]["b"] == [["114210", "2"]]
    assert told[1]["data"]["a"] == []
    assert told[2]["data"]["b"] == [["114210", "0"], ["114209", "1"]]


def test_bybit_tells_of_a_ticker_only_what_changed(bybit: BybitMarket) -> None:
    socket, _ = connect(bybit, "/v5/public/linear")
    bybit.word(BTC, PRINT)
    bybit.word(BTC, TOP)
    first = hear(bybit, socket, BTC, MARK)
    assert (first["data"]["lastPrice"], first["data"]["bid1Price"]) == ("114210.1", "114210")
    then = hear(bybit, socket, BTC, MARK._replace(mark_price="114200", at=AT + 1_000))
    assert then["type"] == "delta"
    assert then["data"] == {"symbol": "BTCUSDT", "markPrice": "114200"}
    other, _ = connect(bybit, "/v5/public/linear")
    assert hear(bybit, other, BTC, MARK)["type"] == "snapshot"


def test_bybit_spells_names_as_it_lists_them(bybit: BybitMarket) -> None:
    worded = bybit.word(Symbol("1000SHIBUSDT"), PRINT)
    assert worded is not None
    assert worded.topic == "publicTrade.SHIB1000USDT"


def test_bybit_answers_a_ping_and_what_it_cannot_read(bybit: BybitMarket) -> None:
    socket, _ = connect(bybit, "/v5/public/linear")
    answer = say(bybit, socket, op="ping", req_id="100001")
    assert (answer["ret_msg"], answer["op"], answer["req_id"]) == ("pong", "ping", "100001")
    [unreadable] = bybit.heard(socket, "hello", NOW)
    assert not orjson.loads(unreadable)["success"]


# -- Alpaca -----------------------------------------------------------------------------------------


def authenticated(market: AlpacaMarket, key: str = "reader", path: str = "/v2/iex") -> Socket:
    socket, _ = connect(market, path)
    assert say(market, socket, action="auth", key=key, secret=simulated_secret(key)) == [
        {"T": "success", "msg": "authenticated"}
    ]
    return socket


@needs_recordings
@pytest.mark.parametrize(
    ("happening", "number", "added"),
    [
        (PRINT, 0, []),
        (TOP, 1, []),
        # The example is older than the count of trades and the average price.
        (MINUTE, 2, [".n is new", ".vw is new"]),
        (HALT, 4, []),
    ],
)
def test_alpaca_says_what_happens_as_documented(happening: Happening, number: int, added: list[str]) -> None:
    market = AlpacaMarket()
    [ours] = hear(market, authenticated(market), AAPL, happening)
    theirs = recorded("alpaca/docs/market-data-api__stock-pricing-data__realtime.json")[number]
    assert differences(ours, theirs) == added
    assert (ours["T"], ours["S"]) == (theirs["T"], "AAPL")


def test_alpaca_writes_numbers_and_times_as_documented() -> None:
    market = AlpacaMarket()
    socket = authenticated(market)
    [bar] = hear(market, socket, AAPL, MINUTE)
    assert (bar["o"], bar["v"], bar["t"]) == (388.985, 49378, "2025-10-29T12:00:00Z")
    [trade] = hear(market, socket, AAPL, PRINT)
    assert trade["t"] == "2025-10-29T12:00:00.123Z"


def test_alpaca_speaks_messagepack_to_those_who_ask_for_it() -> None:
    market = AlpacaMarket()
    socket = Socket("/v2/sip", {}, headers={"content-type": "application/msgpack"})
    [greeting] = market.opened(socket, NOW)
    assert isinstance(greeting, bytes)
    assert msgpack.decode(greeting) == [{"T": "success", "msg": "connected"}]
    said = {"action": "auth", "key": "reader", "secret": simulated_secret("reader")}
    [answer] = market.heard(socket, msgpack.encode(said), NOW)
    assert msgpack.decode(answer) == [{"T": "success", "msg": "authenticated"}]  # type: ignore[arg-type]
    worded = market.word(AAPL, MINUTE)
    assert worded is not None
    [bar] = msgpack.decode(market.wrapped(socket, worded))  # type: ignore[arg-type]
    assert bar["t"] == datetime(2025, 10, 29, 12, tzinfo=UTC)


def test_alpaca_takes_keys_in_the_handshake_too() -> None:
    secret = simulated_secret("reader")
    socket, greeting = connect(
        AlpacaMarket(), "/v2/iex", apca_api_key_id="reader", apca_api_secret_key=secret
    )
    assert [message["msg"] for [message] in greeting] == ["connected", "authenticated"]
    assert socket.account == "reader"


def test_alpaca_tells_closed_minutes_alone_and_a_changed_one_as_updated() -> None:
    market = AlpacaMarket()
    assert market.word(AAPL, MINUTE._replace(closed=False)) is None
    assert market.word(AAPL, MINUTE._replace(timeframe=Timeframe.M5)) is None
    first, again = market.word(AAPL, MINUTE), market.word(AAPL, MINUTE._replace(volume="49400.0"))
    assert first is not None
    assert again is not None
    assert (first.topic, first.every, again.topic) == ("bars.AAPL", "bars.*", "updatedBars.AAPL")
    [updated] = orjson.loads(again.plain)
    assert (updated["T"], updated["v"]) == ("u", 49400)


def test_alpaca_tells_the_same_minute_twice_as_the_same_bar() -> None:
    market = AlpacaMarket()
    first, again = market.word(AAPL, MINUTE), market.word(AAPL, MINUTE._replace(at=AT + 1))
    assert first == again


def test_alpaca_says_what_one_listens_to() -> None:
    market = AlpacaMarket()
    socket = authenticated(market)
    [answer] = say(market, socket, action="subscribe", trades=["AAPL"], quotes=["AMD", "CLDR"], bars=["*"])
    assert answer["T"] == "subscription"
    assert (answer["trades"], answer["quotes"], answer["bars"]) == (["AAPL"], ["AMD", "CLDR"], ["*"])
    assert answer["corrections"] == answer["cancelErrors"] == ["AAPL"]
    [answer] = say(market, socket, action="unsubscribe", quotes=["AMD"])
    assert answer["quotes"] == ["CLDR"]
    assert socket.topics == {"trades.AAPL", "quotes.CLDR", "bars.*"}


def refusal(answer: Any) -> int:
    [message] = answer
    assert message == {"T": "error", "code": message["code"], "msg": ERRORS[message["code"]]}
    return int(message["code"])


def test_alpaca_refuses_by_its_codes() -> None:
    market = AlpacaMarket(free_keys={"poor"})
    socket, _ = connect(market, "/v2/iex")
    assert refusal(say(market, socket, action="subscribe", bars=["AAPL"])) == 401
    assert refusal(say(market, socket, action="auth", key="poor", secret="guessed")) == 402
    socket = authenticated(market, "poor")
    assert refusal(say(market, socket, action="auth", key="poor", secret=simulated_secret("poor"))) == 403
    assert refusal(say(market, socket, action="levitate")) == 400
    assert refusal(say(market, socket, action="subscribe", bars="AAPL")) == 400
    assert refusal(say(market, socket, action="subscribe", orderbooks=["AAPL"])) == 410
    [unreadable] = market.heard(socket, "{", NOW)
    assert refusal(orjson.loads(unreadable)) == 400
    many = [f"S{number}" for number in range(FREE_CHANNELS + 1)]
    assert refusal(say(market, socket, action="subscribe", trades=many)) == 405
    assert say(market, socket, action="subscribe", bars=many)[0]["bars"] == sorted(many)
    other, _ = connect(market, "/v2/sip")
    assert refusal(say(market, other, action="auth", key="poor", secret=simulated_secret("poor"))) == 409


def test_alpaca_lets_a_key_in_once_until_it_is_gone() -> None:
    market = AlpacaMarket()
    first = authenticated(market)
    second, _ = connect(market, "/v2/iex")
    said = {"action": "auth", "key": "reader", "secret": simulated_secret("reader")}
    assert refusal(say(market, second, **said)) == 406
    first.closed = True
    assert say(market, second, **said) == [{"T": "success", "msg": "authenticated"}]


# -- Polygon ----------------------------------------------------------------------------------------


@needs_recordings
@pytest.mark.parametrize(("happening", "name"), [(PRINT, "T"), (TOP, "Q"), (MINUTE, "AM"), (HALT, "LULD")])
def test_polygon_says_what_happens_as_documented(happening: Happening, name: str) -> None:
    market = PolygonMarket()
    socket, _ = connect(market, "/stocks")
    [ours] = hear(market, socket, AAPL, happening)
    assert differences(ours, recorded(f"polygon/ws/stocks_{name}.json")) == []
    assert (ours["ev"], ours.get("sym", ours.get("T"))) == (name, "AAPL")


def test_polygon_adds_up_the_day() -> None:
    market = PolygonMarket()
    socket, _ = connect(market, "/stocks")
    minutes = [MINUTE._replace(open_time=MINUTE.open_time + number * 60_000) for number in range(3)]
    tomorrow = MINUTE._replace(open_time=MINUTE.open_time + 86_400_000)
    told = [hear(market, socket, AAPL, minute)[0] for minute in (*minutes, minutes[-1], tomorrow)]
    assert [message["av"] for message in told] == [49378, 98756, 148134, 148134, 49378]


def test_polygon_greets_lets_in_and_takes_topics() -> None:
    market = PolygonMarket()
    socket, [greeting] = connect(market, "/stocks")
    assert greeting == [{"ev": "status", "status": "connected", "message": "Connected Successfully"}]
    assert say(market, socket, action="subscribe", params="AM.*")[0]["status"] == "auth_failed"
    assert say(market, socket, action="auth", params="guessed")[0]["status"] == "auth_failed"
    assert say(market, socket, action="auth", params=service_key("me"))[0]["status"] == "auth_success"
    answer = say(market, socket, action="subscribe", params="AM.*,T.AAPL")
    assert [message["message"] for message in answer] == ["subscribed to: AM.*", "subscribed to: T.AAPL"]
    assert say(market, socket, action="subscribe", params="XX.AAPL")[0]["status"] == "error"
    say(market, socket, action="unsubscribe", params="T.AAPL")
    assert socket.topics == {"AM.*"}
    other, _ = connect(market, "/stocks")
    assert say(market, other, action="auth", params=service_key("me"))[0]["status"] == "max_connections"


# -- broken frames ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "market", [BybitMarket(), AlpacaMarket(), PolygonMarket()], ids=["bybit", "alpaca", "polygon"]
)
def test_noise_is_what_it_is_called(market: MarketDialect) -> None:
    def read(frame: str | bytes) -> Any:
        return msgpack.decode(frame) if isinstance(frame, bytes) else orjson.loads(frame)

    for kind in ("malformed", "truncated"):
        with pytest.raises(ValueError):
            read(market.noise(kind))
    assert "sky" in str(read(market.noise("unknown")))
    assert len(market.noise("oversized")) > 4 << 20
    assert read(market.noise("oversized"))


# -- figures of the whole market --------------------------------------------------------------------


def read_at(hours: int, dominance: str, capital: str, fear: int | None) -> MacroRead:
    return MacroRead(
        known_at=NOW + timedelta(hours=hours),
        btc_dominance=Decimal(dominance),
        total_market_cap=Decimal(capital),
        fear_greed=fear,
        total_volume=Decimal("152203783951.07"),
    )


READINGS = [
    read_at(-72, "58.25", "3700000000000", 25),
    read_at(-48, "58.5", "3750000000000", None),
    read_at(-24, "59", "3800000000000", 46),
    read_at(0, "60.5", "3990000000000", 55),
    read_at(24, "61", "4000000000000", 80),
]


def asked(path: str, query: str = "", key: str = "") -> HttpResponse:
    headers = {"x-cmc_pro_api_key": key} if key else {}
    answer = MacroVenue(READINGS).get(HttpRequest("GET", path, query, headers), NOW)
    assert answer is not None
    return answer


METRICS = "/v1/global-metrics/quotes/latest"


@needs_recordings
def test_coinmarketcap_answers_as_recorded() -> None:
    ours = orjson.loads(asked(METRICS, "convert_id=2781", service_key("me")).body)
    assert differences(ours, recorded("coinmarketcap/global_metrics_quotes_latest_20250726.json")) == []
    quote = ours["data"]["quote"]["2781"]
    assert (ours["data"]["btc_dominance"], quote["total_market_cap"]) == (60.5, 3.99e12)
    assert ours["data"]["btc_dominance_24h_percentage_change"] == 1.5
    assert quote["total_market_cap_yesterday_percentage_change"] == pytest.approx(5.0)
    assert quote["last_updated"] == "2025-10-29T12:00:00.000Z"


@pytest.mark.parametrize(
    ("query", "key", "status", "code"),
    [("", "", 401, 1002), ("", "guessed", 401, 1001), ("convert=EUR", service_key("me"), 400, 400)],
)
def test_coinmarketcap_refuses_by_its_codes(query: str, key: str, status: int, code: int) -> None:
    answer = asked(METRICS, query, key)
    assert (answer.status, orjson.loads(answer.body)["status"]["error_code"]) == (status, code)


@needs_recordings
def test_fear_and_greed_answers_as_documented() -> None:
    ours = orjson.loads(asked("/fng/").body)
    assert differences(ours, recorded("alternative_me/fng.json")) == []
    assert ours["data"][0]["value"] == "55"


def test_fear_and_greed_comes_by_the_day_newest_first() -> None:
    days = orjson.loads(asked("/fng/", "limit=0").body)["data"]
    assert [(day["value"], day["value_classification"]) for day in days] == [
        ("55", "Greed"),
        ("46", "Fear"),
        ("25", "Extreme Fear"),
    ]
    stamps = [int(day["timestamp"]) for day in days]
    assert [a - b for a, b in pairwise(stamps)] == [86_400, 2 * 86_400]
    assert stamps[0] == int(NOW.replace(hour=0).timestamp())
    assert days[0]["time_until_update"] == "43200"
    assert len(orjson.loads(asked("/fng/", "limit=2").body)["data"]) == 2
