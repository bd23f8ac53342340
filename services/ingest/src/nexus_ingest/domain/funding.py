"""What funding was due, read off the marks: the rate last announced before the settlement passed."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from nexus_common.contracts.market import FundingSettled
from nexus_common.contracts.values import Symbol, Venue
from nexus_ingest.domain.readings import MarkRead
from nexus_ingest.domain.watch_rules import WatchRules
from nexus_market.candles import from_millis, spell

# A mark may be stamped a moment before the settlement that it already shows as passed.
_SLACK_MS = 5_000


@dataclass(slots=True)
class Announced:
    """A settlement that is due (ms), and what was last said of it."""

    due: int
    rate: str | None
    mark_price: str
    at: int


class FundingWatch:
    """Follows the announced settlements of one venue's perpetuals.

    A venue that shows another `next_funding` than before has settled the one that passed. If it was not heard
    within `funding_known_ms` before the settlement the rate is unknown, and nothing is said. One that puts a
    settlement off, or brings it forward, has settled nothing.
    """

    def __init__(self, venue: Venue, rules: WatchRules) -> None:
        self._venue = venue
        self._known_ms = rules.funding_known_ms
        self.announced: dict[Symbol, Announced] = {}

    def mark(self, reading: MarkRead) -> FundingSettled | None:
        due = reading.next_funding
        announced = self.announced.get(reading.symbol)
        if announced is not None and (due is None or due == announced.due):
            if reading.at <= announced.due:
                announced.mark_price = reading.mark_price
                announced.at = reading.at
                announced.rate = reading.funding_rate or announced.rate
            return None
        if due is None:
            return None
        self.announced[reading.symbol] = Announced(due, reading.funding_rate, reading.mark_price, reading.at)
        if announced is None or due < announced.due or reading.at < announced.due - _SLACK_MS:
            return None
        return self._settled(reading.symbol, announced)

    def _settled(self, symbol: Symbol, announced: Announced) -> FundingSettled | None:
        if announced.rate is None or announced.at < announced.due - self._known_ms:
            return None
        return FundingSettled(
            venue=self._venue,
            symbol=symbol,
            rate=spell(float(announced.rate)),
            mark_price=Decimal(announced.mark_price),
            at=from_millis(announced.due),
        )
