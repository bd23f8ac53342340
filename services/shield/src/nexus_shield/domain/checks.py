"""Every rule that an entry must pass. All of them are judged for every verdict, and listed in it."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final

from nexus_common.contracts.risk import Check
from nexus_common.contracts.values import Direction, Origin, format_instant
from nexus_shield.domain import exposure
from nexus_shield.domain.breaker import loss_of_day
from nexus_shield.domain.case import Case, Outcome, Rule, signals_only
from nexus_shield.domain.ladder import unfit
from nexus_shield.domain.sizing import HUNDRED, drawdown_of, percent, plain, round_trip_cost

AUTO = "auto"
NO_STOP: Outcome = (False, "there is no stop: neither a distance nor an ATR is known")


def owner(case: Case) -> Outcome:
    """Only the account's own user trades with it."""
    whose, asked_by = case.context.owner, case.context.asked_by
    return whose == asked_by, f"the account is {whose}'s, asked by {asked_by}"


def instrument(case: Case) -> Outcome:
    listed = case.context.instrument
    if listed is None:
        return False, f"{case.request.symbol} is not listed on {case.request.venue}"
    return True, f"{listed.symbol} is listed on {listed.venue}"


@signals_only
def group(case: Case) -> Outcome:
    """A user's switched-off group of instruments; his own orders pass."""
    listed, off = case.context.instrument, case.context.groups_off
    if listed is None:
        return False, f"the group of {case.request.symbol} is not known"
    inside = f"{listed.symbol} belongs to {listed.group}; switched off: {', '.join(off) or 'none'}"
    return listed.group not in off, inside


def halted(case: Case) -> Outcome:
    if case.state.halted_by is None:
        return True, "entries are not halted"
    return False, f"{case.state.halted_by} halted all entries; /resume allows them again"


@signals_only
def breaker(case: Case) -> Outcome:
    state, settings, equity = case.state, case.context.settings, case.context.equity
    lost = loss_of_day(equity, state.day_equity) * HUNDRED
    fallen = drawdown_of(equity, state.peak_since_reset or equity) * HUNDRED
    figures = (
        f"{state.losing_streak} of {settings.losing_streak} losses in a row, "
        f"{lost:.2f} of {percent(settings.daily_loss)} lost today, "
        f"{fallen:.2f} of {percent(settings.drawdown)} below the peak"
    )
    if state.breaker is None:
        return True, f"not tripped: {figures}"
    return False, f"tripped by {state.breaker}; /resetpilot starts it anew; {figures}"


def black_swan(case: Case) -> Outcome:
    return _longs_free(case, "black swan", case.context.guard.black_swan_until)


def amber(case: Case) -> Outcome:
    """Half a black swan holds back strategies; a person may still decide for himself."""
    if case.request.origin is Origin.MANUAL:
        return True, "amber does not bind orders by hand"
    return _longs_free(case, "amber", case.context.guard.amber_until)


def _longs_free(case: Case, name: str, until: datetime | None) -> Outcome:
    """A block that its owner has lifted for this account, up to its end, blocks no more."""
    lifted = case.state.longs_free_until
    if case.request.direction is not Direction.LONG or not case.request.venue.is_crypto:
        return True, f"{name} blocks crypto longs only"
    if until is None:
        return True, f"no {name}"
    if until <= case.at:
        return True, f"the {name} was over at {format_instant(until)}, it is {format_instant(case.at)}"
    if lifted is not None and until <= lifted:
        return True, f"the {name} was lifted for this account until {format_instant(lifted)}"
    return (
        False,
        f"{name}: crypto longs are blocked until {format_instant(until)}, it is {format_instant(case.at)}",
    )


@signals_only
def strategy(case: Case) -> Outcome:
    name, choice = case.request.strategy, case.context.strategy
    if name in case.context.strategies_off:
        return False, f"{name} is switched off"
    if choice == AUTO:
        if case.request.within_regime:
            return True, f"auto: the regime allows {name}"
        return False, f"auto: the regime does not allow {name}"
    return name == choice, f"chosen is {choice}, this is {name}"


def validity(case: Case) -> Outcome:
    until = case.request.valid_until
    return case.at <= until, f"valid until {format_instant(until)}, now {format_instant(case.at)}"


def feed(case: Case) -> Outcome:
    """No entry on a lost feed, in what is not traded now, on an unknown or old price, or an unknown equity."""
    if case.context.feed_lost is not None:
        return False, f"the feed of {case.request.venue} is lost: {case.context.feed_lost}"
    if case.context.obstacle is not None:
        return False, case.context.obstacle
    if case.request.price is None or case.request.price_at is None:
        return False, f"no price of {case.request.symbol} is known"
    if case.context.unpriced:
        return False, f"no price of {', '.join(case.context.unpriced)}, which is held: equity is not known"
    age = case.at - case.request.price_at
    limit = case.request.price_age_limit_seconds
    return age <= timedelta(seconds=limit), f"price is {age.total_seconds():.0f} s old, limit {limit} s"


@signals_only
def cooldown(case: Case) -> Outcome:
    until = case.state.cooldowns.get(case.request.symbol)
    if until is None:
        return True, f"{case.request.symbol} has nothing to cool down from"
    now = format_instant(case.at)
    return case.at >= until, f"{case.request.symbol} cools down until {format_instant(until)}, it is {now}"


@signals_only
def rest(case: Case) -> Outcome:
    key = (case.request.strategy, case.request.symbol)
    until = case.state.rests.get(key)
    if until is None:
        return True, f"{key[0]} was not stopped out of {key[1]}"
    now = format_instant(case.at)
    return (
        case.at >= until,
        f"{key[0]} was stopped out of {key[1]}, rests until {format_instant(until)}, it is {now}",
    )


def widest_stop(case: Case) -> Outcome:
    if case.plan is None or case.request.price is None:
        return NO_STOP
    fraction = case.plan.stop_distance / case.request.price
    limit = case.context.settings.max_stop_fraction
    return fraction <= limit, (
        f"stop {plain(case.plan.stop_distance)} away, {fraction * HUNDRED:.3f} % of {plain(case.request.price)}, "
        f"at most {percent(limit)}"
    )


def narrowest_stop(case: Case) -> Outcome:
    """A stop so near that it cannot pay for itself."""
    listed, price = case.context.instrument, case.request.price
    if case.plan is None or price is None or listed is None:
        return NO_STOP
    settings = case.context.settings
    ticks = settings.min_stop_ticks * listed.tick_size
    share = settings.min_stop_fraction * price
    costs = settings.min_stop_costs * round_trip_cost(listed) * price
    least = max(ticks, share, costs)
    return case.plan.stop_distance >= least, (
        f"stop distance {plain(case.plan.stop_distance)}, at least {plain(least)} = the largest of {plain(ticks)} "
        f"({settings.min_stop_ticks} ticks), {plain(share)} ({percent(settings.min_stop_fraction)}), "
        f"{plain(costs)} ({settings.min_stop_costs:f} × round-trip cost)"
    )


def liquidation(case: Case) -> Outcome:
    if case.size is None or case.plan is None:
        return NO_STOP
    stops, stop = case.context.settings.liquidation_stops, case.plan.stop_distance
    away = case.size.liquidation_distance
    return away >= stops * stop, (
        f"liquidation {away:.8f} away at {case.size.leverage} × and {percent(case.size.maintenance)} maintenance "
        f"margin, at least {plain(stops * stop)} = {stops:f} × the stop's {plain(stop)}"
    )


def ladder(case: Case) -> Outcome:
    """Whether orders of both sides can rest there."""
    planned, listed = case.ladder, case.context.instrument
    if case.request.ladder is None:
        return True, "no ladder"
    if planned is None or listed is None:
        return False, "cannot be laid without a known instrument"
    why_not = unfit(planned, listed)
    return why_not is None, why_not or (
        f"{planned.levels} levels a side, {plain(planned.spacing)} apart around {plain(planned.centre)}, "
        f"the stop {plain(planned.stop_beyond)} beyond the last"
    )


def size(case: Case) -> Outcome:
    sized = case.size
    if sized is None:
        return False, "cannot be sized without price, stop and instrument"
    settings = case.context.settings
    detail = (
        f"{plain(sized.quantity)} at {sized.leverage} ×, "
        f"margin {sized.margin:.2f} of {percent(settings.margin_fraction)}, "
        f"lost at the stop {sized.risk:.2f} of {percent(settings.risk_fraction)} of equity {case.context.equity:.2f}; "
        f"bound by {sized.bound_by}; drawdown {sized.drawdown * HUNDRED:.2f} % scales × {sized.scale:f}"
    )
    if sized.shortfall is not None:
        return False, f"{sized.shortfall}; {detail}"
    return True, detail


CHECKS: Final[tuple[tuple[str, Rule], ...]] = (
    ("owner", owner),
    ("instrument", instrument),
    ("group", group),
    ("halted", halted),
    ("breaker", breaker),
    ("black_swan", black_swan),
    ("amber", amber),
    ("strategy", strategy),
    ("validity", validity),
    ("feed", feed),
    ("cooldown", cooldown),
    ("rest", rest),
    ("widest_stop", widest_stop),
    ("narrowest_stop", narrowest_stop),
    ("liquidation", liquidation),
    ("ladder", ladder),
    ("one_position", exposure.one_position),
    ("no_flip", exposure.no_flip),
    ("size", size),
    ("per_instrument", exposure.per_instrument),
    ("per_cluster", exposure.per_cluster),
    ("one_direction", exposure.one_direction),
    ("gross_margin", exposure.gross_margin),
    ("gross_notional", exposure.gross_notional),
    ("correlated", exposure.correlated),
)


def judge(case: Case) -> tuple[Check, ...]:
    """Every check of a verdict, in their order, with figures and outcome."""
    judged = []
    for name, rule in CHECKS:
        passed, detail = rule(case)
        judged.append(_check(name, passed, detail))
    return tuple(judged)


@lru_cache(1_000)
def _check(name: str, passed: bool, detail: str) -> Check:
    """Most checks of a signal read the same for all accounts; what is equal is built once."""
    return Check(name=name, passed=passed, detail=detail)
