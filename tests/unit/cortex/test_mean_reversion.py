"""Mean reversion: what its rules ask for, one threshold at a time, then on candles."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_common.contracts.signal import Action
from nexus_common.contracts.values import Timeframe
from nexus_cortex.domain.strategies.mean_reversion import (
    DIVERGENCE_BARS,
    MEAN_REVERSION,
    MeanReversionParameters,
    confidence,
    divergence,
)
from unit.cortex.markets import calm, candles, changed, judged, line, rules, squeezed, stub

LONG, SHORT, OUT_LONG, OUT_SHORT = Action.ENTER_LONG, Action.ENTER_SHORT, Action.EXIT_LONG, Action.EXIT_SHORT
H1 = Timeframe.H1


def low_again(back: int = 5, **change: object):
    """A low of 90 with RSI 30 after one of 92, `back` candles ago, with RSI 20; all others lie at 95 and 40."""
    lows, rsi = [95.0] * 21 + [90.0], [40.0] * 21 + [30.0]
    if back:
        lows[21 - back], rsi[21 - back] = 92.0, 20.0
    figures = {"low": lows, "high": 101.0, "close": 91.0, "rsi14": rsi}
    bands = {"bb_lower": 91.0, "bb_middle": 97.0, "bb_upper": 103.0}
    return stub(H1, 21, **figures | bands | change)


def high_again(back: int = 5):
    """The mirror of `low_again` around 100."""
    lows, rsi = [95.0] * 21 + [90.0], [40.0] * 21 + [30.0]
    lows[21 - back], rsi[21 - back] = 92.0, 20.0
    figures = {"high": [200.0 - low for low in lows], "low": 99.0, "close": 109.0}
    bands = {"bb_lower": 97.0, "bb_middle": 103.0, "bb_upper": 109.0}
    return stub(H1, 21, rsi14=[100.0 - each for each in rsi], **figures, **bands)


def test_it_enters_long_for_the_middle_band() -> None:
    entry = judged(MEAN_REVERSION, low_again())[LONG]

    assert entry.failed_rule is None
    assert entry.plan is not None
    assert entry.plan.stop_distance == Decimal(4)
    assert entry.plan.target_distance == Decimal(6)
    assert entry.plan.trail_distance == Decimal(3)
    assert entry.plan.time_stop_bars == 96
    assert entry.bound_to_regime
    assert entry.reasons == (
        "The close 91 is at or beyond the lower band 91.",
        "Momentum does not follow: low 90 after 92 5 candles ago, RSI 30.0 after 20.0.",
        "The middle band is at 97.",
    )


def test_short_is_the_mirror_of_long() -> None:
    long, short = judged(MEAN_REVERSION, low_again()), judged(MEAN_REVERSION, high_again())

    assert (list(long), list(short)) == ([OUT_SHORT, LONG], [OUT_LONG, SHORT])
    assert long[LONG].plan == short[SHORT].plan
    assert long[LONG].confidence == short[SHORT].confidence
    assert short[SHORT].failed_rule is None


@pytest.mark.parametrize(("middle", "target"), [(97.0, "6"), (95.0, "4"), (92.0, "4"), (95.5, "4.5")])
def test_the_target_is_the_middle_band_but_at_least_one_r(middle, target) -> None:
    plan = judged(MEAN_REVERSION, low_again(bb_middle=middle))[LONG].plan

    assert plan is not None
    assert (plan.stop_distance, plan.target_distance) == (Decimal(4), Decimal(target))


def test_the_target_is_at_least_one_r_of_a_wider_stop_too() -> None:
    parameters = MeanReversionParameters(stop_atr=Decimal(4))
    view = low_again(bb_middle=95.0)
    plan = judged(replace(MEAN_REVERSION, parameters=parameters), view)[LONG].plan

    assert plan is not None
    assert plan.target_distance == plan.stop_distance == Decimal(8)


@pytest.mark.parametrize(
    ("change", "actions"),
    [
        ({"close": 91.0}, [OUT_SHORT, LONG]),
        ({"close": 91.01}, [OUT_SHORT]),
        ({"close": 96.99}, [OUT_SHORT]),
        ({"close": 97.0}, [OUT_LONG, OUT_SHORT]),
        ({"close": 97.01}, [OUT_LONG]),
        ({"close": 102.99}, [OUT_LONG]),
        ({"close": 103.0}, [OUT_LONG, SHORT]),
        ({"close": 97.01, "atr14": 0.0}, []),
        ({"close": 91.0, "atr14": 0.0}, [LONG]),
    ],
)
def test_the_bands_say_who_comes_and_who_goes(change, actions) -> None:
    assert list(judged(MEAN_REVERSION, low_again(**change))) == actions


@pytest.mark.parametrize("back", [1, 2, 19, 20])
def test_the_low_before_may_be_as_far_back_as_20_candles(back) -> None:
    entry = judged(MEAN_REVERSION, low_again(back))[LONG]

    assert entry.failed_rule is None
    assert f"92 {back} candle{'s' if back > 1 else ''} ago, RSI 30.0 after 20.0" in entry.reasons[1]


def test_a_low_21_candles_ago_is_not_looked_at() -> None:
    entry = judged(MEAN_REVERSION, low_again(21))[LONG]

    assert entry.failed_rule == "divergence"
    assert "low 90 after 95 1 candle ago, RSI 30.0 after 40.0" in entry.detail


def test_of_equal_lows_the_latest_counts() -> None:
    lows, rsi = [95.0] * 22, [40.0] * 22
    lows[10] = lows[15] = 92.0
    lows[21], rsi[21] = 90.0, 30.0

    rsi[10], rsi[15] = 20.0, 35.0
    assert judged(MEAN_REVERSION, low_again(low=lows, rsi14=rsi))[LONG].failed_rule == "divergence"
    rsi[10], rsi[15] = 35.0, 20.0
    assert judged(MEAN_REVERSION, low_again(low=lows, rsi14=rsi))[LONG].failed_rule is None


@pytest.mark.parametrize(
    ("low", "rsi", "rule"),
    [
        (92.0, 30.0, "divergence"),
        (91.99, 30.0, None),
        (90.0, 20.0, "divergence"),
        (90.0, 20.01, None),
        (90.0, 20.0 + 1e-12, "divergence"),
    ],
)
def test_the_low_must_be_lower_and_rsi_higher(low, rsi, rule) -> None:
    lows, readings = [95.0] * 21 + [low], [40.0] * 21 + [rsi]
    lows[16], readings[16] = 92.0, 20.0
    entry = judged(MEAN_REVERSION, low_again(low=lows, rsi14=readings))[LONG]

    assert entry.failed_rule == rule


@pytest.mark.parametrize(("change", "rule"), [({}, "range"), ({"rsi14": 40.0}, "divergence")])
def test_it_names_the_first_rule_that_failed(change, rule) -> None:
    assert judged(MEAN_REVERSION, low_again(atr14=0.0, **change))[LONG].failed_rule == rule


_figures = st.lists(st.integers(80, 90), min_size=21, max_size=40)


@given(_figures, st.randoms(use_true_random=False))
def test_divergence_is_what_its_definition_says(lows, random) -> None:
    rsi = [float(random.randint(10, 20)) for _ in lows]
    found = divergence(stub(H1, DIVERGENCE_BARS, low=[float(low) for low in lows], rsi14=rsi), 1)

    for row, i in enumerate(range(DIVERGENCE_BARS, len(lows))):
        j = min(range(i - DIVERGENCE_BARS, i), key=lambda bar: (lows[bar], -bar))
        assert found.holds[row] == (lows[i] < lows[j] and rsi[i] > rsi[j])
        assert (found.back[row], found.extreme[row], found.rsi[row]) == (i - j, lows[j], rsi[j])


FALL = [*calm(200, swing=0.3), 99.0, 98.0, 97.2, 97.6, 98.0, 98.4, 98.7, 98.9, 98.6]
DOUBLE_BOTTOM = [*FALL, 96.8]


@pytest.mark.parametrize(
    ("market", "expected"),
    [
        pytest.param(candles(DOUBLE_BOTTOM, H1), {OUT_SHORT: None, LONG: None}, id="a weaker second fall"),
        pytest.param(
            candles([200.0 - close for close in DOUBLE_BOTTOM], H1),
            {OUT_LONG: None, SHORT: None},
            id="the mirror",
        ),
        pytest.param(
            changed(candles(DOUBLE_BOTTOM, H1), -10, low=96.5),
            {OUT_SHORT: None, LONG: "divergence"},
            id="a low that is not lower",
        ),
        pytest.param(
            candles(calm(200, swing=0.3) + line(100.0, -0.5, 6), H1),
            {OUT_SHORT: None, LONG: "divergence"},
            id="one straight fall",
        ),
        pytest.param(candles([*FALL, 97.1], H1), {OUT_SHORT: None}, id="not at the band"),
        pytest.param(candles([*DOUBLE_BOTTOM, 99.2], H1), {OUT_LONG: None}, id="back over the middle"),
        pytest.param(candles(calm(200), H1), {OUT_SHORT: None}, id="a calm market"),
        pytest.param(
            candles(squeezed(DOUBLE_BOTTOM), H1, wick=2e-8),
            {OUT_SHORT: None, LONG: "range"},
            id="moves of nothing",
        ),
        pytest.param(candles(DOUBLE_BOTTOM, H1)[-169:], {}, id="169 candles, one too few"),
        pytest.param(candles(DOUBLE_BOTTOM, H1)[-170:], {OUT_SHORT: None, LONG: None}, id="170 candles"),
    ],
)
def test_markets_by_hand(market, expected) -> None:
    assert rules(judged(MEAN_REVERSION, market)) == expected


_beyond = st.floats(-10.0, 10.0)
_gain = st.floats(-50.0, 50.0)


@given(_beyond, _beyond, _gain, _gain, st.floats(0.0, 10.0))
def test_confidence_rises_with_each_input_and_stays_a_fraction(beyond, beyond2, gain, gain2, atr) -> None:
    def of(beyond: float, gain: float) -> float:
        return float(confidence(np.array([beyond]), np.array([gain]), np.array([atr]))[0])

    low, high = of(min(beyond, beyond2), min(gain, gain2)), of(max(beyond, beyond2), max(gain, gain2))
    assert 0.0 <= low <= high <= 1.0


def test_confidence_is_full_one_atr_beyond_the_band_and_ten_points_of_rsi() -> None:
    assert confidence(np.array([0.0, 2.0]), np.array([5.0, 10.0]), np.array([2.0, 2.0])).tolist() == [
        0.625,
        1.0,
    ]
