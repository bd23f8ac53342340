"""The same trade at venues that can do different things: what stands there, and how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nexus_common.contracts.order import Leg, OrderAmended, OrderIntentRecorded, OrderKind
from nexus_common.contracts.session import KillRequested
from nexus_common.contracts.trade import ExitReason, ProtectionSet, TargetReached, TradeClosed
from nexus_common.contracts.values import Direction, UserId, Venue
from nexus_executor.domain.rules import ExecutionRules
from nexus_executor.domain.traits import TRAITS
from nexus_executor.venues.broker import Refused
from nexus_market.exchange import duplicate_orders

Make = Callable[..., Any]
Tell = Callable[..., Any]
# Bitcoin has no whole units that one could afford.
VENUES = {venue: replace(TRAITS[venue], whole_quantity=False) for venue in Venue}
KILL = ("session-anna", KillRequested(user=UserId("anna")))


async def a_long(make_world: Make, verdict: Tell, to_risk: Tell, venue: Venue, **world: Any) -> Any:
    made = make_world(traits=VENUES[venue], **world)
    await made.start()
    await made.flat("60000")
    await made.flat("60000", to_risk(verdict()))
    return made


def stops(world: Any) -> list[Any]:
    return [order for order in world.resting() if order.kind is OrderKind.STOP]


def is_covered(world: Any) -> bool:
    """Whether what is held would leave at the stop, whatever its kind."""
    held = abs(world.held())
    standing = stops(world)
    if held == 0 or any(order.ticket.close_position for order in standing):
        return True
    under_way = [o for o in world.resting() if o.at_market and o.reduces]
    return sum((o.remaining for o in (*standing, *under_way)), Decimal(0)) >= held


async def test_binance_never_lacks_a_stop_while_one_replaces_the_other(
    make_world: Make, verdict: Tell, to_risk: Tell
) -> None:
    world = await a_long(make_world, verdict, to_risk, Venue.BINANCE)
    (first,) = stops(world)
    assert first.ticket.close_position
    await world.minute(("60000", "60650", "60000", "60500"))
    (second,) = stops(world)
    assert (second.trigger_price, second.ticket.reduce_only) == (Decimal("60060.1"), True)
    assert second.number > first.number
    canceled = next(r for r in world.exchange.records if r["kind"] == "cancel" and r["at"] > first.placed_at)
    assert canceled["client"] == first.ticket.client_order_id
    placed = [r["n"] for r in world.exchange.records if r.get("client") == second.ticket.client_order_id]
    assert placed[0] < canceled["n"]
    assert await world.all_of(OrderAmended) == []


async def test_binance_trails_by_rate_to_the_end(make_world: Make, verdict: Tell, to_risk: Tell) -> None:
    world = await a_long(make_world, verdict, to_risk, Venue.BINANCE)
    trail = next(order for order in world.resting() if order.kind is OrderKind.TRAILING_STOP)
    assert (trail.ticket.trail_rate, trail.ticket.trail_distance) == (Decimal("0.01"), None)
    await world.minute(("60000", "61300", "60000", "61300"))
    await world.minute(("61300", "61900", "61300", "61900"))
    await world.minute(("61900", "61900", "61000", "61000"))
    closed = await world.only(TradeClosed)
    assert closed.reason is ExitReason.TRAIL
    assert closed.net_profit == world.exchange.account("anna-paper").wallet - 10_000


async def test_bybit_moves_its_stop_in_place_and_trails_what_is_left(
    make_world: Make, verdict: Tell, to_risk: Tell
) -> None:
    world = await a_long(make_world, verdict, to_risk, Venue.BYBIT)
    assert not any(order.kind is OrderKind.TRAILING_STOP for order in world.resting())
    await world.minute(("60000", "60650", "60000", "60500"))
    assert len(await world.all_of(OrderAmended)) == 1
    await world.minute(("60500", "61300", "60500", "61300"))
    await world.minute(("61300", "61900", "61300", "61900"))
    trail = next(order for order in world.resting() if order.kind is OrderKind.TRAILING_STOP)
    assert (trail.ticket.close_position, trail.ticket.trail_distance) == (True, 600)
    assert len(stops(world)) == 1
    await world.minute(("61900", "61900", "61000", "61000"))
    closed = await world.only(TradeClosed)
    assert (closed.reason, world.held(), world.resting()) == (ExitReason.TRAIL, 0, [])


async def test_alpaca_takes_its_targets_at_the_market_and_moves_its_stop_at_closes(
    make_world: Make, verdict: Tell, to_risk: Tell
) -> None:
    world = await a_long(make_world, verdict, to_risk, Venue.ALPACA)
    assert [(o.kind, o.ticket.quantity) for o in world.resting()] == [(OrderKind.STOP, Decimal("0.1"))]
    await world.minute(("60000", "61250", "60000", "61210"))
    assert [reached.leg for reached in await world.all_of(TargetReached)] == ["first_target"]
    assert (world.held(), stops(world)[0].ticket.quantity) == (Decimal("0.05"), Decimal("0.05"))
    await world.flat("61210")
    assert stops(world)[0].trigger_price == Decimal("60060.1")
    await world.minute(("61210", "61900", "61210", "61850"))
    assert (world.held(), stops(world)[0].ticket.quantity) == (Decimal("0.025"), Decimal("0.025"))
    assert stops(world)[0].trigger_price == 61_300  # the bar that reached the second target began the trail
    await world.minute(("61850", "62500", "61850", "62400"))
    assert stops(world)[0].trigger_price == 61_900
    await world.minute(("62400", "62450", "62000", "62000"))
    assert stops(world)[0].trigger_price == 61_900
    await world.minute(("62000", "62000", "61800", "61800"))
    closed = await world.only(TradeClosed)
    assert (world.held(), world.resting()) == (0, [])
    assert closed.net_profit == world.exchange.account("anna-paper").wallet - 10_000


async def test_a_rest_that_came_back_further_than_it_trails_is_sold(
    make_world: Make, verdict: Tell, to_risk: Tell
) -> None:
    world = await a_long(make_world, verdict, to_risk, Venue.ALPACA)
    await world.minute(("60000", "62500", "60000", "61850"))
    closed = await world.only(TradeClosed)
    assert (closed.reason, world.held(), world.resting()) == (ExitReason.TRAIL, 0, [])


@pytest.mark.parametrize("venue", Venue)
async def test_a_kill_leaves_nothing_behind(
    make_world: Make, verdict: Tell, to_risk: Tell, venue: Venue
) -> None:
    world = await a_long(make_world, verdict, to_risk, venue)
    await world.flat("60000", KILL)
    assert (await world.only(TradeClosed)).reason is ExitReason.KILL
    assert (world.held(), world.resting()) == (0, [])


@pytest.mark.parametrize("venue", Venue)
@pytest.mark.parametrize("share", ["0.01", "0.37", "1"])
async def test_protection_follows_every_part_of_the_entry(
    make_world: Make, verdict: Tell, to_risk: Tell, venue: Venue, share: str
) -> None:
    """1 %, 37 % and 100 % of the entry filled: that much is covered, at the average price so far."""
    world = make_world(traits=VENUES[venue])
    await world.start()
    await world.flat("60000")
    entry = verdict(quantity="0.1")
    part = Decimal("0.1") * Decimal(share)
    await world.minute(("60000",) * 4, to_risk(entry), volume=str(part * 10))
    assert world.held() == part
    assert is_covered(world)
    await world.minute(("60000",) * 4, next_open="60200")
    assert world.held() == Decimal("0.1")
    assert is_covered(world)
    protection = (await world.all_of(ProtectionSet))[-1]
    assert stops(world)[0].trigger_price == protection.stop


async def test_targets_move_out_on_their_way_once_each(
    make_world: Make, verdict: Tell, to_risk: Tell
) -> None:
    world = await a_long(
        make_world, verdict, to_risk, Venue.BINANCE, rules=ExecutionRules(progressive_targets=True)
    )

    def standing() -> list[Decimal]:
        return sorted(o.trigger_price for o in world.resting() if o.kind is OrderKind.TAKE_PROFIT)

    assert standing() == [61_200, 61_800]
    await world.minute(("60000", "60600", "60000", "60500"))  # half of the way
    assert standing() == [61_500, 62_100]
    await world.minute(("60500", "60700", "60500", "60600"))
    assert standing() == [61_500, 62_100]
    await world.minute(("60600", "61100", "60600", "61000"))  # 91 %, at once beyond two steps
    assert standing() == [62_100, 62_700]
    reasons = [protection.reason for protection in await world.all_of(ProtectionSet)]
    assert reasons.count("on its way") == 2


async def test_targets_stay_where_they_are_unless_told_otherwise(
    make_world: Make, verdict: Tell, to_risk: Tell
) -> None:
    world = await a_long(make_world, verdict, to_risk, Venue.BINANCE)
    await world.minute(("60000", "61100", "60000", "61000"))
    assert "on its way" not in [protection.reason for protection in await world.all_of(ProtectionSet)]


# -- whatever the market does -------------------------------------------------------------------------


@st.composite
def markets(draw: st.DrawFn) -> list[tuple[tuple[str, str, str, str], str]]:
    """Bars that walk by some hundreds, and the volume of each, thin now and then."""
    bars, price = [], 60_000
    for _ in range(draw(st.integers(3, 14))):
        ends = draw(st.integers(-900, 900)) + price
        up, down = draw(st.integers(0, 400)), draw(st.integers(0, 400))
        bar = (str(price), str(max(price, ends) + up), str(min(price, ends) - down), str(ends))
        bars.append((bar, draw(st.sampled_from(["1000", "1000", "0.3", "0.05"]))))
        price = ends
    return bars


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    market=markets(),
    venue=st.sampled_from(Venue),
    direction=st.sampled_from(Direction),
    progressive=st.booleans(),
    kill=st.booleans(),
)
def test_what_is_held_is_always_covered_and_its_stop_never_retreats(
    make_world: Make,
    verdict: Tell,
    to_risk: Tell,
    market: list[Any],
    venue: Venue,
    direction: Direction,
    progressive: bool,
    kill: bool,
) -> None:
    async def play() -> None:
        world = make_world(traits=VENUES[venue], rules=ExecutionRules(progressive_targets=progressive))
        await world.start()
        await world.flat("60000")
        for index, (bar, volume) in enumerate(market):
            requests = [to_risk(verdict(direction))] if index == 0 else []
            requests += [KILL] if kill and index == len(market) - 1 else []
            await world.minute(bar, *requests, volume=volume)
            leaving = kill and index == len(market) - 1
            assert leaving or is_covered(world), (index, world.held(), world.resting())
        laid = [p.stop for p in await world.all_of(ProtectionSet) if p.reason not in PARTS]
        moves = [(later - earlier) * direction.sign for earlier, later in pairwise(laid)]
        assert all(move > 0 or same_stop(move) for move in moves)
        assert not duplicate_orders(world.exchange.records)
        reducing = [i for i in await world.all_of(OrderIntentRecorded) if i.leg is not Leg.ENTRY]
        assert all(intent.reduce_only or intent.close_position for intent in reducing)

    asyncio.run(play())


PARTS = ("part of the entry filled",)


def same_stop(move: Decimal) -> bool:
    """A change of the targets or of the trail leaves the stop where it is."""
    return move == 0


async def test_a_target_that_alpaca_refuses_is_tried_again_and_covered_meanwhile(
    make_world: Make, verdict: Tell, to_risk: Tell
) -> None:
    world = await a_long(make_world, verdict, to_risk, Venue.ALPACA)
    world.refuse = lambda order: Refused("40310000", "halted") if order.kind is OrderKind.MARKET else None
    await world.minute(("60000", "61250", "60000", "61210"))
    assert (world.held(), stops(world)[0].ticket.quantity) == (Decimal("0.1"), Decimal("0.1"))
    world.refuse = lambda order: None
    await world.flat("61210")
    assert (world.held(), stops(world)[0].ticket.quantity) == (Decimal("0.05"), Decimal("0.05"))
