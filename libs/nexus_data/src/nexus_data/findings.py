"""What a check of market data found: words, places and a verdict."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from nexus_data.inventory import DataFile
from nexus_market.candles import from_millis

PLACES_KEPT = 400


class Verdict(StrEnum):
    """`look`: true as far as can be seen, but somebody should know. `broken`: nothing should be decided on it."""

    OK = "ok"
    LOOK = "look"
    BROKEN = "broken"

    @property
    def rank(self) -> int:
        return list(Verdict).index(self)


Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Finding:
    """One kind of thing in one file. `places` are spans in milliseconds, the first ones of `count`."""

    check: str
    verdict: Verdict
    count: int
    words: str
    places: tuple[Span, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "check": self.check,
            "verdict": self.verdict,
            "count": self.count,
            "words": self.words,
            "places": [[day_and_time(first), day_and_time(last)] for first, last in self.places],
        }


@dataclass(slots=True)
class Report:
    """One file as it was found. `first` and `last` are times of its rows (ms); `covered` where it has any.

    `filled` is the share of the expected rows in each of equal parts of the span; None where none are expected.
    """

    file: DataFile
    rows: int = 0
    first: int | None = None
    last: int | None = None
    findings: list[Finding] = field(default_factory=list)
    filled: list[float | None] = field(default_factory=list)
    missing: int = 0

    @property
    def verdict(self) -> Verdict:
        return max((each.verdict for each in self.findings), key=lambda v: v.rank, default=Verdict.OK)

    def add(
        self, check: str, verdict: Verdict, words: str, places: list[Span] | None = None, count: int = 0
    ) -> None:
        spots = places or []
        self.findings.append(
            Finding(check, verdict, count or max(len(spots), 1), words, tuple(spots[:PLACES_KEPT]))
        )

    def to_json(self) -> dict[str, Any]:
        file = self.file
        return {
            "file": file.name,
            "kind": file.kind,
            "venue": file.venue,
            "symbol": file.symbol,
            "interval": file.what,
            "first": None if self.first is None else day_and_time(self.first),
            "last": None if self.last is None else day_and_time(self.last),
            "rows": self.rows,
            "missing": self.missing,
            "bytes": file.size_bytes,
            "verdict": self.verdict,
            "findings": [finding.to_json() for finding in self.findings],
        }


def day_and_time(millis: int) -> str:
    """`2021-04-25 04:00`, UTC; with seconds where there are any; a figure where it is no time."""
    try:
        moment = from_millis(millis)
    except OverflowError:
        return str(millis)
    return f"{moment:%Y-%m-%d %H:%M:%S}" if millis % 60_000 else f"{moment:%Y-%m-%d %H:%M}"


def duration(millis: int) -> str:
    """`4 h 44 min`: the two largest units."""
    parts = []
    rest = millis // 1_000
    for unit, seconds in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        count, rest = divmod(rest, seconds)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2]) or f"{millis} ms"


def counted(count: int, one: str) -> str:
    """`1 gap`, `3 gaps`."""
    return f"{count} {one}" if count == 1 else f"{count} {one}s"
