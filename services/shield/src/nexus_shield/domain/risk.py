"""The risk decider of one account: verdicts, and what they rest on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, assert_never

from nexus_common.contracts.decider import Decider
from nexus_common.contracts.risk import (
    ApproveExit,
    AssessEntry,
    BreakerReset,
    BreakerTripped,
    Check,
    DayOpened,
    EntriesHalted,
    EntriesResumed,
    EntryApproved,
    EntryRefused,
    ExitApproved,
    HaltEntries,
    MarkEquity,
    NotePosition,
    NoteReduction,
    NoteResult,
    PeakRaised,
    PositionNoted,
    ReleaseReservation,
    ReservationReleased,
    ResetBreaker,
    ResultNoted,
    ResumeEntries,
    RiskCommand,
    RiskEvent,
)
from nexus_common.contracts.values import Money
from nexus_shield.domain.breaker import cooldown, is_higher, loss_of_day, rest_until, utc_day
from nexus_shield.domain.case import Case, open_case
from nexus_shield.domain.checks import judge
from nexus_shield.domain.ladder import sized
from nexus_shield.domain.sizing import drawdown_of
from nexus_shield.domain.state import ZERO, RiskState, evolve


def decide(command: RiskCommand, state: RiskState) -> Sequence[RiskEvent]:
    """A flat table of commands: its length is its number of rows."""
    match command:
        case AssessEntry():
            return [assess(command, state)]
        case ApproveExit():
            return approve_exit(command, state)
        case NotePosition():
            return note_position(command, state)
        case NoteReduction():
            return note_reduction(command, state)
        case NoteResult():
            return note_result(command, state)
        case ReleaseReservation(verdict_id=verdict_id, request_id=request_id, reason=reason):
            if request_id not in state.reservations:
                return []
            return [ReservationReleased(verdict_id=verdict_id, request_id=request_id, reason=reason)]
        case MarkEquity():
            return mark_equity(command, state)
        case ResetBreaker(by=by, equity=equity):
            return [BreakerReset(by=by, equity=equity)]
        case HaltEntries(by=by):
            return [] if state.halted_by is not None else [EntriesHalted(by=by)]
        case ResumeEntries():
            return resume_entries(command, state)
        case _:
            assert_never(command)


def assess(command: AssessEntry, state: RiskState) -> EntryApproved | EntryRefused:
    case = open_case(command.request, command.context, state, command.at)
    checks = judge(case)
    failed = next((check for check in checks if not check.passed), None)
    if failed is None:
        return _approved(case, checks)
    request = command.request
    return EntryRefused(
        request_id=request.request_id,
        origin=request.origin,
        venue=request.venue,
        symbol=request.symbol,
        direction=request.direction,
        strategy=request.strategy,
        price=request.price,
        equity=command.context.equity,
        reason=failed.name,
        checks=checks,
    )


def _approved(case: Case, checks: tuple[Check, ...]) -> EntryApproved:
    request, plan, size, ladder = case.request, case.plan, case.size, case.ladder
    assert plan is not None, "the stop checks passed"
    assert size is not None, "the size check passed"
    assert request.price is not None, "the feed check passed"
    pause = cooldown(case.context.settings, request.timeframe, request.atr, request.atr_mean)
    return EntryApproved(
        request_id=request.request_id,
        origin=request.origin,
        venue=request.venue,
        symbol=request.symbol,
        direction=request.direction,
        strategy=request.strategy,
        timeframe=request.timeframe,
        quantity=size.quantity,
        leverage=size.leverage,
        margin=size.margin,
        notional=size.notional,
        price=request.price,
        stop=(ladder.centre if ladder else request.price) - request.direction.sign * plan.stop_distance,
        plan=plan,
        atr=request.atr or plan.stop_distance,
        risk=size.risk,
        equity=case.context.equity,
        confidence=request.confidence,
        checks=checks,
        valid_until=request.valid_until,
        cooldown_until=case.at + pause,
        ladder=None if ladder is None else sized(ladder, size),
    )


def approve_exit(command: ApproveExit, state: RiskState) -> Sequence[RiskEvent]:
    """Only for a position of that direction, or a ladder, which the same strategy opened."""
    wanted = (command.symbol, command.direction, command.strategy)
    held = [(h.exposure.symbol, h.exposure.direction, h.exposure.strategy) for h in state.holdings.values()]
    if wanted not in held and (command.symbol, command.strategy) not in state.ladders:
        return []
    return [
        ExitApproved(
            request_id=command.request_id,
            origin=command.origin,
            venue=command.venue,
            symbol=command.symbol,
            direction=command.direction,
            strategy=command.strategy,
            reason=command.reason,
        )
    ]


def note_position(command: NotePosition, state: RiskState) -> Sequence[RiskEvent]:
    noted = PositionNoted(
        trade_id=command.trade_id,
        request_id=command.request_id,
        venue=command.venue,
        symbol=command.symbol,
        direction=command.direction,
        strategy=command.strategy,
        quantity=command.quantity,
        entry_price=command.entry_price,
        margin=command.margin,
        complete=command.complete,
    )
    return [] if evolve(state, noted) == state else [noted]


def note_reduction(command: NoteReduction, state: RiskState) -> Sequence[RiskEvent]:
    """Margin shrinks with the quantity."""
    holding = state.holdings.get(command.trade_id)
    if holding is None or holding.quantity == command.quantity:
        return []
    exposure = holding.exposure
    return [
        PositionNoted(
            trade_id=command.trade_id,
            request_id=exposure.request_id,
            venue=holding.venue,
            symbol=exposure.symbol,
            direction=exposure.direction,
            strategy=exposure.strategy,
            quantity=command.quantity,
            entry_price=holding.entry_price,
            margin=exposure.margin * command.quantity / holding.quantity,
            complete=exposure.request_id not in state.reservations,
        )
    ]


def note_result(command: NoteResult, state: RiskState) -> Sequence[RiskEvent]:
    lost = command.net_profit < 0
    streak = state.losing_streak + 1 if lost else 0
    pause = cooldown(command.settings, command.timeframe, command.atr, command.atr_mean)
    noted = ResultNoted(
        trade_id=command.trade_id,
        request_id=command.request_id,
        symbol=command.symbol,
        strategy=command.strategy,
        reason=command.reason,
        net_profit=command.net_profit,
        r_multiple=command.r_multiple,
        losing_streak=streak,
        cooldown_until=command.at + pause if lost else None,
        rest_until=rest_until(command.settings, command.strategy, command.reason, command.at),
    )
    if state.breaker is not None or streak < command.settings.losing_streak:
        return [noted]
    detail = f"{streak} losing trades in a row, limit {command.settings.losing_streak}"
    return [noted, BreakerTripped(reason="losing streak", equity=command.equity, detail=detail)]


def mark_equity(command: MarkEquity, state: RiskState) -> Sequence[RiskEvent]:
    """Nothing, unless a day begins, equity stands higher than before, or a limit is reached."""
    events: list[RiskEvent] = []
    equity, day = command.equity, utc_day(command.at)
    opening = state.day_equity
    if day != state.day:
        events.append(DayOpened(day=day, equity=equity))
        opening = equity
    if is_higher(equity, state.peak_since_reset):
        events.append(
            PeakRaised(peak_since_reset=equity, peak_all_time=max(equity, state.peak_all_time or ZERO))
        )
    tripped = None if state.breaker is not None else _limit_reached(command, opening, state)
    return events if tripped is None else [*events, tripped]


def _limit_reached(command: MarkEquity, opening: Money | None, state: RiskState) -> BreakerTripped | None:
    settings, equity = command.settings, command.equity
    lost = loss_of_day(equity, opening)
    if lost >= settings.daily_loss:
        detail = f"{lost * 100:.2f} % of {opening:.2f} lost today, limit {settings.daily_loss * 100:.2f} %"
        return BreakerTripped(reason="daily loss", equity=equity, detail=detail)
    peak = state.peak_since_reset or equity
    fallen = drawdown_of(equity, peak)
    if fallen >= settings.drawdown:
        detail = f"{fallen * 100:.2f} % below the peak of {peak:.2f}, limit {settings.drawdown * 100:.2f} %"
        return BreakerTripped(reason="drawdown", equity=equity, detail=detail)
    return None


def resume_entries(command: ResumeEntries, state: RiskState) -> Sequence[RiskEvent]:
    """Ends a kill; takes the sentinel's blocks that stand now off this account."""
    ends = (command.guard.black_swan_until, command.guard.amber_until)
    until = max((end for end in ends if end is not None and end > command.at), default=None)
    if until is not None and state.longs_free_until is not None and until <= state.longs_free_until:
        until = None
    if state.halted_by is None and until is None:
        return []
    return [EntriesResumed(by=command.by, longs_free_until=until)]


RISK: Final[Decider[RiskCommand, RiskState, RiskEvent]] = Decider(
    category="risk", initial=RiskState(), decide=decide, evolve=evolve
)
