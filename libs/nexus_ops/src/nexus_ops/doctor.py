"""What `nexus doctor` looks at: each account at its venue, against what an account must be to be traded on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Final

from nexus_common.contracts.limits import PROFILES
from nexus_common.contracts.session import AccountSpec
from nexus_common.contracts.values import AccountId, ClientOrderId, Profile, Symbol
from nexus_executor.venues.broker import VenueOrder, VenuePosition
from nexus_executor.venues.facts import AccountFacts, PositionMode

SKEW_WARN: Final = timedelta(milliseconds=500)
SKEW_FAIL: Final = timedelta(seconds=2)


class Outcome(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    UNSAID = "-"  # there is nothing to look at, or the venue does not say


@dataclass(frozen=True, slots=True)
class Finding:
    """What was seen, and what to do where it is not as it should be."""

    check: str
    outcome: Outcome
    detail: str


@dataclass(frozen=True, slots=True)
class Record:
    """What our store expects of an account: the orders that stand, and signed quantities that are held."""

    orders: frozenset[ClientOrderId] = frozenset()
    held: Mapping[Symbol, Decimal] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Examined:
    """One account as it was found. What is None could not be asked; `trouble` says why.

    `record` is None without a store. `simulated`: the venue is the simulated exchange, whose clock is the
    played market's. `keys` says where they are; None: `trouble` says what is wrong with them.
    """

    account: AccountSpec
    profile: Profile
    keys: str | None
    trouble: str | None
    facts: AccountFacts | None
    orders: Sequence[VenueOrder] | None
    positions: Sequence[VenuePosition] | None
    record: Record | None
    simulated: bool

    @property
    def name(self) -> AccountId:
        return self.account.account


def _keys(seen: Examined) -> tuple[Outcome, str]:
    if seen.keys is None:
        return Outcome.FAIL, seen.trouble or "there are none"
    return Outcome.OK, seen.keys


def _reached(seen: Examined) -> tuple[Outcome, str]:
    if seen.keys is None:
        return Outcome.UNSAID, "not asked without keys"
    if seen.trouble is not None:
        return Outcome.FAIL, seen.trouble
    return Outcome.OK, f"{seen.account.venue} answers" + (" (simulated)" if seen.simulated else "")


def _clock(seen: Examined, facts: AccountFacts) -> tuple[Outcome, str]:
    if seen.simulated:
        return Outcome.UNSAID, "the venue's clock is the played market's"
    skew = facts.clock_skew
    if skew is None:
        return Outcome.UNSAID, "the venue does not say its time"
    side = "ahead" if skew > timedelta() else "behind"
    told = f"the venue's clock is {abs(skew).total_seconds() * 1000:.0f} ms {side}"
    if abs(skew) > SKEW_FAIL:
        return Outcome.FAIL, f"{told}; requests will be refused: set this machine's clock by NTP"
    if abs(skew) > SKEW_WARN:
        return Outcome.WARN, f"{told}: set this machine's clock by NTP"
    return Outcome.OK, told


def _trading(_seen: Examined, facts: AccountFacts) -> tuple[Outcome, str]:
    match facts.can_trade:
        case None:
            return Outcome.UNSAID, "the venue does not say"
        case True:
            return Outcome.OK, "the key may trade"
        case False:
            return Outcome.FAIL, "the key may not trade: give it that permission at the venue"


def _withdrawing(_seen: Examined, facts: AccountFacts) -> tuple[Outcome, str]:
    match facts.can_withdraw:
        case None:
            return Outcome.UNSAID, "the venue does not say"
        case True:
            return Outcome.FAIL, "the key may withdraw: take that permission away, or make another key"
        case False:
            return Outcome.OK, "the key may not withdraw"


def _address(seen: Examined, facts: AccountFacts) -> tuple[Outcome, str]:
    match facts.ip_restricted:
        case None:
            return Outcome.UNSAID, "the venue does not say"
        case True:
            return Outcome.OK, "the key is bound to addresses"
        case False if seen.simulated:
            return Outcome.OK, "a simulated key needs no binding"
        case False:
            return Outcome.WARN, "the key works from any address: bind it to yours at the venue"


def _mode(_seen: Examined, facts: AccountFacts) -> tuple[Outcome, str]:
    match facts.position_mode:
        case None:
            return Outcome.UNSAID, "the venue has no such mode"
        case PositionMode.ONE_WAY:
            return Outcome.OK, "one-way"
        case PositionMode.HEDGE:
            return Outcome.FAIL, "hedge mode: close what is open and switch to one-way at the venue"


def _leverage(seen: Examined, facts: AccountFacts) -> tuple[Outcome, str]:
    if not facts.leverage:
        return Outcome.UNSAID, "none is set for what is held or ordered"
    limit = PROFILES[seen.profile].max_leverage
    above = {symbol: set_ for symbol, set_ in sorted(facts.leverage.items()) if set_ > limit}
    if above:
        told = ", ".join(f"{symbol} {leverage}x" for symbol, leverage in above.items())
        return Outcome.FAIL, f"{told}; the profile {seen.profile} allows {limit}x: lower it at the venue"
    return Outcome.OK, f"at most {max(facts.leverage.values())}x, the profile {seen.profile} allows {limit}x"


def _orders(seen: Examined) -> tuple[Outcome, str]:
    if seen.orders is None:
        return Outcome.UNSAID, "not asked"
    if seen.record is None:
        return Outcome.UNSAID, f"{len(seen.orders)} stand; there is no store to compare them with"
    stray = strays(seen.orders, seen.record)
    if stray:
        return (
            Outcome.FAIL,
            f"{len(stray)} without an owner in our store: {', '.join(stray)}; cancel or adopt them",
        )
    return Outcome.OK, f"{len(seen.orders)} stand, all of them ours"


def strays(orders: Sequence[VenueOrder], record: Record) -> list[str]:
    """Orders at the venue that our store does not know of."""
    return [
        f"{order.symbol} {order.side} {order.kind} {order.client_order_id or order.venue_order_id}"
        for order in orders
        if order.client_order_id not in record.orders and not order.attached
    ]


def _positions(seen: Examined) -> tuple[Outcome, str]:
    if seen.positions is None:
        return Outcome.UNSAID, "not asked"
    if seen.record is None:
        return Outcome.UNSAID, f"{len(seen.positions)} held; there is no store to compare them with"
    apart = unexplained(seen.positions, seen.record)
    if apart:
        return Outcome.FAIL, f"{'; '.join(apart)}: look what was done by hand"
    return Outcome.OK, f"{len(seen.positions)} held, as our fills say"


def unexplained(positions: Sequence[VenuePosition], record: Record) -> list[str]:
    """Where what the venue holds is not what our fills say."""
    there = {position.symbol: position.quantity for position in positions}
    zero = Decimal(0)
    return [
        f"{symbol} is {there.get(symbol, zero):+f} at the venue and {record.held.get(symbol, zero):+f} by our fills"
        for symbol in sorted({*there, *record.held})
        if there.get(symbol, zero) != record.held.get(symbol, zero)
    ]


_BY_FACTS: Final[Mapping[str, Callable[[Examined, AccountFacts], tuple[Outcome, str]]]] = {
    "clock": _clock,
    "trading": _trading,
    "withdrawal": _withdrawing,
    "address": _address,
    "position mode": _mode,
    "leverage": _leverage,
}


def examine(seen: Examined) -> list[Finding]:
    """All findings of one account, in the order in which somebody would set them right."""
    found = [Finding("keys", *_keys(seen)), Finding("reached", *_reached(seen))]
    if seen.facts is not None:
        found += [Finding(name, *look(seen, seen.facts)) for name, look in _BY_FACTS.items()]
        found += [Finding("note", Outcome.UNSAID, note) for note in seen.facts.notes]
    return [*found, Finding("orders", *_orders(seen)), Finding("positions", *_positions(seen))]
