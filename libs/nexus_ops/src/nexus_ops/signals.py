"""The signals that cortex gives on a market, before anybody weighs them: no shield, no orders, no account."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from nexus_common.contracts.signal import LadderPlan, SignalEvent, SignalRaised, SignalWithheld
from nexus_common.contracts.values import Symbol, Timeframe, format_instant
from nexus_common.runtime.desk import WorkDesk
from nexus_common.runtime.errors import ConfigurationError
from nexus_common.runtime.ports import Turn
from nexus_common.runtime.settings_sections import CortexSettings
from nexus_common.runtime.store.memory import MemoryStore
from nexus_cortex.domain.strategies import AUTO, STRATEGIES
from nexus_data.playback import PlayedMarket
from nexus_market.candles import from_millis
from nexus_ops.whole_market import whole_market_cortex

# Half of a position leaves at the plan's target distance, a quarter at one and a half times that.
TARGETS = (Decimal(1), Decimal("1.5"))
Advance = Callable[[datetime], None]


@dataclass
class SignalScan:
    """Cortex alone at a market that is known whole: the reactor of the running system, at each close that matters."""

    settings: CortexSettings
    market: PlayedMarket

    async def run(self, advance: Advance = lambda at: None) -> list[SignalEvent]:
        """Everything cortex records from start to end, in the order of time, timeframe and instrument."""
        cortex = whole_market_cortex(self.settings, self.market)
        desk = WorkDesk(MemoryStore(lazy=True), cortex.service.value, cortex.observe, keep_commands=False)
        found: list[SignalEvent] = []
        for number, close in enumerate(cortex.judged_closes or (), start=1):
            at = from_millis(close)
            desk.begin(())
            await cortex.react(Turn(at, number, 0, 1, 2), (), desk)
            await desk.commit()
            found.extend(recorded.event for recorded in desk.take_recorded())  # type: ignore[misc]
            advance(at)
        return found


def moved_to(timeframe: Timeframe, strategy: str) -> dict[str, Timeframe]:
    """The setting that lets a strategy, or with `auto` every one that can, run on this timeframe.

    Raises ConfigurationError when none can.
    """
    if strategy == AUTO:
        moves = {each.name: timeframe for each in STRATEGIES.values() if timeframe in each.timeframes}
        if not moves:
            raise ConfigurationError(f"no strategy can run on {timeframe}")
        return moves
    if strategy not in STRATEGIES:
        raise ConfigurationError(
            f"strategy {strategy!r} does not exist; choose {', '.join((AUTO, *STRATEGIES))}"
        )
    allowed = STRATEGIES[strategy].timeframes
    if timeframe not in allowed:
        raise ConfigurationError(f"{strategy} cannot run on {timeframe}; it runs on {', '.join(allowed)}")
    return {strategy: timeframe}


def row_of(event: SignalRaised) -> dict[str, Any]:
    """A signal as a row. Prices and distances in units of the quote currency, as JSON numbers.

    The targets of a ladder are the prices of its orders, rising; its two stops stand in `ladder`.
    """
    return {
        "venue": str(event.venue),
        "symbol": str(event.symbol),
        "timeframe": str(event.timeframe),
        "close_time": format_instant(event.candle_close),
        "strategy": event.strategy,
        "action": str(event.action),
        "price": float(event.price),
        "stop": None if event.stop is None or event.ladder is not None else float(event.stop),
        "targets": _targets(event),
        "ladder": None if event.ladder is None else _ladder(event.ladder),
        "confidence": float(event.confidence),
        "atr": float(event.atr),
        "regime": None if event.regime is None else str(event.regime),
        "reasons": list(event.reasons),
        "withheld": None,
    }


def withheld_row(event: SignalWithheld) -> dict[str, Any]:
    """A signal that was not given: `withheld` names the first rule that failed, `reasons` its figures."""
    return {
        "venue": str(event.venue),
        "symbol": str(event.symbol),
        "timeframe": str(event.timeframe),
        "close_time": format_instant(event.candle_close),
        "strategy": event.strategy,
        "action": str(event.action),
        "price": float(event.price),
        "stop": None,
        "targets": [],
        "ladder": None,
        "confidence": None,
        "atr": None,
        "regime": None,
        "reasons": [event.detail],
        "withheld": event.failed_rule,
    }


def _ladder(ladder: LadderPlan) -> dict[str, Any]:
    return {
        "centre": float(ladder.centre),
        "spacing": float(ladder.spacing),
        "levels": ladder.levels,
        "lower_stop": float(ladder.centre - ladder.reach),
        "upper_stop": float(ladder.centre + ladder.reach),
    }


def _targets(event: SignalRaised) -> list[float]:
    if event.ladder is not None:
        levels = range(-event.ladder.levels, event.ladder.levels + 1)
        return [float(event.ladder.centre + level * event.ladder.spacing) for level in levels if level]
    if event.plan is None:
        return []
    distance = event.action.direction.sign * event.plan.target_distance
    return [float(event.price + distance * times) for times in TARGETS]


def rows_of(events: list[SignalEvent], *, withheld: bool) -> list[dict[str, Any]]:
    """The rows of what was raised and, if asked for, of what was withheld; each knows the regime it stood in."""
    rows: list[dict[str, Any]] = []
    regimes: dict[Symbol, str] = {}
    for event in events:
        match event:
            case SignalRaised():
                rows.append(row_of(event))
            case SignalWithheld():
                if withheld:
                    rows.append({**withheld_row(event), "regime": regimes.get(event.symbol)})
            case _:
                regimes[event.symbol] = str(event.regime)
    return rows
