"""Who would have earned what: closes are counted once, known 48 bars later, and a shadow wins by both halves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from modelling.handmade import always
from nexus_common.contracts.model import Contender, Score, ShadowScored
from nexus_common.contracts.values import ModelId, Symbol, Timeframe, Venue
from nexus_cortex.artefact import load_artefact
from nexus_cortex.domain.drift import CLOCK, drift, psi, usable_rows
from nexus_cortex.domain.model_features import FEATURES
from nexus_cortex.domain.outcomes import CLASSES, FAMILIES, HORIZON, Entries, costs_of, labels, outcomes
from nexus_cortex.domain.regime import READINGS, macro_trend_of, read_regime
from nexus_cortex.domain.sangria import Mood
from nexus_cortex.domain.scoreboard import promotion, scores, tallies_of
from nexus_cortex.domain.strategies.strategy import MarketView
from nexus_market.candles import Series, from_millis
from nexus_market.features import FeatureColumns
from nexus_market.indicators import Bars

NAMES = (Symbol("ETHUSDT"), Symbol("SOLUSDT"))
DAY = timedelta(days=1)
NOON = datetime(2025, 3, 3, 12, tzinfo=UTC)
TREND = load_artefact(always("trend"))
GRID = load_artefact(always("grid"))
MODELS = {Contender.CHAMPION: TREND, Contender.SHADOW: GRID}


@pytest.fixture
def views(
    synthetic_market: Mapping[Symbol, Mapping[Timeframe, Series]], mood: Callable[[Any], Mood]
) -> list[MarketView]:
    """What cortex holds of two instruments at the end of the market."""
    whole = mood(synthetic_market)
    return [
        MarketView(
            FeatureColumns(Bars.of_series(synthetic_market[name][Timeframe.M15]), 0, Timeframe.M15),
            macro_trend_of(Bars.of_series(synthetic_market[name][Timeframe.H4])),
            whole,
            Venue.BINANCE,
            is_shark_target=name == "SOLUSDT",
            symbol=name,
        )
        for name in NAMES
    ]


def end_of(views: Sequence[MarketView]) -> datetime:
    return from_millis(int(views[0].bars.close_time()[-1]))


def board(*made: Score, since: datetime, at: datetime) -> ShadowScored:
    return ShadowScored(since=since, at=at, scores=made)


def test_days_added_up_are_the_whole(views: Sequence[MarketView]) -> None:
    since, end = end_of(views) - 6 * DAY, end_of(views)
    whole = tallies_of(board(*scores(views, MODELS, None, since, end), since=since, at=end))
    last: ShadowScored | None = None
    for day in range(1, 7):
        at = since + day * DAY
        last = board(*scores(views, MODELS, last, since, at), since=since, at=at)
    assert last is not None
    added = tallies_of(last)
    for contender in Contender:
        assert (added[contender].closes, added[contender].right) == (
            whole[contender].closes,
            whole[contender].right,
        )
        assert added[contender].earned == pytest.approx(whole[contender].earned, abs=Decimal("1e-5"))


def test_all_are_scored_on_the_same_closes_and_only_once_their_outcome_is_known(
    views: Sequence[MarketView],
) -> None:
    since, end = end_of(views) - 2 * DAY, end_of(views)
    made = scores(views, MODELS, None, since, end)
    assert {score.contender for score in made} == set(Contender)
    expected = 0
    for view in views:
        closes = view.bars.close_time()
        expected += sum(
            since <= from_millis(closed) and from_millis(known) <= end
            for closed, known in zip(closes.tolist(), closes[HORIZON:].tolist(), strict=False)
        )
    assert {score.closes for score in made} == {expected}
    assert scores(views, MODELS, None, end - timedelta(hours=11), end)[0].closes == 0


def test_what_following_earned_is_what_the_outcomes_say(views: Sequence[MarketView]) -> None:
    """Computed anew from the outcomes of every close, by hand."""
    since, end = end_of(views) - 3 * DAY, end_of(views)
    made = {score.contender: score for score in scores(views[:1], MODELS, None, since, end)}
    view = views[0]
    closes = view.bars.close_time()
    first = int(np.searchsorted(closes, since.timestamp() * 1_000))
    bars = FeatureColumns(view.bars.window[:-HORIZON], first, Timeframe.M15)
    earned = outcomes(
        view.bars.window, Entries.of(bars, first), costs_of(Venue.BINANCE), is_shark_target=False
    )
    best = labels(earned)
    trend, grid = (np.nan_to_num(earned[:, FAMILIES.index(name)]) for name in ("trend", "grid"))
    assert float(made[Contender.CHAMPION].mean_r) == pytest.approx(trend.mean(), abs=1e-8)
    assert float(made[Contender.SHADOW].mean_r) == pytest.approx(grid.mean(), abs=1e-8)
    assert made[Contender.CHAMPION].right == int((best == CLASSES.index("trend")).sum())
    rules = read_regime(bars, view.macro).number.tolist()
    followed = [
        np.nan_to_num(earned[row, FAMILIES.index(READINGS[number].strategy)])
        for row, number in enumerate(rules)
    ]
    assert float(made[Contender.RULES].mean_r) == pytest.approx(np.mean(followed), abs=1e-8)


def test_a_model_that_is_not_believed_earns_what_the_rules_earn(views: Sequence[MarketView]) -> None:
    strangers = [replace(view, symbol=Symbol("XRPUSDT")) for view in views]
    made = scores(strangers, MODELS, None, end_of(views) - 2 * DAY, end_of(views))
    assert len({(score.closes, score.right, score.mean_r) for score in made}) == 1


# -- the rule by which a shadow is promoted ---------------------------------------------------------------


def scored(
    day: int, closes: int, shadow: str, rival: str, who: Contender = Contender.CHAMPION
) -> ShadowScored:
    def one(contender: Contender, mean: str) -> Score:
        return Score(contender=contender, model=ModelId("x"), closes=closes, right=0, mean_r=Decimal(mean))

    return board(one(Contender.SHADOW, shadow), one(who, rival), since=NOON, at=NOON + day * DAY)


def test_a_shadow_that_leads_in_both_halves_is_promoted_with_its_figures() -> None:
    reason = promotion([scored(7, 1_000, "0.05", "0.01"), scored(14, 2_000, "0.06", "0.01")])
    assert reason == "led the champion by 0.040 R and 0.060 R a close in the two halves of 2000 closes"


@pytest.mark.parametrize(
    "boards",
    [
        [],
        [scored(7, 1_000, "0.05", "0.01"), scored(13, 2_000, "0.06", "0.01")],
        [scored(7, 1_000, "0.05", "0.01"), scored(14, 1_999, "0.06", "0.01")],
        # All of the lead is from the first half.
        [scored(7, 1_000, "0.20", "0.01"), scored(14, 2_000, "0.10", "0.01")],
        [scored(7, 1_000, "0.029", "0.01"), scored(14, 2_000, "0.06", "0.01")],
    ],
    ids=["no score", "13 days", "1999 closes", "one half", "a lead of 0.019"],
)
def test_a_shadow_that_does_not_is_not(boards: Sequence[ShadowScored]) -> None:
    assert promotion(boards) is None


def test_without_a_champion_the_shadow_is_measured_by_the_rules() -> None:
    boards = [
        scored(7, 1_000, "0.05", "0.01", Contender.RULES),
        scored(15, 2_100, "0.06", "0.01", Contender.RULES),
    ]
    assert "led the rules" in str(promotion(boards))


# -- drift ------------------------------------------------------------------------------------------------


def test_the_index_of_the_same_population_is_nothing_and_of_another_one_a_known_figure() -> None:
    edges, shares = [0.0], [0.5, 0.5]
    assert psi(edges, shares, np.array([-1.0, 1.0])) == Decimal("0.0000")
    # (0.8 - 0.5) ln(0.8 / 0.5) + (0.2 - 0.5) ln(0.2 / 0.5) = 0.4159
    assert psi(edges, shares, np.array([-1.0] * 8 + [1.0] * 2)) == Decimal("0.4159")


def test_a_bin_that_is_empty_now_counts_as_nearly_empty() -> None:
    # (0.9999... - 0.5) ln 2 + (0.0001 - 0.5) ln 0.0002
    assert psi([0.0], [0.5, 0.5], np.array([-1.0])) == pytest.approx(Decimal("4.6049"), abs=Decimal("0.001"))


def test_the_clock_does_not_drift_and_all_else_is_measured(views: Sequence[MarketView]) -> None:
    rows = usable_rows(views)
    found = drift(rows, TREND.manifest["reference"])
    assert found.keys() == set(FEATURES) - CLOCK
    assert "hour_sine" in CLOCK
    assert np.isfinite(rows).all()
