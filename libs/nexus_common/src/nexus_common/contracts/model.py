"""The regime model: which ones there are, which is used. Owner: cortex, stream `model-regime`.

A model is named by the beginning of its artefact's SHA-256. The artefact itself lies in the table `models`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from nexus_common.contracts.message import Event, command
from nexus_common.contracts.values import Instant, ModelId, Number, Symbol, Timeframe, Value

REGIME = "regime"


class ModelCard(Value):
    """What a model's manifest says of it: what it was trained on, how it did on what it had not seen.

    `metrics` hold the means over all later folds; `digest` is the SHA-256 over the artefact's files.
    """

    model: ModelId
    digest: str
    schema_hash: str
    timeframe: Timeframe
    instruments: tuple[Symbol, ...]
    classes: tuple[str, ...]
    trained_from: Instant
    trained_to: Instant
    rows: int
    metrics: dict[str, Number]


class ModelRegistered(Event):
    """An artefact was checked and may be used from now on; nobody uses it yet."""

    type = "model.registered"

    card: ModelCard
    by: str


class ModelPromoted(Event):
    """The model reads the regime from the first 15m close at or after `effective_from`.

    `reason` is the owner's word, or the rule that the shadow met, with its figures.
    """

    type = "model.promoted"

    model: ModelId
    previous: ModelId | None
    effective_from: Instant
    by: str
    reason: str


class ModelRolledBack(Event):
    """The champion is taken out of use; `model` is the one before it, None: rules read the regime."""

    type = "model.rolled_back"

    withdrawn: ModelId
    model: ModelId | None
    effective_from: Instant
    by: str
    reason: str


class ShadowSet(Event):
    """The model predicts beside the champion and is scored, without effect; None: nobody does."""

    type = "model.shadow_set"

    model: ModelId | None
    effective_from: Instant
    by: str


class ModelRefused(Event):
    """An artefact cannot be used: corrupt, tampered with, or made for other features. Rules stay, loudly."""

    type = "model.refused"

    model: ModelId
    reason: str
    by: str


class ModelDeclined(Event):
    """What was asked for cannot be done: no such model, or nothing to go back to. Nothing changed.

    `asked` is the wish in a word: `promote`, `roll back`, `shadow`.
    """

    type = "model.declined"

    asked: str
    model: ModelId | None
    reason: str
    by: str


class Contender(StrEnum):
    CHAMPION = "champion"
    SHADOW = "shadow"
    RULES = "rules"


class Score(Value):
    """How a contender did on closes whose outcome is known by now.

    `closes` are the same for all contenders; where a model is not believed, the rules' reading counts for it, as it
    would if it were champion. At `right` ones it named the best family; `mean_r` is what following it would have
    earned at a close on average, in R, net.
    """

    contender: Contender
    model: ModelId | None
    closes: int
    right: int
    mean_r: Number


class ShadowScored(Event):
    """The scoreboard as of `at`, since champion and shadow are these."""

    type = "model.scored"

    since: Instant
    at: Instant
    scores: tuple[Score, ...]


class DriftMeasured(Event):
    """How far the features of the week up to `at` lie from those the model was trained on.

    `psi` is the population stability index of each: below 0.1 nothing moved, from 0.25 on the feature is another
    one (the usual thresholds of credit scoring); those are `drifted`.
    """

    type = "model.drift_measured"

    model: ModelId
    at: Instant
    rows: int
    psi: dict[str, Number]
    drifted: tuple[str, ...]


ModelEvent = (
    ModelRegistered
    | ModelPromoted
    | ModelRolledBack
    | ShadowSet
    | ModelRefused
    | ModelDeclined
    | ShadowScored
    | DriftMeasured
)


@command("model.register")
@dataclass(frozen=True, slots=True)
class RegisterModel:
    card: ModelCard
    by: str
    at: Instant


@command("model.promote")
@dataclass(frozen=True, slots=True)
class PromoteModel:
    """`effective_from` is the next 15m close, so that every replica changes over at the same one."""

    model: ModelId
    effective_from: Instant
    by: str
    reason: str
    at: Instant


@command("model.roll_back")
@dataclass(frozen=True, slots=True)
class RollBackModel:
    effective_from: Instant
    by: str
    reason: str
    at: Instant


@command("model.set_shadow")
@dataclass(frozen=True, slots=True)
class SetShadow:
    model: ModelId | None
    effective_from: Instant
    by: str
    at: Instant


@command("model.refuse")
@dataclass(frozen=True, slots=True)
class RefuseModel:
    model: ModelId
    reason: str
    by: str
    at: Instant


@command("model.score_shadow")
@dataclass(frozen=True, slots=True)
class ScoreShadow:
    """The scoreboard as of `until`, the end of a UTC day."""

    since: Instant
    until: Instant
    scores: tuple[Score, ...]
    at: Instant


@command("model.measure_drift")
@dataclass(frozen=True, slots=True)
class MeasureDrift:
    """What the `rows` of the week up to `until`, the end of a UTC day, say."""

    model: ModelId
    until: Instant
    rows: int
    psi: dict[str, Number]
    at: Instant


ModelCommand = (
    RegisterModel | PromoteModel | RollBackModel | SetShadow | RefuseModel | ScoreShadow | MeasureDrift
)
