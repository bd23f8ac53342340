"""The sentinel: a fall of the whole market. Owner: shield, stream `guard-crypto`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import model_serializer

from nexus_common.contracts.limits import GuardSettings
from nexus_common.contracts.message import Event, command
from nexus_common.contracts.signal import Action
from nexus_common.contracts.values import Fraction, Instant, Number, Price, Symbol, Value, Venue


class FallMeasure(StrEnum):
    """The two readings of a fall, whichever comes first."""

    CANDLE_OPEN = "from the open of the current 15m candle"
    FIVE_MINUTE_HIGH = "from the highest price of the last 5 minutes"


class Witness(StrEnum):
    """What says that a trade far below the others was no mistake."""

    NEXT_TRADE = "the next trade"
    MARK_PRICE = "the mark price"
    SECOND_VENUE = "a second venue"
    ANSWER = "the venue, asked"


class TickProof(Value):
    """The trade that fell, by the venue's own number, and who bears it out: at which price, said when."""

    trade: str
    witness: Witness
    witness_venue: Venue
    witness_price: Price
    witness_at: Instant
    witness_trade: str | None = None


class FallEvidence(Value):
    """The ticks or bar that a fall was read from, and what confirmed it; `proof` where it was a live tick."""

    measure: FallMeasure
    reference_price: Price
    reference_at: Instant
    price: Price
    price_at: Instant
    fall_percent: Number
    confirmed_by: str
    proof: TickProof | None = None

    @model_serializer(mode="wrap")
    def _spelled(self, spell: Callable[[FallEvidence], dict[str, Any]]) -> dict[str, Any]:
        """What a bar shows is spelled as before there were ticks."""
        data = spell(self)
        if self.proof is None:
            del data["proof"]
        return data


class BlackSwanDeclared(Event):
    """BTC fell beyond the limit: every long on a crypto venue is left, new longs are blocked."""

    type = "guard.black_swan_declared"

    venue: Venue
    symbol: Symbol
    evidence: FallEvidence
    action: Action
    confidence: Fraction
    longs_blocked_until: Instant


class AmberRaised(Event):
    """Half a black swan: no new crypto longs for a while, trailing stops tightened."""

    type = "guard.amber_raised"

    venue: Venue
    symbol: Symbol
    evidence: FallEvidence
    longs_blocked_until: Instant


class GuardReleased(Event):
    """Longs are allowed again and the rule is armed anew."""

    type = "guard.released"

    reason: str


class FallUnconfirmed(Event):
    """A trade far below the others that nobody bore out, the venue itself included: nothing is left for it."""

    type = "guard.fall_unconfirmed"

    venue: Venue
    symbol: Symbol
    evidence: FallEvidence
    reason: str


GuardEvent = BlackSwanDeclared | AmberRaised | GuardReleased | FallUnconfirmed


class GuardStanding(Value):
    """Where the sentinel stands: until when longs are blocked, and by what. Absent: not at all."""

    black_swan_until: Instant | None = None
    amber_until: Instant | None = None


@command("guard.declare_fall")
@dataclass(frozen=True, slots=True)
class DeclareFall:
    """The reference market fell; `amber` and `black_swan` hold the first tick beyond each limit."""

    venue: Venue
    symbol: Symbol
    black_swan: FallEvidence | None
    amber: FallEvidence | None
    settings: GuardSettings
    at: datetime


@command("guard.release_guard")
@dataclass(frozen=True, slots=True)
class ReleaseGuard:
    """The time is up, or the owner wants longs again."""

    reason: str
    at: datetime


@command("guard.note_unconfirmed")
@dataclass(frozen=True, slots=True)
class NoteUnconfirmed:
    """The venue was asked about a trade far below the others, and did not bear it out or did not answer."""

    venue: Venue
    symbol: Symbol
    evidence: FallEvidence
    reason: str
    at: datetime


GuardCommand = DeclareFall | ReleaseGuard | NoteUnconfirmed
