"""Ticks leave in order, replaced ones do not leave at all, trades always do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_common.contracts.tick import TickBatch
from nexus_common.contracts.values import Side, Symbol, Timeframe, Venue
from nexus_common.runtime.bus import topology
from nexus_common.runtime.bus.transport import Message
from nexus_common.runtime.errors import BusUnavailable
from nexus_ingest.adapters import tick_publisher
from nexus_ingest.adapters.tick_publisher import TickPublisher
from nexus_ingest.domain.readings import BookRead, KlineRead, MarkRead, Reading, TradeRead

BTC, ETH = Symbol("BTCUSDT"), Symbol("ETHUSDT")


class HeldBus:
    """A bus whose acknowledgements come when the test lets them."""

    def __init__(self) -> None:
        self.sent: list[TickBatch] = []
        self.subjects: list[str] = []
        self.fails = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.arrived = asyncio.Event()

    async def publish_all(self, messages: Sequence[Message]) -> None:
        if self.fails:
            self.fails -= 1
            raise BusUnavailable("the bus is away")
        self.subjects += [subject for subject, _, _, _ in messages]
        self.sent += [msgspec.msgpack.decode(data, type=TickBatch) for _, data, _, _ in messages]
        self.arrived.set()
        await self.gate.wait()

    async def until(self, messages: int) -> None:
        async with asyncio.timeout(5):
            while len(self.sent) < messages:
                self.arrived.clear()
                await self.arrived.wait()


@asynccontextmanager
async def publishing(bus: HeldBus) -> AsyncIterator[TickPublisher]:
    publisher = TickPublisher(bus)
    task = asyncio.create_task(publisher.run())
    try:
        yield publisher
    finally:
        bus.gate.set()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def settled(publisher: TickPublisher) -> None:
    """Until nothing waits and nothing is under way."""
    async with asyncio.timeout(5):
        while publisher.health["waiting"] or publisher.health["under_way"]:  # noqa: ASYNC110
            await asyncio.sleep(0)


def trade(number: int, symbol: Symbol = BTC) -> TradeRead:
    return TradeRead(symbol, f"{100 + number}.5", "0.1", Side.BUY, str(number), number)


def book(number: int, symbol: Symbol = BTC) -> BookRead:
    return BookRead(symbol, f"{number}.1", "1", f"{number}.2", "2", number)


def mark(number: int, symbol: Symbol = BTC) -> MarkRead:
    return MarkRead(symbol, str(number), None, "-0.0001", 8, number)


def numbers(batches: Sequence[TickBatch], symbol: Symbol = BTC) -> list[str]:
    return [each.number for batch in batches if batch.symbol == symbol for each in batch.trades]


async def test_what_came_together_leaves_in_one_message_for_each_instrument() -> None:
    bus = HeldBus()
    async with publishing(bus) as publisher:
        publisher.put(Venue.BINANCE, [trade(1), book(1), trade(1, ETH), mark(1), trade(2)], received=7)
        await bus.until(2)
        await settled(publisher)
    btc, eth = bus.sent
    assert (btc.venue, btc.symbol, btc.received) == (Venue.BINANCE, BTC, 7)
    assert [each.price for each in btc.trades] == ["101.5", "102.5"]
    assert btc.trades[0].taker is Side.BUY
    assert btc.book is not None
    assert (btc.book.bid, btc.book.ask_quantity) == ("1.1", "2")
    assert btc.mark is not None
    assert (btc.mark.index_price, btc.mark.funding_rate) == (None, "-0.0001")
    assert numbers([eth], ETH) == ["1"]
    assert bus.subjects[0] == topology.tick_subject(Venue.BINANCE, BTC)
    assert publisher.health["published"] == 5
    assert publisher.health["messages"] == 2


async def test_under_pressure_a_replaced_book_top_does_not_leave_and_every_trade_does() -> None:
    bus = HeldBus()
    bus.gate.clear()
    async with publishing(bus) as publisher:
        publisher.put(Venue.BINANCE, [trade(0), book(0)], received=0)
        await bus.until(1)
        for number in range(1, 51):
            publisher.put(Venue.BINANCE, [trade(number), book(number), mark(number)], received=number)
        assert publisher.health["waiting"] == 52
        assert len(bus.sent) == 1, "one message of an instrument is under way at most"
        bus.gate.set()
        await bus.until(2)
        await settled(publisher)
    assert numbers(bus.sent) == [str(number) for number in range(51)]
    last = bus.sent[1].book
    assert last is not None
    assert last.at == 50
    assert bus.sent[1].received == 1, "when the oldest of them came"
    assert publisher.health["replaced"] == 49 + 49


async def test_an_instrument_that_waits_for_its_acknowledgement_holds_up_no_other() -> None:
    bus = HeldBus()
    bus.gate.clear()
    async with publishing(bus) as publisher:
        publisher.put(Venue.BINANCE, [trade(1)], received=1)
        await bus.until(1)
        publisher.put(Venue.BINANCE, [trade(2), trade(1, ETH)], received=2)
        publisher.put(Venue.BYBIT, [trade(3)], received=2)
        await bus.until(3)
        assert {(each.venue, each.symbol) for each in bus.sent[1:]} == {
            (Venue.BINANCE, ETH),
            (Venue.BYBIT, BTC),
        }


async def test_what_the_bus_did_not_take_is_sent_again_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tick_publisher, "RETRY_SECONDS", 0)
    bus = HeldBus()
    bus.fails = 3
    async with publishing(bus) as publisher:
        publisher.put(Venue.BINANCE, [trade(1)], received=1)
        publisher.put(Venue.BINANCE, [trade(2)], received=2)
        await bus.until(1)
        publisher.put(Venue.BINANCE, [trade(3)], received=3)
        await bus.until(2)
        await settled(publisher)
    assert numbers(bus.sent) == ["1", "2", "3"]
    assert publisher.health["lost"] == 0


async def test_many_trades_are_cut_into_messages_of_bounded_size() -> None:
    bus = HeldBus()
    many = tick_publisher.TRADES_IN_MESSAGE * 2 + 1
    async with publishing(bus) as publisher:
        publisher.put(Venue.BINANCE, [*(trade(number) for number in range(many)), book(9)], received=1)
        await bus.until(3)
        await settled(publisher)
    assert [len(each.trades) for each in bus.sent] == [many // 2, many // 2, 1]
    assert [each.book is None for each in bus.sent] == [True, True, False]
    assert numbers(bus.sent) == [str(number) for number in range(many)]


async def test_memory_is_bounded_while_the_bus_is_away_and_what_went_is_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tick_publisher, "TRADES_MAX", 100)
    bus = HeldBus()
    bus.gate.clear()
    async with publishing(bus) as publisher:
        publisher.put(Venue.BINANCE, [trade(0)], received=1)
        await bus.until(1)
        publisher.put(Venue.BINANCE, [trade(number) for number in range(1, 102)], received=1)
        assert publisher.health["lost"] == 50
        assert publisher.health["waiting"] == 51
        bus.gate.set()
        await bus.until(2)
        await settled(publisher)
    assert numbers(bus.sent) == ["0", *(str(number) for number in range(51, 102))]


async def test_candles_are_no_ticks() -> None:
    kline = KlineRead(BTC, Timeframe.M1, 0, "1", "1", "1", "1", "1", True, 0)
    bus = HeldBus()
    async with publishing(bus) as publisher:
        publisher.put(Venue.BINANCE, [kline, trade(1)], received=1)
        await bus.until(1)
        publisher.put(Venue.BINANCE, [kline], received=1)
        assert publisher.health["waiting"] == 0
    assert numbers(bus.sent) == ["1"]


KINDS = {"trade": trade, "book": book, "mark": mark}


@given(
    st.lists(
        st.lists(
            st.tuples(st.sampled_from(sorted(KINDS)), st.sampled_from([BTC, ETH]), st.integers(0, 9)),
            max_size=6,
        ),
        max_size=12,
    ),
    st.integers(0, 3),
)
def test_however_it_comes_all_trades_and_the_last_book_and_mark_arrive(
    puts: list[list[tuple[str, Symbol, int]]], fails: int
) -> None:
    async def scenario() -> None:
        bus = HeldBus()
        bus.fails = fails
        given: list[Reading] = []
        async with publishing(bus) as publisher:
            for put in puts:
                readings = [KINDS[kind](number, symbol) for kind, symbol, number in put]
                given.extend(readings)
                publisher.put(Venue.BINANCE, readings, received=1)
                await asyncio.sleep(0)
            await settled(publisher)
        for symbol in (BTC, ETH):
            of_it = [each for each in given if each.symbol == symbol]
            assert numbers(bus.sent, symbol) == [each.number for each in of_it if isinstance(each, TradeRead)]
            books = [each.book for each in bus.sent if each.symbol == symbol and each.book]
            assert [each.at for each in books[-1:]] == [
                each.at for each in of_it if isinstance(each, BookRead)
            ][-1:]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tick_publisher, "RETRY_SECONDS", 0)
        patch.setattr(tick_publisher, "FLUSH_SECONDS", 0)
        asyncio.run(scenario())
