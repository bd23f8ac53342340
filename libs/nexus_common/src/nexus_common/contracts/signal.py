"""Signals, the regime, and what was withheld. Owner: cortex, streams `signal-{venue}.{symbol}`."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import ClassVar

from nexus_common.contracts.message import Event, command
from nexus_common.contracts.values import (
    Direction,
    Fraction,
    Instant,
    Number,
    Price,
    Symbol,
    Timeframe,
    Value,
    Venue,
)


class Action(StrEnum):
    ENTER_LONG = "enter_long"
    ENTER_SHORT = "enter_short"
    EXIT_LONG = "exit_long"
    EXIT_SHORT = "exit_short"
    OPEN_GRID = "open_grid"
    CLOSE_GRID = "close_grid"

    @property
    def is_entry(self) -> bool:
        return self in (Action.ENTER_LONG, Action.ENTER_SHORT, Action.OPEN_GRID)

    @property
    def direction(self) -> Direction:
        """Nominally long for a ladder, which trades both sides: whatever holds longs back holds it back too."""
        return Direction.SHORT if self in (Action.ENTER_SHORT, Action.EXIT_SHORT) else Direction.LONG


class Regime(StrEnum):
    TREND = "trend"
    VOLATILE = "volatile"
    RANGE_TIGHT = "range_tight"
    RANGE_WIDE = "range_wide"
    NORMAL = "normal"


class ExitPlan(Value):
    """How a trade is to be left, as distances from the entry price in units of price.

    Half of the position is taken at `target_distance`, a quarter at 1.5 times that, the rest trails by
    `trail_distance` once the trade has gained `trail_after_r` times its stop distance.
    """

    stop_distance: Price
    target_distance: Price
    trail_distance: Price
    trail_after_r: Number
    time_stop_bars: int


class LadderPlan(Value):
    """A grid's resting orders: `levels` on each side of `centre`, `spacing` apart, prices of the instrument.

    The stop of what is held lies `stop_beyond` past the last level of its side.
    """

    centre: Price
    spacing: Price
    levels: int
    stop_beyond: Price

    @property
    def reach(self) -> Decimal:
        """How far the stop lies from the centre."""
        return self.levels * self.spacing + self.stop_beyond

    @property
    def full_side_loss(self) -> Decimal:
        """What one unit a level loses at the stop when all levels of one side have filled, fees left out.

        The sum of `reach - k * spacing` over the levels k.
        """
        return self.levels * self.reach - self.levels * (self.levels + 1) // 2 * self.spacing


class RegimeRead(Event):
    """The regime of an instrument changed at a close of the main view (15m).

    `also` may trade beside `strategy` at a close at which that one does not enter. `fallback` is why rules were
    read although a model is in use: a kind, and its figures after a colon. It counts as a change when the kind does.
    """

    type = "signal.regime_read"

    venue: Venue
    symbol: Symbol
    candle_close: Instant
    regime: Regime
    strategy: str
    confidence: Fraction
    model_version: str
    inputs: dict[str, Number]
    also: tuple[str, ...] = ()
    fallback: str = ""

    later: ClassVar[tuple[str, ...]] = ("also", "fallback")


class SignalRaised(Event):
    """A strategy wants to enter or to leave; entries carry their exit plan, a grid's its ladder too.

    `within_regime`: the `auto` rule lets this strategy trade now. When not, it was evaluated only because
    a user chose it by hand, and it is for those users alone. `had_by_hand`: those were told of this situation
    before, and it is for the others alone, so that nobody's choice changes what another one hears.
    """

    type = "signal.raised"

    venue: Venue
    symbol: Symbol
    strategy: str
    action: Action
    timeframe: Timeframe
    candle_close: Instant
    price: Price
    atr: Price
    atr_mean: Price
    plan: ExitPlan | None
    confidence: Fraction
    leverage_hint: int | None
    regime: Regime | None
    within_regime: bool
    model_version: str
    features: dict[str, Number]
    reasons: tuple[str, ...]
    valid_until: Instant
    ladder: LadderPlan | None = None
    had_by_hand: bool = False

    later: ClassVar[tuple[str, ...]] = ("ladder", "had_by_hand")

    def is_for(self, choice: str) -> bool:
        """Whether it is for a user who chose this strategy, or `auto`."""
        return not self.had_by_hand if choice == self.strategy else self.within_regime

    @property
    def stop(self) -> Number | None:
        """The price at which the trade is given up, from the signal's own price."""
        if self.plan is None:
            return None
        return self.price - self.action.direction.sign * self.plan.stop_distance


class SignalWithheld(Event):
    """A strategy's trigger held, but a later rule did not: the first rule that failed."""

    type = "signal.withheld"

    venue: Venue
    symbol: Symbol
    strategy: str
    action: Action
    timeframe: Timeframe
    candle_close: Instant
    price: Price
    failed_rule: str
    detail: str


SignalEvent = RegimeRead | SignalRaised | SignalWithheld


class RegimeReading(Value):
    """What the market is like at a close, which strategy fits it, and the figures that say so.

    `also` may trade beside `strategy` at a close at which that one does not enter. `fallback` is why rules were
    read although a model is in use: a kind, and its figures after a colon; empty: no model is, or it was believed.
    """

    regime: Regime
    strategy: str
    confidence: Fraction
    model_version: str
    inputs: dict[str, Number]
    also: tuple[str, ...] = ()
    fallback: str = ""


class Proposal(Value):
    """What a strategy makes of one close: its trigger held for this action.

    `failed_rule` is the first rule that did not hold, with its figures in `detail`; None: all held. `since`
    is when the situation began: a signal raised at or after it was raised for the same situation, and there
    is no second one. `bound_to_regime`: under `auto` only while the regime names the strategy.
    """

    strategy: str
    action: Action
    timeframe: Timeframe
    price: Price
    atr: Number
    atr_mean: Number
    plan: ExitPlan | None
    confidence: Fraction
    leverage_hint: int | None
    bound_to_regime: bool
    since: Instant
    failed_rule: str | None
    detail: str
    features: dict[str, Number]
    reasons: tuple[str, ...]
    ladder: LadderPlan | None = None


@command("signal.judge_market")
@dataclass(frozen=True, slots=True)
class JudgeMarket:
    """Record what one close of one timeframe of one instrument says.

    `reading` comes with the main view (15m); at the closes of other timeframes the one on record holds. `auto`:
    strategies follow the regime; `by_hand` names those that someone chose whatever the regime.
    """

    at: Instant
    venue: Venue
    symbol: Symbol
    candle_close: Instant
    reading: RegimeReading | None
    proposals: tuple[Proposal, ...]
    auto: bool
    by_hand: tuple[str, ...]
    timeframe: Timeframe = Timeframe.M15
