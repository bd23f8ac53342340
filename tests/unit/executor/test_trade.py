"""From the verdict to the result: what a trade may do, and its figures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import given as given_
from hypothesis import strategies as st

from nexus_common.contracts import ids
from nexus_common.contracts.envelope import open_command, seal_command
from nexus_common.contracts.instrument import Instrument
from nexus_common.contracts.risk import EntryApproved
from nexus_common.contracts.trade import (
    AbandonEntry,
    AnswerProposal,
    ConsiderVerdict,
    ExitOrdered,
    ExitReason,
    ExpireProposal,
    FundingNoted,
    MoveStop,
    NoteFunding,
    OrderExit,
    ProtectionFailed,
    ProtectionSet,
    RecordEntryFill,
    RecordExitFill,
    ReportUnprotected,
    TargetPlan,
    TightenTrail,
    TradeAbandoned,
    TradeAdmitted,
    TradeAlerted,
    TradeClosed,
    TradeDeclined,
    TradeEntered,
    TradeProposed,
    TradeReduced,
)
from nexus_common.contracts.values import AccountId, Direction, Mode, Origin, Symbol, TradeId, UserId, Venue
from nexus_common.testing.spec import given
from nexus_executor.domain.figures import break_even_price, plain, split
from nexus_executor.domain.trade import TRADE, Phase
from nexus_market.instruments import DEFAULT_INSTRUMENTS, by_symbol, refusal

NOON = datetime(2024, 6, 3, 12, 0, tzinfo=UTC)
VERDICT_ID = UUID(int=42)
TRADE_ID = TradeId(str(VERDICT_ID))
BTC: Instrument = by_symbol(DEFAULT_INSTRUMENTS[Venue.BINANCE])[Symbol("BTCUSDT")]
Verdict = Callable[..., EntryApproved]


def consider(verdict: EntryApproved, mode: Mode = Mode.PILOT, **changes: Any) -> ConsiderVerdict:
    command = ConsiderVerdict(
        verdict_id=VERDICT_ID,
        verdict=verdict,
        account=AccountId("a"),
        user=UserId("anna"),
        mode=mode,
        proposal_seconds=300,
        drift_atr=Decimal("0.5"),
        refusal=None,
        at=NOON,
    )
    return replace(command, **changes)


def entry(quantity: str = "0.1", price: str = "60000", *, complete: bool = True) -> RecordEntryFill:
    return RecordEntryFill(
        Decimal(quantity),
        Decimal(price),
        Decimal(3),
        complete,
        BTC,
        TargetPlan(),
        NOON + timedelta(seconds=1),
    )


def leave(quantity: str, price: str, leg: str = "stop") -> RecordExitFill:
    return RecordExitFill(leg, Decimal(quantity), Decimal(price), Decimal(2), NOON + timedelta(hours=1))


def story(*commands: Any) -> list[Any]:
    """What a trade recorded when these commands came one after the other."""
    state = TRADE.initial
    history: list[Any] = []
    for command in commands:
        events = TRADE.decide(command, state)
        state = TRADE.fold(events, state)
        history += events
    return history


def answered(verdict: EntryApproved, **changes: Any) -> AnswerProposal:
    command = AnswerProposal(verdict, True, "anna", Decimal(60_100), None, NOON + timedelta(minutes=1))
    return replace(command, **changes)


def test_the_mode_decides_what_becomes_of_a_verdict(verdict: Verdict) -> None:
    given(TRADE).when(consider(verdict(), Mode.WATCHER)).then_types(TradeAlerted)
    given(TRADE).when(consider(verdict(), Mode.COPILOT)).then_types(TradeProposed)
    given(TRADE).when(consider(verdict(), Mode.PILOT)).then_types(TradeAdmitted)


@pytest.mark.parametrize("mode", list(Mode))
def test_an_order_by_hand_needs_no_mode(verdict: Verdict, mode: Mode) -> None:
    outcome = given(TRADE).when(consider(verdict(origin=Origin.MANUAL), mode)).then_types(TradeAdmitted)
    assert isinstance(outcome.events[0], TradeAdmitted)
    assert outcome.events[0].approved_by == "anna"


def test_a_verdict_is_considered_once(verdict: Verdict) -> None:
    given(TRADE, *story(consider(verdict()))).when(consider(verdict())).then_nothing()


def test_a_verdict_past_its_time_or_refused_at_the_last_hop_is_declined(verdict: Verdict) -> None:
    given(TRADE).when(consider(verdict(), at=NOON + timedelta(days=2))).then_types(TradeDeclined)
    declined = TradeDeclined(trade_id=TRADE_ID, reason="last hop: too much")
    given(TRADE).when(consider(verdict(), refusal="last hop: too much")).then(declined)


def test_the_entry_order_is_named_after_the_verdict(verdict: Verdict) -> None:
    admitted = story(consider(verdict()))[0]
    assert isinstance(admitted, TradeAdmitted)
    assert admitted.entry_order == ids.client_order_id(VERDICT_ID, "entry")


def test_a_proposal_is_valid_for_five_minutes_half_an_atr_and_never_longer_than_its_verdict(
    verdict: Verdict,
) -> None:
    proposed = story(consider(verdict(), Mode.COPILOT))[0]
    assert isinstance(proposed, TradeProposed)
    assert (proposed.expires_at, proposed.drift_limit) == (NOON + timedelta(minutes=5), 200)
    soon = NOON + timedelta(minutes=2)
    short = story(consider(verdict(valid_until=soon), Mode.COPILOT))[0]
    assert isinstance(short, TradeProposed)
    assert short.expires_at == soon


def test_an_approval_admits_the_trade_once(verdict: Verdict) -> None:
    history = story(consider(verdict(), Mode.COPILOT))
    given(TRADE, *history).when(answered(verdict())).then_types(TradeAdmitted)
    history = story(consider(verdict(), Mode.COPILOT), answered(verdict()))
    given(TRADE, *history).when(answered(verdict())).then_nothing()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"approved": False}, "rejected by anna"),
        ({"at": NOON + timedelta(minutes=5)}, "expired"),
        ({"price": Decimal(60_201)}, "drifted"),
        ({"price": Decimal(59_799)}, "drifted"),
        ({"price": None}, "no fresh price"),
        ({"refusal": "last hop"}, "last hop"),
    ],
)
def test_an_approval_that_no_longer_fits_is_declined(
    verdict: Verdict, changes: dict[str, Any], reason: str
) -> None:
    history = story(consider(verdict(), Mode.COPILOT))
    event = given(TRADE, *history).when(answered(verdict(), **changes)).then_types(TradeDeclined).events[0]
    assert isinstance(event, TradeDeclined)
    assert event.reason.startswith(reason)
    given(TRADE, *history, event).when(answered(verdict())).then_nothing()


def test_a_proposal_that_ran_out_cannot_be_answered(verdict: Verdict) -> None:
    history = story(consider(verdict(), Mode.COPILOT), ExpireProposal("expired", NOON))
    given(TRADE, *history).when(answered(verdict())).then_nothing()
    given(TRADE, *history).when(ExpireProposal("expired", NOON)).then_nothing()


def test_a_fill_brings_protection_from_its_price(verdict: Verdict) -> None:
    history = story(consider(verdict()))
    entered, protected = given(TRADE, *history).when(entry(price="60100")).events
    assert isinstance(entered, TradeEntered)
    assert (entered.quantity, entered.average_price, entered.margin) == (Decimal("0.1"), 60_100, 1202)
    assert protected == ProtectionSet(
        trade_id=TRADE_ID,
        stop=Decimal(59_500),
        stop_quantity=Decimal("0.1"),
        first_target=Decimal(61_300),
        second_target=Decimal(61_900),
        trail_distance=Decimal(600),
        trail_activation=Decimal(60_700),
        reason="entry complete",
    )


def test_a_short_is_protected_the_other_way_round(verdict: Verdict) -> None:
    history = story(consider(verdict(Direction.SHORT)))
    protected = given(TRADE, *history).when(entry()).events[1]
    assert isinstance(protected, ProtectionSet)
    assert (protected.stop, protected.first_target, protected.second_target) == (60_600, 58_800, 58_200)


def test_protection_follows_the_average_until_the_entry_is_complete(verdict: Verdict) -> None:
    history = story(consider(verdict()), entry("0.04", "60000", complete=False))
    entered, protected = given(TRADE, *history).when(entry("0.06", "60100")).events
    assert isinstance(entered, TradeEntered)
    assert isinstance(protected, ProtectionSet)
    assert (entered.quantity, entered.average_price) == (Decimal("0.1"), 60_060)
    assert (protected.stop, protected.stop_quantity) == (59_460, Decimal("0.1"))


def test_the_stop_moves_only_toward_profit(verdict: Verdict) -> None:
    history = story(consider(verdict()), entry())
    moved = given(TRADE, *history).when(MoveStop(Decimal(60_060), "break-even", NOON))
    moved.then_types(ProtectionSet)
    for stop in (59_400, 59_000):
        given(TRADE, *history).when(MoveStop(Decimal(stop), "wider", NOON)).then_nothing()
    given(TRADE, *history, *moved.events).when(MoveStop(Decimal(60_000), "back", NOON)).then_nothing()


def test_the_trail_is_only_ever_tightened(verdict: Verdict) -> None:
    history = story(consider(verdict()), entry())
    given(TRADE, *history).when(TightenTrail(Decimal(400), "amber", NOON)).then_types(ProtectionSet)
    given(TRADE, *history).when(TightenTrail(Decimal(700), "amber", NOON)).then_nothing()


def test_the_result_is_made_of_fills_fees_and_funding(verdict: Verdict) -> None:
    closed = story(
        consider(verdict()),
        entry(),
        NoteFunding(Decimal("1.5"), NOON),
        leave("0.05", "61200", "first_target"),
        leave("0.05", "60600", "trail"),
    )[-1]
    assert isinstance(closed, TradeClosed)
    assert (closed.reason, closed.gross_profit, closed.fees) == (ExitReason.TRAIL, 90, 7)
    assert (closed.funding, closed.net_profit, closed.exit_price) == (Decimal("1.5"), Decimal("81.5"), 60_900)
    assert closed.r_multiple == Decimal("1.35833333")  # of 60 at risk
    assert closed.return_on_margin == Decimal("0.06791667")  # of 1,200 margin
    assert closed.return_on_equity == Decimal("0.00815")  # of 10,000 equity
    assert (closed.opened_at, closed.closed_at) == (NOON + timedelta(seconds=1), NOON + timedelta(hours=1))


def test_a_part_of_the_way_out_is_a_reduction(verdict: Verdict) -> None:
    history = story(consider(verdict()), entry())
    given(TRADE, *history).when(leave("0.05", "61200", "first_target")).then(
        TradeReduced(
            trade_id=TRADE_ID,
            leg="first_target",
            quantity=Decimal("0.05"),
            price=Decimal(61_200),
            fee=Decimal(2),
        )
    )


def test_more_than_is_held_cannot_leave(verdict: Verdict) -> None:
    history = story(consider(verdict()), entry())
    given(TRADE, *history).when(leave("0.2", "61000")).then_broken("holds 0.1")
    given(TRADE, *story(consider(verdict()))).when(leave("0.1", "61000")).then_broken("admitted")


def test_a_trade_is_not_over_before_its_entry_is(verdict: Verdict) -> None:
    history = story(consider(verdict()), entry("0.04", complete=False), leave("0.04", "59400"))
    assert isinstance(history[-1], TradeReduced)
    done = given(TRADE, *history).when(AbandonEntry("entry canceled", NOON + timedelta(hours=2)))
    done.then_types(TradeEntered, TradeClosed)
    assert isinstance(done.events[1], TradeClosed)
    assert done.events[1].reason is ExitReason.STOP
    given(TRADE, *history, *done.events).when(entry()).then_broken("closed")


def test_an_entry_that_never_filled_is_abandoned_once(verdict: Verdict) -> None:
    history = story(consider(verdict()))
    given(TRADE, *history).when(AbandonEntry("refused", NOON)).then_types(TradeAbandoned)
    history = story(consider(verdict()), AbandonEntry("refused", NOON))
    given(TRADE, *history).when(AbandonEntry("refused", NOON)).then_nothing()


def test_a_fill_that_comes_to_light_after_the_entry_was_given_up_is_protected(verdict: Verdict) -> None:
    history = story(consider(verdict()), AbandonEntry("never arrived", NOON))
    given(TRADE, *history).when(entry()).then_types(TradeEntered, ProtectionSet)


def test_an_exit_is_ordered_once_and_its_reason_is_the_results(verdict: Verdict) -> None:
    exit_ = OrderExit(ExitReason.BLACK_SWAN, "BTC fell", NOON)
    history = story(consider(verdict()), entry(), exit_)
    assert isinstance(history[-1], ExitOrdered)
    assert history[-1].exit_order == ids.client_order_id(VERDICT_ID, "exit")
    given(TRADE, *history).when(OrderExit(ExitReason.KILL, "again", NOON)).then_nothing()
    closed = given(TRADE, *history).when(leave("0.1", "59000", "exit")).then_types(TradeClosed).events[0]
    assert isinstance(closed, TradeClosed)
    assert closed.reason is ExitReason.BLACK_SWAN


def test_what_fills_while_a_trade_is_being_left_gets_no_new_protection(verdict: Verdict) -> None:
    history = story(
        consider(verdict()),
        entry("0.04", complete=False),
        OrderExit(ExitReason.KILL, "k", NOON),
    )
    given(TRADE, *history).when(entry("0.06")).then_types(TradeEntered)


def test_an_unprotected_position_is_reported_and_left(verdict: Verdict) -> None:
    history = story(consider(verdict()), entry())
    failed = given(TRADE, *history).when(ReportUnprotected("refused", NOON))
    failed.then_types(ProtectionFailed, ExitOrdered)
    given(TRADE, *history, *failed.events).when(ReportUnprotected("again", NOON)).then_nothing()
    given(TRADE, *story(consider(verdict()))).when(ReportUnprotected("x", NOON)).then_nothing()


def test_nothing_follows_for_a_trade_that_is_not_open(verdict: Verdict) -> None:
    closed = story(consider(verdict()), entry(), leave("0.1", "59400"))
    for command in (
        NoteFunding(Decimal(1), NOON),
        MoveStop(Decimal(70_000), "x", NOON),
        TightenTrail(Decimal(1), "x", NOON),
        OrderExit(ExitReason.KILL, "x", NOON),
        AbandonEntry("x", NOON),
        ReportUnprotected("x", NOON),
    ):
        given(TRADE, *closed).when(command).then_nothing()
        given(TRADE).when(command).then_nothing()
    given(TRADE, *closed).when(leave("0.1", "1")).then_broken("closed")
    given(TRADE).when(entry()).then_broken("new")
    assert TRADE.fold(closed).phase is Phase.CLOSED


def test_funding_belongs_to_the_open_trade(verdict: Verdict) -> None:
    history = story(consider(verdict()), entry())
    given(TRADE, *history).when(NoteFunding(Decimal("-0.4"), NOON)).then(
        FundingNoted(trade_id=TRADE_ID, amount=Decimal("-0.4"))
    )


def test_commands_survive_being_stored(verdict: Verdict) -> None:
    for command in (consider(verdict()), answered(verdict()), entry(), leave("0.1", "1")):
        sealed = seal_command(command, VERDICT_ID, "trade-x", VERDICT_ID, consumer="executor")
        assert open_command(sealed).command == command


QUANTITIES = st.integers(1, 100_000).map(lambda steps: steps * BTC.step_size)
PRICES = st.integers(10_000, 1_000_000).map(lambda ticks: ticks * BTC.tick_size)


@given_(QUANTITIES, PRICES)
def test_the_legs_are_the_whole_position_and_each_fits_the_venue(quantity: Decimal, price: Decimal) -> None:
    legs = split(quantity, price, BTC, TargetPlan())
    assert sum(legs) == quantity
    if not legs.is_whole:
        assert all(refusal(BTC, leg, price) is None for leg in legs)


@given_(PRICES, st.sampled_from(Direction), QUANTITIES)
def test_being_stopped_at_break_even_loses_nothing(
    price: Decimal, direction: Direction, quantity: Decimal
) -> None:
    stop = break_even_price(price, direction, BTC)
    fees = (price + stop) * quantity * BTC.taker_fee
    assert (stop - price) * direction.sign * quantity >= fees


@given_(st.decimals(allow_nan=False, allow_infinity=False, places=8, min_value=-(10**12), max_value=10**12))
def test_a_number_is_spelled_alike_before_and_after_it_was_stored(number: Decimal) -> None:
    spelled = plain(number)
    assert spelled == number
    assert Decimal(format(spelled, "f")).as_tuple() == spelled.as_tuple()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given_(entries=st.lists(st.tuples(QUANTITIES, PRICES), min_size=1, max_size=5), data=st.data())
def test_gross_profit_is_exact_however_entry_and_exit_were_split(
    verdict: Verdict, entries: list[tuple[Decimal, Decimal]], data: st.DataObject
) -> None:
    total = sum((quantity for quantity, _ in entries), Decimal(0))
    commands: list[Any] = [
        entry(str(quantity), str(price), complete=n == len(entries) - 1)
        for n, (quantity, price) in enumerate(entries)
    ]
    state = TRADE.fold(story(consider(verdict())))
    for command in commands:
        state = TRADE.fold(TRADE.decide(command, state), state)
    value, left = Decimal(0), total
    while left > 0:
        steps = int(left / BTC.step_size)
        part = data.draw(st.integers(max(1, steps // 3), steps)) * BTC.step_size
        price = data.draw(PRICES)
        events = TRADE.decide(leave(str(part), str(price)), state)
        state, value, left = TRADE.fold(events, state), value + part * price, left - part
    closed = events[-1]
    assert isinstance(closed, TradeClosed)
    assert closed.gross_profit == value - sum((q * p for q, p in entries), Decimal(0))


def test_a_trail_that_was_tightened_stays_so_when_more_is_filled(verdict: Verdict) -> None:
    history = story(
        consider(verdict()),
        entry("0.04", "60000", complete=False),
        TightenTrail(Decimal(400), "amber", NOON),
    )
    protected = given(TRADE, *history).when(entry("0.06", "60000")).events[1]
    assert isinstance(protected, ProtectionSet)
    assert protected.trail_distance == 400


def test_what_a_plan_lays_below_zero_or_nowhere_is_laid_at_a_tick(verdict: Verdict) -> None:
    wild = verdict(Direction.SHORT, target_distance="45000", trail_distance="0.01")
    protected = given(TRADE, *story(consider(wild))).when(entry()).events[1]
    assert isinstance(protected, ProtectionSet)
    assert protected.second_target == protected.trail_distance == BTC.tick_size
