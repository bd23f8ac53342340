"""The life of a trade: the owner's mode, the entry, its protection, the way out, the result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import assert_never

from nexus_common.contracts.decider import Decider, InvariantBroken
from nexus_common.contracts.trade import (
    AbandonEntry,
    AdoptPosition,
    AnswerProposal,
    ConsiderVerdict,
    ExitReason,
    ExpireProposal,
    FundingNoted,
    MoveStop,
    MoveTargets,
    NoteFunding,
    OrderExit,
    ProtectionFailed,
    ProtectionSet,
    ReachTarget,
    RecordEntryFill,
    RecordExitFill,
    RecordLadderFill,
    ReportUnprotected,
    TightenTrail,
    TradeAbandoned,
    TradeClosed,
    TradeCommand,
    TradeDeclined,
    TradeEntered,
    TradeEvent,
    TradeReduced,
    WriteOffRest,
)
from nexus_executor.domain import ladder_fills
from nexus_executor.domain.admission import answer, consider
from nexus_executor.domain.adoption import adopt
from nexus_executor.domain.figures import exact, levels, plain, result, split
from nexus_executor.domain.management import REASONS, manage, order_exit
from nexus_executor.domain.trade_state import Phase, TradeState, evolve

_ZERO = Decimal(0)
_ADDED = "added by hand"


def decide(command: TradeCommand, state: TradeState) -> Sequence[TradeEvent]:
    match command:
        case ConsiderVerdict():
            return (consider(command),) if state.phase is Phase.NEW else ()
        case AnswerProposal():
            return (
                (answer(command, state.proposed),) if state.phase is Phase.PROPOSED and state.proposed else ()
            )
        case ExpireProposal():
            if state.phase is not Phase.PROPOSED or state.proposed is None:
                return ()
            return (TradeDeclined(trade_id=state.proposed.trade_id, reason=command.reason),)
        case RecordEntryFill() | RecordLadderFill() | RecordExitFill():
            return _filled(command, state)
        case AdoptPosition():
            return adopt(command) if state.phase is Phase.NEW else ()
        case NoteFunding():
            if state.phase is not Phase.OPEN:
                return ()
            return (FundingNoted(trade_id=state.terms.trade_id, amount=command.amount),)
        case MoveStop() | TightenTrail() | MoveTargets() | ReachTarget():
            return manage(command, state)
        case OrderExit():
            return order_exit(command.reason, command.detail, state)
        case AbandonEntry():
            return _abandon(command, state)
        case WriteOffRest():
            return _write_off(command, state)
        case ReportUnprotected():
            if not state.is_held or (state.exit and state.exit.reason is ExitReason.UNPROTECTED):
                return ()
            failed = ProtectionFailed(trade_id=state.terms.trade_id, detail=command.detail)
            return (failed, *order_exit(ExitReason.UNPROTECTED, command.detail, state))
        case _:
            assert_never(command)


def _filled(
    command: RecordEntryFill | RecordLadderFill | RecordExitFill, state: TradeState
) -> Sequence[TradeEvent]:
    match command:
        case RecordEntryFill():
            return _enter(command, state)
        case RecordLadderFill():
            return ladder_fills.fill(command, state)
        case RecordExitFill():
            return _leave(command, state)
        case _:
            assert_never(command)


def _enter(command: RecordEntryFill, state: TradeState) -> Sequence[TradeEvent]:
    # A fill can come to light after its order was given up; what the venue holds needs protection all the same.
    if state.phase not in (Phase.ADMITTED, Phase.OPEN, Phase.ABANDONED):
        raise InvariantBroken(f"an entry fill for a trade that is {state.phase}")
    terms = state.terms
    quantity = plain(state.quantity + command.quantity)
    value = exact(state.quantity * state.average_price) + command.quantity * command.price
    average = plain(value / quantity)
    entered = TradeEntered(
        trade_id=terms.trade_id,
        account=terms.account,
        venue=terms.venue,
        symbol=terms.symbol,
        direction=terms.direction,
        strategy=terms.strategy,
        quantity=quantity,
        average_price=average,
        margin=exact(value / terms.leverage),
        complete=command.complete,
        fees=plain(state.entry_fees + command.fee),
        opened_at=state.opened_at or command.at,
    )
    if state.exit is not None:
        return (entered,)
    return (entered, _protect(command, state, quantity, average))


def _protect(
    command: RecordEntryFill, state: TradeState, quantity: Decimal, average: Decimal
) -> ProtectionSet:
    terms = state.terms
    instrument, targets = command.instrument, command.targets
    whole = split(quantity, average, instrument, targets).is_whole
    lines = levels(average, terms.direction, terms.plan, instrument, targets, whole=whole)
    known = state.protection
    is_added = state.entry_complete and known is not None
    # Somebody added by hand: everything is laid anew, but a stop that has come further stays there.
    stop = lines.stop
    if known is not None and is_added and (known.stop - stop) * terms.direction.sign > 0:
        stop = known.stop
    trail = lines.trail_distance
    # One that was tightened stays so.
    if trail is not None and known is not None and known.trail_distance is not None:
        trail = min(trail, known.trail_distance)
    return ProtectionSet(
        trade_id=terms.trade_id,
        stop=stop,
        stop_quantity=plain(state.remaining + command.quantity),
        first_target=lines.first_target,
        second_target=lines.second_target,
        trail_distance=trail,
        trail_activation=lines.trail_activation,
        reason=_ADDED if is_added else "entry complete" if command.complete else "part of the entry filled",
    )


def _leave(command: RecordExitFill, state: TradeState) -> Sequence[TradeEvent]:
    if not state.is_held or command.quantity > state.remaining:
        raise InvariantBroken(
            f"{command.quantity} left a trade that is {state.phase} and holds {state.remaining}"
        )
    if state.ladder is not None:
        return ladder_fills.leave(command, state)
    remaining = plain(state.remaining - command.quantity)
    if remaining == 0 and state.entry_complete:
        return (_closed(state, command.leg, command.quantity * command.price, command.fee, command.at),)
    return (
        TradeReduced(
            trade_id=state.terms.trade_id,
            leg=command.leg,
            quantity=remaining,
            price=command.price,
            fee=command.fee,
        ),
    )


def _closed(state: TradeState, leg: str, value: Decimal, fee: Decimal, at: datetime) -> TradeClosed:
    terms = state.terms
    fees = state.entry_fees + state.exit_fees + fee
    figures = result(
        direction=terms.direction,
        quantity=state.quantity,
        entry_price=state.average_price,
        exit_value=state.exit_value + value,
        costs=fees + state.funding,
        stop_distance=terms.plan.stop_distance,
        leverage=terms.leverage,
        equity=terms.equity,
    )
    reason = REASONS.get(leg)
    if reason is None:
        reason = state.exit.reason if state.exit else ExitReason.MANUAL
    return TradeClosed(
        trade_id=terms.trade_id,
        account=terms.account,
        user=terms.user,
        venue=terms.venue,
        symbol=terms.symbol,
        direction=terms.direction,
        strategy=terms.strategy,
        timeframe=terms.timeframe,
        reason=reason,
        quantity=state.quantity,
        entry_price=state.average_price,
        exit_price=figures.exit_price,
        gross_profit=figures.gross,
        fees=plain(fees),
        funding=plain(state.funding),
        net_profit=figures.net,
        r_multiple=figures.r_multiple,
        return_on_margin=figures.return_on_margin,
        return_on_equity=figures.return_on_equity,
        opened_at=state.opened_at or at,
        closed_at=at,
        atr=terms.atr,
    )


def _write_off(command: WriteOffRest, state: TradeState) -> Sequence[TradeEvent]:
    """The rest counts as never held; where nothing else was traded, as gone at its own price."""
    if state.ladder is not None and state.is_held:
        return ladder_fills.write_off(state)
    if not state.is_held or not state.entry_complete:
        return ()
    traded = state.quantity - state.remaining
    if traded > 0:
        return (_closed(replace(state, quantity=traded), state.last_leg, _ZERO, _ZERO, command.at),)
    return (_closed(state, "", state.remaining * state.average_price, _ZERO, command.at),)


def _abandon(command: AbandonEntry, state: TradeState) -> Sequence[TradeEvent]:
    if state.entry_complete or state.phase not in (Phase.ADMITTED, Phase.OPEN):
        return ()
    if state.ladder is not None:
        return ladder_fills.end(command, state)
    terms = state.terms
    if state.phase is Phase.ADMITTED:
        return (
            TradeAbandoned(
                trade_id=terms.trade_id,
                account=terms.account,
                verdict_id=terms.verdict_id,
                symbol=terms.symbol,
                reason=command.reason,
            ),
        )
    entered = TradeEntered(
        trade_id=terms.trade_id,
        account=terms.account,
        venue=terms.venue,
        symbol=terms.symbol,
        direction=terms.direction,
        strategy=terms.strategy,
        quantity=state.quantity,
        average_price=state.average_price,
        margin=exact(state.quantity * state.average_price / terms.leverage),
        complete=True,
        fees=state.entry_fees,
        opened_at=state.opened_at,
    )
    if state.is_held:
        return (entered,)
    return (entered, _closed(state, state.last_leg, _ZERO, _ZERO, command.at))


TRADE: Decider[TradeCommand, TradeState, TradeEvent] = Decider("trade", TradeState(), decide, evolve)

__all__ = ["TRADE", "Phase", "TradeState", "decide", "evolve"]
