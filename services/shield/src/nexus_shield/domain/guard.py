"""The sentinel's decider: one black swan per fall, armed again only when released."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final, assert_never

from nexus_common.contracts.decider import Decider
from nexus_common.contracts.guard import (
    AmberRaised,
    BlackSwanDeclared,
    DeclareFall,
    FallUnconfirmed,
    GuardCommand,
    GuardEvent,
    GuardReleased,
    GuardStanding,
    NoteUnconfirmed,
    ReleaseGuard,
)
from nexus_common.contracts.signal import Action

CRYPTO = "crypto"


@dataclass(frozen=True, slots=True)
class GuardState:
    """A black swan stands until it is released, even when its time is over; amber ends by itself."""

    black_swan_until: datetime | None = None
    amber_until: datetime | None = None

    @property
    def standing(self) -> GuardStanding:
        return GuardStanding(black_swan_until=self.black_swan_until, amber_until=self.amber_until)

    def blocks(self, at: datetime) -> bool:
        return self.black_swan_until is not None or (self.amber_until is not None and at < self.amber_until)


def decide(command: GuardCommand, state: GuardState) -> Sequence[GuardEvent]:
    match command:
        case DeclareFall():
            return _declare(command, state)
        case ReleaseGuard(reason=reason, at=at):
            return [GuardReleased(reason=reason)] if state.blocks(at) else []
        case NoteUnconfirmed():
            return _unconfirmed(command, state)
        case _:
            assert_never(command)


def _declare(command: DeclareFall, state: GuardState) -> Sequence[GuardEvent]:
    if state.black_swan_until is not None:
        return []
    if command.black_swan is not None:
        hold = timedelta(seconds=command.settings.black_swan_hold_seconds)
        return [
            BlackSwanDeclared(
                venue=command.venue,
                symbol=command.symbol,
                evidence=command.black_swan,
                action=Action.EXIT_LONG,
                confidence=Decimal("1.0"),
                longs_blocked_until=command.at + hold,
            )
        ]
    if command.amber is None or state.blocks(command.at):
        return []
    hold = timedelta(seconds=command.settings.amber_hold_seconds)
    return [
        AmberRaised(
            venue=command.venue,
            symbol=command.symbol,
            evidence=command.amber,
            longs_blocked_until=command.at + hold,
        )
    ]


def _unconfirmed(command: NoteUnconfirmed, state: GuardState) -> Sequence[GuardEvent]:
    if state.black_swan_until is not None:
        return []
    return [
        FallUnconfirmed(
            venue=command.venue, symbol=command.symbol, evidence=command.evidence, reason=command.reason
        )
    ]


def evolve(state: GuardState, event: GuardEvent) -> GuardState:
    match event:
        case BlackSwanDeclared(longs_blocked_until=until):
            return replace(state, black_swan_until=until)
        case AmberRaised(longs_blocked_until=until):
            return replace(state, amber_until=until)
        case GuardReleased():
            return GuardState()
        case FallUnconfirmed():
            return state
        case _:
            assert_never(event)


GUARD: Final[Decider[GuardCommand, GuardState, GuardEvent]] = Decider(
    category="guard", initial=GuardState(), decide=decide, evolve=evolve
)
