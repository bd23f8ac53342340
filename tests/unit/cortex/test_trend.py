"""Trend: what its rules ask for, one threshold at a time, then on candles."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_common.contracts.signal import Action
from nexus_common.contracts.values import Timeframe
from nexus_cortex.domain.regime import NO_MACRO
from nexus_cortex.domain.strategies.trend import TREND, TrendParameters, confidence
from nexus_market.candles import from_millis
from nexus_market.indicators import Bars
from unit.cortex.markets import DOWN, START, UP, calm, candles, changed, judged, line, rules, squeezed, stub

LONG, SHORT, OUT_LONG, OUT_SHORT = Action.ENTER_LONG, Action.ENTER_SHORT, Action.EXIT_LONG, Action.EXIT_SHORT
M15 = Timeframe.M15
BOTTOM = calm(200) + line(100.0, -0.3, 60)
VALLEY = BOTTOM + line(82.0, 0.6, 18)  # the averages cross at its last candle


def crossing(*gaps: float, adx: float = 30.0, lead: float = 10.0, **change: float):
    """One row after three of history; `gaps` are EMA20 less EMA50 of these four."""
    return stub(
        M15,
        3,
        ema20=[100.0 + gap for gap in gaps],
        ema50=100.0,
        adx14=adx,
        plus_di14=20.0 + lead,
        minus_di14=20.0,
        **change,
    )


@pytest.mark.parametrize(
    ("gaps", "crossed_at"),
    [((-1, -1, -1, 1), 3), ((-1, -1, 1, 1), 2), ((-1, 1, 1, 1), 1), ((0, 1, 1, 1), 1), ((-1, 1, -1, 1), 3)],
)
def test_it_enters_long_after_a_cross_at_one_of_the_last_three_bars(gaps, crossed_at) -> None:
    entry = judged(TREND, crossing(*gaps))[LONG]

    assert entry.failed_rule is None
    assert entry.since == from_millis(START) + (crossed_at + 1) * timedelta(minutes=15)
    assert entry.plan is not None
    assert entry.plan.stop_distance == Decimal(3)
    assert entry.plan.target_distance == Decimal(6)
    assert entry.plan.trail_distance == Decimal(3)
    assert entry.plan.trail_after_r == 1
    assert entry.plan.time_stop_bars == 96
    assert any("ADX 30.0" in reason for reason in entry.reasons)


def test_short_is_the_mirror_of_long() -> None:
    long = judged(TREND, crossing(-1, -1, 1, 2), macro=UP)
    short = judged(TREND, crossing(1, 1, -1, -2, lead=-10.0), macro=DOWN)

    assert list(long) == [OUT_SHORT, LONG]
    assert list(short) == [OUT_LONG, SHORT]
    assert long[LONG].confidence == short[SHORT].confidence
    assert long[LONG].plan == short[SHORT].plan


@pytest.mark.parametrize("gaps", [(1, 1, 1, 1), (-1, -1, -1, -1), (-1, -1, -1, 0)])
def test_it_says_nothing_without_a_cross(gaps) -> None:
    assert judged(TREND, crossing(*gaps)) == {}


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"adx": 24.9}, "adx"),
        ({"adx": 25.0}, None),
        ({"lead": 0.0}, "direction"),
        ({"lead": 0.1}, None),
        ({"adx": 24.9, "lead": -1.0}, "adx"),
        ({"atr14": 0.0}, "range"),
        ({"atr14": 0.0, "lead": -1.0}, "direction"),
    ],
)
def test_it_names_the_first_rule_that_failed(change, rule) -> None:
    entry = judged(TREND, crossing(-1, -1, -1, 1, **change))[LONG]

    assert entry.failed_rule == rule
    assert (entry.plan is None) == (rule is not None)
    assert bool(entry.detail) == (rule is not None)


def test_a_cross_that_was_undone_is_withheld() -> None:
    both = judged(TREND, crossing(-1, -1, 1, -1))

    assert both[LONG].failed_rule == "still_crossed"
    assert OUT_SHORT not in both
    assert OUT_LONG in both


def test_nobody_is_called_out_at_a_price_that_never_moved() -> None:
    assert list(judged(TREND, crossing(-1, -1, -1, 1, atr14=0.0))) == [LONG]


def test_macro_alignment_only_adds_confidence() -> None:
    rows = crossing(-1, -1, -1, 1)
    aligned, against, unknown = (judged(TREND, rows, macro=macro)[LONG] for macro in (UP, DOWN, NO_MACRO))

    assert aligned.confidence == against.confidence + Decimal("0.15")
    assert against.confidence == unknown.confidence
    assert against.failed_rule is None


def falling_lows(bars: Bars) -> Bars:
    """Ten lows each 2 deeper than the one before: the downward index leads although the closes rise."""
    for step in range(10):
        bars = changed(bars, step - 10, low=84.0 - 2.0 * step)
    return bars


@pytest.mark.parametrize(
    ("market", "expected"),
    [
        pytest.param(candles(VALLEY[:-1]), {}, id="a candle before the cross"),
        pytest.param(candles(VALLEY), {OUT_SHORT: None, LONG: None}, id="the cross"),
        pytest.param(candles([*VALLEY, 93.4, 94.0]), {OUT_SHORT: None, LONG: None}, id="two candles later"),
        pytest.param(candles([*VALLEY, 93.4, 94.0, 94.6]), {}, id="three candles later"),
        pytest.param(
            candles([200.0 - close for close in VALLEY]), {OUT_LONG: None, SHORT: None}, id="the mirror"
        ),
        pytest.param(candles(calm(201)), {}, id="a calm market"),
        pytest.param(candles(calm(200)), {OUT_LONG: None, SHORT: "adx"}, id="a cross in a calm market"),
        pytest.param(
            candles(calm(200) + line(100.0, 0.08, 4)), {OUT_SHORT: None, LONG: "adx"}, id="a slow rise"
        ),
        pytest.param(
            falling_lows(candles(VALLEY)), {OUT_SHORT: None, LONG: "direction"}, id="lows that fall deeper"
        ),
        pytest.param(
            candles([*VALLEY, 85.0]),
            {OUT_LONG: None, LONG: "still_crossed", SHORT: None},
            id="a cross undone by the next candle",
        ),
        pytest.param(
            candles(squeezed(VALLEY), wick=2e-8), {OUT_SHORT: None, LONG: "range"}, id="moves of nothing"
        ),
        pytest.param(candles([*VALLEY, 93.4])[-152:], {}, id="152 candles, one too few"),
        pytest.param(candles([*VALLEY, 93.4])[-153:], {OUT_SHORT: None, LONG: None}, id="153 candles"),
    ],
)
def test_markets_by_hand(market, expected) -> None:
    proposals = judged(TREND, market)

    assert rules(proposals) == expected
    for proposal in proposals.values():
        assert bool(proposal.reasons) == (proposal.failed_rule is None)


_adx = st.floats(0.0, 100.0)
_lead = st.floats(-100.0, 100.0)


@given(_adx, _adx, _lead, _lead, st.booleans(), st.booleans())
def test_confidence_rises_with_each_input_and_stays_a_fraction(adx, adx2, lead, lead2, a, b) -> None:
    def of(adx: float, lead: float, aligned: bool) -> float:
        return float(confidence(np.array([adx]), np.array([lead]), np.array([aligned]), TrendParameters())[0])

    low = of(min(adx, adx2), min(lead, lead2), min(a, b))
    high = of(max(adx, adx2), max(lead, lead2), max(a, b))
    assert 0.0 <= low <= high <= 1.0


def test_confidence_is_full_with_twice_the_adx_a_lead_of_30_and_the_macro_view() -> None:
    figures = (np.array([25.0, 37.5, 50.0]), np.array([0.0, 15.0, 30.0]), np.array([False, False, True]))

    assert confidence(*figures, TrendParameters()).tolist() == pytest.approx([0.5, 0.675, 1.0])


def test_an_entry_carries_every_figure_and_an_exit_those_that_it_rests_on() -> None:
    both = judged(TREND, candles(VALLEY), macro=UP)

    assert set(both[OUT_SHORT].features) == set(TREND.needs)
    assert set(both[LONG].features) > {*TREND.needs, "rsi14", "macd", "macro_direction"}
