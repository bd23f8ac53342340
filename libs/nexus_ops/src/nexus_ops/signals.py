"""The signals that cortex gives on a market, before anybody weighs them: no shield, no orders, no account."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from nexus_common.contracts.envelope import Envelope
from nexus_common.contracts.message import Event
from nexus_common.contracts.signal import SignalEvent, SignalRaised, SignalWithheld
from nexus_common.contracts.values import Symbol, Timeframe, format_instant
from nexus_common.runtime.desk import WorkDesk
from nexus_common.runtime.ports import Reactor, Turn
from nexus_common.runtime.store.memory import MemoryStore
from nexus_data.market_feed import Market, Step

# Half of a position leaves at the plan's target distance, a quarter at one and a half times that.
TARGETS = (Decimal(1), Decimal("1.5"))
# Bars of other timeframes pass by cortex unread.
READ = (Timeframe.M15, Timeframe.H4)
_NOBODY = UUID(int=0)
Advance = Callable[[datetime], None]


@dataclass
class SignalScan:
    """Cortex alone at a market: the same reactor as in the running system, asked at each 15m close."""

    cortex: Reactor
    market: Market

    async def run(self, advance: Advance = lambda at: None) -> list[SignalEvent]:
        """Everything cortex records from start to end, in the order of time and instrument."""
        desk = WorkDesk(
            MemoryStore(lazy=True), self.cortex.service.value, self.cortex.observe, keep_commands=False
        )
        found: list[SignalEvent] = []
        for event in self._before():
            self._hear(event, self.market.start)
        for number, step in enumerate(self.market.steps(), start=1):
            for event in _news(step):
                self._hear(event, step.at)
            if step.at.timestamp() % Timeframe.M15.seconds:
                continue
            desk.begin(())
            await self.cortex.react(Turn(step.at, number, 0, 1, 2), (), desk)
            await desk.commit()
            found.extend(recorded.event for recorded in desk.take_recorded())  # type: ignore[misc]
            advance(step.at)
        return found

    def _before(self) -> Iterator[Event]:
        for backfill in self.market.warmup():
            if backfill.timeframe in READ:
                yield backfill
        yield from self.market.macro_before()

    def _hear(self, event: Event, at: datetime) -> None:
        self.cortex.observe(Envelope(event, _NOBODY, "market-played", 1, _NOBODY, _NOBODY, None, at))


def _news(step: Step) -> Iterator[Event]:
    if step.macro is not None:
        yield step.macro
    if step.at.timestamp() % Timeframe.M15.seconds == 0:
        yield from step.closed


def row_of(event: SignalRaised) -> dict[str, Any]:
    """A signal as a row. Prices and distances in units of the quote currency, as JSON numbers."""
    return {
        "venue": str(event.venue),
        "symbol": str(event.symbol),
        "timeframe": str(event.timeframe),
        "close_time": format_instant(event.candle_close),
        "strategy": event.strategy,
        "action": str(event.action),
        "price": float(event.price),
        "stop": None if event.stop is None else float(event.stop),
        "targets": _targets(event),
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
        "confidence": None,
        "atr": None,
        "regime": None,
        "reasons": [event.detail],
        "withheld": event.failed_rule,
    }


def _targets(event: SignalRaised) -> list[float]:
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
