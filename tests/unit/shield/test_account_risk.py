"""What an account's risk remembers: exposure, results, the breaker. Equity begins at 10,000."""

from datetime import timedelta
from decimal import Decimal as D

import pytest

from nexus_common.contracts.guard import GuardStanding
from nexus_common.contracts.limits import RiskSettings
from nexus_common.contracts.message import command_payload, command_type, decode_command
from nexus_common.contracts.risk import (
    ApproveExit,
    BreakerReset,
    BreakerTripped,
    DayOpened,
    EntriesHalted,
    EntriesResumed,
    ExitApproved,
    HaltEntries,
    MarkEquity,
    NotePosition,
    NoteReduction,
    NoteResult,
    PeakRaised,
    PositionNoted,
    ReleaseReservation,
    ReservationReleased,
    ResetBreaker,
    ResultNoted,
    ResumeEntries,
)
from nexus_common.contracts.values import Direction, Origin, Timeframe, Venue
from nexus_common.testing.spec import given
from nexus_shield.domain.risk import RISK

DAY = "2024-03-01"


def mark(make, equity, at=None, **settings):
    return MarkEquity(D(equity), RiskSettings(**settings), at or make.NOON)


def began(equity="10000", day=DAY):
    return (
        DayOpened(day=day, equity=D(equity)),
        PeakRaised(peak_since_reset=D(equity), peak_all_time=D(equity)),
    )


def position(make, **changes):
    fields = {
        "trade_id": "t1",
        "request_id": make.number("r"),
        "venue": Venue.BINANCE,
        "symbol": "BTCUSDT",
        "direction": Direction.LONG,
        "strategy": "trend",
        "quantity": D("2.5"),
        "entry_price": D(1000),
        "margin": D(500),
        "complete": True,
        "at": make.NOON,
    }
    return NotePosition(**{**fields, **changes})


def ended(make, profit="-25", **changes):
    fields = {
        "trade_id": "t1",
        "request_id": None,
        "symbol": "BTCUSDT",
        "strategy": "trend",
        "timeframe": Timeframe.M15,
        "reason": "stop",
        "net_profit": D(profit),
        "r_multiple": D(profit) / 25,
        "atr": D(8),
        "atr_mean": D(8),
        "equity": D(10_000),
        "settings": RiskSettings(),
        "at": make.NOON,
    }
    return NoteResult(**{**fields, **changes})


def test_a_complete_entry_replaces_its_reservation(make):
    story = given(RISK, make.approved("r")).when(position(make))
    story.then_types(PositionNoted)
    assert not story.state.reservations
    assert [e.margin for e in story.state.exposures] == [D(500)]


def test_a_filling_entry_counts_with_its_whole_reservation(make):
    story = given(RISK, make.approved("r")).when(position(make, quantity=D(1), margin=D(200), complete=False))
    assert [e.margin for e in story.state.exposures] == [D(500)]


def test_the_same_position_is_noted_once(make):
    (noted,) = given(RISK).when(position(make)).events
    given(RISK, noted).when(position(make)).then_nothing()


def test_margin_shrinks_with_the_position(make):
    (noted,) = given(RISK).when(position(make)).events
    story = given(RISK, noted).when(NoteReduction("t1", D("1.25"), make.NOON))
    assert [(e.quantity, e.margin) for e in story.events] == [(D("1.25"), D(250))]
    nothing_left = given(RISK, noted).when(NoteReduction("t1", D(0), make.NOON))
    assert nothing_left.state.exposures == ()
    given(RISK).when(NoteReduction("t1", D(1), make.NOON)).then_nothing()


def test_a_closed_trade_frees_position_and_reservation(make):
    history = (make.approved("r"), *given(RISK).when(position(make, complete=False)).events)
    story = given(RISK, *history).when(ended(make, request_id=make.number("r")))
    assert story.state.exposures == ()


def test_a_reservation_is_released_once(make):
    release = ReleaseReservation(make.number("v"), make.number("r"), "declined", make.NOON)
    released = ReservationReleased(
        verdict_id=make.number("v"), request_id=make.number("r"), reason="declined"
    )
    given(RISK, make.approved("r")).when(release).then(released)
    given(RISK, make.approved("r"), released).when(release).then_nothing()


def test_an_exit_is_approved_only_for_what_the_strategy_holds(make):
    leave = {
        "request_id": make.number("x"),
        "origin": Origin.SIGNAL,
        "venue": Venue.BINANCE,
        "symbol": "BTCUSDT",
        "direction": Direction.LONG,
        "strategy": "trend",
        "reason": "crossed back",
        "at": make.NOON,
    }
    holds = given(RISK, make.held("t1"))
    holds.when(ApproveExit(**leave)).then_types(ExitApproved)
    holds.when(ApproveExit(**{**leave, "direction": Direction.SHORT})).then_nothing()
    holds.when(ApproveExit(**{**leave, "strategy": "scalping"})).then_nothing()
    holds.when(ApproveExit(**{**leave, "symbol": "ETHUSDT"})).then_nothing()
    given(RISK, make.approved("r")).when(ApproveExit(**leave)).then_nothing()


def test_exits_go_on_whatever_pauses_entries(make):
    leave = ApproveExit(
        make.number("x"), Origin.SIGNAL, Venue.BINANCE, "BTCUSDT", Direction.LONG, "trend", "", make.NOON
    )
    tripped = BreakerTripped(reason="drawdown", equity=D(9000), detail="")
    given(RISK, make.held("t1"), tripped, EntriesHalted(by="ann")).when(leave).then_types(ExitApproved)


def test_a_losing_exit_cools_down_and_a_winning_one_does_not(make):
    (lost,) = given(RISK).when(ended(make)).events
    assert lost.cooldown_until == make.NOON + timedelta(minutes=45)
    (won,) = given(RISK).when(ended(make, "25")).events
    assert won.cooldown_until is None


def test_shark_rests_sixteen_bars_after_a_stop(make):
    (stopped,) = given(RISK).when(ended(make, strategy="shark")).events
    assert stopped.rest_until == make.NOON + timedelta(hours=4)
    (left,) = given(RISK).when(ended(make, strategy="shark", reason="signal")).events
    assert left.rest_until is None
    (other,) = given(RISK).when(ended(make)).events
    assert other.rest_until is None


def test_five_losses_in_a_row_trip_the_breaker(make):
    four = make.result("t0", "-1", 4)
    story = given(RISK, four).when(ended(make))
    story.then_types(ResultNoted, BreakerTripped)
    assert story.events[1].reason == "losing streak"
    given(RISK, make.result("t0", "-1", 3)).when(ended(make)).then_types(ResultNoted)


@pytest.mark.parametrize("profit", ["0", "10"])
def test_a_trade_without_loss_ends_the_streak(make, profit):
    story = given(RISK, make.result("t0", "-1", 4)).when(ended(make, profit))
    assert story.state.losing_streak == 0


def test_the_first_reading_opens_the_day_and_the_peak(make):
    given(RISK).when(mark(make, "10000")).then(*began())


def test_a_quiet_reading_records_nothing(make):
    for equity in ("10000", "10009.99", "9700.01"):
        given(RISK, *began()).when(mark(make, equity)).then_nothing()


def test_a_peak_is_raised_by_a_thousandth(make):
    given(RISK, *began()).when(mark(make, "10010")).then(
        PeakRaised(peak_since_reset=D(10010), peak_all_time=D(10010))
    )


def test_a_new_day_counts_anew(make):
    midnight = make.NOON + timedelta(hours=12)
    story = given(RISK, *began()).when(mark(make, "9800", midnight))
    story.then(DayOpened(day="2024-03-02", equity=D(9800)))
    given(RISK, *began(), *story.events).when(mark(make, "9506.01", midnight)).then_nothing()
    given(RISK, *began(), *story.events).when(mark(make, "9506", midnight)).then_types(BreakerTripped)


def test_three_percent_in_a_day_trip_the_breaker_once(make):
    story = given(RISK, *began()).when(mark(make, "9700"))
    story.then_types(BreakerTripped)
    assert story.events[0].reason == "daily loss"
    given(RISK, *began(), *story.events).when(mark(make, "9600")).then_nothing()


def test_ten_percent_below_the_peak_trip_the_breaker(make):
    history = (*began(), DayOpened(day=DAY, equity=D(9200)))
    given(RISK, *history).when(mark(make, "9000.01")).then_nothing()
    story = given(RISK, *history).when(mark(make, "9000"))
    assert [event.reason for event in story.events] == ["drawdown"]


def test_a_reset_starts_the_breakers_own_peak_streak_and_day_anew(make):
    tripped = BreakerTripped(reason="drawdown", equity=D(9000), detail="")
    history = (*began(), make.result("t0", "-1", 4), tripped)
    story = given(RISK, *history).when(ResetBreaker("ann", D(9000), make.NOON))
    story.then(BreakerReset(by="ann", equity=D(9000)))
    state = story.state
    assert (state.breaker, state.losing_streak, state.day_equity) == (None, 0, D(9000))
    assert (state.peak_since_reset, state.peak_all_time) == (D(9000), D(10_000))
    after = given(RISK, *history, *story.events)
    after.when(mark(make, "8730.01")).then_nothing()
    after.when(mark(make, "8730")).then_types(BreakerTripped)
    higher = after.when(mark(make, "9100"))
    higher.then(PeakRaised(peak_since_reset=D(9100), peak_all_time=D(10_000)))


def test_a_kill_is_noted_once_and_ends_when_the_owner_resumes(make):
    halt, resume = HaltEntries("ann", make.NOON), ResumeEntries("ann", GuardStanding(), make.NOON)
    given(RISK).when(halt).then(EntriesHalted(by="ann"))
    given(RISK, EntriesHalted(by="ann")).when(halt).then_nothing()
    given(RISK, EntriesHalted(by="ann")).when(resume).then(EntriesResumed(by="ann"))
    given(RISK).when(resume).then_nothing()


def test_resuming_lifts_the_sentinels_block_that_stands_now(make):
    until = make.NOON + timedelta(hours=4)
    resume = ResumeEntries("ann", GuardStanding(black_swan_until=until), make.NOON)
    lifted = EntriesResumed(by="ann", longs_free_until=until)
    given(RISK).when(resume).then(lifted)
    given(RISK, lifted).when(resume).then_nothing()
    over = ResumeEntries("ann", GuardStanding(amber_until=make.NOON), make.NOON)
    given(RISK).when(over).then_nothing()


def test_commands_decide_the_same_after_they_were_stored(make):
    for command in (make.assess(), ended(make), position(make), mark(make, "10000")):
        stored = decode_command(command_type(type(command)), command_payload(command))
        assert stored == command
        assert RISK.decide(stored, RISK.initial) == RISK.decide(command, RISK.initial)
