"""How a model did on rows it had not seen: as a classifier, and in what following it would have earned.

An outcome counts at every close, though those of neighbouring closes share most of their bars: means are fair,
sums are no account's profit. A family that would not have traded, and `none`, earn 0.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from nexus_cortex.domain.classifier import CONFIDENCE_MIN
from nexus_cortex.domain.outcomes import CLASSES, FAMILIES
from nexus_market.indicators import Floats, Ints
from nexus_ops.training.dataset import Dataset

BINS = 10
# Below this a probability counts as this much in the log loss, as scikit-learn has it.
_LEAST = 1e-15


@dataclass(frozen=True, slots=True)
class Bin:
    """Predictions whose confidence lies in one tenth: how sure they were, how often right."""

    rows: int
    confidence: float
    right: float


@dataclass(frozen=True, slots=True)
class Earned:
    """Mean R a close, net. `confident` closes are those where the model's confidence is at least 0.70.

    `used` is what cortex does: the model where it is confident, elsewhere the rules. `single` is the family that
    was best on the rows learned from; `hindsight` the one that turned out best here, which nobody could know.
    """

    always: float
    used: float
    rules: float
    single: float
    single_family: str
    hindsight: float
    hindsight_family: str
    confident: int
    confident_model: float | None
    confident_rules: float | None


@dataclass(frozen=True, slots=True)
class Measures:
    """`base_*`: of whoever always says how often each class occurred among the rows learned from."""

    rows: int
    accuracy: float
    base_accuracy: float
    log_loss: float
    base_log_loss: float
    calibration_error: float
    bins: tuple[Bin, ...]
    confusion: tuple[tuple[int, ...], ...]
    earned: Earned

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def measure(dataset: Dataset, learned: Ints, test: Ints, probabilities: Floats) -> Measures:
    """What predictions for the rows `test` were worth; `learned` are the rows the model was made from."""
    label, best = dataset.label[test], probabilities.argmax(axis=1)
    shares = np.bincount(dataset.label[learned], minlength=len(CLASSES)) / len(learned)
    base = np.broadcast_to(shares, probabilities.shape)
    bins, error = calibration(probabilities.max(axis=1), best == label)
    confusion = np.zeros((len(CLASSES), len(CLASSES)), dtype=np.int64)
    np.add.at(confusion, (label, best), 1)
    return Measures(
        rows=len(test),
        accuracy=float((best == label).mean()),
        base_accuracy=float((label == shares.argmax()).mean()),
        log_loss=log_loss(probabilities, label),
        base_log_loss=log_loss(base, label),
        calibration_error=error,
        bins=bins,
        confusion=tuple(map(tuple, confusion.tolist())),
        earned=_earned(dataset, learned, test, probabilities),
    )


def log_loss(probabilities: Floats, label: Ints) -> float:
    said = probabilities[np.arange(len(label)), label]
    return float(-np.log(np.maximum(said, _LEAST)).mean())


def calibration(confidence: Floats, right: Any) -> tuple[tuple[Bin, ...], float]:
    """Tenths of confidence, empty ones left out, and the expected calibration error: their mean gap by rows."""
    tenth = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    bins = tuple(
        Bin(int(within.sum()), float(confidence[within].mean()), float(right[within].mean()))
        for within in (tenth == number for number in range(BINS))
        if within.any()
    )
    error = sum(each.rows * abs(each.confidence - each.right) for each in bins) / len(confidence)
    return bins, float(error)


def followed(dataset: Dataset, rows: Ints, choice: Ints) -> Floats:
    """What each row's choice (a number in `CLASSES`) earned."""
    earned = np.nan_to_num(dataset.earned[rows])
    with_none = np.concatenate((earned, np.zeros((len(rows), 1))), axis=1)
    chosen: Floats = with_none[np.arange(len(rows)), choice]
    return chosen


@dataclass(frozen=True, slots=True)
class Followed:
    """What was earned at each row by following someone."""

    model: Floats
    rules: Floats
    used: Floats
    confident: Any


def follow(dataset: Dataset, test: Ints, probabilities: Floats) -> Followed:
    model = followed(dataset, test, probabilities.argmax(axis=1))
    rules = followed(dataset, test, dataset.rules[test])
    confident = probabilities.max(axis=1) >= CONFIDENCE_MIN
    return Followed(model, rules, np.where(confident, model, rules), confident)


def _earned(dataset: Dataset, learned: Ints, test: Ints, probabilities: Floats) -> Earned:
    by = follow(dataset, test, probabilities)
    single = int(_by_family(dataset.earned[learned]).argmax())
    here = _by_family(dataset.earned[test])
    return Earned(
        always=float(by.model.mean()),
        used=float(by.used.mean()),
        rules=float(by.rules.mean()),
        single=float(np.nan_to_num(dataset.earned[test, single]).mean()),
        single_family=FAMILIES[single],
        hindsight=float(here.max()),
        hindsight_family=FAMILIES[int(here.argmax())],
        confident=int(by.confident.sum()),
        confident_model=_mean(by.model[by.confident]),
        confident_rules=_mean(by.rules[by.confident]),
    )


def _by_family(earned: Floats) -> Floats:
    """What each family earned a close; one that never traded is no choice."""
    traded = ~np.isnan(earned).all(axis=0)
    return np.where(traded, np.nan_to_num(earned).mean(axis=0), -np.inf)


def _mean(values: Floats) -> float | None:
    return float(values.mean()) if len(values) else None
