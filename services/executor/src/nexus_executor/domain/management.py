"""How a held trade is changed on its way: its stop, its targets, its trailing part, and the order to leave."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from nexus_common.contracts import ids
from nexus_common.contracts.order import Leg
from nexus_common.contracts.trade import (
    ExitOrdered,
    ExitReason,
    MoveStop,
    MoveTargets,
    ReachTarget,
    TargetReached,
    TightenTrail,
    TradeEvent,
)
from nexus_executor.domain.figures import plain
from nexus_executor.domain.trade_state import Phase, TradeState

REASONS = {
    Leg.STOP.value: ExitReason.STOP,
    Leg.FIRST_TARGET.value: ExitReason.TARGET,
    Leg.SECOND_TARGET.value: ExitReason.TARGET,
    Leg.TRAIL.value: ExitReason.TRAIL,
    "manual": ExitReason.MANUAL,
    "liquidation": ExitReason.LIQUIDATION,
    "adl": ExitReason.LIQUIDATION,
    "settlement": ExitReason.LIQUIDATION,
}
"""Why a trade ends, by the leg that filled."""

Managing = MoveStop | TightenTrail | MoveTargets | ReachTarget


def manage(command: Managing, state: TradeState) -> Sequence[TradeEvent]:
    """Changes of what is held; nothing is changed any more while the trade is being left."""
    if not state.is_held or state.exit is not None:
        return ()
    match command:
        case MoveStop():
            return _move_stop(command, state)
        case TightenTrail():
            return _tighten(command, state)
        case MoveTargets():
            return _move_targets(command, state)
        case ReachTarget():
            return _reach_target(command, state)
        case _:
            assert_never(command)


def _move_stop(command: MoveStop, state: TradeState) -> Sequence[TradeEvent]:
    protection = state.protection
    if protection is None or (command.stop - protection.stop) * state.terms.direction.sign <= 0:
        return ()
    changes = {"stop": plain(command.stop), "stop_quantity": state.remaining, "reason": command.reason}
    return (protection.model_copy(update=changes),)


def _tighten(command: TightenTrail, state: TradeState) -> Sequence[TradeEvent]:
    protection = state.protection
    if (
        protection is None
        or protection.trail_distance is None
        or command.distance >= protection.trail_distance
    ):
        return ()
    changes = {
        "trail_distance": plain(command.distance),
        "stop_quantity": state.remaining,
        "reason": command.reason,
    }
    return (protection.model_copy(update=changes),)


def _move_targets(command: MoveTargets, state: TradeState) -> Sequence[TradeEvent]:
    protection = state.protection
    if protection is None or protection.first_target is None:
        return ()
    if (command.first - protection.first_target) * state.terms.direction.sign <= 0:
        return ()
    second = protection.second_target
    changes = {
        "first_target": plain(command.first),
        "second_target": second if second is None or command.second is None else plain(command.second),
        "stop_quantity": state.remaining,
        "reason": command.reason,
    }
    return (protection.model_copy(update=changes),)


def _reach_target(command: ReachTarget, state: TradeState) -> Sequence[TradeEvent]:
    if command.leg in state.reached:
        return ()
    reached = TargetReached(trade_id=state.terms.trade_id, leg=command.leg, price=plain(command.price))
    return (reached,)


def order_exit(reason: ExitReason, detail: str, state: TradeState) -> Sequence[TradeEvent]:
    if state.phase not in (Phase.ADMITTED, Phase.OPEN) or state.exit is not None:
        return ()
    terms = state.terms
    order = ids.client_order_id(terms.verdict_id, Leg.EXIT)
    return (ExitOrdered(trade_id=terms.trade_id, reason=reason, detail=detail, exit_order=order),)
