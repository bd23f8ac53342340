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
    RegimeReading,
    SignalEvent,
    SignalRaised,
    SignalWithheld,
)
from nexus_common.contracts.values import Timeframe

EXIT_OF: Final = {
    Action.ENTER_LONG: Action.EXIT_LONG,
    Action.ENTER_SHORT: Action.EXIT_SHORT,
    Action.OPEN_GRID: Action.CLOSE_GRID,
}
ENTRY_OF: Final = {exit_: entry for entry, exit_ in EXIT_OF.items()}


@dataclass(frozen=True, slots=True)
class RegimeNow:
    """The regime that holds until the next one is read; a change of any of this is worth an event.

    Confidence counts in steps of 0.05; `fallback` is the kind of reason for reading rules, without its figures.
    """

    regime: Regime
    strategy: str
    confidence: Decimal
    model_version: str
    also: tuple[str, ...]
    fallback: str = ""

    @staticmethod
    def of(read: RegimeReading | RegimeRead) -> RegimeNow:
        steps = (read.confidence * 20).quantize(Decimal(1)) / 20
        kind = read.fallback.partition(":")[0]
        return RegimeNow(read.regime, read.strategy, steps, read.model_version, read.also, kind)


@dataclass(frozen=True, slots=True)
class SignalState:
    """`judged`: for each timeframe its last close; `raised`: for each strategy and action the close that raised it.

    `within` are those raised within the regime. `regime` is None until the main view has been read once.
    """

    judged: Mapping[Timeframe, datetime] = field(default_factory=dict)
    regime: RegimeNow | None = None
    raised: Mapping[tuple[str, Action], datetime] = field(default_factory=dict)
    within: Mapping[tuple[str, Action], datetime] = field(default_factory=dict)

    def last(self, strategy: str, action: Action) -> datetime | None:
        return self.raised.get((strategy, action))

    def is_entered(self, strategy: str, action: Action) -> bool:
        """Whether this entry was raised and not followed by its exit."""
        entered, left = self.last(strategy, action), self.last(strategy, EXIT_OF[action])
        return entered is not None and (left is None or left < entered)


def decide(command: JudgeMarket, state: SignalState) -> list[SignalEvent]:
    """A change of regime, then exits, then entries. A candle judged before is judged no more."""
    judged = state.judged.get(command.timeframe)
    if judged is not None and command.candle_close <= judged:
        return []
    events: list[SignalEvent] = []
    regime = state.regime
    if command.reading is not None and RegimeNow.of(command.reading) != regime:
        regime = RegimeNow.of(command.reading)
        events.append(_regime_read(command, command.reading))
    entries = [proposal for proposal in command.proposals if proposal.action.is_entry]
    exits = [proposal for proposal in command.proposals if not proposal.action.is_entry]
    events += [_raised(command, p, regime) for p in exits if _leaves(p, state)]
    events += [_judged(command, proposal, state, regime) for proposal in entries]
    return events


def _leaves(proposal: Proposal, state: SignalState) -> bool:
    """An exit is for whoever followed this strategy in; without an entry before it, it is for nobody."""
    return state.is_entered(proposal.strategy, ENTRY_OF[proposal.action])


def _judged(
    command: JudgeMarket, proposal: Proposal, state: SignalState, regime: RegimeNow | None
) -> SignalEvent:
    if proposal.failed_rule is not None:
        return _withheld(command, proposal, proposal.failed_rule, proposal.detail)
    hindrance = _outside(command, proposal, state, regime)
    if hindrance is not None and proposal.strategy not in command.by_hand:
        return _withheld(command, proposal, "regime", hindrance)
    key = (proposal.strategy, proposal.action)
    ever, within = state.raised.get(key), state.within.get(key)
    # Who follows the regime must not miss an entry because somebody who does not had it first.
    last = within if hindrance is None and command.auto else ever
    if last is not None and last >= proposal.since:
        return _withheld(command, proposal, "once", f"raised for this situation at {last:%Y-%m-%d %H:%M}")
    had_by_hand = ever is not None and ever >= proposal.since
    return _raised(command, proposal, regime, hindrance is None, had_by_hand)


def _outside(
    command: JudgeMarket, proposal: Proposal, state: SignalState, regime: RegimeNow | None
) -> str | None:
    """Why the regime does not let this strategy enter; None: it does, or it is not bound to it."""
    if not proposal.bound_to_regime:
        return None
    if regime is None:
        return "the regime was not read yet"
    if proposal.strategy == regime.strategy:
        return None
    if proposal.strategy not in regime.also:
        return f"{regime.regime} calls for {regime.strategy}"
    entered = [state.last(regime.strategy, action) for action in EXIT_OF]
    if command.candle_close in entered:
        return f"{regime.strategy} entered at this close"
    return None


def _regime_read(command: JudgeMarket, reading: RegimeReading) -> RegimeRead:
    return RegimeRead(
        venue=command.venue,
        symbol=command.symbol,
        candle_close=command.candle_close,
        regime=reading.regime,
        strategy=reading.strategy,
        confidence=reading.confidence,
        model_version=reading.model_version,
        inputs=reading.inputs,
        also=reading.also,
        fallback=reading.fallback,
    )


def _raised(
    command: JudgeMarket,
    proposal: Proposal,
    regime: RegimeNow | None,
    within_regime: bool = True,
    had_by_hand: bool = False,
) -> SignalRaised:
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
        regime=None if regime is None else regime.regime,
        within_regime=within_regime,
        model_version="" if regime is None else regime.model_version,
        features=proposal.features,
        reasons=proposal.reasons,
        valid_until=command.candle_close + proposal.timeframe.duration,
        ladder=proposal.ladder,
        had_by_hand=had_by_hand,
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


def evolve(state: SignalState, event: SignalEvent) -> SignalState:
    match event:
        case RegimeRead():
            judged = {**state.judged, Timeframe.M15: event.candle_close}
            return replace(state, judged=judged, regime=RegimeNow.of(event))
        case SignalRaised():
            told = {(event.strategy, event.action): event.candle_close}
            return replace(
                state,
                judged={**state.judged, event.timeframe: event.candle_close},
                raised={**state.raised, **told},
                within={**state.within, **told} if event.within_regime else state.within,
            )
        case SignalWithheld():
            return replace(state, judged={**state.judged, event.timeframe: event.candle_close})
        case _:
            assert_never(event)


SIGNALS: Final = Decider("signal", SignalState(), decide, evolve)
