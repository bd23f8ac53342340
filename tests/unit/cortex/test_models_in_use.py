"""Models that load slowly, cannot be loaded on one machine, or cannot be measured: judging goes on."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from modelling.handmade import always, id_of
from nexus_common.contracts.envelope import Envelope
from nexus_common.contracts.model import ModelEvent, ModelPromoted, ModelRegistered
from nexus_common.contracts.values import ModelId
from nexus_common.runtime.clock import WallClock
from nexus_common.runtime.desk import WorkDesk
from nexus_common.runtime.ports import Turn
from nexus_common.runtime.store.memory import MemoryStore
from nexus_cortex.adapters.clerk import Clerk
from nexus_cortex.adapters.wish_box import WishBox
from nexus_cortex.artefact import ArtefactRefused, load_artefact
from nexus_cortex.handlers import CortexReactor
from nexus_cortex.modelled import ModelledCortex
from nexus_cortex.models_in_use import STREAM, ModelsInUse, card_of

NOON = datetime(2024, 6, 3, 12, tzinfo=UTC)
QUARTER = timedelta(minutes=15)
TREND, GRID = always("trend"), always("grid")
A, B = ModelId(id_of(TREND)), ModelId(id_of(GRID))


class SlowStore(MemoryStore):
    """Gives one model's files only when it is let."""

    def __init__(self, slow: ModelId) -> None:
        super().__init__()
        self.slow, self.let = slow, asyncio.Event()

    async def artefact(self, model: ModelId) -> Mapping[str, bytes]:
        if model == self.slow:
            await self.let.wait()
        return await super().artefact(model)


class House:
    """A cortex that follows models; A reigns from noon, B from a quarter past."""

    def __init__(self, store: SlowStore, box: WishBox) -> None:
        self.models = ModelsInUse(store)
        clerk = Clerk(box, store, WallClock(), lambda: True)
        self.reactor = ModelledCortex(CortexReactor(), self.models, clerk, lambda: True)
        self.desk = WorkDesk(store, "cortex", self.reactor.observe)

    def hear(self) -> None:
        told: list[ModelEvent] = [
            *(ModelRegistered(card=card_of(load_artefact(files)), by="owner") for files in (TREND, GRID)),
            ModelPromoted(model=A, previous=None, effective_from=NOON, by="owner", reason=""),
            ModelPromoted(model=B, previous=A, effective_from=NOON + QUARTER, by="owner", reason=""),
        ]
        for number, event in enumerate(told, 1):
            each = UUID(int=number)
            self.reactor.observe(Envelope(event, each, STREAM, number, each, each, None, NOON))

    async def turn(self, at: datetime) -> None:
        self.desk.begin([])
        await self.reactor.react(Turn(at, 1, 1, 1, 2), [], self.desk)


@pytest.fixture
async def house() -> AsyncIterator[House]:
    store, box = SlowStore(A), WishBox("postgresql://nobody.invalid/none")
    for model, files in ((A, TREND), (B, GRID)):
        await store.keep_artefact(model, files)
    yield House(store, box)
    store.let.set()


async def test_a_slow_candle_after_a_restart_waits_for_the_champion_of_its_own_close(house: House) -> None:
    house.hear()
    await house.reactor.resume(house.desk)
    turn = asyncio.ensure_future(house.turn(NOON + QUARTER + timedelta(seconds=3)))
    await house.models.ready(B)
    assert not turn.done()
    store: Any = house.models._store
    store.let.set()
    await turn
    # Candles of noon and of a quarter past can both be read now.
    assert {house.models.state.champion_at(at) for at in (NOON, NOON + QUARTER)} == {*house.models.loaded}


async def test_a_machine_without_the_library_reads_rules_and_says_why(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.hear()
    monkeypatch.setitem(sys.modules, "xgboost", None)
    store: Any = house.models._store
    store.let.set()
    await house.turn(NOON)
    refusal = house.models.loaded[A]
    assert isinstance(refusal, ArtefactRefused)
    assert "XGBoost cannot be loaded here" in str(refusal)


async def test_a_measurement_that_fails_stops_nobody(house: House) -> None:
    house.hear()
    store: Any = house.models._store
    store.let.set()
    failed: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    failed.set_exception(KeyError("edges"))
    house.reactor._measuring = failed  # type: ignore[assignment]
    await house.turn(NOON)
    assert house.reactor._measuring is None
