"""Falls of the reference market in the ticks of live venues, and who bears them out.

A trade beyond a limit is a candidate. It is confirmed by the next trade of its feed (another number, at most 2 s
of market time later, beyond the limit too) unless a fresh mark price stands above the limit; or at once by a mark
price, or by a second venue's newest trade, at or below it. A next trade that is back drops it. One that stays
alone for 2 s becomes a question to its venue; what the venue does not bear out exits nobody.

Trades come in the order in which they were heard: one with an earlier time than the last, or with a number that
was heard already, says nothing new.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from nexus_common.contracts.guard import FallMeasure, GuardStanding, Witness
from nexus_common.contracts.limits import GuardSettings
from nexus_common.contracts.values import Venue
from nexus_shield.domain.black_swan import HUNDRED, FallWatch, threshold
from nexus_shield.domain.tick_findings import (
    AskVenue,
    Candidate,
    Confirmed,
    Dropped,
    Finding,
    Limit,
    Quote,
    Unconfirmed,
)
from nexus_shield.domain.tick_references import Point, Reference, TickReferences

FOLLOWS_MS = 2_000  # within which the next trade comes, and after which a candidate is alone
MARK_FRESH_MS = 3_000  # venues say their mark price every second
VENUE_FRESH_MS = 2_000
AHEAD_MS = 5_000  # how far a venue's time may be ahead of our clock
BACK_MS = 60_000  # a market that is so far back has begun anew
ASK_AGAIN_MS = 60_000
NUMBERS_KEPT = 4_096  # more than a message holds, and one may come twice


@dataclass(slots=True)
class _Heard:
    """What one venue said last. `heard` and `mark_heard` are our own times, which other venues' compare with."""

    references: TickReferences
    newest: Point | None = None
    number: str = ""
    heard: int = 0
    mark: Point | None = None
    mark_heard: int = 0
    candidates: dict[Limit, Candidate] = field(default_factory=dict)
    not_before: dict[Limit, int] = field(default_factory=dict)
    numbers: set[str] = field(default_factory=set)
    in_order: deque[str] = field(default_factory=deque)

    def fresh_mark(self, now: int) -> Point | None:
        return self.mark if self.mark is not None and now - self.mark_heard <= MARK_FRESH_MS else None

    def note(self, number: str, point: Point, heard: int) -> None:
        self.newest, self.number, self.heard = point, number, heard
        self.numbers.add(number)
        self.in_order.append(number)
        if len(self.in_order) > NUMBERS_KEPT:
            self.numbers.discard(self.in_order.popleft())

    def due(self, candidate: Candidate) -> int:
        """When the venue is to be asked about a candidate."""
        return max(candidate.heard + FOLLOWS_MS, self.not_before.get(candidate.limit, 0))


class TickFalls:
    """Fold of the crypto venues' ticks of the reference market, kept in place for speed.

    `bars` gives what the bars on record say of a venue. A limit that was confirmed is looked at again when `stand`
    says so. Times are ms since the Unix epoch: `heard` by our clock, the others by the venue's.
    """

    def __init__(self, settings: GuardSettings, bars: Callable[[Venue], FallWatch]) -> None:
        self._percent = {
            Limit.BLACK_SWAN: settings.black_swan_percent,
            Limit.AMBER: settings.amber_percent,
        }
        self._window_ms = settings.window_seconds * 1_000
        self._bars = bars
        self._venues: dict[Venue, _Heard] = {}
        self._armed: tuple[Limit, ...] = tuple(Limit)

    def stand(self, standing: GuardStanding, at: datetime) -> None:
        """Where the sentinel stands now: what is declared already is not looked for."""
        if standing.black_swan_until is not None:
            self._arm(())
        elif standing.amber_until is not None and at < standing.amber_until:
            self._arm((Limit.BLACK_SWAN,))
        else:
            self._arm(tuple(Limit))

    def trade(self, venue: Venue, number: str, price: Decimal, at: int, heard: int) -> list[Finding]:
        known = self._known(venue, heard)
        point = Point(_within_reason(at, heard), price)
        if number in known.numbers or (known.newest is not None and point.at < known.newest.at):
            return []
        known.references.add(point, self._ceiling(known, heard))
        known.note(number, point, heard)
        if not self._armed:
            return []
        known.references.learn(self._bars(venue))
        return [*self._look(venue, known, point), *self._witness(venue, known, point)]

    def mark(self, venue: Venue, price: Decimal, at: int, heard: int) -> list[Finding]:
        known = self._known(venue, heard)
        known.mark, known.mark_heard = Point(_within_reason(at, heard), price), heard
        borne_out = [each for each in known.candidates.values() if price <= each.limit_price]
        return [self._confirm(each, Witness.MARK_PRICE, venue, known.mark) for each in borne_out]

    def passed(self, now: int) -> list[Finding]:
        """Time has passed: about what has been alone for too long its venue is asked."""
        found: list[Finding] = []
        for venue, known in self._venues.items():
            due = [each for each in known.candidates.values() if not each.is_asked and known.due(each) <= now]
            for candidate in due:
                candidate.is_asked = True
            if due:
                found.append(AskVenue(venue))
        return found

    def deadline(self) -> int | None:
        """When `passed` will find something; None: not before something else is heard."""
        dues = [
            known.due(candidate)
            for known in self._venues.values()
            for candidate in known.candidates.values()
            if not candidate.is_asked
        ]
        return min(dues, default=None)

    def answered(self, venue: Venue, quote: Quote, heard: int) -> list[Finding]:
        """What the venue said when it was asked."""
        found: list[Finding] = []
        for candidate in self._asked(venue):
            highest = quote.price if quote.mark is None else max(quote.price, quote.mark)
            if highest <= candidate.limit_price:
                point = Point(_within_reason(quote.at, heard), quote.price)
                found.append(self._confirm(candidate, Witness.ANSWER, venue, point))
            else:
                mark = "" if quote.mark is None else f", mark price {quote.mark:f}"
                limit = f"the limit is {candidate.limit_price:f}"
                reason = f"{venue}, asked, says last {quote.price:f}{mark}; {limit}"
                found.append(self._give_up(candidate, reason, heard))
        return found

    def unanswered(self, venue: Venue, reason: str, heard: int) -> list[Finding]:
        """The venue could not be asked."""
        return [self._give_up(candidate, reason, heard) for candidate in self._asked(venue)]

    def missed(self) -> None:
        """Ticks came faster than they were taken."""
        for known in self._venues.values():
            known.references.missed()

    # -- what a trade says ------------------------------------------------------------------------------

    def _known(self, venue: Venue, heard: int) -> _Heard:
        known = self._venues.get(venue)
        if known is None or (known.newest is not None and heard < known.newest.at - BACK_MS):
            known = self._venues[venue] = _Heard(TickReferences(self._window_ms))
        return known

    def _ceiling(self, known: _Heard, heard: int) -> Decimal | None:
        """A trade so far above the mark price is no high to fall from."""
        mark = known.fresh_mark(heard)
        return None if mark is None else mark.price * (HUNDRED + self._percent[Limit.AMBER]) / HUNDRED

    def _look(self, venue: Venue, known: _Heard, point: Point) -> Iterator[Finding]:
        """Judge the trade that was just heard by every limit that is armed."""
        references = known.references.at(point.at)
        for limit in self._armed:
            fall = self._fall(limit, references, point.price)
            candidate = known.candidates.get(limit)
            if fall is None:
                if candidate is not None:
                    del known.candidates[limit]
                    yield Dropped(candidate, point.price)
            elif candidate is None:
                fresh = Candidate(venue, limit, *fall, known.number, point, known.heard)
                known.candidates[limit] = fresh
                yield from self._at_once(fresh, known)
            else:
                yield from self._next(candidate, fall[2], known, point)

    def _fall(
        self, limit: Limit, references: list[Reference], price: Decimal
    ) -> tuple[FallMeasure, Point, Decimal] | None:
        for measure, reference in references:
            limit_price = threshold(reference.price, self._percent[limit])
            if price <= limit_price:
                return measure, reference, limit_price
        return None

    def _next(
        self, candidate: Candidate, limit_price: Decimal, known: _Heard, point: Point
    ) -> Iterator[Finding]:
        """One more trade beyond the limit, right behind the candidate or its last follower."""
        follows = point.at - candidate.last_at <= FOLLOWS_MS
        candidate.last_at = point.at
        mark = known.fresh_mark(known.heard)
        if follows and (mark is None or mark.price <= limit_price):
            yield self._confirm(candidate, Witness.NEXT_TRADE, candidate.venue, point, known.number)

    def _at_once(self, candidate: Candidate, known: _Heard) -> Iterator[Finding]:
        """What was heard a moment ago may bear it out already."""
        mark = known.fresh_mark(known.heard)
        if mark is not None and mark.price <= candidate.limit_price:
            yield self._confirm(candidate, Witness.MARK_PRICE, candidate.venue, mark)
            return
        for venue, other in self._venues.items():
            newest = other.newest if known.heard - other.heard <= VENUE_FRESH_MS else None
            if venue is candidate.venue or newest is None:
                continue
            if newest.price <= candidate.limit_price:
                yield self._confirm(candidate, Witness.SECOND_VENUE, venue, newest, other.number)
                return

    def _witness(self, venue: Venue, known: _Heard, point: Point) -> Iterator[Finding]:
        """The trade that was just heard may bear out another venue's candidate."""
        for elsewhere, other in self._venues.items():
            if elsewhere is venue:
                continue
            for candidate in list(other.candidates.values()):
                if point.price <= candidate.limit_price:
                    yield self._confirm(candidate, Witness.SECOND_VENUE, venue, point, known.number)

    # -- what becomes of a candidate --------------------------------------------------------------------

    def _asked(self, venue: Venue) -> list[Candidate]:
        known = self._venues.get(venue)
        return [] if known is None else [each for each in known.candidates.values() if each.is_asked]

    def _confirm(
        self, candidate: Candidate, witness: Witness, venue: Venue, point: Point, trade: str | None = None
    ) -> Confirmed:
        """One event per fall: nobody looks for more of it until the sentinel says where it stands."""
        self._arm(tuple(limit for limit in self._armed if limit is not candidate.limit))
        return candidate.borne_out(witness, venue, point, trade)

    def _give_up(self, candidate: Candidate, reason: str, heard: int) -> Unconfirmed:
        known = self._venues[candidate.venue]
        del known.candidates[candidate.limit]
        known.not_before[candidate.limit] = heard + ASK_AGAIN_MS
        return Unconfirmed(candidate, reason)

    def _arm(self, limits: tuple[Limit, ...]) -> None:
        self._armed = limits
        for known in self._venues.values():
            for limit in [limit for limit in known.candidates if limit not in limits]:
                del known.candidates[limit]


def _within_reason(at: int, heard: int) -> int:
    """A time that a venue says, which need not be one."""
    return max(0, min(at, heard + AHEAD_MS))
