"""What a trade wants of its venue, from what its order streams say stands there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from hypothesis import given as given_
from hypothesis import strategies as st

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
    OrderKind,
    OrderTriggered,
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
    ReachTarget,
    RecordEntryFill,
    RecordExitFill,
    ReportUnprotected,
    TargetPlan,
    TightenTrail,
    WriteOffRest,
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
    WriteOff,
)
from nexus_executor.domain.targets import trail_rate
from nexus_executor.domain.trade import TRADE, TradeState
from nexus_executor.domain.trade_state import Phase
from nexus_executor.domain.traits import TRAITS, Trailing, VenueTraits
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
BINANCE: dict[str, Any] = {
    "amend_stop": False,
    "one_position_stop": True,
    "trailing": Trailing.RATE,
}
BYBIT: dict[str, Any] = {"trails_position": True}
ALPACA: dict[str, Any] = {
    "close_position_stop": False,
    "trailing": Trailing.NONE,
    "reserves_quantity": True,
    "reduces_only": False,
}


class Bench:
    """A trade whose wants are granted one by one, or answered as a test likes."""

    def __init__(self, trade: TradeState, **traits: Any) -> None:
        self.trade = trade
        self.at = NOON
        self.bare_since: datetime | None = None
        self.traits = VenueTraits(**traits)
        self.orders: list[Placed] = []

    def wants(self) -> tuple[Action, ...]:
        now = Situation(
            self.trade,
            self.orders,
            BTC,
            self.traits,
            ExecutionRules(),
            self.at,
            bare_since=self.bare_since,
        )
        return wanted(now)

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
            "refused": SubmitRefused(client_order_id=order, code="-4120", reason="not here"),
            "beyond": SubmitRefused(client_order_id=order, code="-2021", reason="at once"),
            "unknown": SubmitUnknown(client_order_id=order, reason="time-out"),
            "canceling": CancelStarted(client_order_id=order, reason="r"),
            "canceled": OrderCanceled(client_order_id=order, reason="r"),
            "moving": AmendStarted(client_order_id=order, trigger_price=Decimal(trigger), revision=1),
            "moved": OrderAmended(
                client_order_id=order, trigger_price=Decimal(trigger), revision=1, quantity=Decimal(quantity)
            ),
            "not moved": AmendRefused(client_order_id=order, revision=1, code="-1008", reason="busy"),
            "moved beyond": AmendRefused(client_order_id=order, revision=1, code="-2021", reason="at once"),
            "triggered": OrderTriggered(client_order_id=order, price=Decimal(trigger)),
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


def test_a_stop_with_a_quantity_is_resized_in_place_where_that_is_possible(verdict: Verdict) -> None:
    bench = Bench(traded(admitted(verdict()), entered("0.04", complete=False)), close_position_stop=False)
    bench.settle()
    bench.trade = traded(admitted(verdict()), entered("0.04", complete=False), entered("0.06"))
    stop = bench.orders[0].order
    assert bench.wants()[0] == Amend(stop, Decimal(59_400), 1, Decimal("0.1"))
    bench.happen(stop, "moving", trigger="59400")
    bench.happen(stop, "moved", trigger="59400")
    assert Leg.STOP not in legs(bench.wants())


def test_a_stop_with_a_quantity_is_replaced_where_it_cannot_be_resized(verdict: Verdict) -> None:
    half = traded(admitted(verdict()), entered("0.04", complete=False))
    bench = Bench(half, close_position_stop=False, amend_stop=False)
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


def test_a_stop_nobody_knows_of_is_tried_in_the_other_kind_at_once_and_after_five_seconds_it_is_enough(
    verdict: Verdict,
) -> None:
    bench = Bench(traded(admitted(verdict()), entered()))
    bench.place(bench.wants()[0], "unknown")
    second = bench.wants()[0]
    assert isinstance(second, Submit)
    assert (second.intent.leg, second.intent.close_position) == (Leg.STOP, False)
    bench.place(second, "unknown")
    assert Leg.STOP not in legs(bench.wants())
    bench.at = NOON + timedelta(seconds=6)
    assert bench.wants()[0] == Fail("no confirmed stop within 5 s")
    bench.happen(bench.orders[0].order, "accepted")
    assert Leg.STOP not in legs(bench.wants())


def test_a_stop_that_the_market_has_passed_already_is_an_exit(verdict: Verdict) -> None:
    bench = Bench(traded(admitted(verdict()), entered()))
    bench.place(bench.wants()[0], "beyond")
    assert isinstance(bench.wants()[0], Leave)
    moved = Bench(traded(admitted(verdict()), entered()))
    moved.settle()
    moved.trade = traded(admitted(verdict()), entered(), MoveStop(Decimal(60_060), "break-even", NOON))
    moved.happen(moved.orders[0].order, "moving")
    moved.happen(moved.orders[0].order, "moved beyond")
    assert [type(action) for action in moved.wants()] == [Leave]


def test_a_stop_that_the_venue_takes_off_the_book_again_and_again_is_given_up(verdict: Verdict) -> None:
    bench = Bench(traded(admitted(verdict()), entered()))
    for _ in range(3):
        bench.place(bench.wants()[0], "accepted", "canceled")
    assert isinstance(bench.wants()[0], Fail)


def test_a_lack_of_a_stop_is_measured_from_its_beginning(verdict: Verdict) -> None:
    """A refused move of long ago says nothing about a stop that vanished now."""
    bench = Bench(traded(admitted(verdict()), entered()), **BINANCE)
    bench.settle()
    bench.trade = traded(admitted(verdict()), entered(), MoveStop(Decimal(60_060), "break-even", NOON))
    bench.place(bench.wants()[0], "refused")
    bench.happen(bench.orders[0].order, "canceled")
    bench.at = bench.bare_since = NOON + timedelta(hours=1)
    assert legs(bench.wants())[0] is Leg.STOP


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


def test_a_stop_that_cannot_be_moved_is_replaced_and_else_stays_where_it_is(verdict: Verdict) -> None:
    bench = Bench(traded(admitted(verdict()), entered()))
    bench.settle()
    bench.trade = traded(admitted(verdict()), entered(), MoveStop(Decimal(60_060), "break-even", NOON))
    stop = bench.orders[0].order
    bench.happen(stop, "moving")
    bench.happen(stop, "not moved")
    (second,) = bench.wants()
    bench.place(second, "refused")
    assert bench.wants() == ()


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
    assert bench.wants() == (Abandon("refused by the venue: -4120 not here"),)


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


def test_what_fills_after_its_stop_was_reached_leaves_too(verdict: Verdict) -> None:
    part = entered("0.02", complete=False)
    bench = Bench(traded(admitted(verdict())), close_position_stop=False)
    entry = bench.place(bench.wants()[0])
    bench.trade = traded(admitted(verdict()), part)
    bench.place(bench.wants()[0])
    bench.happen(bench.orders[1].order, "triggered")
    assert bench.wants() == (Cancel(entry.order, "no more of this entry"),)
    bench.happen(entry.order, "canceling")
    assert bench.wants() == ()
    bench.trade = traded(admitted(verdict()), part, entered("0.01", complete=False))
    assert bench.wants() == (Leave("the stop was reached; it covers 0.02 of 0.030"),)


# -- what venues can do -------------------------------------------------------------------------------


def moved_stop(verdict: EntryApproved, *more: Any) -> TradeState:
    return traded(admitted(verdict), entered(), MoveStop(Decimal(60_060), "break-even", NOON), *more)


def test_the_table_of_venues_is_what_these_tests_try() -> None:
    tried = {Venue.BINANCE: BINANCE, Venue.BYBIT: BYBIT, Venue.ALPACA: ALPACA}
    for venue, traits in tried.items():
        assert replace(TRAITS[venue], **traits) == TRAITS[venue]


def test_binance_gets_its_stop_moved_by_the_other_kind_which_stands_before_the_old_one_goes(
    verdict: Verdict,
) -> None:
    bench = Bench(traded(admitted(verdict()), entered()), **BINANCE)
    bench.settle()
    old = bench.orders[0]
    assert old.state.intent is not None
    assert old.state.intent.close_position
    bench.trade = moved_stop(verdict())
    (successor,) = bench.wants()
    assert isinstance(successor, Submit)
    assert (successor.intent.close_position, successor.intent.quantity) == (False, Decimal("0.1"))
    bench.place(successor)
    assert bench.wants() == (Cancel(old.order, "replaced"),)
    bench.happen(old.order, "canceling")
    bench.trade = moved_stop(verdict(), MoveStop(Decimal(60_100), "trailing", NOON))
    assert bench.wants() == ()  # a second one for the whole position would be refused: the old one goes first
    bench.happen(old.order, "canceled")
    (third,) = bench.wants()
    assert isinstance(third, Submit)
    assert third.intent.close_position


def test_a_reduce_only_stop_follows_what_is_left_by_the_other_kind(verdict: Verdict) -> None:
    bench = Bench(traded(admitted(verdict()), entered()), **BINANCE)
    bench.settle()
    bench.trade = moved_stop(verdict())
    bench.place(bench.wants()[0])
    bench.happen(bench.orders[0].order, "canceled")
    first = next(placed for placed in bench.orders if placed.leg is Leg.FIRST_TARGET)
    bench.happen(first.order, "filled", "0.05")
    bench.trade = moved_stop(
        verdict(), RecordExitFill("first_target", Decimal("0.05"), Decimal(61_200), Decimal(1), NOON)
    )
    (successor,) = bench.wants()
    assert isinstance(successor, Submit)
    assert successor.intent.close_position


def test_binance_trails_by_a_fraction_of_the_price_where_it_begins(verdict: Verdict) -> None:
    bench = Bench(traded(admitted(verdict()), entered()), **BINANCE)
    trail = bench.wants()[-1]
    assert isinstance(trail, Submit)
    assert (trail.intent.trail_rate, trail.intent.trail_distance) == (Decimal("0.01"), None)  # 600 of 60,600
    for action in bench.wants():
        bench.place(action)
    tighter = TightenTrail(Decimal(580), "amber", NOON)  # still 1.0 % to the nearest step
    bench.trade = traded(admitted(verdict()), entered(), tighter)
    assert bench.wants() == ()
    bench.trade = traded(admitted(verdict()), entered(), TightenTrail(Decimal(400), "amber", NOON))
    assert [type(action) for action in bench.wants()] == [Cancel]
    bench.happen(bench.orders[-1].order, "canceling")
    bench.happen(bench.orders[-1].order, "canceled")
    (closer,) = bench.wants()
    assert isinstance(closer, Submit)
    assert closer.intent.trail_rate == Decimal("0.007")


@given_(
    st.decimals(Decimal("0.01"), 20_000, places=2, allow_nan=False),
    st.decimals(Decimal("0.01"), 100_000, places=2, allow_nan=False),
)
def test_a_rate_is_one_that_the_venue_takes(distance: Decimal, price: Decimal) -> None:
    rate = trail_rate(distance, price)
    assert Decimal("0.001") <= rate <= Decimal("0.1")
    assert rate % Decimal("0.001") == 0
    if Decimal("0.0015") <= distance / price <= Decimal("0.1"):
        assert abs(rate - distance / price) <= Decimal("0.0005")


def both_targets_filled(bench: Bench, verdict: EntryApproved) -> None:
    fills = []
    for leg, quantity, price in (("first_target", "0.05", 61_200), ("second_target", "0.025", 61_800)):
        placed = next(placed for placed in bench.orders if placed.leg == leg)
        bench.happen(placed.order, "filled", quantity)
        fills.append(RecordExitFill(leg, Decimal(quantity), Decimal(price), Decimal(1), NOON))
    bench.trade = traded(admitted(verdict), entered(), *fills)


def test_bybit_trails_the_position_once_only_the_trailing_part_is_left(verdict: Verdict) -> None:
    bench = Bench(traded(admitted(verdict()), entered()), **BYBIT)
    assert legs(bench.settle()) == [Leg.STOP, Leg.FIRST_TARGET, Leg.SECOND_TARGET]
    both_targets_filled(bench, verdict())
    (trail,) = bench.wants()
    assert isinstance(trail, Submit)
    assert (trail.intent.leg, trail.intent.close_position, trail.intent.reduce_only) == (
        Leg.TRAIL,
        True,
        False,
    )
    assert (trail.intent.trail_distance, trail.intent.trigger_price) == (600, None)
    bench.place(trail)
    assert bench.wants() == ()


REACHED = ReachTarget("first_target", Decimal(61_200), NOON)
TOOK = RecordExitFill("first_target", Decimal("0.05"), Decimal(61_210), Decimal(1), NOON)


def test_alpaca_makes_its_stop_smaller_before_a_reached_target_is_sold(verdict: Verdict) -> None:
    bench = Bench(traded(admitted(verdict()), entered()), **ALPACA)
    assert legs(bench.settle()) == [Leg.STOP]
    stop = bench.orders[0].order
    bench.trade = traded(admitted(verdict()), entered(), REACHED)
    assert bench.wants() == (Amend(stop, Decimal(59_400), 1, Decimal("0.05")),)
    bench.happen(stop, "moving", "0.05", "59400")
    assert bench.wants() == ()
    bench.happen(stop, "moved", "0.05", "59400")
    (sell,) = bench.wants()
    assert isinstance(sell, Submit)
    assert (sell.intent.leg, sell.intent.kind, sell.intent.quantity) == (
        Leg.FIRST_TARGET,
        OrderKind.MARKET,
        Decimal("0.05"),
    )
    bench.place(sell)
    assert bench.wants() == ()
    bench.happen(sell.intent.client_order_id, "filled", "0.05")
    bench.trade = traded(admitted(verdict()), entered(), REACHED, TOOK)
    assert bench.wants() == ()


def test_a_target_that_is_refused_gives_its_part_back_to_the_stop_and_is_tried_again_later(
    verdict: Verdict,
) -> None:
    bench = Bench(traded(admitted(verdict()), entered()), **ALPACA)
    bench.settle()
    stop = bench.orders[0].order
    bench.trade = traded(admitted(verdict()), entered(), REACHED)
    bench.happen(stop, "moving", "0.05", "59400")
    bench.happen(stop, "moved", "0.05", "59400")
    bench.place(bench.wants()[0], "refused")
    assert bench.wants() == (Amend(stop, Decimal(59_400), 2, Decimal("0.1")),)
    bench.at = NOON + timedelta(minutes=1)
    assert legs(bench.wants()) == [Leg.FIRST_TARGET]


def test_a_target_for_all_that_is_held_needs_the_stop_gone_first(verdict: Verdict) -> None:
    whole = entered("0.003")
    bench = Bench(traded(admitted(verdict()), whole), **ALPACA)
    bench.settle()
    stop = bench.orders[0].order
    bench.trade = traded(admitted(verdict()), whole, REACHED)
    assert bench.wants() == (Cancel(stop, "the target takes what is left"),)
    bench.happen(stop, "canceling")
    assert bench.wants() == ()
    bench.happen(stop, "canceled")
    (sell,) = bench.wants()
    assert isinstance(sell, Submit)
    assert (sell.intent.leg, sell.intent.quantity) == (Leg.FIRST_TARGET, Decimal("0.003"))
    bench.place(sell, "refused")
    assert legs(bench.wants()) == [Leg.STOP]  # nothing covers it now


def test_an_exit_at_alpaca_takes_the_stop_away_first_and_puts_it_back_when_it_is_refused(
    verdict: Verdict,
) -> None:
    bench = Bench(traded(admitted(verdict()), entered()), **ALPACA)
    bench.settle()
    stop = bench.orders[0].order
    bench.trade = traded(admitted(verdict()), entered(), EXIT)
    assert bench.wants() == (Cancel(stop, "the exit takes what is held"),)
    bench.happen(stop, "canceling")
    bench.happen(stop, "canceled")
    (leave,) = bench.wants()
    assert legs([leave]) == [Leg.EXIT]
    bench.place(leave, "refused")
    (cover,) = bench.wants()
    assert legs([cover]) == [Leg.STOP]
    bench.place(cover)
    assert bench.wants() == ()
    bench.at = NOON + timedelta(minutes=1)
    assert [type(action) for action in bench.wants()] == [Cancel]


def test_an_exit_that_nobody_knows_of_is_waited_for_where_a_second_one_could_sell_short(
    verdict: Verdict,
) -> None:
    bench = Bench(traded(admitted(verdict()), entered(), EXIT), **ALPACA)
    bench.place(bench.wants()[0], "unknown")
    bench.at = NOON + timedelta(minutes=5)
    assert bench.wants() == ()
    elsewhere = Bench(traded(admitted(verdict()), entered(), EXIT), **BINANCE)
    elsewhere.place(elsewhere.wants()[0], "unknown")
    elsewhere.at = NOON + timedelta(minutes=5)
    assert legs(elsewhere.wants()) == [Leg.EXIT]


def test_a_rest_that_no_order_can_be_so_small_for_is_written_off(verdict: Verdict) -> None:
    crumbs = RecordExitFill("manual", Decimal("0.0996"), Decimal(61_200), Decimal(1), NOON)
    bench = Bench(traded(admitted(verdict()), entered(), crumbs))
    assert bench.wants() == (WriteOff(Decimal("0.0004")),)
    bench.trade = traded(admitted(verdict()), entered(), crumbs, WriteOffRest(NOON))
    assert bench.trade.phase is Phase.CLOSED


def test_what_cannot_be_left_and_has_no_stop_is_said_once(verdict: Verdict) -> None:
    bench = Bench(traded(admitted(verdict()), entered(), EXIT), **ALPACA)
    bench.place(bench.wants()[0], "unknown")
    bench.bare_since, bench.at = NOON, NOON + timedelta(seconds=6)
    (alarm,) = bench.wants()
    assert isinstance(alarm, Fail)
    bench.trade = traded(admitted(verdict()), entered(), EXIT, ReportUnprotected(alarm.detail, NOON))
    assert bench.wants() == ()
