"""How alike two instruments have moved. Plain arithmetic in a fixed order: the same bits on every machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from itertools import pairwise
from math import sqrt

RETURNS = 50


def correlation(ours: Mapping[datetime, float], theirs: Mapping[datetime, float]) -> Decimal | None:
    """Pearson's correlation of the last 50 returns between closes that both have; None when they are fewer.

    Both map a bar's close time to its close.
    """
    common = sorted(ours.keys() & theirs.keys())[-(RETURNS + 1) :]
    if len(common) <= RETURNS:
        return None
    value = _pearson(_returns(ours, common), _returns(theirs, common))
    return Decimal(f"{value:.6f}")


def _returns(closes: Mapping[datetime, float], times: Sequence[datetime]) -> list[float]:
    return [closes[later] / closes[earlier] - 1.0 for earlier, later in pairwise(times)]


def _pearson(xs: Sequence[float], ys: Sequence[float]) -> float:
    """0 when one of them did not move at all."""
    mean_x = _total(xs) / len(xs)
    mean_y = _total(ys) / len(ys)
    shared = _total([(x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True)])
    spread_x = _total([(x - mean_x) * (x - mean_x) for x in xs])
    spread_y = _total([(y - mean_y) * (y - mean_y) for y in ys])
    if spread_x == 0.0 or spread_y == 0.0:
        return 0.0
    return shared / (sqrt(spread_x) * sqrt(spread_y))


def _total(numbers: Sequence[float]) -> float:
    """From left to right: `sum` may compensate, depending on the interpreter."""
    total = 0.0
    for number in numbers:
        total += number
    return total
