"""Training a regime model: five folds and the final fit on 200,000 rows, beside one fit of the same rows."""

from __future__ import annotations

import time
from typing import Final

import numpy as np

from benchmarks.measuring import Figure
from nexus_common.contracts.values import Symbol
from nexus_cortex.domain.model_features import FEATURES
from nexus_cortex.domain.outcomes import FAMILIES, HORIZON, labels
from nexus_ops.training.dataset import Dataset
from nexus_ops.training.fitting import Recipe, fit_whole
from nexus_ops.training.run import train

INSTRUMENTS: Final = 5
CLOSES: Final = 40_000
BAR: Final = 900_000
MINUTES_MAX: Final = 5.0


def run() -> list[Figure]:
    dataset, recipe = _dataset(), Recipe()
    began, worked = time.perf_counter(), time.process_time()
    training = train(dataset, recipe)
    seconds, processor = time.perf_counter() - began, time.process_time() - worked
    began = time.perf_counter()
    fit_whole(recipe, dataset, training.artefact.manifest["trees"])
    floor = time.perf_counter() - began
    trees = sum(result.trees for result in training.folds)
    return [
        Figure(
            what=f"training on {len(dataset):,} rows of {len(FEATURES)} features, two threads",
            value=round(seconds, 1),
            unit="s",
            floor=round(floor, 1),
            floor_is="the final fit alone",
            ratio=round(seconds / floor, 1),
            goal="minutes",
            met=seconds < MINUTES_MAX * 60,
            note=f"{processor:.0f} s of processor time; {trees} rounds in the folds",
        )
    ]


def _dataset() -> Dataset:
    """Features without meaning save two, which say a little about what each family earned."""
    rows = INSTRUMENTS * CLOSES
    random = np.random.default_rng(7)
    features = random.normal(size=(rows, len(FEATURES)))
    earned = random.normal(size=(rows, len(FAMILIES))) - 0.5
    earned[:, 0] += features[:, 0]
    earned[:, 2] -= features[:, 1] * np.abs(features[:, 2])
    times = np.repeat(np.arange(CLOSES, dtype=np.int64) * BAR, INSTRUMENTS)
    return Dataset(
        symbols=tuple(Symbol(f"COIN{number}USDT") for number in range(INSTRUMENTS)),
        features=features,
        earned=earned,
        label=labels(earned),
        rules=random.integers(0, len(FAMILIES), rows),
        time=times,
        known_at=times + HORIZON * BAR,
        instrument=np.tile(np.arange(INSTRUMENTS), CLOSES),
    )
