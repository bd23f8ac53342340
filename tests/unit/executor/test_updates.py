"""The venue's numbered messages: each once, in order, and none left out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from nexus_common.contracts.decider import InvariantBroken
from nexus_common.contracts.order import OrderFilled
from nexus_common.contracts.session import AccountSpec, SessionOpened
from nexus_common.contracts.trade import TradeEntered
from nexus_common.contracts.values import AccountId, Mode, Profile, UserId
from nexus_executor.venues.broker import VenueDown
from nexus_executor.venues.paper import LocalGateway


async def test_a_hole_in_the_numbers_is_not_passed_over(
    make_world: Any, verdict: Callable[..., Any], to_risk: Callable[[Any], Any]
) -> None:
    world = make_world()
    await world.start()
    await world.flat("60000")
    pull = world.exchange.updates

    def with_a_hole(account: str, after: int) -> list[Any]:
        return [update._replace(sequence=update.sequence + 1) for update in pull(account, after)]

    world.exchange.updates = with_a_hole
    with pytest.raises(InvariantBroken, match="hole"):
        await world.flat("60000", to_risk(verdict()))


async def test_a_message_told_again_counts_once(
    make_world: Any, verdict: Callable[..., Any], to_risk: Callable[[Any], Any]
) -> None:
    world = make_world()
    await world.start()
    await world.flat("60000", to_risk(verdict()))
    await world.flat("60000", minutes=3)
    fills = await world.all_of(OrderFilled)
    assert len({fill.fill_id for fill in fills}) == len(fills) == 1


BOB = AccountId("bob-paper")


async def two_accounts(make_world: Any) -> Any:
    world = make_world()
    await world.start()
    spec = AccountSpec(account=BOB, venue=world.venue, paper=True, currency="USDT", balance=Decimal(10_000))
    opened = SessionOpened(
        user=UserId("bob"), mode=Mode.PILOT, profile=Profile.NEXUS, strategy="auto", accounts=(spec,)
    )
    await world.tell(f"session-{opened.user}", opened)
    await world._restart()
    await world.flat("60000")
    return world


async def test_venues_are_asked_at_once_and_one_that_is_down_stops_nobody(
    make_world: Any,
    verdict: Callable[..., Any],
    to_risk: Callable[[Any], Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = await two_accounts(make_world)
    asked: set[str] = set()
    both = asyncio.Event()

    async def updates(gateway: Any, account: AccountId, after: int) -> Any:
        asked.add(account)
        if len(asked) == 2:
            both.set()
        async with asyncio.timeout(1):
            await both.wait()
        if account == BOB:
            raise VenueDown("gone")
        return await pull(gateway, account, after)

    pull = LocalGateway.updates
    monkeypatch.setattr(LocalGateway, "updates", updates)
    await world.flat("60000", to_risk(verdict()))
    assert (await world.only(TradeEntered)).account == "anna-paper"
