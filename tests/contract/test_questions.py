"""Both buses carry what is only said, and questions with their answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from nexus_common.contracts.values import Venue
from nexus_common.runtime.bus import topology
from nexus_common.runtime.bus.jetstream import JetStreamBus
from nexus_common.runtime.bus.memory import MemoryBus
from nexus_common.runtime.errors import BusUnavailable

SUBJECT = "nexus.ask.test"
Bus = MemoryBus | JetStreamBus


async def doubled(data: bytes) -> bytes:
    return data + data


async def answered(bus: Bus, data: bytes) -> bytes:
    """Asked until somebody is there to answer."""
    async with asyncio.timeout(15):
        while True:
            with suppress(BusUnavailable):
                return await bus.ask(SUBJECT, data, 1.0)
            await asyncio.sleep(0.01)


class QuestionsContract:
    async def test_a_question_is_answered_by_whoever_answers_its_subject(self, bus: Bus) -> None:
        answering = asyncio.create_task(bus.answer(SUBJECT, doubled))
        assert await answered(bus, b"one") == b"oneone"
        assert await bus.ask(SUBJECT, b"two", 5.0) == b"twotwo"
        answering.cancel()
        await asyncio.wait([answering])

    async def test_a_question_that_nobody_answers_says_so(self, bus: Bus) -> None:
        with pytest.raises(BusUnavailable, match="nobody answers"):
            await bus.ask("nexus.ask.nobody", b"", 5.0)

    async def test_an_answer_that_takes_too_long_is_none(self, bus: Bus) -> None:
        async def never(data: bytes) -> bytes:
            if data == b"ready?":
                return b"yes"
            await asyncio.Future()
            return b""

        answering = asyncio.create_task(bus.answer(SUBJECT, never))
        assert await answered(bus, b"ready?") == b"yes"
        with pytest.raises(BusUnavailable, match="nobody answers"):
            await bus.ask(SUBJECT, b"so?", 0.05)
        answering.cancel()
        await asyncio.wait([answering])

    async def test_what_is_said_is_heard_by_whoever_listens(self, bus: Bus) -> None:
        heard: asyncio.Queue[bytes] = asyncio.Queue()

        async def listen() -> None:
            async for data in bus.listen([topology.NUDGE]):
                heard.put_nowait(data)

        listening = asyncio.create_task(listen())
        async with asyncio.timeout(15):
            while heard.empty():
                await bus.say(topology.NUDGE, b"now")
                await asyncio.sleep(0.01)
        assert heard.get_nowait() == b"now"
        listening.cancel()
        await asyncio.wait([listening])


class TestQuestionsInMemory(QuestionsContract):
    @pytest.fixture
    def bus(self) -> MemoryBus:
        return MemoryBus()

    async def test_a_bus_that_is_away_says_so(self, bus: MemoryBus) -> None:
        bus.set_available(False)
        with pytest.raises(BusUnavailable):
            await bus.say(topology.NUDGE, b"")
        with pytest.raises(BusUnavailable):
            await bus.ask(SUBJECT, b"", 1.0)


@pytest.mark.integration
class TestQuestionsOverNats(QuestionsContract):
    @pytest.fixture
    async def bus(self, nats_url: str) -> AsyncIterator[JetStreamBus]:
        bus = await JetStreamBus.connect(nats_url)
        yield bus
        await bus.close()


@pytest.mark.parametrize("subject", [topology.NUDGE, topology.price_question(Venue.BINANCE)])
def test_no_stream_keeps_them(subject: str) -> None:
    patterns = [pattern for stream in topology.STREAMS for pattern in stream.subjects]
    assert not any(subject.startswith(pattern.removesuffix(">")) for pattern in patterns)
