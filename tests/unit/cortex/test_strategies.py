"""What trend and shark ask for, one threshold at a time."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_common.contracts.signal import Action
from nexus_common.contracts.values import Venue
from nexus_cortex.domain.regime import NO_MACRO, MacroTrend
from nexus_cortex.domain.sangria import Mood
from nexus_cortex.domain.strategies import STRATEGIES, shark, trend, with_parameters
from nexus_cortex.domain.strategies.shark import SharkParameters
from nexus_cortex.domain.strategies.strategy import MarketView, propose
from nexus_cortex.domain.strategies.trend import TrendParameters

UP = MacroTrend(np.array([0]), np.array([1]), np.array([0.0]), np.array([50.0]))
DOWN = MacroTrend(np.array([0]), np.array([-1]), np.array([0.0]), np.array([50.0]))
ABOVE, BELOW = 100.5, 99.5


@dataclass
class Bleeding(Mood):
    """A market that is Sangria from one close on."""

    since: int = 0

    def sangria(self, venue: Venue, at: int) -> str | None:
        return "a test says so" if at >= self.since else None


def proposals(name, columns, macro=NO_MACRO, mood=None, target=True):
    """What a strategy proposes for the last row."""
    view = MarketView(columns, macro, mood or Bleeding(), Venue.BINANCE, target)
    row = len(columns) - 1
    strategy = STRATEGIES[name]
    return {s.action: propose(strategy, s, view, row) for s in strategy.setups(view) if s.trigger[row]}


def crossing(columns, *gaps, adx=30.0, lead=10.0):
    """One row after three of history; `gaps` are EMA20 less EMA50 of these four."""
    return columns(
        3,
        ema20=[100.0 + gap for gap in gaps],
        ema50=[100.0] * 4,
        adx14=[adx] * 4,
        plus_di14=[20.0 + lead] * 4,
        minus_di14=[20.0] * 4,
        atr14=[2.0] * 4,
        atr_mean50=[1.5] * 4,
    )


@pytest.mark.parametrize(
    ("gaps", "crossed_at"),
    [((-1, -1, -1, 1), 3), ((-1, -1, 1, 1), 2), ((-1, 1, 1, 1), 1), ((0, 1, 1, 1), 1), ((-1, 1, -1, 1), 3)],
)
def test_trend_enters_long_after_a_cross_at_one_of_the_last_three_bars(columns, at, gaps, crossed_at) -> None:
    entry = proposals("trend", crossing(columns, *gaps))[Action.ENTER_LONG]

    assert entry.failed_rule is None
    assert entry.since == at(crossed_at)
    assert entry.plan is not None
    assert entry.plan.stop_distance == Decimal(3)
    assert entry.plan.target_distance == Decimal(6)
    assert entry.plan.trail_distance == Decimal(3)
    assert entry.plan.trail_after_r == 1
    assert entry.plan.time_stop_bars == 96
    assert any("ADX 30.0" in reason for reason in entry.reasons)


def test_trend_short_is_the_mirror_of_long(columns) -> None:
    long = proposals("trend", crossing(columns, -1, -1, 1, 2), UP)
    short = proposals("trend", crossing(columns, 1, 1, -1, -2, lead=-10.0), DOWN)

    assert list(long) == [Action.EXIT_SHORT, Action.ENTER_LONG]
    assert list(short) == [Action.EXIT_LONG, Action.ENTER_SHORT]
    assert long[Action.ENTER_LONG].confidence == short[Action.ENTER_SHORT].confidence
    assert long[Action.ENTER_LONG].plan == short[Action.ENTER_SHORT].plan


@pytest.mark.parametrize("gaps", [(1, 1, 1, 1), (-1, -1, -1, -1), (-1, -1, -1, 0)])
def test_trend_says_nothing_without_a_cross(columns, gaps) -> None:
    assert proposals("trend", crossing(columns, *gaps)) == {}


@pytest.mark.parametrize(
    ("change", "rule"),
    [({"adx": 24.9}, "adx"), ({"lead": 0.0}, "direction"), ({"adx": 24.9, "lead": -1.0}, "adx")],
)
def test_trend_names_the_first_rule_that_failed(columns, change, rule) -> None:
    entry = proposals("trend", crossing(columns, -1, -1, -1, 1, **change))[Action.ENTER_LONG]

    assert entry.failed_rule == rule
    assert entry.plan is None
    assert entry.detail


def test_a_cross_that_was_undone_is_withheld(columns) -> None:
    both = proposals("trend", crossing(columns, -1, -1, 1, -1))

    assert both[Action.ENTER_LONG].failed_rule == "still_crossed"
    assert Action.EXIT_SHORT not in both
    assert Action.EXIT_LONG in both


def test_adx_of_exactly_the_minimum_is_enough_for_trend(columns) -> None:
    assert (
        proposals("trend", crossing(columns, -1, -1, -1, 1, adx=25.0))[Action.ENTER_LONG].failed_rule is None
    )


def test_macro_alignment_only_adds_confidence(columns) -> None:
    rows = crossing(columns, -1, -1, -1, 1)
    aligned, against, unknown = (proposals("trend", rows, m)[Action.ENTER_LONG] for m in (UP, DOWN, NO_MACRO))

    assert aligned.confidence > against.confidence == unknown.confidence
    assert against.failed_rule is None


_adx = st.floats(25.0, 100.0)
_lead = st.floats(0.0, 100.0)


@given(_adx, _adx, _lead, _lead, st.booleans(), st.booleans())
def test_the_confidence_of_trend_rises_with_each_input_and_stays_a_fraction(
    adx, adx2, lead, lead2, a, b
) -> None:
    def of(adx: float, lead: float, aligned: bool) -> float:
        figures = (np.array([adx]), np.array([lead]), np.array([aligned]))
        return float(trend.confidence(*figures, TrendParameters())[0])

    low = of(min(adx, adx2), min(lead, lead2), min(a, b))
    high = of(max(adx, adx2), max(lead, lead2), max(a, b))
    assert 0.0 <= low <= high <= 1.0


@given(_adx, _adx, st.floats(0.0, 50.0), st.floats(0.0, 50.0), st.floats(0.0, 10.0))
def test_the_confidence_of_shark_rises_with_each_input_and_stays_a_fraction(
    adx, adx2, deep, deep2, atr
) -> None:
    def of(adx: float, distance: float) -> float:
        figures = (np.array([adx]), np.array([distance]), np.array([atr]))
        return float(shark.confidence(*figures, SharkParameters())[0])

    low, high = of(min(adx, adx2), min(deep, deep2)), of(max(adx, adx2), max(deep, deep2))
    assert 0.0 <= low <= high <= 1.0


def bleeding(columns, **change):
    """Two rows' worth: the bar before, and the row; each figure may be one number or the pair."""
    figures = {"close": 95.0, "ema50": 99.0, "ema200": 101.0, "adx14": 30.0, "rsi14": 35.0} | change
    pairs = {
        name: list(value) if isinstance(value, tuple) else [value] * 2 for name, value in figures.items()
    }
    return columns(1, atr14=[2.0] * 2, atr_mean50=[1.5] * 2, **pairs)


def test_shark_goes_short_on_a_target_below_both_averages_in_sangria(columns, at) -> None:
    entry = proposals("shark", bleeding(columns))[Action.ENTER_SHORT]

    assert entry.failed_rule is None
    assert entry.leverage_hint == 10
    assert entry.plan is not None
    assert entry.plan.stop_distance == Decimal(2)
    assert entry.plan.target_distance == Decimal(6)
    assert entry.plan.trail_distance == Decimal(2)
    assert not entry.bound_to_regime


@pytest.mark.parametrize(
    "change", [{"close": 99.0}, {"ema50": 101.0}, {"close": 100.0, "ema50": 99.0}, {"ema200": 98.0}]
)
def test_shark_is_not_triggered_unless_close_ema50_and_ema200_are_stacked(columns, change) -> None:
    assert proposals("shark", bleeding(columns, **change)) == {}


def test_shark_leaves_other_instruments_and_calm_markets_alone(columns) -> None:
    assert proposals("shark", bleeding(columns), target=False) == {}
    assert proposals("shark", bleeding(columns), mood=Mood()) == {}


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"adx14": 25.0}, "adx"),
        ({"adx14": 25.1}, None),
        ({"rsi14": 19.9}, "rsi"),
        ({"rsi14": 20.0}, None),
        ({"adx14": 20.0, "rsi14": 10.0}, "adx"),
    ],
)
def test_shark_names_the_first_rule_that_failed(columns, change, rule) -> None:
    assert proposals("shark", bleeding(columns, **change))[Action.ENTER_SHORT].failed_rule == rule


@pytest.mark.parametrize(
    "change", [{"close": (100.0, 95.0)}, {"adx14": (20.0, 30.0)}, {"rsi14": (15.0, 30.0)}]
)
def test_a_shark_condition_that_newly_holds_is_a_new_situation(columns, at, change) -> None:
    assert proposals("shark", bleeding(columns, **change))[Action.ENTER_SHORT].since == at(1)


def test_a_shark_condition_that_goes_on_is_a_new_situation_only_after_sixteen_bars(columns, at) -> None:
    entry = proposals("shark", bleeding(columns))[Action.ENTER_SHORT]

    assert entry.since == at(1 - 15)


def test_sangria_that_begins_is_a_new_situation_for_shark(columns, at) -> None:
    begins = Bleeding(since=int(at(1).timestamp()) * 1_000)

    assert proposals("shark", bleeding(columns), mood=begins)[Action.ENTER_SHORT].since == at(1)


def test_thresholds_can_be_changed_by_name() -> None:
    table = with_parameters({"trend": {"adx_min": "30", "stop_atr": 2, "time_stop_bars": 48}})

    changed = table["trend"].parameters
    assert isinstance(changed, TrendParameters)
    assert (changed.adx_min, changed.stop_atr, changed.time_stop_bars) == (30.0, Decimal(2), 48)
    assert STRATEGIES["trend"].parameters == TrendParameters()


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"flow": {}}, "there is no strategy 'flow'"),
        ({"trend": {"adx": 1}}, "no parameter 'adx'"),
        ({"shark": {"stop_atr": "wide"}}, "shark.stop_atr cannot be 'wide'"),
    ],
)
def test_a_threshold_that_does_not_exist_is_refused_by_name(overrides, words) -> None:
    with pytest.raises(ValueError, match=words):
        with_parameters(overrides)
