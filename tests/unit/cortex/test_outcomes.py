"""What a family earned from a close on: by hand on a few bars."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nexus_common.contracts.values import Venue
from nexus_cortex.domain.outcomes import (
    CLASSES,
    FAMILIES,
    HORIZON,
    WORTH_R,
    Costs,
    Entries,
    costs_of,
    labels,
    outcomes,
)
from nexus_market.indicators import Bars

FREE = Costs(0.0, 0.0, 0.0)
FEES = Costs(0.0002, 0.0005, 0.0002)
# Open, high, low, close.
Flat = tuple[float, float, float, float]
FLAT: Flat = (100.0, 100.1, 99.9, 100.0)


def path(*bars: Flat, then: Flat = FLAT) -> Bars:
    """The bar that is entered from, the ones given, and enough of `then` behind them."""
    rows = [FLAT, *bars, *[then] * (HORIZON + 1)][: HORIZON + 1]
    opened, high, low, close = (np.array(column) for column in zip(*rows, strict=True))
    return Bars(np.arange(len(rows)) * 900_000, opened, high, low, close, np.ones(len(rows)))


def entry(**figures: float) -> Entries:
    """A close at 100 with ATR 1; every family would buy, and the ladder would open around 100."""
    usual = {"close": 100.0, "atr": 1.0, "ema20": 101.0, "ema50": 100.0, "ema200": 100.0, "rsi": 40.0}
    usual |= {"middle": 101.0, "adx": 15.0}
    return Entries(np.array([0]), **{name: np.array([value]) for name, value in (usual | figures).items()})


def earned(
    family: str, bars: Bars, given: Entries | None = None, costs: Costs = FREE, target: bool = True
) -> float:
    return float(outcomes(bars, given or entry(), costs, target)[0, FAMILIES.index(family)])


@pytest.mark.parametrize(
    ("family", "bar", "r"),
    [
        ("trend", (100.0, 103.0, 99.0, 103.0), 2.0),
        ("trend", (100.0, 102.9, 98.5, 102.0), -1.0),
        ("scalping", (100.0, 101.5, 99.1, 101.0), 1.5),
        ("scalping", (100.0, 101.0, 99.0, 100.0), -1.0),
        ("mean_reversion", (100.0, 102.0, 99.0, 101.0), 1.0),
        ("mean_reversion", (100.0, 101.9, 98.0, 99.0), -1.0),
        ("shark", (100.0, 100.9, 97.0, 97.5), 3.0),
        ("shark", (100.0, 101.0, 97.1, 98.0), -1.0),
    ],
)
def test_a_trade_ends_at_its_target_or_its_stop(family: str, bar: Flat, r: float) -> None:
    assert earned(family, path(bar)) == pytest.approx(r)


@pytest.mark.parametrize("family", [family for family in FAMILIES if family != "grid"])
def test_the_stop_comes_first_within_a_bar(family: str) -> None:
    assert earned(family, path((100.0, 110.0, 90.0, 100.0))) == pytest.approx(-1.0)


def test_a_stop_that_the_open_has_passed_is_filled_at_the_open_and_so_is_a_target() -> None:
    down, up = (90.0, 91.0, 89.0, 90.0), (109.0, 110.0, 108.0, 109.0)

    assert earned("trend", path(FLAT, down)) == pytest.approx(-10.0 / 1.5)
    assert earned("trend", path(FLAT, up)) == pytest.approx(9.0 / 1.5)


def test_the_entry_is_at_the_next_open() -> None:
    later = (104.0, 104.1, 103.9, 104.0)

    assert earned("trend", path(later, then=later)) == pytest.approx(0.0)
    assert earned("trend", path(later, (104.0, 107.0, 104.0, 107.0))) == pytest.approx(2.0)


def test_what_meets_neither_leaves_at_the_close_of_the_last_bar() -> None:
    higher = (100.0, 101.2, 99.5, 100.9)

    assert earned("trend", path(then=higher)) == pytest.approx(0.9 / 1.5)
    assert earned("scalping", path(*[FLAT] * 11, higher)) == pytest.approx(0.9)
    assert earned("scalping", path(*[FLAT] * 12, higher)) == pytest.approx(0.0), "after 12 bars it is over"


def test_the_middle_band_is_the_target_where_it_is_farther_than_the_stop() -> None:
    far = entry(middle=105.0)

    assert earned("mean_reversion", path((100.0, 104.9, 99.9, 100.0)), far) == pytest.approx(0.0)
    assert earned("mean_reversion", path((100.0, 105.0, 99.9, 100.0)), far) == pytest.approx(2.5)


def test_fees_and_slippage_are_taken_from_every_fill() -> None:
    entered = 100.0 * 1.0002
    target = entered + 3.0
    stop = (entered - 1.5) * 0.9998

    won = earned("trend", path((100.0, 104.0, 99.9, 103.0)), costs=FEES)
    lost = earned("trend", path((100.0, 100.1, 98.0, 99.0)), costs=FEES)

    assert won == pytest.approx((3.0 - 0.0005 * (entered + target)) / 1.5)
    assert lost == pytest.approx((stop - entered - 0.0005 * (entered + stop)) / 1.5)


@pytest.mark.parametrize(
    ("family", "figures"),
    [
        ("trend", {"ema20": 100.0}),
        ("scalping", {"rsi": 50.0}),
        ("mean_reversion", {"middle": 100.0}),
        ("grid", {"adx": 25.1}),
        ("grid", {"ema200": 100.6}),
        ("grid", {"atr": 0.0}),
        ("trend", {"atr": 0.0}),
        ("scalping", {"atr": 0.19}),
    ],
)
def test_a_family_that_would_not_trade_earned_nothing_that_is_known(
    family: str, figures: dict[str, float]
) -> None:
    assert np.isnan(earned(family, path(), entry(**figures)))


def test_shark_trades_its_targets_alone() -> None:
    assert np.isnan(earned("shark", path(), target=False))


def test_a_stop_must_pay_for_four_round_trips() -> None:
    assert FEES.stop_min == pytest.approx(0.004)
    assert FREE.stop_min == pytest.approx(0.002)
    assert costs_of(Venue.ALPACA).stop_min == pytest.approx(0.002)
    assert np.isnan(earned("scalping", path(), entry(atr=0.39), FEES))
    assert not np.isnan(earned("scalping", path(), entry(atr=0.41), FEES))


# Levels at 99.6, 99.2, 98.8, 98.4, 98.0; stop at 97; 1 R is 2.6 + 2.2 + 1.8 + 1.4 + 1.0 = 9.
@pytest.mark.parametrize(
    ("bars", "r"),
    [
        ([(100.0, 100.1, 99.6, 99.8), (99.8, 100.0, 99.7, 100.0)], 0.4 / 9),
        ([(100.0, 100.1, 99.2, 99.5), (99.5, 99.6, 99.3, 99.6), (99.6, 100.0, 99.7, 100.0)], 0.8 / 9),
        ([(100.0, 100.0, 99.6, 100.0)], 0.4 / 9),
        ([(100.0, 100.4, 99.9, 100.2), (100.2, 100.2, 100.0, 100.0)], 0.4 / 9),
        ([(100.0, 100.1, 97.0, 98.0)], -1.0),
        ([(100.0, 103.0, 99.9, 101.0)], -1.0),
        ([(100.0, 103.0, 97.0, 101.0)], -2.0),
        # A short of the upper side is carried through its profit by the fall that ends the ladder.
        ([(100.3, 100.4, 100.3, 100.3), (100.0, 100.0, 97.0, 97.0)], 0.4 / 9 - 1.0),
    ],
)
def test_a_ladder_earns_its_spacing_until_its_stop(bars: list[Flat], r: float) -> None:
    assert earned("grid", path(*bars)) == pytest.approx(r)


def test_what_a_ladder_still_holds_leaves_at_the_last_close() -> None:
    held = path((100.0, 100.0, 99.6, 99.7), then=(99.9, 99.9, 99.9, 99.9))

    assert earned("grid", held) == pytest.approx((99.9 - 99.6) / 9)


def test_a_ladder_that_ended_trades_no_more() -> None:
    stopped, back = (100.0, 100.1, 97.0, 98.0), (98.0, 102.0, 98.0, 100.0)

    assert earned("grid", path(stopped, back, back)) == pytest.approx(-1.0)


def test_a_ladder_pays_the_makers_fee_for_each_fill() -> None:
    once = path((100.0, 100.1, 99.6, 99.8), (99.8, 100.0, 99.7, 100.0))

    assert earned("grid", once, costs=FEES) == pytest.approx((0.4 - 0.0002 * (99.6 + 100.0)) / 9)


def test_the_label_is_the_best_family_if_it_was_worth_it() -> None:
    unknown = np.full(len(FAMILIES), np.nan)
    rows = np.array([unknown, unknown, unknown, unknown])
    rows[0, :3] = [0.5, 1.5, -1.0]
    rows[1, :2] = [WORTH_R, -1.0]
    rows[2, 4] = WORTH_R + 0.01

    assert [CLASSES[label] for label in labels(rows)] == ["scalping", "none", "shark", "none"]


def test_an_outcome_is_not_told_before_its_bars_are_there() -> None:
    with pytest.raises(ValueError, match="48 bars"):
        outcomes(path()[:HORIZON], entry(), FREE, is_shark_target=True)
    assert outcomes(path(), entry(), FREE, is_shark_target=True).shape == (1, 5)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000))
def test_many_entries_at_once_are_the_same_as_each_alone_and_later_bars_change_nothing(seed: int) -> None:
    bars, entries = random_market(seed)

    whole = outcomes(bars, entries, FEES, is_shark_target=True)

    for index in range(0, len(entries), 9):
        row = int(entries.row[index])
        alone = entries.take(np.array([index]))
        cut = outcomes(bars[: row + HORIZON + 1], alone, FEES, is_shark_target=True)
        assert cut.tobytes() == whole[index : index + 1].tobytes()


def random_market(seed: int, count: int = 120) -> tuple[Bars, Entries]:
    random = np.random.default_rng(seed)
    close = 100.0 * np.cumprod(1.0 + random.normal(0.0, 0.006, count))
    opened = np.concatenate(([100.0], close[:-1]))
    high, low = np.maximum(opened, close) * 1.002, np.minimum(opened, close) * 0.998
    bars = Bars(np.arange(count) * 900_000, opened, high, low, close, np.ones(count))
    rows = np.arange(count - HORIZON)
    near = close[rows]
    drawn = [near * (1.0 + random.normal(0.0, 0.003, len(rows))) for _ in range(4)]
    rsi, adx = random.uniform(20, 80, len(rows)), random.uniform(10, 40, len(rows))
    return bars, Entries(rows, near, near * 0.006, drawn[0], drawn[1], drawn[2], rsi, drawn[3], adx)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_a_ladder_loses_at_most_both_sides(seed: int) -> None:
    bars, entries = random_market(seed)

    r = outcomes(bars, entries, FREE, is_shark_target=True)[:, FAMILIES.index("grid")]

    assert (r[~np.isnan(r)] >= -2.0 - 1e-9).all()
