"""A grid's ladder as it will be traded: on the price grid, and sized as one decision over all its orders."""

from __future__ import annotations

from dataclasses import replace
from decimal import ROUND_DOWN, Decimal

from nexus_common.contracts.assessment import EntryContext, EntryRequest
from nexus_common.contracts.instrument import Instrument, InstrumentKind
from nexus_common.contracts.limits import PROFILES
from nexus_common.contracts.risk import Ladder
from nexus_common.contracts.signal import ExitPlan, LadderPlan
from nexus_market.instruments import round_price
from nexus_shield.domain.sizing import (
    FINEST,
    ZERO,
    Size,
    SizingInput,
    bracket_of,
    drawdown_of,
    drawdown_scale,
    fitting_leverage,
    floor_to_step,
    liquidation_fraction,
    plain,
    risk_fraction,
    round_trip_cost,
)

Planned = tuple[ExitPlan, LadderPlan]


def final_ladder(request: EntryRequest, context: EntryContext) -> Planned | None:
    """Stretched by the profile, every level and the stop on the instrument's price grid; its exit plan with it.

    None for an entry without a ladder, or where the instrument is not known.
    """
    asked, plan, listed = request.ladder, request.plan, context.instrument
    if asked is None or plan is None or listed is None:
        return None
    scale = PROFILES[context.profile].stop_scale
    ladder = LadderPlan(
        centre=round_price(asked.centre, listed),
        spacing=round_price(asked.spacing * scale, listed),
        levels=asked.levels,
        stop_beyond=round_price(asked.stop_beyond * scale, listed),
    )
    exits = {"stop_distance": ladder.reach, "target_distance": ladder.spacing}
    return plan.model_copy(update=exits), ladder


def unfit(ladder: LadderPlan, listed: Instrument) -> str | None:
    """Why a ladder cannot stand on this instrument; None: it can."""
    if listed.kind is InstrumentKind.STOCK:
        return f"{listed.venue} refuses buys and sells that rest at the same time, as wash trades"
    if ladder.reach >= ladder.centre:
        return f"its stop {ladder.reach:f} below the centre {ladder.centre:f} would be no price"
    return None


def size_ladder(given: SizingInput, ladder: LadderPlan) -> Size:
    """The quantity of one side: the margin of all orders, and the loss at the stop with one side full, bound it.

    With n levels a side, spacing s and the stop r from the centre c, one unit a level binds 2 n c / leverage and
    loses the sum of r - k s over k = 1..n, and the costs of n c. The orders of the other side are none to lose on:
    before they fill, those of this side have been closed.
    """
    levels, centre = ladder.levels, ladder.centre
    leverage = fitting_leverage(given)
    drawdown = drawdown_of(given.equity, given.peak)
    scale = drawdown_scale(drawdown, given.settings)
    equity = max(given.equity, ZERO) * scale
    notional_per_level = 2 * levels * centre
    loss_per_level = ladder.full_side_loss + levels * centre * round_trip_cost(given.instrument)
    fraction, bound = risk_fraction(given)
    by_margin = equity * given.settings.margin_fraction * leverage / notional_per_level
    by_risk = equity * fraction / loss_per_level
    level = floor_to_step(min(by_margin, by_risk), given.instrument.step_size)
    notional = level * notional_per_level
    bracket = bracket_of(notional / 2, given)
    if leverage > bracket.max_leverage:
        # One side of a ladder is worth more than the single entry that the leverage was fitted to.
        return size_ladder(replace(given, leverage=int(bracket.max_leverage)), ladder)
    maintenance = bracket.maintenance_margin
    return Size(
        quantity=level * levels,
        leverage=leverage,
        notional=notional,
        margin=(notional / leverage).quantize(FINEST, ROUND_DOWN),
        risk=(level * loss_per_level).quantize(FINEST, ROUND_DOWN),
        drawdown=drawdown,
        scale=scale,
        liquidation_distance=given.price * liquidation_fraction(leverage, maintenance),
        maintenance=maintenance,
        bound_by="margin" if by_margin <= by_risk else bound,
        shortfall=_shortfall(level, ladder, given),
    )


def sized(ladder: LadderPlan, size: Size) -> Ladder:
    return Ladder(plan=ladder, level_quantity=size.quantity / ladder.levels)


def _shortfall(level: Decimal, ladder: LadderPlan, given: SizingInput) -> str | None:
    """Each order must be one that the venue takes; the lowest level is worth least."""
    listed, one_side = given.instrument, level * ladder.levels * ladder.centre
    if level <= 0:
        return f"less than one step of {listed.step_size:f} a level"
    if level < listed.min_quantity:
        return f"{plain(level)} a level is below the venue's minimum {listed.min_quantity:f}"
    lowest = level * (ladder.centre - ladder.levels * ladder.spacing)
    if lowest < listed.min_notional:
        return (
            f"{lowest:.2f} at the lowest level is below the venue's minimum notional {listed.min_notional:f}"
        )
    if given.brackets and one_side > given.brackets[-1].cap:
        return f"{one_side:.2f} on one side is above the venue's last bracket, {given.brackets[-1].cap:f}"
    return None
