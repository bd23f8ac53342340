"""Signals, the regime, and what was withheld. Owner: cortex, streams `signal-{venue}.{symbol}`."""

from __future__ import annotations

from enum import StrEnum

from nexus_common.contracts.message import Event
from nexus_common.contracts.values import Direction, Fraction, Instant, Number, Price, Symbol, Timeframe, Value, Venue


class Action(StrEnum):
    ENTER_LONG = "enter_long"
    ENTER_SHORT = "enter_short"
    EXIT_LONG = "exit_long"
    EXIT_SHORT = "exit_short"

    @property
    def is_entry(self) -> bool:
        return self in (Action.ENTER_LONG, Action.ENTER_SHORT)

    @property
    def direction(self) -> Direction:
        return Direction.LONG if self in (Action.ENTER_LONG, Action.EXIT_LONG) else Direction.SHORT


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


class RegimeRead(Event):
    """The regime of an instrument changed at a close of the main view (15m)."""

    type = "signal.regime_read"

    venue: Venue
    symbol: Symbol
    candle_close: Instant
    regime: Regime
    strategy: str
    confidence: Fraction
    model_version: str
    inputs: dict[str, Number]


class SignalRaised(Event):
    """A strategy wants to enter or to leave; entries carry their exit plan."""

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
    model_version: str
    features: dict[str, Number]
    reasons: tuple[str, ...]
    valid_until: Instant

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
