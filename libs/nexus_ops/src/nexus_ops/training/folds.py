"""Later folds: what a model is measured on lies behind everything it was fitted to, and behind a whole horizon more."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nexus_common.runtime.errors import ConfigurationError
from nexus_cortex.domain.outcomes import HORIZON
from nexus_market.indicators import Ints
from nexus_ops.training.dataset import Dataset

FOLDS = 5
# The last part of what a fold may learn from says when to stop.
STOPPING_SHARE = 0.15
_BARS_MIN = 4 * HORIZON


@dataclass(frozen=True, slots=True)
class Fold:
    """Row numbers: `fit` is learned from, `stopping` says when to stop, `test` is measured on."""

    number: int
    fit: Ints
    stopping: Ints
    test: Ints


def split(dataset: Dataset, folds: int = FOLDS) -> list[Fold]:
    """Split at instants, across all instruments, each fold later than the one before.

    Between two parts lie `HORIZON` instants; and as instruments that trade by sessions take longer for as many bars,
    no outcome of an earlier part is known later than the later part's first close.

    Raises:
        ConfigurationError: there are too few instants.
    """
    from sklearn.model_selection import TimeSeriesSplit

    times = np.unique(dataset.time)
    if len(times) < (folds + 1) * _BARS_MIN:
        raise ConfigurationError(
            f"{len(times)} closes can be learned from, {folds} folds need {(folds + 1) * _BARS_MIN} or more: "
            "give a longer span, or more data"
        )
    found = []
    for number, (train, test) in enumerate(TimeSeriesSplit(folds, gap=HORIZON).split(times), start=1):
        learned = times[train]
        cut = int(len(learned) * (1.0 - STOPPING_SHARE))
        found.append(
            Fold(
                number,
                fit=_between(dataset, learned[0], learned[cut - HORIZON], known_by=learned[cut]),
                stopping=_between(dataset, learned[cut], learned[-1], known_by=times[test[0]]),
                test=_between(dataset, times[test[0]], times[test[-1]]),
            )
        )
    empty = [fold.number for fold in found if not (len(fold.fit) and len(fold.stopping) and len(fold.test))]
    if empty:
        raise ConfigurationError(
            f"fold {empty[0]} has nothing to learn from: give a longer span, or more data"
        )
    return found


def _between(dataset: Dataset, first: int, last: int, known_by: int | None = None) -> Ints:
    within = (dataset.time >= first) & (dataset.time <= last)
    if known_by is not None:
        within &= dataset.known_at <= known_by
    return np.flatnonzero(within)
