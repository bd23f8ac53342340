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
    """`champion` is the one decided on last; `board` and `drift` are the last measurements."""

    cards: dict[ModelId, ModelCard] = field(default_factory=dict)
    refused: dict[ModelId, str] = field(default_factory=dict)
    champion: ModelId | None = None
    shadow: ModelId | None = None
    board: ShadowScored | None = None
    drift: DriftMeasured | None = None

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
                self.drift = event
            case _:
                pass
