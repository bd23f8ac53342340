"""A way out without an answer is sent again where its id can only ever be one order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from nexus_common.contracts.order import OrderIntentRecorded, OrderKind, SubmitAccepted
from nexus_common.contracts.session import KillRequested
from nexus_common.contracts.trade import TradeClosed
from nexus_common.contracts.values import Side, Symbol, UserId, Venue
from nexus_executor.domain.traits import TRAITS
from nexus_market.exchange import Ticket, duplicate_orders

KILL = ("session-anna", KillRequested(user=UserId("anna")))
LASTING = replace(TRAITS[Venue.ALPACA], whole_quantity=False)
Make = Callable[..., Any]
Tell = Callable[..., Any]


async def held(make_world: Make, verdict: Tell, to_risk: Tell, **world: Any) -> Any:
    made = make_world(conclusive=False, **world)
    await made.start()
    await made.flat("60000")
    await made.flat("60000", to_risk(verdict()))
    assert made.held() > 0
    return made


def failing_first(call: str, how: str, times: int) -> Callable[[str], str | None]:
    left = [times]

    def lose(name: str) -> str | None:
        if name != call or not left[0]:
            return None
        left[0] -= 1
        return how

    return lose


@pytest.mark.parametrize("how", ["request", "answer"])
@pytest.mark.parametrize("times", [1, 3])
async def test_a_lost_exit_is_out_within_seconds_and_once(
    make_world: Make, verdict: Tell, to_risk: Tell, how: str, times: int
) -> None:
    world = await held(make_world, verdict, to_risk, traits=LASTING)
    world.lose = failing_first("submit", how, times)
    await world.flat("60000", KILL)
    for _ in range(3):
        await world.flat("60000", seconds=1)
    assert world.held() == 0
    await world.only(TradeClosed)
    assert not duplicate_orders(world.exchange.records)
    exits = [i for i in await world.all_of(OrderIntentRecorded) if i.leg.value == "exit"]
    assert len(exits) == 1, "the same order, not another"


async def test_an_entry_is_never_sent_again(make_world: Make, verdict: Tell, to_risk: Tell) -> None:
    world = make_world(conclusive=False, traits=LASTING)
    await world.start()
    await world.flat("60000")
    world.lose = failing_first("submit", "request", 1)
    await world.flat("60000", to_risk(verdict()))
    for _ in range(3):
        await world.flat("60000", seconds=1)
    assert world.held() == 0


async def test_where_ids_do_not_last_nothing_is_sent_again(
    make_world: Make, verdict: Tell, to_risk: Tell
) -> None:
    world = await held(make_world, verdict, to_risk, traits=replace(LASTING, ids_are_for_ever=False))
    world.lose = failing_first("submit", "request", 1)
    await world.flat("60000", KILL)
    for _ in range(3):
        await world.flat("60000", seconds=1)
    assert world.held() > 0


async def test_what_is_not_held_any_more_is_not_sold_again(
    make_world: Make, verdict: Tell, to_risk: Tell
) -> None:
    world = await held(make_world, verdict, to_risk, traits=LASTING)
    world.lose = lambda call: "request" if call == "submit" else None
    await world.flat("60000", KILL)
    by_hand = Ticket("by-hand", Symbol("BTCUSDT"), Side.SELL, OrderKind.MARKET, world.held() / 2)
    world.exchange.submit("anna-paper", 1, by_hand)
    await world.flat("60000", seconds=1)
    left = world.held()
    world.lose = lambda call: None
    for _ in range(40):
        await world.flat("60000", seconds=1)
        assert 0 <= world.held() <= left
    assert world.held() == 0


async def test_a_venue_that_forgets_an_order_which_traded_stops_nobody(
    make_world: Make, verdict: Tell, to_risk: Tell
) -> None:
    world = make_world(conclusive=False)
    await world.start()
    await world.flat("60000")
    world.lose = failing_first("submit", "answer", 1)
    world.exchange.lookup = lambda *order: None
    await world.flat("60000", to_risk(verdict()))
    await world.flat("60000", minutes=3)
    assert world.held() > 0
    assert any(order.kind is OrderKind.STOP for order in world.resting())
    entry = next(i for i in await world.all_of(OrderIntentRecorded) if i.leg.value == "entry")
    accepted = [a.client_order_id for a in await world.all_of(SubmitAccepted)]
    assert entry.client_order_id in accepted
