"""Positions and trades that somebody made by hand: what they do to the trades we have, and the plan for a new one."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

from nexus_common.contracts import ids
from nexus_common.contracts.order import Leg
from nexus_common.contracts.signal import ExitPlan
from nexus_common.contracts.trade import AdoptPosition, ProtectionSet, TradeAdmitted, TradeEntered
from nexus_common.contracts.values import Direction, Origin, Side, Timeframe
from nexus_executor.domain.figures import exact, levels, plain, split
from nexus_executor.domain.rules import ExecutionRules

STRATEGY = "manual"
_ZERO = Decimal(0)
# A plan's stop must leave a price above zero, whatever the market did lately.
_ATR_MAX = Decimal("0.2")


class Division(NamedTuple):
    """A trade by hand, divided: what each of the trades loses, what one of them gains, and what is new."""

    closes: tuple[Decimal, ...]
    grows: int | None
    rest: Decimal


def divide(side: Side, quantity: Decimal, held: Sequence[tuple[Direction, Decimal]]) -> Division:
    """Against what is held, oldest first: the other side reduces, the same side adds, beyond zero is new."""
    closes, left = [], quantity
    for direction, remaining in held:
        part = min(left, remaining) if direction.exit_side is side else _ZERO
        closes.append(part)
        left -= part
    same = next((n for n, (direction, _) in enumerate(held) if direction.entry_side is side), None)
    return Division(tuple(closes), same if left > 0 else None, left)


def share(fee: Decimal, part: Decimal, whole: Decimal) -> Decimal:
    """The part of a fee that belongs to a part of a fill."""
    return fee if part == whole else exact(fee * part / whole)


def manual_plan(price: Decimal, atr: Decimal | None, rules: ExecutionRules) -> tuple[ExitPlan, Decimal]:
    """The plan of positions by hand, and the range it is made of (a share of the price where none is known)."""
    unit = plain(min(atr or price * rules.adopted_atr_fraction, price * _ATR_MAX))
    plan = ExitPlan(
        stop_distance=plain(unit * rules.adopted_stop_atr),
        target_distance=plain(unit * rules.adopted_target_atr),
        trail_distance=plain(unit * rules.adopted_trail_atr),
        trail_after_r=Decimal(1),
        time_stop_bars=rules.adopted_time_stop_bars,
    )
    return plan, unit


def adopt(command: AdoptPosition) -> tuple[TradeAdmitted, TradeEntered, ProtectionSet]:
    """A trade that is entered already. Its protection lies around the market where that has left its entry."""
    verdict_id = UUID(command.trade_id)
    quantity, price = plain(command.quantity), plain(command.price)
    admitted = TradeAdmitted(
        trade_id=command.trade_id,
        account=command.account,
        user=command.user,
        verdict_id=verdict_id,
        origin=Origin.MANUAL,
        venue=command.venue,
        symbol=command.symbol,
        direction=command.direction,
        strategy=STRATEGY,
        timeframe=Timeframe.M15,
        quantity=quantity,
        leverage=1,
        price=price,
        plan=command.plan,
        atr=command.atr,
        equity=command.equity,
        entry_order=ids.client_order_id(verdict_id, Leg.ENTRY),
        approved_by=command.found,
        signal_id=verdict_id,
    )
    entered = TradeEntered(
        trade_id=command.trade_id,
        account=command.account,
        venue=command.venue,
        symbol=command.symbol,
        direction=command.direction,
        strategy=STRATEGY,
        quantity=quantity,
        average_price=price,
        margin=exact(quantity * price),
        complete=True,
        fees=plain(command.fee),
        opened_at=command.at,
    )
    return admitted, entered, _protection(command, quantity, price)


def _protection(command: AdoptPosition, quantity: Decimal, price: Decimal) -> ProtectionSet:
    whole = split(quantity, price, command.instrument, command.targets).is_whole

    def around(base: Decimal) -> ProtectionSet:
        lines = levels(
            base, command.direction, command.plan, command.instrument, command.targets, whole=whole
        )
        return ProtectionSet(
            trade_id=command.trade_id,
            stop=lines.stop,
            stop_quantity=quantity,
            first_target=lines.first_target,
            second_target=lines.second_target,
            trail_distance=lines.trail_distance,
            trail_activation=lines.trail_activation,
            reason=str(command.found),
        )

    laid, mark, sign = around(price), command.mark, command.direction.sign
    if mark is None or laid.first_target is None:
        return laid
    is_between = (mark - laid.stop) * sign > 0 and (laid.first_target - mark) * sign > 0
    return laid if is_between else around(mark)
