"""Both buses carry ticks to whoever listens from now on; the real one also after it lost everything."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from nexus_common.contracts.tick import TickBatch
from nexus_common.contracts.values import Side, Symbol, Venue
from nexus_common.runtime.bus import topology
from nexus_common.runtime.bus.jetstream import JetStreamBus
from nexus_common.runtime.bus.memory import MemoryBus
from nexus_common.runtime.ticks import TickReader
from nexus_ingest.adapters.tick_publisher import TickPublisher
from nexus_ingest.domain.readings import TradeRead
from nexus_ops.stack import EmbeddedNats

BTC, BRK = Symbol("BTCUSDT"), Symbol("BRK.B")


def trade(number: int, symbol: Symbol = BTC) -> TradeRead:
    return TradeRead(symbol, f"{100 + number}.5", "0.1", Side.SELL, str(number), number)


class Heard:
    """Gathers what a reader hears, beside the test."""

    def __init__(self, reader: TickReader) -> None:
        self.reader = reader
        self.batches: list[TickBatch] = []
        self._more = asyncio.Event()
        self._task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for batch in self.reader:
            self.batches.append(batch)
            self._more.set()

    async def until(self, number: str) -> None:
        """Until the trade of this number was heard; it is published again by the caller."""
        while not any(number == each.number for batch in self.batches for each in batch.trades):
            self._more.clear()
            await self._more.wait()

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


async def said(publisher: TickPublisher, heard: Heard, number: int, symbol: Symbol = BTC) -> None:
    """Say a trade until it is heard: what is said before somebody listens is not."""
    async with asyncio.timeout(15):
        until = asyncio.create_task(heard.until(str(number)))
        while not until.done():
            publisher.put(Venue.BINANCE, [trade(number, symbol)], received=number)
            await asyncio.wait([until], timeout=0.05)


class TicksContract:
    async def test_a_reader_hears_its_instruments_and_no_others(self, bus: MemoryBus | JetStreamBus) -> None:
        publisher = TickPublisher(bus)
        running = asyncio.create_task(publisher.run())
        heard = Heard(TickReader(bus, [(Venue.ALPACA, BRK), (Venue.BINANCE, BTC)]))
        await said(publisher, heard, 1)
        publisher.put(Venue.BYBIT, [trade(2)], received=2)
        publisher.put(Venue.ALPACA, [trade(3, BRK)], received=3)
        async with asyncio.timeout(15):
            await heard.until("3")
        assert {(batch.venue, batch.symbol) for batch in heard.batches} == {
            (Venue.BINANCE, BTC),
            (Venue.ALPACA, BRK),
        }
        assert heard.batches[0].trades[0] == ("101.5", "0.1", Side.SELL, "1", 1)
        await heard.close()
        running.cancel()

    async def test_what_is_no_batch_is_counted_and_the_next_is_heard(
        self, bus: MemoryBus | JetStreamBus
    ) -> None:
        publisher = TickPublisher(bus)
        running = asyncio.create_task(publisher.run())
        heard = Heard(TickReader(bus, [(Venue.BINANCE, BTC)]))
        await said(publisher, heard, 1)
        await bus.publish(topology.tick_subject(Venue.BINANCE, BTC), b"\xc1 no batch", {}, "")
        await said(publisher, heard, 2)
        assert heard.reader.unreadable == 1
        await heard.close()
        running.cancel()


class TestTicksInMemory(TicksContract):
    @pytest.fixture
    def bus(self) -> MemoryBus:
        return MemoryBus()


@pytest.mark.integration
class TestTicksOverJetStream(TicksContract):
    @pytest.fixture
    async def bus(self, nats_url: str) -> AsyncIterator[JetStreamBus]:
        bus = await JetStreamBus.connect(nats_url)
        yield bus
        await bus.close()


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[EmbeddedNats]:
    server = EmbeddedNats(tmp_path / "nats")
    server.start()
    yield server
    server.stop()


@pytest.mark.integration
async def test_a_reader_and_the_publisher_go_on_after_the_server_lost_everything(
    own_server: EmbeddedNats,
) -> None:
    writing = await JetStreamBus.connect(own_server.url)
    listening = await JetStreamBus.connect(own_server.url)
    publisher = TickPublisher(writing)
    running = asyncio.create_task(publisher.run())
    heard = Heard(TickReader(listening))
    await said(publisher, heard, 1)
    own_server.wipe()
    await said(publisher, heard, 2)
    assert publisher.health["lost"] == 0
    await heard.close()
    running.cancel()
    await writing.close()
    await listening.close()


@pytest.mark.integration
async def test_a_reader_goes_on_when_its_client_was_closed_by_its_library(own_server: EmbeddedNats) -> None:
    writing = await JetStreamBus.connect(own_server.url)
    listening = await JetStreamBus.connect(own_server.url)
    publisher = TickPublisher(writing)
    running = asyncio.create_task(publisher.run())
    heard = Heard(TickReader(listening))
    await said(publisher, heard, 1)
    await listening._link.client.close()
    await said(publisher, heard, 2)
    await heard.close()
    running.cancel()
    await writing.close()
    await listening.close()
