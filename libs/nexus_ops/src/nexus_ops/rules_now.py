"""The rules of every strategy at the last close of its own timeframe, as cortex's own domain evaluates them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from nexus_common.contracts.signal import RegimeReading
from nexus_common.contracts.values import Symbol, Timeframe, Venue, format_instant
from nexus_cortex.domain.evaluation import MAIN, Evaluated, Evaluation
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
    """An entry whose trigger holds, and the rules behind the trigger."""

    action: str
    rules: tuple[RuleNow, ...]


@dataclass(frozen=True, slots=True)
class StrategyNow:
    """A strategy at the last close of its timeframe; `close` is None where there is no candle of that yet.

    `called` says whether the regime lets it trade under `auto`; no action: the trigger of no entry holds.
    `features` are those it reads, as far as they are ready.
    """

    name: str
    description: str
    timeframe: Timeframe
    close: datetime | None
    is_ready: bool
    called: bool
    actions: tuple[ActionNow, ...]
    features: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        return {
            "strategy": self.name,
            "description": self.description,
            "timeframe": str(self.timeframe),
            "close": None if self.close is None else format_instant(self.close),
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
        if self.close is None:
            yield chapter, f"no {self.timeframe} candle yet"
            return
        yield chapter, f"last {self.timeframe} close {self.close:%Y-%m-%d %H:%M}"
        if not self.is_ready:
            yield chapter, "warming up: too few candles"
            return
        if not self.called:
            yield chapter, "FAIL regime: it calls for another strategy"
        if not self.actions:
            yield chapter, "FAIL trigger: no entry is triggered at this close"
        for each in self.actions:
            yield chapter, f"ok   trigger of {each.action.replace('_', ' ')}"
            for rule in each.rules:
                yield chapter, f"ok   {rule.name}" if rule.passed else f"FAIL {rule.name}: {rule.figures}"
        yield chapter, "figures: " + "  ".join(f"{name} {value:.6g}" for name, value in self.features.items())


@dataclass(frozen=True, slots=True)
class RulesNow:
    """An instrument at its last closes; `regime` is None until the main view has warmed up."""

    close: datetime | None
    regime: RegimeReading | None
    sangria: str | None
    strategies: tuple[StrategyNow, ...]


def rules_now(cortex: CortexReactor, venue: Venue, symbol: Symbol) -> RulesNow:
    """What `cortex` makes of the last candles that it has observed of an instrument."""
    evaluations = {each.view.bars.timeframe: each for each in cortex.judged(venue, symbol)}
    main = evaluations.get(MAIN)
    reading = None if main is None else main.reading(0)
    found = {each.strategy.name: each for one in evaluations.values() for each in one.evaluated}
    table = {**STRATEGIES, **{name: each.strategy for name, each in found.items()}}
    return RulesNow(
        None if main is None else _closed(main.view),
        reading,
        None if main is None else main.view.mood.sangria(venue, int(main.view.bars.close_time()[0])),
        tuple(
            _now(strategy, evaluations.get(strategy.timeframe), found.get(name), reading)
            for name, strategy in table.items()
        ),
    )


def _closed(view: MarketView) -> datetime:
    return from_millis(int(view.bars.close_time()[0]))


def _now(
    strategy: Strategy,
    evaluation: Evaluation | None,
    evaluated: Evaluated | None,
    reading: RegimeReading | None,
) -> StrategyNow:
    setups = () if evaluated is None else evaluated.setups
    return StrategyNow(
        strategy.name,
        strategy.description,
        strategy.timeframe,
        None if evaluation is None else _closed(evaluation.view),
        evaluated is not None,
        not strategy.bound_to_regime
        or (reading is not None and strategy.name in (reading.strategy, *reading.also)),
        tuple(_action(setup) for setup in setups if setup.action.is_entry and setup.trigger[0]),
        {} if evaluation is None else _figures(strategy, evaluation.view),
    )


def _figures(strategy: Strategy, view: MarketView) -> dict[str, float]:
    ready = view.bars.snapshot(0)
    read = {name: ready[name] for name in strategy.needs if name in ready}
    return {"close": float(view.bars.column("close")[0]), **read}


def _action(setup: Setup) -> ActionNow:
    rules = (
        RuleNow(rule.name, bool(rule.holds[0]), "" if rule.holds[0] else rule.figures(0))
        for rule in setup.rules
    )
    return ActionNow(str(setup.action), tuple(rules))
