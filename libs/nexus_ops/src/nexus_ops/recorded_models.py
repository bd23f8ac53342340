"""The models that read the regime in a record, for deciding it again."""

from __future__ import annotations

from nexus_common.contracts.values import ModelId
from nexus_common.runtime.errors import DependencyMissing
from nexus_common.runtime.ports import EventStore
from nexus_cortex.artefact import Artefact, ArtefactRefused
from nexus_cortex.domain.model import MODELS, ModelState
from nexus_cortex.handlers import CortexReactor
from nexus_cortex.models_in_use import STREAM, loaded_from
from nexus_cortex.reigns import Reigns


async def model_state(store: EventStore) -> ModelState:
    """What is on record of models."""
    state: ModelState = MODELS.initial
    for recorded in await store.read_stream(STREAM):
        state = MODELS.evolve(state, recorded.event)  # type: ignore[arg-type]
    return state


async def read_as_recorded(store: EventStore, cortex: CortexReactor) -> None:
    """Have `cortex` read regimes as they were read in the record, if a model ever did.

    Raises:
        DependencyMissing: the artefact of a champion is not in the store.
    """
    reigns = await recorded_reigns(store)
    if reigns is not None:
        cortex.read_with(reigns)


async def recorded_reigns(store: EventStore) -> Reigns | None:
    """The regimes as they were read in the record; None when no model ever read them.

    A promotion says from which close on it holds, so what is recorded later changes nothing of earlier closes.
    """
    state = await model_state(store)
    champions = {reign.model for reign in state.reigns if reign.model is not None}
    loaded: dict[ModelId, Artefact | ArtefactRefused] = {}
    for model in sorted(champions):
        if not await store.artefact(model):
            raise DependencyMissing(
                f"model {model} read the regime in this record, and its files are not in the store: "
                "put them back with `nexus models register FOLDER`"
            )
        loaded[model] = await loaded_from(store.artefact, model, state.cards[model].digest)
    return Reigns(state.champion_at, loaded) if champions else None
