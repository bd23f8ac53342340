"""An order moves forward only, whatever the order in which news of it arrives."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given as given_
from hypothesis import strategies as st

from nexus_common.contracts.decider import InvariantBroken
from nexus_common.contracts.envelope import open_command, seal_command
from nexus_common.contracts.order import (
    AmendRefused,
    AmendStarted,
    CancelStarted,
    Leg,
    Liquidity,
    OrderAmended,
    OrderCanceled,
    OrderEvent,
    OrderFilled,
    OrderIntentRecorded,
    OrderKind,
    OrderTriggered,
    Outcome,
    RecordAmended,
    RecordAmendRefused,
    RecordCanceled,
    RecordFill,
    RecordIntent,
    RecordReply,
    RecordTriggered,
    ResolveSubmit,
    StartAmend,
    StartCancel,
    SubmitAccepted,
    SubmitProvenAbsent,
    SubmitRefused,
    SubmitStarted,
    SubmitUnknown,
)
from nexus_common.contracts.values import AccountId, ClientOrderId, Side, Symbol, TradeId, Venue
from nexus_common.testing.spec import given
from nexus_executor.domain.order import ORDER, Move, OrderState, OrderStatus

NOON = datetime(2024, 6, 3, 12, 0, tzinfo=UTC)
STORED = UUID(int=9)
ID = ClientOrderId("nx1stop")
STARTED = SubmitStarted(client_order_id=ID, attempt=1, deadline=NOON + timedelta(seconds=5))
ACCEPTED = SubmitAccepted(client_order_id=ID, venue_order_id="x1")
ACCEPT = RecordReply(Outcome.ACCEPTED, NOON, venue_order_id="x1")
REFUSE = RecordReply(Outcome.REFUSED, NOON, code="-2021", reason="would trigger")
LOST = RecordReply(Outcome.UNKNOWN, NOON, reason="time-out")


def intent(quantity: str = "1", *, close_position: bool = False) -> OrderIntentRecorded:
    return OrderIntentRecorded(
        client_order_id=ID,
        trade_id=TradeId("t"),
        account=AccountId("a"),
        venue=Venue.BINANCE,
        symbol=Symbol("BTCUSDT"),
        leg=Leg.STOP,
        side=Side.SELL,
        kind=OrderKind.STOP,
        quantity=Decimal(quantity),
        trigger_price=Decimal(100),
        reduce_only=True,
        close_position=close_position,
    )


def fill(number: int = 1, quantity: str = "0.4", *, complete: bool = False) -> RecordFill:
    return RecordFill(
        f"f{number}", Decimal(quantity), Decimal(100), Decimal("0.02"), Liquidity.TAKER, complete, NOON
    )


def filled(number: int = 1, quantity: str = "0.4", *, complete: bool = False) -> OrderFilled:
    return OrderFilled(
        client_order_id=ID,
        trade_id=TradeId("t"),
        leg=Leg.STOP,
        symbol=Symbol("BTCUSDT"),
        side=Side.SELL,
        fill_id=f"f{number}",
        quantity=Decimal(quantity),
        price=Decimal(100),
        fee=Decimal("0.02"),
        liquidity=Liquidity.TAKER,
        complete=complete,
    )


SENT: tuple[OrderEvent, ...] = (intent(), STARTED)


def test_an_intent_and_the_start_of_its_request_are_one_decision() -> None:
    command = RecordIntent(intent(), 1, NOON + timedelta(seconds=5), NOON)
    given(ORDER).when(command).then(intent(), STARTED)
    given(ORDER, *SENT).when(command).then_nothing()


def test_an_order_id_stands_for_one_order() -> None:
    other = RecordIntent(intent("2"), 1, NOON, NOON)
    given(ORDER, *SENT).when(other).then_broken("different terms")


@pytest.mark.parametrize(
    "command",
    [ACCEPT, fill(), RecordCanceled("x", NOON), RecordTriggered(Decimal(1), NOON), StartCancel("x", NOON)],
)
def test_nothing_happens_to_an_order_that_was_never_wanted(command: Any) -> None:
    given(ORDER).when(command).then_broken("never wanted")


def test_the_answer_is_recorded_once() -> None:
    given(ORDER, *SENT).when(ACCEPT).then(ACCEPTED)
    given(ORDER, *SENT, ACCEPTED).when(ACCEPT).then_nothing()
    given(ORDER, *SENT).when(REFUSE).then(
        SubmitRefused(client_order_id=ID, code="-2021", reason="would trigger")
    )


def test_an_answer_that_got_lost_is_found_again() -> None:
    unknown = SubmitUnknown(client_order_id=ID, reason="time-out")
    given(ORDER, *SENT).when(LOST).then(unknown)
    given(ORDER, *SENT, unknown).when(LOST).then_nothing()
    given(ORDER, *SENT, unknown).when(ACCEPT).then(ACCEPTED)
    adopted = ResolveSubmit(Outcome.ACCEPTED, NOON, venue_order_id="x1")
    given(ORDER, *SENT, unknown).when(adopted).then(ACCEPTED)
    absent = ResolveSubmit(Outcome.ABSENT, NOON, evidence="asked three times")
    given(ORDER, *SENT, unknown).when(absent).then(
        SubmitProvenAbsent(client_order_id=ID, evidence="asked three times")
    )


def test_a_lost_answer_is_no_news_of_an_answered_order() -> None:
    given(ORDER, *SENT, ACCEPTED).when(LOST).then_nothing()
    given(ORDER, *SENT, filled()).when(LOST).then_nothing()


@pytest.mark.parametrize("contradiction", [REFUSE, ResolveSubmit(Outcome.ABSENT, NOON)])
def test_what_was_accepted_or_traded_cannot_be_denied(contradiction: Any) -> None:
    given(ORDER, *SENT, ACCEPTED).when(contradiction).then_broken("now said to be")
    given(ORDER, *SENT, filled()).when(contradiction).then_broken("traded")


DEAD: list[OrderEvent] = [
    SubmitRefused(client_order_id=ID, code="c", reason="r"),
    SubmitProvenAbsent(client_order_id=ID, evidence="asked three times"),
]


@pytest.mark.parametrize("dead", DEAD)
def test_an_order_that_never_lived_does_not_end(dead: OrderEvent) -> None:
    for command in (RecordCanceled("x", NOON), RecordTriggered(Decimal(1), NOON)):
        given(ORDER, *SENT, dead).when(command).then_nothing()
    given(ORDER, *SENT, dead).when(ACCEPT).then_broken("now said to be")


@pytest.mark.parametrize("dead", DEAD)
def test_a_fill_is_never_lost_whatever_was_concluded_before(dead: OrderEvent) -> None:
    story = given(ORDER, *SENT, dead).when(fill()).then(filled())
    assert story.state.status is OrderStatus.WORKING


def test_a_fill_before_the_answer_is_a_fact() -> None:
    story = given(ORDER, *SENT).when(fill()).then(filled())
    assert story.state.status is OrderStatus.WORKING
    given(ORDER, *SENT, filled()).when(ACCEPT).then(ACCEPTED)


def test_a_fill_counts_once() -> None:
    given(ORDER, *SENT, ACCEPTED, filled()).when(fill()).then_nothing()


def test_fills_add_up_to_the_order_and_no_further() -> None:
    history = (*SENT, ACCEPTED, filled(1, "0.4"))
    given(ORDER, *history).when(fill(2, "0.6")).then(filled(2, "0.6", complete=True))
    given(ORDER, *history).when(fill(2, "0.7")).then_broken("beyond its 1")


def test_a_stop_for_the_whole_position_may_fill_for_more_than_was_held_when_it_was_placed() -> None:
    history = (intent(close_position=True), STARTED, ACCEPTED)
    given(ORDER, *history).when(fill(1, "3", complete=True)).then(filled(1, "3", complete=True))


def test_a_filled_order_stays_filled() -> None:
    full = (*SENT, ACCEPTED, filled(1, "1", complete=True))
    given(ORDER, *full).when(RecordCanceled("late", NOON)).then_nothing()
    given(ORDER, *full).when(StartCancel("late", NOON)).then_nothing()
    given(ORDER, *full).when(StartAmend(Decimal(90), NOON)).then_broken("cannot be moved")
    assert given(ORDER, *full, ACCEPTED).state.status is OrderStatus.FILLED


def test_what_filled_before_a_cancel_stays_filled() -> None:
    canceled = OrderCanceled(client_order_id=ID, reason="requested")
    story = given(ORDER, *SENT, ACCEPTED, canceled).when(fill()).then(filled())
    assert story.state.status is OrderStatus.CANCELED
    assert story.state.filled == Decimal("0.4")


def test_a_cancel_is_started_once_and_ends_with_the_venues_word() -> None:
    started = CancelStarted(client_order_id=ID, reason="r")
    canceled = OrderCanceled(client_order_id=ID, reason="requested")
    given(ORDER, *SENT, ACCEPTED).when(StartCancel("r", NOON)).then(started)
    given(ORDER, *SENT, ACCEPTED, started).when(StartCancel("r", NOON)).then_nothing()
    given(ORDER, *SENT, ACCEPTED, started).when(RecordCanceled("requested", NOON)).then(canceled)
    given(ORDER, *SENT, ACCEPTED, canceled).when(RecordCanceled("requested", NOON)).then_nothing()


def test_a_stop_is_moved_one_move_at_a_time() -> None:
    moving = AmendStarted(client_order_id=ID, trigger_price=Decimal(110), revision=1)
    moved = OrderAmended(client_order_id=ID, trigger_price=Decimal(110), revision=1)
    given(ORDER, *SENT, ACCEPTED).when(StartAmend(Decimal(110), NOON)).then(moving)
    given(ORDER, *SENT).when(StartAmend(Decimal(110), NOON)).then_broken("cannot be moved")
    given(ORDER, *SENT, ACCEPTED, moving).when(StartAmend(Decimal(120), NOON)).then_broken("being moved")
    given(ORDER, *SENT, ACCEPTED, moving).when(RecordAmended(1, NOON)).then(moved)
    given(ORDER, *SENT, ACCEPTED, moving, moved).when(RecordAmended(1, NOON)).then_nothing()
    given(ORDER, *SENT, ACCEPTED).when(RecordAmended(1, NOON)).then_broken("never started")
    assert given(ORDER, *SENT, ACCEPTED, moving, moved).state.trigger_price == 110


def test_a_refused_move_leaves_the_stop_where_it_is() -> None:
    moving = AmendStarted(client_order_id=ID, trigger_price=Decimal(110), revision=1)
    refused = AmendRefused(client_order_id=ID, revision=1, code="-2021", reason="at once")
    story = given(ORDER, *SENT, ACCEPTED, moving).when(RecordAmendRefused(1, "-2021", "at once", NOON))
    assert story.then(refused).state.trigger_price == 100
    assert story.state.refused_move == Move(Decimal(110))
    assert (story.state.move_code, story.state.move_refusal) == ("-2021", "-2021 at once")


def test_a_stop_can_be_given_another_size() -> None:
    smaller = StartAmend(Decimal(110), NOON, Decimal("0.4"))
    moving = AmendStarted(client_order_id=ID, trigger_price=Decimal(110), revision=1, quantity=Decimal("0.4"))
    moved = OrderAmended(client_order_id=ID, trigger_price=Decimal(110), revision=1, quantity=Decimal("0.4"))
    given(ORDER, *SENT, ACCEPTED).when(smaller).then(moving)
    story = given(ORDER, *SENT, ACCEPTED, moving).when(RecordAmended(1, NOON)).then(moved)
    assert story.state.quantity == Decimal("0.4")
    given(ORDER, *SENT, ACCEPTED, moving, moved).when(fill()).then(filled(complete=True))


def test_a_trigger_is_recorded_once() -> None:
    triggered = OrderTriggered(client_order_id=ID, price=Decimal(99))
    given(ORDER, *SENT, ACCEPTED).when(RecordTriggered(Decimal(99), NOON)).then(triggered)
    given(ORDER, *SENT, ACCEPTED, triggered).when(RecordTriggered(Decimal(99), NOON)).then_nothing()


NEWS: list[Any] = [
    ACCEPT,
    LOST,
    ResolveSubmit(Outcome.ACCEPTED, NOON, venue_order_id="x1"),
    fill(1, "0.3"),
    fill(2, "0.3"),
    fill(3, "0.4"),
    RecordTriggered(Decimal(99), NOON),
]


@given_(st.lists(st.sampled_from(NEWS), max_size=20), st.permutations(NEWS))
def test_any_order_and_any_repetition_of_the_same_news_end_in_the_same_state(
    repeats: list[Any], news: list[Any]
) -> None:
    straight = shuffled = ORDER.fold(SENT)
    for command in NEWS:
        straight = ORDER.fold(ORDER.decide(command, straight), straight)
    for command in (*repeats, *news):
        shuffled = ORDER.fold(ORDER.decide(command, shuffled), shuffled)
    assert shuffled == straight
    assert shuffled.status is OrderStatus.FILLED


RANK = {OrderStatus.NEW: 0, OrderStatus.PENDING: 1, OrderStatus.UNKNOWN: 2, OrderStatus.WORKING: 3}


@given_(st.lists(st.sampled_from([*NEWS, REFUSE, RecordCanceled("x", NOON), StartCancel("y", NOON)])))
def test_the_status_never_goes_back(commands: list[Any]) -> None:
    state: OrderState = ORDER.fold(SENT)
    for command in commands:
        before = state
        try:
            state = ORDER.fold(ORDER.decide(command, state), state)
        except InvariantBroken:
            continue
        if before.status is not OrderStatus.REFUSED:  # which a fill disproves
            assert RANK.get(state.status, 4) >= RANK.get(before.status, 4)
        assert state.filled >= before.filled
        if before.status is OrderStatus.FILLED:
            assert state.status is OrderStatus.FILLED


@pytest.mark.parametrize(
    "command",
    [RecordIntent(intent(), 1, NOON, NOON), ACCEPT, fill(), StartAmend(Decimal("1.5"), NOON), REFUSE],
)
def test_commands_survive_being_stored(command: Any) -> None:
    sealed = seal_command(command, STORED, "order-x", STORED, consumer="executor")
    assert open_command(sealed).command == command
