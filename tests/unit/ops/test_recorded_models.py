"""A record is decided again with the models of its time, and says which one is missing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from modelling.handmade import always, id_of
from nexus_common.contracts import ids
from nexus_common.contracts.model import REGIME, PromoteModel, RefuseModel, RegisterModel, SetShadow
from nexus_common.contracts.values import ModelId
from nexus_common.runtime.desk import WorkDesk
from nexus_common.runtime.errors import ConfigurationError, DependencyMissing
from nexus_common.runtime.store.memory import MemoryStore
from nexus_cortex.artefact import load_artefact
from nexus_cortex.domain.model import MODELS
from nexus_cortex.models_in_use import card_of
from nexus_ops.composition import cortex_reactor, settings_for
from nexus_ops.model_standing import known_model, model_standing, models_standing, regime_standing
from nexus_ops.recorded_models import model_state, recorded_reigns
from nexus_ops.replay import replay

NOON = datetime(2025, 3, 3, 12, tzinfo=UTC)
TREND = always("trend")
A = ModelId(id_of(TREND))
B = ModelId(id_of(always("grid")))


@pytest.fixture
async def store() -> MemoryStore:
    """Two models, of which one was promoted at noon; no file of either is there."""
    made = MemoryStore()
    desk = WorkDesk(made, "cortex", lambda _: None)
    commands = [
        RegisterModel(card_of(load_artefact(TREND)), "owner", NOON),
        RegisterModel(card_of(load_artefact(always("grid"))), "owner", NOON),
        PromoteModel(A, NOON + timedelta(minutes=15), "owner", "", NOON),
        SetShadow(B, NOON + timedelta(minutes=15), "owner", NOON),
    ]
    for number, command in enumerate(commands):
        await desk.handle(MODELS, REGIME, command, cause=ids.timer_id(f"test/{number}", NOON))
    await desk.commit()
    return made


async def test_without_the_files_of_a_champion_a_record_cannot_be_decided_again(store: MemoryStore) -> None:
    with pytest.raises(
        DependencyMissing, match=f"model {A} read the regime .*`nexus models register FOLDER`"
    ):
        await replay(store, cortex_reactor(settings_for({})))


async def test_with_them_it_can_and_what_was_decided_of_models_is_compared_too(store: MemoryStore) -> None:
    await store.keep_artefact(A, TREND)
    assert await recorded_reigns(store) is not None
    outcome = await replay(store, cortex_reactor(settings_for({})))
    assert outcome.divergence is None
    assert (outcome.events, outcome.commands) == (4, 4)


async def test_a_record_without_models_needs_none() -> None:
    assert await recorded_reigns(MemoryStore()) is None


async def test_how_models_stand(store: MemoryStore) -> None:
    desk = WorkDesk(store, "cortex", lambda _: None)
    refuse = RefuseModel(B, "truncated", "cortex", NOON)
    await desk.handle(MODELS, REGIME, refuse, cause=ids.timer_id("test/refused", NOON))
    await desk.commit()
    standing = await models_standing(store)
    assert (standing["champion"], standing["champion_in_use"], standing["shadow"]) == (A, None, B)
    assert {row["model"]: (row["standing"], row["refused"]) for row in standing["models"]} == {
        A: ("champion", None),
        B: ("refused", "truncated"),
    }
    one = await model_standing(store, A[:4])
    assert (one["model"], one["instruments"][0], one["scoreboard"]) == (A, "BTCUSDT", None)
    assert await regime_standing(store) == {"champion": A, "shadow": B, "read_by": {}, "fallbacks": {}}


async def test_a_model_is_named_by_the_beginning_of_its_id(store: MemoryStore) -> None:
    state = await model_state(store)
    assert known_model(state, B[:5]) == B
    with pytest.raises(ConfigurationError, match=f"there is no model x: registered are {A}, {B}"):
        known_model(state, "x")
    with pytest.raises(ConfigurationError, match="2 models begin with"):
        known_model(state, "")
