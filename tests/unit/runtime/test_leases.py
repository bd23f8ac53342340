"""Replicas share partitions, hand them over between turns, and two never work the same one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from nexus_common.contracts.values import Service
from nexus_common.runtime import leases as leases_module
from nexus_common.runtime.errors import LeaseLost
from nexus_common.runtime.leases import TTL_SECONDS, Leases
from nexus_common.runtime.store.memory import MemoryStore

PARTITIONS = 16


class HandClock:
    """Time that moves when the test says so."""

    def __init__(self) -> None:
        self.at = datetime(2025, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def store(clock: HandClock, monkeypatch: pytest.MonkeyPatch) -> MemoryStore:
    monkeypatch.setattr(leases_module, "RENEW_SECONDS", 0.001)
    return MemoryStore(fingerprint="code/settings", clock=clock)


def replica(store: MemoryStore, host: str, service: Service = Service.CORTEX) -> Leases:
    partitions = PARTITIONS if service is Service.CORTEX else 1
    return Leases(store, service, "auto", 1, partitions, host=host)


async def kept(*replicas: Leases, until: Callable[[], bool], turning: bool = True) -> None:
    """Let replicas renew, and their work loops take turns (if at all), until something has come true."""
    keeping = [asyncio.ensure_future(each.keep()) for each in replicas]
    try:
        async with asyncio.timeout(10):
            while not until():
                for each, task in zip(replicas, keeping, strict=True):
                    if turning:
                        each.settle()
                    if task.done():
                        task.result()
                await asyncio.sleep(0)
    finally:
        for task in keeping:
            task.cancel()
        await asyncio.gather(*keeping, return_exceptions=True)


def shared(*replicas: Leases) -> bool:
    """All partitions are held, none twice."""
    return sorted(p for each in replicas for p in each.held) == list(range(PARTITIONS))


async def test_a_replica_alone_works_all_partitions(store: MemoryStore) -> None:
    alone = replica(store, "a")
    await alone.take()
    assert alone.number == 1
    assert alone.held == tuple(range(PARTITIONS))


async def test_replicas_that_come_get_their_share_and_those_that_go_leave_theirs(store: MemoryStore) -> None:
    first, second, third = (replica(store, host) for host in "abc")
    await first.take()
    await second.take()
    assert (second.number, second.held) == (2, ())
    await kept(first, second, until=lambda: shared(first, second) and len(second.held) == 8)
    await third.take()
    await kept(first, second, third, until=lambda: shared(first, second, third) and len(third.held) == 5)
    await second.give_back()
    await kept(first, third, until=lambda: shared(first, third) and len(third.held) == 8)


async def test_a_partition_is_let_go_of_only_between_two_turns(store: MemoryStore) -> None:
    first, second = replica(store, "a"), replica(store, "b")
    await first.take()
    await second.take()
    await kept(first, second, until=lambda: bool(first._leaving), turning=False)
    assert (len(first.held), second.held) == (PARTITIONS, ())
    assert len(first.settle()) == 8


async def test_a_killed_replicas_partitions_go_over_when_its_leases_have_run_out(
    store: MemoryStore, clock: HandClock
) -> None:
    first, second = replica(store, "a"), replica(store, "b")
    await first.take()
    await second.take()
    await kept(first, second, until=lambda: shared(first, second) and len(second.held) == 8)
    clock.at += timedelta(seconds=TTL_SECONDS / 2)
    await kept(second, until=renewed(store, clock))
    assert len(second.held) == 8
    clock.at += timedelta(seconds=TTL_SECONDS / 2)
    await kept(second, until=lambda: shared(second))


def renewed(store: MemoryStore, clock: HandClock) -> Callable[[], bool]:
    """Whether the second replica's number will last for the whole time from now."""
    return lambda: store._leases["cortex/replica/2"][1] >= clock.at + timedelta(seconds=TTL_SECONDS)


async def test_a_restarted_replica_has_its_number_and_its_partitions_back_at_once(store: MemoryStore) -> None:
    first, second = replica(store, "a"), replica(store, "b")
    await first.take()
    await second.take()
    await kept(first, second, until=lambda: shared(first, second) and len(second.held) == 8)
    again = replica(store, "b")
    await again.take()
    assert (again.number, again.held) == (2, second.held)
    with pytest.raises(LeaseLost):
        await kept(second, until=lambda: False)


async def test_of_a_service_that_is_not_shared_a_second_one_stands_by(
    store: MemoryStore, clock: HandClock
) -> None:
    first, second = replica(store, "a", Service.SHIELD), replica(store, "b", Service.SHIELD)
    await first.take()
    waiting = asyncio.ensure_future(second.take())
    for _ in range(100):
        await asyncio.sleep(0)
    assert not waiting.done()
    clock.at += timedelta(seconds=TTL_SECONDS)
    async with asyncio.timeout(10):
        await waiting
    assert second.held == (0,)
    assert first.number == second.number == 1


async def test_numbered_replicas_prefer_their_own_share(store: MemoryStore) -> None:
    even, odd = (Leases(store, Service.CORTEX, number, 2, PARTITIONS) for number in (2, 1))
    await odd.take()
    await even.take()
    assert odd.held == tuple(range(1, PARTITIONS, 2))
    assert even.held == tuple(range(0, PARTITIONS, 2))
