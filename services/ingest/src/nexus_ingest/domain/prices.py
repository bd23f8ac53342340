"""Whether a price can be true.

A price within `price_jump` of the last one that was believed is believed; a market that falls by any amount
in steps smaller than that is never held up. One that jumps further is believed

- at once, if a fresh witness (the same instrument at another venue) trades within `price_jump` of it,
- after `price_persists_ms`, if three prints in a row stay with it and no witness says otherwise,
- after `price_insists_ms`, if a fresh witness says otherwise, or it is off by a factor of three or more.

What is doubted is left out, never corrected. Trades, book and mark are judged apart from each other: a stub
quote must not make trades doubtful. Times are the venue's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from nexus_common.contracts.values import Venue
from nexus_ingest.domain.watch_rules import WatchRules

_PRINTS = 3
_ABSURD = 3.0
_NEVER = -(1 << 62)


class Verdict(Enum):
    BELIEVED = "believed"
    # The first of a run of doubtful prices: to be told.
    DOUBTED = "doubted"
    STILL_DOUBTED = "still doubted"


class Level:
    """Where the price of one instrument stands at one venue, by one kind of reading.

    `reference` is the last price believed, 0.0 before the first; `seen` the last one told, believed or not.
    """

    __slots__ = ("newest", "reference", "run", "run_price", "run_since", "seen", "seen_at", "told_at")

    def __init__(self) -> None:
        self.reference = 0.0
        self.seen = 0.0
        self.seen_at = _NEVER
        self.newest = 0
        self.run = 0
        self.run_price = 0.0
        self.run_since = 0
        self.told_at: int | None = None


class Witness:
    """The trades of one instrument at another venue."""

    __slots__ = ("level", "venue")

    def __init__(self, venue: Venue, level: Level) -> None:
        self.venue = venue
        self.level = level


class PriceJudge:
    """The rule above, with its bounds as floats: they decide about belief, never about money."""

    def __init__(self, rules: WatchRules) -> None:
        self.jump = float(rules.price_jump)
        self._persists_ms = rules.price_persists_ms
        self._insists_ms = rules.price_insists_ms
        self._fresh_ms = rules.witness_fresh_ms

    def judge(self, level: Level, price: float, at: int, witnesses: Sequence[Witness]) -> Verdict:
        """`at` is the venue's time in milliseconds; moves `level` along."""
        reference = level.reference
        level.seen = price
        level.seen_at = at
        off = price - reference
        if (off if off >= 0.0 else -off) <= self.jump * reference:
            level.reference = price
            level.run = 0
            return Verdict.BELIEVED
        return self._judge_jump(level, price, at, self.fresh(witnesses, at))

    def fresh(self, witnesses: Sequence[Witness], at: int) -> Witness | None:
        """The witness that spoke last, if that was a moment ago."""
        fresh = [each for each in witnesses if abs(at - each.level.seen_at) <= self._fresh_ms]
        return max(fresh, key=lambda each: each.level.seen_at, default=None)

    def _judge_jump(self, level: Level, price: float, at: int, witness: Witness | None) -> Verdict:
        reference = level.reference
        if witness is None and not reference:
            return self._believe(level, price)
        if witness is not None and self._is_near(price, witness.level.seen):
            return self._believe(level, price)
        if level.run and self._is_near(price, level.run_price):
            level.run += 1
        else:
            level.run = 1
            level.run_since = at
        level.run_price = price
        absurd = bool(reference) and not reference / _ABSURD < price < reference * _ABSURD
        needed = self._insists_ms if witness is not None or absurd else self._persists_ms
        if level.run >= _PRINTS and at - level.run_since >= needed:
            return self._believe(level, price)
        return Verdict.DOUBTED if level.run == 1 else Verdict.STILL_DOUBTED

    def _believe(self, level: Level, price: float) -> Verdict:
        level.reference = price
        level.run = 0
        return Verdict.BELIEVED

    def _is_near(self, price: float, other: float) -> bool:
        return abs(price - other) <= self.jump * other
