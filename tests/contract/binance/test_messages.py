"""What Binance sends is read strictly: every recorded message, every documented answer, and nonsense."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.binance.ground import RECORDED, Desk, algo, recorded, unwrapped
from nexus_common.contracts.order import Liquidity, OrderKind
from nexus_common.contracts.values import Side
from nexus_executor.venues.binance import messages, rows
from nexus_executor.venues.binance.evidence import Proof, Raw, verdict
from nexus_executor.venues.binance.fields import UnreadableFrame
from nexus_executor.venues.broker import UpdateKind, VenueOrderStatus
from nexus_executor.venues.exact_json import exact_json

# Recorded messages that are none of ours, and why.
LEFT_OUT: Mapping[str, str] = {
    "_spot_": "spot: another venue with another protocol",
    "http_wallet_trading_fees": "spot fees",
    "market_data": "market streams: read by ingest",
    "futures_market_": "market data over REST: read by ingest",
    "ws_futures_depth": "market streams: read by ingest",
    "ws_futures_ticker": "market streams: read by ingest",
    "account_positions_hedge": "hedge mode: refused at start; see the test below",
    "account_info_v2": "not asked for: balance, positions and modes are asked for one by one",
    "commission_rate": "not asked for: fees come with each fill",
}
# The user streams' messages, and what must come out of each.
STREAM: Mapping[str, tuple[UpdateKind, ...]] = {
    "p_ws_messages__ws_futures_algo_update_finished.json": (UpdateKind.TRIGGERED,),
    "p_ws_messages__ws_futures_algo_update_triggered.json": (UpdateKind.TRIGGERED,),
    "p_ws_messages__ws_futures_algo_update_triggering.json": (UpdateKind.TRIGGERED,),
    "p_ws_messages__ws_futures_order_update_adl_filled.json": (UpdateKind.LIQUIDATION,),
    "p_ws_messages__ws_futures_order_update_liquidation.json": (UpdateKind.LIQUIDATION,),
    "p_ws_messages__ws_futures_order_update_new_limit_if_touched_price_match.json": (),
    "p_ws_messages__ws_futures_order_update_new_price_match.json": (),
    "p_ws_messages__ws_futures_order_update_new_stop_limit_price_match.json": (),
    "p_ws_messages__ws_futures_order_update_settlement.json": (UpdateKind.LIQUIDATION,),
    "p_ws_messages__ws_futures_trade_lite.json": (),
    "r_futures__user_data_json__account_update.json": (),
    "r_futures__user_data_json__account_update_bnfcr.json": (),
    "r_futures__user_data_json__algo_update_new.json": (),
    "r_futures__user_data_json__order_update_adl.json": (UpdateKind.LIQUIDATION,),
    "r_futures__user_data_json__order_update_calculated_pending.json": (),
    "r_futures__user_data_json__order_update_delivery.json": (UpdateKind.LIQUIDATION,),
    "r_futures__user_data_json__order_update_new.json": (),
    "r_futures__user_data_json__order_update_settlement.json": (UpdateKind.LIQUIDATION,),
    "r_futures__user_data_json__order_update_trade.json": (UpdateKind.FILL,),
    "r_futures__user_data_json__order_update_trade_partial.json": (UpdateKind.FILL,),
}
ROWS = {
    "p_http_responses__http_futures_account_orders.json": lambda d: [rows.placed(row) for row in d],
    "p_http_responses__http_futures_account_positions_one_way.json": rows.positions,
    "p_http_responses__http_futures_account_trades.json": lambda d: [rows.trade(row, "USDT") for row in d],
    "r_futures__http_json__balance.json": lambda d: [rows.wallet(d, "USDT")],
    "r_futures__http_json__order_response.json": lambda d: [rows.placed(d)],
    "r_futures__http_json__position_risk.json": rows.positions,
}
TRADE = {
    "e": "ORDER_TRADE_UPDATE",
    "T": 1568879465651,
    "E": 1568879465651,
    "o": {
        "s": "BTCUSDT",
        "c": "nx1",
        "S": "BUY",
        "o": "LIMIT",
        "f": "GTC",
        "q": "0.002",
        "p": "7100.50",
        "ap": "7100.50",
        "x": "TRADE",
        "X": "PARTIALLY_FILLED",
        "i": 8886774,
        "l": "0.001",
        "z": "0.001",
        "L": "7100.50",
        "N": "USDT",
        "n": "0.01",
        "T": 1568879465651,
        "t": 12345678,
        "m": True,
        "rp": "0",
    },
}


def left_out(name: str) -> str | None:
    return next((why for part, why in LEFT_OUT.items() if part in name), None)


def test_every_recorded_message_of_ours_is_read() -> None:
    for name, recording in recorded("nautilus"):
        if left_out(name) is not None:
            continue
        text = json.dumps(recording)
        if name in STREAM:
            assert tuple(u.kind for u in messages.read(text).updates) == STREAM[name], name
        else:
            ROWS[name](exact_json(text))
    seen = {name for name, _ in recorded("nautilus")}
    if seen:
        assert set(STREAM) | set(ROWS) <= seen


def test_other_recordings_of_the_user_stream_are_read() -> None:
    kinds = {}
    for name, recording in recorded("tiagosiebler"):
        for each in recording if isinstance(recording, list) else [recording]:
            if each.get("e") in ("ACCOUNT_UPDATE", "MARGIN_CALL"):
                kinds[name] = [(u.kind, u.reason) for u in messages.read(json.dumps(each)).updates]
    if RECORDED.exists():
        assert kinds == {
            "ws_ACCOUNT_UPDATE.json": [(UpdateKind.BALANCE, "transfer")],
            "ws_MARGIN_CALL.json": [(UpdateKind.NOTICE, "margin call on ETHUSDT")],
        }
        expired = (RECORDED / "misc" / "listenKeyExpired.json").read_text()
        assert messages.read(expired).lost_key


def test_a_fill_is_read_exactly() -> None:
    [fill] = messages.read(json.dumps(TRADE)).updates
    assert (fill.client_order_id, fill.symbol, fill.side) == ("nx1", "BTCUSDT", Side.BUY)
    assert (fill.quantity, fill.price, fill.fee) == (Decimal("0.001"), Decimal("7100.50"), Decimal("0.01"))
    assert (fill.fill_id, fill.liquidity, fill.complete) == ("12345678", Liquidity.MAKER, False)
    assert fill.key == "fill/BTCUSDT/12345678"


def test_a_commission_in_another_asset_is_no_zero() -> None:
    strange = {**TRADE, "o": {**TRADE["o"], "N": "BNB"}}  # type: ignore[dict-item]
    fill, notice = messages.read(json.dumps(strange)).updates
    assert fill.fee is None
    assert notice.kind is UpdateKind.NOTICE
    free = {**TRADE, "o": {**TRADE["o"], "N": None, "n": None}}  # type: ignore[dict-item]
    [fill] = messages.read(json.dumps(free)).updates
    assert fill.fee == 0, "documented: not sent when there is none"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"t": 0}, "a trade without an id"),
        ({"l": "0"}, "field l is not above zero"),
        ({"l": None}, "no field l"),
        ({"L": "NaN"}, "field L is no number"),
        ({"L": "-1"}, "field L is not above zero"),
        ({"L": True}, "field L is no number"),
        ({"n": None}, "no field n"),
        ({"n": ""}, "field n is no number"),
        ({"S": "LONG"}, "field S is no side"),
        ({"x": "SOMETHING"}, "unknown execution type"),
        ({"c": ""}, "field c is no text"),
        ({"s": 5}, "field s is no text"),
        ({"m": "yes"}, "field m is neither true nor false"),
        ({"i": "1.5"}, "field i is no whole number"),
    ],
)
def test_a_fill_that_lacks_something_is_refused(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(UnreadableFrame, match=reason):
        messages.read(json.dumps({**TRADE, "o": {**TRADE["o"], **change}}))  # type: ignore[dict-item]


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "[]",
        "1",
        "null",
        '{"e":',
        '{"e":"ORDER_TRADE_UPDATE"}',
        '{"e":"NEW_KIND"}',
        b"\xff\xfe",
        "[" * 99_999,
    ],
)
def test_what_is_no_message_is_refused(frame: str | bytes) -> None:
    with pytest.raises(UnreadableFrame):
        messages.read(frame)


def test_a_side_of_hedge_mode_is_no_position() -> None:
    row = {"symbol": "SOLUSDT", "positionAmt": "2", "positionSide": "LONG", "entryPrice": "100"}
    with pytest.raises(UnreadableFrame, match="hedge mode"):
        rows.positions([row])
    assert rows.positions([{**row, "positionAmt": "0"}]) == []
    with pytest.raises(UnreadableFrame):
        rows.positions([{"symbol": "SOLUSDT", "positionSide": "BOTH"}])


def test_conditional_orders_are_read_from_queries() -> None:
    desk = Desk()
    desk.buy()
    desk.ask("POST", "/fapi/v1/algoOrder", **algo(closePosition="true"))
    [row] = desk.ask("GET", "/fapi/v1/openAlgoOrders")
    found = rows.placed_algo(row)
    assert (found.order.kind, found.order.status) == (OrderKind.STOP, VenueOrderStatus.OPEN)
    assert found.closes_position
    assert found.order.trigger_price == 95
    assert rows.placed_algo({**row, "quantity": ""}).order.quantity == 0
    with pytest.raises(UnreadableFrame, match="quantity"):
        rows.placed_algo({**row, "quantity": None, "closePosition": False})


# -- answers ------------------------------------------------------------------------------------------

UNKNOWN_503 = "Unknown error, please check your request or try again later."
OPEN = [
    (503, f'{{"code":-1000,"msg":"{UNKNOWN_503}"}}'),
    (503, UNKNOWN_503),
    (503, '{"code":-1001,"msg":"Internal error; unable to process your request. Please try again."}'),
    (500, ""),
    (502, "<html>bad gateway</html>"),
    (504, "<html>gateway time-out</html>"),
    (400, '{"code":-1006,"msg":"An unexpected response was received from the message bus."}'),
    (408, '{"code":-1007,"msg":"Timeout waiting for response from backend server."}'),
    (408, ""),
    (200, '{"orderId": 4'),
    (200, ""),
    (200, "<html>hello</html>"),
    (302, ""),
]
REFUSED = [
    (503, '{"code":-1008,"msg":"Request throttled by system-level protection."}', "-1008"),
    (503, "Service Unavailable.", "503"),
    (403, "<html>forbidden</html>", "403"),
    (418, '{"code":-1003,"msg":"Way too many requests; IP banned"}', "-1003"),
    (429, '{"code":-1015,"msg":"Too many new orders"}', "-1015"),
    (404, "", "404"),
]


def test_a_duplicate_id_proves_that_an_order_has_arrived() -> None:
    body = '{"code":-4116,"msg":"ClientOrderId is duplicated."}'
    assert verdict(Raw(400, body, {})).proof is Proof.OPEN


@pytest.mark.parametrize(("status", "body"), OPEN)
def test_these_answers_leave_the_outcome_open(status: int, body: str) -> None:
    assert verdict(Raw(status, body, {})).proof is Proof.OPEN


@pytest.mark.parametrize(("status", "body", "code"), REFUSED)
def test_these_answers_are_refusals(status: int, body: str, code: str) -> None:
    said = verdict(Raw(status, body, {}))
    assert (said.proof, said.code) == (Proof.REFUSED, code)


def test_every_documented_code_is_definite_or_listed_as_open() -> None:
    codes = [-1000, -1001, -1006, -1007, -1021, -1102, -2010, -2019, -4003, -4164, -5028]
    path = RECORDED / "spot_error_codes.json"
    if path.exists():
        codes = [each["code"] for each in json.loads(path.read_text())]
    left_open = {
        code
        for code in codes
        if verdict(Raw(400, json.dumps({"code": code, "msg": "said"}), {})).proof is Proof.OPEN
    }
    assert left_open == {-1000, -1001, -1006, -1007}


# -- nonsense -----------------------------------------------------------------------------------------

_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=5),
    max_leaves=12,
)
_EVENTS = ["ORDER_TRADE_UPDATE", "ALGO_UPDATE", "ACCOUNT_UPDATE", "MARGIN_CALL", "ACCOUNT_CONFIG_UPDATE"]


def check(frame: str | bytes) -> None:
    """Read or refused; and what is read has no figure of nothing."""
    try:
        heard = messages.read(frame)
    except UnreadableFrame:
        return
    for update in heard.updates:
        assert update.key
        if update.kind in (UpdateKind.FILL, UpdateKind.LIQUIDATION):
            assert update.quantity is not None
            assert update.quantity > 0
            assert update.price is not None
            assert update.price > 0


@given(st.binary(max_size=200) | st.text(max_size=200))
def test_bytes_never_break_it(frame: str | bytes) -> None:
    check(frame)


@given(st.sampled_from(_EVENTS), st.dictionaries(st.sampled_from("eETosacBPmp"), _json, max_size=8))
def test_documents_never_break_it(event: str, fields: dict[str, Any]) -> None:
    check(json.dumps({**fields, "e": event}))


@settings(max_examples=300)
@given(st.data())
def test_a_message_with_one_field_spoilt_never_breaks_it(data: st.DataObject) -> None:
    spoilt = json.loads(json.dumps(TRADE))
    name = data.draw(st.sampled_from(sorted(spoilt["o"])))
    spoilt["o"][name] = data.draw(_json)
    check(json.dumps(spoilt))


@given(st.integers(min_value=0, max_value=400))
def test_a_message_cut_short_is_refused(length: int) -> None:
    text = json.dumps(TRADE)
    if length < len(text):
        with pytest.raises(UnreadableFrame):
            messages.read(text[:length])


def test_unwrapping_is_what_the_combined_stream_does() -> None:
    wrapped = {"stream": "key", "data": TRADE}
    assert unwrapped(wrapped) == TRADE
    assert messages.read(json.dumps(wrapped)) == messages.read(json.dumps(TRADE))
