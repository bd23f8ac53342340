"""Two ways of deciding one record side by side: counts, and where they first part."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from nexus_common.contracts.risk import BreakerTripped, EntryApproved, EntryRefused
from nexus_common.contracts.signal import SignalRaised
from nexus_common.contracts.values import AccountId, format_instant
from nexus_ops.story import plain, short

# Beside the reasons that shield itself gives.
NO_SIGNAL = "no signal"


class Fate(StrEnum):
    """What became of one recorded request, in the order of the table."""

    SAME = "same"
    SIZE = "other size"
    RECORDED_ONLY = "only recorded"
    NOW_ONLY = "only now"
    REFUSED = "refused both"


@dataclass(frozen=True, slots=True)
class Span:
    """Instants from `start` up to, not including, `end`; absent: without bound."""

    start: datetime | None = None
    end: datetime | None = None

    def __contains__(self, at: datetime) -> bool:
        return (self.start is None or self.start <= at) and (self.end is None or at < self.end)


@dataclass(frozen=True, slots=True)
class Trip:
    """The circuit breaker of an account opened."""

    at: datetime
    account: AccountId
    event: BreakerTripped

    def told(self) -> str:
        return f"{self.account}: {self.event.reason}, {self.event.detail}"


@dataclass(frozen=True, slots=True)
class VerdictPair:
    """One recorded request: the verdict on record, and the one with the changes; None: nobody would have asked."""

    at: datetime
    account: AccountId
    recorded: EntryApproved | EntryRefused
    now: EntryApproved | EntryRefused | None

    @property
    def fate(self) -> Fate:
        before, after = self.recorded, self.now
        match before, after:
            case EntryApproved(), EntryApproved():
                same = _sized(before) == _sized(after)
                return Fate.SAME if same else Fate.SIZE
            case EntryApproved(), _:
                return Fate.RECORDED_ONLY
            case _, EntryApproved():
                return Fate.NOW_ONLY
            case _:
                return Fate.REFUSED

    @property
    def differs(self) -> bool:
        """Whether anybody would have noticed: refusals by another rule are not counted."""
        return self.fate in (Fate.SIZE, Fate.RECORDED_ONLY, Fate.NOW_ONLY)

    @property
    def what(self) -> str:
        event = self.recorded
        return f"{event.strategy} {event.direction} on {event.symbol} for {self.account}"


@dataclass(frozen=True, slots=True)
class SignalPair:
    """A signal that only one side has, or whose plan differs."""

    at: datetime
    recorded: SignalRaised | None
    now: SignalRaised | None

    @property
    def signal(self) -> SignalRaised:
        found = self.recorded or self.now
        assert found is not None, "a pair has at least one side"
        return found

    @property
    def what(self) -> str:
        signal = self.signal
        return f"{signal.strategy} {signal.action.replace('_', ' ')} on {signal.symbol}"


@dataclass(frozen=True, slots=True)
class Divergence:
    """The first decision that differs: what it is about, and what each side says."""

    at: datetime
    what: str
    recorded: str
    now: str

    def to_json(self) -> dict[str, str]:
        return {
            "at": format_instant(self.at),
            "what": self.what,
            "recorded": self.recorded,
            "now": self.now,
        }


@dataclass(frozen=True, slots=True)
class WhatIf:
    """All that was compared. `signals` are those that differ, `signals_both` counts the others by strategy."""

    asked: tuple[str, ...]
    signals: tuple[SignalPair, ...]
    signals_both: Counter[str]
    verdicts: tuple[VerdictPair, ...]
    trips_recorded: tuple[Trip, ...]
    trips_now: tuple[Trip, ...]
    kept: tuple[str, ...]

    @property
    def unjudged(self) -> int:
        """New signals, which shield was never asked about: what it would have said needs the other course."""
        return sum(pair.recorded is None for pair in self.signals)

    def accounts(self) -> dict[AccountId, Counter[Fate]]:
        counts: dict[AccountId, Counter[Fate]] = defaultdict(Counter)
        for pair in self.verdicts:
            counts[pair.account][pair.fate] += 1
        return dict(sorted(counts.items()))

    def checks(self) -> dict[str, tuple[int, int]]:
        """How often each check failed: on record, and with the changes. Only those that failed at all."""
        counts = (Counter[str](), Counter[str]())
        for pair in self.verdicts:
            counts[0].update(_failed(pair.recorded))
            counts[1].update(_failed(pair.now))
        names = dict.fromkeys((*counts[0], *counts[1]))
        return {name: (counts[0][name], counts[1][name]) for name in names}

    def strategies(self) -> dict[str, tuple[int, int, int, int]]:
        """By strategy: signals on both sides alike, with another plan, only recorded, only now."""
        table: dict[str, list[int]] = {name: [count, 0, 0, 0] for name, count in self.signals_both.items()}
        for pair in self.signals:
            column = 3 if pair.recorded is None else 2 if pair.now is None else 1
            table.setdefault(pair.signal.strategy, [0, 0, 0, 0])[column] += 1
        return {name: (row[0], row[1], row[2], row[3]) for name, row in sorted(table.items())}

    def divergence(self) -> Divergence | None:
        return min(self._divergences(), key=lambda each: each.at, default=None)

    def _divergences(self) -> Iterator[Divergence]:
        """The first of each kind; of what happens at one instant a signal comes before its verdict."""
        for pair in self.signals[:1]:
            yield Divergence(pair.at, pair.what, _signal(pair.recorded), _signal(pair.now))
        differing = next((pair for pair in self.verdicts if pair.differs), None)
        if differing is not None:
            recorded, now = _verdict(differing.recorded), _verdict(differing.now)
            yield Divergence(differing.at, differing.what, recorded, now)
        for first in _first_of_one_side(self.trips_recorded, self.trips_now):
            yield Divergence(first.at, "circuit breaker", first.told(), "it stays closed")
        for first in _first_of_one_side(self.trips_now, self.trips_recorded):
            yield Divergence(first.at, "circuit breaker", "it stays closed", first.told())

    def to_json(self) -> dict[str, Any]:
        first = self.divergence()
        return {
            "changes": list(self.asked),
            "kept_by_users": list(self.kept),
            "signals": {
                name: dict(zip(("same", "other_plan", "only_recorded", "only_now"), row, strict=True))
                for name, row in self.strategies().items()
            },
            "verdicts": {
                account: {fate.replace(" ", "_"): counts[fate] for fate in Fate}
                for account, counts in self.accounts().items()
            },
            "failed_checks": {
                name: {"recorded": recorded, "now": now} for name, (recorded, now) in self.checks().items()
            },
            "breaker_trips": {
                "recorded": [_trip(each) for each in self.trips_recorded],
                "now": [_trip(each) for each in self.trips_now],
            },
            "signals_not_judged": self.unjudged,
            "first_divergence": None if first is None else first.to_json(),
        }


def signal_key(signal: SignalRaised) -> tuple[Any, ...]:
    """What makes two signals one: where, when, who, and which way."""
    return (
        signal.venue,
        signal.symbol,
        signal.timeframe,
        signal.candle_close,
        signal.strategy,
        signal.action,
    )


def signal_pairs(
    recorded: Iterable[SignalRaised], now: Iterable[SignalRaised], span: Span
) -> tuple[tuple[SignalPair, ...], Counter[str]]:
    """The signals inside a span that differ, oldest first, and how many of each strategy do not."""
    before = {signal_key(signal): signal for signal in recorded if signal.candle_close in span}
    after = {signal_key(signal): signal for signal in now if signal.candle_close in span}
    same: Counter[str] = Counter()
    pairs = []
    for key in before.keys() | after.keys():
        one, other = before.get(key), after.get(key)
        if one is not None and other is not None and _alike(one, other):
            same[one.strategy] += 1
        else:
            pairs.append(SignalPair((one or after[key]).candle_close, one, other))
    return tuple(sorted(pairs, key=lambda pair: (pair.at, pair.what))), same


def _alike(one: SignalRaised, other: SignalRaised) -> bool:
    return (one.plan, one.ladder, one.leverage_hint, one.confidence, one.within_regime) == (
        other.plan,
        other.ladder,
        other.leverage_hint,
        other.confidence,
        other.within_regime,
    )


def _sized(verdict: EntryApproved) -> tuple[Any, ...]:
    return verdict.quantity, verdict.leverage, verdict.stop, verdict.plan, verdict.ladder


def _failed(verdict: EntryApproved | EntryRefused | None) -> list[str]:
    if verdict is None:
        return [NO_SIGNAL]
    return [check.name for check in verdict.checks if not check.passed]


def _verdict(verdict: EntryApproved | EntryRefused | None) -> str:
    match verdict:
        case None:
            return "not asked: the strategy gives no signal"
        case EntryApproved():
            size = f"{plain(verdict.quantity)} at {verdict.leverage} x, margin {short(verdict.margin)}"
            return f"approved: {size}, stop {plain(verdict.stop)}, {short(verdict.risk)} at risk"
        case _:
            failed = [check for check in verdict.checks if not check.passed]
            return "refused: " + "; ".join(f"{check.name}, {check.detail}" for check in failed)


def _signal(signal: SignalRaised | None) -> str:
    if signal is None:
        return "no signal"
    stop = "" if signal.stop is None else f", stop {plain(signal.stop)}"
    return f"a signal at {plain(signal.price)}{stop}, confidence {short(signal.confidence)}"


def _first_of_one_side(ours: Iterable[Trip], theirs: Iterable[Trip]) -> list[Trip]:
    known = {(trip.at, trip.account) for trip in theirs}
    return [trip for trip in ours if (trip.at, trip.account) not in known][:1]


def _trip(trip: Trip) -> dict[str, str]:
    return {
        "at": format_instant(trip.at),
        "account": trip.account,
        "reason": trip.event.reason,
        "detail": trip.event.detail,
    }
