"""Shark: what its rules ask for, one threshold at a time, then on candles."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_common.contracts.signal import Action
from nexus_common.contracts.values import Timeframe, Venue
from nexus_cortex.domain.sangria import Mood
from nexus_cortex.domain.strategies.shark import SHARK, SharkParameters, confidence
from nexus_market.indicators import Bars
from unit.cortex.markets import (
    START,
    Bleeding,
    calm,
    candles,
    judged,
    line,
    rules,
    said,
    squeezed,
    stub,
    view_of,
)

SHORT = Action.ENTER_SHORT
M15 = Timeframe.M15
QUARTER = 900_000
CALM = calm(640)


def stairs(count: int) -> list[float]:
    """Down 0.8, down 0.8, up 0.4: a fall that leaves RSI over 20."""
    return [
        float(close) for close in 100.0 + np.cumsum([(0.4, -0.8, -0.8)[step % 3] for step in range(count)])
    ]


def bleeding(**change: float):
    figures = {"close": 95.0, "ema50": 99.0, "ema200": 101.0, "adx14": 30.0, "rsi14": 35.0}
    return stub(M15, **figures | change)


def test_it_goes_short_on_a_target_below_both_averages_in_sangria() -> None:
    entry = judged(SHARK, bleeding())[SHORT]

    assert entry.failed_rule is None
    assert entry.leverage_hint == 10
    assert entry.plan is not None
    assert entry.plan.stop_distance == Decimal(2)
    assert entry.plan.target_distance == Decimal(6)
    assert entry.plan.trail_distance == Decimal(2)
    assert entry.plan.trail_after_r == 1
    assert not entry.bound_to_regime
    assert entry.reasons[0] == "Sangria: a test says so."


@pytest.mark.parametrize(
    "change", [{"close": 99.0}, {"ema50": 101.0}, {"close": 100.0, "ema50": 99.0}, {"ema200": 98.0}]
)
def test_it_is_not_triggered_unless_close_ema50_and_ema200_are_stacked(change) -> None:
    assert judged(SHARK, bleeding(**change)) == {}


def test_it_leaves_other_instruments_stocks_and_calm_markets_alone() -> None:
    assert judged(SHARK, bleeding(), target=False) == {}
    assert judged(SHARK, bleeding(), venue=Venue.ALPACA) == {}
    assert judged(SHARK, bleeding(), mood=Mood()) == {}


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"adx14": 25.0}, "adx"),
        ({"adx14": 25.1}, None),
        ({"rsi14": 19.9}, "rsi"),
        ({"rsi14": 20.0}, None),
        ({"atr14": 0.0}, "range"),
        ({"adx14": 20.0, "rsi14": 10.0}, "adx"),
        ({"rsi14": 10.0, "atr14": 0.0}, "rsi"),
    ],
)
def test_it_names_the_first_rule_that_failed(change, rule) -> None:
    entry = judged(SHARK, bleeding(**change))[SHORT]

    assert entry.failed_rule == rule
    assert bool(entry.detail) == (rule is not None)


def test_every_candle_at_which_all_rules_hold_is_a_signal_of_its_own() -> None:
    rows = stub(M15, close=[95.0] * 5, ema50=99.0, ema200=101.0, adx14=30.0, rsi14=35.0)
    signals = said(SHARK, view_of(rows))

    assert [close for close, _ in signals] == [START + (row + 1) * QUARTER for row in range(5)]
    assert [proposal.since.timestamp() * 1_000 for _, proposal in signals] == [close for close, _ in signals]
    assert all(proposal.failed_rule is None for _, proposal in signals)


def test_it_waits_for_sangria_to_begin() -> None:
    rows = stub(M15, close=[95.0] * 5, ema50=99.0, ema200=101.0, adx14=30.0, rsi14=35.0)
    begins = START + 4 * QUARTER

    assert [close for close, _ in said(SHARK, view_of(rows, mood=Bleeding(since=begins)))] == [
        begins,
        begins + QUARTER,
    ]


@pytest.mark.parametrize(
    ("market", "expected"),
    [
        pytest.param(candles(CALM + stairs(15)), {SHORT: None}, id="a fall in steps"),
        pytest.param(candles(CALM + stairs(6)), {SHORT: "adx"}, id="the beginning of the fall"),
        pytest.param(candles(CALM + line(100.0, -0.8, 12)), {SHORT: "rsi"}, id="a straight fall"),
        pytest.param(candles(CALM + [200.0 - close for close in stairs(15)]), {}, id="a rise"),
        pytest.param(candles(CALM), {SHORT: "adx"}, id="a calm market"),
        pytest.param(candles(CALM[:-5]), {}, id="a calm market over its averages"),
        pytest.param(candles([*CALM, *stairs(15), 101.0]), {}, id="back over both averages"),
        pytest.param(
            candles(squeezed(CALM + stairs(15)), wick=2e-8), {SHORT: "range"}, id="moves of nothing"
        ),
        pytest.param(candles(CALM + stairs(15))[-599:], {}, id="599 candles, one too few"),
        pytest.param(candles(CALM + stairs(15))[-600:], {SHORT: None}, id="600 candles"),
    ],
)
def test_markets_by_hand(market: Bars, expected) -> None:
    assert rules(judged(SHARK, market)) == expected


_adx = st.floats(0.0, 100.0)
_distance = st.floats(0.0, 50.0)


@given(_adx, _adx, _distance, _distance, st.floats(0.0, 10.0))
def test_confidence_rises_with_each_input_and_stays_a_fraction(adx, adx2, deep, deep2, atr) -> None:
    def of(adx: float, distance: float) -> float:
        return float(confidence(np.array([adx]), np.array([distance]), np.array([atr]), SharkParameters())[0])

    low, high = of(min(adx, adx2), min(deep, deep2)), of(max(adx, adx2), max(deep, deep2))
    assert 0.0 <= low <= high <= 1.0


def test_confidence_is_full_with_twice_the_adx_three_atr_below() -> None:
    figures = (np.array([25.0, 37.5, 50.0]), np.array([0.0, 3.0, 6.0]), np.array([2.0, 2.0, 2.0]))

    assert confidence(*figures, SharkParameters()).tolist() == pytest.approx([0.6, 0.8, 1.0])
