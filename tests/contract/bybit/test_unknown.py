"""Outcomes that nobody knows, looked up; and what each documented answer proves."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from contract.bybit.hand import ENTRY, SOL, STOP, TARGET, TRAIL, Stage, order, sample
from nexus_common.contracts.order import OrderKind
from nexus_common.contracts.values import Side
from nexus_executor.venues.broker import Absent, Accepted, OrderRequest, Refused, Unknown
from nexus_executor.venues.bybit.broker import reply_of
from nexus_executor.venues.bybit.evidence import ALREADY_SO, BY_CODE, Proof, proof
from nexus_executor.venues.bybit.rest import Answer

WORKED: list[tuple[str, dict[str, Any]]] = [
    ("lose_reply", {}),
    ("hang", {"seconds": 0.5}),
    ("garbage", {}),
    ("truncate", {}),
    ("status", {"status": 500}),
    ("status", {"status": 503, "body": "<html>"}),
    ("status", {"status": 504}),
]
UNWORKED: list[tuple[str, dict[str, Any]]] = [
    ("lose_request", {}),
    ("hang_unworked", {"seconds": 0.5}),
    ("status_unworked", {"status": 502}),
]
LIMIT = order("limit", Side.BUY, OrderKind.LIMIT, limit_price=Decimal(90), leverage=5)
PART = order("part", Side.SELL, OrderKind.STOP, "1", trigger_price=Decimal(95), reduce_only=True)
KINDS = [order("more", Side.BUY, OrderKind.MARKET, "1", leverage=5), LIMIT, PART, TARGET, STOP, TRAIL]


def names(cases: list[Any]) -> list[str]:
    return [f"{fault}{fields.get('status', '')}" for fault, fields in cases]


@pytest.mark.parametrize("request_", KINDS, ids=lambda r: r.client_order_id)
@pytest.mark.parametrize("fault", WORKED, ids=names(WORKED))
async def test_what_arrived_is_found(stage: Stage, fault: Any, request_: OrderRequest) -> None:
    broker = await stage.opened(timeout=0.25)
    await broker.submit(ENTRY, stage.at)
    stage.fault("submit", fault[0], order_kind=str(request_.kind), **fault[1])
    assert isinstance(await broker.submit(request_, stage.at), Unknown)
    stage.step(seconds=8)
    assert isinstance(await broker.lookup(request_), Accepted)
    assert len([r for r in stage.house.ledger() if r["kind"] == "order"]) == 2, "nobody sent it again"
    assert len(stage.house.fired()) == 1


@pytest.mark.parametrize("request_", KINDS, ids=lambda r: r.client_order_id)
@pytest.mark.parametrize("fault", UNWORKED, ids=names(UNWORKED))
async def test_what_did_not_arrive_is_absent(stage: Stage, fault: Any, request_: OrderRequest) -> None:
    broker = await stage.opened(timeout=0.25)
    await broker.submit(ENTRY, stage.at)
    stage.fault("submit", fault[0], order_kind=str(request_.kind), **fault[1])
    assert isinstance(await broker.submit(request_, stage.at), Unknown)
    stage.step(seconds=8)
    assert isinstance(await broker.lookup(request_), Absent)
    assert len([r for r in stage.house.ledger() if r["kind"] == "order"]) == 1


async def test_an_order_that_is_seen_late_is_absent_first(stage: Stage) -> None:
    broker = await stage.opened()
    stage.fault("submit", "late", seconds=15)
    assert isinstance(await broker.submit(LIMIT, stage.at), Accepted)
    assert isinstance(await broker.lookup(LIMIT), Absent)
    stage.step(seconds=16)
    assert isinstance(await broker.lookup(LIMIT), Accepted)


async def test_a_moved_or_canceled_stop_whose_answer_is_lost_is_asked_again(stage: Stage) -> None:
    broker = await stage.opened(timeout=0.25)
    await broker.submit(ENTRY, stage.at)
    await broker.submit(STOP, stage.at)
    stage.fault("amend", "lose_reply")
    assert isinstance(await broker.amend(STOP, Decimal(96)), Unknown)
    assert isinstance(await broker.amend(STOP, Decimal(96)), Accepted)
    stage.fault("cancel", "lose_reply")
    assert isinstance(await broker.cancel(STOP), Unknown)
    assert isinstance(await broker.cancel(STOP), Accepted)
    assert await broker.open_orders() == []


async def test_another_process_finds_a_stop_that_has_gone_off(stage: Stage) -> None:
    broker = await stage.opened()
    await broker.submit(ENTRY, stage.at)
    await broker.submit(STOP, stage.at)
    from contract.settings import bar, flat

    stage.step(bar("100", "100", "94", "95"), flat("95"))
    later = await stage.opened()
    assert isinstance(await later.lookup(STOP), Accepted)
    assert isinstance(await later.lookup(replace(STOP, trigger_price=Decimal(93))), Absent)


# -- evidence -----------------------------------------------------------------------------------------

DOCUMENTED = (
    *(10000, 10001, 10002, 10003, 10004, 10005, 10006, 10010, 10016, 33004, 110001, 110003, 110007),
    *(110009, 110017, 110020, 110043, 110072, 110092, 110093, 110094, 3400045),
)
# Of sub-accounts' own business: no answer to an order, so no proof of anything.
NOT_ABOUT_ORDERS = frozenset((500010, 500011))
SAYS_NOTHING = frozenset(code for code, known in BY_CODE.items() if known is Proof.UNKNOWN)


@pytest.mark.parametrize("code", DOCUMENTED)
async def test_each_documented_refusal_of_an_order(stage: Stage, code: int) -> None:
    broker = await stage.opened()
    stage.fault("submit", "refuse", code=str(code))
    reply = await broker.submit(order("in", Side.BUY, OrderKind.MARKET), stage.at)
    if code in SAYS_NOTHING:
        assert isinstance(reply, Unknown)
    else:
        assert isinstance(reply, Refused)
        assert reply.code == str(code)


def test_each_documented_code_of_the_unified_account_is_weighed() -> None:
    rows = [row for row in sample("error_codes.json") if row["section"] == "UTA"]
    assert len(rows) > 150
    for row in rows:
        code = row["code"]
        if code == 0:
            continue
        reply = reply_of("place_order", Answer(code, row["description"], {}), SOL)
        assert isinstance(reply, Unknown if code in SAYS_NOTHING | NOT_ABOUT_ORDERS else Refused), row


@pytest.mark.parametrize("status", [400, 401, 403, 404, 418, 429])
async def test_each_documented_status_turns_the_request_away(stage: Stage, status: int) -> None:
    broker = await stage.opened()
    stage.fault("submit", "status_unworked", status=status, body="no")
    reply = await broker.submit(order("in", Side.BUY, OrderKind.MARKET), stage.at)
    assert isinstance(reply, Refused)
    assert reply.code == str(status)


def test_time_outs_and_duplicates_prove_no_refusal() -> None:
    for code in (170007, 170032, 170146, 170147, 170310, 3400214, 110072):
        assert proof("place_order", 200, code, "") is Proof.UNKNOWN


def test_what_stands_already_is_done_only_for_what_asks_for_it() -> None:
    for method, codes in ALREADY_SO.items():
        for code in codes:
            assert proof(method, 200, code, "") is Proof.DONE
            assert proof("place_order", 200, code, "") is Proof.REFUSED
    assert proof("place_order", 200, 999_999_999, "never heard of") is Proof.UNKNOWN
    assert proof("place_order", 200, 0, "OK") is Proof.DONE
    assert isinstance(reply_of("place_order", Answer(0, "OK", {"orderId": 7}), SOL), Unknown)


# -- limits -------------------------------------------------------------------------------------------


async def test_after_a_403_nothing_is_sent_for_ten_minutes(stage: Stage) -> None:
    broker = await stage.opened()
    stage.fault("submit", "status_unworked", status=403, body="access too frequent")
    entry = order("in", Side.BUY, OrderKind.MARKET)
    assert isinstance(await broker.submit(entry, stage.at), Refused)
    fired = len(stage.house.fired())
    stage.fault("*", "lose_request", times=9)
    banned = await broker.submit(entry, stage.at)
    assert isinstance(banned, Refused)
    assert "banned until" in banned.reason
    assert isinstance(await broker.lookup(entry), Unknown)
    assert len(stage.house.fired()) == fired, "nothing left"
    stage.house.faults()
    stage.step(seconds=601)
    assert isinstance(await broker.submit(entry, stage.at), Accepted)


async def test_a_users_limit_is_learned_from_the_headers_and_a_fifth_is_kept_for_ways_out(
    stage: Stage,
) -> None:
    stage.flag("rate_limit", 10)
    broker = await stage.opened()
    await broker.submit(ENTRY, stage.at)
    replies = [
        await broker.submit(order(f"n{n}", Side.BUY, OrderKind.MARKET, "0.1"), stage.at) for n in range(9)
    ]
    assert [isinstance(reply, Accepted) for reply in replies] == [True] * 7 + [False] * 2
    assert getattr(replies[-1], "code", None) == "not-sent"
    out = order("out", Side.SELL, OrderKind.MARKET, "0.1", reduce_only=True)
    assert isinstance(await broker.submit(out, stage.at), Accepted), "the last part is for ways out"
    stage.step(seconds=2)
    assert isinstance(
        await broker.submit(order("late", Side.BUY, OrderKind.MARKET, "0.1"), stage.at), Accepted
    )
