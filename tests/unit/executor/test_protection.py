"""What a trade wants of its venue, from what its order streams say stands there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from nexus_common.contracts.order import (
    AmendRefused,
    AmendStarted,
    CancelStarted,
    Leg,
    Liquidity,
    OrderCanceled,
    OrderEvent,
    OrderFilled,
    OrderKind,
    SubmitAccepted,
    SubmitRefused,
    SubmitStarted,
    SubmitUnknown,
)
from nexus_common.contracts.risk import EntryApproved
from nexus_common.contracts.trade import (
    ConsiderVerdict,
    ExitReason,
    MoveStop,
    OrderExit,
    RecordEntryFill,
    RecordExitFill,
    TargetPlan,
)
from nexus_common.contracts.values import AccountId, Mode, Symbol, UserId, Venue
from nexus_executor.domain.order import ORDER
from nexus_executor.domain.protection import wanted
from nexus_executor.domain.rules import ExecutionRules
from nexus_executor.domain.situation import (
    Abandon,
    Action,
    Amend,
    Cancel,
    Fail,
    Leave,
    Placed,
    Situation,
    Submit,
    VenueTraits,
)
from nexus_executor.domain.trade import TRADE, TradeState
from nexus_market.instruments import DEFAULT_INSTRUMENTS, by_symbol

NOON = datetime(2024, 6, 3, 12, 0, tzinfo=UTC)
BTC = by_symbol(DEFAULT_INSTRUMENTS[Venue.BINANCE])[Symbol("BTCUSDT")]
Verdict = Callable[..., EntryApproved]


def traded(*commands: Any) -> TradeState:
    state = TRADE.initial
    for command in commands:
        state = TRADE.fold(TRADE.decide(command, state), state)
    return state


def admitted(verdict: EntryApproved) -> ConsiderVerdict:
    return ConsiderVerdict(
        UUID(int=42), verdict, AccountId("a"), UserId("u"), Mode.PILOT, 300, Decimal("0.5"), None, NOON
    )


def entered(quantity: str = "0.1", *, complete: bool = True) -> RecordEntryFill:
    return RecordEntryFill(Decimal(quantity), Decimal(60_000), Decimal(3), complete, BTC, TargetPlan(), NOON)


EXIT = OrderExit(ExitReason.KILL, "killed", NOON)


class Bench:
    """A trade whose wants are granted one by one, or answered as a test likes."""

    def __init__(self, trade: TradeState, **traits: bool) -> None:
        self.trade = trade
        self.at = NOON
        self.traits = VenueTraits(**traits)
        self.orders: list[Placed] = []

    def wants(self) -> tuple[Action, ...]:
        return wanted(Situation(self.trade, self.orders, BTC, self.traits, ExecutionRules(), self.at))

    def place(self, submit: Action, *answers: str) -> Placed:
        assert isinstance(submit, Submit)
        order = submit.intent.client_order_id
        started = SubmitStarted(client_order_id=order, attempt=1, deadline=self.at)
        placed = Placed(order, submit.intent.leg, self.at, ORDER.fold([submit.intent, started]))
        self.orders.append(placed)
        for answer in answers or ("accepted",):
            self.happen(order, answer)
        return self.orders[-1]

    def happen(self, order: Any, what: str, quantity: str = "0.1", trigger: str = "60060") -> None:
        index = next(n for n, placed in enumerate(self.orders) if placed.order == order)
        placed = self.orders[index]
        state = ORDER.fold([self._event(placed, what, quantity, trigger)], placed.state)
        self.orders[index] = replace(placed, state=state)

    @staticmethod
    def _event(placed: Placed, what: str, quantity: str, trigger: str) -> OrderEvent:
        order, intent = placed.order, placed.state.intent
        assert intent is not None
        events: dict[str, OrderEvent] = {
            "accepted": SubmitAccepted(client_order_id=order, venue_order_id="x"),
            "refused": SubmitRefused(client_order_id=order, code="-2021", reason="at once"),
            "unknown": SubmitUnknown(client_order_id=order, reason="time-out"),
            "canceling": CancelStarted(client_order_id=order, reason="r"),
            "canceled": OrderCanceled(client_order_id=order, reason="r"),
            "moving": AmendStarted(client_order_id=order, trigger_price=Decimal(trigger), revision=1),
            "not moved": AmendRefused(client_order_id=order, revision=1, code="-2021", reason="at once"),
            "filled": OrderFilled(
                client_order_id=order,
                trade_id=intent.trade_id,
                leg=intent.leg,
                symbol=intent.symbol,
                side=intent.side,
                fill_id=f"{order}/{quantity}",
                quantity=Decimal(quantity),
                price=Decimal(60_000),
                fee=Decimal(1),
                liquidity=Liquidity.TAKER,
                complete=True,
            ),
        }
        return events[what]

    def settle(self) -> list[Action]:
        """Grant whatever is wanted until nothing is; returns all of it."""
        granted: list[Action] = []
        while actions := self.wants():
            granted += actions
            for action in actions:
                self.place(action)
        return granted


def legs(actions: Any) -> list[Leg]:
    return [action.intent.leg for action in actions if isinstance(action, Submit)]


def test_an_admitted_trade_wants_its_entry_and_then_waits(verdict: Verdict) -> None:
    bench = Bench(traded(admitted(verdict())))
    (entry,) = bench.wants()
    assert isinstance(entry, Submit)
    assert (entry.intent.leg, entry.intent.kind, entry.intent.leverage) == (Leg.ENTRY, OrderKind.MARKET, 5)
    assert not entry.intent.reduce_only
    bench.place(entry)
    assert bench.wants() == ()


def test_what_is_wanted_can_be_asked_twice(verdict: Verdict) -> None:
    bench = Bench(traded(admitted(verdict()), entered()))
    assert bench.wants() == bench.wants()


def test_an_open_position_wants_its_stop_first_then_its_targets(verdict: Verdict) -> None:
    bench = Bench(traded(admitted(verdict()), entered()))
    assert legs(bench.wants()) == [Leg.STOP, Leg.FIRST_TARGET, Leg.SECOND_TARGET, Leg.TRAIL]
    bench.settle()
    assert bench.wants() == ()


def test_an_unfinished_entry_has_a_stop_and_no_targets_yet(verdict: Verdict) -> None:
    bench = Bench(traded(admitted(verdict()), entered("0.04", complete=False)))
    assert legs(bench.wants()) == [Leg.STOP]


def test_every_order_but_the_entry_only_reduces(verdict: Verdict) -> None:
    bench = Bench(traded(admitted(verdict()), entered()))
    for action in bench.settle():
        assert isinstance(action, Submit)
        assert action.intent.reduce_only or action.intent.close_position


def test_a_venue_without_stops_for_the_whole_position_gets_one_with_a_quantity_that_follows(
    verdict: Verdict,
) -> None:
    half = traded(admitted(verdict()), entered("0.04", complete=False))
    bench = Bench(half, close_position_stop=False)
    bench.settle()
    bench.trade = traded(admitted(verdict()), entered("0.04", complete=False), entered("0.06"))
    actions = bench.wants()
    assert legs(actions)[0] is Leg.STOP
    first = actions[0]
    assert isinstance(first, Submit)
    assert (first.intent.quantity, first.attempt) == (Decimal("0.1"), 2)
    for action in actions:
        bench.place(action)
    assert [type(action) for action in bench.wants()] == [Cancel]  # the old one, now that the new one stands


def test_a_refused_stop_is_tried_in_the_other_kind_and_then_the_position_is_left(verdict: Verdict) -> None:
    bench = Bench(traded(admitted(verdict()), entered()))
    bench.place(bench.wants()[0], "refused")
    second = bench.wants()[0]
    assert isinstance(second, Submit)
    assert (second.intent.close_position, second.intent.reduce_only) == (False, True)
    bench.place(second, "refused")
    assert isinstance(bench.wants()[0], Fail)


def test_a_stop_nobody_knows_of_is_replaced_after_five_seconds(verdict: Verdict) -> None:
    bench = Bench(traded(admitted(verdict()), entered()))
    bench.place(bench.wants()[0], "unknown")
    assert Leg.STOP not in legs(bench.wants())
    bench.at = NOON + timedelta(seconds=6)
    assert Leg.STOP in legs(bench.wants())


def test_a_stop_the_venue_took_off_the_book_is_placed_again(verdict: Verdict) -> None:
    bench = Bench(traded(admitted(verdict()), entered()))
    bench.settle()
    bench.happen(bench.orders[0].order, "canceled")
    assert legs(bench.wants()) == [Leg.STOP]


def test_a_moved_stop_is_amended_where_it_stands(verdict: Verdict) -> None:
    bench = Bench(traded(admitted(verdict()), entered()))
    bench.settle()
    bench.trade = traded(admitted(verdict()), entered(), MoveStop(Decimal(60_060), "break-even", NOON))
    stop = bench.orders[0].order
    assert bench.wants() == (Amend(stop, Decimal(60_060), 1),)
    bench.happen(stop, "moving")
    assert bench.wants() == ()


def test_a_stop_that_cannot_be_moved_is_replaced_and_else_the_trade_is_left(verdict: Verdict) -> None:
    bench = Bench(traded(admitted(verdict()), entered()))
    bench.settle()
    bench.trade = traded(admitted(verdict()), entered(), MoveStop(Decimal(60_060), "break-even", NOON))
    stop = bench.orders[0].order
    bench.happen(stop, "moving")
    bench.happen(stop, "not moved")
    (second,) = bench.wants()
    bench.place(second, "refused")
    assert [type(action) for action in bench.wants()] == [Leave]


def test_a_refused_target_is_tried_as_a_limit_order_and_then_left_off(verdict: Verdict) -> None:
    bench = Bench(traded(admitted(verdict()), entered()))
    stop, first, *_ = bench.wants()
    bench.place(stop)
    bench.place(first, "refused")
    again = next(a for a in bench.wants() if isinstance(a, Submit) and a.intent.leg is Leg.FIRST_TARGET)
    assert (again.intent.kind, again.intent.limit_price) == (OrderKind.LIMIT, 61_200)
    bench.place(again, "refused")
    assert Leg.FIRST_TARGET not in legs(bench.wants())


def test_an_exit_is_for_what_is_held_and_keeps_the_stop_until_it_is_gone(verdict: Verdict) -> None:
    bench = Bench(traded(admitted(verdict()), entered()))
    bench.settle()
    bench.trade = traded(
        admitted(verdict()),
        entered(),
        RecordExitFill("first_target", Decimal("0.05"), Decimal(61_200), Decimal(1), NOON),
        EXIT,
    )
    (leave,) = bench.wants()
    assert isinstance(leave, Submit)
    assert (leave.intent.kind, leave.intent.quantity) == (OrderKind.MARKET, Decimal("0.05"))
    bench.place(leave)
    assert bench.wants() == ()


def test_a_refused_exit_is_wanted_again_at_the_next_moment(verdict: Verdict) -> None:
    bench = Bench(traded(admitted(verdict()), entered(), EXIT))
    bench.place(bench.wants()[0], "refused")
    assert bench.wants() == ()
    bench.at = NOON + timedelta(minutes=1)
    assert legs(bench.wants()) == [Leg.EXIT]


def test_leaving_ends_an_entry_that_is_still_filling(verdict: Verdict) -> None:
    bench = Bench(traded(admitted(verdict())))
    entry = bench.place(bench.wants()[0])
    bench.trade = traded(admitted(verdict()), entered("0.04", complete=False), EXIT)
    actions = bench.wants()
    assert legs(actions) == [Leg.EXIT]
    assert actions[1] == Cancel(entry.order, "no more of this entry")
    bench.happen(entry.order, "canceling")
    bench.happen(entry.order, "canceled")
    assert bench.wants()[1] == Abandon("entry canceled")


def test_an_entry_left_before_it_was_sent_is_never_sent(verdict: Verdict) -> None:
    bench = Bench(traded(admitted(verdict()), EXIT))
    assert [type(action) for action in bench.wants()] == [Abandon]


def test_a_refused_entry_is_given_up(verdict: Verdict) -> None:
    bench = Bench(traded(admitted(verdict())))
    bench.place(bench.wants()[0], "refused")
    assert bench.wants() == (Abandon("refused by the venue: -2021 at once"),)


def test_what_outlives_its_position_is_canceled(verdict: Verdict) -> None:
    bench = Bench(traded(admitted(verdict()), entered()))
    bench.settle()
    bench.happen(bench.orders[0].order, "filled")
    bench.trade = traded(
        admitted(verdict()),
        entered(),
        RecordExitFill("stop", Decimal("0.1"), Decimal(59_400), Decimal(1), NOON),
    )
    assert [type(action) for action in bench.wants()] == [Cancel, Cancel, Cancel]
