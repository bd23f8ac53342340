"""Killed at any await, the executor records what it would have recorded, and the venue sees each order once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from nexus_common.contracts.guard import AmberRaised, FallEvidence, FallMeasure
from nexus_common.contracts.message import Event
from nexus_common.contracts.order import OrderKind
from nexus_common.contracts.session import KillRequested, ProposalAnswered
from nexus_common.contracts.trade import TradeProposed
from nexus_common.contracts.values import Direction, Mode, Side, Symbol, UserId, Venue
from nexus_executor.domain.traits import TRAITS, VenueTraits
from nexus_executor.venues.broker import Refused
from nexus_market.exchange import Ticket, duplicate_orders

ANNA = UserId("anna")
SOL = Symbol("SOLUSDT")
Make = Callable[..., Any]
Tools = tuple[Callable[..., Any], Callable[..., tuple[str, Event]]]
Story = Callable[[Any, Tools], Awaitable[None]]


def amber(at: Any) -> tuple[str, Event]:
    evidence = FallEvidence(
        measure=FallMeasure.CANDLE_OPEN,
        reference_price=Decimal(60_000),
        reference_at=at,
        price=Decimal(58_700),
        price_at=at,
        fall_percent=Decimal("2.1"),
        confirmed_by="the bar's close",
    )
    event = AmberRaised(
        venue=Venue.BINANCE, symbol=Symbol("BTCUSDT"), evidence=evidence, longs_blocked_until=at
    )
    return "guard-crypto", event


async def targets_then_trail(world: Any, tools: Tools) -> None:
    """Entry, break-even, both targets, the trailing part."""
    verdict, to_risk = tools
    await world.flat("60000")
    await world.flat("60000", to_risk(verdict()))
    await world.minute(("60000", "60700", "60000", "60600"))
    await world.minute(("60600", "61300", "60600", "61300"), amber(world.at), funding="0.0001")
    await world.minute(("61300", "61900", "61300", "61900"))
    await world.minute(("61900", "61900", "61000", "61000"))


async def half_filled_then_killed(world: Any, tools: Tools) -> None:
    """An entry that fills in parts on a thin market, and the kill in the middle of it."""
    verdict, to_risk = tools
    await world.flat("60000")
    await world.minute(("60000",) * 4, to_risk(verdict()), volume="0.3")
    await world.minute(("60000",) * 4, volume="0.2", next_open="60100")
    await world.minute(("60100",) * 4, ("session-anna", KillRequested(user=ANNA)), volume="0.2")
    await world.flat("60100", minutes=2)


async def refused_stop(world: Any, tools: Tools) -> None:
    """Every stop is refused: the position is flattened in the turn it was entered."""
    verdict, to_risk = tools
    await world.flat("60000")
    world.refuse = lambda order: Refused("-4120", "no stops here") if order.kind is OrderKind.STOP else None
    await world.flat("60000", to_risk(verdict()))
    await world.flat("60000")


async def two_at_once(world: Any, tools: Tools) -> None:
    """A long and a short in one turn, stopped out and taken at the target."""
    verdict, to_risk = tools
    short = verdict(
        Direction.SHORT,
        quantity="10",
        price="150",
        stop_distance="1.5",
        target_distance="3",
        trail_distance="1.5",
        symbol=SOL,
    )
    await world.flat("60000")
    await world.minute(("150",) * 4, symbol=SOL)
    await world.flat("60000", to_risk(verdict()), to_risk(short))
    await world.minute(("150", "150", "147", "147"), symbol=SOL)
    await world.minute(("60000", "60000", "59000", "59000"))
    await world.minute(("147", "152", "147", "152"), symbol=SOL)


async def approved_by_hand(world: Any, tools: Tools) -> None:
    """A proposal, its answer, and a second one that nobody answers."""
    verdict, to_risk = tools
    await world.flat("60000")
    await world.flat("60000", to_risk(verdict()))
    trade = (await world.only(TradeProposed)).trade_id
    answered = ProposalAnswered(user=ANNA, trade_id=trade, approved=True)
    await world.flat("60050", ("session-anna", answered), ("session-anna", answered))
    await world.minute(("60050", "60050", "59300", "59300"))
    await world.flat("60000", to_risk(verdict()))
    await world.flat("60000", minutes=6)


async def changed_by_hand(world: Any, tools: Tools) -> None:
    """Somebody sells a part of ours, buys on, and opens a position of his own when ours is gone."""
    verdict, to_risk = tools
    await world.flat("60000")
    await world.flat("60000", to_risk(verdict()))
    for number, (side, quantity) in enumerate(
        ((Side.SELL, "0.04"), (Side.BUY, "0.02"), (Side.SELL, "0.08"), (Side.SELL, "0.05"))
    ):
        ticket = Ticket(f"by-hand-{number}", "BTCUSDT", side, OrderKind.MARKET, Decimal(quantity))
        world.exchange.submit("anna-paper", 1_000, ticket)
        world.exchange.account("anna-paper").epoch = 1
        await world.flat("60000")
    await world.minute(("60000", "61500", "60000", "61500"))


def at(venue: Venue) -> VenueTraits:
    """What a venue can do; half a coin is held all the same."""
    return replace(TRAITS[venue], whole_quantity=False)


STORIES: dict[str, tuple[Story, Mode, VenueTraits | None]] = {
    "targets then trail": (targets_then_trail, Mode.PILOT, None),
    "half filled then killed": (half_filled_then_killed, Mode.PILOT, None),
    "refused stop": (refused_stop, Mode.PILOT, None),
    "two at once": (two_at_once, Mode.PILOT, None),
    "approved by hand": (approved_by_hand, Mode.COPILOT, None),
    "changed by hand": (changed_by_hand, Mode.PILOT, None),
    "targets then trail at Binance": (targets_then_trail, Mode.PILOT, at(Venue.BINANCE)),
    "targets then trail at Bybit": (targets_then_trail, Mode.PILOT, at(Venue.BYBIT)),
    "targets then trail at Alpaca": (targets_then_trail, Mode.PILOT, at(Venue.ALPACA)),
    "half filled then killed at Alpaca": (half_filled_then_killed, Mode.PILOT, at(Venue.ALPACA)),
}


async def tell(
    make_world: Make, name: str, tools: Tools, kill_at: int | None = None, lose: Any = None
) -> Any:
    story, mode, traits = STORIES[name]
    world = make_world(mode=mode, kill_at=kill_at, traits=traits)
    if lose is not None:
        world.lose = lose
    await world.start()
    await story(world, tools)
    return world


def at_the_venue(world: Any) -> list[dict[str, Any]]:
    """The venue's ledger without the repeated requests that it answered as the first time."""
    kept = [dict(record) for record in world.exchange.records if record["kind"] != "resubmission"]
    for number, record in enumerate(kept, start=1):
        record["n"] = number
    return kept


@pytest.mark.parametrize("name", STORIES)
async def test_a_kill_at_any_point_changes_nothing_that_is_recorded(
    make_world: Make,
    verdict: Callable[..., Any],
    to_risk: Callable[..., tuple[str, Event]],
    name: str,
) -> None:
    tools = (verdict, to_risk)
    undisturbed = await tell(make_world, name, tools)
    bodies, ledger = await undisturbed.bodies(), at_the_venue(undisturbed)
    assert undisturbed.kills.passed > 50
    for point in range(1, undisturbed.kills.passed + 1):
        world = await tell(make_world, name, tools, kill_at=point)
        assert world.deaths == 1
        assert await world.bodies() == bodies, f"killed at point {point}"
        assert at_the_venue(world) == ledger, f"killed at point {point}"
        assert not duplicate_orders(world.exchange.records)


class Losses:
    """Loses what every n-th changing call asks or is answered."""

    def __init__(self, what: str, every: int) -> None:
        self._what = what
        self._every = every
        self._calls = 0

    def __call__(self, call: str) -> str | None:
        if call not in ("submit", "cancel", "amend"):
            return None
        self._calls += 1
        return self._what if self._calls % self._every == 0 else None


@pytest.mark.parametrize("name", STORIES)
@pytest.mark.parametrize("what", ["request", "answer"])
@pytest.mark.parametrize("every", [2, 3, 5])
async def test_a_lost_request_or_answer_changes_nothing_that_is_recorded(
    make_world: Make,
    verdict: Callable[..., Any],
    to_risk: Callable[..., tuple[str, Event]],
    name: str,
    what: str,
    every: int,
) -> None:
    tools = (verdict, to_risk)
    undisturbed = await tell(make_world, name, tools)
    world = await tell(make_world, name, tools, lose=Losses(what, every))
    assert await world.bodies() == await undisturbed.bodies()
    assert at_the_venue(world) == at_the_venue(undisturbed)


@pytest.mark.parametrize("name", STORIES)
async def test_dying_again_and_again_changes_nothing_either(
    make_world: Make,
    verdict: Callable[..., Any],
    to_risk: Callable[..., tuple[str, Event]],
    name: str,
) -> None:
    tools = (verdict, to_risk)
    undisturbed = await tell(make_world, name, tools)
    for gap in (3, 4, 6, 9):
        story, mode, traits = STORIES[name]
        world = make_world(mode=mode, traits=traits)
        world.kills.gap = gap
        await world.start()
        await story(world, tools)
        assert world.deaths > 3
        assert await world.bodies() == await undisturbed.bodies()
        assert at_the_venue(world) == at_the_venue(undisturbed)
