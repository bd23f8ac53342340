"""Scalping: what its rules ask for, one threshold at a time, then on candles."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_common.contracts.signal import Action
from nexus_common.contracts.values import Timeframe
from nexus_cortex.domain.strategies.scalping import SCALPING, ScalpingParameters, confidence
from nexus_market.indicators import Bars
from unit.cortex.markets import calm, candles, changed, judged, line, rules, squeezed, stub

LONG, SHORT = Action.ENTER_LONG, Action.ENTER_SHORT
M5 = Timeframe.M5


def burst(**change: float):
    """RSI 25, and exactly 1.5 times the usual volume."""
    return stub(M5, **{"rsi14": 25.0, "volume": 15.0, "volume_sma20": 10.0} | change)


def test_it_enters_long_for_a_quick_move_back() -> None:
    entry = judged(SCALPING, burst())[LONG]

    assert entry.failed_rule is None
    assert entry.plan is not None
    assert entry.plan.stop_distance == Decimal(2)
    assert entry.plan.target_distance == Decimal(3)
    assert entry.plan.trail_distance == Decimal(2)
    assert entry.plan.time_stop_bars == 12
    assert entry.bound_to_regime
    assert entry.reasons == (
        "RSI 25.00 is under 30.",
        "Volume 15, on average 10 over 20 candles: at least 1.5 times that.",
    )


def test_short_is_the_mirror_of_long() -> None:
    long, short = judged(SCALPING, burst()), judged(SCALPING, burst(rsi14=75.0))

    assert (list(long), list(short)) == ([LONG], [SHORT])
    assert long[LONG].confidence == short[SHORT].confidence
    assert long[LONG].plan == short[SHORT].plan
    assert short[SHORT].reasons[0] == "RSI 75.00 is over 70."


@pytest.mark.parametrize(
    ("rsi", "actions"), [(30.0, []), (29.99, [LONG]), (70.0, []), (70.01, [SHORT]), (0.0, []), (100.0, [])]
)
def test_it_is_triggered_strictly_beyond_30_and_70_and_by_no_reading_at_all(rsi, actions) -> None:
    assert list(judged(SCALPING, burst(rsi14=rsi))) == actions


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"volume": 14.99}, "volume"),
        ({"volume": 15.0}, None),
        ({"volume": 0.0}, "volume"),
        ({"volume": 0.0, "volume_sma20": 0.0}, "volume"),
        ({"volume": 5.0, "volume_sma20": 0.0}, "volume"),
        ({"atr14": 0.0}, "range"),
        ({"atr14": 1e-5}, "range"),
        ({"atr14": 2e-4}, None),
        ({"volume": 0.0, "atr14": 0.0}, "volume"),
    ],
)
@pytest.mark.parametrize(("rsi", "action"), [(25.0, LONG), (75.0, SHORT)])
def test_it_names_the_first_rule_that_failed(rsi, action, change, rule) -> None:
    entry = judged(SCALPING, burst(rsi14=rsi, **change))[action]

    assert entry.failed_rule == rule
    assert (entry.plan is None) == bool(entry.detail) == (rule is not None)


DROP = calm(200) + line(100.0, -0.4, 5)


def loud(closes: list[float], volume: float = 30.0, **arguments: float) -> Bars:
    """Candles the last of which traded more than the others' 10."""
    return changed(candles(closes, M5, **arguments), -1, volume=volume)


@pytest.mark.parametrize(
    ("market", "expected"),
    [
        pytest.param(loud(DROP), {LONG: None}, id="a drop on volume"),
        pytest.param(loud([200.0 - close for close in DROP]), {SHORT: None}, id="the mirror"),
        pytest.param(loud(DROP[:-3]), {}, id="a drop not deep enough"),
        pytest.param(loud(calm(200)), {}, id="volume in a calm market"),
        pytest.param(loud(DROP, 10.0), {LONG: "volume"}, id="a drop on the usual volume"),
        pytest.param(loud(DROP, 15.4), {LONG: "volume"}, id="not quite 1.5 times, itself among the 20"),
        pytest.param(loud(DROP, 15.5), {LONG: None}, id="a little over 1.5 times"),
        pytest.param(candles(DROP, M5, volume=0.0), {LONG: "volume"}, id="no volume at all"),
        pytest.param(loud(squeezed(DROP), wick=2e-8), {LONG: "range"}, id="moves of nothing"),
        pytest.param(loud([100.0] * 200, wick=0.0), {}, id="a flat price"),
        pytest.param(loud([100.0] * 200), {}, id="closes that are all the same"),
        pytest.param(loud(DROP)[-149:], {}, id="149 candles, one too few"),
        pytest.param(loud(DROP)[-150:], {LONG: None}, id="150 candles"),
    ],
)
def test_markets_by_hand(market, expected) -> None:
    assert rules(judged(SCALPING, market)) == expected


_rsi = st.floats(0.0, 100.0)
_volume = st.floats(0.0, 1e12)


@given(_rsi, _rsi, _volume, _volume, st.floats(0.0, 1e9))
def test_confidence_rises_with_each_input_and_stays_a_fraction(rsi, rsi2, volume, volume2, average) -> None:
    def of(sided: float, volume: float) -> float:
        figures = (np.array([sided]), np.array([volume]), np.array([average]))
        return float(confidence(*figures, ScalpingParameters())[0])

    low, high = of(max(rsi, rsi2), min(volume, volume2)), of(min(rsi, rsi2), max(volume, volume2))
    assert 0.0 <= low <= high <= 1.0


def test_confidence_is_full_at_an_rsi_of_0_and_three_times_the_volume() -> None:
    figures = (np.array([15.0, 0.0]), np.array([15.0, 30.0]), np.array([10.0, 10.0]))

    assert confidence(*figures, ScalpingParameters()).tolist() == [0.625, 1.0]
