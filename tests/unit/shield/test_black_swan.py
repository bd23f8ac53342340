"""A fall of BTC, read from bars. Prices in thousands for easy percents."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal as D
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from nexus_common.contracts.guard import (
    AmberRaised,
    BlackSwanDeclared,
    DeclareFall,
    FallMeasure,
    GuardReleased,
    ReleaseGuard,
)
from nexus_common.contracts.limits import GuardSettings
from nexus_common.contracts.signal import Action
from nexus_common.contracts.values import Venue
from nexus_common.testing.spec import given
from nexus_shield.domain.black_swan import FallBar, FallWatch, read_fall
from nexus_shield.domain.guard import GUARD

SETTINGS = GuardSettings()
T0 = datetime(2024, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
SHARED = Path(__file__).parents[4] / "shared" / "data" / "ohlcv" / "binance_spot" / "BTCUSDT-1m.parquet"


def bar(minute, *prices, length=1):
    """The bar that opens `minute` minutes after 12:00: open, high, low, close."""
    opened = T0 + minute * MINUTE
    return FallBar(opened, opened + length * MINUTE, *(D(str(price)) for price in prices))


def flat(minute, price):
    return bar(minute, price, price, price, price)


def readings(*bars):
    watch, seen = FallWatch(), []
    for each in bars:
        watch, reading = read_fall(watch, each, SETTINGS)
        seen.append(reading)
    return seen


def test_a_bar_becomes_four_ticks_with_the_nearer_extreme_first():
    assert [price for _, price in bar(0, 100, 101, 90, 95).ticks()] == [100, 101, 90, 95]
    assert [price for _, price in bar(0, 100, 110, 99, 105).ticks()] == [100, 99, 110, 105]
    assert [at - T0 for at, _ in bar(0, 100, 101, 90, 95).ticks()] == [
        timedelta(seconds=s) for s in (0, 20, 40, 60)
    ]


def test_four_percent_below_the_open_of_the_15m_candle_is_a_black_swan():
    slow = [flat(m, 1000 - 5 * m) for m in range(8)]  # never 4 % within five minutes
    assert all(r is None or r.black_swan is None for r in readings(*slow))
    evidence = readings(*slow, flat(8, 960))[-1].black_swan
    assert (evidence.measure, evidence.reference_price) == (FallMeasure.CANDLE_OPEN, D(1000))
    assert (evidence.price, evidence.fall_percent) == (D(960), D("4.0000"))
    assert evidence.reference_at == T0


def test_the_candle_begins_anew_every_quarter():
    slow = [flat(m, 1000 - 3 * m) for m in range(14)]
    assert readings(*slow, flat(14, 958))[-1].black_swan is not None
    assert readings(*slow, flat(15, 958))[-1] is None


def test_four_percent_below_the_highest_price_of_five_minutes_is_a_black_swan():
    rise_and_fall = [flat(0, 1000), bar(14, 1000, 1050, 1000, 1050), flat(15, 1008)]
    evidence = readings(*rise_and_fall)[-1].black_swan
    assert (evidence.measure, evidence.reference_price) == (FallMeasure.FIVE_MINUTE_HIGH, D(1050))
    assert evidence.price_at == T0 + 15 * MINUTE


def test_a_high_older_than_five_minutes_is_forgotten():
    high = bar(8, 1000, 1050, 1000, 1040)  # at 12:08:40
    assert readings(flat(0, 1000), high, flat(13, 1005))[-1].black_swan is not None
    assert readings(flat(0, 1000), high, flat(14, 1005))[-1].black_swan is None


def test_a_bad_print_exits_nobody():
    """The low is 10 % down, the close is back."""
    assert readings(flat(0, 1000), bar(1, 1000, 1000, 900, 999))[-1] is None
    half = readings(flat(0, 1000), bar(1, 1000, 1000, 900, 970))[-1]
    assert half.black_swan is None
    assert half.amber.price == D(900)


def test_a_bad_print_upwards_is_no_high_to_fall_from():
    assert readings(flat(0, 1000), bar(1, 1000, 1100, 1000, 1000), flat(2, 1000)) == [None, None, None]
    assert readings(flat(14, 1000), bar(15, 1100, 1100, 1000, 1000), flat(16, 1000)) == [None, None, None]
    after = readings(flat(0, 1000), bar(1, 1000, 1100, 1000, 1000), flat(2, 965))[-1].black_swan
    assert after.reference_price == D(1020)


def test_a_market_that_opens_higher_and_stays_there_has_a_high_to_fall_from():
    evidence = readings(flat(14, 1000), flat(15, 1100), flat(16, 1050))[-1].black_swan
    assert (evidence.measure, evidence.reference_price) == (FallMeasure.CANDLE_OPEN, D(1100))


def test_the_close_confirms_and_says_so():
    evidence = readings(flat(0, 1000), bar(1, 1000, 1000, 950, 955))[-1].black_swan
    assert evidence.price == D(950)
    assert evidence.price_at == T0 + timedelta(seconds=100)
    assert evidence.confirmed_by == "the close 955 of the bar ending 2024-03-01T12:02:00.000000Z"


def test_two_percent_is_amber_only():
    reading = readings(flat(0, 1000), flat(1, 980))[-1]
    assert reading.black_swan is None
    assert reading.amber.fall_percent == D("2.0000")
    assert readings(flat(0, 1000), flat(1, D("980.1")))[-1] is None


def test_five_minute_bars_do_as_well():
    fall = bar(5, 1000, 1001, 940, 945, length=5)
    assert readings(bar(0, 1000, 1000, 1000, 1000, length=5), fall)[-1].black_swan is not None


def test_a_bar_heard_again_changes_nothing():
    watch, _ = read_fall(FallWatch(), flat(0, 1000), SETTINGS)
    fallen = flat(1, 950)
    once, reading = read_fall(watch, fallen, SETTINGS)
    assert reading is not None
    assert read_fall(once, fallen, SETTINGS) == (once, None)


@for_all(steps=st.lists(st.integers(-30, 30), min_size=30, max_size=60))
def test_five_minutes_and_one_candle_are_all_that_counts(steps):
    """A watch that begins anew on a full quarter says the same once five minutes have passed."""
    price, series = 1000, []
    for minute, step in enumerate(steps):
        before, price = price, max(500, price + step)
        series.append(bar(minute, before, max(before, price), min(before, price), price))
    whole = readings(*series)
    late = readings(*series[15:])
    assert late[6:] == whole[21:]


def declare(at, swan=None, amber=None):
    return DeclareFall(Venue.BINANCE, "BTCUSDT", swan, amber, SETTINGS, at)


def evidence():
    reading = readings(flat(0, 1000), flat(1, 950))[-1]
    return reading.black_swan


def test_a_fall_is_declared_once_and_blocks_longs_for_four_hours():
    story = given(GUARD).when(declare(T0, evidence(), evidence()))
    (declared,) = story.events
    assert isinstance(declared, BlackSwanDeclared)
    assert (declared.action, declared.confidence) == (Action.EXIT_LONG, D("1.0"))
    assert declared.longs_blocked_until == T0 + timedelta(hours=4)
    given(GUARD, declared).when(declare(T0 + MINUTE, evidence(), evidence())).then_nothing()


def test_only_a_release_arms_the_rule_again():
    (declared,) = given(GUARD).when(declare(T0, evidence())).events
    late = T0 + timedelta(hours=5)
    given(GUARD, declared).when(declare(late, evidence())).then_nothing()
    given(GUARD, declared).when(ReleaseGuard("resumed by ann", T0)).then(
        GuardReleased(reason="resumed by ann")
    )
    released = GuardReleased(reason="resumed by ann")
    given(GUARD, declared, released).when(declare(late, evidence())).then_types(BlackSwanDeclared)
    given(GUARD).when(ReleaseGuard("resumed by ann", T0)).then_nothing()


def test_amber_blocks_for_half_an_hour_and_is_not_repeated_meanwhile():
    (raised,) = given(GUARD).when(declare(T0, amber=evidence())).events
    assert isinstance(raised, AmberRaised)
    assert raised.longs_blocked_until == T0 + timedelta(minutes=30)
    given(GUARD, raised).when(declare(T0 + 29 * MINUTE, amber=evidence())).then_nothing()
    given(GUARD, raised).when(declare(T0 + 30 * MINUTE, amber=evidence())).then_types(AmberRaised)
    given(GUARD, raised).when(declare(T0 + MINUTE, evidence(), evidence())).then_types(BlackSwanDeclared)


def recorded_bars(since, until):
    frame = pl.read_parquet(SHARED).filter(
        pl.col("open_time").is_between(
            int(since.timestamp() * 1000), int(until.timestamp() * 1000), closed="left"
        )
    )
    for open_time, *prices, _volume in frame.iter_rows():
        opened = datetime.fromtimestamp(open_time / 1000, UTC)
        yield FallBar(opened, opened + MINUTE, *(D(str(price)) for price in prices))


@pytest.mark.skipif(not SHARED.exists(), reason="the recorded market is not beside this checkout")
def test_the_crash_of_may_2021_is_declared_at_the_minute_it_happened():
    state, watch, declared = GUARD.initial, FallWatch(), []
    for each in recorded_bars(datetime(2021, 5, 17, tzinfo=UTC), datetime(2021, 5, 21, tzinfo=UTC)):
        watch, reading = read_fall(watch, each, SETTINGS)
        if state.black_swan_until is not None and each.closed >= state.black_swan_until:
            state = GUARD.fold(GUARD.decide(ReleaseGuard("its time is over", each.closed), state), state)
        if reading is None:
            continue
        events = GUARD.decide(declare(each.closed, reading.black_swan, reading.amber), state)
        declared.extend(each.closed for event in events if isinstance(event, BlackSwanDeclared))
        state = GUARD.fold(events, state)
    assert [f"{at:%m-%d %H:%M}" for at in declared] == ["05-19 11:32", "05-20 01:13", "05-20 16:08"]
