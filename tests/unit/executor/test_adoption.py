"""Somebody else at the same account: trades by hand, positions nobody of us made, and what the venue takes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given as given_
from hypothesis import strategies as st

from nexus_common.contracts.account import (
    AccountNoted,
    BalanceChanged,
    HandTraded,
    PositionDrifted,
    PositionLiquidated,
)
from nexus_common.contracts.instrument import InstrumentsListed
from nexus_common.contracts.order import OrderIntentRecorded, OrderKind
from nexus_common.contracts.trade import (
    ExitReason,
    Found,
    ProtectionSet,
    TradeAdmitted,
    TradeClosed,
    TradeDeclined,
    TradeEntered,
    TradeReduced,
)
from nexus_common.contracts.values import Direction, Origin, Side, Symbol, Venue
from nexus_executor.domain.adoption import divide, manual_plan, share
from nexus_executor.domain.rules import ExecutionRules
from nexus_executor.domain.traits import TRAITS
from nexus_market.exchange import Ticket, Update
from nexus_market.instruments import DEFAULT_INSTRUMENTS

Make = Callable[..., Any]
Tell = Callable[..., Any]
PAPER = "anna-paper"
BTC = Symbol("BTCUSDT")
NOON = datetime(2024, 6, 3, 12, 0, tzinfo=UTC)


async def started(make_world: Make, **world: Any) -> Any:
    made = make_world(**world)
    await made.start()
    await made.flat("60000")
    return made


async def a_long(make_world: Make, verdict: Tell, to_risk: Tell, **world: Any) -> Any:
    made = await started(make_world, **world)
    await made.flat("60000", to_risk(verdict()))
    return made


def by_hand(world: Any, side: Side, quantity: str, name: str = "by-hand", symbol: Symbol = BTC) -> None:
    reduce_only = world.held() * (1 if side is Side.SELL else -1) >= Decimal(quantity)
    ticket = Ticket(name, symbol, side, OrderKind.MARKET, Decimal(quantity), reduce_only=reduce_only)
    reply = world.exchange.submit(PAPER, 1, ticket)
    assert not hasattr(reply, "code"), reply


def the_stop(world: Any) -> Any:
    (stop,) = [order for order in world.resting() if order.kind is OrderKind.STOP]
    return stop


# -- a trade of ours, changed by hand -----------------------------------------------------------------


async def test_what_is_sold_by_hand_is_not_ours_any_more(
    make_world: Make, verdict: Tell, to_risk: Tell
) -> None:
    world = await a_long(make_world, verdict, to_risk)
    by_hand(world, Side.SELL, "0.04")
    await world.flat("60000")
    reduced = await world.only(TradeReduced)
    assert (reduced.leg, reduced.quantity, reduced.price) == ("manual", Decimal("0.06"), 60_000)
    traded = await world.only(HandTraded)
    assert (traded.side, traded.quantity) == (Side.SELL, Decimal("0.04"))
    assert (await world.all_of(BalanceChanged))[-1].wallet == world.exchange.account(PAPER).wallet
    assert await world.all_of(PositionDrifted) == []
    by_hand(world, Side.SELL, "0.06", "rest")
    await world.flat("60000")
    closed = await world.only(TradeClosed)
    assert closed.reason is ExitReason.MANUAL
    assert closed.net_profit == world.exchange.account(PAPER).wallet - 10_000
    assert world.resting() == []


async def test_what_is_bought_by_hand_is_protected_anew(
    make_world: Make, verdict: Tell, to_risk: Tell
) -> None:
    world = await a_long(make_world, verdict, to_risk)
    await world.flat("60200")
    by_hand(world, Side.BUY, "0.1")
    await world.flat("60200")
    entered = (await world.all_of(TradeEntered))[-1]
    assert (entered.quantity, entered.average_price) == (Decimal("0.2"), 60_100)
    protection = (await world.all_of(ProtectionSet))[-1]
    assert (protection.stop, protection.stop_quantity, protection.first_target) == (
        59_500,
        Decimal("0.2"),
        61_300,
    )
    assert the_stop(world).trigger_price == 59_500
    targets = [o.ticket.quantity for o in world.resting() if o.kind is OrderKind.TAKE_PROFIT]
    assert sorted(targets) == [Decimal("0.05"), Decimal("0.1")]


async def test_what_is_bought_by_hand_does_not_let_a_stop_back(
    make_world: Make, verdict: Tell, to_risk: Tell
) -> None:
    world = await a_long(make_world, verdict, to_risk)
    await world.minute(("60000", "60650", "60000", "60500"))
    by_hand(world, Side.BUY, "0.1")
    await world.flat("60500")
    assert (await world.all_of(ProtectionSet))[-1].stop == Decimal("60060.1")


async def test_what_is_sold_beyond_zero_is_a_position_of_its_own(
    make_world: Make, verdict: Tell, to_risk: Tell
) -> None:
    world = await a_long(make_world, verdict, to_risk)
    by_hand(world, Side.SELL, "0.1")
    by_hand(world, Side.SELL, "0.03", "beyond")
    await world.flat("60000")
    assert (await world.only(TradeClosed)).reason is ExitReason.MANUAL
    adopted = (await world.all_of(TradeEntered))[-1]
    assert (adopted.direction, adopted.quantity) == (Direction.SHORT, Decimal("0.03"))
    assert the_stop(world).side is Side.BUY


# -- a position that nobody of us made ----------------------------------------------------------------


async def test_a_position_by_hand_is_adopted_protected_and_told(make_world: Make) -> None:
    world = await started(make_world)
    by_hand(world, Side.BUY, "0.1")
    await world.flat("60000")
    admitted = await world.only(TradeAdmitted)
    assert (admitted.origin, admitted.strategy, admitted.approved_by) == (
        Origin.MANUAL,
        "manual",
        Found.FILL,
    )
    # No 15m candle was seen: the range is 2 % of the price.
    protection = await world.only(ProtectionSet)
    assert (protection.stop, protection.first_target, protection.trail_distance) == (57_600, 64_800, 1_800)
    assert the_stop(world).trigger_price == 57_600
    assert "adopted" in (await world.only(AccountNoted)).text
    assert not [
        i for i in await world.all_of(OrderIntentRecorded) if not i.reduce_only and not i.close_position
    ]


async def test_the_range_of_an_adopted_position_is_that_of_the_last_quarters(make_world: Make) -> None:
    world = await started(make_world)
    await world.quarter("60000", "60300", "59900", "60100", minutes=14)
    await world.quarter("60100", "60200", "59500", "60000", minutes=15)
    by_hand(world, Side.BUY, "0.1")
    await world.flat("60000")
    assert (await world.only(TradeAdmitted)).atr == (400 + 700) / Decimal(2)


async def test_entries_pause_until_a_position_by_hand_is_closed(
    make_world: Make, verdict: Tell, to_risk: Tell
) -> None:
    world = await started(make_world)
    by_hand(world, Side.BUY, "0.1")
    await world.flat("60000")
    await world.flat("60000", to_risk(verdict(quantity="0.01")))
    assert "opened by hand" in (await world.only(TradeDeclined)).reason
    by_hand(world, Side.SELL, "0.1", "out")
    await world.flat("60000")
    await world.flat("60000", to_risk(verdict(quantity="0.01")))
    assert world.held() == Decimal("0.01")


def put(world: Any, quantity: str, price: str) -> None:
    """A position of which no message tells: opened long ago, or before this executor began."""
    world.exchange.submit(
        PAPER, 1, Ticket("long-ago", BTC, Side.BUY, OrderKind.MARKET, Decimal(quantity), leverage=5)
    )
    account = world.exchange.account(PAPER)
    account.updates.pop()
    account.positions[BTC].cost = Decimal(quantity) * Decimal(price)


async def test_a_position_found_at_the_venue_is_adopted_once(make_world: Make) -> None:
    world = await started(make_world)
    put(world, "0.1", "59800")
    await world.reconcile()
    await world.reconcile()
    await world.flat("60000")
    admitted = await world.only(TradeAdmitted)
    assert (admitted.approved_by, admitted.price) == (Found.POSITION, 59_800)
    assert await world.all_of(PositionDrifted) == []
    assert the_stop(world).trigger_price == Decimal("57408.0")
    before = len(await world.events())
    await world.reconcile()
    assert len(await world.events()) == before


async def test_a_position_deep_under_water_is_protected_from_where_the_market_stands(
    make_world: Make,
) -> None:
    world = await started(make_world)
    put(world, "0.1", "66000")
    await world.reconcile()
    await world.flat("60000")
    assert the_stop(world).trigger_price == 60_000 - 2 * 1_320
    assert world.held() == Decimal("0.1")


async def test_a_fill_that_comes_to_light_after_its_position_was_adopted_is_not_doubled(
    make_world: Make,
) -> None:
    world = await started(make_world)
    by_hand(world, Side.BUY, "0.1")
    account = world.exchange.account(PAPER)
    late = account.updates.pop()
    await world.reconcile()
    assert (await world.only(TradeAdmitted)).approved_by == Found.POSITION
    account.updates.append(late)
    await world.flat("60000")
    assert [e.quantity for e in await world.all_of(TradeEntered)] == [Decimal("0.1")]
    await world.only(HandTraded)
    await world.reconcile()
    assert await world.all_of(PositionDrifted) == []


async def test_a_fill_from_before_this_executor_listened_is_compared_first(make_world: Make) -> None:
    """Sold after a restart, out of a position that was bought while nobody listened: no short position."""
    world = await started(make_world, conclusive=False)
    put(world, "0.1", "59800")
    by_hand(world, Side.SELL, "0.04")
    world.kills.at = world.kills.passed + 1
    await world.flat("60000")
    assert world.deaths == 1
    adopted = await world.only(TradeEntered)
    assert (adopted.direction, adopted.quantity) == (Direction.LONG, Decimal("0.06"))
    assert the_stop(world).side is Side.SELL


async def test_fills_from_before_an_account_was_ours_are_no_business_of_ours(make_world: Make) -> None:
    world = await started(make_world)
    account = world.exchange.account(PAPER)
    early = Update(
        len(account.updates) + 1,
        NOON,
        "fill",
        "ancient",
        BTC,
        Side.SELL,
        "t0",
        Decimal(1),
        Decimal(60_000),
        Decimal(1),
    )
    account.updates.append(early)
    await world.flat("60000")
    assert await world.all_of(HandTraded) == []
    assert await world.all_of(TradeAdmitted) == []


async def test_a_position_beside_ours_is_adopted_for_what_is_beyond(
    make_world: Make, verdict: Tell, to_risk: Tell
) -> None:
    world = await a_long(make_world, verdict, to_risk)
    put(world, "0.05", "60000")
    world.exchange.account(PAPER).positions[BTC].cost = Decimal("0.15") * 60_000
    await world.flat("60000")
    adopted = (await world.all_of(TradeEntered))[-1]
    assert (adopted.quantity, adopted.strategy) == (Decimal("0.05"), "manual")
    assert await world.all_of(PositionDrifted) == []


async def test_an_order_of_ours_on_its_way_is_not_taken_for_a_position_by_hand(
    make_world: Make, verdict: Tell, to_risk: Tell
) -> None:
    world = await started(make_world, conclusive=False)
    world.lose = lambda call: {"submit": "answer", "lookup": "request"}.get(call)
    world.stream.is_silent = True
    await world.flat("60000", to_risk(verdict()))
    pull = world.exchange.updates
    world.exchange.updates = lambda account, after: []
    await world.reconcile()
    assert [a.approved_by for a in await world.all_of(TradeAdmitted)] == ["pilot"]
    world.exchange.updates = pull
    world.lose = lambda call: None
    await world.flat("60000")
    assert (await world.only(TradeEntered)).quantity == Decimal("0.1")


async def test_whole_units_of_a_fraction_are_managed_and_the_rest_is_told(make_world: Make) -> None:
    world = make_world(venue=Venue.ALPACA, traits=TRAITS[Venue.ALPACA])
    await world.start()
    apple = Symbol("AAPL")
    await world.minute(("200",) * 4, symbol=apple)
    listed = world.exchange.instruments
    finer = [
        i.model_copy(update={"step_size": Decimal("0.1"), "min_quantity": Decimal("0.1")}) for i in listed
    ]
    world.exchange.list_instruments(finer)
    by_hand(world, Side.BUY, "2.5", symbol=apple)
    await world.minute(("200",) * 4, symbol=apple)
    assert (await world.only(TradeEntered)).quantity == 2
    assert "0.5 of it cannot be covered" in (await world.only(AccountNoted)).text
    assert the_stop(world).ticket.quantity == 2


async def test_a_position_the_venue_does_not_know_of_any_more_is_left_alone(
    make_world: Make, verdict: Tell, to_risk: Tell
) -> None:
    """Without a fill there is no result; but nothing is sent for what is not there."""
    world = await a_long(make_world, verdict, to_risk)
    account = world.exchange.account(PAPER)
    told = len(account.updates)
    assert world.exchange.take_over(PAPER, BTC)
    del account.updates[told:]
    await world.flat("60000", minutes=2)
    assert (await world.only(PositionDrifted)).held == 0
    sent = len(await world.all_of(OrderIntentRecorded))
    await world.flat("60000", minutes=5)
    assert len(await world.all_of(OrderIntentRecorded)) == sent
    assert await world.all_of(TradeClosed) == []


# -- what the venue takes, and what is too small ------------------------------------------------------


@pytest.mark.parametrize("reason", ["liquidation", "adl"])
async def test_what_the_venue_took_ends_the_trade_and_rests_until_the_next_day(
    make_world: Make, verdict: Tell, to_risk: Tell, reason: str
) -> None:
    world = await a_long(make_world, verdict, to_risk)
    assert world.exchange.take_over(PAPER, BTC, reason)
    await world.flat("60000")
    taken = await world.only(PositionLiquidated)
    assert (taken.reason, taken.quantity) == (reason, Decimal("0.1"))
    closed = await world.only(TradeClosed)
    assert closed.reason is ExitReason.LIQUIDATION
    assert closed.net_profit == world.exchange.account(PAPER).wallet - 10_000
    assert world.resting() == []
    await world.flat("60000", to_risk(verdict(quantity="0.01")))
    assert "until 2024-06-04 00:00" in (await world.only(TradeDeclined)).reason
    await world.flat("60000", seconds=12 * 3_600)
    later = verdict(quantity="0.01", valid_until=world.at + timedelta(hours=1))
    await world.flat("60000", to_risk(later))
    assert world.held() == Decimal("0.01")


async def test_a_rest_too_small_for_any_order_is_written_off_and_told(
    make_world: Make, verdict: Tell, to_risk: Tell
) -> None:
    world = await a_long(make_world, verdict, to_risk)
    listed = world.exchange.instruments
    world.exchange.list_instruments(
        i.model_copy(update={"step_size": Decimal("0.0001"), "min_quantity": Decimal("0.0001")})
        for i in listed
    )
    by_hand(world, Side.SELL, "0.0996")
    await world.flat("60000", minutes=3)
    closed = await world.only(TradeClosed)
    assert (closed.quantity, closed.gross_profit) == (Decimal("0.0996"), 0)
    assert "0.0004 BTCUSDT is too small" in (await world.only(AccountNoted)).text
    assert await world.all_of(PositionDrifted) == []
    before = len(await world.events())
    await world.flat("60000", minutes=3)
    assert len(await world.events()) == before


async def test_a_notice_of_the_venue_reaches_the_owner(make_world: Make) -> None:
    world = await started(make_world)
    account = world.exchange.account(PAPER)
    account.updates.append(Update(len(account.updates) + 1, world.at, "notice", reason="key revoked"))
    await world.flat("60000")
    assert (await world.only(AccountNoted)).text == "key revoked"


async def test_what_stops_trading_is_left_and_not_entered_again(
    make_world: Make, verdict: Tell, to_risk: Tell
) -> None:
    world = await a_long(make_world, verdict, to_risk)
    stopped = InstrumentsListed(
        venue=Venue.BINANCE, instruments=DEFAULT_INSTRUMENTS[Venue.BINANCE], not_trading=(BTC,)
    )
    await world.flat("60000", ("instrument-binance", stopped))
    await world.flat("60000", to_risk(verdict(quantity="0.01")))
    assert (await world.only(TradeClosed)).reason is ExitReason.DELISTED
    assert "does not trade BTCUSDT any more" in (await world.only(TradeDeclined)).reason


async def test_what_is_not_listed_any_more_is_not_entered(
    make_world: Make, verdict: Tell, to_risk: Tell
) -> None:
    world = await started(make_world)
    others = tuple(i for i in DEFAULT_INSTRUMENTS[Venue.BINANCE] if i.symbol != BTC)
    await world.flat(
        "60000", ("instrument-binance", InstrumentsListed(venue=Venue.BINANCE, instruments=others))
    )
    await world.flat("60000", to_risk(verdict()))
    assert "does not list BTCUSDT" in (await world.only(TradeDeclined)).reason


async def test_a_venue_with_whole_units_takes_no_fraction(
    make_world: Make, verdict: Tell, to_risk: Tell
) -> None:
    world = await started(make_world, traits=TRAITS[Venue.ALPACA])
    await world.flat("60000", to_risk(verdict()))
    assert "whole units" in (await world.only(TradeDeclined)).reason


# -- figures ------------------------------------------------------------------------------------------

QUANTITIES = st.integers(1, 1_000).map(lambda steps: steps * Decimal("0.001"))


@given_(
    st.sampled_from(Side),
    QUANTITIES,
    st.lists(st.tuples(st.sampled_from(Direction), QUANTITIES), max_size=4),
)
def test_a_trade_by_hand_is_divided_without_a_rest(
    side: Side, quantity: Decimal, held: list[tuple[Direction, Decimal]]
) -> None:
    division = divide(side, quantity, held)
    assert sum(division.closes, Decimal(0)) + division.rest == quantity
    for (direction, remaining), part in zip(held, division.closes, strict=True):
        assert 0 <= part <= (remaining if direction.exit_side is side else 0)
    if division.grows is not None:
        assert held[division.grows][0].entry_side is side


@given_(QUANTITIES, QUANTITIES, st.integers(0, 10_000).map(lambda cents: Decimal(cents) / 100))
def test_the_shares_of_a_fee_are_the_fee(part: Decimal, rest: Decimal, fee: Decimal) -> None:
    together = share(fee, part, part + rest) + share(fee, rest, part + rest)
    assert abs(together - fee) <= Decimal("0.000000000002")


@given_(
    st.integers(1, 10**9).map(lambda ticks: Decimal(ticks) / 100),
    st.none() | st.integers(0, 10**9).map(lambda ticks: Decimal(ticks) / 100),
)
def test_a_plan_by_hand_has_a_stop_above_zero(price: Decimal, atr: Decimal | None) -> None:
    plan, unit = manual_plan(price, atr, ExecutionRules())
    assert 0 < plan.stop_distance < price
    assert (plan.target_distance, plan.trail_distance) == (4 * unit, Decimal("1.5") * unit)
