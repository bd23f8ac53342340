from decimal import Decimal as D

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from nexus_common.contracts.instrument import Bracket, InstrumentKind
from nexus_common.contracts.limits import PROFILES, RiskSettings
from nexus_common.contracts.values import Profile
from nexus_shield.domain.sizing import (
    SizingInput,
    ceil_to_tick,
    drawdown_scale,
    fitting_leverage,
    floor_to_step,
    kelly_fraction,
    liquidation_fraction,
    size_entry,
)


def sizing(make, profile=Profile.NEXUS, **changes):
    fields = {
        "equity": D(10_000),
        "peak": D(10_000),
        "price": D(1000),
        "stop_distance": D(10),
        "leverage": None,
        "instrument": make.instrument(),
        "limits": PROFILES[profile],
        "settings": RiskSettings(),
    }
    return SizingInput(**{**fields, **changes})


def test_five_percent_of_equity_times_leverage_when_the_stop_is_near(make):
    size = size_entry(sizing(make))
    assert (size.quantity, size.leverage, size.notional, size.margin) == (D("2.500"), 5, D(2500), D(500))
    assert size.bound_by == "margin"
    # 2.5 × (10 + 0.1 % round trip of 1000)
    assert size.risk == D("27.5")


def test_one_percent_of_equity_at_the_stop_when_the_stop_is_far(make):
    size = size_entry(sizing(make, stop_distance=D(49)))
    # 100 / (49 + 1) = 2 units; at 5 × liquidation is 19.5 % away, four times the stop
    assert (size.quantity, size.leverage, size.margin) == (D("2.000"), 5, D(400))
    assert size.risk == D(100)
    assert size.bound_by == "loss at the stop"


@pytest.mark.parametrize(
    ("profile", "leverage"), [(Profile.CONSERVATIVE, 2), (Profile.NEXUS, 5), (Profile.RONIN, 10)]
)
def test_the_profile_gives_the_leverage(make, profile, leverage):
    assert fitting_leverage(sizing(make, profile)) == leverage


@pytest.mark.parametrize(
    ("profile", "leverage"), [(Profile.CONSERVATIVE, 3), (Profile.NEXUS, 10), (Profile.RONIN, 20)]
)
def test_a_hint_is_followed_up_to_the_profile_maximum(make, profile, leverage):
    assert fitting_leverage(sizing(make, profile, leverage=125)) == leverage


def test_leverage_never_exceeds_the_instrument_maximum(make):
    assert fitting_leverage(sizing(make, leverage=10, instrument=make.instrument(max_leverage=4))) == 4


def test_a_users_own_leverage_replaces_the_profile_default_but_not_a_hint(make):
    settings = RiskSettings(leverage=3)
    assert fitting_leverage(sizing(make, settings=settings)) == 3
    assert fitting_leverage(sizing(make, settings=settings, leverage=8)) == 8


def test_leverage_is_lowered_until_liquidation_is_twice_the_stop_away(make):
    # at 20 × liquidation is (0.05 - 0.004) / 1.004 = 4.58 % away; a stop at 4 % needs 8 %: 11 × gives 8.66 %
    lowered = sizing(make, Profile.RONIN, leverage=20, stop_distance=D(40))
    assert fitting_leverage(lowered) == 11
    assert liquidation_fraction(12, D("0.004")) < D("0.08") <= liquidation_fraction(11, D("0.004"))


def test_stocks_are_not_leveraged(make):
    stock = make.instrument("AAPL", kind=InstrumentKind.STOCK, step_size=D(1), tick_size=D("0.01"))
    size = size_entry(sizing(make, leverage=10, price=D(100), stop_distance=D(2), instrument=stock))
    assert (size.leverage, size.quantity, size.margin) == (1, D(5), D(500))


@pytest.mark.parametrize(
    ("equity", "scale", "quantity"),
    [
        ("10000", "1", "2.500"),
        ("9501", "1", "2.375"),
        ("9500", "0.8", "1.900"),
        ("9001", "0.8", "1.800"),
        ("9000", "0.5", "1.125"),
        ("8501", "0.5", "1.062"),
        ("8500", "0.2", "0.425"),
        ("5000", "0.2", "0.250"),
    ],
)
def test_drawdown_from_the_all_time_peak_scales_the_size(make, equity, scale, quantity):
    size = size_entry(sizing(make, equity=D(equity)))
    assert (size.scale, size.quantity) == (D(scale), D(quantity))


def test_a_size_below_the_minimum_is_no_size(make):
    tiny = size_entry(sizing(make, equity=D(1)))
    assert tiny.quantity == 0
    assert tiny.shortfall == "less than one step of 0.001"
    few = make.instrument(min_quantity=D(3))
    assert (
        size_entry(sizing(make, instrument=few)).shortfall == "quantity 2.500 is below the venue's minimum 3"
    )
    costly = make.instrument(min_notional=D(3000))
    assert "notional 2500.00" in size_entry(sizing(make, instrument=costly)).shortfall


def test_no_equity_no_size(make):
    assert size_entry(sizing(make, equity=D(-5))).quantity == 0


def test_kelly_can_only_reduce(make):
    assert size_entry(sizing(make, kelly_risk=D("0.5"))) == size_entry(sizing(make))
    less = size_entry(sizing(make, kelly_risk=D("0.001")))
    # 10 / (10 + 1)
    assert (less.quantity, less.bound_by) == (D("0.909"), "kelly")
    assert size_entry(sizing(make, kelly_risk=D(0))).quantity == 0


def test_kelly_from_a_record():
    # 60 % winners of 2 R against losers of 1 R: 0.6 - 0.4 / 2
    assert kelly_fraction(30, 20, D(60), D(20)) == D("0.4")
    assert kelly_fraction(10, 20, D(10), D(20)) == 0
    assert kelly_fraction(0, 20, D(0), D(20)) == 0


amounts = st.decimals("0.01", "10000000", places=2)
fractions = st.decimals("0.0005", "0.10", places=5)


@for_all(
    equity=amounts,
    lost=st.decimals("0", "0.9", places=3),
    price=st.decimals("0.0001", "100000", places=4),
    stop=fractions,
    hint=st.one_of(st.none(), st.integers(1, 125)),
    venue_max=st.integers(1, 125),
    step=st.sampled_from([D("0.001"), D("0.1"), D(1), D(1000)]),
    profile=st.sampled_from(list(Profile)),
    fee=st.decimals("0", "0.002", places=4),
)
def test_a_size_never_risks_or_uses_more_than_is_allowed(
    equity, lost, price, stop, hint, venue_max, step, profile, fee
):
    from nexus_common.contracts.instrument import Group, Instrument
    from nexus_common.contracts.values import Venue

    listed = Instrument(
        venue=Venue.BINANCE,
        symbol="XUSDT",
        kind=InstrumentKind.PERPETUAL,
        base="X",
        quote="USDT",
        group=Group.MEME,
        tick_size=D("0.0001"),
        step_size=step,
        min_quantity=step,
        min_notional=D(5),
        max_leverage=venue_max,
        maker_fee=fee,
        taker_fee=fee,
        maintenance_margin=D("0.005"),
    )
    given = SizingInput(
        equity=equity * (1 - lost),
        peak=equity,
        price=price,
        stop_distance=price * stop,
        leverage=hint,
        instrument=listed,
        limits=PROFILES[profile],
        settings=RiskSettings(),
    )
    size = size_entry(given)
    assert size.quantity * (given.stop_distance + price * fee * 2) <= given.equity / 100
    assert size.notional <= given.equity * D("0.05") * size.leverage
    assert size.margin <= given.equity * D("0.05")
    assert 1 <= size.leverage <= min(PROFILES[profile].max_leverage, venue_max)
    assert size.leverage == 1 or size.liquidation_distance >= 2 * given.stop_distance
    assert size.quantity % step == 0


@for_all(quantity=st.decimals("0", "1000000", places=6), step=st.decimals("0.0001", "1000", places=4))
def test_a_quantity_is_rounded_down_by_less_than_a_step(quantity, step):
    floored = floor_to_step(quantity, step)
    assert quantity - step < floored <= quantity
    assert floored % step == 0


@for_all(distance=st.decimals("0.000001", "100000", places=6), tick=st.decimals("0.0001", "100", places=4))
def test_a_stop_distance_is_rounded_up_by_less_than_a_tick(distance, tick):
    raised = ceil_to_tick(distance, tick)
    assert distance <= raised < distance + tick
    assert raised % tick == 0


@for_all(a=st.decimals("0", "1", places=4), b=st.decimals("0", "1", places=4))
def test_a_deeper_drawdown_never_gives_a_larger_scale(a, b):
    shallow, deep = sorted((a, b))
    assert drawdown_scale(deep, RiskSettings()) <= drawdown_scale(shallow, RiskSettings())


BRACKETS = (
    Bracket(D(0), D(2600), D(20), D("0.004")),
    Bracket(D(2600), D(9000), D(5), D("0.05")),
)


def test_leverage_is_that_of_the_bracket_of_what_would_be_bought(make):
    # 6 × would buy 3000, where 5 × is the most; 5 × buys 2500, where 20 × would be given
    size = size_entry(sizing(make, leverage=10, brackets=BRACKETS))
    assert (size.leverage, size.notional, size.maintenance) == (5, D(2500), D("0.004"))
    # what the loss at the stop bounds stays in the first bracket at any leverage: 100 / (40 + 1) = 2.439
    far = size_entry(sizing(make, leverage=10, stop_distance=D(40), brackets=BRACKETS))
    assert (far.leverage, far.notional) == (10, D(2439))


def test_a_brackets_bound_belongs_to_it(make):
    exact = (Bracket(D(0), D(2500), D(20), D("0.004")), Bracket(D(2500), D(9000), D(2), D("0.05")))
    assert size_entry(sizing(make, brackets=exact)).leverage == 5


def test_liquidation_is_that_of_the_brackets_maintenance_margin(make):
    # 5 × of 20,000 buys 5000 with 5 % maintenance: (0.2 - 0.05) / 1.05 = 14.29 %
    size = size_entry(sizing(make, equity=D(20_000), peak=D(20_000), brackets=BRACKETS))
    assert size.maintenance == D("0.05")
    assert size.liquidation_distance == 1000 * (D("0.2") - D("0.05")) / D("1.05")


def test_nothing_is_bought_beyond_the_last_bracket(make):
    size = size_entry(sizing(make, equity=D(100_000), peak=D(100_000), brackets=BRACKETS))
    assert size.shortfall == "notional 25000.00 is above the venue's last bracket, 9000"


def test_a_scale_that_a_user_lowered_does_not_rise_again_deeper_down():
    careful = RiskSettings(mild_scale=D("0.1"))
    assert [drawdown_scale(D(depth), careful) for depth in ("0.05", "0.10", "0.15")] == [D("0.1")] * 3
