"""The simulated Alpaca, asked by the vendor's own client: what it takes, what it refuses and in which words."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from alpaca.trading.enums import OrderClass, OrderSide, QueryOrderStatus, TimeInForce
from alpaca.trading.requests import (
    ClosePositionRequest,
    GetCalendarRequest,
    GetOrdersRequest,
    LimitOrderRequest,
    MarketOrderRequest,
    ReplaceOrderRequest,
    StopLossRequest,
    StopOrderRequest,
    TakeProfitRequest,
    TrailingStopOrderRequest,
)

from contract.alpaca.floor import MONDAY, NVDA, Floor, minutes
from contract.settings import bar
from nexus_common.contracts.values import Venue
from nexus_common.runtime.clock import WallClock
from nexus_simvenue.server import Server
from nexus_simvenue.venues import Venues

BUY, SELL = OrderSide.BUY, OrderSide.SELL
DAY, GTC = TimeInForce.DAY, TimeInForce.GTC
CLOSE = datetime(2025, 6, 2, 20, tzinfo=UTC)
TUESDAY = datetime(2025, 6, 3, 13, 30, tzinfo=UTC)


def bracket(**fields: Any) -> MarketOrderRequest:
    return MarketOrderRequest(
        symbol="NVDA",
        qty=2,
        side=BUY,
        time_in_force=GTC,
        order_class=OrderClass.BRACKET,
        take_profit=TakeProfitRequest(limit_price=110),
        stop_loss=StopLossRequest(stop_price=95),
        **fields,
    )


def by_side(orders: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    return [(order["side"], order["type"], order["status"]) for order in orders]


# -- the life of orders -------------------------------------------------------------------------------


async def test_a_market_order_is_answered_before_it_is_filled(floor: Floor) -> None:
    order = await floor.ask(
        floor.client.submit_order, MarketOrderRequest(symbol="NVDA", qty=2, side=BUY, time_in_force=DAY)
    )
    assert order.status.value == "pending_new"
    found = await floor.ask(floor.client.get_order_by_id, order.id)
    assert (found.status.value, found.filled_qty, found.filled_avg_price) == ("filled", "2", "100")
    [held] = await floor.ask(floor.client.get_all_positions)
    assert (held.qty, held.avg_entry_price, held.cost_basis, held.qty_available) == ("2", "100", "200", "2")
    account = await floor.ask(floor.client.get_account)
    assert (account.cash, account.equity) == ("9800", "10000")
    assert await floor.ask(floor.client.get_order_by_client_id, order.client_order_id) == found


async def test_a_stop_is_replaced_by_another_order(floor: Floor) -> None:
    await floor.post()
    first = await floor.ask(
        floor.client.submit_order,
        StopOrderRequest(symbol="NVDA", qty=2, side=SELL, time_in_force=GTC, stop_price=95),
    )
    second = await floor.ask(
        floor.client.replace_order_by_id, first.id, ReplaceOrderRequest(qty=1, stop_price=96)
    )
    assert (second.replaces, second.qty, second.stop_price) == (first.id, "1", "96")
    old = await floor.order(str(first.id))
    assert (old["status"], old["replaced_by"]) == ("replaced", str(second.id))
    status, body = await floor.refused(
        floor.client.replace_order_by_id, first.id, ReplaceOrderRequest(stop_price=97)
    )
    assert (status, body["message"]) == (422, "order already replaced")
    floor.step(bar("100", "100", "94", "95"), "95")
    assert (await floor.order(str(second.id)))["filled_avg_price"] == "96"
    [held] = await floor.ask(floor.client.get_all_positions)
    assert held.qty == "1"


async def test_limit_and_trailing_orders_are_replaced_too(floor: Floor) -> None:
    limit = await floor.post(type="limit", limit_price="90", time_in_force="gtc")
    moved = await floor.ask(floor.client.patch, f"/orders/{limit['id']}", {"limit_price": "91", "qty": "1"})
    assert (moved["limit_price"], moved["qty"]) == ("91", "1")
    await floor.ask(floor.client.cancel_order_by_id, moved["id"])
    await floor.post()
    trail = await floor.ask(
        floor.client.submit_order,
        TrailingStopOrderRequest(symbol="NVDA", qty=2, side=SELL, time_in_force=GTC, trail_price=5),
    )
    assert (trail.hwm, trail.stop_price) == ("100", "95")
    floor.step(bar("100", "104", "100", "104"), "104")
    shown = await floor.order(str(trail.id))
    assert (shown["hwm"], shown["stop_price"], shown["trail_price"]) == ("104", "99", "5")
    wider = await floor.ask(floor.client.patch, f"/orders/{trail.id}", {"trail": "6"})
    assert (wider["hwm"], wider["stop_price"]) == ("104", "98")


async def test_canceling_one_and_all(floor: Floor) -> None:
    one = await floor.post(type="limit", limit_price="90")
    await floor.post(type="limit", limit_price="91")
    await floor.ask(floor.client.cancel_order_by_id, one["id"])
    assert (await floor.order(one["id"]))["status"] == "canceled"
    status, body = await floor.refused(floor.client.cancel_order_by_id, one["id"])
    assert (status, body["message"]) == (422, 'order is already in "canceled" state')
    [canceled] = await floor.ask(floor.client.cancel_orders)
    assert canceled.status == 200
    assert await floor.orders() == []
    unknown = str(uuid4())
    status, body = await floor.refused(floor.client.cancel_order_by_id, unknown)
    assert (status, body) == (404, {"code": 40410000, "message": f"order not found for {unknown}"})


async def test_positions_are_closed_by_hand(floor: Floor) -> None:
    await floor.post(qty="4")
    part = await floor.ask(floor.client.close_position, "NVDA", ClosePositionRequest(percentage="25"))
    assert part.qty == "1"
    await floor.post(side="sell", qty="3", type="stop", stop_price="95", time_in_force="gtc")
    [kept] = await floor.ask(floor.client.close_all_positions)
    assert (kept.status, kept.body.code) == (403, 40310000)
    [closed] = await floor.ask(floor.client.close_all_positions, True)
    assert closed.status == 200
    assert await floor.ask(floor.client.get_all_positions) == []
    status, body = await floor.refused(floor.client.get_open_position, "NVDA")
    assert (status, body["code"]) == (404, 40410000)


# -- groups -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("moved", "left"),
    [
        (bar("100", "111", "100", "110"), [("sell", "limit", "filled"), ("sell", "stop", "canceled")]),
        (bar("100", "100", "94", "95"), [("sell", "limit", "canceled"), ("sell", "stop", "filled")]),
    ],
)
async def test_a_brackets_exits_wait_and_cancel_each_other(floor: Floor, moved: Any, left: Any) -> None:
    order = await floor.ask(floor.client.submit_order, bracket())
    assert [leg.status.value for leg in order.legs] == ["held", "held"]
    assert by_side(await floor.orders()) == [("sell", "limit", "new"), ("sell", "stop", "new")]
    [held] = await floor.ask(floor.client.get_all_positions)
    assert held.qty_available == "0"
    floor.step(moved, "100")
    assert by_side((await floor.orders("closed"))[1:]) == left
    assert await floor.ask(floor.client.get_all_positions) == []


async def test_a_brackets_exits_wait_for_the_whole_entry(floor: Floor) -> None:
    order = await floor.ask(
        floor.client.submit_order,
        LimitOrderRequest(
            symbol="NVDA", qty=2, side=BUY, time_in_force=GTC, limit_price=99, order_class=OrderClass.BRACKET,
            take_profit=TakeProfitRequest(limit_price=110), stop_loss=StopLossRequest(stop_price=95),
        ),
    )  # fmt: skip
    floor.step(bar("100", "100", "99", "99", "10"), "100")
    assert [o["status"] for o in await floor.orders()] == ["partially_filled", "held", "held"]
    await floor.ask(floor.client.cancel_order_by_id, order.id)
    assert await floor.orders() == []
    assert [o["status"] for o in await floor.orders("closed")] == ["canceled"] * 3
    nested = await floor.ask(
        floor.client.get_orders, GetOrdersRequest(status=QueryOrderStatus.ALL, nested=True)
    )
    assert [len(each.legs) for each in nested] == [2]


async def test_a_leg_is_replaced(floor: Floor) -> None:
    await floor.ask(floor.client.submit_order, bracket())
    _, leg = await floor.orders()
    moved = await floor.ask(floor.client.patch, f"/orders/{leg['id']}", {"stop_price": "97"})
    floor.step(bar("100", "100", "96", "96"), "96")
    assert (await floor.order(moved["id"]))["filled_avg_price"] == "97"
    assert await floor.orders() == []


async def test_an_oco_protects_what_is_held(floor: Floor) -> None:
    oco: dict[str, Any] = {
        "side": "sell", "type": "limit", "time_in_force": "gtc", "order_class": "oco",
        "take_profit": {"limit_price": "110"}, "stop_loss": {"stop_price": "95"},
    }  # fmt: skip
    assert (await floor.post_refused(**oco))[1]["message"] == "oco orders must be exit orders"
    await floor.post(qty="4")
    parent = await floor.post(**oco)
    assert (parent["type"], parent["limit_price"], len(parent["legs"])) == ("limit", "110", 1)
    [held] = await floor.ask(floor.client.get_all_positions)
    assert held.qty_available == "2", "the two exits hold the same shares"
    floor.step(bar("100", "100", "94", "95"), "95")
    assert by_side((await floor.orders("closed"))[1:]) == [
        ("sell", "limit", "canceled"),
        ("sell", "stop", "filled"),
    ]


async def test_a_target_filled_in_part_leaves_the_stop_for_the_rest(floor: Floor) -> None:
    await floor.post(qty="4")
    await floor.post(
        qty="4", side="sell", type="limit", time_in_force="gtc", order_class="oco",
        take_profit={"limit_price": "110"}, stop_loss={"stop_price": "95"},
    )  # fmt: skip
    floor.step(bar("100", "110", "100", "100", "10"), "100")
    target, stop = await floor.orders()
    assert (target["filled_qty"], stop["qty"]) == ("1", "3")


async def test_one_triggers_another(floor: Floor) -> None:
    order = await floor.post(time_in_force="gtc", order_class="oto", stop_loss={"stop_price": "95"})
    assert len(order["legs"]) == 1
    floor.step(bar("100", "100", "94", "95"), "95")
    assert by_side(await floor.orders("closed")) == [("buy", "market", "filled"), ("sell", "stop", "filled")]


async def test_a_stop_limit_waits_as_a_limit_order_behind_a_gap(floor: Floor) -> None:
    await floor.post()
    order = await floor.post(
        side="sell", type="stop_limit", stop_price="95", limit_price="94.5", time_in_force="gtc"
    )
    floor.step("90", "90")
    assert (await floor.order(order["id"]))["status"] == "new"
    floor.step(bar("90", "94.5", "90", "94.5"), "94")
    assert (await floor.order(order["id"]))["filled_avg_price"] == "94.5"


# -- fractions and shorts -----------------------------------------------------------------------------


async def test_fractions_of_a_share_are_bought_and_sold(floor: Floor) -> None:
    bought = await floor.post(qty="0.123456789")
    assert (await floor.order(bought["id"]))["filled_qty"] == "0.123456789"
    by_value = await floor.post(qty=None, notional="150.50")
    assert (by_value["qty"], by_value["notional"]) == (None, "150.5")
    assert (await floor.order(by_value["id"]))["filled_qty"] == "1.505"
    stop = await floor.post(qty="0.5", side="sell", type="stop", stop_price="95")
    assert stop["time_in_force"] == "day"
    sold = await floor.post(qty="1.128456789", side="sell")
    assert (await floor.order(sold["id"]))["status"] == "filled"
    [held] = await floor.ask(floor.client.get_all_positions)
    assert (held.qty, held.qty_available) == ("0.5", "0")


async def test_whole_shares_are_sold_short(floor: Floor) -> None:
    await floor.post(side="sell", qty="3")
    [held] = await floor.ask(floor.client.get_all_positions)
    assert (held.qty, held.side.value, held.cost_basis) == ("-3", "short", "-300")
    account = await floor.ask(floor.client.get_account)
    assert (account.cash, account.equity, account.short_market_value) == ("10300", "10000", "-300")
    status, body = await floor.post_refused(qty="4")
    assert (status, body["code"], body["existing_qty"]) == (403, 40310000, "3")


SIMPLE_REFUSALS = [
    # docs.alpaca.markets: "Placing Orders", "Fractional Trading", "User Protection" and the error tables
    ({"symbol": "NOPE"}, 422, 42210000, 'asset "NOPE" not found'),
    ({"symbol": None}, 422, 42210000, "symbol is required"),
    ({"qty": None}, 422, 42210000, "qty or notional is required"),
    ({"qty": "0"}, 422, 42210000, "qty must be > 0"),
    ({"qty": "-1"}, 422, 42210000, "qty must be > 0"),
    ({"qty": "NaN"}, 422, 42210000, "qty must be a number"),
    ({"qty": "two"}, 422, 42210000, "qty must be a number"),
    ({"qty": "0.1234567891"}, 422, 42210000, "qty can have at most 9 decimal places"),
    ({"notional": "100"}, 400, 40010000, "only one of qty or notional is accepted"),
    ({"qty": None, "notional": "0.5"}, 403, 40310000, "cost basis must be >= minimal amount of order 1"),
    ({"side": "hold"}, 422, 42210000, "invalid side"),
    ({"type": "iceberg"}, 422, 42210000, "invalid type"),
    ({"time_in_force": "gtd"}, 422, 42210000, "invalid time_in_force"),
    ({"reduce_only": True}, 400, 40010000, "request body has unknown fields: reduce_only"),
    ({"limit_price": "100"}, 422, 42210000, "market orders must not have limit_price"),
    ({"type": "limit"}, 422, 42210000, "limit orders require a limit price"),
    ({"type": "stop"}, 422, 42210000, "stop orders require a stop price"),
    (
        {"type": "limit", "limit_price": "290.123"}, 422, 42210000,
        "invalid limit_price 290.123. sub-penny increment does not fulfill minimum pricing criteria",
    ),
    (
        {"type": "trailing_stop"}, 422, 42210000,
        "trailing stop orders must specify one of trail_percent or trail_price",
    ),
    (
        {"type": "trailing_stop", "trail_price": "1", "trail_percent": "1"}, 422, 42210000,
        "trailing stop orders must specify one of trail_percent or trail_price",
    ),
    ({"qty": "0.5", "time_in_force": "gtc"}, 422, 42210000, "fractional orders must be DAY orders"),
    (
        {"qty": "0.5", "order_class": "oto", "stop_loss": {"stop_price": "95"}}, 422, 42210000,
        "fractional orders must be simple orders",
    ),
    ({"qty": "0.5", "side": "sell"}, 422, 42210000, "fractional orders cannot be sold short"),
    ({"extended_hours": True}, 422, 42210000, "extended hours order must be DAY limit orders"),
    (
        {"extended_hours": True, "type": "limit", "limit_price": "90", "time_in_force": "gtc"}, 422, 42210000,
        "extended hours order must be DAY limit orders",
    ),
    ({"order_class": "bracket"}, 422, 42210000, "bracket orders require take_profit.limit_price"),
    (
        {"order_class": "bracket", "take_profit": {"limit_price": "94"}, "stop_loss": {"stop_price": "95"}},
        422, 42210000, "take_profit.limit_price must be greater than stop_loss.stop_price",
    ),
    ({"order_class": "oto"}, 422, 42210000, "oto orders require either take_profit or stop_loss"),
    ({"take_profit": {"limit_price": "110"}}, 422, 42210000,
     "take_profit and stop_loss go with bracket, oco and oto orders"),
    (
        {"side": "sell", "type": "stop", "stop_price": "100.5"}, 422, 42210000,
        "stop price must be less than current price",
    ),
    (
        {"type": "stop", "stop_price": "99"}, 422, 42210000, "stop price must be greater than current price",
    ),
    ({"qty": "101"}, 403, 40310000, "insufficient buying power"),
    ({"client_order_id": "x" * 129}, 422, 40010001, "client_order_id must be no more than 128 characters"),
    (
        {"position_intent": "buy_to_close"}, 422, 42210000,
        "position intent mismatch, inferred: buy_to_open, specified: buy_to_close",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "status", "code", "message"), SIMPLE_REFUSALS)
async def test_what_breaks_a_rule_is_refused_in_the_documents_words(
    floor: Floor, fields: dict[str, Any], status: int, code: int, message: str
) -> None:
    got, body = await floor.post_refused(**fields)
    assert (got, body["code"], body["message"]) == (status, code, message)
    assert await floor.orders("all") == []
    assert [r for r in floor.house.ledger() if r["kind"] == "order"] == []


async def test_refusals_carry_what_belongs_to_them(floor: Floor) -> None:
    await floor.post()
    first = await floor.post(
        side="sell", type="stop", stop_price="95", time_in_force="gtc", client_order_id="mine"
    )
    status, body = await floor.post_refused(side="sell", qty="1")
    assert (status, body) == (
        403,
        {
            "available": "0",
            "code": 40310000,
            "existing_qty": "2",
            "held_for_orders": "2",
            "message": "insufficient qty available for order (requested: 1, available: 0)",
            "related_orders": [first["id"]],
            "symbol": "NVDA",
        },
    )
    assert await floor.post_refused(client_order_id="mine") == (
        422,
        {"code": 40010001, "message": "client_order_id must be unique"},
    )
    await floor.ask(floor.client.cancel_orders)
    status, body = await floor.post_refused(client_order_id="mine")
    assert status == 422, "unique for ever"
    status, body = await floor.post_refused(side="sell", type="stop", stop_price="101")
    assert (body["market_price"], body["stop_price"]) == ("100", "101")
    status, body = await floor.post_refused(qty="500")
    assert (status, body["buying_power"], body["cost_basis"]) == (403, "9800", "50000")


WASH = [
    ("stop", {"side": "sell", "stop_price": "95"}, {}),
    ("stop", {"side": "sell", "stop_price": "95"}, {"type": "limit", "limit_price": "90"}),
    ("limit", {"side": "sell", "limit_price": "110"}, {}),
    ("limit", {"side": "sell", "limit_price": "110"}, {"type": "limit", "limit_price": "110"}),
    ("limit", {"side": "buy", "limit_price": "90"}, {"side": "sell"}),
    ("limit", {"side": "buy", "limit_price": "90"}, {"side": "sell", "type": "stop", "stop_price": "95"}),
]


@pytest.mark.parametrize(("kind", "existing", "new"), WASH)
async def test_orders_that_could_meet_are_a_wash_trade(
    floor: Floor, kind: str, existing: dict[str, Any], new: dict[str, Any]
) -> None:
    await floor.post()
    resting = await floor.post(type=kind, time_in_force="gtc", **existing)
    status, body = await floor.post_refused(**new)
    assert (status, body["code"]) == (403, 40310000)
    assert body["message"] == "potential wash trade detected. use complex orders"
    assert body["existing_order_id"] == resting["id"]


async def test_limit_orders_that_cannot_meet_and_brackets_are_no_wash_trade(floor: Floor) -> None:
    await floor.post()
    await floor.post(type="limit", side="sell", limit_price="110", time_in_force="gtc")
    await floor.post(type="limit", limit_price="90", time_in_force="gtc")
    await floor.ask(floor.client.submit_order, bracket())


# -- sessions -----------------------------------------------------------------------------------------


async def test_day_orders_expire_at_the_close_and_others_stay(floor: Floor) -> None:
    await floor.post()
    day = await floor.post(side="sell", qty="1", type="stop", stop_price="90")
    kept = await floor.post(side="sell", qty="1", type="stop", stop_price="91", time_in_force="gtc")
    floor.step_to(CLOSE, opening=None)
    expired = await floor.order(day["id"])
    assert (expired["status"], expired["expired_at"]) == ("expired", "2025-06-02T20:00:00.000000Z")
    assert (await floor.order(kept["id"]))["status"] == "new"


async def test_a_day_order_does_not_trade_on_the_next_day(floor: Floor) -> None:
    day = await floor.post(type="limit", limit_price="90")
    floor.step_to(CLOSE - minutes(1), opening=None)
    floor.step_to(TUESDAY + minutes(1), bar("100", "100", "80", "80"), "80")
    assert (await floor.order(day["id"]))["status"] == "expired"


@pytest.mark.parametrize("tape", [None, "100"], ids=["no bar opens", "bars of the evening"])
async def test_a_market_order_in_the_evening_waits_for_the_open(floor: Floor, tape: str | None) -> None:
    floor.step_to(CLOSE, opening=tape)
    order = await floor.post()
    assert order["status"] == "accepted"
    status, body = await floor.refused(floor.client.patch, f"/orders/{order['id']}", {"qty": "1"})
    assert (status, body["message"]) == (422, "cannot replace order in accepted status")
    floor.step_to(CLOSE + minutes(30), opening=tape)
    assert (await floor.order(order["id"]))["status"] == "accepted"
    floor.step_to(TUESDAY, opening="103")
    filled = await floor.order(order["id"])
    assert (filled["status"], filled["filled_avg_price"]) == ("filled", "103")


async def test_what_waits_gets_the_first_open_though_no_step_stands_on_it(floor: Floor) -> None:
    floor.step_to(CLOSE, opening=None)
    order = await floor.post()
    floor.step_to(TUESDAY + minutes(1), bar("103", "105", "102", "104"), "104")
    assert (await floor.order(order["id"]))["filled_avg_price"] == "103"


async def test_what_nobody_can_pay_is_refused_in_the_evening_too(floor: Floor) -> None:
    floor.step_to(CLOSE, opening=None)
    assert (await floor.post_refused(qty="101"))[1]["message"] == "insufficient buying power"


async def test_an_order_of_the_evening_lasts_until_the_next_close(floor: Floor) -> None:
    floor.step_to(CLOSE, opening=None)
    order = await floor.post(type="limit", limit_price="90")
    floor.step_to(TUESDAY)
    assert (await floor.order(order["id"]))["status"] == "new"
    floor.step_to(datetime(2025, 6, 3, 20, tzinfo=UTC), opening=None)
    assert (await floor.order(order["id"]))["status"] == "expired"


async def test_extended_hours_end_four_hours_later(floor: Floor) -> None:
    order = await floor.post(type="limit", limit_price="90", extended_hours=True)
    floor.step_to(CLOSE)
    assert (await floor.order(order["id"]))["status"] == "new"
    floor.step_to(datetime(2025, 6, 3, 0, tzinfo=UTC))
    assert (await floor.order(order["id"]))["status"] == "expired"


async def test_the_calendar_knows_holidays_and_early_closes(floor: Floor) -> None:
    days = await floor.ask(
        floor.client.get_calendar, GetCalendarRequest(start=date(2025, 11, 26), end=date(2025, 12, 1))
    )
    assert [(day.date.day, day.close.hour) for day in days] == [(26, 16), (28, 13), (1, 16)]
    clock = await floor.ask(floor.client.get_clock)
    assert clock.is_open
    assert clock.timestamp == floor.house.at == MONDAY + minutes(1)
    assert clock.next_close == CLOSE
    assert clock.next_open == TUESDAY


# -- account ------------------------------------------------------------------------------------------


async def test_activities_come_in_pages(floor: Floor) -> None:
    for _ in range(3):
        await floor.post(qty="1")
    floor.house.ask("transfer", account=floor.account, amount="250")
    path, data = "/account/activities", {"direction": "asc", "page_size": "2"}
    first = await floor.ask(floor.client.get, path, data)
    rest = await floor.ask(floor.client.get, path, {**data, "page_token": first[-1]["id"]})
    assert [row["activity_type"] for row in first + rest] == ["FILL", "FILL", "FILL", "CSD"]
    assert len({row["id"] for row in first + rest}) == 4
    assert rest[-1]["net_amount"] == "250"
    fills = await floor.ask(floor.client.get, f"{path}/FILL", {"after": MONDAY.isoformat()})
    assert [(row["qty"], row["cum_qty"], row["leaves_qty"]) for row in fills] == [("1", "1", "0")] * 3
    later = {"after": (floor.house.at + minutes(1)).isoformat()}
    assert await floor.ask(floor.client.get, f"{path}/FILL", later) == []


async def test_assets_and_flags(floor: Floor) -> None:
    assets = await floor.ask(floor.client.get_all_assets)
    assert {"NVDA", "SPY"} <= {asset.symbol for asset in assets}
    found = await floor.ask(floor.client.get_asset, "NVDA")
    assert await floor.ask(floor.client.get_asset, str(found.id)) == found
    assert (await floor.refused(floor.client.get_asset, "NOPE"))[0] == 404
    for name, value in (("not_shortable", ["NVDA"]), ("not_fractionable", ["NVDA"])):
        floor.house.ask("flag", account=floor.account, name=name, value=value)
    assert (await floor.post_refused(side="sell"))[1]["message"] == 'asset "NVDA" cannot be sold short'
    assert (await floor.post_refused(qty="0.5"))[1]["message"] == "requested asset is not fractionable"
    changed = await floor.ask(floor.client.patch, "/account/configurations", {"no_shorting": True})
    assert changed["no_shorting"]
    assert (await floor.post_refused(side="sell"))[0] == 403
    floor.house.ask("flag", account=floor.account, name="trading_blocked", value=True)
    assert (await floor.post_refused())[0] == 403
    floor.house.ask("flag", account=floor.account, name="revoked", value=True)
    assert await floor.refused(floor.client.get_account) == (
        401,
        {"code": 40110000, "message": "request is not authorized"},
    )


async def test_two_hundred_requests_a_minute(floor: Floor) -> None:
    floor.client._retry = 0
    for _ in range(200):
        await floor.ask(floor.client.get, "/clock")
    status, body = await floor.refused(floor.client.get, "/clock")
    assert (status, body) == (429, {"code": 42910000, "message": "rate limit exceeded"})
    floor.step()
    await floor.ask(floor.client.get, "/clock")


async def test_unknown_parameters_are_refused(floor: Floor) -> None:
    for path, data in (("/orders", {"symbol": "NVDA"}), ("/orders", {"limit": "501"}), ("/nothing", {})):
        status, body = await floor.refused(floor.client.get, path, data)
        assert status in (400, 404, 422)
        assert body["code"]


async def test_a_venue_goes_on_after_its_journal(floor: Floor) -> None:
    await floor.ask(floor.client.submit_order, bracket())
    floor.step(bar("100", "100", "99", "99"), "99")
    before = await floor.orders("all")
    again = Venues(floor.house.venues.exchange(Venue.ALPACA).settings)
    Server(again, floor.house._journal, WallClock()).recover()
    book = again.dialects[Venue.ALPACA]._desk.book(floor.account)
    assert [record.id for record in book.records.values()] == [order["id"] for order in before]
    assert [str(record.state) for record in book.records.values()] == [order["status"] for order in before]
    assert book.held[NVDA] == Decimal(2)
