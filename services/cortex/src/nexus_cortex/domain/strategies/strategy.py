"""What a strategy is: a pure function over feature columns, on one row and on a block alike.

It gives one `Setup` for each action it knows. Of a row where the trigger holds, `propose` makes what is
recorded: the first rule that failed, or a full proposal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from decimal import Decimal
from math import isfinite
from typing import Any, Final

import numpy as np

from nexus_common.contracts.signal import Action, ExitPlan, LadderPlan, Proposal
from nexus_common.contracts.values import Symbol, Timeframe, Venue
from nexus_cortex.domain.figures import decimal_of
from nexus_cortex.domain.micro import Micro, no_micro
from nexus_cortex.domain.regime import MacroTrend
from nexus_cortex.domain.sangria import Mood
from nexus_market.candles import from_millis, spell
from nexus_market.features import FeatureColumns
from nexus_market.indicators import Bools, Floats, Ints

FEATURES_OF_A_SIGNAL: Final = ("atr14", "atr_mean50")
RANGE_MIN: Final = 1e-6
UNNAMED: Final = Symbol("")


@dataclass(frozen=True, slots=True)
class MarketView:
    """What a strategy may see of one instrument, at each row of `bars`, which are of its own timeframe.

    `maker_fee` is what a resting order costs, as a fraction of its value; None: the venue did not say.
    `micro` answers for 1m as of any close; ask it of rows that signal, and only of those.
    """

    bars: FeatureColumns
    macro: MacroTrend
    mood: Mood
    venue: Venue
    is_shark_target: bool
    maker_fee: float | None = None
    symbol: Symbol = UNNAMED
    micro: Micro = no_micro

    def since(self, row: int) -> MarketView:
        """The same from a later row on."""
        return self if row == 0 else replace(self, bars=self.bars.since(row))

    def sangria(self, times: Ints, where: Bools) -> Bools:
        """Whether the market was Sangria at these closes, asked only `where` it matters."""
        holds = np.zeros(len(times), dtype=np.bool_)
        for row in np.flatnonzero(where).tolist():
            holds[row] = self.mood.sangria(self.venue, int(times[row])) is not None
        return holds


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule behind the trigger: where it holds, and its figures of a row in words."""

    name: str
    holds: Bools
    figures: Callable[[int], str]


@dataclass(frozen=True, slots=True)
class Setup:
    """One action over all rows: `trigger` comes first, then `rules` in order.

    `since` is when a row's situation began (milliseconds); it is entered or left once. `plan` lays out how an
    entry of a row is left, given its ATR, where that does not follow from the parameters alone; `ladder` are the
    resting orders of a grid.
    """

    action: Action
    trigger: Bools
    rules: tuple[Rule, ...]
    confidence: Floats
    since: Ints
    reasons: Callable[[int], tuple[str, ...]]
    plan: Callable[[int, Decimal], ExitPlan] | None = None
    ladder: Callable[[int], LadderPlan] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitParameters:
    """Distances in ATR at the signal; the trail starts after `trail_after_r` times the stop distance.

    Raises ValueError for a figure below 0 or not finite, and for a distance or a count of 0.
    """

    stop_atr: Decimal
    target_atr: Decimal
    trail_atr: Decimal
    trail_after_r: Decimal = Decimal(1)
    time_stop_bars: int = 96
    leverage_hint: int | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is None:
                continue
            # A threshold may be 0; distances (decimals) and counts (integers) may not.
            is_enough = value >= 0 if isinstance(value, float) else value > 0
            if not (isfinite(value) and is_enough):
                raise ValueError(f"{field.name} cannot be {value}")


@dataclass(frozen=True, slots=True)
class Strategy:
    """An entry of the table of strategies.

    `timeframes` are those it may run on, `timeframe` the one it does run on; `needs` the features it reads, up to
    `lag` bars back; `bound_to_regime`: under `auto` it trades only while the regime names it.
    """

    name: str
    function: Callable[[MarketView, Any], tuple[Setup, ...]]
    parameters: ExitParameters
    timeframe: Timeframe
    timeframes: tuple[Timeframe, ...]
    needs: tuple[str, ...]
    lag: int
    bound_to_regime: bool
    description: str

    def setups(self, view: MarketView) -> tuple[Setup, ...]:
        """For a view whose rows are all ready."""
        return self.function(view, self.parameters)


def share(values: Floats, whole: Floats | float) -> Floats:
    """How much of the whole the values are, between 0 and 1; 0 where there is no whole."""
    full = np.where(whole > 0.0, whole, 1.0)
    return np.where(whole > 0.0, np.minimum(np.maximum(values, 0.0), full) / full, 0.0)


def moving(bars: FeatureColumns) -> Rule:
    """The last rule of every entry: the price moves, so that distances in ATR mean something.

    Wilder's average of flat prices fades and never ends, so the range is measured against the price.
    """
    atr, close = bars.column("atr14"), bars.column("close")
    holds = (atr > 0.0) & (atr >= RANGE_MIN * close)
    return Rule("range", holds, lambda row: f"ATR is {atr[row]:.6g}: the price does not move")


def propose(strategy: Strategy, setup: Setup, view: MarketView, row: int) -> Proposal:
    """What is recorded of a row whose trigger holds."""
    bars = view.bars
    failed = next((rule for rule in setup.rules if not rule.holds[row]), None)
    atr = decimal_of(bars.column("atr14")[row])
    is_entry = setup.action.is_entry and failed is None
    return Proposal(
        strategy=strategy.name,
        action=setup.action,
        timeframe=bars.timeframe,
        price=spell(float(bars.column("close")[row])),
        atr=atr,
        atr_mean=decimal_of(bars.column("atr_mean50")[row]),
        plan=_plan(strategy.parameters, setup, row, atr) if is_entry else None,
        confidence=decimal_of(setup.confidence[row]),
        leverage_hint=strategy.parameters.leverage_hint if is_entry else None,
        bound_to_regime=strategy.bound_to_regime,
        since=from_millis(int(setup.since[row])),
        failed_rule=None if failed is None else failed.name,
        detail="" if failed is None else failed.figures(row),
        features={} if failed is not None else _features(strategy, view, row, is_entry),
        reasons=() if failed is not None else setup.reasons(row),
        ladder=setup.ladder(row) if is_entry and setup.ladder is not None else None,
    )


def _plan(parameters: ExitParameters, setup: Setup, row: int, atr: Decimal) -> ExitPlan:
    return plan_by_atr(parameters, atr) if setup.plan is None else setup.plan(row, atr)


def plan_by_atr(parameters: ExitParameters, atr: Decimal) -> ExitPlan:
    """Every distance a multiple of ATR."""
    return ExitPlan(
        stop_distance=parameters.stop_atr * atr,
        target_distance=parameters.target_atr * atr,
        trail_distance=parameters.trail_atr * atr,
        trail_after_r=parameters.trail_after_r,
        time_stop_bars=parameters.time_stop_bars,
    )


def _features(strategy: Strategy, view: MarketView, row: int, is_entry: bool) -> Mapping[str, Decimal]:
    """Every figure there is for an entry. Exits are proposed at every second close: what the strategy reads."""
    if is_entry:
        return _snapshot(view, row)
    return {name: decimal_of(view.bars.column(name)[row]) for name in strategy.needs}


def _snapshot(view: MarketView, row: int) -> Mapping[str, Decimal]:
    features = {name: decimal_of(value) for name, value in view.bars.snapshot(row).items()}
    at = int(view.bars.close_time()[row])
    if view.macro.is_known(at):
        features["macro_direction"] = decimal_of(view.macro.at(np.array([at]))[0])
    micro = view.micro(at)
    if micro is not None:
        features["micro_rsi14"] = decimal_of(micro.rsi14)
        features["micro_slope"] = decimal_of(micro.slope)
    return features
