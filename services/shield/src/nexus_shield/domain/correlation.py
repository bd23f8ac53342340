"""How alike two instruments have moved. Plain arithmetic in a fixed order: the same bits on every machine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from itertools import pairwise
from math import sqrt

RETURNS = 50


@dataclass(frozen=True, slots=True)
class Moves:
    """Returns between the closes at `times`: how far each lies from their mean, and the sum of those squares."""

    times: tuple[datetime, ...]
    deviations: tuple[float, ...]
    spread: float


@dataclass(frozen=True)
class Closes:
    """An instrument's closes by the close times of their bars."""

    by_time: Mapping[datetime, float]

    @cached_property
    def last(self) -> Moves:
        """The last 50 returns, looked at once for all instruments that have the same times."""
        return self.moves(_last(self.by_time))

    def moves(self, times: tuple[datetime, ...]) -> Moves:
        returns = [self.by_time[later] / self.by_time[earlier] - 1.0 for earlier, later in pairwise(times)]
        mean = _total(returns) / max(len(returns), 1)
        deviations = tuple(each - mean for each in returns)
        return Moves(times, deviations, _total([each * each for each in deviations]))


def correlation(ours: Closes, theirs: Closes) -> Decimal | None:
    """Pearson's correlation of the last 50 returns between closes that both have; None when they are fewer."""
    xs, ys = ours.last, theirs.last
    if xs.times != ys.times:
        common = _last(ours.by_time.keys() & theirs.by_time.keys())
        xs, ys = ours.moves(common), theirs.moves(common)
    return None if len(xs.times) <= RETURNS else Decimal(f"{_pearson(xs, ys):.6f}")


def _last(times: Iterable[datetime]) -> tuple[datetime, ...]:
    return tuple(sorted(times)[-(RETURNS + 1) :])


def _pearson(xs: Moves, ys: Moves) -> float:
    """0 when one of them did not move at all."""
    if xs.spread == 0.0 or ys.spread == 0.0:
        return 0.0
    shared = _total([x * y for x, y in zip(xs.deviations, ys.deviations, strict=True)])
    return shared / (sqrt(xs.spread) * sqrt(ys.spread))


def _total(numbers: Sequence[float]) -> float:
    """From left to right: `sum` may compensate, depending on the interpreter."""
    total = 0.0
    for number in numbers:
        total += number
    return total
