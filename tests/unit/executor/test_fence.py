"""Nobody knows whether the venue took it: never sent again blindly, asked until it is settled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from nexus_common.contracts.account import AccountOpened
from nexus_common.contracts.order import (
    Leg,
    OrderAmended,
    OrderIntentRecorded,
    OrderKind,
    SubmitAccepted,
    SubmitProvenAbsent,
    SubmitUnknown,
)
from nexus_common.contracts.session import KillRequested
from nexus_common.contracts.trade import (
    ProtectionFailed,
    TradeAbandoned,
    TradeClosed,
    TradeDeclined,
    TradeEntered,
)
from nexus_common.contracts.values import AccountId, UserId, Venue
from nexus_common.runtime.errors import LeaseLost
from nexus_executor.domain.traits import TRAITS
from nexus_executor.venues.broker import Fenced
from nexus_market.exchange import duplicate_orders

NOON = datetime(2024, 6, 3, 12, 0, tzinfo=UTC)
KILL = ("session-anna", KillRequested(user=UserId("anna")))
Make = Callable[..., Any]
Tell = Callable[..., Any]


def losing(**calls: str) -> Callable[[str], str | None]:
    return lambda call: calls.get(call)


async def opened(make_world: Make, **world: Any) -> Any:
    made = make_world(**world)
    await made.start()
    await made.flat("60000")
    return made


async def test_an_order_that_arrived_without_an_answer_is_adopted(
    make_world: Make, verdict: Tell, to_risk: Tell
) -> None:
    world = await opened(make_world, conclusive=False)
    world.lose = losing(submit="answer")
    await world.flat("60000", to_risk(verdict()))
    entry = (await world.all_of(SubmitUnknown))[0].client_order_id
    assert world.held() == Decimal("0.1")
    world.lose = losing()
    await world.flat("60000", minutes=2)
    assert entry in [accepted.client_order_id for accepted in await world.all_of(SubmitAccepted)]
    assert not duplicate_orders(world.exchange.records)
    assert sum(order.kind is OrderKind.STOP for order in world.resting()) == 1


async def test_what_is_found_is_adopted_in_the_same_turn(
    make_world: Make, verdict: Tell, to_risk: Tell
) -> None:
    world = await opened(make_world, conclusive=False)
    world.lose = losing(submit="answer")
    await world.flat("60000", to_risk(verdict()))
    unknown = {event.client_order_id for event in await world.all_of(SubmitUnknown)}
    accepted = {event.client_order_id for event in await world.all_of(SubmitAccepted)}
    assert unknown == accepted != set()
    assert sum(order.kind is OrderKind.STOP for order in world.resting()) == 1
    assert not duplicate_orders(world.exchange.records)


async def test_an_absence_is_proven_by_three_lookups_over_twenty_seconds_behind_the_deadline(
    make_world: Make, verdict: Tell, to_risk: Tell
) -> None:
    world = await opened(make_world, conclusive=False)
    world.lose = losing(submit="request")
    await world.flat("60000", to_risk(verdict(valid_until=NOON + timedelta(minutes=2, seconds=1))))
    world.lose = losing()
    # 5 s of receive window and 2 s of margin: from 8 s on it counts, and 20 s later it is enough.
    for _ in range(6):
        await world.flat("60000", seconds=4)
    assert await world.all_of(SubmitProvenAbsent) == []
    await world.flat("60000", seconds=4)
    await world.only(SubmitProvenAbsent)
    await world.only(TradeAbandoned)


async def test_an_order_that_shows_up_late_is_adopted_before_it_counts_as_absent(
    make_world: Make, verdict: Tell, to_risk: Tell
) -> None:
    world = await opened(make_world, conclusive=False)
    world.lose = losing(submit="answer", lookup="request")
    await world.flat("60000", to_risk(verdict()))
    assert await world.all_of(SubmitAccepted) == []
    world.lose = losing()
    await world.flat("60000", seconds=1)
    await world.all_of(SubmitAccepted)
    assert await world.all_of(SubmitProvenAbsent) == []
    assert not duplicate_orders(world.exchange.records)


async def test_a_cancel_without_an_answer_is_asked_again_each_turn(
    make_world: Make, verdict: Tell, to_risk: Tell
) -> None:
    world = await opened(make_world, conclusive=False, traits=TRAITS[Venue.BINANCE])
    await world.flat("60000", to_risk(verdict()))
    world.lose = losing(cancel="request")
    await world.minute(("60000", "60650", "60000", "60500"))
    assert sum(order.kind is OrderKind.STOP for order in world.resting()) == 2  # both cover it
    world.lose = losing()
    await world.flat("60500")
    assert sum(order.kind is OrderKind.STOP for order in world.resting()) == 1


async def test_a_move_without_an_answer_is_asked_again_each_turn(
    make_world: Make, verdict: Tell, to_risk: Tell
) -> None:
    world = await opened(make_world, conclusive=False)
    await world.flat("60000", to_risk(verdict()))
    world.lose = losing(amend="answer")
    await world.minute(("60000", "60650", "60000", "60500"))
    assert await world.all_of(OrderAmended) == []
    world.lose = losing()
    await world.flat("60500")
    assert (await world.only(OrderAmended)).trigger_price == Decimal("60060.1")


async def test_a_stop_that_is_not_confirmed_in_any_kind_within_five_seconds_ends_the_trade(
    make_world: Make, verdict: Tell, to_risk: Tell
) -> None:
    world = await opened(make_world, conclusive=False)
    world.refuse = lambda order: None
    sent: list[str] = []

    def lose_stops(call: str) -> str | None:
        return "request" if call in ("submit", "lookup") and sent else None

    def remember(order: Any) -> None:
        sent.append(order.client_order_id)

    world.lose, world.refuse = lose_stops, remember
    await world.flat("60000", to_risk(verdict()))
    assert world.held() == Decimal("0.1")
    world.lose = losing(lookup="request")
    await world.flat("60000", seconds=6)
    assert "no confirmed stop" in (await world.only(ProtectionFailed)).detail
    assert world.held() == 0


async def test_the_clock_that_requests_are_signed_with_is_the_turns(make_world: Make) -> None:
    world = await opened(make_world)
    assert world.clock.now() == world.at


async def test_an_executor_whose_lease_was_lost_sends_nothing(
    make_world: Make, verdict: Tell, to_risk: Tell
) -> None:
    world = make_world()
    world.lease = await world.store.claim("executor", "first", 0)
    await world.start()
    await world.flat("60000")
    await world.flat("60000", to_risk(verdict()))
    before = list(world.exchange.records)
    assert await world.store.claim("executor", "second", 60) is not None
    with pytest.raises(LeaseLost):
        await world.flat("60000", KILL)
    assert world.exchange.records == before
    assert world.held() == Decimal("0.1")


async def test_an_order_that_never_arrived_is_given_up_when_that_is_proven_and_not_before(
    make_world: Make, verdict: Tell, to_risk: Tell
) -> None:
    world = await opened(make_world, conclusive=False)
    world.lose = losing(submit="request")
    await world.flat("60000", to_risk(verdict(valid_until=NOON + timedelta(minutes=3))))
    world.lose = losing()
    await world.flat("60000", minutes=2)
    assert await world.all_of(SubmitProvenAbsent) == []
    await world.flat("60000")
    await world.only(SubmitProvenAbsent)
    assert (await world.only(TradeAbandoned)).reason.startswith("never reached the venue")
    assert len(await world.all_of(OrderIntentRecorded)) == 1


async def test_an_entry_proven_absent_is_sent_again_under_another_id_while_its_verdict_is_valid(
    make_world: Make, verdict: Tell, to_risk: Tell
) -> None:
    world = await opened(make_world, conclusive=False)
    world.lose = losing(submit="request")
    await world.flat("60000", to_risk(verdict()))
    world.lose = losing()
    await world.flat("60000", minutes=3)
    await world.only(SubmitProvenAbsent)
    entries = [i for i in await world.all_of(OrderIntentRecorded) if i.leg is Leg.ENTRY]
    assert len({entry.client_order_id for entry in entries}) == len(entries) == 2
    assert world.held() == Decimal("0.1")
    assert not duplicate_orders(world.exchange.records)


async def test_an_unresolved_order_blocks_new_exposure_on_its_instrument(
    make_world: Make, verdict: Tell, to_risk: Tell
) -> None:
    world = await opened(make_world)
    world.lose = losing(submit="request", lookup="request")
    await world.flat("60000", to_risk(verdict(quantity="0.01")))
    await world.only(SubmitUnknown)
    await world.flat("60000", to_risk(verdict(quantity="0.01")))
    assert "unresolved" in (await world.only(TradeDeclined)).reason


async def test_exits_are_never_blocked(make_world: Make, verdict: Tell, to_risk: Tell) -> None:
    world = await opened(make_world, conclusive=False)
    await world.flat("60000", to_risk(verdict()))
    world.lose = losing(submit="request")
    await world.flat("60000", KILL)
    assert world.held() == Decimal("0.1")
    world.lose = losing()
    await world.flat("60000")
    assert world.held() == 0
    await world.only(TradeClosed)
    assert not duplicate_orders(world.exchange.records)


async def test_a_lost_exit_that_did_arrive_closes_the_position_once(
    make_world: Make, verdict: Tell, to_risk: Tell
) -> None:
    world = await opened(make_world, conclusive=False)
    await world.flat("60000", to_risk(verdict()))
    world.lose = losing(submit="answer")
    await world.flat("60000", KILL)
    world.lose = losing()
    await world.flat("60000", minutes=3)
    assert world.held() == 0
    await world.only(TradeClosed)


async def test_a_venue_that_is_down_is_waited_for(make_world: Make, verdict: Tell, to_risk: Tell) -> None:
    world = await opened(make_world)
    await world.flat("60000", to_risk(verdict()))
    world.lose = losing(updates="down", submit="request", lookup="request", cancel="request")
    await world.minute(("60000", "60000", "59000", "59000"))
    await world.flat("59000", minutes=2)
    assert await world.all_of(TradeClosed) == []
    world.lose = losing()
    await world.flat("59000")
    assert (await world.only(TradeClosed)).exit_price == 59_400


async def test_an_account_is_opened_when_its_venue_answers(make_world: Make) -> None:
    world = make_world()
    world.lose = losing(open="down")
    await world.start()
    await world.flat("60000", minutes=2)
    assert await world.all_of(AccountOpened) == []
    world.lose = losing()
    await world.flat("60000")
    await world.only(AccountOpened)


async def test_an_executor_that_was_replaced_stops(make_world: Make, verdict: Tell, to_risk: Tell) -> None:
    world = await opened(make_world)
    world.exchange.open_account("anna-paper", 99, "USDT", None)
    with pytest.raises(Fenced):
        await world.flat("60000", to_risk(verdict()))
    assert world.held() == 0


async def test_the_requests_of_one_account_do_not_wait_for_those_of_another(
    make_world: Make, verdict: Tell, to_risk: Tell
) -> None:
    names = (AccountId("anna-paper"), AccountId("bella-paper"))
    world = await opened(make_world, conclusive=False, accounts=names)
    both = asyncio.Barrier(2)

    async def meet(call: str) -> None:
        if call == "submit":
            async with asyncio.timeout(5):
                await both.wait()

    world.arrive = meet
    approved = verdict()
    await world.flat("60000", *((f"risk-{name}", approved) for name in names))
    entries = [fill for fill in await world.all_of(TradeEntered) if fill.complete]
    assert sorted(entry.account for entry in entries) == sorted(names)
    assert all(
        any(order.kind is OrderKind.STOP for order in world.exchange.open_orders(name)) for name in names
    )
