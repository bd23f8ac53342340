"""Whatever becomes of a request on its way, a broker never says more than it knows."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from contract.stage import LATER, Case, Stage, fits, generate, given, opened
from nexus_common.contracts.order import OrderKind
from nexus_common.contracts.values import Side
from nexus_executor.venues.broker import (
    Absent,
    Accepted,
    Refused,
    Unknown,
    VenueDown,
)
from nexus_simvenue.faults import Fault

pytest_generate_tests = generate


@pytest.fixture
async def stage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stage]:
    async with opened(request.param, tmp_path) as made:
        yield made


# -- outcomes that nobody knows -----------------------------------------------------------------------

WORKED = [
    (Fault.LOSE_REPLY, {}),
    (Fault.HANG, {"seconds": 0.6}),
    (Fault.GARBAGE, {}),
    (Fault.TRUNCATE, {}),
    (
        Fault.STATUS,
        {"status": 503, "body": "Unknown error, please check your request or try again later."},
    ),
    (Fault.STATUS, {"status": 500, "body": ""}),
    (Fault.STATUS, {"status": 504, "body": "<html>gateway time-out</html>"}),
]


@given(*WORKED)
async def test_a_lost_answer_is_unknown_and_the_order_is_found(stage: Stage, fault: Case) -> None:
    broker = await stage.broker(timeout=0.3)
    stage.fault("submit", fault[0], **fault[1])
    assert isinstance(await broker.submit(stage.resting, stage.at), Unknown)
    stage.step(seconds=LATER)
    assert isinstance(await broker.lookup(stage.resting), Accepted)
    assert len(stage.ordered()) == 1, "nobody sent it again"
    assert len(stage.house.fired()) == 1


@given((Fault.LOSE_REQUEST, {}), (Fault.HANG_UNWORKED, {"seconds": 0.6}))
async def test_a_lost_request_is_unknown_and_absent_later(stage: Stage, fault: Case) -> None:
    broker = await stage.broker(timeout=0.3)
    stage.fault("submit", fault[0], **fault[1])
    assert isinstance(await broker.submit(stage.resting, stage.at), Unknown)
    stage.step(seconds=LATER)
    assert isinstance(await broker.lookup(stage.resting), Absent)
    assert stage.ordered() == [], "nobody sent it again"


@fits(lambda row: Fault.LOSE_REPLY in row.can_fail)
async def test_a_lost_answer_to_a_lookup_says_nothing(stage: Stage) -> None:
    broker = await stage.broker(timeout=0.3)
    stage.fault("lookup", Fault.LOSE_REPLY, times=9)
    assert isinstance(await broker.lookup(stage.resting), Unknown)


@fits(lambda row: Fault.LOSE_REPLY in row.can_fail)
async def test_a_lost_answer_to_a_cancel_is_unknown(stage: Stage) -> None:
    broker = await stage.broker(timeout=0.3)
    await broker.submit(stage.resting, stage.at)
    stage.fault("cancel", Fault.LOSE_REPLY)
    assert isinstance(await broker.cancel(stage.resting), Unknown)
    assert await broker.open_orders() == []


@fits(lambda row: Fault.REFUSE in row.can_fail)
async def test_each_documented_refusal_is_definite(stage: Stage) -> None:
    broker = await stage.broker()
    for code in stage.row.codes:
        stage.fault("submit", Fault.REFUSE, code=code)
        reply = await broker.submit(stage.order(f"c{code.strip('-')}", Side.BUY, OrderKind.MARKET), stage.at)
        assert isinstance(reply, Refused), f"{code}: {reply}"
        assert reply.code == code
        stage.step(seconds=700)  # what asks for patience has had it
    assert stage.ordered() == []


@fits(lambda row: bool(row.doubts))
async def test_a_code_that_says_nothing_about_the_order_is_unknown(stage: Stage) -> None:
    broker = await stage.broker()
    for code in stage.row.doubts:
        stage.fault("submit", Fault.REFUSE, code=code)
        reply = await broker.submit(stage.order(f"d{code.strip('-')}", Side.BUY, OrderKind.MARKET), stage.at)
        assert isinstance(reply, Unknown), f"{code}: {reply}"
        stage.step(seconds=LATER)
    assert len(stage.house.fired()) == len(stage.row.doubts)


@fits(lambda row: Fault.LIMIT in row.can_fail)
@given(*((Fault.LIMIT, {"status": status, "seconds": 3}) for status in (429, 418, 403)))
async def test_too_many_requests_is_a_refusal_and_then_patience(stage: Stage, fault: Case) -> None:
    broker = await stage.broker()
    stage.fault("submit", fault[0], **fault[1])
    assert isinstance(await broker.submit(stage.entry, stage.at), Refused)
    again = await broker.submit(stage.resting, stage.at)
    assert isinstance(again, Refused), "it was told to wait"
    assert stage.ordered() == []
    stage.step(seconds=700)
    assert isinstance(await broker.submit(stage.resting, stage.at), Accepted)


# -- nobody there -------------------------------------------------------------------------------------


@fits(lambda row: bool(row.can_fail))
async def test_a_venue_that_is_gone_is_down_for_questions_and_unknown_for_orders(
    stage: Stage, tmp_path: Path
) -> None:
    broker = await stage.broker(timeout=0.3)
    await stage.house.server.hush()
    stage.house._listening.close()
    for client in stage.house._clients:
        await client.close()
    assert isinstance(await broker.submit(stage.entry, stage.at), Unknown)
    assert isinstance(await broker.cancel(stage.entry), Unknown)
    assert isinstance(await broker.lookup(stage.entry), Unknown)
    for ask in (broker.positions, broker.open_orders, lambda: broker.updates(0)):
        with pytest.raises(VenueDown):
            await ask()
    with pytest.raises(VenueDown):
        await stage.new_broker(epoch=2, timeout=0.3).open(stage.row.currency, None)


async def test_a_closed_broker_can_be_closed_again(stage: Stage) -> None:
    broker = await stage.broker()
    await broker.close()
    await broker.close()
