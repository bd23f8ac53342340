"""The documents' own examples: requests are answered in the documented shape, messages parse to typed values.

What of the recorded documents is left out, and why, stands in LEFT_OUT; a file of neither list fails.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from contract.bybit.hand import SAMPLES, SOL, Stage, sample
from contract.settings import flat
from nexus_common.contracts.order import Liquidity, OrderKind
from nexus_common.contracts.values import Side, Symbol
from nexus_executor.venues.broker import UpdateKind, VenueOrderStatus
from nexus_executor.venues.bybit import messages
from nexus_executor.venues.bybit.history import statement_rows
from nexus_executor.venues.bybit.reading import read_document

MARKET = "market data: read by the services that follow markets, not by a broker"
ELSEWHERE = "another product (options, spot, inverse, loans, earn), which is not traded here"
OTHER_STREAM = "public stream: out of the broker's scope"
LEFT_OUT = {
    **dict.fromkeys(
        [
            *("account__batch-set-collateral", "account__borrow", "account__coin-greeks"),
            *("account__get-mmp-state", "account__no-convert-repay", "account__pay-info"),
            *("account__repay-liability", "account__reset-mmp", "account__set-collateral"),
            *("account__set-mmp", "account__set-spot-hedge", "account__smp-group"),
            *("account__unified-trans-amnt", "order__spot-borrow-quota", "position__close-position"),
            *("position__move-position-history", "position__manual-add-margin", "position__auto-add-margin"),
            *("order__batch-cancel", "order__batch-place", "order__dcp", "websocket__private__dcp"),
            *("websocket__private__strategy", "websocket__private__fast-execution"),
            *("websocket__trade__guideline", "account__fee-rate", "account__instrument"),
        ],
        ELSEWHERE,
    ),
    **dict.fromkeys(
        [
            *("market__delivery-price", "market__fee-group-info", "market__index-components"),
            *("market__index-kline", "market__iv", "market__kline", "market__long-short-ratio"),
            *("market__new-delivery-price", "market__open-interest", "market__orderbook"),
            *("market__premium-index-kline", "market__rpi-orderbook"),
        ],
        MARKET,
    ),
    **dict.fromkeys(
        [
            *("websocket__public__all-liquidation", "websocket__public__insurance-pool"),
            *("websocket__public__kline", "websocket__public__order-price-limit"),
            *("websocket__public__orderbook", "websocket__public__ticker", "websocket__public__trade"),
            "websocket__system__system-status",
        ],
        OTHER_STREAM,
    ),
}
# Documented answers and the requests (as the documents print them, at our market's prices) that lead to them.
ANSWERED = {
    "guide": ("POST", "/v5/position/set-leverage", {"buyLeverage": "6", "sellLeverage": "6"}),
    "order__create-order": (
        "POST",
        "/v5/order/create",
        {
            "side": "Buy",
            "orderType": "Limit",
            "qty": "1",
            "price": "95",
            "timeInForce": "GTC",
            "positionIdx": 0,
            "orderLinkId": "usdt-test-01",
            "reduceOnly": False,
            "takeProfit": "128",
            "stopLoss": "80",
            "tpslMode": "Partial",
            "tpOrderType": "Limit",
            "slOrderType": "Limit",
            "tpLimitPrice": "127.5",
            "slLimitPrice": "80.5",
        },
    ),
    "order__amend-order": (
        "POST",
        "/v5/order/amend",
        {"orderLinkId": "linear-004", "qty": "1.5", "price": "91"},
    ),
    "order__cancel-order": ("POST", "/v5/order/cancel", {"orderLinkId": "linear-004"}),
    "order__open-order": ("GET", "/v5/order/realtime", "symbol=SOLUSDT&category=linear&openOnly=0&limit=1"),
    "order__order-list": ("GET", "/v5/order/history", "category=linear&limit=1"),
    "order__execution": ("GET", "/v5/execution/list", "category=linear&limit=1"),
    "position__position": ("GET", "/v5/position/list", "category=linear&symbol=SOLUSDT"),
    "position__close-pnl": ("GET", "/v5/position/closed-pnl", "category=linear&limit=1"),
    "position__leverage": ("POST", "/v5/position/set-leverage", {"buyLeverage": "7", "sellLeverage": "7"}),
    "position__trading-stop": (
        "POST",
        "/v5/position/trading-stop",
        {
            "takeProfit": "160",
            "stopLoss": "20",
            "tpTriggerBy": "MarkPrice",
            "slTriggerBy": "IndexPrice",
            "tpslMode": "Partial",
            "tpOrderType": "Limit",
            "slOrderType": "Limit",
            "tpSize": "1",
            "slSize": "1",
            "tpLimitPrice": "157",
            "slLimitPrice": "21",
            "positionIdx": 0,
        },
    ),
    "account__account-info": ("GET", "/v5/account/info", ""),
    "account__wallet-balance": ("GET", "/v5/account/wallet-balance", "accountType=UNIFIED&coin=USDT"),
    "account__transaction-log": (
        "GET",
        "/v5/account/transaction-log",
        "accountType=UNIFIED&category=linear&currency=USDT",
    ),
    "account__set-margin-mode": (
        "POST",
        "/v5/account/set-margin-mode",
        {"setMarginMode": "PORTFOLIO_MARGIN"},
    ),
    "position__position-mode": ("POST", "/v5/position/switch-mode", {"mode": 0, "coin": "USDT"}),
    "market__time": ("GET", "/v5/market/time", ""),
    "market__tickers": ("GET", "/v5/market/tickers", "category=linear&symbol=SOLUSDT"),
    "market__instrument": ("GET", "/v5/market/instruments-info", "category=linear&symbol=SOLUSDT"),
}
PARSED = (
    "websocket__private__order",
    "websocket__private__execution",
    "websocket__private__position",
    "websocket__private__wallet",
)
# What a documented example has and we do not: of another product, or of an answer in another state.
NOT_LINEAR = {
    "position__position": {"mmrSysUpdateTime"},
    "market__instrument": {"nextPageCursor"},
    "account__set-margin-mode": {"reasonCode"},
    "order__order-list": {
        "extraFees",
        "rpiMatchedQty",
        "rpiTakerAccess",
        "slippageTolerance",
        "slippageToleranceType",
    },
}


def test_every_recorded_document_is_used_or_left_out_for_a_reason() -> None:
    if not SAMPLES.exists():
        pytest.skip(f"{SAMPLES} is not at hand")
    there = {path.stem for path in (SAMPLES / "docs_v5").glob("*.json")}
    assert there == {*LEFT_OUT, *ANSWERED, *PARSED}
    assert not set(LEFT_OUT) & {*ANSWERED, *PARSED}


@pytest.mark.parametrize("name", ANSWERED)
def test_a_documented_request_is_answered_as_printed(stage: Stage, name: str) -> None:
    documented = next(iter(sample(f"docs_v5/{name}.json")))
    if name == "market__instrument":
        documented = sample("nautilus/r_http_get_instruments_linear.json")
    answer = asked(stage, name)
    assert shape_of(documented, name) <= shape_of(answer, name), shape_of(documented, name) - shape_of(
        answer, name
    )
    if name == "position__position-mode":
        assert answer["retCode"] == 110025, "it is one-way already"
    elif name == "account__set-margin-mode":
        assert answer["retCode"] == documented["retCode"]
        assert answer["retMsg"] == documented["retMsg"]
    else:
        assert (answer["retCode"], answer["retMsg"]) == (documented["retCode"], documented["retMsg"])
    if name.startswith("order__") and "orderLinkId" in documented["result"]:
        fields: Any = ANSWERED[name][2]
        assert answer["result"]["orderLinkId"] == fields["orderLinkId"]


def asked(stage: Stage, name: str) -> dict[str, Any]:
    """The request in a market with a position, a resting order, and a trade that was closed."""
    stage.create()
    stage.step(flat("101"), flat("101"), funding={SOL: Decimal("0.0001")})
    stage.create(side="Sell", qty="1", reduceOnly=True, orderLinkId="out")
    stage.create(orderLinkId="linear-004", orderType="Limit", price="90", qty="1")
    stage.create(orderLinkId="gone", orderType="Limit", price="90", qty="1", timeInForce="IOC")
    method, path, payload = ANSWERED[name]
    if method == "GET":
        return stage.get(path, payload)
    assert isinstance(payload, dict)
    if path == "/v5/account/set-margin-mode":
        return stage.post(path, payload)
    named = {} if path == "/v5/position/switch-mode" else {"symbol": "SOLUSDT"}
    return stage.post(path, {"category": "linear", **named, **payload})


def shape_of(document: Any, name: str, path: str = "") -> set[tuple[str, str]]:
    """Every key of a document with the type of its value; lists by their first element."""
    if isinstance(document, dict):
        keys = {
            key for key in document if key not in NOT_LINEAR.get(name, set()) | {"MNT", "USDT", "reasons"}
        }
        inner = (shape_of(document[key], name, f"{path}/{key}") for key in keys)
        return set().union(*inner) | {(path, "object")}
    if isinstance(document, list):
        return shape_of(document[0], name, f"{path}/0") if document else {(path, "list")}
    kind = (
        "number" if isinstance(document, int) and not isinstance(document, bool) else type(document).__name__
    )
    return {(path, kind)}


# -- messages that we consume -------------------------------------------------------------------------


def recorded(pattern: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for path in sorted((SAMPLES / "nautilus").glob(pattern)):
        yield path.stem, json.loads(path.read_text())


TRADING = {
    "r_http_get_executions": "execution",
    "r_http_get_orders_history": "order",
    "r_http_get_orders_realtime": "order",
    "r_http_get_orders_realtime_tp_sl": "order",
    "r_http_get_positions": "position",
    "r_http_get_wallet_balance": "wallet",
    "r_http_get_wallet_balance_spot_short": "wallet",
    "r_ws_account_execution": "execution",
    "r_ws_account_execution_adl": "execution",
    "r_ws_account_order": "order",
    "r_ws_account_order_buy_stop_market": "order",
    "r_ws_account_order_limit_if_touched": "order",
    "r_ws_account_order_market_if_touched": "order",
    "r_ws_account_order_sell_market_if_touched": "order",
    "r_ws_account_order_stop_limit": "order",
    "r_ws_account_order_stop_market": "order",
    "r_ws_account_order_take_profit": "order",
    "r_ws_account_position": "position",
    "r_ws_account_position_with_open_time": "position",
    "r_ws_account_wallet": "wallet",
    "r_ws_account_wallet_locked_exceeds_total": "wallet",
}
NOT_CONSUMED = {
    "r_http_get_fee_rate": "fees come with each execution",
    "r_http_get_instruments": "instruments are listed by ingest",
    "r_http_get_klines": MARKET,
    "r_http_get_orderbook": MARKET,
    "r_http_get_trades": MARKET,
    "r_http_get_user": "sub-accounts are not used",
    "r_ws_account_execution_fast": "the stream without fees is not subscribed to",
    "r_ws_auth": "control frame: see test_stream",
    "r_ws_subscription": "control frame: see test_stream",
    "r_ws_order_response": "orders are placed over HTTP",
    "r_ws_orderbook": OTHER_STREAM,
    "r_ws_public": OTHER_STREAM,
    "r_ws_ticker": OTHER_STREAM,
}


def rows(document: dict[str, Any]) -> list[dict[str, Any]]:
    if "data" not in document and "result" not in document:
        return [document]
    return list(document["data"] if "data" in document else document["result"]["list"])


def parse(topic: str, row: dict[str, Any]) -> object:
    match topic:
        case "execution":
            return messages.execution(row)
        case "order":
            messages.order_changes(row)
            return messages.standing_order(row)
        case "position":
            return messages.position(row)
        case _:
            return messages.wallet_of(row, "USDT")


def test_every_recorded_message_that_we_consume_parses() -> None:
    if not SAMPLES.exists():
        pytest.skip(f"{SAMPLES} is not at hand")
    for name, document in recorded("r_*.json"):
        if name not in TRADING:
            assert any(name.startswith(prefix) for prefix in NOT_CONSUMED), (
                f"{name}: neither used nor left out"
            )
            continue
        again = read_document(json.dumps(document))
        for row in rows(dict(again)):
            parse(TRADING[name], row)


def test_recorded_values() -> None:
    [fill] = rows(sample("nautilus/r_ws_account_execution.json"))
    update = messages.execution(fill)
    assert update is not None
    assert (update.kind, update.client_order_id, update.symbol, update.side) == (
        UpdateKind.FILL,
        "test-order-link-001",
        "BTCUSDT",
        Side.SELL,
    )
    assert (update.price, update.quantity, update.fee) == (
        Decimal("95900.1"),
        Decimal("0.5"),
        Decimal("26.3725275"),
    )
    assert (update.liquidity, update.complete) == (Liquidity.TAKER, True)
    [adl] = rows(sample("nautilus/r_ws_account_execution_adl.json"))
    taken = messages.execution(adl)
    assert taken is not None
    assert (taken.kind, taken.reason, taken.quantity) == (UpdateKind.LIQUIDATION, "adl", Decimal("0.5"))
    [short] = rows(sample("nautilus/r_ws_account_position.json"))
    held = messages.position(short)
    assert held is not None
    assert (held.symbol, held.quantity, held.entry_price) == (
        "ETHUSDT",
        Decimal("-0.01"),
        Decimal("3641.075"),
    )
    [wallet] = rows(sample("nautilus/r_ws_account_wallet.json"))
    assert messages.wallet_of(wallet, "USDT") == Decimal("9647.75537647")
    assert messages.wallet_of(wallet, "ETH") is None
    lines = sample("docs_v5/account__transaction-log.json")[0]["result"]["list"]
    stated = [part for line in lines for part in statement_rows(line)]
    assert [part.amount for part in stated] == [
        Decimal("-0.003676"),
        Decimal("-0.01908720"),
        Decimal("-0.00260280"),
    ]


# -- without the recorded documents -------------------------------------------------------------------

ROW = {
    "category": "linear",
    "symbol": "SHIB1000USDT",
    "orderId": "o1",
    "orderLinkId": "",
    "side": "Sell",
    "execId": "e1",
    "execType": "Trade",
    "execQty": "1",
    "execPrice": "0.02",
    "execFee": "0.001",
    "execTime": "1746270400353",
    "leavesQty": "0",
    "isMaker": False,
    "feeRate": "0.0005",
    "stopOrderType": "StopLoss",
    "orderStatus": "Filled",
    "orderType": "Market",
    "qty": "1",
    "cumExecQty": "1",
    "triggerPrice": "0.021",
    "triggerDirection": 2,
    "updatedTime": "1746270400353",
}


def test_written_rows_parse() -> None:
    fill = messages.execution(ROW)
    assert fill is not None
    assert (fill.symbol, fill.attached, fill.key) == ("1000SHIBUSDT", OrderKind.STOP, "execution:e1")
    [triggered] = messages.order_changes(ROW)
    assert (triggered.kind, triggered.price) == (UpdateKind.TRIGGERED, Decimal("0.021"))
    stop = messages.standing_order(ROW)
    assert (stop.kind, stop.attached, stop.status) == (OrderKind.STOP, True, VenueOrderStatus.FILLED)
    assert messages.execution({**ROW, "category": "spot"}) is None
    assert messages.order_changes({**ROW, "category": "option"}) == []
    bust = messages.execution({**ROW, "execType": "BustTrade"})
    assert bust is not None
    assert bust.reason == "liquidation"
    paid = messages.execution({**ROW, "execType": "Funding", "execFee": "-0.5"})
    assert paid is not None
    assert (paid.change, paid.client_order_id) == (Decimal("0.5"), None)
    assert messages.spelled(Symbol("1000SHIBUSDT")) == "SHIB1000USDT"
