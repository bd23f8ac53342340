"""The caps that no bug upstream can lift, per account and for entries only."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from nexus_common.contracts.order import Leg, OrderIntentRecorded, OrderKind
from nexus_common.contracts.signal import ExitPlan
from nexus_common.contracts.trade import (
    ExitReason,
    Found,
    TradeAbandoned,
    TradeAdmitted,
    TradeClosed,
    TradeReduced,
)
from nexus_common.contracts.values import (
    AccountId,
    ClientOrderId,
    Direction,
    Origin,
    Profile,
    Side,
    Symbol,
    Timeframe,
    TradeId,
    UserId,
    Venue,
)
from nexus_executor.domain.last_hop import LastHop, fold, is_awaited, refusal, too_many
from nexus_executor.domain.rules import ExecutionRules

NOON = datetime(2024, 6, 3, 12, 0, tzinfo=UTC)


def admitted(number: int, quantity: str = "1", price: str = "100") -> TradeAdmitted:
    one = Decimal(1)
    return TradeAdmitted(
        trade_id=TradeId(str(number)),
        account=AccountId("a"),
        user=UserId("u"),
        verdict_id=UUID(int=number),
        origin=Origin.SIGNAL,
        venue=Venue.BINANCE,
        symbol=Symbol("BTCUSDT"),
        direction=Direction.LONG,
        strategy="trend",
        timeframe=Timeframe.M15,
        quantity=Decimal(quantity),
        leverage=1,
        price=Decimal(price),
        plan=ExitPlan(
            stop_distance=one, target_distance=one, trail_distance=one, trail_after_r=one, time_stop_bars=1
        ),
        atr=one,
        equity=Decimal(10_000),
        entry_order=ClientOrderId(f"e{number}"),
        approved_by="pilot",
        signal_id=UUID(int=number),
    )


def closed(number: int, net: str) -> TradeClosed:
    fields: dict[str, Any] = dict.fromkeys(
        ("quantity", "entry_price", "exit_price", "atr", "gross_profit", "fees", "funding"), Decimal(1)
    )
    fields |= dict.fromkeys(("r_multiple", "return_on_margin", "return_on_equity"), Decimal(0))
    return TradeClosed(
        trade_id=TradeId(str(number)),
        account=AccountId("a"),
        user=UserId("u"),
        venue=Venue.BINANCE,
        symbol=Symbol("BTCUSDT"),
        direction=Direction.LONG,
        strategy="trend",
        timeframe=Timeframe.M15,
        reason=ExitReason.STOP,
        net_profit=Decimal(net),
        opened_at=NOON,
        closed_at=NOON,
        **fields,
    )


def asked(state: LastHop, at: datetime = NOON, quantity: str = "1", profile: Profile = Profile.NEXUS) -> Any:
    return refusal(
        state,
        quantity=Decimal(quantity),
        price=Decimal(100),
        equity=Decimal(10_000),
        profile=profile,
        rules=ExecutionRules(),
        at=at,
    )


def test_the_sixty_first_entry_within_a_minute_is_held_back() -> None:
    state = LastHop()
    for number in range(60):
        assert asked(state, NOON + timedelta(seconds=number)) is None
        state = fold(state, admitted(number), NOON + timedelta(seconds=number))
    assert "60 entries within a minute" in asked(state, NOON + timedelta(seconds=59))
    assert asked(state, NOON + timedelta(seconds=60)) is None


def test_notional_may_reach_one_and_a_fifth_of_the_profiles_limit() -> None:
    state = fold(LastHop(), admitted(1, "300"), NOON)  # 30,000 of 36,000
    assert asked(state, quantity="60") is None
    assert asked(state, quantity="60.01").startswith("last hop: gross notional")
    assert asked(LastHop(), quantity="120.01", profile=Profile.CONSERVATIVE) is not None
    assert asked(LastHop(), quantity="120.01", profile=Profile.RONIN) is None


def test_what_was_left_no_longer_counts() -> None:
    state = fold(LastHop(), admitted(1, "300"), NOON)
    reduced = TradeReduced(
        trade_id=TradeId("1"), leg="first_target", quantity=Decimal(150), price=Decimal(100)
    )
    assert fold(state, reduced, NOON).notional == 15_000
    assert fold(state, closed(1, "10"), NOON).notional == 0


def test_five_percent_lost_on_a_day_end_the_day() -> None:
    state = LastHop()
    for number in range(5):
        state = fold(state, closed(number, "-99.99"), NOON)
        assert asked(state) is None
    state = fold(state, closed(6, "-0.05"), NOON)
    assert asked(state).startswith("last hop: 500.00 lost today")
    assert asked(state, NOON + timedelta(days=1)) is None
    assert asked(fold(state, closed(7, "50"), NOON)) is None


def ordered(name: str, *, reduce_only: bool = False, close_position: bool = False) -> OrderIntentRecorded:
    return OrderIntentRecorded(
        client_order_id=ClientOrderId(name),
        trade_id=TradeId("1"),
        account=AccountId("a"),
        venue=Venue.BINANCE,
        symbol=Symbol("BTCUSDT"),
        leg=Leg.ENTRY,
        side=Side.BUY,
        kind=OrderKind.MARKET,
        quantity=Decimal(1),
        reduce_only=reduce_only,
        close_position=close_position,
    )


def test_every_order_that_may_open_something_counts_once() -> None:
    state = fold(LastHop(), admitted(1), NOON)
    assert (len(state.entries), is_awaited(state, ClientOrderId("e1"))) == (1, True)
    state = fold(state, ordered("e1"), NOON)
    assert (len(state.entries), state.awaited) == (1, ())
    state = fold(state, ordered("e1-again"), NOON)
    assert len(state.entries) == 2
    for harmless in (ordered("s", reduce_only=True), ordered("c", close_position=True)):
        assert fold(state, harmless, NOON) == state
    rules = ExecutionRules(entries_per_minute_max=2)
    assert too_many(state, rules, NOON) is not None
    assert too_many(state, rules, NOON + timedelta(minutes=1)) is None


def test_a_position_by_hand_is_at_stake_but_no_entry_of_ours() -> None:
    found = admitted(1).model_copy(update={"approved_by": Found.FILL.value})
    state = fold(LastHop(), found, NOON)
    assert (state.entries, state.awaited, state.notional) == ((), (), 100)


def test_an_entry_that_is_given_up_is_awaited_no_more() -> None:
    gone = TradeAbandoned(
        trade_id=TradeId("1"),
        account=AccountId("a"),
        verdict_id=UUID(int=1),
        symbol=Symbol("BTCUSDT"),
        reason="r",
    )
    assert fold(fold(LastHop(), admitted(1), NOON), gone, NOON).awaited == ()
