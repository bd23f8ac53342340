"""Ids follow from their cause: the same inputs the same id, anything different another one."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_common.contracts import ids
from nexus_common.contracts.values import AccountId, Symbol, Timeframe, UserId, Venue

CAUSE = UUID("00000000-0000-5000-8000-000000000001")
OTHER = UUID("00000000-0000-5000-8000-000000000002")
AT = datetime(2026, 3, 2, 12, tzinfo=UTC)
LATER = AT + timedelta(microseconds=1)
BTC, ETH = Symbol("BTCUSDT"), Symbol("ETHUSDT")
ANNA, BERT = AccountId("anna"), AccountId("bert")

# Each id with its inputs, and for each input another one.
RULES: dict[str, tuple[Callable[..., object], tuple[object, ...], tuple[object, ...]]] = {
    "event": (ids.event_id, (CAUSE, "shield", "risk-a", 0), (OTHER, "cortex", "risk-b", 1)),
    "command": (ids.command_id, (CAUSE, "shield", "risk-a"), (OTHER, "cortex", "risk-b")),
    "derived": (ids.derived, (CAUSE, "purpose"), (OTHER, "another")),
    "candle": (
        ids.candle_id,
        (Venue.BINANCE, BTC, Timeframe.M15, AT),
        (Venue.BYBIT, ETH, Timeframe.M1, LATER),
    ),
    "step": (ids.step_id, (Venue.BINANCE, 0, AT), (Venue.BYBIT, 1, LATER)),
    "fill": (ids.fill_id, (ANNA, BTC, "t1"), (BERT, ETH, "t2")),
    "update": (ids.venue_update_id, (ANNA, 1), (BERT, 2)),
    "timer": (ids.timer_id, ("cooldown", AT), ("expiry", LATER)),
    "input": (ids.input_id, (UserId("anna"), "1"), (UserId("bert"), "2")),
    "reply": (ids.reply_id, (CAUSE, "reply"), (OTHER, "unknown")),
    "order": (ids.client_order_id, (CAUSE, "entry", 1), (OTHER, "stop", 2)),
}


@pytest.mark.parametrize("name", RULES)
def test_the_same_inputs_give_the_same_id(name: str) -> None:
    rule, inputs, _ = RULES[name]
    assert rule(*inputs) == rule(*inputs)


@pytest.mark.parametrize("name", RULES)
def test_any_other_input_gives_another_id(name: str) -> None:
    rule, inputs, others = RULES[name]
    found = [rule(*inputs)]
    for index, other in enumerate(others):
        found.append(rule(*inputs[:index], other, *inputs[index + 1 :]))
    assert len(set(found)) == len(found)


def test_ids_are_what_they_have_always_been() -> None:
    assert ids.event_id(CAUSE, "shield", "risk-a", 0) == UUID("15924df7-6a71-55a4-b208-62fbdb209ef9")
    assert ids.command_id(CAUSE, "shield", "risk-a") == UUID("d25f2d0c-c9f5-5326-9981-78b4e2ba464a")
    assert ids.candle_id(Venue.BINANCE, BTC, Timeframe.M15, AT) == UUID(
        "4c91c6e9-34de-59b8-8c3b-64276b10a386"
    )
    assert ids.client_order_id(CAUSE, "entry") == "nx1jfesugekg4pyoiutluigo6dpec"


def test_a_command_is_none_of_its_events() -> None:
    command = ids.command_id(CAUSE, "shield", "risk-a")
    assert command not in [ids.event_id(CAUSE, "shield", "risk-a", index) for index in range(100)]


@given(st.uuids(), st.text(), st.integers())
def test_every_venue_takes_our_order_ids(trade: UUID, leg: str, attempt: int) -> None:
    order = ids.client_order_id(trade, leg.encode(errors="replace").decode(), attempt)
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,32}", order)


@given(st.lists(st.tuples(st.uuids(), st.sampled_from(["entry", "stop"]), st.integers(1, 9)), unique=True))
def test_no_two_orders_share_an_id(orders: list[tuple[UUID, str, int]]) -> None:
    assert len({ids.client_order_id(*order) for order in orders}) == len(orders)
