"""One entry to be judged: the request, what surrounds it, and the plan and size it would have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import wraps

from nexus_common.contracts.assessment import EntryContext, EntryRequest
from nexus_common.contracts.limits import PROFILES, ProfileLimits
from nexus_common.contracts.signal import ExitPlan, LadderPlan
from nexus_common.contracts.values import Origin
from nexus_shield.domain.ladder import final_ladder, size_ladder
from nexus_shield.domain.sizing import ONE, Size, SizingInput, ceil_to_tick, kelly_fraction, size_entry
from nexus_shield.domain.state import Exposure, RiskState

Outcome = tuple[bool, str]


@dataclass(frozen=True, slots=True)
class Case:
    """`plan` and `ladder` are final; `size` is None as long as price, stop or instrument are unknown.

    `exposures` are all that the account holds or has reserved, put together once for all rules.
    """

    request: EntryRequest
    context: EntryContext
    state: RiskState
    at: datetime
    plan: ExitPlan | None
    size: Size | None
    exposures: tuple[Exposure, ...]
    ladder: LadderPlan | None = None

    @property
    def limits(self) -> ProfileLimits:
        return PROFILES[self.context.profile]

    @property
    def by_hand(self) -> bool:
        return self.request.origin is Origin.MANUAL


Rule = Callable[[Case], Outcome]


def signals_only(rule: Rule) -> Rule:
    """A rule that orders by hand pass unasked."""

    @wraps(rule)
    def judged(case: Case) -> Outcome:
        return (True, "does not apply to orders by hand") if case.by_hand else rule(case)

    return judged


def open_case(request: EntryRequest, context: EntryContext, state: RiskState, at: datetime) -> Case:
    plan, ladder = final_ladder(request, context) or (final_plan(request, context), None)
    size = _size(request, context, state, plan, ladder)
    return Case(request, context, state, at, plan, size, state.exposures, ladder)


def final_plan(request: EntryRequest, context: EntryContext) -> ExitPlan | None:
    """The plan as it will be traded: stretched by the profile, its stop a whole number of ticks away.

    A person's own stop is not stretched. Rounding goes outward, but not past the widest stop that is allowed.
    """
    if request.plan is None or context.instrument is None:
        return None
    scale = ONE if request.origin is Origin.MANUAL else PROFILES[context.profile].stop_scale
    plan = request.plan
    return ExitPlan(
        stop_distance=_stop_distance(plan.stop_distance * scale, request.price, context),
        target_distance=plan.target_distance * scale,
        trail_distance=plan.trail_distance,
        trail_after_r=plan.trail_after_r,
        time_stop_bars=plan.time_stop_bars,
    )


def _stop_distance(wanted: Decimal, price: Decimal | None, context: EntryContext) -> Decimal:
    tick = context.instrument.tick_size if context.instrument is not None else ONE
    outward = ceil_to_tick(wanted, tick)
    widest = wanted if price is None else price * context.settings.max_stop_fraction
    return outward - tick if wanted <= widest < outward else outward


def _size(
    request: EntryRequest,
    context: EntryContext,
    state: RiskState,
    plan: ExitPlan | None,
    ladder: LadderPlan | None,
) -> Size | None:
    if plan is None or context.instrument is None or request.price is None:
        return None
    given = SizingInput(
        equity=context.equity,
        peak=max(state.peak_all_time or context.equity, context.equity),
        price=request.price,
        stop_distance=plan.stop_distance,
        leverage=request.leverage,
        instrument=context.instrument,
        limits=PROFILES[context.profile],
        settings=context.settings,
        kelly_risk=_kelly_risk(context, state),
        brackets=context.brackets,
    )
    return size_entry(given) if ladder is None else size_ladder(given, ladder)


def _kelly_risk(context: EntryContext, state: RiskState) -> Decimal | None:
    """What the account's own record justifies to risk; None when it is not asked for, or too short."""
    record = state.record
    if not context.settings.kelly or record.wins + record.losses < context.settings.kelly_trades:
        return None
    return context.settings.kelly_share * kelly_fraction(
        record.wins, record.losses, record.won_r, record.lost_r
    )
