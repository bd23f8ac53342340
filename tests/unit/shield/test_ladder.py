"""Ladders: their size, what they reserve, and where they are refused. Equity 10,000, centre 1000, ATR 10."""

from datetime import timedelta
from decimal import Decimal as D

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import given as for_all
from hypothesis import strategies as st

from nexus_common.contracts.instrument import Bracket, InstrumentKind
from nexus_common.contracts.limits import PROFILES, RiskSettings
from nexus_common.contracts.risk import (
    ApproveExit,
    EntryApproved,
    EntryRefused,
    ExitApproved,
    NotePosition,
    NoteReduction,
    PositionNoted,
    ReleaseReservation,
    ReservationReleased,
)
from nexus_common.contracts.signal import Action, LadderPlan
from nexus_common.contracts.values import Direction, Origin, Profile, Timeframe, Venue
from nexus_common.testing.spec import given
from nexus_shield.domain.ladder import size_ladder
from nexus_shield.domain.requests import request_of_signal
from nexus_shield.domain.risk import RISK
from nexus_shield.domain.sizing import SizingInput

PLAN = LadderPlan(centre=D(1000), spacing=D(4), levels=5, stop_beyond=D(10))


def wanted(make, name="grid", **changes):
    fields = {
        "strategy": "grid",
        "timeframe": Timeframe.H1,
        "plan": make.plan("30", "4", "4"),
        "atr": D(10),
        "ladder": PLAN,
    }
    return make.request(name, **{**fields, **changes})


def verdict(make, request=None, before=(), **context):
    command = make.assess(request=request or wanted(make), **context)
    (event,) = given(RISK, *before).when(command).events
    return event


def checks(event):
    return {check.name: check for check in event.checks}


# -- size ---------------------------------------------------------------------------------------------


def test_the_margin_of_all_ten_orders_is_the_margin_of_one_entry(make):
    approved = verdict(make)
    # 10,000 × 5 % × 5 over ten orders of 1000 each
    assert approved.ladder.level_quantity == D("0.25")
    assert (approved.quantity, approved.notional, approved.margin) == (D("1.25"), D(2500), D(500))
    assert (approved.leverage, approved.stop, approved.plan.stop_distance) == (5, D(970), D(30))
    # One side full at 4, 8, 12, 16, 20 from the centre and stopped at 30: 26 + 22 + 18 + 14 + 10 a unit, and its fees.
    assert PLAN.full_side_loss == 90
    assert approved.risk == D("0.25") * (90 + 5 * 1000 * D("0.001"))


def test_the_loss_of_one_full_side_at_the_stop_bounds_it_too(make):
    approved = verdict(make, settings=RiskSettings(risk_fraction=D("0.001")))
    assert approved.ladder.level_quantity == D("0.105")
    assert approved.risk <= 10 < approved.risk + D("0.001") * 95
    assert "loss at the stop" in checks(approved)["size"].detail


def test_the_levels_lie_on_the_price_grid(make):
    odd = LadderPlan(centre=D("1000.04"), spacing=D("4.07"), levels=5, stop_beyond=D("9.99"))
    plan = verdict(make, wanted(make, ladder=odd)).ladder.plan
    assert (plan.centre, plan.spacing, plan.stop_beyond) == (D("1000.0"), D("4.1"), D("10.0"))


def test_a_conservative_profile_stretches_the_whole_ladder(make):
    approved = verdict(make, profile=Profile.CONSERVATIVE)
    plan = approved.ladder.plan
    assert (plan.spacing, plan.stop_beyond, plan.centre) == (D(6), D(15), D(1000))
    assert (approved.plan.stop_distance, approved.plan.target_distance) == (D(45), D(6))


@pytest.mark.parametrize(
    ("listed", "reason", "words"),
    [
        ({"kind": InstrumentKind.STOCK, "venue": Venue.ALPACA}, "ladder", "wash trades"),
        ({"min_notional": D(300)}, "size", "at the lowest level is below the venue's minimum notional 300"),
        ({"min_quantity": D("0.5")}, "size", "0.25 a level is below the venue's minimum 0.5"),
        ({"step_size": D(1)}, "size", "less than one step of 1 a level"),
    ],
)
def test_where_its_orders_cannot_rest_it_is_refused(make, listed, reason, words):
    refused = verdict(make, instrument=make.instrument(**listed))
    assert isinstance(refused, EntryRefused)
    assert refused.reason == reason
    assert words in checks(refused)[reason].detail


@for_all(
    equity=st.integers(500, 1_000_000),
    spacing=st.integers(1, 60),
    beyond=st.integers(1, 150),
    leverage=st.integers(1, 20),
    peak=st.integers(0, 40),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_ladder_risks_or_binds_more_than_one_entry_may(make, equity, spacing, beyond, leverage, peak):
    plan = LadderPlan(centre=D(1000), spacing=D(spacing) / 10, levels=5, stop_beyond=D(beyond) / 10)
    allowed = RiskSettings()
    size = size_ladder(
        SizingInput(
            equity=D(equity),
            peak=D(equity) * (100 + peak) / 100,
            price=D(1000),
            stop_distance=plan.reach,
            leverage=leverage,
            instrument=make.instrument(),
            limits=PROFILES[Profile.RONIN],
            settings=allowed,
        ),
        plan,
    )
    assert size.margin <= equity * allowed.margin_fraction * size.scale
    assert size.risk <= equity * allowed.risk_fraction * size.scale
    assert size.quantity % (5 * D("0.001")) == 0


def test_the_bracket_that_one_full_side_falls_into_grants_the_leverage(make):
    """At 20 × one entry would lose 18 at the stop with a worth of 4,500, one side of the ladder with 6,000."""
    size = size_ladder(
        SizingInput(
            equity=D(12_000),
            peak=D(12_000),
            price=D(1000),
            stop_distance=D(3),
            leverage=20,
            instrument=make.instrument(),
            limits=PROFILES[Profile.RONIN],
            settings=RiskSettings(risk_fraction=D("0.0015")),
            brackets=(
                Bracket(D(0), D(5_000), D(20), D("0.01")),
                Bracket(D(5_000), D(90_000), D(5), D("0.02")),
            ),
        ),
        LadderPlan(centre=D(1000), spacing=D("0.4"), levels=5, stop_beyond=D(1)),
    )
    assert size.leverage == 5
    assert (size.notional, size.margin) == (D(3_000), D(600))


def test_a_side_that_is_beyond_the_venues_last_bracket_is_no_size(make):
    table = (Bracket(D(0), D(500), D(20), D("0.01")),)
    refused = verdict(make, brackets=table)
    assert isinstance(refused, EntryRefused)
    assert "last bracket" in checks(refused)["size"].detail


# -- what it reserves ---------------------------------------------------------------------------------


def test_it_is_one_decision_that_binds_its_margin_until_it_is_closed(make):
    before = verdict(make)
    noted = NotePosition(
        trade_id="t1",
        request_id=before.request_id,
        venue=Venue.BINANCE,
        symbol="BTCUSDT",
        direction=Direction.SHORT,
        strategy="grid",
        quantity=D("0.25"),
        entry_price=D(1004),
        margin=D("50.2"),
        complete=False,
        at=make.NOON,
    )
    story = given(RISK, before).when(noted).then_types(PositionNoted)
    held = story.state
    (exposure,) = held.exposures
    assert (exposure.margin, exposure.notional, exposure.direction) == (D(500), D(2500), Direction.LONG)
    assert held.holdings["t1"].exposure.direction is Direction.SHORT
    flat = given(RISK, before, *story.events).when(NoteReduction("t1", D(0), make.NOON)).state
    assert (dict(flat.holdings), len(flat.reservations)) == ({}, 1)
    released = ReleaseReservation(make.number("v"), before.request_id, "abandoned", make.NOON)
    assert given(RISK, before).when(released).then_types(ReservationReleased).state.exposures == ()


@pytest.mark.parametrize("direction", list(Direction))
def test_nothing_else_is_entered_where_a_ladder_stands(make, direction):
    before = verdict(make)
    at = make.NOON + timedelta(hours=6)
    other = make.request("other", direction=direction, price_at=at, valid_until=at + timedelta(minutes=15))
    (refused,) = given(RISK, before).when(make.assess(at=at, request=other)).events
    assert isinstance(refused, EntryRefused)
    assert refused.reason in ("one_position", "no_flip")


def test_its_closing_signal_reaches_it_whatever_it_holds(make):
    before = verdict(make)
    leave = ApproveExit(
        request_id=make.number("close"),
        origin=Origin.SIGNAL,
        venue=Venue.BINANCE,
        symbol="BTCUSDT",
        direction=Action.CLOSE_GRID.direction,
        strategy="grid",
        reason="ADX 27 is over 25",
        at=make.NOON,
    )
    given(RISK, before).when(leave).then_types(ExitApproved)
    given(RISK).when(leave).then_nothing()


def test_a_signal_brings_its_ladder_along(make):
    signal = make.signal(strategy="grid", action=Action.OPEN_GRID, ladder=PLAN)
    request = request_of_signal(signal, make.number("s"), RiskSettings())
    assert (request.ladder, request.direction) == (PLAN, Direction.LONG)
    assert isinstance(verdict(make), EntryApproved)
