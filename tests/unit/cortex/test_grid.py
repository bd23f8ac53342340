"""Grid: what its rules ask for, one threshold at a time, then on candles."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_common.contracts.signal import Action, LadderPlan
from nexus_common.contracts.values import Timeframe, Venue
from nexus_cortex.domain.strategies.grid import GRID, GridParameters, confidence
from unit.cortex.markets import calm, candles, changed, judged, line, rules, stub

OPEN, CLOSE = Action.OPEN_GRID, Action.CLOSE_GRID
H1 = Timeframe.H1


def quiet(**change: float):
    """A close at the centre, ADX 15, ATR 2."""
    return stub(H1, **{"close": 100.0, "ema200": 100.0, "adx14": 15.0} | change)


def test_it_opens_one_ladder_around_ema200() -> None:
    opening = judged(GRID, quiet(ema200=100.5))[OPEN]

    assert opening.failed_rule is None
    assert opening.ladder == LadderPlan(
        centre=Decimal("100.5"), spacing=Decimal("0.8"), levels=5, stop_beyond=Decimal(2)
    )
    assert opening.ladder.levels * opening.ladder.spacing == 2 * opening.atr
    assert opening.plan is not None
    assert opening.plan.stop_distance == opening.ladder.reach == Decimal(6)
    assert opening.plan.target_distance == opening.ladder.spacing
    assert opening.plan.time_stop_bars == 96
    assert opening.bound_to_regime
    assert opening.reasons == (
        "The close is 0.5 from EMA200 100.5, the centre: at most 0.5 ATR of 2.",
        "ADX 15.0 is not over 25.",
        "5 levels a side, 0.8 apart.",
    )


@pytest.mark.parametrize(
    ("close", "actions"), [(101.0, [OPEN]), (101.01, []), (99.0, [OPEN]), (98.99, []), (100.0, [OPEN])]
)
def test_it_opens_within_half_an_atr_of_the_centre(close, actions) -> None:
    assert list(judged(GRID, quiet(close=close))) == actions


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"adx14": 25.0}, {OPEN: None}),
        ({"adx14": 25.01}, {CLOSE: None, OPEN: "adx"}),
        ({"adx14": 25.01, "close": 110.0}, {CLOSE: None}),
        ({"adx14": 30.0, "atr14": 0.0}, {OPEN: "adx"}),
    ],
)
def test_it_closes_when_adx_is_over_25(change, expected) -> None:
    proposals = judged(GRID, quiet(**change))

    assert rules(proposals) == expected
    assert all(proposal.ladder is None for action, proposal in proposals.items() if action is CLOSE)


@pytest.mark.parametrize(
    ("change", "fee", "rule"),
    [
        ({}, 0.0002, None),
        ({"atr14": 0.3}, 0.0002, None),
        ({"atr14": 0.299}, 0.0002, "cost"),
        ({}, 0.0014, "cost"),
        ({}, 0.0013, None),
        ({}, 0.0, None),
        ({}, None, "cost"),
        ({"atr14": 34.0}, 0.0002, "reach"),
        ({"atr14": 33.0}, 0.0002, None),
        ({"atr14": 0.0}, 0.0, "range"),
        ({"atr14": 0.0}, 0.0002, "cost"),
        ({"adx14": 26.0, "atr14": 0.1}, 0.0002, "adx"),
    ],
)
def test_it_names_the_first_rule_that_failed(change, fee, rule) -> None:
    opening = judged(GRID, quiet(**change), maker_fee=fee)[OPEN]

    assert opening.failed_rule == rule
    assert (opening.plan is None) == (opening.ladder is None) == bool(opening.detail) == (rule is not None)


def test_a_fee_that_nobody_knows_is_said_to_be_unknown() -> None:
    opening = judged(GRID, quiet(), maker_fee=None)[OPEN]

    assert opening.detail == "the venue did not say what a resting order costs"


def test_a_stock_is_judged_like_anything_else() -> None:
    assert rules(judged(GRID, quiet(), venue=Venue.ALPACA, maker_fee=0.0)) == {OPEN: None}


CALM = calm(641)


@pytest.mark.parametrize(
    ("market", "fee", "expected"),
    [
        pytest.param(candles(CALM, H1), 0.0002, {OPEN: None}, id="a calm market at its centre"),
        pytest.param(candles(calm(644), H1), 0.0002, {}, id="a calm market at its edge"),
        pytest.param(candles(calm(641, swing=0.05), H1, wick=0.05), 0.0002, {OPEN: "cost"}, id="too calm"),
        pytest.param(
            candles(calm(641, swing=0.05), H1, wick=0.05), 0.0, {OPEN: None}, id="too calm, for free"
        ),
        pytest.param(candles(CALM, H1), None, {OPEN: "cost"}, id="an unknown fee"),
        pytest.param(candles(CALM + line(100.0, 0.5, 20), H1), 0.0002, {CLOSE: None}, id="a trend"),
        pytest.param(
            candles([*CALM, *line(100.0, 0.5, 20), 104.0, 101.0], H1),
            0.0002,
            {CLOSE: None, OPEN: "adx"},
            id="back at the centre at once",
        ),
        pytest.param(
            changed(candles(CALM, H1), -1, high=2_000.0), 0.0002, {OPEN: "reach"}, id="a huge print"
        ),
        pytest.param(candles([100.0] * 641, H1, wick=0.0), 0.0, {OPEN: "range"}, id="a flat price"),
        pytest.param(candles(CALM, H1)[-599:], 0.0002, {}, id="599 candles, one too few"),
        pytest.param(candles(CALM, H1)[-600:], 0.0002, {OPEN: None}, id="600 candles"),
    ],
)
def test_markets_by_hand(market, fee, expected) -> None:
    assert rules(judged(GRID, market, maker_fee=fee)) == expected


_adx = st.floats(0.0, 100.0)
_distance = st.floats(0.0, 10.0)


@given(_adx, _adx, _distance, _distance, st.floats(0.0, 10.0))
def test_confidence_falls_with_each_input_and_stays_a_fraction(adx, adx2, far, far2, atr) -> None:
    def of(adx: float, distance: float) -> float:
        return float(confidence(np.array([adx]), np.array([distance]), np.array([atr]), GridParameters())[0])

    low, high = of(max(adx, adx2), max(far, far2)), of(min(adx, adx2), min(far, far2))
    assert 0.0 <= low <= high <= 1.0


def test_confidence_is_full_at_the_centre_without_any_trend() -> None:
    figures = (np.array([12.5, 0.0]), np.array([0.5, 0.0]), np.array([2.0, 2.0]))

    assert confidence(*figures, GridParameters()).tolist() == [0.75, 1.0]
