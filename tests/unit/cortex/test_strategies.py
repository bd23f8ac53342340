"""What holds of every strategy of the table: its mirror, its scale, its blindness to the future, bad candles."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, replace
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nexus_common.contracts.signal import Action, Proposal
from nexus_common.contracts.values import Timeframe
from nexus_cortex.domain.regime import MacroTrend
from nexus_cortex.domain.strategies import STRATEGIES, with_parameters, with_timeframes
from nexus_cortex.domain.strategies.strategy import Strategy
from nexus_cortex.domain.strategies.trend import TrendParameters
from nexus_market.features import BY_OUTPUT, FeatureColumns, History
from nexus_market.indicators import Bars, Floats
from unit.cortex.markets import (
    PRICES,
    START,
    candles,
    changed,
    mirrored,
    ready,
    said,
    said_of,
    scaled,
    stub,
    view_of,
    wild,
)

ALL = pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES)
TWO_SIDED = pytest.mark.parametrize(
    "strategy",
    [each for name, each in STRATEGIES.items() if name not in ("grid", "shark")],
    ids=lambda each: each.name,
)
OTHER_SIDE = {
    Action.ENTER_LONG: Action.ENTER_SHORT,
    Action.ENTER_SHORT: Action.ENTER_LONG,
    Action.EXIT_LONG: Action.EXIT_SHORT,
    Action.EXIT_SHORT: Action.EXIT_LONG,
}
BARS = 1_100
_seeds = st.integers(0, 1_000_000)


def macro(seed: int, timeframe: Timeframe, sign: int = 1) -> MacroTrend:
    """A direction that changes every 40 candles."""
    direction = np.random.default_rng(seed).integers(-1, 2, BARS // 40 + 1)
    times = START + np.arange(len(direction)) * 40 * timeframe.seconds * 1_000
    flat = np.zeros(len(direction))
    return MacroTrend(times, sign * direction, flat, flat + 50.0)


def gist(proposal: Proposal) -> tuple[object, ...]:
    """What a proposal comes to, but for its figures."""
    return proposal.failed_rule, proposal.since, proposal.timeframe


def decisions(
    found: Iterable[tuple[int, Proposal]], turned: bool = False
) -> dict[tuple[int, Action], Proposal]:
    return {(close, OTHER_SIDE[each.action] if turned else each.action): each for close, each in found}


def agree(
    these: dict[tuple[int, Action], Proposal], those: dict[tuple[int, Action], Proposal], factor: float
) -> None:
    """The same decisions, as sure, with distances `factor` times as long."""
    assert {key: gist(each) for key, each in these.items()} == {
        key: gist(each) for key, each in those.items()
    }
    for key, each in these.items():
        other = those[key]
        assert float(other.confidence) == pytest.approx(float(each.confidence), abs=1e-6)
        if each.plan is not None and other.plan is not None:
            for name in ("stop_distance", "target_distance", "trail_distance"):
                ratio = getattr(other.plan, name) / getattr(each.plan, name)
                assert float(ratio) == pytest.approx(factor, rel=1e-6)


@ALL
def test_the_markets_below_hold_entries_of_every_kind(strategy) -> None:
    entered: set[Action] = set()
    for seed in range(6):
        found = said_of(strategy, wild(seed, BARS, strategy.timeframe))
        entered |= {each.action for _, each in found if each.action.is_entry and each.failed_rule is None}

    both = {Action.ENTER_LONG, Action.ENTER_SHORT}
    assert entered == {"grid": {Action.OPEN_GRID}, "shark": {Action.ENTER_SHORT}}.get(strategy.name, both)


@TWO_SIDED
@settings(max_examples=8, deadline=None)
@given(seed=_seeds)
def test_long_and_short_are_each_others_mirror(strategy, seed) -> None:
    bars = wild(seed, BARS, strategy.timeframe)
    plain = said_of(strategy, bars, macro=macro(seed, strategy.timeframe))
    turned = said_of(
        strategy, mirrored(bars, float(bars.high.max())), macro=macro(seed, strategy.timeframe, sign=-1)
    )

    agree(decisions(plain), decisions(turned, turned=True), 1.0)


@ALL
@settings(max_examples=4, deadline=None)
@given(seed=_seeds, exponent=st.integers(-10, 10))
def test_a_price_in_a_power_of_two_says_the_same_to_the_last_digit(strategy, seed, exponent) -> None:
    bars = wild(seed, BARS, strategy.timeframe)
    plain, doubled = (decisions(said_of(strategy, each)) for each in (bars, scaled(bars, 2.0**exponent)))

    agree(plain, doubled, 2.0**exponent)
    assert [each.confidence for each in plain.values()] == [each.confidence for each in doubled.values()]


@ALL
@settings(max_examples=4, deadline=None)
@given(seed=_seeds, factor=st.floats(1e-3, 1e3))
def test_a_price_in_any_other_unit_says_the_same(strategy, seed, factor) -> None:
    """Without ticks: rounding would part what is alike, such as a close and the mean of twenty."""
    bars = wild(seed, BARS, strategy.timeframe, ticks=False)

    agree(decisions(said_of(strategy, bars)), decisions(said_of(strategy, scaled(bars, factor))), factor)


@ALL
@settings(max_examples=6, deadline=None)
@given(seed=_seeds, cut=st.integers(650, BARS - 20))
def test_the_future_never_changes_what_was_said(strategy, seed, cut) -> None:
    bars = wild(seed, BARS, strategy.timeframe)
    last = int(bars.open_time[cut - 1]) + strategy.timeframe.seconds * 1_000
    known = [each for each in said_of(strategy, bars) if each[0] <= last]

    assert said_of(strategy, bars[:cut]) == known


@ALL
def test_a_live_row_says_what_its_block_says(strategy) -> None:
    bars = wild(7, BARS, strategy.timeframe)
    trend = macro(7, strategy.timeframe)
    history, live = History(strategy.timeframe), []
    for row in zip(*(getattr(bars, name).tolist() for name in ("open_time", *PRICES, "volume")), strict=True):
        history.add(row)
        columns = ready(strategy, history.columns())
        if len(columns):
            live += said(strategy, view_of(columns, macro=trend))

    assert live == said_of(strategy, bars, macro=trend)


class Watched(FeatureColumns):
    """Columns that remember what was read of them."""

    __slots__ = ("seen",)

    seen: dict[str, int]

    def column(self, name: str, lag: int = 0) -> Floats:
        self.seen[name] = max(lag, self.seen.get(name, 0))
        return super().column(name, lag)


@ALL
def test_it_reads_only_the_features_it_names_and_no_further_back(strategy) -> None:
    bars = wild(3, BARS, strategy.timeframe)
    columns = Watched(bars, 700, strategy.timeframe)
    columns.seen = {}
    strategy.setups(view_of(columns))

    assert columns.seen.keys() & BY_OUTPUT.keys() <= set(strategy.needs)
    assert max(columns.seen.values()) == strategy.lag


@ALL
def test_figures_that_are_not_numbers_trigger_nothing(strategy) -> None:
    nothing = dict.fromkeys((*strategy.needs, "open", "high", "low", "volume"), float("nan"))

    for close in (100.0, float("nan")):
        assert said(strategy, view_of(stub(strategy.timeframe, strategy.lag, close=close, **nothing))) == []


@ALL
def test_forty_candles_are_too_few(strategy) -> None:
    assert said_of(strategy, wild(1, 40, strategy.timeframe)) == []


def entered(strategy: Strategy, bars: Bars, since: int = 0) -> list[Proposal]:
    """The entries raised from bar `since` on."""
    first = int(bars.open_time[since])
    found = [each for close, each in said_of(strategy, bars) if close > first]
    return [each for each in found if each.action.is_entry and each.failed_rule is None]


@ALL
def test_nobody_enters_a_flat_price(strategy) -> None:
    flat = changed(candles([100.0] * BARS, strategy.timeframe, wick=0.0), -1, volume=1_000.0)

    assert entered(strategy, flat) == []


@ALL
def test_nobody_enters_a_price_that_stands_still_since_long(strategy) -> None:
    before = wild(2, 900, strategy.timeframe).close.tolist()
    flat = candles([*before, *[before[-1]] * 700], strategy.timeframe, wick=0.0)
    flat = changed(flat, -1, volume=1_000.0)

    assert entered(strategy, flat, since=1_400) == []


@ALL
def test_without_volume_who_reads_it_stays_out_and_the_others_say_the_same(strategy) -> None:
    bars = wild(4, BARS, strategy.timeframe)
    silent = replace(bars, volume=np.zeros(len(bars)))

    if "volume_sma20" in strategy.needs:
        assert entered(strategy, silent) == []
    else:
        loud, quiet = ([gist(each) for each in entered(strategy, held)] for held in (bars, silent))
        assert loud == quiet != []


@ALL
def test_a_hole_of_two_days_is_stepped_over(strategy) -> None:
    bars = wild(5, BARS, strategy.timeframe)
    hole = 48 * 3_600_000
    late = np.where(np.arange(len(bars)) >= 800, bars.open_time + hole, bars.open_time)
    torn = replace(bars, open_time=late)

    before = [each for each in said_of(strategy, bars) if each[0] <= bars.open_time[800]]
    assert [each for each in said_of(strategy, torn) if each[0] <= bars.open_time[800]] == before
    assert all(np.isfinite(float(each.confidence)) for _, each in said_of(strategy, torn))


@ALL
@pytest.mark.parametrize("factor", [1e-6, 0.01, 100.0, 1e6])
@pytest.mark.parametrize("whole", [True, False], ids=["its close", "its wick"])
def test_a_single_huge_print_leads_to_no_entry_that_shield_lets_through(strategy, factor, whole) -> None:
    """A stop over 5 % of the price refuses an entry; so far away are those of whoever enters at once."""
    bars = wild(3, BARS, strategy.timeframe)
    print_ = float(bars.close[700]) * factor
    bars = changed(bars, 700, **({"high": print_} if factor > 1.0 else {"low": print_}))
    if whole:
        bars = changed(bars, 700, close=print_)
    after = int(bars.open_time[705])

    for close, proposal in said_of(strategy, bars):
        if bars.open_time[700] < close <= after and proposal.plan is not None:
            assert proposal.plan.stop_distance > proposal.price / 20


def test_the_table_begins_with_the_seeds_strategies_in_their_order() -> None:
    own = [(name, strategy.timeframe, strategy.timeframes) for name, strategy in STRATEGIES.items()]

    assert own[:5] == [
        ("trend", Timeframe.M15, (Timeframe.M15, Timeframe.H1, Timeframe.H4)),
        ("scalping", Timeframe.M5, (Timeframe.M5, Timeframe.M15)),
        ("mean_reversion", Timeframe.H1, (Timeframe.H1, Timeframe.H4)),
        ("grid", Timeframe.H1, (Timeframe.M15, Timeframe.H1, Timeframe.H4)),
        ("shark", Timeframe.M15, (Timeframe.M15,)),
    ]


def test_thresholds_can_be_changed_by_name() -> None:
    table = with_parameters(
        {
            "trend": {"adx_min": "30", "stop_atr": 2, "time_stop_bars": 48, "leverage_hint": Decimal(3)},
            "grid": {"levels": 4, "cost_multiple_min": 2},
            "shark": {"leverage_hint": None},
        }
    )

    changed = table["trend"].parameters
    assert isinstance(changed, TrendParameters)
    assert (changed.adx_min, changed.stop_atr, changed.time_stop_bars) == (30.0, Decimal(2), 48)
    assert changed.leverage_hint == 3
    assert table["shark"].parameters.leverage_hint is None
    assert STRATEGIES["trend"].parameters == TrendParameters()


@ALL
def test_every_threshold_of_every_strategy_can_be_set_to_what_it_is(strategy) -> None:
    same = {field.name: getattr(strategy.parameters, field.name) for field in fields(strategy.parameters)}
    spelled = {name: None if value is None else str(value) for name, value in same.items()}

    assert with_parameters({strategy.name: spelled})[strategy.name] == strategy


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"flow": {}}, "there is no strategy 'flow'"),
        ({"trend": {"adx": 1}}, "no parameter 'adx'"),
        ({"shark": {"stop_atr": "wide"}}, "shark.stop_atr cannot be 'wide'"),
        ({"scalping": {"time_stop_bars": Decimal("12.5")}}, "scalping.time_stop_bars cannot be"),
        ({"scalping": {"time_stop_bars": None}}, "scalping.time_stop_bars cannot be None"),
        ({"scalping": {"time_stop_bars": 0}}, "scalping: time_stop_bars cannot be 0"),
        ({"grid": {"levels": 0}}, "grid: levels cannot be 0"),
        ({"grid": {"adx_max": "nan"}}, "grid: adx_max cannot be nan"),
        ({"grid": {"adx_max": -1}}, "grid: adx_max cannot be -1"),
        ({"trend": {"stop_atr": 0}}, "trend: stop_atr cannot be 0"),
        ({"trend": {"target_atr": "Infinity"}}, "trend: target_atr cannot be Infinity"),
        ({"shark": {"leverage_hint": 0}}, "shark: leverage_hint cannot be 0"),
    ],
)
def test_a_threshold_that_cannot_be_is_refused_by_name(overrides, words) -> None:
    with pytest.raises(ValueError, match=words):
        with_parameters(overrides)


@pytest.mark.parametrize("name", ["trend", "scalping", "shark"])
def test_thresholds_of_nothing_divide_by_nothing(name) -> None:
    thresholds = {
        "trend": ["adx_min"],
        "scalping": ["rsi_max", "volume_ratio_min"],
        "shark": ["adx_min", "rsi_min"],
    }
    strategy = with_parameters({name: dict.fromkeys(thresholds[name], 0)})[name]

    assert all(0 <= each.confidence <= 1 for _, each in said_of(strategy, wild(1, BARS, strategy.timeframe)))


def test_a_strategy_moves_to_another_timeframe_that_it_is_made_for() -> None:
    moved = with_timeframes(STRATEGIES, {"grid": Timeframe.M15})

    assert moved["grid"].timeframe is Timeframe.M15
    assert {name: each for name, each in moved.items() if name != "grid"} == {
        name: each for name, each in STRATEGIES.items() if name != "grid"
    }
    with pytest.raises(ValueError, match="scalping cannot run on 4h; it runs on 5m, 15m"):
        with_timeframes(STRATEGIES, {"scalping": Timeframe.H4})
    with pytest.raises(ValueError, match="there is no strategy 'flow'"):
        with_timeframes(STRATEGIES, {"flow": Timeframe.H4})
