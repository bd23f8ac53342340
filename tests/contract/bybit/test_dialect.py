"""Bybit's protocol as the simulated exchange speaks it: who is let in, what is refused, and with which code."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from contract.bybit.hand import Stage
from contract.settings import bar, flat

CREATE = "/v5/order/create"


def code(answer: dict[str, Any]) -> int:
    return int(answer["retCode"])


# -- the door -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({}, 0),
        ({"key": "nobody"}, 10003),
        ({"sign": "0" * 64}, 10004),
        ({"ahead_ms": -5000}, 0),
        ({"ahead_ms": -5001}, 10002),
        ({"ahead_ms": 999}, 0),
        ({"ahead_ms": 1000}, 10002),
        ({"ahead_ms": -20_000, "window": "20000"}, 0),
    ],
)
def test_signature_and_time(stage: Stage, how: dict[str, Any], expected: int) -> None:
    assert code(stage.get("/v5/account/info", **how)) == expected
    body = {"category": "linear", "symbol": "SOLUSDT", "buyLeverage": "3", "sellLeverage": "3"}
    assert code(stage.post("/v5/position/set-leverage", body, **how)) == expected


def test_what_has_no_signature_or_no_route(stage: Stage) -> None:
    request = stage.signed("GET", "/v5/account/info", "")
    bare = request.__class__("GET", request.path)
    assert stage.answer(bare) == {
        "status": 401,
        "retCode": 10007,
        "retMsg": "User authentication failed.",
        "result": {},
        "retExtInfo": {},
        "time": int(stage.at.timestamp() * 1000),
    }
    assert stage.sent(stage.signed("GET", "/v5/order/nothing", ""))[0] == 404
    assert stage.sent(stage.signed("GET", CREATE, ""))[0] == 404
    with_body = request.__class__("GET", request.path, "", request.headers, "{}")
    assert stage.sent(with_body)[0] == 403


@pytest.mark.parametrize(
    ("flag", "expected"),
    [
        ("revoked", 10003),
        ("expired", 33004),
        ("ip_restricted", 10010),
        ("no_trade_permission", 10005),
        ("banned", 10027),
    ],
)
def test_flags_of_an_account(stage: Stage, flag: str, expected: int) -> None:
    stage.flag(flag, True)
    assert code(stage.create()) == expected
    stage.flag(flag, False)
    assert code(stage.create()) == 0


def test_limits_of_users_and_addresses(stage: Stage) -> None:
    stage.flag("rate_limit", 10)
    answers = [stage.create(qty="0.1") for _ in range(11)]
    assert [code(a) for a in answers] == [0] * 10 + [10006]
    assert stage.headers["X-Bapi-Limit-Status"] == "0"
    assert int(stage.headers["X-Bapi-Limit-Reset-Timestamp"]) == int(stage.at.timestamp() * 1000) + 1000
    stage.step(seconds=1)
    assert code(stage.create(qty="0.1")) == 0
    assert stage.headers["X-Bapi-Limit"] == "10"
    stage.step(seconds=10)
    time = stage.signed("GET", "/v5/market/time", "")
    statuses = [stage.sent(time)[0] for _ in range(601)]
    assert statuses == [200] * 600 + [403]
    stage.step(seconds=599)
    assert stage.sent(time)[0] == 403
    stage.step(seconds=2)
    assert stage.sent(time)[0] == 200


# -- orders -------------------------------------------------------------------------------------------

WRONG: list[tuple[dict[str, Any], int]] = [
    ({"category": "inverse"}, 10001),
    ({"symbol": "NOUSDT"}, 10001),
    ({"symbol": "solusdt"}, 10001),
    ({"side": "buy"}, 10001),
    ({"orderType": "Stop"}, 10001),
    ({"qty": 2}, 10001),
    ({"qty": "2e1"}, 10001),
    ({"qty": "-2"}, 10001),
    ({"qty": "0"}, 10001),
    ({"qty": "2.05"}, 10001),
    ({"qty": "NaN"}, 10001),
    ({"qty": "0.01"}, 10001),
    ({"qty": ""}, 10001),
    ({"orderType": "Limit"}, 10001),
    ({"orderType": "Limit", "price": "99.001"}, 10001),
    ({"orderType": "Limit", "price": "10", "qty": "0.1"}, 110094),
    ({"timeInForce": "GTX"}, 10001),
    ({"positionIdx": 1}, 10001),
    ({"positionIdx": "0"}, 10001),
    ({"reduceOnly": "true"}, 10001),
    ({"reduceOnly": True}, 110017),
    ({"closeOnTrigger": True}, 110017),
    ({"orderLinkId": "x" * 37}, 10001),
    ({"orderLinkId": "with space"}, 10001),
    ({"orderLinkId": "dot.dot"}, 10001),
    ({"colour": "blue"}, 10001),
    ({"mmp": True}, 10001),
    ({"triggerPrice": "105"}, 10001),
    ({"triggerDirection": 1}, 10001),
    ({"triggerPrice": "95", "triggerDirection": 1}, 110092),
    ({"triggerPrice": "100", "triggerDirection": 1}, 110092),
    ({"triggerPrice": "105", "triggerDirection": 2}, 110093),
    ({"triggerPrice": "105", "triggerDirection": 3}, 10001),
    ({"triggerPrice": "105", "triggerDirection": 1, "triggerBy": "Best"}, 10001),
    ({"tpslMode": "Half"}, 10001),
    ({"takeProfit": "110", "tpOrderType": "Limit", "tpLimitPrice": "110"}, 10001),
    ({"qty": "100000"}, 110007),
]


@pytest.mark.parametrize(("fields", "expected"), WRONG, ids=lambda x: json.dumps(x))
def test_what_an_order_must_not_say(stage: Stage, fields: dict[str, Any], expected: int) -> None:
    answer = stage.create(**fields)
    assert code(answer) == expected, answer
    assert answer["result"] == {}
    assert stage.house.venues.exchange("bybit").account(stage.account).orders == {}


def test_an_order_link_id_is_taken_for_ever(stage: Stage) -> None:
    first = stage.create(orderLinkId="once")
    assert first["result"]["orderLinkId"] == "once"
    assert code(stage.create(orderLinkId="once")) == 110072
    stage.flag("late_refusals", True)
    assert code(stage.create(orderLinkId="late", qty="100000")) == 0
    assert code(stage.create(orderLinkId="late", qty="1")) == 110072
    [row] = realtime(stage, "orderLinkId=late")
    assert (row["orderStatus"], row["rejectReason"]) == ("Rejected", "EC_Others")


def test_ten_conditional_orders_and_five_hundred_in_all(stage: Stage) -> None:
    stage.create(qty="50")
    stage.flag("rate_limit", 1000)
    conditional = {
        "side": "Sell",
        "triggerPrice": "95",
        "triggerDirection": 2,
        "reduceOnly": True,
        "qty": "0.1",
    }
    assert [code(stage.create(**conditional)) for _ in range(11)] == [0] * 10 + [110009]
    assert code(stage.stop(stopLoss="90")) == 0, "the position's own stop does not count"
    limit = {"orderType": "Limit", "price": "90", "qty": "0.1"}
    codes = [code(stage.create(**limit)) for _ in range(490)]
    assert codes == [0] * 489 + [110020]


def test_what_cannot_wait_dies_on_the_stream(stage: Stage) -> None:
    for name, tif, price, reason in (
        ("post", "PostOnly", "101", "EC_PostOnlyWillTakeLiquidity"),
        ("ioc", "IOC", "90", "EC_NoImmediateQtyToFill"),
        ("fok", "FOK", "90", "EC_NoImmediateQtyToFill"),
    ):
        assert code(stage.create(orderLinkId=name, orderType="Limit", price=price, timeInForce=tif)) == 0
        [row] = realtime(stage, f"orderLinkId={name}")
        assert row["rejectReason"] == reason
    stage.step(flat("100", "10"), flat("100", "10"))
    assert code(stage.create(orderLinkId="part", orderType="Limit", price="101", timeInForce="IOC")) == 0
    [row] = realtime(stage, "orderLinkId=part")
    assert (row["orderStatus"], row["cumExecQty"], row["leavesQty"]) == ("Cancelled", "1.0", "0")


def test_quantity_0_closes_the_position(stage: Stage) -> None:
    stage.create()
    assert code(stage.create(side="Sell", qty="0", reduceOnly=True, closeOnTrigger=True)) == 0
    assert positions(stage) == []


def test_an_order_brings_its_stop_along(stage: Stage) -> None:
    assert code(stage.create(takeProfit="110", stopLoss="90")) == 0
    [held] = positions(stage)
    assert (held["takeProfit"], held["stopLoss"]) == ("110", "90")
    stage.create(orderType="Limit", price="95", stopLoss="89", orderLinkId="later")
    stage.step(bar("100", "100", "94", "95"), flat("95"))
    [held] = positions(stage)
    assert (held["size"], held["stopLoss"]) == ("4", "89")


# -- amend and cancel ---------------------------------------------------------------------------------


def amend(stage: Stage, **fields: Any) -> dict[str, Any]:
    return stage.post("/v5/order/amend", {"category": "linear", "symbol": "SOLUSDT", **fields})


def cancel(stage: Stage, **fields: Any) -> dict[str, Any]:
    return stage.post("/v5/order/cancel", {"category": "linear", "symbol": "SOLUSDT", **fields})


def realtime(stage: Stage, query: str) -> list[dict[str, Any]]:
    answer = stage.get("/v5/order/realtime", f"category=linear&{query}")
    assert code(answer) == 0, answer
    return list(answer["result"]["list"])


def positions(stage: Stage) -> list[dict[str, Any]]:
    return list(stage.get("/v5/position/list", "category=linear&settleCoin=USDT")["result"]["list"])


def test_amend(stage: Stage) -> None:
    stage.create(orderLinkId="limit", orderType="Limit", price="90")
    assert code(amend(stage, orderLinkId="limit", price="91", qty="3")) == 0
    [row] = realtime(stage, "orderLinkId=limit")
    assert (row["price"], row["qty"], row["leavesQty"], row["orderStatus"]) == ("91", "3", "3", "New")
    for fields, expected in (
        ({"orderLinkId": "limit", "price": "91"}, 10001),
        ({"orderLinkId": "limit", "triggerPrice": "91"}, 10001),
        ({"orderLinkId": "limit", "qty": "0.05"}, 10001),
        ({"orderLinkId": "none", "qty": "1"}, 110001),
        ({"qty": "1"}, 10001),
    ):
        assert code(amend(stage, **fields)) == expected, fields
    stage.create(orderLinkId="filled")
    assert code(amend(stage, orderLinkId="filled", qty="1")) == 110001
    stage.step(bar("100", "100", "90.5", "95"), flat("95"))
    [row] = realtime(stage, "orderLinkId=limit")
    assert (row["orderStatus"], row["cumExecQty"]) == ("Filled", "3")


def test_cancel_and_cancel_all(stage: Stage) -> None:
    for name in ("one", "two", "three"):
        stage.create(orderLinkId=name, orderType="Limit", price="90")
    assert code(cancel(stage, orderLinkId="one")) == 0
    assert code(cancel(stage, orderLinkId="one")) == 110001
    assert code(cancel(stage)) == 10001
    assert code(stage.post("/v5/order/cancel-all", {"category": "linear"})) == 10001
    answer = stage.post("/v5/order/cancel-all", {"category": "linear", "symbol": None, "settleCoin": "USDT"})
    assert {row["orderLinkId"] for row in answer["result"]["list"]} == {"two", "three"}
    assert answer["result"]["success"] == "1"
    assert realtime(stage, "symbol=SOLUSDT") == []


# -- trading stop -------------------------------------------------------------------------------------


def test_trading_stop_full(stage: Stage) -> None:
    assert code(stage.stop(stopLoss="90")) == 10001
    stage.create()
    for fields, expected in (
        ({"stopLoss": "90", "takeProfit": "110"}, 0),
        ({"stopLoss": "90", "takeProfit": "110"}, 34040),
        ({"stopLoss": "91"}, 0),
        ({}, 10001),
        ({"stopLoss": "100"}, 10001),
        ({"takeProfit": "99"}, 10001),
        ({"stopLoss": "90.001"}, 10001),
        ({"stopLoss": "-1"}, 10001),
        ({"stopLoss": "90", "slSize": "1"}, 10001),
        ({"stopLoss": "90", "slOrderType": "Limit", "slLimitPrice": "90"}, 10001),
        ({"stopLoss": "90", "positionIdx": 1}, 10001),
        ({"activePrice": "110"}, 10001),
        ({"trailingStop": "3", "activePrice": "99"}, 10001),
        ({"trailingStop": "3", "activePrice": "104"}, 0),
        ({"trailingStop": "3"}, 34040),
        ({"trailingStop": "0"}, 0),
        ({"trailingStop": "0"}, 34040),
        ({"stopLoss": "0"}, 0),
    ):
        assert code(stage.stop(**fields)) == expected, fields
    [row] = realtime(stage, "symbol=SOLUSDT&orderFilter=StopOrder")
    assert (row["orderLinkId"], row["stopOrderType"], row["createType"]) == (
        "",
        "TakeProfit",
        "CreateByTakeProfit",
    )
    assert (row["orderStatus"], row["triggerDirection"], row["closeOnTrigger"]) == ("Untriggered", 1, True)
    [held] = positions(stage)
    assert (held["takeProfit"], held["stopLoss"], held["trailingStop"]) == ("110", "0", "0")


def test_trading_stop_partial(stage: Stage) -> None:
    stage.create()
    partial = {"tpslMode": "Partial", "stopLoss": "90", "slSize": "0.5"}
    assert code(stage.stop(**partial)) == 0
    assert code(stage.stop(**partial)) == 0, "each request adds"
    assert code(stage.stop(**{**partial, "slSize": "3"})) == 110058
    assert code(stage.stop(**{**partial, "takeProfit": "110", "tpSize": "1"})) == 10001
    for _ in range(18):
        assert code(stage.stop(**partial)) == 0
    assert code(stage.stop(**partial)) == 110061
    assert {row["stopOrderType"] for row in realtime(stage, "symbol=SOLUSDT")} == {"PartialStopLoss"}


# -- queries ------------------------------------------------------------------------------------------


def test_realtime_keeps_five_hundred_closed_and_history_a_day(stage: Stage) -> None:
    stage.flag("rate_limit", 10_000)
    for number in range(510):
        stage.create(orderLinkId=f"o{number}", orderType="Limit", price="90", qty="0.1")
        cancel(stage, orderLinkId=f"o{number}")
        if number % 100 == 0:
            stage.step(seconds=6)  # the address may ask 600 times in 5 seconds
    rows, cursor = [], ""
    while True:
        answer = stage.get(
            "/v5/order/realtime",
            f"category=linear&settleCoin=USDT&openOnly=1&limit=50{cursor}",
        )
        rows += answer["result"]["list"]
        if not answer["result"]["nextPageCursor"]:
            break
        cursor = f"&cursor={answer['result']['nextPageCursor']}"
    assert len(rows) == 500
    history = stage.get("/v5/order/history", "category=linear&limit=50")["result"]
    assert len(history["list"]) == 50
    stage.step(seconds=86_401)
    assert stage.get("/v5/order/history", "category=linear&limit=50")["result"]["list"] == []
    assert code(stage.get("/v5/order/realtime", "category=linear")) == 10001
    assert code(stage.get("/v5/order/realtime", "category=linear&symbol=SOLUSDT&limit=51")) == 10001


def test_windows_of_seven_days(stage: Stage) -> None:
    stage.create()
    begin = int(stage.at.timestamp() * 1000)
    week = 7 * 86_400_000
    for query, expected in (
        (f"startTime={begin}&endTime={begin + week}", 0),
        (f"startTime={begin}&endTime={begin + week + 1}", 10001),
        (f"startTime={begin}&endTime={begin - 1}", 10001),
        ("limit=101", 10001),
        ("execType=Gift", 10001),
        ("cursor=abc", 10001),
    ):
        assert code(stage.get("/v5/execution/list", f"category=linear&{query}")) == expected, query
    assert code(stage.get("/v5/order/history", f"category=linear&startTime={begin}")) == 10001
    stage.step(seconds=8 * 86_400)
    assert stage.get("/v5/execution/list", "category=linear")["result"]["list"] == []
    [row] = stage.get("/v5/execution/list", f"category=linear&startTime={begin}")["result"]["list"]
    assert row["execType"] == "Trade"


def test_closed_pnl_is_what_the_statement_says(stage: Stage) -> None:
    stage.create()
    stage.step(flat("110"), flat("110"))
    stage.create(side="Sell", reduceOnly=True)
    [row] = stage.get("/v5/position/closed-pnl", "category=linear")["result"]["list"]
    assert [Decimal(row[k]) for k in ("avgEntryPrice", "avgExitPrice", "closedSize")] == [100, 110, 2]
    log = stage.get("/v5/account/transaction-log", "accountType=UNIFIED&category=linear")["result"]["list"]
    assert [line["type"] for line in log] == ["TRADE", "TRADE"]
    assert Decimal(log[0]["cashFlow"]) == 20


def test_modes(stage: Stage) -> None:
    mode = {"category": "linear", "coin": "USDT", "mode": 3}
    margin = {"setMarginMode": "ISOLATED_MARGIN"}
    assert code(stage.post("/v5/position/switch-mode", {**mode, "mode": 0})) == 110025
    assert code(stage.post("/v5/account/set-margin-mode", margin)) == 0
    stage.create()
    assert code(stage.post("/v5/position/switch-mode", mode)) == 110024
    assert code(stage.post("/v5/account/set-margin-mode", {"setMarginMode": "REGULAR_MARGIN"})) == 3400045
    stage.create(side="Sell", reduceOnly=True)
    stage.create(orderType="Limit", price="90")
    assert code(stage.post("/v5/position/switch-mode", mode)) == 110028
    stage.post("/v5/order/cancel-all", {"category": "linear", "symbol": "SOLUSDT"})
    assert code(stage.post("/v5/position/switch-mode", mode)) == 0
    assert code(stage.create()) == 10001
    rows = stage.get("/v5/position/list", "category=linear&symbol=SOLUSDT")["result"]["list"]
    assert [row["positionIdx"] for row in rows] == [1, 2]


def test_leverage(stage: Stage) -> None:
    where = {"category": "linear", "symbol": "SOLUSDT"}
    for buy, sell, expected in (
        ("5", "5", 0),
        ("5", "5", 110043),
        ("5", "6", 10001),
        ("76", "76", 110013),
        ("0", "0", 110013),
    ):
        body = {**where, "buyLeverage": buy, "sellLeverage": sell}
        assert code(stage.post("/v5/position/set-leverage", body)) == expected


def test_a_restarted_exchange_answers_the_same(stage: Stage) -> None:
    stage.create(orderLinkId="in", stopLoss="90")
    stage.stop(trailingStop="3")
    stage.create(orderLinkId="limit", orderType="Limit", price="95", takeProfit="120")
    stage.step(bar("100", "100", "94", "95"), flat("95"))
    queries = ("category=linear&settleCoin=USDT", "category=linear&settleCoin=USDT&openOnly=1")
    before = [stage.get("/v5/order/realtime", query) for query in queries]
    from nexus_common.runtime.clock import WallClock
    from nexus_simvenue.server import Server
    from nexus_simvenue.venues import Venues

    again = Venues(stage.house.venues.exchange("bybit").settings)
    restarted = Server(again, stage.house._journal, WallClock())
    restarted.recover()
    stage.house.server, stage.house.venues, old = restarted, again, stage.house.server
    after = [stage.get("/v5/order/realtime", query) for query in queries]
    stage.house.server = old
    assert after == before
