"""After a start a reactor is shown the past it asked for, in the order of the record."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from nexus_common.contracts.guard import ReleaseGuard
from nexus_common.runtime import recall as recalls
from nexus_common.runtime.desk import WorkDesk
from nexus_common.runtime.recall import recall
from nexus_common.runtime.store.memory import MemoryStore
from nexus_common.testing.small_service import CAUSE, ECHO, NOON, Echo, Readings, ignore


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


async def test_an_empty_store_has_nothing_to_show(store: MemoryStore) -> None:
    echo = Echo()
    assert await recall(echo, store) == 0
    assert echo.observed == []


async def test_the_whole_past_of_a_category_is_shown_page_by_page(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recalls, "PAGE", 3)
    await Readings(store).add(*range(1, 11))
    echo = Echo()
    assert await recall(echo, store) == 10
    assert echo.heard == list(range(1, 11))


async def test_of_some_categories_only_the_tail_is_wanted(store: MemoryStore) -> None:
    await Readings(store).add(*range(1, 11))
    for count, heard in ((3, [8, 9, 10]), (0, []), (99, list(range(1, 11)))):
        echo = Echo({"macro": count})
        assert await recall(echo, store) == 10
        assert echo.heard == heard


async def test_tails_and_whole_categories_are_shown_in_one_order(store: MemoryStore) -> None:
    readings = Readings(store)
    desk = WorkDesk(store, "shield", ignore)
    await readings.add(1, 2)
    await desk.handle(ECHO, "crypto", ReleaseGuard("between", NOON), cause=CAUSE)
    await desk.commit()
    await readings.add(3)
    echo = Echo({"macro": 2, "guard": None})
    await recall(echo, store)
    assert [e.event.type for e in echo.observed] == ["macro.read", "guard.released", "macro.read"]


@pytest.mark.parametrize("listens", [{"macro": None}, {"macro": 5}])
async def test_what_is_recorded_meanwhile_is_left_for_the_bus(listens: Mapping[str, int | None]) -> None:
    class Growing(MemoryStore):
        async def head(self) -> int:
            head = await super().head()
            await readings.add(3)
            return head

    store = Growing()
    readings = Readings(store)
    await readings.add(1, 2)
    echo = Echo(listens)
    assert await recall(echo, store) == 2
    assert echo.heard == [1, 2]


async def test_what_nobody_listens_to_is_not_shown(store: MemoryStore) -> None:
    await Readings(store).add(1)
    echo = Echo({"guard": None})
    assert await recall(echo, store) == 1
    assert echo.observed == []
