"""Read models follow from events: dropped and made again they are the same."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from decimal import Decimal

import pytest

from nexus_common.contracts.envelope import Envelope
from nexus_common.contracts.macro import MacroRead
from nexus_common.contracts.message import Event
from nexus_common.runtime import projection
from nexus_common.runtime.projection import Amend, Change, Changes, Drop, ProjectionRunner, Put, ReadModels
from nexus_common.runtime.store.memory import MemoryStore
from nexus_common.runtime.store.schema import bot_state, sessions
from nexus_common.testing.store_contract import NOON, an_append, appended, reading


class Readings:
    """One row a stream: made by the first reading, amended by others, gone with every tenth."""

    name = "readings"
    categories = ("macro",)
    tables = (bot_state,)

    def apply(self, envelope: Envelope[Event]) -> Sequence[Change]:
        event = envelope.event
        assert isinstance(event, MacroRead)
        key = envelope.stream
        if event.fear_greed == 0:
            return [Put(bot_state, key, {"readings": [], "first": Decimal("1.50"), "at": NOON}, owner="ada")]
        if event.fear_greed == 10:
            return [Drop(bot_state, key)]
        return [Amend(bot_state, key, {"last": event.fear_greed})]


@pytest.fixture
async def models(fresh_database: str) -> AsyncIterator[ReadModels]:
    models = ReadModels(fresh_database)
    yield models
    await models.close()


async def a_store() -> MemoryStore:
    store = MemoryStore()
    for n in range(40):
        await appended(store, an_append(f"macro-{n}", [reading(i) for i in range(n % 14)] or [reading(5)]))
        await appended(store, an_append(f"news-{n}", [reading(1)]))
    return store


@pytest.mark.integration
async def test_a_rebuilt_read_model_equals_the_one_that_grew(models: ReadModels) -> None:
    store = await a_store()
    runner = ProjectionRunner(store, models, [Readings()])
    await runner.catch_up()
    for n in range(40, 60):
        await appended(store, an_append(f"macro-{n}", [reading(0), reading(n)]))
        await runner.catch_up()
    grown = await models.rows(bot_state)
    heard: list[tuple[int, int]] = []
    await runner.rebuild(progress=lambda position, head: heard.append((position, head)))
    assert await models.rows(bot_state) == grown
    head = await store.head()
    assert heard[-1] == (head, head)
    assert await models.checkpoint("readings") == head


@pytest.mark.integration
async def test_page_ends_do_not_matter(models: ReadModels, monkeypatch: pytest.MonkeyPatch) -> None:
    store = await a_store()
    runner = ProjectionRunner(store, models, [Readings()])
    await runner.rebuild("readings")
    whole = await models.rows(bot_state)
    assert whole
    monkeypatch.setattr(projection, "PAGE", 3)
    await runner.rebuild("readings")
    assert await models.rows(bot_state) == whole


@pytest.mark.integration
async def test_two_processes_with_one_projection_do_not_apply_a_page_twice(models: ReadModels) -> None:
    store = await a_store()
    one, other = (ProjectionRunner(store, models, [Readings()]) for _ in range(2))
    await one.catch_up()
    await appended(store, an_append("macro-x", [reading(0)]))
    await other.catch_up()
    await one.catch_up()
    assert not await models.write("readings", Changes(), 3, 9)
    assert await models.checkpoint("readings") == await store.head()


@pytest.mark.integration
async def test_documents_are_found_by_key_and_owner(models: ReadModels) -> None:
    changes = Changes()
    changes.add(Put(sessions, "ada", {"mode": "pilot", "equity": Decimal("10.0")}, owner="ada"), 1)
    changes.add(Put(sessions, "bob", {"since": NOON + timedelta(hours=1)}, owner="bob"), 2)
    assert await models.write("sessions", changes, 0, 2)
    assert await models.get(sessions, "ada") == {"mode": "pilot", "equity": "10.0"}
    assert await models.get(sessions, "eve") is None
    assert await models.rows(sessions, owner="bob") == [("bob", {"since": "2026-03-02T13:00:00.000000Z"})]
    assert [key for key, _ in await models.rows(sessions)] == ["bob", "ada"]


def test_a_table_belongs_to_one_projection() -> None:
    class Rival(Readings):
        name = "rival"

    with pytest.raises(ValueError, match="projections readings and rival both write bot_state"):
        ProjectionRunner(
            MemoryStore(), ReadModels("postgresql://nexus@localhost/nexus"), [Readings(), Rival()]
        )
