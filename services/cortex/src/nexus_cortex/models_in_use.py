"""Which models this process has heard of and loaded, and who reads the regime at each close."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, cast

import numpy as np

from nexus_common.contracts.envelope import Envelope
from nexus_common.contracts.message import Event
from nexus_common.contracts.model import REGIME, ModelCard, ModelEvent, ModelRegistered
from nexus_common.contracts.values import ModelId
from nexus_common.runtime.ports import EventStore
from nexus_cortex.artefact import MANIFEST, Artefact, ArtefactRefused, load_artefact
from nexus_cortex.domain.drift import drift
from nexus_cortex.domain.figures import decimal_of
from nexus_cortex.domain.model import MODELS, ModelState
from nexus_cortex.domain.model_features import FEATURES
from nexus_cortex.measuring import reference_of
from nexus_cortex.reigns import Reigns

STREAM: Final = MODELS.stream(REGIME)
Files = Mapping[str, bytes]


class ModelsInUse:
    """Folds the stream of models and keeps the artefacts of those that are asked.

    A model begins to load when its promotion is heard, a quarter of an hour at most before it is first asked.
    """

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self._heard = 0
        self._loading: dict[ModelId, asyncio.Task[None]] = {}
        self.state: ModelState = MODELS.initial
        self.loaded: dict[ModelId, Artefact | ArtefactRefused] = {}
        self.read_regimes = Reigns(lambda close: self.state.champion_at(close), self.loaded)

    def observe(self, envelope: Envelope[Event]) -> None:
        """Take an event of the stream, once; to be called where an event loop runs."""
        if envelope.stream != STREAM or envelope.position <= self._heard:
            return
        self._heard = envelope.position
        event = cast(ModelEvent, envelope.event)
        self.state = MODELS.evolve(self.state, event)
        if isinstance(event, ModelRegistered):
            # What was refused before may have been mended.
            self.loaded.pop(event.card.model, None)
            self._loading.pop(event.card.model, None)
        for model in (self.state.champion, self.state.shadow):
            if model is not None:
                self._begin_loading(model)

    async def catch_up(self) -> None:
        """Hear what other replicas have recorded: our own events come by themselves, theirs do not."""
        for recorded in await self._store.read_stream(STREAM, self._heard):
            self.observe(recorded.envelope)

    async def ready(self, *models: ModelId | None) -> None:
        """Wait until these are loaded, or refused."""
        for model in models:
            if model is not None and model not in self.loaded:
                await self._begin_loading(model)

    def usable(self, model: ModelId | None) -> Artefact | None:
        """The model, if it is loaded and was not refused."""
        artefact = None if model is None else self.loaded.get(model)
        return artefact if isinstance(artefact, Artefact) else None

    def _begin_loading(self, model: ModelId) -> Awaitable[None]:
        task = self._loading.get(model)
        if task is None:
            task = self._loading[model] = asyncio.ensure_future(self._load(model))
        return task

    async def _load(self, model: ModelId) -> None:
        card = self.state.cards.get(model)
        digest = None if card is None else card.digest
        self.loaded[model] = await loaded_from(self._store.artefact, model, digest)


async def loaded_from(
    files_of: Callable[[ModelId], Awaitable[Files]], model: ModelId, digest: str | None
) -> Artefact | ArtefactRefused:
    """A model by the digest it was registered with, or why it cannot be used."""
    files = await files_of(model)
    if not files:
        return ArtefactRefused("its files are not in the table `models`")
    try:
        return await asyncio.to_thread(load_artefact, files, digest)
    except ArtefactRefused as refusal:
        return refusal


def card_of(artefact: Artefact) -> ModelCard:
    """What is recorded of a model when it is registered; raises ArtefactRefused when its manifest does not say it."""
    manifest = artefact.manifest
    try:
        # Found out now rather than at the end of a day.
        drift(np.zeros((1, len(FEATURES))), reference_of(artefact))
        return ModelCard(
            model=artefact.model,
            digest=artefact.digest,
            schema_hash=artefact.schema_hash,
            timeframe=artefact.timeframe,
            instruments=artefact.instruments,
            classes=artefact.classes,
            trained_from=datetime.fromisoformat(manifest["span"]["from"]),
            trained_to=datetime.fromisoformat(manifest["span"]["to"]),
            rows=int(manifest["rows"]),
            metrics=_figures(manifest["metrics"]),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ArtefactRefused(f"{MANIFEST} lacks what is recorded of a model: {error!r}") from error


def _figures(metrics: Mapping[str, Any]) -> dict[str, Decimal]:
    """The plain numbers among the metrics; tables stay in the manifest."""
    return {name: decimal_of(value) for name, value in metrics.items() if isinstance(value, int | float)}
