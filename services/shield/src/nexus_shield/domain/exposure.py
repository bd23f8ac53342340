"""Exposure rules. Reservations and open positions count alike; a limit refuses, it never shrinks a size.

All limits but the notional are margin over equity.
"""

from __future__ import annotations

from decimal import Decimal

from nexus_common.contracts.instrument import Group
from nexus_common.contracts.values import Symbol
from nexus_shield.domain.case import Case, Outcome
from nexus_shield.domain.sizing import percent, plain
from nexus_shield.domain.state import Exposure

ZERO = Decimal(0)
UNSIZED: Outcome = (False, "cannot be judged without a size")


def one_position(case: Case) -> Outcome:
    """One position or reservation per account, instrument and side."""
    request = case.request
    open_ones = [e for e in _on_symbol(case) if e.direction is request.direction]
    if open_ones:
        return False, f"{request.symbol} {request.direction} is open or reserved by {open_ones[0].strategy}"
    return True, f"no {request.symbol} {request.direction} is open or reserved"


def no_flip(case: Case) -> Outcome:
    """A position is not turned round unless its owner asks: it is closed first."""
    opposite = case.request.direction.opposite
    against = [e for e in _on_symbol(case) if e.direction is opposite]
    if against:
        return False, f"{case.request.symbol} {opposite} is open or reserved; close it first"
    return True, f"no {case.request.symbol} {opposite} is open or reserved"


def per_instrument(case: Case) -> Outcome:
    return _within(case, "on this instrument", _on_symbol(case), case.context.settings.per_instrument)


def per_cluster(case: Case) -> Outcome:
    if case.context.instrument is None:
        return UNSIZED
    group = case.context.instrument.group
    groups = _groups(case)
    # What is not known to belong elsewhere counts as belonging here.
    inside = [e for e in case.exposures if groups.get(e.symbol, group) is group]
    return _within(case, f"in the cluster {group}", inside, case.context.settings.per_cluster)


def one_direction(case: Case) -> Outcome:
    direction = case.request.direction
    same = [e for e in case.exposures if e.direction is direction]
    limit = case.context.settings.one_direction * case.limits.gross_margin
    return _within(case, f"in the direction {direction}", same, limit)


def gross_margin(case: Case) -> Outcome:
    return _within(case, "in all", case.exposures, case.limits.gross_margin)


def gross_notional(case: Case) -> Outcome:
    if case.size is None or case.context.equity <= 0:
        return UNSIZED
    used, more = _total([e.notional for e in case.exposures]), case.size.notional
    limit, equity = case.limits.gross_notional, case.context.equity
    return used + more <= limit * equity, (
        f"notional {plain(used)} + {plain(more)}, at most {plain(limit * equity)} = {limit:f} × equity {plain(equity)}"
    )


def correlated(case: Case) -> Outcome:
    """An unknown correlation counts as a high one."""
    settings = case.context.settings
    alike = sorted(
        f"{peer.symbol} {'unknown' if peer.correlation is None else format(peer.correlation, '.2f')}"
        for peer in case.context.peers
        if peer.symbol != case.request.symbol
        and (peer.correlation is None or peer.correlation > settings.correlation_limit)
    )
    listed = ", ".join(alike) or "none"
    limit = settings.correlated_positions
    detail = f"moving alike (over {settings.correlation_limit:f}): {listed}; at most {limit} with this one"
    return len(alike) + 1 <= limit, detail


def _on_symbol(case: Case) -> list[Exposure]:
    return [e for e in case.exposures if e.symbol == case.request.symbol]


def _groups(case: Case) -> dict[Symbol, Group]:
    groups = {peer.symbol: peer.group for peer in case.context.peers if peer.group is not None}
    if case.context.instrument is not None:
        groups[case.context.instrument.symbol] = case.context.instrument.group
    return groups


def _within(
    case: Case, where: str, open_ones: list[Exposure] | tuple[Exposure, ...], limit: Decimal
) -> Outcome:
    if case.size is None or case.context.equity <= 0:
        return UNSIZED
    equity = case.context.equity
    used, more, most = _total([e.margin for e in open_ones]), case.size.margin, limit * equity
    return used + more <= most, (
        f"margin {where} {plain(used)} + {plain(more)}, at most {plain(most)} = "
        f"{percent(limit)} of equity {plain(equity)}"
    )


def _total(amounts: list[Decimal]) -> Decimal:
    return sum(amounts, ZERO)
