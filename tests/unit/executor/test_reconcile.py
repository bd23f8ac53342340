"""The venue is right about what is held, the store about why."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import given as given_
from hypothesis import strategies as st

from nexus_common.contracts.account import AccountNoted, HandTraded, PositionDrifted
from nexus_common.contracts.order import OrderCanceled, OrderIntentRecorded, OrderKind
from nexus_common.contracts.session import CloseRequested, KillRequested
from nexus_common.contracts.trade import ExitReason, TradeClosed, TradeDeclined, TradeEntered
from nexus_common.contracts.values import AccountId, ClientOrderId, Side, Symbol, UserId, Venue
from nexus_executor.domain.traits import TRAITS
from nexus_executor.reconcile import Comparison, compare_positions, vanished_orders
from nexus_executor.venues.broker import UpdateKind, VenueOrder, VenueOrderStatus, VenuePosition
from nexus_market.exchange import Ticket

BTC, ETH = Symbol("BTCUSDT"), Symbol("ETHUSDT")


def at_venue(symbol: Symbol, quantity: str) -> VenuePosition:
    return VenuePosition(symbol, Decimal(quantity), Decimal(100))


def test_equal_books_differ_nowhere() -> None:
    assert compare_positions({BTC: Decimal(1)}, [at_venue(BTC, "1")]) == ()


def test_more_less_and_unexplained_positions_are_differences() -> None:
    found = compare_positions({BTC: Decimal(1)}, [at_venue(BTC, "0.5"), at_venue(ETH, "-2")])
    assert found == (
        Comparison(BTC, Decimal(1), Decimal("0.5")),
        Comparison(ETH, Decimal(0), Decimal(-2)),
    )
    assert compare_positions({BTC: Decimal(1)}, []) == (Comparison(BTC, Decimal(1), Decimal(0)),)


def test_orders_that_do_not_stand_are_found() -> None:
    stop = VenueOrder(
        ClientOrderId("a"),
        "x1",
        BTC,
        Side.SELL,
        OrderKind.STOP,
        VenueOrderStatus.OPEN,
        Decimal(1),
        Decimal(0),
        Decimal(90),
    )
    assert vanished_orders([ClientOrderId("a"), ClientOrderId("b")], [stop]) == (ClientOrderId("b"),)


Make = Callable[..., Any]
Tell = Callable[..., Any]
PAPER = "anna-paper"


async def a_long(make_world: Make, verdict: Tell, to_risk: Tell, **world: Any) -> Any:
    made = make_world(**world)
    await made.start()
    await made.flat("60000")
    await made.flat("60000", to_risk(verdict()))
    return made


def the_stop(world: Any) -> Any:
    return next(order for order in world.resting() if order.kind is OrderKind.STOP)


def hide(world: Any, symbol: Symbol, quantity: str) -> None:
    """The venue holds something else from now on, and no message says why."""
    position = world.exchange.account(PAPER).positions[symbol]
    position.quantity += Decimal(quantity)
    position.cost += Decimal(quantity) * 60_000


async def test_a_difference_is_reported_once_and_again_when_it_is_gone(
    make_world: Make, verdict: Tell, to_risk: Tell
) -> None:
    world = await a_long(make_world, verdict, to_risk)
    hide(world, BTC, "-0.04")
    await world.reconcile()
    drifted = await world.only(PositionDrifted)
    assert (drifted.expected, drifted.held) == (Decimal("0.1"), Decimal("0.06"))
    await world.reconcile()
    assert len(await world.all_of(PositionDrifted)) == 1
    hide(world, BTC, "0.04")
    await world.reconcile()
    last = (await world.all_of(PositionDrifted))[-1]
    assert last.expected == last.held
    await world.reconcile()
    assert len(await world.all_of(PositionDrifted)) == 2


async def test_no_new_exposure_where_the_books_differ(make_world: Make, verdict: Tell, to_risk: Tell) -> None:
    world = await a_long(make_world, verdict, to_risk)
    hide(world, BTC, "-0.04")
    await world.reconcile()
    await world.flat("60000", to_risk(verdict(quantity="0.01")))
    assert "that our fills do not explain" in (await world.only(TradeDeclined)).reason


async def test_a_stop_that_vanished_without_a_word_is_placed_again_in_the_turn_that_finds_it(
    make_world: Make, verdict: Tell, to_risk: Tell
) -> None:
    world = await a_long(make_world, verdict, to_risk)
    await world.flat("60000", seconds=30)
    stop = the_stop(world).ticket.client_order_id
    assert world.exchange.vanish(PAPER, stop)
    await world.flat("60000", seconds=20)
    assert not any(order.kind is OrderKind.STOP for order in world.resting())
    await world.flat("60000", seconds=40)  # looked at once a minute while something is held
    assert the_stop(world).ticket.client_order_id != stop
    assert [c.reason for c in await world.all_of(OrderCanceled) if c.client_order_id == stop] == [
        "missing at the venue"
    ]
    before = len(await world.events())
    await world.reconcile()
    await world.reconcile()
    assert len(await world.events()) == before


async def test_a_fill_that_the_stream_kept_back_is_asked_for(
    make_world: Make, verdict: Tell, to_risk: Tell
) -> None:
    world = make_world()
    await world.start()
    await world.flat("60000")
    world.stream.is_silent = True
    await world.flat("60000", to_risk(verdict()))
    assert (world.held(), await world.all_of(TradeEntered)) == (Decimal("0.1"), [])
    await world.flat("60000", seconds=2)
    assert (await world.only(TradeEntered)).quantity == Decimal("0.1")
    assert the_stop(world).trigger_price == 59_400


async def test_a_difference_that_a_lost_message_explains_is_none(
    make_world: Make, verdict: Tell, to_risk: Tell
) -> None:
    world = await a_long(make_world, verdict, to_risk)
    world.stream.is_silent = True
    await world.minute(("60000", "60000", "59000", "59000"))
    assert world.held() == 0
    assert (await world.only(TradeClosed)).exit_price == 59_400
    assert await world.all_of(PositionDrifted) == []


async def test_an_account_is_compared_when_its_venue_is_back(
    make_world: Make, verdict: Tell, to_risk: Tell
) -> None:
    world = await a_long(make_world, verdict, to_risk)
    world.lose = lambda call: "down" if call == "updates" else None
    await world.flat("60000", seconds=5)
    world.exchange.vanish(PAPER, the_stop(world).ticket.client_order_id)
    world.lose = lambda call: None
    await world.flat("60000", seconds=5)
    assert the_stop(world).trigger_price == 59_400


@pytest.mark.parametrize("seconds", [59, 60])
async def test_what_rests_is_looked_at_once_a_minute_and_else_every_five(
    make_world: Make, verdict: Tell, to_risk: Tell, seconds: int
) -> None:
    world = make_world()
    await world.start()
    await world.flat("60000")
    asked: list[str] = []
    world.lose = lambda call: asked.append(call) if call == "positions" else None
    await world.flat("60000", minutes=4)
    assert asked == []
    await world.flat("60000", to_risk(verdict()))
    asked.clear()
    await world.flat("60000", seconds=seconds)
    assert bool(asked) == (seconds == 60)


async def test_a_restarted_executor_asks_what_happened_before_it_believes_its_books(
    make_world: Make, verdict: Tell, to_risk: Tell
) -> None:
    world = await a_long(make_world, verdict, to_risk)
    asked = world.stream.asked
    world.kills.at = world.kills.passed + 1
    await world.flat("60000")
    assert (world.deaths, world.stream.asked) == (1, asked + 1)


DISTURBANCES = ("vanish a stop", "vanish a target", "hide more", "hide less", "sell by hand", "buy by hand")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given_(st.lists(st.sampled_from(DISTURBANCES), max_size=4), st.sampled_from(Venue))
def test_a_second_comparison_records_nothing_whatever_happened(
    make_world: Make, verdict: Tell, to_risk: Tell, disturbances: list[str], venue: Venue
) -> None:
    async def play() -> None:
        traits = replace(TRAITS[venue], whole_quantity=False)
        world = await a_long(make_world, verdict, to_risk, traits=traits)
        await world.flat("60000")
        for number, what in enumerate(disturbances):
            disturb(world, what, number)
        await world.flat("60000", minutes=2)
        await world.reconcile()
        before = len(await world.events())
        await world.reconcile()
        await world.flat("60000")
        await world.reconcile()
        assert len(await world.events()) == before
        assert is_covered(world)

    asyncio.run(play())


def disturb(world: Any, what: str, number: int) -> None:
    kinds = {"vanish a stop": OrderKind.STOP, "vanish a target": OrderKind.TAKE_PROFIT}
    if what in kinds:
        for order in world.resting():
            if order.kind is kinds[what]:
                world.exchange.vanish(PAPER, order.ticket.client_order_id)
                return
    elif what.startswith("hide") and BTC in world.exchange.account(PAPER).positions:
        hide(world, BTC, "0.01" if what == "hide more" else "-0.01")
    elif what.endswith("by hand"):
        side = Side.SELL if what.startswith("sell") else Side.BUY
        ticket = Ticket(f"hand-{number}", BTC, side, OrderKind.MARKET, Decimal("0.02"))
        world.exchange.submit(PAPER, 1, ticket)


def is_covered(world: Any) -> bool:
    """Whether a stop stands for all that is held."""
    held = abs(world.held())
    stops = [order for order in world.resting() if order.kind is OrderKind.STOP]
    whole = any(order.ticket.close_position for order in stops)
    return held == 0 or whole or sum((o.remaining for o in stops), Decimal(0)) >= held


# -- gone without a word ------------------------------------------------------------------------------


def take_away(world: Any) -> Any:
    """The venue says that it holds nothing any more, and no message says why; returns what it did before."""
    before, world.exchange.positions = world.exchange.positions, lambda account: []
    return before


CLOSE = ("session-anna", CloseRequested(user=UserId("anna"), account=AccountId(PAPER), symbol=BTC))
KILL = ("session-anna", KillRequested(user=UserId("anna")))


@pytest.mark.parametrize("request_", [CLOSE, KILL])
async def test_a_position_that_is_gone_and_no_fill_tells_is_written_off_when_its_owner_asks(
    make_world: Make, verdict: Tell, to_risk: Tell, request_: Any
) -> None:
    world = await a_long(make_world, verdict, to_risk)
    take_away(world)
    await world.flat("60000", minutes=10)
    assert (await world.only(PositionDrifted)).held == 0
    assert await world.all_of(TradeClosed) == [], "nobody asked"
    sent = len(await world.all_of(OrderIntentRecorded))
    await world.flat("61000", request_)
    closed = await world.only(TradeClosed)
    assert (closed.gross_profit, closed.net_profit, closed.funding) == (0, -closed.fees, 0)
    assert closed.reason is (ExitReason.KILL if request_ is KILL else ExitReason.MANUAL)
    assert len(await world.all_of(OrderIntentRecorded)) == sent, "nothing is sold that is not held"
    assert "is gone at the venue" in (await world.only(AccountNoted)).text
    await world.flat("61000", minutes=6)
    assert world.resting() == []
    last = (await world.all_of(PositionDrifted))[-1]
    assert last.expected == last.held == 0


async def test_it_is_not_written_off_before_the_venue_was_asked_for_minutes_also_after_a_restart(
    make_world: Make, verdict: Tell, to_risk: Tell
) -> None:
    world = await a_long(make_world, verdict, to_risk)
    take_away(world)
    await world.flat("60000", minutes=1)
    await world.flat("60000", CLOSE)
    await world.flat("60000", minutes=3)
    assert await world.all_of(TradeClosed) == []
    await world._restart()
    await world.flat("60000", minutes=5)
    assert await world.all_of(TradeClosed) == [], "this process has looked for five minutes only from now on"
    await world.flat("60000", minutes=2)
    await world.only(TradeClosed)


async def test_what_is_back_at_the_venue_is_left_as_its_owner_asked(
    make_world: Make, verdict: Tell, to_risk: Tell
) -> None:
    world = await a_long(make_world, verdict, to_risk)
    took = take_away(world)
    await world.flat("60000", minutes=2)
    await world.flat("60000", CLOSE)
    world.exchange.positions = took
    await world.flat("60000", minutes=2)
    closed = await world.only(TradeClosed)
    assert (world.held(), closed.exit_price) == (0, 60_000)


async def test_an_exit_that_vanished_with_its_position_is_not_sent_again(
    make_world: Make, verdict: Tell, to_risk: Tell
) -> None:
    """Where the venue knows no reduce-only, a second exit would open a short."""
    world = await a_long(
        make_world, verdict, to_risk, traits=replace(TRAITS[Venue.ALPACA], whole_quantity=False)
    )
    pull = world.exchange.updates
    exits = [lambda update: update.fill_id is None]

    def without_exits(account: str, after: int) -> list[Any]:
        return [
            update if exits[0](update) else update._replace(kind=type(update.kind)("notice"), reason="?")
            for update in pull(account, after)
        ]

    world.exchange.updates = without_exits
    await world.flat("60000", CLOSE)
    await world.flat("60000", minutes=10)
    assert world.held() == 0
    exits_sent = [i for i in await world.all_of(OrderIntentRecorded) if i.leg.value == "exit"]
    assert len(exits_sent) == 1


async def test_a_fill_beyond_its_order_is_a_trade_by_hand_and_no_reason_to_stop(
    make_world: Make, verdict: Tell, to_risk: Tell
) -> None:
    world = make_world()
    await world.start()
    await world.flat("60000")
    world.stream.seen_as = lambda each: (
        replace(each, quantity=Decimal("0.2")) if getattr(each, "kind", None) is UpdateKind.FILL else each
    )
    await world.flat("60000", to_risk(verdict()))
    assert (await world.only(HandTraded)).quantity == Decimal("0.2")
