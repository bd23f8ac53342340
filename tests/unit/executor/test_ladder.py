"""A ladder at the simulated exchange: what rests, what it earns, how it is bounded, how it is left."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from math import sin
from random import Random
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nexus_common.contracts.guard import BlackSwanDeclared, FallEvidence, FallMeasure
from nexus_common.contracts.order import Leg, OrderIntentRecorded, OrderKind
from nexus_common.contracts.risk import EntryApproved, ExitApproved, Ladder
from nexus_common.contracts.session import CloseRequested, KillRequested, ProposalAnswered
from nexus_common.contracts.signal import Action, LadderPlan
from nexus_common.contracts.trade import (
    ExitReason,
    LadderFilled,
    TradeAbandoned,
    TradeAdmitted,
    TradeClosed,
    TradeDeclined,
    TradeProposed,
)
from nexus_common.contracts.values import Direction, Mode, Origin, Side, Symbol, Timeframe, UserId, Venue
from nexus_executor.domain.ladder import LadderState, resting
from nexus_executor.domain.rules import ExecutionRules
from nexus_executor.venues.broker import Refused, UpdateKind
from nexus_market.exchange import ExchangeSettings, Ticket, unprotected_spans

D = Decimal
BTC = Symbol("BTCUSDT")
NOON = datetime(2024, 6, 3, 12, tzinfo=UTC)
PLAN = LadderPlan(centre=D(60_000), spacing=D(160), levels=5, stop_beyond=D(400))
LADDER = Ladder(plan=PLAN, level_quantity=D("0.01"))
RISK = "risk-anna-paper"
# The whole volume of a bar is there for us.
WHOLE = ExchangeSettings(slippage_bps=D(0), slippage_ticks=0, volume_share=D(1))


@pytest.fixture
def approved(verdict: Callable[..., EntryApproved]) -> EntryApproved:
    """A ladder of ten orders of 0.01 around 60,000, 160 apart; the stops at 58,800 and 61,200."""
    return verdict(quantity="0.05", timeframe=Timeframe.H1, stop_distance="1200").model_copy(
        update={"strategy": "grid", "ladder": LADDER}
    )


def closing(direction: Direction = Direction.LONG) -> ExitApproved:
    return ExitApproved(
        request_id=UUID(int=9),
        origin=Origin.SIGNAL,
        venue=Venue.BINANCE,
        symbol=BTC,
        direction=direction,
        strategy="grid",
        reason="ADX 27 is over 25",
    )


async def opened(make_world: Any, approved: EntryApproved, **changes: Any) -> Any:
    world = make_world(**{"settings": WHOLE, **changes})
    await world.start()
    await world.flat("60000")
    await world.flat("60000", (RISK, approved))
    return world


def rungs_of(world: Any) -> list[tuple[str, Decimal, Decimal]]:
    return sorted(
        (str(o.side), o.ticket.limit_price, o.remaining) for o in world.resting() if o.kind is OrderKind.LIMIT
    )


def stops_of(world: Any) -> list[tuple[str, Decimal]]:
    return [(str(o.side), o.trigger_price) for o in world.resting() if o.kind is OrderKind.STOP]


BUYS = [("buy", D(60_000) - k * 160, D("0.01")) for k in range(1, 6)]
SELLS = [("sell", D(60_000) + k * 160, D("0.01")) for k in range(1, 6)]


# -- what rests ---------------------------------------------------------------------------------------


async def test_ten_orders_rest_on_the_exchange_at_once(make_world: Any, approved: EntryApproved) -> None:
    world = await opened(make_world, approved)
    assert rungs_of(world) == sorted([*BUYS, *SELLS])
    assert stops_of(world) == []
    admitted = await world.only(TradeAdmitted)
    assert admitted.ladder == LADDER
    assert world.exchange.account("anna-paper").leverage == {"BTCUSDT": 5}


async def test_a_fill_places_its_profit_one_level_back_and_then_rests_again(
    make_world: Any, approved: EntryApproved
) -> None:
    world = await opened(make_world, approved)
    await world.minute(("60000", "60000", "59700", "59700"))
    assert ("sell", D(60_000), D("0.01")) in rungs_of(world)
    assert ("buy", D(59_840), D("0.01")) not in rungs_of(world)
    assert stops_of(world) == [("sell", D(58_800))]
    await world.minute(("59700", "60100", "59700", "60100"))
    assert rungs_of(world) == sorted([*BUYS, *SELLS])
    assert stops_of(world) == []
    fell, rose = await world.all_of(LadderFilled)
    assert (fell.direction, fell.quantity, fell.average_price, fell.stop) == (
        Direction.LONG,
        D("0.01"),
        D(59_840),
        D(58_800),
    )
    assert (rose.quantity, rose.average_price, rose.stop) == (0, None, None)
    assert rose.earned == D("1.6")
    assert rose.fees == (D(59_840) + D(60_000)) * D("0.01") * D("0.0002")


async def test_the_stop_changes_sides_with_the_position(make_world: Any, approved: EntryApproved) -> None:
    world = await opened(make_world, approved)
    await world.minute(("60000", "60000", "59700", "59700"))
    await world.minute(("59700", "60010", "59700", "60010"))
    await world.minute(("60010", "60400", "60010", "60400"))
    assert world.held() == D("-0.02")
    assert stops_of(world) == [("buy", D(61_200))]
    last = (await world.all_of(LadderFilled))[-1]
    assert (last.direction, last.quantity, last.average_price) == (Direction.SHORT, D("0.02"), D(60_240))


async def test_a_rung_that_filled_in_part_takes_the_profit_of_that_part(
    make_world: Any, approved: EntryApproved
) -> None:
    approved = approved.model_copy(update={"ladder": Ladder(plan=PLAN, level_quantity=D("0.03"))})
    world = await opened(make_world, approved)
    await world.minute(("60000", "60000", "59800", "59800"), volume="0.01")
    assert ("sell", D(60_000), D("0.01")) in rungs_of(world)
    assert ("buy", D(59_840), D("0.02")) in rungs_of(world)
    await world.minute(("59850", "60010", "59850", "60010"))
    assert total_at(world, D(59_840)) == D("0.03")
    assert rungs_of(world)[-5:] == [("sell", price, D("0.03")) for _, price, _ in SELLS]
    assert world.held() == 0


async def test_what_is_left_of_a_rung_does_not_rest_against_the_profit_of_the_next(
    make_world: Any, approved: EntryApproved
) -> None:
    world = await opened(make_world, approved)
    await world.minute(("60000", "60000", "59670", "59675"), volume="0.004")
    assert world.held() == D("0.008")
    bought = [price for side, price, _ in rungs_of(world) if side == "buy"]
    sold = [price for side, price, _ in rungs_of(world) if side == "sell"]
    assert D(59_840) in sold
    assert not {*bought} & {*sold}
    await world.minute(("59675", "59850", "59675", "59850"))
    assert ("buy", D(59_840), D("0.006")) in rungs_of(world)


def total_at(world: Any, price: Decimal) -> Decimal:
    return sum((quantity for _, at, quantity in rungs_of(world) if at == price), D(0))


# -- what it earns ------------------------------------------------------------------------------------


async def test_a_market_that_oscillates_earns_money_after_fees(
    make_world: Any, approved: EntryApproved
) -> None:
    world = await opened(make_world, approved)
    price, most = D(60_000), D(0)
    for minute in range(1, 240):
        following = D(60_000) + D(round(700 * sin(minute / 6)))
        high, low = max(price, following), min(price, following)
        await world.minute((str(price), str(high), str(low), str(following)))
        price, most = following, max(most, abs(world.held()))
    await world.flat(str(price), (RISK, closing()))
    closed = await world.only(TradeClosed)
    assert (closed.reason, closed.direction, most) == (ExitReason.SIGNAL, Direction.LONG, D("0.04"))
    assert closed.net_profit > 50
    assert closed.net_profit == world.exchange.account("anna-paper").wallet - 10_000
    assert unprotected(world) == []
    assert world.resting() == []
    assert world.held() == 0


def unprotected(world: Any) -> list[Any]:
    return [span for span in unprotected_spans(world.exchange.records) if span.start != span.end]


# -- one-way markets ----------------------------------------------------------------------------------


async def test_a_fall_buys_five_levels_at_most_and_ends_at_the_stop(
    make_world: Any, approved: EntryApproved
) -> None:
    world = await opened(make_world, approved)
    price, held = 60_000, []
    while price > 58_700:
        await world.minute((str(price), str(price), str(price - 100), str(price - 100)))
        price -= 100
        held.append(world.held())
    assert max(held) == D("0.05")
    closed = await world.only(TradeClosed)
    assert (closed.reason, closed.quantity) == (ExitReason.STOP, D("0.05"))
    assert (closed.entry_price, closed.exit_price) == (D(59_520), D(58_800))
    # Five levels at k * 160 below the centre, stopped 1,200 below it: 5 * 1200 - 15 * 160 a unit of quantity.
    assert closed.gross_profit == -D("0.01") * PLAN.full_side_loss == -36
    assert closed.r_multiple == round(closed.net_profit / 36, 8)
    assert closed.net_profit == world.exchange.account("anna-paper").wallet - 10_000
    assert world.resting() == []
    assert world.held() == 0


async def test_a_rise_sells_five_levels_at_most_and_ends_at_the_stop(
    make_world: Any, approved: EntryApproved
) -> None:
    world = await opened(make_world, approved)
    for price in range(60_000, 61_300, 100):
        await world.minute((str(price), str(price + 100), str(price), str(price + 100)))
    closed = await world.only(TradeClosed)
    assert (closed.reason, closed.exit_price, closed.entry_price) == (ExitReason.STOP, D(60_480), D(61_200))
    assert closed.gross_profit == -36
    assert world.resting() == []


async def test_a_bar_that_falls_through_everything_is_left_at_the_market(
    make_world: Any, approved: EntryApproved
) -> None:
    world = await opened(make_world, approved)
    await world.minute(("60000", "60000", "58000", "58000"))
    closed = await world.only(TradeClosed)
    assert (closed.reason, closed.quantity, closed.exit_price) == (ExitReason.STOP, D("0.05"), D(58_000))
    assert world.resting() == []


# -- ways out -----------------------------------------------------------------------------------------


def black_swan() -> BlackSwanDeclared:
    evidence = FallEvidence(
        measure=FallMeasure.CANDLE_OPEN,
        reference_price=D(60_000),
        reference_at=NOON,
        price=D(57_000),
        price_at=NOON,
        fall_percent=D(5),
        confirmed_by="the bar's close",
    )
    return BlackSwanDeclared(
        venue=Venue.BINANCE,
        symbol=BTC,
        evidence=evidence,
        action=Action.EXIT_LONG,
        confidence=D(1),
        longs_blocked_until=NOON,
    )


WAYS_OUT = {
    ExitReason.SIGNAL: (RISK, closing()),
    ExitReason.MANUAL: ("session-anna", CloseRequested(user="anna", account="anna-paper", symbol=BTC)),
    ExitReason.BLACK_SWAN: ("guard-crypto", black_swan()),
    ExitReason.KILL: ("session-anna", KillRequested(user="anna")),
}


@pytest.mark.parametrize("reason", WAYS_OUT)
@pytest.mark.parametrize("price", ["59600", "60400"])
async def test_whatever_it_holds_everything_goes_when_it_is_left(
    make_world: Any, approved: EntryApproved, reason: ExitReason, price: str
) -> None:
    world = await opened(make_world, approved)
    await world.flat(price)
    assert abs(world.held()) == D("0.02")
    await world.flat(price, WAYS_OUT[reason])
    assert (world.resting(), world.held()) == ([], 0)
    assert (await world.only(TradeClosed)).reason is reason


@pytest.mark.parametrize("reason", WAYS_OUT)
async def test_a_ladder_that_never_held_anything_is_abandoned(
    make_world: Any, approved: EntryApproved, reason: ExitReason
) -> None:
    world = await opened(make_world, approved)
    await world.flat("60000", WAYS_OUT[reason])
    assert world.resting() == []
    assert await world.all_of(TradeClosed) == []
    await world.only(TradeAbandoned)


async def test_its_time_ends_96_bars_after_it_began_filled_or_not(
    make_world: Any, approved: EntryApproved
) -> None:
    world = await opened(make_world, approved)
    await world.flat("60000", minutes=95, seconds=3_600)
    assert len(world.resting()) == 10
    await world.flat("60000", seconds=3_600)
    assert world.resting() == []
    assert "96 bars" in (await world.only(TradeAbandoned)).reason


async def test_a_position_without_a_stop_is_left_whole(make_world: Any, approved: EntryApproved) -> None:
    world = await opened(make_world, approved)
    world.refuse = lambda order: Refused("-1", "no stops today") if order.kind is OrderKind.STOP else None
    await world.minute(("60000", "60000", "59700", "59700"))
    await world.flat("59700", seconds=10)
    closed = await world.only(TradeClosed)
    assert closed.reason is ExitReason.UNPROTECTED
    assert (world.resting(), world.held()) == ([], 0)


async def test_the_venues_liquidation_ends_it(make_world: Any, approved: EntryApproved) -> None:
    world = await opened(make_world, approved)
    await world.minute(("60000", "60000", "59600", "59600"))
    world.exchange.take_over("anna-paper", BTC)
    await world.flat("59600")
    assert (await world.only(TradeClosed)).reason is ExitReason.LIQUIDATION
    assert (world.resting(), world.held()) == ([], 0)


# -- what venues do -----------------------------------------------------------------------------------


async def test_a_rung_that_is_refused_is_tried_again_a_few_times_a_bar(
    make_world: Any, approved: EntryApproved
) -> None:
    world = make_world(settings=WHOLE)
    await world.start()
    asked: list[str] = []

    def refuse(order: Any) -> Refused | None:
        if order.limit_price != D(59_840):
            return None
        asked.append(order.client_order_id)
        return Refused("-2010", "would cross")

    world.refuse = refuse
    await world.flat("60000")
    await world.flat("60000", (RISK, approved))
    await world.flat("60000", minutes=20)
    assert len(world.resting()) == 9
    assert len(asked) == len(set(asked)) == 3
    await world.flat("60000", minutes=60)
    assert len(asked) == 6
    world.refuse = lambda order: None
    await world.flat("60000", minutes=60)
    assert rungs_of(world) == sorted([*BUYS, *SELLS])


async def test_a_venue_that_takes_no_rung_at_all_gets_no_ladder(
    make_world: Any, approved: EntryApproved
) -> None:
    world = make_world(settings=WHOLE)
    await world.start()
    world.refuse = lambda order: Refused("-2019", "margin is insufficient")
    await world.flat("60000")
    await world.flat("60000", (RISK, approved))
    await world.flat("60000", minutes=5)
    assert "margin is insufficient" in (await world.only(TradeAbandoned)).reason


async def test_a_rung_that_vanishes_at_the_venue_is_placed_again(
    make_world: Any, approved: EntryApproved
) -> None:
    world = await opened(make_world, approved)
    lost = next(o for o in world.resting() if o.ticket.limit_price == D(59_840))
    world.exchange.vanish("anna-paper", lost.ticket.client_order_id)
    await world.flat("60000", minutes=12)
    assert rungs_of(world) == sorted([*BUYS, *SELLS])


class Late:
    """A private stream that says nothing for a while, not even when it is asked to tell again."""

    def __init__(self) -> None:
        self.seen_as: Any = lambda each: each
        self.asked = 0
        self.lasts = False

    @property
    def is_silent(self) -> bool:
        return self.lasts

    @is_silent.setter
    def is_silent(self, wanted: bool) -> None:
        """It is not ours to say."""


async def test_a_fill_that_is_told_late_is_not_taken_for_an_order_that_is_gone(
    make_world: Any, approved: EntryApproved
) -> None:
    often = ExecutionRules(reconcile_seconds=5, protection_check_seconds=30)
    world = make_world(settings=WHOLE, rules=often)
    world.stream = Late()
    await world.start()
    await world.flat("60000")
    await world.flat("60000", (RISK, approved), minutes=2)
    world.stream.lasts = True
    await world.minute(("60000", "60000", "59830", "59835"), seconds=6)
    await world.flat("59835", minutes=4, seconds=6)
    assert world.held() == D("0.01")
    world.stream.lasts = False
    await world.flat("59835", minutes=3, seconds=6)
    assert [each.quantity for each in await world.all_of(LadderFilled)] == [D("0.01")]
    assert rungs_of(world) == sorted([*BUYS[1:], *SELLS, ("sell", D(60_000), D("0.01"))])
    assert stops_of(world) == [("sell", D(58_800))]


@pytest.mark.parametrize("seed", [1, 4, 10])
async def test_fills_that_are_told_late_take_it_not_beyond_one_side_and_end_it_not(
    make_world: Any, approved: EntryApproved, seed: int
) -> None:
    chance, price, silent = Random(seed), 60_000, 0
    world = make_world(
        settings=WHOLE, rules=ExecutionRules(reconcile_seconds=20, protection_check_seconds=40)
    )
    world.stream = Late()
    await world.start()
    await world.flat("60000")
    await world.flat("60000", (RISK, approved))
    for _ in range(120):
        silent = silent - 1 if silent else chance.randint(1, 4) * (chance.random() < 0.2)
        world.stream.lasts = silent > 0
        close = min(max(price + chance.randint(-12, 12) * 20, 58_900), 61_100)
        await world.minute(
            (str(price), str(max(price, close)), str(min(price, close)), str(close)), seconds=6
        )
        price = close
        assert abs(world.held()) <= D("0.05")
    world.stream.lasts = False
    await world.flat(str(price), minutes=8, seconds=20)
    assert await world.all_of(TradeClosed) == []
    assert len(await world.all_of(LadderFilled)) > 10


async def test_a_position_that_is_gone_without_a_word_takes_its_rungs_with_it(
    make_world: Any, approved: EntryApproved
) -> None:
    often = ExecutionRules(reconcile_seconds=5, protection_check_seconds=30)
    world = await opened(make_world, approved, rules=often)
    await world.minute(("60000", "60000", "59830", "59835"))
    assert world.held() == D("0.01")
    world.stream.seen_as = lambda each: (
        replace(each, kind=UpdateKind.NOTICE, reason="?") if has_sold(each) else each
    )
    world.exchange.submit("anna-paper", 1, by_hand("sell", "0.01"))
    await world.flat("59835", minutes=5)
    assert world.held() == 0
    assert rungs_of(world) == []


def has_sold(update: Any) -> bool:
    """Or lost its stop with that."""
    kind = getattr(update, "kind", None)
    return kind is UpdateKind.CANCELED or (kind is UpdateKind.FILL and update.side is Side.SELL)


async def test_a_venue_that_is_doubted_is_not_asked_at_every_turn(
    make_world: Any, approved: EntryApproved
) -> None:
    often = ExecutionRules(reconcile_seconds=5, protection_check_seconds=30)
    world = make_world(settings=WHOLE, rules=often)
    world.stream = Late()
    await world.start()
    await world.flat("60000")
    await world.flat("60000", (RISK, approved), minutes=2)
    world.stream.lasts = True
    await world.minute(("60000", "60000", "59830", "59835"), seconds=6)
    before = world.stream.asked
    await world.flat("59835", minutes=30, seconds=1)
    assert world.stream.asked - before == 1


async def test_orders_beyond_the_cap_of_a_minute_wait_for_the_next(
    make_world: Any, approved: EntryApproved
) -> None:
    world = await opened(make_world, approved, rules=ExecutionRules(entries_per_minute_max=6))
    assert len(world.resting()) == 6
    await world.flat("60000", minutes=2)
    assert rungs_of(world) == sorted([*BUYS, *SELLS])


async def test_what_somebody_trades_there_by_hand_ends_the_ladder(
    make_world: Any, approved: EntryApproved
) -> None:
    world = await opened(make_world, approved)
    await world.minute(("60000", "60000", "59700", "59700"))
    ticket = by_hand("buy", "0.1")
    world.exchange.submit("anna-paper", 1, ticket)
    await world.flat("59700")
    closed = await world.only(TradeClosed)
    assert (closed.strategy, closed.reason) == ("grid", ExitReason.MANUAL)
    assert world.held() == D("0.1")
    assert rungs_of(world) == []
    assert len(stops_of(world)) == 1


def by_hand(side: str, quantity: str) -> Any:
    return Ticket("by-hand-1", BTC, Side(side), OrderKind.MARKET, D(quantity))


async def test_funding_belongs_to_the_ladder(make_world: Any, approved: EntryApproved) -> None:
    world = await opened(make_world, approved)
    await world.minute(("60000", "60000", "59700", "59700"))
    await world.minute(("59700", "59700", "59700", "59700"), funding="0.0001")
    await world.flat("59700", (RISK, closing()))
    closed = await world.only(TradeClosed)
    assert closed.funding == D("0.01") * 59_700 * D("0.0001")
    assert closed.net_profit == world.exchange.account("anna-paper").wallet - 10_000


async def test_the_mode_decides_over_a_ladder_as_over_any_entry(
    make_world: Any, approved: EntryApproved
) -> None:
    watched = await opened(make_world, approved, mode=Mode.WATCHER)
    assert watched.resting() == []
    (alert,) = [r.event for r in await watched.events("trade")]
    assert (alert.type, alert.ladder) == ("trade.alerted", LADDER)


async def test_a_ladder_that_is_to_be_left_is_not_opened_by_a_late_answer(
    make_world: Any, approved: EntryApproved
) -> None:
    world = await opened(make_world, approved, mode=Mode.COPILOT)
    (proposed,) = await world.all_of(TradeProposed)
    answered = ProposalAnswered(user=UserId("anna"), trade_id=proposed.trade_id, approved=True)
    await world.flat("60000", (RISK, closing()))
    await world.flat("60000", ("session-anna", answered))
    assert (await world.only(TradeDeclined)).reason == closing().reason
    assert world.resting() == []


# -- whatever happens ---------------------------------------------------------------------------------


async def played(make_world: Any, approved: EntryApproved, path: list[int], **changes: Any) -> Any:
    """A path of closes in steps of 10; returns the world and the largest position."""
    world = await opened(make_world, approved, **changes)
    price, most = 60_000, D(0)
    for step in path:
        following = price + 10 * step
        await world.minute(
            (str(price), str(max(price, following)), str(min(price, following)), str(following))
        )
        price, most = following, max(most, abs(world.held()))
    await world.flat(str(price), (RISK, closing()))
    await world.flat(str(price), minutes=4)
    return world, most


SHARES = ("1", "0.00002", "0.000005")


@pytest.mark.parametrize("seed", range(12))
async def test_any_path_stays_bounded_and_ends_with_nothing(
    make_world: Any, approved: EntryApproved, seed: int
) -> None:
    """Bars of all sizes, some of which leave little volume to us."""
    exchange = ExchangeSettings(volume_share=D(SHARES[seed % 3]), slippage_ticks=1, jitter_ticks=3, seed=seed)
    world, most = await played(make_world, approved, a_path(seed), settings=exchange)
    assert 0 < most <= D("0.05")
    assert (world.resting(), world.held()) == ([], 0)
    closed = await world.only(TradeClosed)
    assert closed.net_profit == world.exchange.account("anna-paper").wallet - 10_000
    assert unprotected(world) == []
    wanted = {intent.client_order_id: intent for intent in await world.all_of(OrderIntentRecorded)}
    taken = [record["client"] for record in world.exchange.records if record["kind"] == "order"]
    assert set(taken) <= set(wanted)
    assert {wanted[order].leg for order in taken} <= {Leg.LADDER, Leg.STOP, Leg.EXIT}
    assert all(abs(intent.rung) <= 5 for intent in wanted.values() if intent.leg is Leg.LADDER)


def a_path(seed: int) -> list[int]:
    chance = Random(seed)
    return [chance.randint(-60, 60) for _ in range(60)]


@pytest.mark.parametrize("gap", [3, 7])
async def test_killed_again_and_again_it_ends_the_same(
    make_world: Any, approved: EntryApproved, gap: int
) -> None:
    path = a_path(5)[:25]
    undisturbed, _ = await played(make_world, approved, path)
    killed = make_world(settings=WHOLE)
    killed.kills.gap = gap
    disturbed, _ = await played(lambda **_: killed, approved, path)
    assert disturbed.deaths > 20
    assert await disturbed.bodies() == await undisturbed.bodies()
    plain = ("at", "kind", "client", "quantity", "price", "trigger")
    assert _plain(disturbed, plain) == _plain(undisturbed, plain)


def _plain(world: Any, keys: tuple[str, ...]) -> list[tuple[Any, ...]]:
    return [tuple(r.get(k) for k in keys) for r in world.exchange.records if r["kind"] != "resubmission"]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 19), st.integers(1, 10)), max_size=60))
def test_no_order_of_fills_takes_it_beyond_one_side(fills: list[tuple[int, int]]) -> None:
    """Whichever of the orders that rest fills, in whichever part."""
    ladder, cash = LadderState(LADDER), D(0)
    for pick, tenths in fills:
        slots = list(resting(ladder).items())
        slot, rest = slots[pick % len(slots)]
        quantity = rest.quantity * tenths / 10
        ladder = ladder.after(slot, quantity, rest.price)
        cash += (-quantity if slot.side is Side.BUY else quantity) * rest.price
        assert abs(ladder.net) <= D("0.05")
        assert all(0 <= held <= D("0.01") for held in ladder.filled.values())
        assert ladder.net == ladder.bought - ladder.sold
        bound = sum(
            (each.quantity * (1 if at.side is Side.BUY else 0) for at, each in resting(ladder).items()), D(0)
        )
        assert ladder.net + bound <= D("0.05")
        # Money: what was earned and what is held at its average are what was paid and taken.
        assert abs(ladder.earned - ladder.net * ladder.average_price - cash) < D("0.00000001")
