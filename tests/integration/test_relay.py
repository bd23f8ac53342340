"""What is committed reaches the bus, in order, whatever dies in between."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from uuid import UUID, uuid5

import pytest

from nexus_common.contracts.envelope import GENESIS, Envelope, Recorded
from nexus_common.contracts.feed import FeedLost
from nexus_common.contracts.message import Event
from nexus_common.contracts.run import RunStopped
from nexus_common.contracts.values import Service, Venue
from nexus_common.runtime.bus import topology
from nexus_common.runtime.bus.jetstream import JetStreamBus
from nexus_common.runtime.bus.memory import MemoryBus
from nexus_common.runtime.bus.transport import Transport
from nexus_common.runtime.clock import WallClock
from nexus_common.runtime.errors import BusUnavailable
from nexus_common.runtime.ports import AlreadyHandled, Batch, EventStore, StreamAppend
from nexus_common.runtime.relay import Relay, message_of
from nexus_common.runtime.store.memory import MemoryStore
from nexus_common.runtime.store.postgres import PostgresStore
from nexus_common.testing.bus_contract import reading, take
from nexus_ops.stack import EmbeddedNats

pytestmark = pytest.mark.integration
ROOT = UUID(int=7)
FEED = "feed-bybit"


class Switch(Protocol):
    """Takes the bus away and brings it back, or has it forget everything."""

    def off(self) -> None: ...

    def on(self) -> None: ...

    def wipe(self) -> None: ...


@dataclass
class World:
    store: EventStore
    bus: Transport
    switch: Switch
    _ends: dict[str, tuple[int, bytes]] = field(default_factory=dict)

    async def commit(self, *reasons: str, stream: str = FEED) -> Sequence[Recorded[Event]]:
        """Append one event for each reason to a stream, in one batch."""
        version, previous = self._ends.get(stream, (0, GENESIS))
        now = WallClock().now()
        envelopes = tuple(
            Envelope(
                _event(stream, reason),
                uuid5(ROOT, f"{stream}/{reason}"),
                stream,
                position,
                ROOT,
                ROOT,
                None,
                now,
            )
            for position, reason in enumerate(reasons, start=version + 1)
        )
        append = StreamAppend(stream, version, previous, envelopes)
        recorded = await self.store.append(Batch("test", (append,)))
        assert not isinstance(recorded, AlreadyHandled)
        self._ends[stream] = (recorded[-1].envelope.position, recorded[-1].chain_hash)
        return recorded

    def relay(self, service: Service = Service.INGEST) -> Relay:
        """A relay as a new process has it."""
        return Relay(self.store, self.bus, topology.owned_by(service))


def _event(stream: str, reason: str) -> Event:
    if stream.startswith("run-"):
        return RunStopped(service=Service(stream.removeprefix("run-")), instance="1", reason=reason)
    return FeedLost(venue=Venue.BYBIT, reason=reason)


@dataclass
class MemorySwitch:
    bus: MemoryBus

    def off(self) -> None:
        self.bus.set_available(False)

    def on(self) -> None:
        self.bus.set_available(True)

    def wipe(self) -> None:
        self.bus.wipe()


@dataclass
class ServerSwitch:
    server: EmbeddedNats

    def off(self) -> None:
        assert self.server.pid is not None
        os.kill(self.server.pid, signal.SIGKILL)
        self.server.wait()

    def on(self) -> None:
        self.server.start()

    def wipe(self) -> None:
        self.server.wipe()


@pytest.fixture(params=["memory", "servers"])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    if request.param == "memory":
        memory = MemoryBus()
        yield World(MemoryStore(fingerprint="test", clock=WallClock()), memory, MemorySwitch(memory))
        return
    database: str = request.getfixturevalue("fresh_database")
    server = EmbeddedNats(tmp_path / "nats")
    server.start()
    store = await PostgresStore.connect(database, fingerprint="test", clock=WallClock())
    bus = await JetStreamBus.connect(server.url)
    yield World(store, bus, ServerSwitch(server))
    await bus.close()
    await store.close()
    server.stop()


async def heard(world: World, number: int, durable: str = "listener-1") -> list[tuple[str, str]]:
    """What a consumer of everything hears next: subject and the event's reason, acknowledged."""
    subjects = ("nexus.feed.>", "nexus.run.>", "nexus.turn.shield")
    async with reading(world.bus, durable, *subjects) as deliveries:
        taken = await take(deliveries, number)
        await world.bus.ack(taken)
    return [(d.subject, _reason(d.data)) for d in taken]


def _reason(data: bytes) -> str:
    return data.decode().rpartition('"reason":"')[2].partition('"')[0] if data[:1] == b"{" else data.decode()


def reasons(pairs: list[tuple[str, str]]) -> list[str]:
    return [reason for _, reason in pairs]


async def test_events_are_published_in_order_and_the_token_behind_them(world: World) -> None:
    recorded = await world.commit("a", "b")
    await world.relay().publish(recorded, [(topology.turn_subject(Service.SHIELD), b"token", {}, "")])
    partition = topology.partition_of("bybit")
    assert await heard(world, 3) == [
        (f"nexus.feed.lost.{partition}", "a"),
        (f"nexus.feed.lost.{partition}", "b"),
        ("nexus.turn.shield", "token"),
    ]


async def test_what_only_the_store_knows_travels_in_headers(world: World) -> None:
    (recorded,) = await world.commit("a")
    await world.relay().publish([recorded])
    async with reading(world.bus, "headers-1", "nexus.feed.>") as deliveries:
        (delivery,) = await take(deliveries, 1)
    assert delivery.headers["Nexus-Position"] == str(recorded.global_position)
    assert delivery.headers["Nexus-Recorded-At"] == f"{recorded.recorded_at:%Y-%m-%dT%H:%M:%S.%fZ}"
    assert delivery.data.decode() == recorded.body


async def test_what_was_committed_and_never_published_follows_after_a_restart(world: World) -> None:
    await world.relay().publish(await world.commit("a"))
    await world.commit("b", "c")
    await world.relay().catch_up()
    assert reasons(await heard(world, 3)) == ["a", "b", "c"]


async def test_it_comes_before_what_is_published_first_after_the_restart(world: World) -> None:
    await world.commit("lost in the crash")
    await world.relay().publish(await world.commit("new"))
    assert reasons(await heard(world, 2)) == ["lost in the crash", "new"]


async def test_a_dead_replicas_event_is_found_behind_newer_ones_of_its_sibling(world: World) -> None:
    await world.relay().catch_up()
    await world.commit("committed by the dead one", stream="feed-binance")
    sibling = await world.commit("newer")
    await world.bus.publish_all([message_of(each) for each in sibling])
    await world.relay().catch_up()
    assert sorted(reasons(await heard(world, 2))) == ["committed by the dead one", "newer"]


async def test_nothing_is_lost_while_the_bus_is_away(world: World) -> None:
    relay = world.relay()
    await relay.publish(await world.commit("before"))
    world.switch.off()
    with pytest.raises(BusUnavailable):
        await relay.publish(await world.commit("a"))
    await relay.try_publish(await world.commit("b"))
    world.switch.on()
    await until_published(relay)
    await relay.publish(await world.commit("after"))
    assert reasons(await heard(world, 4)) == ["before", "a", "b", "after"]


async def test_a_bus_that_lost_everything_is_filled_again_without_being_asked(world: World) -> None:
    relay = world.relay()
    await relay.publish(await world.commit(*(f"old {n}" for n in range(700))))
    keeper = asyncio.ensure_future(relay.keep())
    try:
        world.switch.wipe()
        begun = asyncio.get_running_loop().time()
        assert reasons(await heard(world, 700)) == [f"old {n}" for n in range(700)]
        assert asyncio.get_running_loop().time() - begun < 3
    finally:
        keeper.cancel()
        with suppress(asyncio.CancelledError):
            await keeper


async def test_a_bus_that_lost_everything_hears_old_events_before_new_ones(world: World) -> None:
    relay = world.relay()
    await relay.publish(await world.commit("old"))
    world.switch.wipe()
    new = await world.commit("new")
    async with asyncio.timeout(10):
        while True:
            with suppress(BusUnavailable):
                await relay.publish(new)
                break
            await asyncio.sleep(0.01)
    assert reasons(await heard(world, 2)) == ["old", "new"]


async def test_an_empty_bus_is_filled_from_the_floor_only(world: World) -> None:
    recorded = await world.commit("handled by all", "not by all")

    async def floor() -> int:
        return recorded[0].global_position

    await Relay(world.store, world.bus, topology.owned_by(Service.INGEST), floor).catch_up()
    assert reasons(await heard(world, 1)) == ["not by all"]


async def test_a_relay_publishes_its_own_services_run_and_no_other(world: World) -> None:
    await world.commit("of shield", stream="run-shield")
    await world.commit("of ingest", stream="run-ingest")
    await world.commit("feed")
    await world.relay().catch_up()
    assert reasons(await heard(world, 2)) == ["of ingest", "feed"]


async def until_published(relay: Relay) -> None:
    async with asyncio.timeout(10):
        while True:
            with suppress(BusUnavailable):
                return await relay.catch_up()
            await asyncio.sleep(0.01)
