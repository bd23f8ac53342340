"""Small models for tests: one that always names a class, one that follows a feature, one that is never sure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache

import numpy as np

from nexus_cortex.artefact import MANIFEST, MODEL, SCALER, SCHEMA, load_artefact, manifest_of
from nexus_cortex.domain.model_features import FEATURES, schema_hash
from nexus_cortex.domain.outcomes import CLASSES
from nexus_market.indicators import Floats, Ints

SYMBOLS = ("BTCUSDT", "DOGEUSDT", "ETHUSDT", "SOLUSDT")
EDGES = [-1.0, 0.0, 1.0]


@cache
def always(name: str, symbols: Sequence[str] = SYMBOLS) -> dict[str, bytes]:
    """Names this class of every row, with a confidence above 0.9."""
    rows = np.random.default_rng(3).normal(size=(400, len(FEATURES)))
    return _artefact(rows, np.full(len(rows), CLASSES.index(name)), symbols)


@cache
def by_feature(feature: str, below: str, above: str, at: float = 0.0) -> dict[str, bytes]:
    """One class where a feature lies below a value, another above it."""
    rows = np.random.default_rng(4).normal(size=(2_000, len(FEATURES)))
    values = at + rows[:, FEATURES.index(feature)]
    rows[:, FEATURES.index(feature)] = values
    return _artefact(rows, np.where(values < at, CLASSES.index(below), CLASSES.index(above)), SYMBOLS)


@cache
def never_sure() -> dict[str, bytes]:
    """Half and half between two classes."""
    rows = np.random.default_rng(5).normal(size=(400, len(FEATURES)))
    labels = np.arange(len(rows)) % 2
    return _artefact(np.concatenate([rows, rows]), np.concatenate([labels, 1 - labels]), SYMBOLS)


def id_of(files: dict[str, bytes]) -> str:
    return load_artefact(files).model


def _artefact(rows: Floats, labels: Ints, symbols: Sequence[str]) -> dict[str, bytes]:
    import xgboost

    parameters = {
        "objective": "multi:softprob",
        "num_class": len(CLASSES),
        "nthread": 1,
        "max_depth": 2,
        "seed": 1,
    }
    trained = xgboost.train(parameters, xgboost.DMatrix(rows, label=labels), 20)
    schema = {
        "schema_hash": schema_hash(),
        "features": list(FEATURES),
        "classes": list(CLASSES),
        "timeframe": "15m",
        "instruments": list(symbols),
    }
    files = {
        MODEL: bytes(trained.save_raw("ubj")),
        SCALER: json.dumps({"centre": [0.0] * len(FEATURES), "scale": [1.0] * len(FEATURES)}).encode(),
        SCHEMA: json.dumps(schema).encode(),
    }
    facts = {
        "span": {"from": "2024-01-01T00:00:00.000000Z", "to": "2024-03-01T00:00:00.000000Z"},
        "rows": len(rows),
        "metrics": {"accuracy": 0.9},
        "reference": {name: {"edges": EDGES, "shares": [0.25] * 4} for name in FEATURES},
    }
    return {**files, MANIFEST: manifest_of(files, facts)}
