"""Alpaca's messages: the documents' own examples, both ways, and everything else that a stream could bring."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.alpaca.floor import Floor
from nexus_common.contracts.order import Liquidity
from nexus_common.contracts.values import Side, Symbol
from nexus_executor.venues.alpaca.messages import (
    cash_of,
    cost_of,
    parse_fill_activity,
    parse_frame,
    parse_json,
    parse_order,
    parse_position,
)
from nexus_executor.venues.broker import UpdateKind, VenueOrderStatus
from nexus_executor.venues.private_stream import UnreadableFrame

# Examples of the venue's documents and of its client's tests; they are not part of the repository.
DATA = Path(__file__).parents[4] / "shared" / "data" / "messages" / "alpaca"
LEFT_OUT = {
    "alpaca_py/data__*": "market data, not trading",
    "docs/market-data-api__*": "market data, not trading",
    "alpaca_py/trading__trading_client__test_corporate_announcements.json": "not asked for",
    "alpaca_py/trading__trading_client__test_option_routes.json": "options are not traded",
}

FILL: dict[str, Any] = {
    "stream": "trade_updates",
    "data": {
        "event": "fill",
        "execution_id": "2f63ea93-423d-4169-b3f6-3fdafc10c418",
        "order": {
            "id": "a5be8f5e-fdfa-41f5-a644-7a74fe947a8f",
            "client_order_id": "nx1stop.r3",
            "symbol": "NVDA",
            "asset_class": "us_equity",
            "qty": "3",
            "filled_qty": "3",
            "filled_avg_price": "105.8988475",
            "side": "sell",
            "type": "stop",
            "order_type": "stop",
            "status": "filled",
            "stop_price": "106",
            "limit_price": None,
            "submitted_at": "2022-04-19T13:45:04.980944666-04:00",
        },
        "position_qty": "0",
        "price": "105.8988475",
        "qty": "3",
        "timestamp": "2022-04-19T17:45:05.024916716Z",
    },
}


def files(*patterns: str) -> list[Path]:
    """The example files of these patterns; none where the data are not there."""
    return sorted(path for pattern in patterns for path in DATA.glob(pattern))


def bodies(name: str) -> Iterator[tuple[str, Any]]:
    for path in files(f"alpaca_py/trading__trading_client__{name}.json"):
        for case in json.loads(path.read_text(), parse_float=Decimal):
            yield case["test"], case["body"]


def parse(document: Any) -> Any:
    return parse_frame(parse_json(json.dumps(document)))


# -- the stream ---------------------------------------------------------------------------------------


def test_a_fill_is_read_as_it_stands() -> None:
    order_id, [fill] = parse(FILL)
    assert order_id == "a5be8f5e-fdfa-41f5-a644-7a74fe947a8f"
    assert fill.kind is UpdateKind.FILL
    assert fill.client_order_id == "nx1stop"
    assert (fill.side, fill.quantity, fill.price) == (Side.SELL, Decimal(3), Decimal("105.8988475"))
    assert (fill.complete, fill.fee, fill.liquidity) == (True, Decimal(0), Liquidity.TAKER)
    assert fill.at == datetime(2022, 4, 19, 17, 45, 5, 24916, tzinfo=UTC)
    assert fill.key == f"fill:{fill.fill_id}"


@pytest.mark.parametrize(
    ("event", "kinds"),
    [
        *((event, [UpdateKind.FILL]) for event in ("fill", "partial_fill")),
        *((event, [UpdateKind.CANCELED]) for event in ("canceled", "expired", "rejected")),
        *((event, [UpdateKind.NOTICE]) for event in ("order_replace_rejected", "order_cancel_rejected")),
        *(
            (event, [])
            for event in (
                *("new", "accepted", "pending_new", "replaced", "done_for_day", "stopped", "held"),
                *("pending_cancel", "pending_replace", "calculated", "suspended"),
            )
        ),
    ],
)
def test_every_documented_event(event: str, kinds: list[UpdateKind]) -> None:
    frame = deepcopy(FILL)
    frame["data"]["event"] = event
    order_id, updates = parse(frame)
    assert order_id
    assert [update.kind for update in updates] == kinds


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"nothing", b"[]", b"{}", b"null", b"3", b'"text"', b"\xff\xfe", b'{"stream": 5}',
        b'{"stream": "trade_updates"}', b'{"stream": "trade_updates", "data": []}',
        b'{"stream": "trade_updates", "data": {"event": "levitated", "order": {}}}',
        b'{"stream": "trade_updates", "data": {"event": "fill"}}', b"[" * 100_000,
    ],
    ids=repr,
)  # fmt: skip
def test_what_is_no_message_is_refused_with_a_reason(raw: bytes) -> None:
    with pytest.raises(UnreadableFrame, match=r"\w"):
        parse_frame(parse_json(raw))


@pytest.mark.parametrize("name", ["qty", "price"])
@pytest.mark.parametrize("value", [None, "", "NaN", "Infinity", "-1", "0", 0, True, [], {}, "1e", "1,0"])
def test_a_figure_that_cannot_be_read_is_never_zero(name: str, value: object) -> None:
    frame = deepcopy(FILL)
    frame["data"][name] = value
    with pytest.raises(UnreadableFrame):
        parse(frame)


_JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda children: (
        st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=8), children, max_size=3)
    ),
    max_leaves=6,
)


def _paths(document: dict[str, Any], before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, value in document.items():
        yield (*before, name)
        if isinstance(value, dict):
            yield from _paths(value, (*before, name))


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(list(_paths(FILL))), _JUNK | st.just("drop")), max_size=4))
def test_a_mutilated_message_is_read_rightly_or_refused(changes: list[tuple[tuple[str, ...], Any]]) -> None:
    frame = deepcopy(FILL)
    for path, value in changes:
        parent: Any = frame
        for name in path[:-1]:
            parent = parent.get(name) if isinstance(parent, dict) else None
        if not isinstance(parent, dict):
            continue
        if value == "drop":
            parent.pop(path[-1], None)
        else:
            parent[path[-1]] = value
    try:
        _, updates = parse(frame)
    except UnreadableFrame:
        return
    for update in updates:
        if update.kind is UpdateKind.FILL:
            assert update.quantity is not None
            assert update.quantity > 0
            assert update.price is not None
            assert update.price > 0
            assert update.fill_id
            assert update.at.tzinfo is not None
        assert update.key


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200) | st.builds(lambda cut: json.dumps(FILL).encode()[:cut], st.integers(0, 900)))
def test_bytes_never_crash(raw: bytes) -> None:
    try:
        parse_frame(parse_json(raw))
    except UnreadableFrame:
        return


# -- the documents' examples --------------------------------------------------------------------------


def test_the_examples_are_all_used_or_left_out_for_a_reason() -> None:
    used = {
        *files("docs/trading-api__streaming.json"),
        *files("alpaca_py/trading__trading_client__test_account_routes.json"),
        *files("alpaca_py/trading__trading_client__test_asset_routes.json"),
        *files("alpaca_py/trading__trading_client__test_order_routes.json"),
        *files("alpaca_py/trading__trading_client__test_position_routes.json"),
    }
    assert set(files("*/*.json")) == used | set(files(*LEFT_OUT))


def test_order_examples_are_read() -> None:
    seen = 0
    for _, body in bodies("test_order_routes"):
        for document in body if isinstance(body, list) else [body]:
            order = parse_order(document)
            assert order.stands in VenueOrderStatus
            assert order.quantity is None or order.quantity > 0
            seen += 1
    assert seen == (6 if DATA.exists() else 0)


def test_a_replaced_order_speaks_of_the_one_in_its_place() -> None:
    frame = deepcopy(FILL)
    frame["data"] |= {"event": "replaced"}
    frame["data"]["order"] |= {"status": "replaced", "replaced_by": "b7"}
    assert parse_frame(frame) == ("b7", ())
    frame["data"]["order"]["replaced_by"] = None
    assert parse_frame(frame) == (frame["data"]["order"]["id"], ())


@pytest.mark.parametrize("gone", ["filled_qty", "status", "side", "client_order_id"])
def test_an_order_with_a_hole_is_no_order(gone: str) -> None:
    whole = FILL["data"]["order"]
    assert parse_order(whole).filled == 3
    with pytest.raises(UnreadableFrame, match=gone):
        parse_order({name: value for name, value in whole.items() if name != gone})


def test_position_examples_are_read() -> None:
    for test, body in bodies("test_position_routes"):
        if test == "test_close_all_positions":
            # A list of statuses with orders or problems in them; positions are closed by orders of our own.
            assert {row["status"] for row in body} <= {200, 403, 404, 422}
        elif isinstance(body, list):
            held = [parse_position(row) for row in body]
            assert all(position.quantity and position.entry_price > 0 for position in held)
            assert [cost_of(row) for row in body] == [Decimal(str(row["cost_basis"])) for row in body]
        elif "side" in body and "avg_entry_price" in body:
            assert parse_position(body).quantity
        else:
            assert parse_order(body).order_id


def test_account_examples_are_read() -> None:
    for test, body in bodies("test_account_routes"):
        if test == "test_get_account":
            assert cash_of(body) == Decimal("-23140.2")


async def test_the_examples_have_the_shape_of_our_answers(floor: Floor) -> None:
    """Every field of an example is in the simulated venue's answer, of the same JSON type or null."""
    await floor.post()
    await floor.post(type="limit", limit_price="90")
    answers = {
        "test_get_account": "/account",
        "test_get_account_configurations": "/account/configurations",
        "test_get_all_assets": "/assets",
        "test_get_all_positions": "/positions",
        "test_get_orders": "/orders",
        "test_market_order": "/orders",
    }
    # Of brokers' accounts, of options, of currencies but the dollar, and prices that only the client's tests have.
    absent = {"commission", "usd", "last_close_pct_change", "last_price", "ratio_qty"}
    names = ("test_account_routes", "test_asset_routes", "test_order_routes", "test_position_routes")
    for name in names:
        for test, body in bodies(name):
            if test not in answers:
                continue
            ours = await floor.ask(floor.client.get, answers[test])
            theirs = body[0] if isinstance(body, list) else body
            mine = ours[0] if isinstance(ours, list) else ours
            assert set(theirs) - set(mine) <= absent, test
    hand_written = {"id", "client_order_id", "status", "legs", "filled_qty", "position_intent", "hwm"}
    [mine] = await floor.orders()
    assert hand_written <= set(mine)


# The request bodies printed in docs.alpaca.markets, "Placing Orders" and "Fractional Trading".
PRINTED: list[dict[str, Any]] = [
    {
        "side": "buy", "symbol": "SPY", "type": "market", "qty": "100", "time_in_force": "gtc",
        "order_class": "bracket", "take_profit": {"limit_price": "301"},
        "stop_loss": {"stop_price": "299", "limit_price": "298.5"},
    },
    {
        "side": "sell", "symbol": "SPY", "type": "limit", "qty": "100", "time_in_force": "gtc",
        "order_class": "oco", "take_profit": {"limit_price": "301"},
        "stop_loss": {"stop_price": "299", "limit_price": "298.5"},
    },
    {
        "side": "buy", "symbol": "SPY", "type": "market", "qty": "100", "time_in_force": "gtc",
        "order_class": "oto", "stop_loss": {"stop_price": "299", "limit_price": "298.5"},
    },
    {
        "side": "sell", "symbol": "SPY", "type": "trailing_stop", "qty": "100", "time_in_force": "day",
        "trail_price": "6.15",
    },
    {"symbol": "SPY", "notional": 500.75, "side": "buy", "type": "market", "time_in_force": "day"},
    {"symbol": "SPY", "qty": 3.654, "side": "buy", "type": "market", "time_in_force": "day"},
]  # fmt: skip


@pytest.mark.parametrize("printed", PRINTED, ids=lambda order: order.get("order_class", order["type"]))
async def test_printed_requests_are_taken(floor: Floor, printed: dict[str, Any]) -> None:
    floor.house.ask("transfer", account=floor.account, amount="100000")
    floor.step("300", "300", symbol=Symbol("SPY"))
    if printed["side"] == "sell":
        await floor.post(symbol="SPY", qty="100")
    order = await floor.ask(floor.client.post, "/orders", printed)
    assert (order["symbol"], order["side"], order["type"]) == ("SPY", printed["side"], printed["type"])
    assert order["time_in_force"] == printed["time_in_force"]
    assert order["order_class"] == printed.get("order_class", "")
    legs = {"bracket": ["limit", "stop_limit"], "oco": ["stop_limit"], "oto": ["stop_limit"]}
    assert [leg["type"] for leg in order["legs"] or []] == legs.get(order["order_class"], [])
    assert parse_order(order).symbol == "SPY"


async def test_the_documents_stream_is_spoken_as_printed(floor: Floor) -> None:
    """What a client says in the documents is answered in their words."""
    from alpaca.trading.stream import websockets_legacy

    address = floor.house.server.addresses["alpaca_ws"] + "/stream"
    async with websockets_legacy.connect(address) as socket:

        async def say(message: dict[str, Any]) -> Any:
            await socket.send(json.dumps(message))
            return json.loads(await socket.recv())

        listen = {"action": "listen", "data": {"streams": ["trade_updates"]}}
        assert await say(listen) == {
            "stream": "authorization",
            "data": {"status": "unauthorized", "action": "listen"},
        }
        keys = {"key_id": floor.account, "secret_key": "{YOUR_API_SECRET_KEY}"}
        assert await say({"action": "authenticate", "data": keys}) == {
            "stream": "authorization",
            "data": {"status": "unauthorized", "action": "authenticate"},
        }
        keys["secret_key"] = floor.client._secret_key
        assert await say({"action": "authenticate", "data": keys}) == {
            "stream": "authorization",
            "data": {"status": "authorized", "action": "authenticate"},
        }
        assert await say(listen) == {"stream": "listening", "data": {"streams": ["trade_updates"]}}
        await floor.post()
        told = [json.loads(await socket.recv()) for _ in range(3)]
        assert [frame["data"]["event"] for frame in told] == ["pending_new", "new", "fill"]
        fill = told[2]["data"]
        assert (fill["price"], fill["qty"], fill["position_qty"]) == ("100", "2", "2")
        for path in files("docs/trading-api__streaming.json"):
            for example in json.loads(path.read_text()):
                if example.get("stream") == "trade_updates":
                    assert set(example["data"]) <= set(fill)
                    assert set(example["data"]["order"]) <= set(fill["order"])


def test_stream_examples_are_read() -> None:
    for path in files("docs/trading-api__streaming.json"):
        kinds = []
        for example in json.loads(path.read_text()):
            if "stream" in example:
                kinds += [update.kind for update in parse(example)[1]]
        assert kinds == [UpdateKind.FILL]


def test_a_fill_of_the_activities_is_the_streams_fill() -> None:
    activity = parse_fill_activity(
        {
            "activity_type": "FILL",
            "cum_qty": "3",
            "id": "20220419174505024::2f63ea93-423d-4169-b3f6-3fdafc10c418",
            "leaves_qty": "0",
            "order_id": FILL["data"]["order"]["id"],
            "price": "105.8988475",
            "qty": "3",
            "side": "sell",
            "symbol": "NVDA",
            "transaction_time": "2022-04-19T17:45:05.024916716Z",
            "type": "fill",
        }
    )
    _, [told] = parse(FILL)
    assert activity.update(parse_order(FILL["data"]["order"])) == told
