"""The decider of `model-regime`: which models there are, which one reads the regime, which one only watches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Final, assert_never

from nexus_common.contracts.decider import Decider
from nexus_common.contracts.model import (
    DriftMeasured,
    MeasureDrift,
    ModelCard,
    ModelCommand,
    ModelDeclined,
    ModelEvent,
    ModelPromoted,
    ModelRefused,
    ModelRegistered,
    ModelRolledBack,
    PromoteModel,
    RefuseModel,
    RegisterModel,
    RollBackModel,
    ScoreShadow,
    SetShadow,
    ShadowScored,
    ShadowSet,
)
from nexus_common.contracts.values import ModelId, Timeframe
from nexus_market.candles import EPOCH

DRIFTED_FROM: Final = Decimal("0.25")


@dataclass(frozen=True, slots=True)
class Reign:
    """Who reads the regime from a close on, until the next one; None: rules."""

    effective_from: datetime
    model: ModelId | None


@dataclass(frozen=True, slots=True)
class ModelState:
    """`line` are the champions that a roll-back leads back through, the one in use last.

    `refused` are models that cannot be used, with the reason; a champion among them stays champion in name while
    rules read the regime. `boards` are the scoreboards since champion and shadow are these, oldest first, and
    `contest_since` when that began. `drift` is the last measurement.
    """

    cards: Mapping[ModelId, ModelCard] = field(default_factory=dict)
    reigns: tuple[Reign, ...] = ()
    line: tuple[ModelId, ...] = ()
    shadow: ModelId | None = None
    shadow_since: datetime | None = None
    refused: Mapping[ModelId, str] = field(default_factory=dict)
    boards: tuple[ShadowScored, ...] = ()
    contest_since: datetime | None = None
    drift: DriftMeasured | None = None

    @property
    def champion(self) -> ModelId | None:
        """The one decided on last, in use or about to be."""
        return self.line[-1] if self.line else None

    def champion_at(self, close: datetime) -> ModelId | None:
        """Who reads the regime at a close, by what was decided so far."""
        holding = [reign.model for reign in self.reigns if reign.effective_from <= close]
        return holding[-1] if holding else None

    def champions_between(self, first: datetime, last: datetime) -> tuple[ModelId | None, ...]:
        """Who reads the regime at any close from the first to the last, by what was decided so far."""
        later = [reign.model for reign in self.reigns if first < reign.effective_from <= last]
        return (self.champion_at(first), *later)

    def shadow_at(self, close: datetime) -> ModelId | None:
        since = self.shadow_since
        return self.shadow if since is not None and since <= close else None

    def objection(self, model: ModelId) -> str | None:
        """Why a model cannot be used; None: it can."""
        if model in self.refused:
            return f"it was refused: {self.refused[model]}"
        if model not in self.cards:
            return f"it is not registered; there is {', '.join(self.cards) or 'none'}"
        return None


def next_close(at: datetime) -> datetime:
    """The first 15m close later than an instant: when a change that is decided now takes effect."""
    return EPOCH + ((at - EPOCH) // Timeframe.M15.duration + 1) * Timeframe.M15.duration


def decide(command: ModelCommand, state: ModelState) -> Sequence[ModelEvent]:
    """Asking for what is so already leads to nothing, for what cannot be to `ModelDeclined`."""
    match command:
        case RegisterModel(card=card, by=by):
            known = state.cards.get(card.model) == card and card.model not in state.refused
            return [] if known else [ModelRegistered(card=card, by=by)]
        case RefuseModel(model=model, reason=reason, by=by):
            if state.refused.get(model) == reason:
                return []
            return [ModelRefused(model=model, reason=reason, by=by)]
        case PromoteModel():
            return _promote(command, state)
        case RollBackModel():
            return _roll_back(command, state)
        case SetShadow():
            return _set_shadow(command, state)
        case ScoreShadow():
            return _score(command, state)
        case MeasureDrift():
            return _measure(command, state)
        case _:
            assert_never(command)


def _promote(command: PromoteModel, state: ModelState) -> list[ModelEvent]:
    objection = state.objection(command.model)
    if objection is not None:
        return [_declined("promote", command.model, objection, command.by)]
    if command.model == state.champion:
        return []
    return [
        ModelPromoted(
            model=command.model,
            previous=state.champion,
            effective_from=command.effective_from,
            by=command.by,
            reason=command.reason,
        )
    ]


def _roll_back(command: RollBackModel, state: ModelState) -> list[ModelEvent]:
    """Models that were refused since are passed over."""
    champion = state.champion
    if champion is None:
        return [_declined("roll back", None, "no model is in use; rules read the regime", command.by)]
    usable = [model for model in _before(state) if model not in state.refused]
    return [
        ModelRolledBack(
            withdrawn=champion,
            model=usable[-1] if usable else None,
            effective_from=command.effective_from,
            by=command.by,
            reason=command.reason,
        )
    ]


def _before(state: ModelState) -> tuple[ModelId, ...]:
    return state.line[:-1]


def _set_shadow(command: SetShadow, state: ModelState) -> list[ModelEvent]:
    model = command.model
    objection = None if model is None else state.objection(model)
    if model is not None and model == state.champion:
        objection = "it is the champion"
    if objection is not None:
        return [_declined("shadow", model, objection, command.by)]
    if model == state.shadow:
        return []
    return [ShadowSet(model=model, effective_from=command.effective_from, by=command.by)]


def _score(command: ScoreShadow, state: ModelState) -> list[ModelEvent]:
    if state.boards and state.boards[-1].at >= command.until:
        return []
    return [ShadowScored(since=command.since, at=command.until, scores=command.scores)]


def _measure(command: MeasureDrift, state: ModelState) -> list[ModelEvent]:
    if state.drift is not None and state.drift.at >= command.until:
        return []
    drifted = tuple(name for name in sorted(command.psi) if command.psi[name] >= DRIFTED_FROM)
    return [
        DriftMeasured(
            model=command.model, at=command.until, rows=command.rows, psi=command.psi, drifted=drifted
        )
    ]


def _declined(asked: str, model: ModelId | None, reason: str, by: str) -> ModelDeclined:
    return ModelDeclined(asked=asked, model=model, reason=reason, by=by)


def evolve(state: ModelState, event: ModelEvent) -> ModelState:
    match event:
        case ModelRegistered(card=card):
            refused = {model: why for model, why in state.refused.items() if model != card.model}
            return replace(state, cards={**state.cards, card.model: card}, refused=refused)
        case ModelPromoted():
            line = (*state.line, event.model)
            shadow = None if event.model == state.shadow else state.shadow
            return _reigned(replace(state, shadow=shadow), event.model, line, event.effective_from)
        case ModelRolledBack():
            before = _before(state)
            line = () if event.model is None else before[: len(before) - before[::-1].index(event.model)]
            return _reigned(state, event.model, line, event.effective_from)
        case ShadowSet(model=model, effective_from=since):
            contest = replace(state, boards=(), contest_since=since)
            return replace(contest, shadow=model, shadow_since=None if model is None else since)
        case ModelRefused(model=model, reason=reason):
            return replace(state, refused={**state.refused, model: reason})
        case ModelDeclined():
            return state
        case ShadowScored():
            return replace(state, boards=(*state.boards, event))
        case DriftMeasured():
            return replace(state, drift=event)
        case _:
            assert_never(event)


def _reigned(
    state: ModelState, model: ModelId | None, line: tuple[ModelId, ...], since: datetime
) -> ModelState:
    """A new champion is a new contest for the scoreboard."""
    reigns = (*state.reigns, Reign(since, model))
    return replace(state, reigns=reigns, line=line, boards=(), contest_since=since)


MODELS: Final[Decider[ModelCommand, ModelState, ModelEvent]] = Decider(
    category="model", initial=ModelState(), decide=decide, evolve=evolve
)
