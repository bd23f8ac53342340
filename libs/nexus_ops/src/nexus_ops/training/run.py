"""The whole training: folds measured, a final model fitted to all rows, its artefact put together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from statistics import fmean, median
from typing import Any

import numpy as np
import orjson

from nexus_common.contracts.values import format_instant
from nexus_cortex.artefact import MANIFEST, MODEL, SCALER, SCHEMA, Artefact, load_artefact, manifest_of
from nexus_cortex.domain.model_features import FEATURES, TIMEFRAME, schema_hash
from nexus_cortex.domain.outcomes import CLASSES, HORIZON, WORTH_R
from nexus_market.candles import from_millis
from nexus_market.indicators import Floats
from nexus_ops.training.dataset import Dataset
from nexus_ops.training.drift_reference import drift_reference
from nexus_ops.training.fitting import Fitted, Recipe, fit, fit_whole, importance
from nexus_ops.training.folds import Fold, split
from nexus_ops.training.measures import Measures, measure

Advance = Callable[[float, str], None]


@dataclass(frozen=True, slots=True)
class FoldResult:
    """A fold, the probabilities its model gave to the rows it was tested on, and what they were worth."""

    fold: Fold
    trees: int
    probabilities: Floats
    measures: Measures


@dataclass(frozen=True, slots=True)
class Training:
    """What came out; `files` is the artefact."""

    dataset: Dataset
    recipe: Recipe
    folds: Sequence[FoldResult]
    metrics: Mapping[str, float]
    importance: Mapping[str, float]
    files: Mapping[str, bytes]
    artefact: Artefact


def train(dataset: Dataset, recipe: Recipe, advance: Advance = lambda done, what: None) -> Training:
    """Measure on later folds, then fit to everything with the folds' median number of trees.

    `advance` hears how many fits are done, of one more than there are folds.

    Raises:
        ConfigurationError: there is too little to learn from.
    """
    results = []
    folds = split(dataset)
    for fold in folds:
        advance(fold.number - 1, f"fold {fold.number} of {len(folds)}")
        results.append(_tested(dataset, recipe, fold))
    advance(len(folds), "the final model")
    fitted = fit_whole(recipe, dataset, int(median(result.trees for result in results)))
    metrics = mean_metrics([result.measures for result in results])
    files = _artefact_files(dataset, recipe, fitted, results, metrics)
    advance(len(folds) + 1, "done")
    return Training(
        dataset, recipe, results, metrics, importance(fitted, FEATURES), files, load_artefact(files)
    )


def _tested(dataset: Dataset, recipe: Recipe, fold: Fold) -> FoldResult:
    fitted = fit(recipe, dataset, fold.fit, fold.stopping)
    probabilities = fitted.predict(dataset.features[fold.test])
    learned = np.concatenate((fold.fit, fold.stopping))
    return FoldResult(fold, fitted.trees, probabilities, measure(dataset, learned, fold.test, probabilities))


def mean_metrics(measures: Sequence[Measures]) -> dict[str, float]:
    """The means over the folds, each counting once; `r_confident_*` over the folds that had confident closes."""
    earned = [each.earned for each in measures]
    means = {
        "accuracy": fmean(each.accuracy for each in measures),
        "base_accuracy": fmean(each.base_accuracy for each in measures),
        "log_loss": fmean(each.log_loss for each in measures),
        "base_log_loss": fmean(each.base_log_loss for each in measures),
        "calibration_error": fmean(each.calibration_error for each in measures),
        "r_always": fmean(each.always for each in earned),
        "r_used": fmean(each.used for each in earned),
        "r_rules": fmean(each.rules for each in earned),
        "r_single": fmean(each.single for each in earned),
        "confident_share": fmean(e.confident / m.rows for e, m in zip(earned, measures, strict=True)),
    }
    model = [each.confident_model for each in earned if each.confident_model is not None]
    rules = [each.confident_rules for each in earned if each.confident_rules is not None]
    if model and rules:
        means |= {"r_confident_model": fmean(model), "r_confident_rules": fmean(rules)}
    return means


def _artefact_files(
    dataset: Dataset,
    recipe: Recipe,
    fitted: Fitted,
    results: Sequence[FoldResult],
    metrics: Mapping[str, float],
) -> dict[str, bytes]:
    """Nothing in them tells when or where it was made: the same data and recipe give the same bytes."""
    import xgboost

    schema = {
        "schema_hash": schema_hash(),
        "features": FEATURES,
        "classes": CLASSES,
        "timeframe": TIMEFRAME.value,
        "instruments": dataset.symbols,
    }
    files = {
        MODEL: bytes(fitted.booster.save_raw("ubj")),
        SCALER: orjson.dumps({"centre": fitted.centre.tolist(), "scale": fitted.scale.tolist()}),
        SCHEMA: orjson.dumps(schema),
    }
    facts = {
        "rows": len(dataset),
        "span": {
            "from": format_instant(from_millis(int(dataset.time[0]))),
            "to": format_instant(from_millis(int(dataset.known_at.max()))),
        },
        "labels": {"horizon": HORIZON, "worth_r": WORTH_R},
        "recipe": {field.name: getattr(recipe, field.name) for field in fields(recipe)},
        "trees": fitted.trees,
        "metrics": dict(metrics),
        "folds": [fold_facts(dataset, result) for result in results],
        "xgboost": xgboost.__version__,
        "reference": drift_reference(dataset.features),
    }
    return {**files, MANIFEST: manifest_of(files, facts)}


def fold_facts(dataset: Dataset, result: FoldResult) -> dict[str, Any]:
    """A fold for the record: its spans, and its measures without what is only drawn."""
    fold, measures = result.fold, result.measures.to_json()
    del measures["bins"], measures["confusion"]
    return {
        "number": fold.number,
        "rows_learned": len(fold.fit) + len(fold.stopping),
        "learned_until": format_instant(from_millis(int(dataset.known_at[fold.stopping].max()))),
        "tested_from": format_instant(from_millis(int(dataset.time[fold.test[0]]))),
        "tested_to": format_instant(from_millis(int(dataset.time[fold.test[-1]]))),
        "trees": result.trees,
        **measures,
    }
