"""The decider of `signal-{venue}.{symbol}`: what is recorded of a close."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Final, assert_never

from nexus_common.contracts.decider import Decider
from nexus_common.contracts.signal import (
    Action,
    JudgeMarket,
    Proposal,
    Regime,
    RegimeRead,
    SignalEvent,
    SignalRaised,
    SignalWithheld,
)

RegimeClass = tuple[Regime, str, Decimal]
EXIT_OF: Final = {Action.ENTER_LONG: Action.EXIT_LONG, Action.ENTER_SHORT: Action.EXIT_SHORT}
ENTRY_OF: Final = {exit_: entry for entry, exit_ in EXIT_OF.items()}


@dataclass(frozen=True, slots=True)
class SignalState:
    """`raised`: for each strategy and action the close of the last candle that raised it."""

    judged: datetime | None = None
    regime: RegimeClass | None = None
    raised: Mapping[tuple[str, Action], datetime] = field(default_factory=dict)

    def last(self, strategy: str, action: Action) -> datetime | None:
        return self.raised.get((strategy, action))

    def is_entered(self, strategy: str, action: Action) -> bool:
        """Whether this entry was raised and not followed by its exit."""
        entered, left = self.last(strategy, action), self.last(strategy, EXIT_OF[action])
        return entered is not None and (left is None or left < entered)


def decide(command: JudgeMarket, state: SignalState) -> list[SignalEvent]:
    """A change of regime, then exits, then entries. A candle judged before is judged no more."""
    if state.judged is not None and command.candle_close <= state.judged:
        return []
    events: list[SignalEvent] = []
    reading = command.reading
    if regime_class(reading.regime, reading.strategy, reading.confidence) != state.regime:
        events.append(_regime_read(command))
    entries = [proposal for proposal in command.proposals if proposal.action.is_entry]
    exits = [proposal for proposal in command.proposals if not proposal.action.is_entry]
    events += [_raised(command, p, True) for p in exits if _leaves(p, state)]
    events += [_judged(command, proposal, state) for proposal in entries]
    return events


def _leaves(proposal: Proposal, state: SignalState) -> bool:
    """An exit is for whoever followed this strategy in; without an entry before it, it is for nobody."""
    return state.is_entered(proposal.strategy, ENTRY_OF[proposal.action])


def _judged(command: JudgeMarket, proposal: Proposal, state: SignalState) -> SignalEvent:
    within_regime = not proposal.bound_to_regime or command.reading.strategy == proposal.strategy
    last = state.last(proposal.strategy, proposal.action)
    if proposal.failed_rule is not None:
        return _withheld(command, proposal, proposal.failed_rule, proposal.detail)
    if not within_regime and proposal.strategy not in command.by_hand:
        detail = f"{command.reading.regime} calls for {command.reading.strategy}"
        return _withheld(command, proposal, "regime", detail)
    if last is not None and last >= proposal.since:
        return _withheld(command, proposal, "once", f"raised for this situation at {last:%Y-%m-%d %H:%M}")
    return _raised(command, proposal, within_regime)


def _regime_read(command: JudgeMarket) -> RegimeRead:
    reading = command.reading
    return RegimeRead(
        venue=command.venue,
        symbol=command.symbol,
        candle_close=command.candle_close,
        regime=reading.regime,
        strategy=reading.strategy,
        confidence=reading.confidence,
        model_version=reading.model_version,
        inputs=reading.inputs,
    )


def _raised(command: JudgeMarket, proposal: Proposal, within_regime: bool) -> SignalRaised:
    return SignalRaised(
        venue=command.venue,
        symbol=command.symbol,
        strategy=proposal.strategy,
        action=proposal.action,
        timeframe=proposal.timeframe,
        candle_close=command.candle_close,
        price=proposal.price,
        atr=proposal.atr,
        atr_mean=proposal.atr_mean,
        plan=proposal.plan,
        confidence=proposal.confidence,
        leverage_hint=proposal.leverage_hint,
        regime=command.reading.regime,
        within_regime=within_regime,
        model_version=command.reading.model_version,
        features=proposal.features,
        reasons=proposal.reasons,
        valid_until=command.candle_close + proposal.timeframe.duration,
    )


def _withheld(command: JudgeMarket, proposal: Proposal, rule: str, detail: str) -> SignalWithheld:
    return SignalWithheld(
        venue=command.venue,
        symbol=command.symbol,
        strategy=proposal.strategy,
        action=proposal.action,
        timeframe=proposal.timeframe,
        candle_close=command.candle_close,
        price=proposal.price,
        failed_rule=rule,
        detail=detail,
    )


def regime_class(regime: Regime, strategy: str, confidence: Decimal) -> RegimeClass:
    """What a change of regime is: confidence counts in steps of 0.05."""
    return regime, strategy, (confidence * 20).quantize(Decimal(1)) / 20


def evolve(state: SignalState, event: SignalEvent) -> SignalState:
    match event:
        case RegimeRead():
            now = regime_class(event.regime, event.strategy, event.confidence)
            return replace(state, judged=event.candle_close, regime=now)
        case SignalRaised():
            raised = {**state.raised, (event.strategy, event.action): event.candle_close}
            return replace(state, judged=event.candle_close, raised=raised)
        case SignalWithheld():
            return replace(state, judged=event.candle_close)
        case _:
            assert_never(event)


SIGNALS: Final = Decider("signal", SignalState(), decide, evolve)
