"""Both buses keep the one contract; JetStream also through crashes and losses of its server."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import nats
import pytest

from nexus_common.contracts import message
from nexus_common.contracts.envelope import Envelope, Recorded, encode
from nexus_common.contracts.feed import FeedRestored
from nexus_common.contracts.market import FundingSettled
from nexus_common.contracts.message import Event
from nexus_common.contracts.values import Service, Symbol, Venue
from nexus_common.runtime.bus import topology
from nexus_common.runtime.bus.jetstream import JetStreamBus, puller
from nexus_common.runtime.bus.memory import MemoryBus
from nexus_common.runtime.bus.transport import Message, Transport
from nexus_common.runtime.clock import WallClock
from nexus_common.runtime.errors import BusUnavailable, ConfigurationError, DependencyMissing
from nexus_common.testing.bus_contract import BusContract, Names, reading, take, texts
from nexus_ops.stack import EmbeddedNats, free_port


class TestMemoryBus(BusContract):
    @pytest.fixture
    def bus(self) -> Transport:
        return MemoryBus()

    async def test_a_wiped_bus_starts_anew(self, names: Names) -> None:
        bus = MemoryBus()
        await bus.publish_all([names.message("lost")])
        async with reading(bus, names.durable, names.subject) as deliveries:
            assert texts(await take(deliveries, 1)) == ["lost"]
            bus.wipe()
            await bus.publish_all([names.message("new")])
            assert texts(await take(deliveries, 1)) == ["new"]
        assert await bus.incarnation() == 1


@pytest.mark.integration
class TestJetStreamBus(BusContract):
    @pytest.fixture
    async def bus(self, nats_url: str) -> AsyncIterator[Transport]:
        bus = await JetStreamBus.connect(nats_url)
        yield bus
        await bus.close()


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[EmbeddedNats]:
    server = EmbeddedNats(tmp_path / "nats")
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def bus(own_server: EmbeddedNats) -> AsyncIterator[JetStreamBus]:
    bus = await JetStreamBus.connect(own_server.url)
    yield bus
    await bus.close()


def kill(server: EmbeddedNats) -> None:
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    server.wait()


async def published(bus: JetStreamBus, *messages: Message) -> None:
    """Publish, and again while the server is away."""
    async with asyncio.timeout(15):
        while True:
            try:
                return await bus.publish_all(messages)
            except BusUnavailable:
                await asyncio.sleep(0.01)


@pytest.mark.integration
async def test_a_killed_server_loses_nothing_and_brings_back_what_was_not_acknowledged(
    own_server: EmbeddedNats, bus: JetStreamBus
) -> None:
    names = Names()
    await bus.publish_all([names.message(str(n)) for n in range(6)])
    async with reading(bus, names.durable, names.subject) as deliveries:
        await bus.ack((await take(deliveries, 3))[:2])
        kill(own_server)
        own_server.start()
        await published(bus, names.message("6"))
        assert texts(await take(deliveries, 5)) == ["2", "3", "4", "5", "6"]
    assert await bus.incarnation() == 0


@pytest.mark.integration
async def test_publishing_to_a_killed_server_fails_at_once_and_works_when_it_is_back(
    own_server: EmbeddedNats, bus: JetStreamBus
) -> None:
    names = Names()
    await bus.publish_all([names.message("before")])
    kill(own_server)
    with pytest.raises(BusUnavailable):
        async with asyncio.timeout(2):
            await bus.publish_all([names.message("meanwhile")])
    own_server.start()
    await published(bus, names.message("meanwhile"))
    async with reading(bus, names.durable, names.subject) as deliveries:
        assert texts(await take(deliveries, 2)) == ["before", "meanwhile"]


@pytest.mark.integration
async def test_a_wiped_server_is_used_again_within_a_second_and_the_loss_is_known(
    own_server: EmbeddedNats, bus: JetStreamBus
) -> None:
    names = Names()
    await bus.publish_all([names.message(str(n)) for n in range(5)])
    async with reading(bus, names.durable, names.subject) as deliveries:
        old = await take(deliveries, 5)
        own_server.wipe()
        begun = asyncio.get_running_loop().time()
        await published(bus, names.message("new"))
        (new,) = await take(deliveries, 1)
        assert texts([new]) == ["new"]
        assert asyncio.get_running_loop().time() - begun < 1.5
        # The old receipts name sequences of another stream; they must not acknowledge what stands there now.
        await bus.ack(old)
    async with reading(bus, names.durable, names.subject) as deliveries:
        assert texts(await take(deliveries, 1)) == ["new"]
    assert await bus.incarnation() == 1


@pytest.mark.integration
async def test_a_loss_is_known_though_another_service_has_made_the_stream_anew(
    own_server: EmbeddedNats, bus: JetStreamBus
) -> None:
    names = Names()
    await bus.publish_all([names.message("gone")])
    own_server.wipe()
    other = await JetStreamBus.connect(own_server.url)
    await other.publish_all([Names().message(str(n)) for n in range(20)])
    await other.close()
    await published(bus, names.message("new"))
    assert await bus.incarnation() == 1


@pytest.mark.integration
async def test_a_stream_deleted_under_way_is_made_anew(own_server: EmbeddedNats, bus: JetStreamBus) -> None:
    names = Names()
    await bus.publish_all([names.message("gone")])
    operator = await nats.connect(own_server.url)
    async with reading(bus, names.durable, names.subject) as deliveries:
        await bus.ack(await take(deliveries, 1))
        await operator.jetstream().delete_stream("EVENTS")
        await bus.publish_all([names.message("first"), names.message("second")])
        assert texts(await take(deliveries, 2)) == ["first", "second"]
    await operator.close()
    assert await bus.incarnation() == 1


@pytest.mark.integration
async def test_a_consumer_deleted_under_way_goes_on_where_it_was(
    own_server: EmbeddedNats, bus: JetStreamBus
) -> None:
    names = Names()
    await bus.publish_all([names.message(str(n)) for n in range(3)])
    operator = await nats.connect(own_server.url)
    async with reading(bus, names.durable, names.subject) as deliveries:
        await bus.ack((await take(deliveries, 3))[:2])
        await operator.jetstream().delete_consumer("EVENTS", names.durable)
        assert texts(await take(deliveries, 1)) == ["2"]
    await operator.close()
    assert await bus.incarnation() == 0


@pytest.mark.integration
async def test_a_consumer_that_the_server_lets_stand_is_made_anew(
    own_server: EmbeddedNats, bus: JetStreamBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(puller, "LOOK_SECONDS", 0.2)
    names = Names()
    await bus.publish_all([names.message("a")])
    operator = await nats.connect(own_server.url)
    async with reading(bus, names.durable, names.subject) as deliveries:
        await bus.ack(await take(deliveries, 1))
        pause = b'{"pause_until": "2999-01-01T00:00:00Z"}'
        await operator.request(f"$JS.API.CONSUMER.PAUSE.EVENTS.{names.durable}", pause)
        await bus.publish_all([names.message("b")])
        assert texts(await take(deliveries, 1)) == ["b"]
    await operator.close()


@pytest.mark.integration
async def test_a_consumer_that_asks_for_other_subjects_goes_on_where_it_was(bus: JetStreamBus) -> None:
    names = Names()
    await bus.publish_all([names.message("a"), names.message("b", names.other)])
    async with reading(bus, names.durable, names.subject) as deliveries:
        await bus.ack(await take(deliveries, 1))
    await bus.publish_all([names.message("c"), names.message("d", names.other)])
    async with reading(bus, names.durable, names.subject, names.other) as deliveries:
        assert texts(await take(deliveries, 3)) == ["b", "c", "d"]


@pytest.mark.integration
async def test_a_client_that_was_closed_by_its_library_is_opened_again(bus: JetStreamBus) -> None:
    names = Names()
    async with reading(bus, names.durable, names.subject) as deliveries:
        await published(bus, names.message("before"))
        assert texts(await take(deliveries, 1)) == ["before"]
        await bus._link.client.close()
        await published(bus, names.message("after"))
        assert texts(await take(deliveries, 2)) == ["before", "after"]


@pytest.mark.integration
async def test_many_messages_pass_while_the_server_is_killed_again_and_again(
    own_server: EmbeddedNats, bus: JetStreamBus
) -> None:
    names = Names()
    seen: list[int] = []

    async def read() -> None:
        async with reading(bus, names.durable, names.subject) as deliveries:
            async for delivery in deliveries:
                seen.append(int(delivery.data))
                await bus.ack([delivery])
                if seen[-1] == 399:
                    return

    reader = asyncio.ensure_future(read())
    for number in range(400):
        if number % 100 == 50:
            kill(own_server)
            own_server.start()
        await published(bus, names.message(str(number)))
    async with asyncio.timeout(20):
        await reader
    first_times = list(dict.fromkeys(seen))
    assert first_times == list(range(400))


@pytest.mark.integration
async def test_nobody_at_the_address_is_said_in_a_sentence() -> None:
    port = free_port()
    with pytest.raises(DependencyMissing, match=f"does not answer at 127.0.0.1:{port}"):
        await JetStreamBus.connect(f"nats://127.0.0.1:{port}", timeout=0.3)


@pytest.mark.integration
async def test_a_wrong_password_is_said_without_showing_it(own_server: EmbeddedNats) -> None:
    with pytest.raises(ConfigurationError, match="refuses the user or password") as refused:
        await JetStreamBus.connect(f"nats://nexus:sesame@127.0.0.1:{own_server.port}", timeout=1)
    assert "sesame" not in str(refused.value)


def recorded(event: Event, stream: str) -> Recorded[Event]:
    now = WallClock().now()
    envelope = Envelope(event, UUID(int=1), stream, 1, UUID(int=2), UUID(int=3), None, now)
    return Recorded(envelope, encode(envelope), 1, now, "f", b"")


def test_every_event_has_one_owner_and_a_stream_that_takes_it() -> None:
    for name in message.EVENTS:
        category = name.partition(".")[0]
        assert topology.category_subject(category) in topology.EVENTS.subjects
        assert category == topology.RUN or category in topology.owned_by(topology.owner_of(category))


def test_subjects_say_category_event_partition_and_instrument() -> None:
    now = WallClock().now()
    funding = FundingSettled(
        venue=Venue.ALPACA, symbol=Symbol("BRK.B"), rate=Decimal(0), mark_price=Decimal(1), at=now
    )
    stream = "market-alpaca.0"
    partition = topology.partition_of("alpaca.0")
    assert topology.subject_for(recorded(FeedRestored(venue=Venue.BYBIT), "feed-bybit")) == (
        f"nexus.feed.restored.{topology.partition_of('bybit')}"
    )
    assert topology.subject_for(recorded(funding, stream)) == (
        f"nexus.market.funding_settled.{partition}.alpaca.BRK%2EB"
    )


def test_partitions_are_the_same_for_ever() -> None:
    assert [topology.partition_of(key) for key in ("", "alice-binance", "binance.BTCUSDT")] == [0, 15, 10]


def test_a_service_hears_its_turns_and_what_others_own() -> None:
    assert topology.subjects_of(Service.SHIELD, {"signal": 1, "risk": None, "market": 1}) == (
        "nexus.turn.shield",
        "nexus.market.>",
        "nexus.signal.>",
    )
