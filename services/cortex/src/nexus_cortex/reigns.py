"""Regimes read by whoever reigns at each close: the champion of that close, or the rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from nexus_common.contracts.values import ModelId
from nexus_cortex.artefact import Artefact, ArtefactRefused
from nexus_cortex.domain.classifier import ByModel, Instead
from nexus_cortex.domain.evaluation import Readings, ReadRegimes, by_rules
from nexus_cortex.domain.strategies.strategy import MarketView
from nexus_market.candles import from_millis

Loaded = Mapping[ModelId, Artefact | ArtefactRefused]


class Reigns:
    """A `ReadRegimes` for views of one row each. All views of one champion are asked of it at once.

    A promotion takes effect at a close, so what is read of a close never depends on when it is read.
    """

    def __init__(self, champion_at: Callable[[datetime], ModelId | None], loaded: Loaded) -> None:
        """`loaded` holds every model that `champion_at` may name, or why it could not be loaded."""
        self._champion_at = champion_at
        self._loaded = loaded

    def __call__(self, views: Sequence[MarketView]) -> Sequence[Readings]:
        closes = [int(view.bars.close_time()[0]) for view in views]
        champions = {close: self._champion_at(from_millis(close)) for close in set(closes)}
        readings: dict[int, Readings] = {}
        for champion in dict.fromkeys(champions.values()):
            rows = [row for row, close in enumerate(closes) if champions[close] == champion]
            answers = self._reader(champion)([views[row] for row in rows])
            readings.update(zip(rows, answers, strict=True))
        return [readings[row] for row in range(len(views))]

    def _reader(self, champion: ModelId | None) -> ReadRegimes:
        if champion is None:
            return by_rules
        model = self._loaded[champion]
        return Instead(str(model)) if isinstance(model, ArtefactRefused) else ByModel(model)
