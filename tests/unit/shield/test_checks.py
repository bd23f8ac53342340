"""Every rule of a verdict with worked numbers: Ann's account of 10,000, profile Nexus, a long at 1000."""

from datetime import timedelta
from decimal import Decimal as D

import pytest

from nexus_common.contracts.assessment import Peer
from nexus_common.contracts.guard import GuardStanding
from nexus_common.contracts.instrument import Group
from nexus_common.contracts.limits import RiskSettings
from nexus_common.contracts.risk import (
    BreakerTripped,
    EntriesHalted,
    EntriesResumed,
    EntryApproved,
    EntryRefused,
    PeakRaised,
    ReservationReleased,
)
from nexus_common.contracts.values import Direction, Origin, Profile, Timeframe, Venue
from nexus_common.testing.spec import given
from nexus_shield.domain.checks import CHECKS
from nexus_shield.domain.risk import RISK

MINUTE = timedelta(minutes=1)


def verdict(*history, command):
    (event,) = given(RISK, *history).when(command).events
    return event


def failures(*history, command):
    event = verdict(*history, command=command)
    return [check.name for check in event.checks if not check.passed]


def by_hand(make, **changes):
    fields = {"origin": Origin.MANUAL, "strategy": "manual", "within_regime": False}
    return make.request(**{**fields, **changes})


def test_a_good_entry_is_approved_with_every_check_listed(make):
    event = verdict(command=make.assess())
    assert isinstance(event, EntryApproved)
    assert [check.name for check in event.checks] == [name for name, _ in CHECKS]
    assert all(check.passed and check.detail for check in event.checks)
    assert (event.quantity, event.leverage, event.margin, event.notional) == (D("2.500"), 5, D(500), D(2500))
    assert (event.stop, event.risk, event.equity) == (D(990), D("27.5"), D(10_000))


def test_a_refusal_names_the_first_failure_and_lists_all(make):
    guard = GuardStanding(black_swan_until=make.NOON + MINUTE)
    command = make.assess(guard=guard, strategy="shark", feed_lost="silence")
    event = verdict(EntriesHalted(by="ann"), command=command)
    assert isinstance(event, EntryRefused)
    assert event.reason == "halted"
    assert [c.name for c in event.checks if not c.passed] == ["halted", "black_swan", "strategy", "feed"]
    assert len(event.checks) == len(CHECKS)


def test_confidence_does_not_size(make):
    sizes = {
        verdict(command=make.assess(request=make.request(confidence=D(c)))).quantity
        for c in ("0.01", "0.5", "1")
    }
    assert len(sizes) == 1


def test_nobody_trades_with_another_ones_account(make):
    assert failures(command=make.assess(asked_by="bob")) == ["owner"]


def test_what_is_not_listed_is_not_traded(make):
    assert failures(command=make.assess(instrument=None))[0] == "instrument"


def test_a_kill_stops_signals_and_hands(make):
    assert failures(EntriesHalted(by="ann"), command=make.assess()) == ["halted"]
    assert failures(EntriesHalted(by="ann"), command=make.assess(request=by_hand(make))) == ["halted"]
    assert failures(EntriesHalted(by="ann"), EntriesResumed(by="ann"), command=make.assess()) == []


def test_the_breaker_stops_signals_only(make):
    tripped = BreakerTripped(reason="daily loss", equity=D(9700), detail="3 %")
    assert failures(tripped, command=make.assess()) == ["breaker"]
    assert failures(tripped, command=make.assess(request=by_hand(make))) == []


@pytest.mark.parametrize(("block", "by_hand_too"), [("black_swan", True), ("amber", False)])
def test_the_sentinel_blocks_crypto_longs(make, block, by_hand_too):
    until = make.NOON + MINUTE
    guard = GuardStanding(**{f"{block}_until": until})
    assert failures(command=make.assess(guard=guard)) == [block]
    expected = [block] if by_hand_too else []
    assert failures(command=make.assess(guard=guard, request=by_hand(make))) == expected
    short = make.request(direction=Direction.SHORT)
    assert failures(command=make.assess(guard=guard, request=short)) == []
    stock = make.request(venue=Venue.ALPACA)
    assert failures(command=make.assess(guard=guard, request=stock)) == []


@pytest.mark.parametrize("block", ["black_swan", "amber"])
def test_the_block_ends_by_time_or_by_the_owners_word(make, block):
    until = make.NOON + MINUTE
    guard = GuardStanding(**{f"{block}_until": until})
    later = make.request(price_at=until)
    assert failures(command=make.assess(until, guard=guard, request=later)) == []
    lifted = EntriesResumed(by="ann", longs_free_until=until)
    assert failures(lifted, command=make.assess(guard=guard)) == []
    newer = GuardStanding(**{f"{block}_until": until + MINUTE})
    assert failures(lifted, command=make.assess(guard=newer)) == [block]


def test_auto_obeys_the_regime(make):
    outside = make.request(within_regime=False)
    assert failures(command=make.assess(request=outside)) == ["strategy"]
    assert failures(command=make.assess(request=outside, strategy="trend")) == []
    assert failures(command=make.assess(strategy="scalping")) == ["strategy"]


def test_a_strategy_that_is_off_is_skipped(make):
    assert failures(command=make.assess(strategies_off=("trend",))) == ["strategy"]
    assert failures(command=make.assess(strategy="trend", strategies_off=("trend",))) == ["strategy"]


def test_a_signal_past_its_time_is_refused(make):
    until = make.NOON + timedelta(seconds=5)
    assert failures(command=make.assess(until, request=make.request(valid_until=until))) == []
    late = make.assess(until + timedelta(microseconds=1), request=make.request(valid_until=until))
    assert failures(command=late) == ["validity"]


def test_no_entry_on_an_old_price_or_a_lost_feed(make):
    assert failures(command=make.assess(make.NOON + timedelta(seconds=10))) == []
    assert failures(command=make.assess(make.NOON + timedelta(seconds=11))) == ["feed"]
    assert failures(command=make.assess(feed_lost="no message for 30 s")) == ["feed"]
    assert failures(command=make.assess(unpriced=("ETHUSDT",))) == ["feed"]
    unknown = by_hand(make, price=None, price_at=None, plan=None)
    assert verdict(command=make.assess(request=unknown)).reason == "feed"


def test_the_cooldown_holds_signals_and_not_hands(make):
    cooling = make.approved("old", cooldown_until=make.NOON + MINUTE)
    free = ReservationReleased(verdict_id=make.number("v"), request_id=cooling.request_id, reason="test")
    assert failures(cooling, free, command=make.assess()) == ["cooldown"]
    assert failures(cooling, free, command=make.assess(request=by_hand(make))) == []
    other = make.request(symbol="ETHUSDT")
    assert failures(cooling, free, command=make.assess(request=other)) == []
    over = make.approved("old", cooldown_until=make.NOON)
    assert failures(over, free, command=make.assess()) == []


@pytest.mark.parametrize(
    ("timeframe", "atr", "atr_mean", "seconds"),
    [
        (Timeframe.M1, "8", "8", 300),  # 3 bars of 1m are less than 300 s
        (Timeframe.M5, "8", "8", 900),
        (Timeframe.M15, "8", "8", 2700),
        (Timeframe.M15, "4", "8", 5400),  # calm: × 2 at most
        (Timeframe.M15, "1", "8", 5400),
        (Timeframe.M15, "16", "8", 1350),  # wild: × 0.5 at least
        (Timeframe.M15, "80", "8", 1350),
        (Timeframe.M5, "10", "8", 720),
    ],
)
def test_an_approved_entry_sets_the_cooldown(make, timeframe, atr, atr_mean, seconds):
    request = make.request(timeframe=timeframe, atr=D(atr), atr_mean=D(atr_mean))
    event = verdict(command=make.assess(request=request))
    assert event.cooldown_until == make.NOON + timedelta(seconds=seconds)


def test_shark_rests_where_it_was_stopped_out(make):
    rest = make.result("t", "-25", 1, strategy="shark", rest_until=make.NOON + MINUTE)
    shark = make.request(strategy="shark", direction=Direction.SHORT)
    assert failures(rest, command=make.assess(request=shark)) == ["rest"]
    assert failures(rest, command=make.assess()) == []
    elsewhere = make.request(strategy="shark", symbol="SOLUSDT")
    assert failures(rest, command=make.assess(request=elsewhere)) == []


def test_a_stop_over_five_percent_away_is_refused(make):
    assert failures(command=make.assess(request=make.request(plan=make.plan("50")))) == []
    assert failures(command=make.assess(request=make.request(plan=make.plan("50.1")))) == ["widest_stop"]


def test_a_stop_too_near_to_pay_for_itself_is_refused(make):
    # 4 × round-trip cost: 4 × 2 × 0.05 % of 1000 = 4; 0.2 % = 2; 5 ticks = 0.5
    assert failures(command=make.assess(request=make.request(plan=make.plan("4")))) == []
    assert failures(command=make.assess(request=make.request(plan=make.plan("3.9")))) == ["narrowest_stop"]
    cheap = make.instrument(taker_fee=D("0.0001"))
    assert failures(command=make.assess(instrument=cheap, request=make.request(plan=make.plan("2")))) == []
    narrow = make.assess(instrument=cheap, request=make.request(plan=make.plan("1.9")))
    assert failures(command=narrow) == ["narrowest_stop"]
    coarse = make.instrument(tick_size=D(2))
    assert failures(command=make.assess(instrument=coarse)) == []
    assert failures(command=make.assess(instrument=coarse, request=make.request(plan=make.plan("8")))) == [
        "narrowest_stop"
    ]


def test_a_stop_over_half_the_way_to_liquidation_is_refused(make):
    # not even unleveraged is liquidation far enough away
    fragile = make.instrument(maintenance_margin=D("0.92"))
    assert failures(command=make.assess(instrument=fragile, request=make.request(plan=make.plan("50")))) == [
        "liquidation"
    ]


def test_an_order_without_a_stop_is_refused(make):
    assert "widest_stop" in failures(command=make.assess(request=by_hand(make, plan=None)))


def test_one_position_per_instrument_and_side(make):
    assert failures(make.held("t", margin="100"), command=make.assess()) == ["one_position"]
    assert failures(make.approved("old", margin="100"), command=make.assess()) == ["one_position"]
    hand = make.assess(request=by_hand(make))
    assert failures(make.held("t", margin="100"), command=hand) == ["one_position"]
    elsewhere = make.assess(peers=(Peer(symbol="ETHUSDT", group=Group.MAJOR, correlation=D(0)),))
    assert failures(make.held("t", "ETHUSDT", margin="100"), command=elsewhere) == []


def test_a_position_is_not_turned_round(make):
    short = make.held("t", margin="100", direction=Direction.SHORT)
    assert failures(short, command=make.assess()) == ["no_flip"]


def test_a_released_reservation_makes_room(make):
    reserved = make.approved("old", margin="100")
    free = ReservationReleased(verdict_id=make.number("v"), request_id=reserved.request_id, reason="test")
    assert failures(reserved, free, command=make.assess()) == []


def test_at_most_ten_percent_of_equity_per_instrument(make):
    # the opposite side counts too: 5 % are asked for, 5 % and a little more are there
    full = make.held("t", margin="500", direction=Direction.SHORT)
    assert failures(full, command=make.assess()) == ["no_flip"]
    over = make.held("t", margin="500.01", direction=Direction.SHORT)
    assert failures(over, command=make.assess()) == ["no_flip", "per_instrument"]


def peers(*symbols, group=Group.MAJOR, correlation="0"):
    return tuple(Peer(symbol=s, group=group, correlation=D(correlation)) for s in symbols)


def test_at_most_a_quarter_of_equity_per_cluster(make):
    positions = [make.held(s, s, margin="500") for s in ("ETHUSDT", "SOLUSDT", "XRPUSDT")]
    reservation = make.approved("r", "ADAUSDT", margin="500")
    known = peers("ADAUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT")
    assert failures(*positions, reservation, command=make.assess(peers=known)) == []
    larger = make.approved("r", "ADAUSDT", margin="500.01")
    assert failures(*positions, larger, command=make.assess(peers=known)) == ["per_cluster"]
    elsewhere = peers("ADAUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT", group=Group.MEME)
    assert failures(*positions, larger, command=make.assess(peers=elsewhere)) == []


def test_at_most_seventy_percent_of_the_limit_in_one_direction(make):
    # Nexus: 70 % of 50 % = 35 % of equity; the first position alone is never too much
    long = make.held("t", "ETHUSDT", margin="3000")
    known = peers("ETHUSDT", group=Group.MEME)
    assert failures(long, command=make.assess(peers=known)) == []
    more = make.held("t", "ETHUSDT", margin="3000.01")
    assert failures(more, command=make.assess(peers=known)) == ["one_direction"]
    short = make.held("t", "ETHUSDT", margin="3000.01", direction=Direction.SHORT)
    assert failures(short, command=make.assess(peers=known)) == []


@pytest.mark.parametrize(
    ("profile", "used", "margin_asked"),
    [(Profile.CONSERVATIVE, "2500", 500), (Profile.NEXUS, "4500", 500), (Profile.RONIN, "1500", 500)],
)
def test_gross_margin_stays_within_the_profile(make, profile, used, margin_asked):
    half = D(used) / 2
    notional_free = {"quantity": D("0.001")}
    both = [
        make.held("a", "ETHUSDT", margin=str(half), **notional_free),
        make.held("b", "DOGEUSDT", margin=str(half), direction=Direction.SHORT, **notional_free),
    ]
    known = peers("DOGEUSDT", "ETHUSDT", group=Group.MEME)
    # a stop of 0.1 % × 1.5 would be too near: the plan is 1 %
    command = make.assess(profile=profile, peers=known)
    event = verdict(*both, command=command)
    assert isinstance(event, EntryApproved)
    assert event.margin == margin_asked
    over = [*both, make.held("c", "WIFUSDT", margin="0.01", **notional_free)]
    names = failures(
        *over, command=make.assess(profile=profile, peers=(*known, *peers("WIFUSDT", group=Group.MEME)))
    )
    assert names == ["gross_margin"]


@pytest.mark.parametrize(
    ("profile", "room"), [(Profile.CONSERVATIVE, 9000), (Profile.NEXUS, 27_500), (Profile.RONIN, 35_000)]
)
def test_gross_notional_stays_within_the_profile(make, profile, room):
    """Limits 1, 3 and 4 × equity; the entry itself takes 1000, 2500 and 5000."""
    known = peers("ETHUSDT", group=Group.MEME)
    full = make.held("a", "ETHUSDT", margin="1", quantity=D(room) / 1000)
    assert failures(full, command=make.assess(profile=profile, peers=known)) == []
    over = make.held("a", "ETHUSDT", margin="1", quantity=D(room + 1) / 1000)
    assert failures(over, command=make.assess(profile=profile, peers=known)) == ["gross_notional"]


def test_at_most_two_positions_that_move_alike(make):
    held = [make.held(s, s, margin="100") for s in ("ETHUSDT", "SOLUSDT")]
    alike = peers("ETHUSDT", correlation="0.86")
    assert failures(*held, command=make.assess(peers=(*alike, *peers("SOLUSDT", correlation="0.85")))) == []
    assert failures(*held, command=make.assess(peers=(*alike, *peers("SOLUSDT", correlation="0.851")))) == [
        "correlated"
    ]
    unknown = Peer(symbol="SOLUSDT", group=Group.MAJOR, correlation=None)
    assert failures(*held, command=make.assess(peers=(*alike, unknown))) == ["correlated"]


def test_limits_refuse_instead_of_shrinking(make):
    event = verdict(
        make.held("t", "ETHUSDT", margin="3400"),
        command=make.assess(peers=peers("ETHUSDT", group=Group.MEME)),
    )
    assert event.reason == "one_direction"
    (check,) = [c for c in event.checks if not c.passed]
    assert check.detail == ("margin in the direction long 3400 + 500, at most 3500 = 35 % of equity 10000")


def test_conservative_stretches_stop_and_target(make):
    event = verdict(command=make.assess(profile=Profile.CONSERVATIVE))
    assert (event.plan.stop_distance, event.plan.target_distance) == (D("15.0"), D("30.0"))
    assert event.plan.trail_distance == D(15)
    assert event.stop == D(985)
    hand = verdict(command=make.assess(profile=Profile.CONSERVATIVE, request=by_hand(make)))
    assert hand.plan.stop_distance == D(10)


def test_the_stop_is_a_whole_number_of_ticks_further_away(make):
    event = verdict(command=make.assess(request=make.request(plan=make.plan("10.01"))))
    assert (event.plan.stop_distance, event.stop) == (D("10.1"), D("989.9"))
    short = make.request(direction=Direction.SHORT, plan=make.plan("10.01"))
    assert verdict(command=make.assess(request=short)).stop == D("1010.1")


def test_drawdown_from_the_all_time_peak_scales_the_verdict(make):
    peak = PeakRaised(peak_since_reset=D(11_000), peak_all_time=D(11_000))
    event = verdict(peak, command=make.assess())
    # 9.09 % down: × 0.8 of 2.5
    assert event.quantity == D("2.000")


def test_kelly_reduces_once_thirty_trades_say_so(make):
    # 15 winners of 1 R, 15 losers of 1 R: Kelly says nothing is worth a risk
    history = [make.result(f"t{i}", "1", 0, r="1" if i % 2 else "-1") for i in range(30)]
    settings = RiskSettings(kelly=True)
    assert failures(*history, command=make.assess(settings=settings)) == ["size"]
    assert failures(*history[:29], command=make.assess(settings=settings)) == []
    assert failures(*history, command=make.assess()) == []


def test_a_stop_as_wide_as_allowed_is_not_rounded_beyond_it(make):
    price = D("99.999")
    plan = make.request().plan.model_copy(update={"stop_distance": D("0.05") * price})
    request = by_hand(make, price=price, plan=plan)
    assert failures(command=make.assess(request=request)) == []
