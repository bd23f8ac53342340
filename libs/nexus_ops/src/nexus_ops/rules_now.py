"""The rules of every strategy at the last close of an instrument, as cortex's own domain evaluates them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from nexus_common.contracts.values import Symbol, Venue
from nexus_cortex.domain.evaluation import Evaluated
from nexus_cortex.domain.strategies import STRATEGIES
from nexus_cortex.domain.strategies.strategy import MarketView, Setup, Strategy
from nexus_cortex.handlers import CortexReactor
from nexus_market.candles import from_millis


@dataclass(frozen=True, slots=True)
class RuleNow:
    """One rule; `figures` say why it does not hold."""

    name: str
    passed: bool
    figures: str


@dataclass(frozen=True, slots=True)
class ActionNow:
    """An action whose trigger holds, and the rules behind the trigger."""

    action: str
    rules: tuple[RuleNow, ...]


@dataclass(frozen=True, slots=True)
class StrategyNow:
    """A strategy at one close. `called` says whether the regime lets it trade under `auto`; no action: its trigger
    does not hold. `features` are those it reads, as far as they are ready.
    """

    name: str
    description: str
    is_ready: bool
    called: bool
    actions: tuple[ActionNow, ...]
    features: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        return {
            "strategy": self.name,
            "description": self.description,
            "ready": self.is_ready,
            "called_by_regime": self.called,
            "trigger": bool(self.actions),
            "actions": [
                {
                    "action": each.action,
                    "rules": [
                        {"name": rule.name, "passed": rule.passed, "figures": rule.figures}
                        for rule in each.rules
                    ],
                }
                for each in self.actions
            ],
            "features": self.features,
        }

    def lines(self) -> Iterator[tuple[str, str]]:
        chapter = f"Strategy {self.name}"
        yield chapter, self.description
        if not self.is_ready:
            yield chapter, "warming up: too few candles"
            return
        if not self.called:
            yield chapter, "FAIL regime: it calls for another strategy"
        if not self.actions:
            yield chapter, "FAIL trigger: it does not hold at this close"
        for each in self.actions:
            yield chapter, f"ok   trigger of {each.action.replace('_', ' ')}"
            for rule in each.rules:
                yield chapter, f"ok   {rule.name}" if rule.passed else f"FAIL {rule.name}: {rule.figures}"
        yield chapter, "figures: " + "  ".join(f"{name} {value:.6g}" for name, value in self.features.items())


def rules_now(
    cortex: CortexReactor, venue: Venue, symbol: Symbol
) -> tuple[datetime | None, tuple[StrategyNow, ...]]:
    """The last 15m close that `cortex` has observed of an instrument, and every strategy at it."""
    evaluations = cortex.judged(venue, symbol)
    if not evaluations:
        return None, ()
    main = evaluations[0]
    reading = main.reading(0)
    found = {each.strategy.name: each for evaluation in evaluations for each in evaluation.evaluated}
    views = {evaluation.view.bars.timeframe: evaluation.view for evaluation in evaluations}
    close = from_millis(int(main.view.bars.close_time()[0]))
    table = {**STRATEGIES, **{name: each.strategy for name, each in found.items()}}
    return close, tuple(
        _now(
            strategy,
            views.get(strategy.timeframe, main.view),
            found.get(name),
            None if reading is None else reading.strategy,
        )
        for name, strategy in table.items()
    )


def _now(
    strategy: Strategy, view: MarketView, evaluated: Evaluated | None, wanted: str | None
) -> StrategyNow:
    ready = view.bars.snapshot(0)
    setups = () if evaluated is None else tuple(setup for setup in evaluated.setups if setup.trigger[0])
    return StrategyNow(
        strategy.name,
        strategy.description,
        evaluated is not None,
        not strategy.bound_to_regime or strategy.name == wanted,
        tuple(_action(setup) for setup in setups),
        {
            "close": float(view.bars.column("close")[0]),
            **{name: ready[name] for name in strategy.needs if name in ready},
        },
    )


def _action(setup: Setup) -> ActionNow:
    rules = (
        RuleNow(rule.name, bool(rule.holds[0]), "" if rule.holds[0] else rule.figures(0))
        for rule in setup.rules
    )
    return ActionNow(str(setup.action), tuple(rules))
