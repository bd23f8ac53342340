"""What others ask of ingest over the bus: a step right now, and what a venue's prices are."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from nexus_common.contracts.tick import PriceAnswer
from nexus_common.contracts.values import Symbol, Venue
from nexus_common.runtime.bus import topology
from nexus_common.runtime.bus.memory import MemoryBus
from nexus_ingest.adapters.bus_desk import take_nudges, tell_prices
from nexus_ingest.live.steps import Agenda
from nexus_ingest.venues.feed import FeedDown, Latest


async def test_a_nudge_ends_the_wait_for_the_next_beat_once() -> None:
    agenda, bus = Agenda(), MemoryBus()
    listening = asyncio.create_task(take_nudges(bus, agenda.nudge))
    waiting = asyncio.create_task(agenda.wait(3_600))
    await asyncio.sleep(0)
    await bus.say(topology.NUDGE, b"")
    async with asyncio.timeout(10):
        await waiting
    assert agenda.take() == []
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await agenda.wait(3_600)
    listening.cancel()


async def test_a_nudge_during_a_step_leads_to_the_next_one() -> None:
    agenda = Agenda()
    agenda.nudge()
    async with asyncio.timeout(10):
        await agenda.wait(3_600)
    agenda.take()


class Source:
    """A feed that knows one price."""

    async def latest(self, symbol: Symbol) -> Latest:
        if symbol != "BTCUSDT":
            raise FeedDown(f"{symbol} is not known")
        return Latest("100.5", 7, "100.25")


@pytest.mark.parametrize(
    ("feeds", "question", "answer"),
    [
        ({Venue.BINANCE: Source()}, b"BTCUSDT", PriceAnswer("100.5", "100.25", 7)),
        ({Venue.BINANCE: Source()}, b"ETHUSDT", PriceAnswer(problem="ETHUSDT is not known")),
        ({Venue.BINANCE: Source()}, b"\xff" * 1_000, PriceAnswer(problem=f"{'�' * 40} is not known")),
        ({}, b"BTCUSDT", PriceAnswer(problem="binance is not followed")),
        ({Venue.BINANCE: object()}, b"BTCUSDT", PriceAnswer(problem="binance is not followed")),
    ],
)
async def test_a_price_is_told_or_why_there_is_none(
    feeds: dict[Venue, Any], question: bytes, answer: PriceAnswer
) -> None:
    bus = MemoryBus()
    telling = asyncio.create_task(tell_prices(bus, Venue.BINANCE, feeds))
    await asyncio.sleep(0)
    told = await bus.ask(topology.price_question(Venue.BINANCE), question, 5.0)
    assert msgspec.msgpack.decode(told, type=PriceAnswer) == answer
    telling.cancel()
