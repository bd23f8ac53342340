"""What shield remembers of one account: the fold of `risk-{account}`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any, assert_never
from uuid import UUID

from nexus_common.contracts.risk import (
    BreakerReset,
    BreakerTripped,
    DayOpened,
    EntriesHalted,
    EntriesResumed,
    EntryApproved,
    EntryRefused,
    ExitApproved,
    PeakRaised,
    PositionNoted,
    ReservationReleased,
    ResultNoted,
    RiskEvent,
)
from nexus_common.contracts.values import Direction, Symbol, TradeId, Venue

ZERO = Decimal(0)
NOTHING: Mapping[Any, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Exposure:
    """What a verdict has reserved or a position holds. Margin and notional are in the account's currency."""

    request_id: UUID | None
    symbol: Symbol
    direction: Direction
    strategy: str
    margin: Decimal
    notional: Decimal

    def at_least(self, other: Exposure | None) -> Exposure:
        """With what another one of the same entry binds, where that is more."""
        if other is None or (other.margin <= self.margin and other.notional <= self.notional):
            return self
        margin, notional = max(self.margin, other.margin), max(self.notional, other.notional)
        return replace(self, margin=margin, notional=notional)


@dataclass(frozen=True, slots=True)
class Reservation:
    """Room kept for an approved entry until its order ends, or until `valid_until` if it is never used.

    A ladder keeps it until it is closed, whatever it holds meanwhile: its orders rest all the time.
    """

    exposure: Exposure
    valid_until: datetime
    is_ladder: bool = False


@dataclass(frozen=True, slots=True)
class Holding:
    """An open position of one trade."""

    exposure: Exposure
    venue: Venue
    quantity: Decimal
    entry_price: Decimal

    def profit_at(self, price: Decimal) -> Decimal:
        """What the position has gained at a price, fees left out."""
        return (price - self.entry_price) * self.quantity * self.exposure.direction.sign


@dataclass(frozen=True, slots=True)
class Record:
    """Results of closed trades in R, for Kelly."""

    wins: int = 0
    losses: int = 0
    won_r: Decimal = ZERO
    lost_r: Decimal = ZERO

    def plus(self, r_multiple: Decimal) -> Record:
        if r_multiple > 0:
            return replace(self, wins=self.wins + 1, won_r=self.won_r + r_multiple)
        return replace(self, losses=self.losses + 1, lost_r=self.lost_r - r_multiple)


@dataclass(frozen=True, slots=True)
class RiskState:
    """`breaker` and `halted_by` say why automated entries, or all entries, pause; None: they do not."""

    reservations: Mapping[UUID, Reservation] = field(default_factory=lambda: NOTHING)
    holdings: Mapping[TradeId, Holding] = field(default_factory=lambda: NOTHING)
    cooldowns: Mapping[Symbol, datetime] = field(default_factory=lambda: NOTHING)
    rests: Mapping[tuple[str, Symbol], datetime] = field(default_factory=lambda: NOTHING)
    record: Record = Record()
    losing_streak: int = 0
    day: str | None = None
    day_equity: Decimal | None = None
    peak_since_reset: Decimal | None = None
    peak_all_time: Decimal | None = None
    breaker: str | None = None
    halted_by: str | None = None
    longs_free_until: datetime | None = None

    @property
    def exposures(self) -> tuple[Exposure, ...]:
        """All that is held or reserved. An entry that is still filling counts once, with the larger of the two."""
        filling = {
            holding.exposure.request_id: holding.exposure
            for holding in self.holdings.values()
            if holding.exposure.request_id in self.reservations
        }
        reserved = tuple(
            reservation.exposure.at_least(filling.get(request_id))
            for request_id, reservation in self.reservations.items()
        )
        held = tuple(
            holding.exposure
            for holding in self.holdings.values()
            if holding.exposure.request_id not in self.reservations
        )
        return reserved + held

    @property
    def ladders(self) -> frozenset[tuple[Symbol, str]]:
        """Where ladders stand, and of which strategies."""
        known = [each.exposure for each in self.reservations.values() if each.is_ladder]
        return frozenset((exposure.symbol, exposure.strategy) for exposure in known)


def evolve(state: RiskState, event: RiskEvent) -> RiskState:
    match event:
        case EntryApproved():
            return _reserved(state, event)
        case EntryRefused() | ExitApproved():
            return state
        case ReservationReleased(request_id=request_id):
            return replace(state, reservations=without(state.reservations, request_id))
        case PositionNoted():
            return _held(state, event)
        case ResultNoted():
            return _ended(state, event)
        case DayOpened(day=day, equity=equity):
            return replace(state, day=day, day_equity=equity)
        case PeakRaised(peak_since_reset=since_reset, peak_all_time=all_time):
            return replace(state, peak_since_reset=since_reset, peak_all_time=all_time)
        case BreakerTripped(reason=reason):
            return replace(state, breaker=reason)
        case BreakerReset(equity=equity):
            return replace(state, breaker=None, losing_streak=0, day_equity=equity, peak_since_reset=equity)
        case EntriesHalted(by=by):
            return replace(state, halted_by=by)
        case EntriesResumed(longs_free_until=until):
            return replace(state, halted_by=None, longs_free_until=until or state.longs_free_until)
        case _:
            assert_never(event)


def _reserved(state: RiskState, event: EntryApproved) -> RiskState:
    exposure = Exposure(
        event.request_id, event.symbol, event.direction, event.strategy, event.margin, event.notional
    )
    reservation = Reservation(exposure, event.valid_until, event.ladder is not None)
    return replace(
        state,
        reservations={**state.reservations, event.request_id: reservation},
        cooldowns=_later(state.cooldowns, event.symbol, event.cooldown_until),
    )


def _held(state: RiskState, event: PositionNoted) -> RiskState:
    if event.quantity == 0:
        return replace(state, holdings=without(state.holdings, event.trade_id))
    notional = event.quantity * event.entry_price
    exposure = Exposure(
        event.request_id, event.symbol, event.direction, event.strategy, event.margin, notional
    )
    holding = Holding(exposure, event.venue, event.quantity, event.entry_price)
    kept = without(state.reservations, event.request_id) if event.complete else state.reservations
    return replace(state, holdings={**state.holdings, event.trade_id: holding}, reservations=kept)


def _ended(state: RiskState, event: ResultNoted) -> RiskState:
    return replace(
        state,
        holdings=without(state.holdings, event.trade_id),
        reservations=without(state.reservations, event.request_id),
        cooldowns=_later(state.cooldowns, event.symbol, event.cooldown_until),
        rests=_later(state.rests, (event.strategy, event.symbol), event.rest_until),
        record=state.record.plus(event.r_multiple),
        losing_streak=event.losing_streak,
    )


def without(entries: Mapping[Any, Any], key: object) -> Mapping[Any, Any]:
    """The entries less one; the same when it is not among them."""
    if key not in entries:
        return entries
    return {other: value for other, value in entries.items() if other != key}


def _later(ends: Mapping[Any, datetime], key: object, until: datetime | None) -> Mapping[Any, datetime]:
    known = ends.get(key)
    if until is None or (known is not None and known >= until):
        return ends
    return {**ends, key: until}
