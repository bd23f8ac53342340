"""How far features lie from those a model was trained on: the population stability index of each.

PSI = sum over the bins of (share now - share then) * ln(share now / share then), the measure of credit scoring
(Siddiqi, Credit Risk Scorecards, 2006): below 0.1 nothing moved, from 0.25 on it is another population.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from math import log
from typing import Any, Final

import numpy as np

from nexus_cortex.domain.model_features import FEATURES, first_ready, matrix
from nexus_cortex.domain.strategies.strategy import MarketView
from nexus_market.indicators import Floats

# A share of 0 has no logarithm.
SHARE_MIN: Final = 1e-4
# Where the sun stands is no property of the market.
CLOCK: Final = frozenset(name for name in FEATURES if name.startswith(("hour_", "weekday_")))


def psi(edges: Sequence[float], shares: Sequence[float], values: Floats) -> Decimal:
    """The index of some values against the shares of the bins between `edges`; the outer bins have no end."""
    counts = np.bincount(np.searchsorted(np.array(edges), values, side="right"), minlength=len(shares))
    total = 0.0
    for then, count in zip(shares, counts.tolist(), strict=True):
        was, now = max(then, SHARE_MIN), max(count / len(values), SHARE_MIN)
        total += (now - was) * log(now / was)
    return Decimal(f"{total:.4f}")


def drift(rows: Floats, reference: Mapping[str, Any]) -> dict[str, Decimal]:
    """The index of each feature of the market, from rows without NaN."""
    return {
        name: psi(reference[name]["edges"], reference[name]["shares"], rows[:, column])
        for column, name in enumerate(FEATURES)
        if name not in CLOCK and name in reference
    }


def usable_rows(views: Sequence[MarketView]) -> Floats:
    """All rows of some views at which every feature is ready and finite."""
    found = [np.empty((0, len(FEATURES)))]
    for view in views:
        first = first_ready(view.bars)
        if first < len(view.bars):
            found.append(matrix(view.since(first)))
    rows = np.concatenate(found)
    return rows[np.isfinite(rows).all(axis=1)]
