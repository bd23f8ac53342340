"""The regime by a model: one batched prediction for all instruments, rules where it is not to be believed.

A reading of the rules beside a model in use says why in its `fallback`: a kind, and after a colon the figures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Protocol

import numpy as np

from nexus_common.contracts.signal import Regime, RegimeReading
from nexus_common.contracts.values import ModelId, Symbol
from nexus_cortex.domain.evaluation import Readings
from nexus_cortex.domain.figures import decimal_of
from nexus_cortex.domain.model_features import first_ready, matrix
from nexus_cortex.domain.regime import READINGS, RegimeColumns, read_regime
from nexus_cortex.domain.strategies.strategy import MarketView
from nexus_market.indicators import Bools, Floats, Ints

CONFIDENCE_MIN: Final = 0.70
# Confidence counts in steps of 0.05, as it does on record.
STEPS: Final = 20

# What a class says of the market, and which strategy it calls for. Shark follows Sangria and not the regime, so
# where it would have done best nothing that is bound to the regime trades; so, too, where nothing earned anything.
MEANINGS: Final[Mapping[str, tuple[Regime, str]]] = {
    "trend": (Regime.TREND, "trend"),
    "scalping": (Regime.VOLATILE, "scalping"),
    "mean_reversion": (Regime.RANGE_WIDE, "mean_reversion"),
    "grid": (Regime.RANGE_TIGHT, "grid"),
    "shark": (Regime.VOLATILE, "shark"),
    "none": (Regime.NORMAL, "none"),
}


class Classifier(Protocol):
    """A model that can be asked: rows of features to the probability of each class, NaN for a row that holds NaN."""

    @property
    def model(self) -> ModelId: ...

    @property
    def classes(self) -> tuple[str, ...]: ...

    @property
    def instruments(self) -> tuple[Symbol, ...]: ...

    def predict(self, matrix: Floats) -> Floats: ...


class Doubt(IntEnum):
    """Why the rules are read although a model is in use."""

    NONE = 0
    REFUSED = 1
    INSTRUMENT = 2
    WARMING_UP = 3
    NOT_FINITE = 4
    CONFIDENCE = 5


@dataclass(frozen=True, slots=True)
class ModelReadings:
    """The readings of one instrument's rows; `probabilities` are rows by classes, `doubt` a `Doubt` for each row."""

    model: Classifier
    symbol: Symbol
    rules: RegimeColumns
    probabilities: Floats
    doubt: Ints

    @property
    def best(self) -> Ints:
        """For each row the number of the likeliest class; that of a row without prediction means nothing."""
        best: Ints = self.probabilities.argmax(axis=1)
        return best

    @property
    def confidence(self) -> Floats:
        """The probability of the likeliest class; 0 for a row without prediction."""
        highest: Floats = self.probabilities.max(axis=1, initial=0.0)
        return np.where(np.isnan(highest), 0.0, highest)

    @property
    def believed(self) -> Bools:
        believed: Bools = self.doubt == Doubt.NONE
        return believed

    @property
    def number(self) -> Ints:
        by_model = self.best * (STEPS + 1) + np.rint(self.confidence * STEPS).astype(np.int64)
        by_rules = self.rules.number + len(READINGS) * self.doubt
        return np.where(self.believed, len(READINGS) * len(Doubt) + by_model, by_rules)

    def strategies(self) -> list[str]:
        """For each row the strategy that its reading calls for."""
        named = [MEANINGS[name][1] for name in self.model.classes]
        return [
            named[best] if believed else READINGS[rule].strategy
            for best, believed, rule in zip(
                self.best.tolist(), self.believed.tolist(), self.rules.number.tolist(), strict=True
            )
        ]

    def reading(self, row: int) -> RegimeReading:
        if self.doubt[row] != Doubt.NONE:
            return self.rules.reading(row).model_copy(update={"fallback": self._fallback(row)})
        probabilities = self.probabilities[row]
        regime, strategy = MEANINGS[self.model.classes[int(probabilities.argmax())]]
        return RegimeReading(
            regime=regime,
            strategy=strategy,
            confidence=decimal_of(probabilities.max()),
            model_version=self.model.model,
            inputs=dict(zip(self.model.classes, map(decimal_of, probabilities), strict=True)),
        )

    def _fallback(self, row: int) -> str:
        match Doubt(int(self.doubt[row])):
            case Doubt.INSTRUMENT:
                return f"instrument: {self.symbol} is not one of model {self.model.model}"
            case Doubt.WARMING_UP:
                return f"features: not all of model {self.model.model}'s are ready"
            case Doubt.NOT_FINITE:
                return f"figures: a feature of model {self.model.model} is no number here"
            case _:
                best = self.model.classes[int(self.best[row])]
                return f"confidence: {best} {self.confidence[row]:.3f} < {CONFIDENCE_MIN:.2f}"


@dataclass(frozen=True, slots=True)
class ByModel:
    """Reads regimes with a model that is in use: a `ReadRegimes`."""

    model: Classifier

    def __call__(self, views: Sequence[MarketView]) -> Sequence[ModelReadings]:
        known = frozenset(self.model.instruments)
        firsts = [first_ready(view.bars) if view.symbol in known else len(view.bars) for view in views]
        asked = [
            matrix(view.since(first))
            for view, first in zip(views, firsts, strict=True)
            if first < len(view.bars)
        ]
        answered = self.model.predict(np.concatenate(asked)) if asked else np.empty((0, 0))
        readings, taken = [], 0
        for view, first in zip(views, firsts, strict=True):
            rows = len(view.bars) - first
            readings.append(self._readings(view, first, answered[taken : taken + rows], view.symbol in known))
            taken += rows
        return readings

    def _readings(self, view: MarketView, first: int, answers: Floats, is_known: bool) -> ModelReadings:
        probabilities = np.full((len(view.bars), len(self.model.classes)), np.nan)
        doubt = np.full(len(view.bars), Doubt.WARMING_UP if is_known else Doubt.INSTRUMENT, dtype=np.int64)
        if len(answers):
            probabilities[first:] = answers
            highest = answers.max(axis=1)
            unsure = np.where(highest >= CONFIDENCE_MIN, Doubt.NONE, Doubt.CONFIDENCE)
            doubt[first:] = np.where(np.isnan(highest), Doubt.NOT_FINITE, unsure)
        return ModelReadings(
            self.model, view.symbol, read_regime(view.bars, view.macro), probabilities, doubt
        )


@dataclass(frozen=True, slots=True)
class RuledReadings:
    """The rules' readings of one instrument while the model in use cannot be asked at all."""

    rules: RegimeColumns
    reason: str

    @property
    def number(self) -> Ints:
        return self.rules.number + len(READINGS) * Doubt.REFUSED

    def reading(self, row: int) -> RegimeReading:
        return self.rules.reading(row).model_copy(update={"fallback": f"artefact: {self.reason}"})


@dataclass(frozen=True, slots=True)
class Instead:
    """Reads regimes by the rules because the artefact of the model in use was refused: a `ReadRegimes`."""

    reason: str

    def __call__(self, views: Sequence[MarketView]) -> Sequence[Readings]:
        return [RuledReadings(read_regime(view.bars, view.macro), self.reason) for view in views]
