"""One fit: features scaled by what is learned from, classes weighed, trees until the later slice gets no better."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from nexus_cortex.artefact import scaled_by
from nexus_cortex.domain.outcomes import CLASSES
from nexus_market.indicators import Floats, Ints
from nexus_ops.training.dataset import Dataset


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a model is fitted. `threads` and `seed` belong to it: with other ones the bits may differ."""

    trees_max: int = 400
    patience: int = 15
    depth: int = 4
    rate: float = 0.15
    row_share: float = 0.5
    feature_share: float = 0.8
    leaf_weight_min: float = 100.0
    bins: int = 64
    seed: int = 1
    threads: int = 2

    def parameters(self) -> dict[str, Any]:
        """XGBoost's own names for it."""
        return {
            "objective": "multi:softprob",
            "num_class": len(CLASSES),
            "tree_method": "hist",
            "max_depth": self.depth,
            "eta": self.rate,
            "subsample": self.row_share,
            "colsample_bytree": self.feature_share,
            "min_child_weight": self.leaf_weight_min,
            "max_bin": self.bins,
            "eval_metric": "mlogloss",
            "seed": self.seed,
            "nthread": self.threads,
            "verbosity": 1,
        }


@dataclass(frozen=True, slots=True)
class Fitted:
    """A booster of `trees` rounds and the scaler its features pass through."""

    booster: Any
    centre: Floats
    scale: Floats
    trees: int

    def predict(self, features: Floats) -> Floats:
        """The probability of each class, as the artefact will say it."""
        probabilities: Floats = self.booster.inplace_predict(
            scaled_by(features, self.centre, self.scale), iteration_range=(0, self.trees)
        ).astype(np.float64)
        return probabilities


def fit(recipe: Recipe, dataset: Dataset, rows: Ints, stopping: Ints) -> Fitted:
    """Fit to `rows`, and keep as many rounds as were best on `stopping`."""
    import xgboost

    centre, scale = _scaler(dataset.features[rows])
    learned = _matrix(recipe, dataset, rows, centre, scale)
    judged = _matrix(recipe, dataset, stopping, centre, scale, learned)
    booster = xgboost.train(
        recipe.parameters(),
        learned,
        recipe.trees_max,
        evals=[(judged, "stopping")],
        early_stopping_rounds=recipe.patience,
        verbose_eval=False,
    )
    return Fitted(booster, centre, scale, booster.best_iteration + 1)


def fit_whole(recipe: Recipe, dataset: Dataset, trees: int) -> Fitted:
    """Fit to every row, with a number of rounds that is known."""
    import xgboost

    centre, scale = _scaler(dataset.features)
    learned = _matrix(recipe, dataset, np.arange(len(dataset)), centre, scale)
    return Fitted(xgboost.train(recipe.parameters(), learned, trees), centre, scale, trees)


def _scaler(features: Floats) -> tuple[Floats, Floats]:
    from sklearn.preprocessing import RobustScaler

    scaler = RobustScaler().fit(features)
    return scaler.center_, scaler.scale_


def _matrix(
    recipe: Recipe, dataset: Dataset, rows: Ints, centre: Floats, scale: Floats, like: Any = None
) -> Any:
    import xgboost

    label = dataset.label[rows]
    return xgboost.QuantileDMatrix(
        scaled_by(dataset.features[rows], centre, scale),
        label=label,
        weight=class_weights(label)[label],
        max_bin=recipe.bins,
        ref=like,
        nthread=recipe.threads,
    )


def class_weights(label: Ints) -> Floats:
    """For each class the root of how much rarer it is than the average one; 0 for one that does not occur.

    The root: with the whole ratio a class of 0.4 % would be named so often that no probability meant anything.
    """
    counts = np.bincount(label, minlength=len(CLASSES)).astype(np.float64)
    present = np.count_nonzero(counts)
    ratio = np.divide(len(label), counts * present, out=np.zeros_like(counts), where=counts > 0)
    return np.sqrt(ratio)


def importance(fitted: Fitted, names: tuple[str, ...]) -> Mapping[str, float]:
    """The share of each feature in all the loss that splits saved."""
    gains = fitted.booster.get_score(importance_type="total_gain")
    total = sum(gains.values()) or 1.0
    return {name: gains.get(f"f{number}", 0.0) / total for number, name in enumerate(names)}
