"""The rule table of the regime, row by row and figure by figure."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest

from nexus_common.contracts.signal import Regime
from nexus_cortex.domain.regime import NO_MACRO, MacroTrend, macro_trend, read_regime

UP = MacroTrend(np.array([0]), np.array([1]), np.array([0.0]), np.array([50.0]))
DOWN = MacroTrend(np.array([0]), np.array([-1]), np.array([0.0]), np.array([50.0]))


def row(columns, *, atr=0.5, adx=19.0, divergence=3.5, width=3.0):
    """One row at a close of 100: divergence is EMA20 above EMA50, ATR and width are in percent."""
    return columns(
        ema20=[100.0 + divergence / 10.0],
        ema50=[100.0],
        atr14=[atr],
        adx14=[adx],
        bb_upper=[100.0 + width / 2.0],
        bb_lower=[100.0 - width / 2.0],
    )


@pytest.mark.parametrize(
    ("figures", "regime", "strategy", "confidence"),
    [
        ({"atr": 2.1, "adx": 50.0, "divergence": 9.0}, Regime.VOLATILE, "scalping", "0.85"),
        ({"atr": 2.0, "adx": 31.0, "divergence": 5.1}, Regime.TREND, "trend", "0.70"),
        ({"atr": 1.1, "adx": 29.9, "divergence": 9.0}, Regime.VOLATILE, "scalping", "0.75"),
        ({"atr": 1.1, "adx": 30.0, "divergence": 4.0}, Regime.TREND, "trend", "0.75"),
        ({"adx": 20.1}, Regime.TREND, "trend", "0.75"),
        ({"adx": 20.0, "divergence": 4.1}, Regime.TREND, "trend", "0.60"),
        ({"adx": 17.9, "divergence": 2.9, "width": 2.4}, Regime.RANGE_TIGHT, "grid", "0.70"),
        ({"adx": 17.9, "divergence": 2.9, "width": 2.6}, Regime.RANGE_WIDE, "mean_reversion", "0.70"),
        ({"adx": 18.0, "divergence": 2.9}, Regime.NORMAL, "mean_reversion", "0.50"),
        ({"adx": 17.9, "divergence": 3.1}, Regime.NORMAL, "mean_reversion", "0.50"),
    ],
)
def test_the_first_rule_that_holds_names_the_regime(columns, figures, regime, strategy, confidence) -> None:
    reading = read_regime(row(columns, **figures), NO_MACRO).reading(0)

    assert (reading.regime, reading.strategy) == (regime, strategy)
    assert reading.confidence == Decimal(confidence)
    assert reading.model_version == "rules"


@pytest.mark.parametrize(("macro", "confidence"), [(UP, "0.85"), (DOWN, "0.70"), (NO_MACRO, "0.70")])
def test_a_strong_trend_is_surer_when_the_macro_view_points_its_way(columns, macro, confidence) -> None:
    reading = read_regime(row(columns, adx=40.0, divergence=6.0), macro).reading(0)

    assert reading.confidence == Decimal(confidence)


def test_a_block_is_read_as_its_rows_are(columns) -> None:
    random = np.random.default_rng(3)
    figures = {
        name: (random.random(500) * spread + base).tolist()
        for name, base, spread in (
            *(("ema20", 99.0, 2.0), ("ema50", 99.0, 2.0), ("atr14", 0.0, 3.0)),
            *(("adx14", 10.0, 30.0), ("bb_upper", 100.0, 3.0), ("bb_lower", 98.0, 2.0)),
        )
    }
    block = read_regime(columns(**figures), UP)

    assert len(set(block.number.tolist())) == 9
    for index in range(500):
        single = read_regime(
            columns(**{name: values[index : index + 1] for name, values in figures.items()}), UP
        )
        assert single.reading(0) == block.reading(index)


def test_the_macro_view_points_only_where_close_and_ema20_lie_on_one_side_of_ema50(columns, at) -> None:
    history = 150
    rows = {"close": [101.0, 99.0, 101.0], "ema20": [101.0, 99.0, 99.0], "ema50": [100.0] * 3}
    macro = macro_trend(
        columns(history, **{name: [100.0] * history + values for name, values in rows.items()})
    )

    assert macro.direction.tolist() == [1, -1, 0]


def test_the_macro_view_holds_from_its_close_to_the_next_and_says_nothing_before_the_first() -> None:
    macro = MacroTrend(np.array([100, 200]), np.array([1, -1]), np.zeros(2), np.full(2, 50.0))

    assert macro.at(np.array([99, 100, 199, 200, 900])).tolist() == [0, 1, 1, -1, -1]
    assert not macro.is_known(99)
    assert macro.is_known(100)
    assert not NO_MACRO.is_known(100)
    assert NO_MACRO.at(np.array([1])).tolist() == [0]
