"""What a look at live ticks can find: candidates for a fall, and what became of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from nexus_common.contracts.guard import (
    DeclareFall,
    FallEvidence,
    FallMeasure,
    NoteUnconfirmed,
    TickProof,
    Witness,
)
from nexus_common.contracts.ids import NEXUS, derived
from nexus_common.contracts.limits import GuardSettings
from nexus_common.contracts.values import Venue, format_instant
from nexus_market.candles import from_millis
from nexus_shield.domain.black_swan import fallen
from nexus_shield.domain.market_view import REFERENCE
from nexus_shield.domain.tick_references import Point


class Limit(StrEnum):
    BLACK_SWAN = "black swan"
    AMBER = "amber"


class Quote(NamedTuple):
    """What a venue says when it is asked: its last trade's price at a time (ms), its mark price if it has one."""

    price: Decimal
    at: int
    mark: Decimal | None = None


@dataclass(slots=True)
class Candidate:
    """A trade beyond `limit_price`. `heard` is when it came, `last_at` the time of the newest that stayed so."""

    venue: Venue
    limit: Limit
    measure: FallMeasure
    reference: Point
    limit_price: Decimal
    trade: str
    fell_to: Point
    heard: int
    last_at: int = field(init=False)
    is_asked: bool = False

    def __post_init__(self) -> None:
        self.last_at = self.fell_to.at

    def evidence(self, proof: TickProof | None = None) -> FallEvidence:
        return FallEvidence(
            measure=self.measure,
            reference_price=self.reference.price,
            reference_at=from_millis(self.reference.at),
            price=self.fell_to.price,
            price_at=from_millis(self.fell_to.at),
            fall_percent=fallen(self.reference.price, self.fell_to.price),
            confirmed_by="nobody" if proof is None else said(proof),
            proof=proof,
        )

    def borne_out(self, witness: Witness, venue: Venue, point: Point, trade: str | None = None) -> Confirmed:
        proof = TickProof(
            trade=self.trade,
            witness=witness,
            witness_venue=venue,
            witness_price=point.price,
            witness_at=from_millis(point.at),
            witness_trade=trade,
        )
        return Confirmed(self, self.evidence(proof))


@dataclass(frozen=True, slots=True)
class Confirmed:
    candidate: Candidate
    evidence: FallEvidence

    @property
    def cause(self) -> UUID:
        return _cause(self.candidate)

    def command(self, settings: GuardSettings, at: datetime) -> DeclareFall:
        is_black_swan = self.candidate.limit is Limit.BLACK_SWAN
        return DeclareFall(
            venue=self.candidate.venue,
            symbol=REFERENCE,
            black_swan=self.evidence if is_black_swan else None,
            amber=None if is_black_swan else self.evidence,
            settings=settings,
            at=at,
        )


@dataclass(frozen=True, slots=True)
class Unconfirmed:
    """The venue was asked, and did not bear it out or did not answer."""

    candidate: Candidate
    reason: str

    @property
    def cause(self) -> UUID:
        return derived(_cause(self.candidate), "unconfirmed")

    def command(self, settings: GuardSettings, at: datetime) -> NoteUnconfirmed:
        evidence = self.candidate.evidence()
        return NoteUnconfirmed(self.candidate.venue, REFERENCE, evidence, self.reason, at)


@dataclass(frozen=True, slots=True)
class Dropped:
    """The next trade was back above the limit: it was a bad print."""

    candidate: Candidate
    back_at: Decimal


@dataclass(frozen=True, slots=True)
class AskVenue:
    """What does the reference market trade at there, right now?"""

    venue: Venue


Finding = Confirmed | Unconfirmed | Dropped | AskVenue


def said(proof: TickProof) -> str:
    number = "" if proof.witness_trade is None else f" (trade {proof.witness_trade})"
    at = format_instant(proof.witness_at)
    return f"{proof.witness} at {proof.witness_venue}: {proof.witness_price:f}{number}, {at}"


def _cause(candidate: Candidate) -> UUID:
    return derived(NEXUS, f"fall/{candidate.venue}/{REFERENCE}/{candidate.trade}/{candidate.limit}")
