"""The simulated Binance refuses and answers as the documents say, and tells as they say."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from contract.binance.ground import ACCOUNT, NOON, RECORDED, SOL, Desk, algo, flat, millis
from nexus_simvenue.binance.errors import MESSAGES
from nexus_simvenue.wire.dialect import Socket, SocketRefused

ORDER, ALGO = "/fapi/v1/order", "/fapi/v1/algoOrder"
LIMIT = {
    "symbol": SOL,
    "side": "BUY",
    "type": "LIMIT",
    "timeInForce": "GTC",
    "quantity": "2",
    "price": "90",
    "newClientOrderId": "rest",
}
MARKET = {"symbol": SOL, "side": "BUY", "type": "MARKET", "quantity": "2", "newClientOrderId": "in"}


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.mark.parametrize(
    ("code", "params"),
    [
        (-1102, {**MARKET, "quantity": "x"}),
        (-1102, {k: v for k, v in MARKET.items() if k != "symbol"}),
        (-1102, {k: v for k, v in MARKET.items() if k != "quantity"}),
        (-1102, {k: v for k, v in LIMIT.items() if k != "timeInForce"}),
        (-1104, {**MARKET, "leverage": "5"}),
        (-1104, {**MARKET, "clientOrderId": "x"}),
        (-1105, {**MARKET, "newClientOrderId": ""}),
        (-1106, {**MARKET, "price": "100"}),
        (-1106, {**MARKET, "timeInForce": "GTC"}),
        (-1106, {**MARKET, "stopPrice": "95"}),
        (-1111, {**MARKET, "quantity": "2.001"}),
        (-1111, {**LIMIT, "price": "90.001"}),
        (-1115, {**LIMIT, "timeInForce": "DAY"}),
        (-1116, {**MARKET, "type": "ICEBERG"}),
        (-1117, {**MARKET, "side": "buy"}),
        (-1121, {**MARKET, "symbol": "SOLUSD"}),
        (-1121, {**MARKET, "symbol": "SOL/USDT"}),
        (-1130, {**MARKET, "quantity": "2e1"}),
        (-1130, {**MARKET, "reduceOnly": "yes"}),
        (-1136, {**MARKET, "newOrderRespType": "FULL"}),
        (-2019, {**MARKET, "quantity": "9000"}),
        (-2022, {**MARKET, "side": "SELL", "reduceOnly": "true"}),
        (-4001, {**LIMIT, "price": "0"}),
        (-4003, {**MARKET, "quantity": "0"}),
        (-4003, {**MARKET, "quantity": "-1"}),
        (-4005, {**MARKET, "quantity": "99000000"}),
        (-4015, {**MARKET, "newClientOrderId": "x" * 37}),
        (-4015, {**MARKET, "newClientOrderId": "a b"}),
        (-4016, {**LIMIT, "price": "200"}),
        (-4024, {**LIMIT, "side": "SELL", "price": "50"}),
        (-4060, {**MARKET, "positionSide": "UP"}),
        (-4061, {**MARKET, "positionSide": "LONG"}),
        (-4120, {**MARKET, "type": "STOP_MARKET", "stopPrice": "95", "closePosition": "true"}),
        (-4120, {**MARKET, "type": "TAKE_PROFIT", "stopPrice": "95"}),
        (-4120, {**MARKET, "type": "TRAILING_STOP_MARKET", "callbackRate": "1"}),
        (-4164, {**MARKET, "quantity": "0.01"}),
        (-5022, {**LIMIT, "timeInForce": "GTX", "price": "101"}),
    ],
)
def test_a_wrong_order_is_refused_with_the_documented_code(
    desk: Desk, code: int, params: dict[str, Any]
) -> None:
    status, body = desk.refused("POST", ORDER, **params)
    assert (status, body["code"]) == (400, code), body
    assert body["msg"]
    assert desk.exchange.account(ACCOUNT).orders == {}


@pytest.mark.parametrize(
    ("code", "params"),
    [
        (-1102, {"algoType": ""}),
        (-1116, {"type": "MARKET"}),
        (-1130, {"algoType": "TWAP"}),
        (-2021, {"triggerPrice": "101", "closePosition": "true"}),
        (-2022, {"side": "BUY", "triggerPrice": "105", "closePosition": "true"}),
        (-4006, {"triggerPrice": "0", "closePosition": "true"}),
        (-1111, {"triggerPrice": "95.001", "closePosition": "true"}),
        (-4031, {"workingType": "LAST", "closePosition": "true"}),
        (-1106, {"closePosition": "true", "reduceOnly": "true"}),
        (-4137, {"closePosition": "true", "quantity": "2"}),
        (-4136, {"type": "TRAILING_STOP_MARKET", "closePosition": "true", "callbackRate": "1"}),
        (-2007, {"type": "TRAILING_STOP_MARKET", "quantity": "2", "callbackRate": "0.05"}),
        (-2007, {"type": "TRAILING_STOP_MARKET", "quantity": "2", "callbackRate": "10.1"}),
        (-2007, {"type": "TRAILING_STOP_MARKET", "quantity": "2", "callbackRate": "1.25"}),
        (-1102, {"quantity": ""}),
        (-1106, {"quantity": "2", "callbackRate": "1"}),
        (-1106, {"quantity": "2", "price": "94"}),
    ],
)
def test_a_wrong_conditional_order_is_refused_with_the_documented_code(
    desk: Desk, code: int, params: dict[str, Any]
) -> None:
    desk.buy()
    wanted = {k: v for k, v in algo(**params).items() if v != ""}
    if wanted.get("type") == "TRAILING_STOP_MARKET":
        del wanted["triggerPrice"]
    assert desk.code("POST", ALGO, **wanted) == code


def test_the_errors_recorded_from_binance_are_worded_the_same() -> None:
    path = RECORDED / "misc" / "um_error_bodies.json"
    bodies: list[dict[str, Any]] = [
        {"http_status": 400, "body": {"code": -2019, "msg": "Margin is insufficient."}},
        {"http_status": 400, "body": {"code": -4003, "msg": "Quantity less than zero."}},
    ]
    if path.exists():
        bodies = json.loads(path.read_text())
    asked = {
        -2019: {**MARKET, "quantity": "9000"},
        -2022: {**MARKET, "side": "SELL", "reduceOnly": "true"},
        -4003: {**MARKET, "quantity": "0"},
        -4164: {**MARKET, "quantity": "0.01"},
    }
    for recorded in bodies:
        status, body = Desk().refused("POST", ORDER, **asked[recorded["body"]["code"]])
        assert status == recorded["http_status"]
        assert body["code"] == recorded["body"]["code"]
        assert body["msg"].replace(" 5 ", " 5.0 ") == recorded["body"]["msg"]


# -- who asks, and when -------------------------------------------------------------------------------


def test_keys_signatures_and_times_are_checked(desk: Desk) -> None:
    ask = ("GET", "/fapi/v3/balance")
    assert desk.refused(*ask, key=None) == (401, {"code": -2014, "msg": MESSAGES[-2014]})
    assert desk.refused(*ask, key="stranger") == (401, {"code": -2015, "msg": MESSAGES[-2015]})
    assert desk.code(*ask, secret="guessed") == -1022
    assert desk.code(*ask, signed=False) == -1102
    assert desk.code(*ask, at=NOON - timedelta(milliseconds=5_001)) == -1021
    assert desk.code(*ask, at=NOON + timedelta(milliseconds=1_001)) == -1021
    assert desk.code(*ask, window=60_001) == -1131
    assert desk.ask(*ask, at=NOON - timedelta(seconds=50), window=59_000)
    assert desk.ask(*ask, at=NOON + timedelta(seconds=1))


@pytest.mark.parametrize(
    ("flag", "trades", "asks"),
    [("revoked", -2015, -2015), ("ip_refused", -2015, -2015), ("no_trade_permission", -2015, 0)],
)
def test_a_key_can_lose_its_rights(desk: Desk, flag: str, trades: int, asks: int) -> None:
    desk.dialect.flag(ACCOUNT, flag, True)
    assert desk.code("POST", ORDER, **MARKET) == trades
    response = desk.send("GET", "/fapi/v3/balance")
    assert json.loads(response.body)["code"] == asks if asks else response.status == 200
    with pytest.raises(ValueError, match="no flag"):
        desk.dialect.flag(ACCOUNT, "unheard_of", True)


def test_weight_is_counted_told_and_its_excess_ends_in_a_ban(desk: Desk) -> None:
    first = desk.send("GET", "/fapi/v1/openOrders")
    assert first.headers["X-MBX-USED-WEIGHT-1M"] == "40"
    assert desk.send("GET", "/fapi/v1/openOrders", symbol=SOL).headers["X-MBX-USED-WEIGHT-1M"] == "41"
    for _ in range(57):
        desk.send("GET", "/fapi/v1/openOrders")
    statuses = [desk.send("GET", "/fapi/v1/openOrders") for _ in range(14)]
    assert [r.status for r in statuses] == [200, *[429] * 10, 418, 418, 418]
    assert statuses[1].headers["Retry-After"] == "60"
    assert statuses[-1].headers["Retry-After"] == "120"
    desk.step(after=timedelta(seconds=121))
    assert desk.ask("GET", "/fapi/v1/openOrders") == []


def test_orders_are_counted_too(desk: Desk) -> None:
    for number in range(300):
        response = desk.send(
            "POST", ORDER, **{**LIMIT, "quantity": "0.001", "newClientOrderId": f"o{number}"}
        )
    assert response.headers["X-MBX-ORDER-COUNT-10S"] == "300"
    status, body = desk.refused("POST", ORDER, **LIMIT)
    assert (status, body["code"]) == (429, -1015)


def test_what_is_not_there_is_not_found(desk: Desk) -> None:
    assert desk.send("GET", "/fapi/v1/nothing").status == 404
    assert desk.send("POST", "/fapi/v1/allOrders", symbol=SOL).status == 404


# -- orders -------------------------------------------------------------------------------------------


def test_the_life_of_a_plain_order(desk: Desk) -> None:
    placed = desk.ask("POST", ORDER, **LIMIT)
    assert (placed["status"], placed["clientOrderId"], placed["origQty"]) == ("NEW", "rest", "2")
    number = placed["orderId"]
    [standing] = desk.ask("GET", "/fapi/v1/openOrders", symbol=SOL)
    assert standing["orderId"] == number
    assert desk.ask("GET", ORDER, symbol=SOL, orderId=number) == standing
    assert desk.ask("GET", "/fapi/v1/openOrder", symbol=SOL, origClientOrderId="rest") == standing
    assert desk.code("POST", ORDER, **LIMIT) == -4116
    canceled = desk.ask("DELETE", ORDER, symbol=SOL, origClientOrderId="rest")
    assert canceled["status"] == "CANCELED"
    assert desk.code("DELETE", ORDER, symbol=SOL, origClientOrderId="rest") == -2011
    assert desk.ask("GET", ORDER, symbol=SOL, orderId=number)["status"] == "CANCELED"
    assert desk.code("GET", "/fapi/v1/openOrder", symbol=SOL, orderId=number) == -2013
    assert desk.code("GET", ORDER, symbol=SOL, origClientOrderId="other") == -2013
    assert desk.code("GET", ORDER, symbol=SOL) == -1102
    assert [(m["o"]["x"], m["o"]["X"]) for m in desk.told()] == [("NEW", "NEW"), ("CANCELED", "CANCELED")]


def test_a_client_id_is_free_again_once_its_order_is_filled(desk: Desk) -> None:
    assert desk.buy("2")["status"] == "FILLED"
    assert desk.buy("2")["status"] == "FILLED", "a blind resend of a filled order is a second order"
    assert desk.exchange.account(ACCOUNT).held(SOL) == 4
    assert len(desk.ask("GET", "/fapi/v1/userTrades", symbol=SOL)) == 2


def test_an_unfilled_order_is_gone_three_days_after_it_was_made(desk: Desk) -> None:
    desk.ask("POST", ORDER, **LIMIT)
    desk.ask("DELETE", ORDER, symbol=SOL, origClientOrderId="rest")
    desk.buy()
    desk.step(after=timedelta(days=2, hours=23))
    assert desk.ask("GET", ORDER, symbol=SOL, origClientOrderId="rest")
    desk.step(after=timedelta(hours=1, seconds=1))
    assert desk.code("GET", ORDER, symbol=SOL, origClientOrderId="rest") == -2013
    assert desk.ask("GET", ORDER, symbol=SOL, origClientOrderId="in"), "a filled one stays"
    desk.step(after=timedelta(days=88))
    assert desk.code("GET", ORDER, symbol=SOL, origClientOrderId="in") == -2013


def test_a_hidden_order_is_found_later(desk: Desk) -> None:
    desk.ask("POST", ORDER, **LIMIT)
    desk.visibility.hide(ACCOUNT, "rest", NOON + timedelta(seconds=20))
    assert desk.code("GET", ORDER, symbol=SOL, origClientOrderId="rest") == -2013
    assert desk.ask("GET", "/fapi/v1/openOrders") == []
    desk.step(after=timedelta(seconds=20))
    assert len(desk.ask("GET", "/fapi/v1/openOrders")) == 1


def test_history_is_asked_for_in_windows_and_pages(desk: Desk) -> None:
    for number in range(5):
        desk.buy("1", f"in{number}")
    rows = desk.ask("GET", "/fapi/v1/userTrades", symbol=SOL, limit=2)
    assert [row["orderId"] for row in rows] == sorted(row["orderId"] for row in rows)
    every = desk.ask("GET", "/fapi/v1/userTrades", symbol=SOL, fromId=0)
    assert len(every) == 5
    behind = desk.ask("GET", "/fapi/v1/userTrades", symbol=SOL, fromId=every[2]["id"])
    assert behind == every[2:]
    span = {"startTime": millis(NOON) - 8 * 86_400_000, "endTime": millis(NOON)}
    assert desk.code("GET", "/fapi/v1/userTrades", symbol=SOL, **span) == -4165
    assert desk.code("GET", "/fapi/v1/userTrades", symbol=SOL, fromId=1, startTime=1) == -1106
    assert desk.code("GET", "/fapi/v1/userTrades", symbol=SOL, limit=1001) == -1130
    backwards = {"startTime": millis(NOON), "endTime": millis(NOON) - 1}
    assert desk.code("GET", "/fapi/v1/allOrders", symbol=SOL, **backwards) == -1023
    assert len(desk.ask("GET", "/fapi/v1/allOrders", symbol=SOL)) == 5


# -- the algo service ---------------------------------------------------------------------------------


def test_a_conditional_order_has_ids_and_lists_of_its_own(desk: Desk) -> None:
    desk.buy()
    placed = desk.ask("POST", ALGO, **algo(closePosition="true"))
    assert (placed["algoStatus"], placed["orderType"], placed["quantity"]) == ("NEW", "STOP_MARKET", "0")
    assert desk.ask("GET", "/fapi/v1/openOrders") == []
    assert [r["algoId"] for r in desk.ask("GET", "/fapi/v1/openAlgoOrders")] == [placed["algoId"]]
    assert desk.code("GET", ORDER, symbol=SOL, origClientOrderId="stop") == -2013
    desk.told()
    desk.step("94", timedelta(minutes=1))
    found = desk.ask("GET", ALGO, clientAlgoId="stop")
    assert found["algoStatus"] == "FINISHED"
    became = desk.ask("GET", ORDER, symbol=SOL, orderId=found["actualOrderId"])
    assert (became["type"], became["clientOrderId"], became["status"]) == ("MARKET", "stop", "FILLED")
    assert desk.code("DELETE", ALGO, clientAlgoId="stop") == -2011
    said = [(m["e"], m.get("o", {}).get("X")) for m in desk.told()]
    assert said == [
        ("ALGO_UPDATE", "TRIGGERING"),
        ("ORDER_TRADE_UPDATE", "NEW"),
        ("ALGO_UPDATE", "TRIGGERED"),
        ("ACCOUNT_UPDATE", None),
        ("ORDER_TRADE_UPDATE", "FILLED"),
        ("ALGO_UPDATE", "FINISHED"),
    ]


def test_only_one_stop_of_a_kind_closes_the_position(desk: Desk) -> None:
    desk.buy()
    desk.ask("POST", ALGO, **algo(closePosition="true"))
    assert desk.code("POST", ALGO, **algo(closePosition="true", clientAlgoId="stop2")) == -4130
    assert desk.ask("POST", ALGO, **algo(quantity="2", reduceOnly="true", clientAlgoId="stop2"))
    target = algo(type="TAKE_PROFIT_MARKET", triggerPrice="110", closePosition="true", clientAlgoId="target")
    assert desk.ask("POST", ALGO, **target)
    assert desk.ask("DELETE", "/fapi/v1/algoOpenOrders", symbol=SOL)["code"] == 200
    assert desk.ask("GET", "/fapi/v1/openAlgoOrders") == []


def test_two_hundred_conditional_orders_are_enough(desk: Desk) -> None:
    desk.buy()
    for number in range(200):
        if number % 100 == 0:
            desk.step(after=timedelta(seconds=11))
        params = algo(quantity="0.01", reduceOnly="true", clientAlgoId=f"s{number}")
        desk.ask("POST", ALGO, **params)
    assert desk.code("POST", ALGO, **algo(quantity="0.01", reduceOnly="true", clientAlgoId="more")) == -4045


def test_a_trailing_stop_shows_its_rate(desk: Desk) -> None:
    desk.buy()
    wanted = algo(type="TRAILING_STOP_MARKET", quantity="2", reduceOnly="true", callbackRate="1.2")
    del wanted["triggerPrice"]
    placed = desk.ask("POST", ALGO, **wanted)
    assert (placed["callbackRate"], placed["activatePrice"]) == ("1.2", "100")
    desk.step("110", timedelta(minutes=1))
    desk.step("108", timedelta(minutes=1))
    assert desk.exchange.account(ACCOUNT).held(SOL) == 0


# -- the account --------------------------------------------------------------------------------------


def test_modes_are_set_once(desk: Desk) -> None:
    mode, margin, leverage = "/fapi/v1/positionSide/dual", "/fapi/v1/marginType", "/fapi/v1/leverage"
    assert desk.code("POST", mode, dualSidePosition="false") == -4059
    assert desk.ask("POST", margin, symbol=SOL, marginType="ISOLATED")["code"] == 200
    assert desk.code("POST", margin, symbol=SOL, marginType="ISOLATED") == -4046
    assert desk.ask("POST", leverage, symbol=SOL, leverage=5)["leverage"] == 5
    assert desk.code("POST", leverage, symbol=SOL, leverage=76) == -4028
    assert desk.code("POST", leverage, symbol=SOL, leverage=0) == -4028
    desk.buy()
    [held] = desk.ask("GET", "/fapi/v3/positionRisk")
    assert (held["positionAmt"], Decimal(held["isolatedMargin"])) == ("2", Decimal(40))
    assert desk.code("POST", margin, symbol=SOL, marginType="CROSSED") == -4048
    assert desk.code("POST", leverage, symbol=SOL, leverage=4) == -4161
    assert desk.code("POST", mode, dualSidePosition="true") == -4068
    desk.ask("POST", ORDER, **LIMIT)
    assert desk.code("POST", margin, symbol=SOL, marginType="CROSSED") == -4047
    assert desk.code("POST", mode, dualSidePosition="true") == -4067


def test_hedge_mode_wants_a_side(desk: Desk) -> None:
    desk.ask("POST", "/fapi/v1/positionSide/dual", dualSidePosition="true")
    assert desk.ask("GET", "/fapi/v1/positionSide/dual") == {"dualSidePosition": True}
    assert desk.code("POST", ORDER, **MARKET) == -4061
    assert desk.buy(positionSide="LONG")["status"] == "FILLED"
    assert desk.ask("GET", "/fapi/v3/positionRisk")[0]["positionSide"] == "LONG"


def test_income_says_what_moved_the_wallet(desk: Desk) -> None:
    desk.ask("POST", "/fapi/v1/leverage", symbol=SOL, leverage=5)
    desk.buy()
    desk.now += timedelta(minutes=1)
    desk.exchange.step(desk.now, {SOL: flat("110")}, {SOL: flat("110")}, {SOL: Decimal("0.0001")})
    desk.exchange.transfer(ACCOUNT, Decimal(500))
    desk.ask("POST", ORDER, **{**MARKET, "side": "SELL", "reduceOnly": "true"})
    rows = desk.ask("GET", "/fapi/v1/income", limit=1000)
    assert [row["incomeType"] for row in rows] == [
        "COMMISSION",
        "FUNDING_FEE",
        "TRANSFER",
        "REALIZED_PNL",
        "COMMISSION",
    ]
    assert sum(Decimal(row["income"]) for row in rows) == desk.exchange.account(ACCOUNT).wallet - 10_000
    [rate] = desk.ask("GET", "/fapi/v1/fundingRate", symbol=SOL, signed=False)
    assert rate["fundingRate"] == "0.0001"
    reasons = [m["a"]["m"] for m in desk.told() if m["e"] == "ACCOUNT_UPDATE"]
    assert reasons == ["ORDER", "FUNDING_FEE", "DEPOSIT", "ORDER"]


def test_instruments_are_listed_with_their_filters(desk: Desk) -> None:
    info = desk.ask("GET", "/fapi/v1/exchangeInfo", signed=False)
    assert len(info["symbols"]) == len(desk.exchange.instruments)
    [sol] = [symbol for symbol in info["symbols"] if symbol["symbol"] == SOL]
    filters = {each["filterType"]: each for each in sol["filters"]}
    assert filters["PRICE_FILTER"]["tickSize"] == "0.01"
    assert filters["LOT_SIZE"]["stepSize"] == "0.01"
    assert filters["MIN_NOTIONAL"]["notional"] == "5"
    assert filters["MAX_NUM_ALGO_ORDERS"]["limit"] == 200
    assert [limit["limit"] for limit in info["rateLimits"]] == [2_400, 1_200, 300]


# -- the user data stream -----------------------------------------------------------------------------


def test_a_listen_key_lives_for_an_hour(desk: Desk) -> None:
    path = "/fapi/v1/listenKey"
    assert desk.code("PUT", path, signed=False) == -1125
    key = desk.ask("POST", path, signed=False)["listenKey"]
    assert desk.ask("POST", path, signed=False)["listenKey"] == key
    socket = Socket("/private/ws", {"listenKey": key})
    assert desk.dialect.opened(socket, desk.now) == ()
    desk.step(after=timedelta(minutes=59))
    assert desk.ask("PUT", path, signed=False)["listenKey"] == key
    desk.step(after=timedelta(minutes=59))
    assert [o.kind for o in desk.dialect.outbox()] == []
    desk.step(after=timedelta(minutes=1))
    [expired] = desk.dialect.outbox()
    assert json.loads(expired.frame) == {"e": "listenKeyExpired", "E": millis(desk.now), "listenKey": key}
    assert desk.dialect.wants(socket, expired)
    desk.buy()
    assert not any(desk.dialect.wants(socket, outgoing) for outgoing in desk.dialect.outbox())
    assert desk.ask("POST", path, signed=False)["listenKey"] != key


@pytest.mark.parametrize(
    "path", ["/ws/{key}", "/ws?listenKey={key}", "/public/ws/{key}", "/private/ws/wrong"]
)
def test_retired_addresses_and_wrong_keys_are_refused(desk: Desk, path: str) -> None:
    key = desk.ask("POST", "/fapi/v1/listenKey", signed=False)["listenKey"]
    where, _, query = path.format(key=key).partition("?")
    with pytest.raises(SocketRefused):
        desk.dialect.opened(Socket(where, dict([query.split("=")]) if query else {}), desk.now)


def test_what_the_venue_closes_itself_is_told_with_its_own_client_ids(desk: Desk) -> None:
    for reason, prefix in (
        ("liquidation", "autoclose-"),
        ("adl", "adl_autoclose"),
        ("settlement", "settlement_"),
    ):
        desk.buy()
        desk.told()
        desk.exchange.take_over(ACCOUNT, SOL, reason)
        update, order = desk.told()
        assert update["a"]["P"][0]["pa"] == "0"
        assert order["o"]["c"].startswith(prefix)
        [row] = [
            r for r in desk.ask("GET", "/fapi/v1/allOrders", symbol=SOL) if r["orderId"] == order["o"]["i"]
        ]
        assert row["clientOrderId"] == order["o"]["c"]


def test_events_are_ordered_by_the_time_at_which_they_were_made(desk: Desk) -> None:
    desk.buy()
    desk.buy(client="more")
    made = [message["E"] for message in desk.told()]
    assert made == sorted(set(made))


# -- the documents' shapes ----------------------------------------------------------------------------

PLACES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "r_futures__http_json__order_response.json": ("GET", ORDER, {"symbol": SOL, "origClientOrderId": "rest"}),
    "r_futures__http_json__position_risk.json": ("GET", "/fapi/v2/positionRisk", {"symbol": SOL}),
    "r_futures__http_json__balance.json": ("GET", "/fapi/v3/balance", {}),
    "r_futures__http_json__account_info_v2.json": ("GET", "/fapi/v2/account", {}),
    "p_http_responses__http_futures_account_positions_one_way.json": (
        *("GET", "/fapi/v2/positionRisk"),
        {"symbol": SOL},
    ),
    "p_http_responses__http_futures_account_trades.json": ("GET", "/fapi/v1/userTrades", {"symbol": SOL}),
    "p_http_responses__http_futures_wallet_commission_rate_btcusdt.json": (
        *("GET", "/fapi/v1/commissionRate"),
        {"symbol": SOL},
    ),
    "p_http_responses__http_futures_market_premium_index.json": (
        *("GET", "/fapi/v1/premiumIndex"),
        {"symbol": SOL, "signed": False},
    ),
    "p_http_responses__http_futures_market_ticker_price.json": (
        *("GET", "/fapi/v1/ticker/price"),
        {"symbol": SOL, "signed": False},
    ),
    "p_http_responses__http_futures_market_exchange_info.json": (
        *("GET", "/fapi/v1/exchangeInfo"),
        {"signed": False},
    ),
    "p_http_responses__http_futures_market_funding_rate.json": (
        *("GET", "/fapi/v1/fundingRate"),
        {"symbol": SOL, "signed": False},
    ),
}


def same_shape(recorded: Any, ours: Any, where: str) -> None:
    """Every field of the document is there, and of the same JSON type."""
    if isinstance(recorded, dict):
        assert isinstance(ours, dict), where
        for name, value in recorded.items():
            assert name in ours, f"{where}.{name}"
            same_shape(value, ours[name], f"{where}.{name}")
    elif isinstance(recorded, list):
        assert isinstance(ours, list), where
        if recorded and ours:
            same_shape(recorded[0], ours[0], f"{where}[]")
    elif not isinstance(recorded, int | float):
        assert type(ours) is type(recorded), where


def test_answers_have_the_shape_of_the_documents_examples(desk: Desk) -> None:
    desk.ask("POST", "/fapi/v1/marginType", symbol=SOL, marginType="ISOLATED")
    desk.buy()
    desk.ask("POST", ORDER, **LIMIT)
    desk.now += timedelta(minutes=1)
    desk.exchange.step(desk.now, {SOL: flat("100")}, {SOL: flat("100")}, {SOL: Decimal("0.0001")})
    for name, (method, path, params) in PLACES.items():
        answered = desk.ask(method, path, **params)
        found = RECORDED / "nautilus" / name
        if found.exists():
            same_shape(json.loads(found.read_text()), answered, name)


STREAMED = {
    "r_futures__user_data_json__order_update_trade.json": ("ORDER_TRADE_UPDATE", "FILLED", {"AP", "cr"}),
    "r_futures__user_data_json__order_update_new.json": ("ORDER_TRADE_UPDATE", "NEW", {"AP", "cr", "N", "n"}),
    "r_futures__user_data_json__account_update.json": ("ACCOUNT_UPDATE", None, set()),
    "r_futures__user_data_json__algo_update_new.json": ("ALGO_UPDATE", "NEW", {"ap", "aq", "act", "rm"}),
    "p_ws_messages__ws_futures_algo_update_triggering.json": ("ALGO_UPDATE", "TRIGGERING", set()),
    "p_ws_messages__ws_futures_algo_update_triggered.json": ("ALGO_UPDATE", "TRIGGERED", set()),
    "p_ws_messages__ws_futures_algo_update_finished.json": ("ALGO_UPDATE", "FINISHED", set()),
}


def test_messages_have_the_shape_of_the_documents_examples(desk: Desk) -> None:
    """Left out of ours: fields that are documented as sent for other kinds of orders only."""
    desk.buy()
    desk.ask("POST", ALGO, **algo(quantity="2", reduceOnly="true"))
    desk.step("94", timedelta(minutes=1))
    told = desk.told()
    for name, (event, status, others) in STREAMED.items():
        found = RECORDED / "nautilus" / name
        [ours, *_] = [m for m in told if m["e"] == event and m.get("o", {}).get("X") == status]
        if not found.exists():
            continue
        document = json.loads(found.read_text())
        document = document.get("data", document)
        for field in others:
            document["o"].pop(field, None)
        same_shape(document, ours, name)
