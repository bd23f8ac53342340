"""How the regime models stand, as far as users are told."""

from __future__ import annotations

from dataclasses import dataclass, field

from nexus_common.contracts.message import Event
from nexus_common.contracts.model import (
    DriftMeasured,
    ModelCard,
    ModelPromoted,
    ModelRefused,
    ModelRegistered,
    ModelRolledBack,
    ShadowScored,
    ShadowSet,
)
from nexus_common.contracts.values import ModelId


@dataclass(slots=True)
class ModelView:
    """`champion` is the one decided on last; `board` and `drift` are the last measurements.

    `newly_drifted` are the features that were not yet others when the same model was measured before.
    """

    cards: dict[ModelId, ModelCard] = field(default_factory=dict)
    refused: dict[ModelId, str] = field(default_factory=dict)
    champion: ModelId | None = None
    shadow: ModelId | None = None
    board: ShadowScored | None = None
    drift: DriftMeasured | None = None
    newly_drifted: tuple[str, ...] = ()

    def observe(self, event: Event) -> None:
        match event:
            case ModelRegistered(card=card):
                self.cards[card.model] = card
                self.refused.pop(card.model, None)
            case ModelPromoted(model=model):
                self.champion, self.board = model, None
                self.shadow = None if self.shadow == model else self.shadow
            case ModelRolledBack(model=model):
                self.champion, self.board = model, None
            case ShadowSet(model=shadow):
                self.shadow, self.board = shadow, None
            case ModelRefused(model=model, reason=reason):
                self.refused[model] = reason
            case ShadowScored():
                self.board = event
            case DriftMeasured():
                before = self.drift
                known = before.drifted if before is not None and before.model == event.model else ()
                self.newly_drifted = tuple(name for name in event.drifted if name not in known)
                self.drift = event
            case _:
                pass
