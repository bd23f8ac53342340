"""The memory store for backtests: nothing is encoded before somebody reads it."""

from __future__ import annotations

from nexus_common.contracts.envelope import GENESIS, encode
from nexus_common.runtime.store.memory import MemoryStore
from nexus_common.testing.store_contract import FixedClock, an_append, appended, reading


async def test_a_lazy_store_has_the_same_content_hashes() -> None:
    eager = MemoryStore(clock=FixedClock())
    lazy = MemoryStore(clock=FixedClock(), lazy=True)
    for store in (eager, lazy):
        await appended(store, an_append("macro-a", [reading(1), reading(2)]))
    left, right = await eager.read_stream("macro-a"), await lazy.read_stream("macro-a")
    assert [one.content_hash for one in left] == [one.content_hash for one in right]
    assert [one.body for one in right] == [encode(one.envelope) for one in right]
    assert {one.chain_hash for one in right} == {GENESIS}


async def test_a_lazy_store_is_appended_to_behind_what_it_gave_back() -> None:
    store = MemoryStore(lazy=True)
    (first,) = await appended(store, an_append("macro-a", [reading(1)]))
    await appended(store, an_append("macro-a", [reading(2)], after=first))
    assert [one.envelope.position for one in await store.read_categories(["macro"])] == [1, 2]
