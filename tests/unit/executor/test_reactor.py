"""What the executor does about verdicts, requests, bars and what its venue says."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from nexus_common.contracts.account import AccountOpened, BalanceChanged, FundingPaid, PositionLiquidated
from nexus_common.contracts.guard import AmberRaised, BlackSwanDeclared, FallEvidence, FallMeasure
from nexus_common.contracts.message import Event
from nexus_common.contracts.order import OrderIntentRecorded, OrderKind, SubmitRefused
from nexus_common.contracts.risk import EntryApproved, ExitApproved
from nexus_common.contracts.session import CloseRequested, KillRequested, ProposalAnswered
from nexus_common.contracts.signal import Action
from nexus_common.contracts.trade import (
    ExitOrdered,
    ExitReason,
    ProtectionFailed,
    ProtectionSet,
    TradeAdmitted,
    TradeAlerted,
    TradeClosed,
    TradeDeclined,
    TradeEntered,
    TradeProposed,
)
from nexus_common.contracts.values import Direction, Mode, Origin, Symbol, Timeframe, UserId, Venue
from nexus_executor.venues.broker import Refused
from nexus_market.exchange import ExchangeSettings, duplicate_orders

NOON = datetime(2024, 6, 3, 12, 0, tzinfo=UTC)
ANNA = UserId("anna")
Make = Callable[..., Any]
Verdict = Callable[..., EntryApproved]
Told = Callable[[EntryApproved], tuple[str, Event]]


def black_swan(kind: type[Any] = BlackSwanDeclared) -> tuple[str, Event]:
    evidence = FallEvidence(
        measure=FallMeasure.CANDLE_OPEN,
        reference_price=Decimal(60_000),
        reference_at=NOON,
        price=Decimal(57_000),
        price_at=NOON,
        fall_percent=Decimal("5.0"),
        confirmed_by="the bar's close",
    )
    fields: dict[str, Any] = {
        "venue": Venue.BINANCE,
        "symbol": Symbol("BTCUSDT"),
        "evidence": evidence,
        "longs_blocked_until": NOON + timedelta(hours=4),
    }
    if kind is BlackSwanDeclared:
        fields |= {"action": Action.EXIT_LONG, "confidence": Decimal(1)}
    return "guard-crypto", kind(**fields)


async def a_long(make_world: Make, verdict: Verdict, to_risk: Told, **world: Any) -> Any:
    """A world in which 0.1 BTC were bought at 60,000 a moment ago."""
    made = make_world(**world)
    await made.start()
    await made.flat("60000")
    await made.flat("60000", to_risk(verdict()))
    return made


async def test_the_account_of_a_session_is_opened_with_its_balance(make_world: Make) -> None:
    world = make_world()
    await world.start()
    await world.flat("60000")
    assert (await world.only(AccountOpened)).wallet == 10_000


async def test_a_quiet_minute_records_nothing(make_world: Make) -> None:
    world = make_world()
    await world.start()
    await world.flat("60000")
    before = len(await world.events())
    await world.flat("60000", minutes=5)
    assert len(await world.events()) == before


async def test_a_verdict_becomes_an_entry_with_stop_and_targets_in_the_same_turn(
    make_world: Make, verdict: Verdict, to_risk: Told
) -> None:
    world = await a_long(make_world, verdict, to_risk)
    assert world.held() == Decimal("0.1")
    standing = {order.kind: order for order in world.resting()}
    assert standing[OrderKind.STOP].trigger_price == 59_400
    assert standing[OrderKind.STOP].ticket.close_position
    assert standing[OrderKind.TRAILING_STOP].ticket.quantity == Decimal("0.025")
    targets = sorted(
        (o.trigger_price, o.ticket.quantity) for o in world.resting() if o.kind is OrderKind.TAKE_PROFIT
    )
    assert targets == [(61_200, Decimal("0.05")), (61_800, Decimal("0.025"))]


async def test_every_order_is_written_down_before_it_is_sent_and_answered_once(
    make_world: Make, verdict: Verdict, to_risk: Told
) -> None:
    world = await a_long(make_world, verdict, to_risk)
    for stream, _ in (await world.bodies()).items():
        if stream.startswith("order-"):
            types = [r.event.type for r in await world.store.read_stream(stream)]
            assert types[:3] == ["order.intent_recorded", "order.submit_started", "order.submit_accepted"]


async def test_the_stop_closes_the_trade_and_what_is_left_at_the_venue_goes(
    make_world: Make, verdict: Verdict, to_risk: Told
) -> None:
    world = await a_long(make_world, verdict, to_risk)
    await world.minute(("60000", "60000", "59000", "59000"))
    closed = await world.only(TradeClosed)
    assert (closed.reason, closed.exit_price, closed.gross_profit) == (ExitReason.STOP, 59_400, -60)
    assert closed.net_profit == -60 - closed.fees
    assert closed.fees == Decimal("5.97")  # 0.05 % of 6,000 and of 5,940
    assert closed.r_multiple == Decimal("-1.0995")
    assert world.resting() == []
    assert world.held() == 0


async def test_the_books_agree_with_the_exchange_to_the_last_digit(
    make_world: Make, verdict: Verdict, to_risk: Told
) -> None:
    world = await a_long(make_world, verdict, to_risk)
    await world.minute(("60000", "61300", "60000", "61300"), funding="0.0001")
    await world.minute(("61300", "61900", "61300", "61900"))
    await world.minute(("61900", "61900", "61000", "61000"))
    closed = await world.only(TradeClosed)
    wallet = world.exchange.account("anna-paper").wallet
    assert closed.net_profit == wallet - 10_000
    assert (await world.all_of(BalanceChanged))[-1].wallet == wallet
    assert closed.funding == (await world.only(FundingPaid)).amount
    assert closed.reason is ExitReason.TRAIL


async def test_the_stop_goes_to_break_even_once_one_r_is_gained(
    make_world: Make, verdict: Verdict, to_risk: Told
) -> None:
    world = await a_long(make_world, verdict, to_risk)
    await world.minute(("60000", "60650", "60000", "60500"))
    stop = next(order for order in world.resting() if order.kind is OrderKind.STOP)
    assert stop.trigger_price == Decimal("60060.1")  # entry and the fees of both ways
    assert [p.reason for p in await world.all_of(ProtectionSet)] == ["entry complete", "break-even"]
    await world.minute(("60500", "60500", "59900", "59900"))
    assert 0 <= (await world.only(TradeClosed)).net_profit < Decimal("0.01")


async def test_a_bar_that_filled_the_entry_does_not_move_the_stop(
    make_world: Make, verdict: Verdict, to_risk: Told
) -> None:
    world = make_world()
    await world.start()
    await world.flat("60000")
    await world.minute(("60000", "61000", "60000", "60200"), to_risk(verdict()), next_open="60000")
    assert [p.reason for p in await world.all_of(ProtectionSet)] == ["entry complete"]


async def test_a_watcher_is_only_told(make_world: Make, verdict: Verdict, to_risk: Told) -> None:
    world = make_world(mode=Mode.WATCHER)
    await world.start()
    await world.flat("60000")
    await world.flat("60000", to_risk(verdict()))
    assert await world.types("trade") == ["trade.alerted"]
    assert (await world.only(TradeAlerted)).quantity == Decimal("0.1")
    assert await world.types("order") == []


async def test_a_trade_by_hand_is_made_in_every_mode(
    make_world: Make, verdict: Verdict, to_risk: Told
) -> None:
    world = make_world(mode=Mode.WATCHER)
    await world.start()
    await world.flat("60000")
    await world.flat("60000", to_risk(verdict(origin=Origin.MANUAL)))
    assert (await world.only(TradeAdmitted)).approved_by == "anna"


async def proposed(make_world: Make, verdict: Verdict, to_risk: Told) -> tuple[Any, str]:
    world = make_world(mode=Mode.COPILOT)
    await world.start()
    await world.flat("60000")
    await world.flat("60000", to_risk(verdict()))
    return world, (await world.only(TradeProposed)).trade_id


def answer(trade: str, approved: bool = True, user: str = "anna") -> tuple[str, Event]:
    event = ProposalAnswered(user=UserId(user), trade_id=trade, approved=approved)
    return f"session-{user}", event


async def test_an_approved_proposal_is_entered(make_world: Make, verdict: Verdict, to_risk: Told) -> None:
    world, trade = await proposed(make_world, verdict, to_risk)
    assert world.held() == 0
    await world.flat("60100", answer(trade), answer(trade))
    assert world.held() == Decimal("0.1")
    assert (await world.only(TradeAdmitted)).approved_by == "anna"


async def test_nobody_answers_for_another(make_world: Make, verdict: Verdict, to_risk: Told) -> None:
    world, trade = await proposed(make_world, verdict, to_risk)
    await world.flat("60100", answer(trade, user="mallory"))
    assert world.held() == 0
    assert await world.types("trade") == ["trade.proposed"]


async def test_a_proposal_expires(make_world: Make, verdict: Verdict, to_risk: Told) -> None:
    world, trade = await proposed(make_world, verdict, to_risk)
    await world.flat("60000", minutes=5)
    await world.flat("60000", answer(trade))
    assert (await world.only(TradeDeclined)).reason == "expired without an answer"
    assert world.held() == 0


async def test_a_proposal_falls_when_the_price_drifts(
    make_world: Make, verdict: Verdict, to_risk: Told
) -> None:
    world, trade = await proposed(make_world, verdict, to_risk)
    await world.flat("60201", answer(trade))
    assert (await world.only(TradeDeclined)).reason.startswith("drifted")


async def test_a_black_swan_leaves_every_long_and_keeps_the_shorts(
    make_world: Make, verdict: Verdict, to_risk: Told
) -> None:
    world = await a_long(make_world, verdict, to_risk)
    await world.minute(
        ("100", "100", "100", "100"),
        to_risk(
            verdict(
                Direction.SHORT,
                quantity="10",
                price="100",
                stop_distance="1",
                target_distance="2",
                trail_distance="1",
                symbol=Symbol("SOLUSDT"),
            )
        ),
        symbol=Symbol("SOLUSDT"),
    )
    await world.flat("59500", black_swan())
    assert (await world.only(ExitOrdered)).reason is ExitReason.BLACK_SWAN
    assert (await world.only(TradeClosed)).direction is Direction.LONG
    assert world.held() == -10


async def test_a_black_swan_withdraws_proposed_longs(
    make_world: Make, verdict: Verdict, to_risk: Told
) -> None:
    world, trade = await proposed(make_world, verdict, to_risk)
    await world.flat("60000", black_swan(), answer(trade))
    assert world.held() == 0 or (await world.only(ExitOrdered)).reason is ExitReason.BLACK_SWAN


async def test_a_long_approved_before_a_black_swan_is_not_entered_after_it(
    make_world: Make, verdict: Verdict, to_risk: Told
) -> None:
    world = make_world()
    await world.start()
    await world.flat("60000")
    await world.flat("60000", to_risk(verdict()), black_swan())
    assert (await world.only(TradeDeclined)).reason == "a black swan was declared after the verdict"
    assert world.held() == 0


async def test_amber_lets_the_trailing_part_follow_closer(
    make_world: Make, verdict: Verdict, to_risk: Told
) -> None:
    world = await a_long(make_world, verdict, to_risk)
    await world.flat("60000", black_swan(AmberRaised))
    trail = [order for order in world.resting() if order.kind is OrderKind.TRAILING_STOP]
    assert [order.ticket.trail_distance for order in trail] == [400]


async def test_a_kill_closes_everything_and_withdraws_proposals(
    make_world: Make, verdict: Verdict, to_risk: Told
) -> None:
    world = await a_long(make_world, verdict, to_risk)
    await world.flat("60000", ("session-anna", KillRequested(user=ANNA)))
    assert (await world.only(TradeClosed)).reason is ExitReason.KILL
    assert world.resting() == []


async def test_a_user_closes_his_own_positions_only(
    make_world: Make, verdict: Verdict, to_risk: Told
) -> None:
    world = await a_long(make_world, verdict, to_risk)
    foreign = CloseRequested(user=UserId("mallory"), account="anna-paper")
    await world.flat("60000", ("session-mallory", foreign))
    assert world.held() == Decimal("0.1")
    own = CloseRequested(user=ANNA, account="anna-paper", symbol=Symbol("BTCUSDT"))
    await world.flat("60000", ("session-anna", own))
    assert (await world.only(TradeClosed)).reason is ExitReason.MANUAL


async def test_an_approved_exit_leaves_at_the_market(
    make_world: Make, verdict: Verdict, to_risk: Told
) -> None:
    world = await a_long(make_world, verdict, to_risk)
    leave = ExitApproved(
        request_id=UUID(int=5),
        origin=Origin.SIGNAL,
        venue=Venue.BINANCE,
        symbol=Symbol("BTCUSDT"),
        direction=Direction.LONG,
        strategy="trend",
        reason="opposite cross",
    )
    await world.flat("60300", ("risk-anna-paper", leave))
    closed = await world.only(TradeClosed)
    assert (closed.reason, closed.exit_price) == (ExitReason.SIGNAL, 60_300)


async def test_a_trade_is_left_when_its_time_is_over(
    make_world: Make, verdict: Verdict, to_risk: Told
) -> None:
    world = make_world()
    await world.start()
    await world.flat("60000")
    await world.flat("60000", to_risk(verdict(time_stop_bars=3, timeframe=Timeframe.M1)))
    await world.flat("60000", minutes=2)
    assert world.held() == Decimal("0.1")
    await world.flat("60000")
    assert (await world.only(TradeClosed)).reason is ExitReason.TIME


async def test_the_stop_follows_partial_fills_and_the_average_price(
    make_world: Make, verdict: Verdict, to_risk: Told
) -> None:
    world = make_world()
    await world.start()
    await world.flat("60000")
    await world.minute(("60000",) * 4, to_risk(verdict()), volume="0.4")
    assert world.held() == Decimal("0.04")
    stop = next(order for order in world.resting() if order.kind is OrderKind.STOP)
    assert stop.trigger_price == 59_400
    assert not any(order.kind is OrderKind.TAKE_PROFIT for order in world.resting())
    await world.minute(("60000",) * 4, next_open="60200")
    entered = (await world.all_of(TradeEntered))[-1]
    assert (entered.quantity, entered.complete) == (Decimal("0.1"), True)
    stop = next(order for order in world.resting() if order.kind is OrderKind.STOP)
    assert abs(stop.trigger_price - (entered.average_price - 600)) <= Decimal("0.1")
    assert sum(order.kind is OrderKind.TAKE_PROFIT for order in world.resting()) == 2


@pytest.mark.parametrize(
    "asked", [("session-anna", KillRequested(user=ANNA)), black_swan()], ids=["a kill", "a black swan"]
)
async def test_leaving_a_half_filled_entry_cancels_the_rest(
    make_world: Make, verdict: Verdict, to_risk: Told, asked: tuple[str, Event]
) -> None:
    world = make_world()
    await world.start()
    await world.flat("60000")
    await world.minute(("60000",) * 4, to_risk(verdict()), volume="0.4")
    await world.flat("60000", asked)
    await world.flat("60000", minutes=3)
    assert world.held() == 0
    assert world.resting() == []
    assert (await world.only(TradeClosed)).quantity <= Decimal("0.1")


async def test_a_refused_stop_is_tried_in_its_other_kind(
    make_world: Make, verdict: Verdict, to_risk: Told
) -> None:
    world = make_world()
    await world.start()
    await world.flat("60000")
    world.refuse = lambda order: Refused("-4120", "not here") if order.close_position else None
    await world.flat("60000", to_risk(verdict()))
    stop = next(order for order in world.resting() if order.kind is OrderKind.STOP)
    assert (stop.ticket.reduce_only, stop.ticket.quantity) == (True, Decimal("0.1"))


async def test_a_position_whose_stop_is_refused_in_both_kinds_is_closed_at_once(
    make_world: Make, verdict: Verdict, to_risk: Told
) -> None:
    world = make_world()
    await world.start()
    await world.flat("60000")
    world.refuse = lambda order: Refused("-4120", "no") if order.kind is OrderKind.STOP else None
    await world.flat("60000", to_risk(verdict()))
    assert "-4120" in (await world.only(ProtectionFailed)).detail
    assert (await world.only(TradeClosed)).reason is ExitReason.UNPROTECTED
    assert world.held() == 0


async def test_a_refused_exit_is_ordered_again_each_minute_until_it_is_taken(
    make_world: Make, verdict: Verdict, to_risk: Told
) -> None:
    world = await a_long(make_world, verdict, to_risk)
    world.refuse = lambda order: Refused("-1008", "busy") if order.kind is OrderKind.MARKET else None
    await world.flat("60000", ("session-anna", KillRequested(user=ANNA)))
    await world.flat("60000", minutes=2)
    assert world.held() == Decimal("0.1")
    world.refuse = lambda order: None
    await world.flat("60000")
    assert world.held() == 0
    assert len(await world.all_of(SubmitRefused)) == 3


async def test_a_refused_entry_is_told_once_and_given_up(
    make_world: Make, verdict: Verdict, to_risk: Told
) -> None:
    world = make_world()
    await world.start()
    await world.flat("60000")
    world.refuse = lambda order: Refused("-2019", "margin is insufficient")
    await world.flat("60000", to_risk(verdict()))
    await world.flat("60000", minutes=3)
    assert await world.types("trade") == ["trade.admitted", "trade.abandoned"]


async def test_a_liquidation_ends_the_trade_with_the_venues_figures(
    make_world: Make, verdict: Verdict, to_risk: Told
) -> None:
    world = make_world()
    await world.start()
    await world.flat("60000")
    world.refuse = lambda order: None
    await world.flat("60000", to_risk(verdict(stop_distance="5900", target_distance="9000")))
    stop = next(order for order in world.resting() if order.kind is OrderKind.STOP)
    world.exchange.cancel("anna-paper", 9, stop.ticket.client_order_id)
    world.exchange.account("anna-paper").updates.pop()
    world.exchange.account("anna-paper").epoch = 1
    await world.minute(("60000", "60000", "40000", "40000"))
    assert (await world.only(PositionLiquidated)).quantity == Decimal("0.1")
    closed = await world.only(TradeClosed)
    assert closed.reason is ExitReason.LIQUIDATION
    assert closed.net_profit == world.exchange.account("anna-paper").wallet - 10_000


async def test_a_stop_the_venue_dropped_is_placed_again(
    make_world: Make, verdict: Verdict, to_risk: Told
) -> None:
    world = await a_long(make_world, verdict, to_risk)
    stop = next(order for order in world.resting() if order.kind is OrderKind.STOP)
    world.exchange.cancel("anna-paper", 1, stop.ticket.client_order_id)
    await world.flat("60000")
    assert sum(order.kind is OrderKind.STOP for order in world.resting()) == 1
    intents = [i for i in await world.all_of(OrderIntentRecorded) if i.kind is OrderKind.STOP]
    assert len(intents) == 2


async def test_the_last_hop_holds_back_what_shield_should_not_have_approved(
    make_world: Make, verdict: Verdict, to_risk: Told
) -> None:
    world = make_world()
    await world.start()
    await world.flat("60000")
    await world.flat("60000", to_risk(verdict(quantity="0.61")))
    assert (await world.only(TradeDeclined)).reason.startswith("last hop: gross notional")
    assert await world.types("order") == []


async def test_a_stale_verdict_is_not_traded(make_world: Make, verdict: Verdict, to_risk: Told) -> None:
    world = make_world()
    await world.start()
    await world.flat("60000")
    await world.flat("60000", to_risk(verdict(valid_until=NOON)))
    assert await world.types("trade") == ["trade.declined"]


async def test_small_positions_are_left_in_one_piece(
    make_world: Make, verdict: Verdict, to_risk: Told
) -> None:
    world = make_world(settings=ExchangeSettings(slippage_bps=Decimal(0), slippage_ticks=0))
    await world.start()
    await world.flat("60000")
    await world.flat("60000", to_risk(verdict(quantity="0.003")))
    kinds = sorted(order.kind for order in world.resting())
    assert kinds == [OrderKind.STOP, OrderKind.TAKE_PROFIT]
    assert not duplicate_orders(world.exchange.records)
