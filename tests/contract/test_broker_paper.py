"""The paper broker keeps the broker's promises, in the same process and over the wire alike."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from nexus_common.contracts.order import OrderKind
from nexus_common.contracts.values import AccountId, ClientOrderId, Side, Symbol, Venue
from nexus_common.runtime.clock import WallClock
from nexus_common.runtime.exchange_client import ExchangeClient
from nexus_executor.venues.broker import (
    Absent,
    Accepted,
    Broker,
    Fenced,
    OrderRequest,
    Refused,
    Unknown,
    UpdateKind,
    VenueDown,
    VenueOrder,
    VenueOrderStatus,
    VenuePosition,
)
from nexus_executor.venues.paper import Gateway, LocalGateway, PaperBroker, WireGateway
from nexus_market.exchange import Exchange, ExchangeSettings, Ohlcv
from nexus_market.exchange.wire import encode_step
from nexus_market.instruments import DEFAULT_INSTRUMENTS
from nexus_simvenue.journal import RequestJournal
from nexus_simvenue.server import Server, listen
from nexus_simvenue.venues import Venues

ACCOUNT = AccountId("u1.binance.paper")
SOL = Symbol("SOLUSDT")
NOON = datetime(2025, 6, 1, 12, tzinfo=UTC)
FLAT = Ohlcv(*map(Decimal, ("100", "100", "100", "100", "100000")))
CRASH = Ohlcv(*map(Decimal, ("100", "100", "94", "95", "100000")))
CALM = ExchangeSettings(slippage_bps=Decimal(0), slippage_ticks=0)


@dataclass(frozen=True, slots=True)
class Setting:
    """A gateway to an exchange, and the hand that moves its market by so many minutes."""

    gateway: Gateway
    step: Callable[[int, Ohlcv], Awaitable[None]]

    def broker(self, epoch: int = 1) -> Broker:
        return PaperBroker(ACCOUNT, self.gateway, epoch)


def local() -> Setting:
    exchange = Exchange(DEFAULT_INSTRUMENTS[Venue.BINANCE], CALM)

    async def step(minute: int, bar: Ohlcv) -> None:
        exchange.step(NOON + timedelta(minutes=minute), {SOL: bar}, {SOL: FLAT})

    return Setting(LocalGateway(exchange), step)


@pytest.fixture(params=["local", "wire"])
async def setting(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Setting]:
    if request.param == "local":
        yield local()
        return
    journal = RequestJournal(tmp_path / "journal.jsonl", {})
    listening = await listen(Server(Venues(CALM), journal, WallClock()), "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    client = ExchangeClient(f"tcp://127.0.0.1:{port}")

    async def step(minute: int, bar: Ohlcv) -> None:
        at = NOON + timedelta(minutes=minute)
        await client.call("step", encode_step(at, {SOL: bar}, {SOL: FLAT}, {}))

    yield Setting(WireGateway(client), step)
    await client.close()
    listening.close()
    await listening.wait_closed()
    journal.close()


def order(name: str, side: Side, kind: OrderKind, quantity: str = "2", **fields: Any) -> OrderRequest:
    return OrderRequest(ClientOrderId(name), SOL, side, kind, Decimal(quantity), **fields)


ENTRY = order("in", Side.BUY, OrderKind.MARKET, leverage=5)
STOP = order("stop", Side.SELL, OrderKind.STOP, trigger_price=Decimal(95), reduce_only=True)


async def test_the_life_of_a_trade(setting: Setting) -> None:
    broker = setting.broker()
    assert await broker.open("USDT", Decimal(10_000)) == 10_000
    await setting.step(0, FLAT)
    assert isinstance(await broker.submit(ENTRY, NOON), Accepted)
    assert isinstance(await broker.submit(STOP, NOON), Accepted)
    assert await broker.positions() == [VenuePosition(SOL, Decimal(2), Decimal(100))]
    assert await broker.open_orders() == [
        VenueOrder(
            STOP.client_order_id,
            "x2",
            SOL,
            Side.SELL,
            OrderKind.STOP,
            VenueOrderStatus.OPEN,
            Decimal(2),
            Decimal(0),
            Decimal(95),
        )
    ]
    assert isinstance(await broker.amend(STOP, Decimal(96)), Accepted)
    await setting.step(1, CRASH)
    entry, triggered, closed = await broker.updates(0)
    assert [entry.sequence, triggered.sequence, closed.sequence] == [1, 2, 3]
    assert [u.kind for u in (entry, triggered, closed)] == [
        UpdateKind.FILL,
        UpdateKind.TRIGGERED,
        UpdateKind.FILL,
    ]
    assert (entry.quantity, entry.price, entry.complete) == (Decimal(2), Decimal(100), True)
    assert entry.fee == Decimal("0.1")
    assert (closed.client_order_id, closed.price) == (STOP.client_order_id, Decimal(96))
    assert closed.side is Side.SELL
    assert closed.wallet == Decimal(10_000) - 8 - Decimal("0.1") - Decimal("0.096")
    assert closed.at == NOON + timedelta(minutes=1)
    assert await broker.updates(2) == [closed]
    assert await broker.open("USDT", Decimal(10_000)) == closed.wallet


async def test_every_order_is_one_order_and_can_be_asked_for(setting: Setting) -> None:
    broker = setting.broker()
    await broker.open("USDT", Decimal(10_000))
    await setting.step(0, FLAT)
    assert isinstance(await broker.lookup(ENTRY), Absent)
    first = await broker.submit(ENTRY, NOON)
    assert await broker.submit(ENTRY, NOON) == first
    assert await broker.lookup(ENTRY) == first
    assert len(await broker.updates(0)) == 1


async def test_refusals_are_definite_and_cancels_are_heard(setting: Setting) -> None:
    broker = setting.broker()
    await broker.open("USDT", Decimal(10_000))
    await setting.step(0, FLAT)
    refused = await broker.submit(STOP, NOON)
    assert isinstance(refused, Refused)
    assert refused.code == "-2022"
    limit = order("limit", Side.BUY, OrderKind.LIMIT, limit_price=Decimal(90))
    await broker.submit(limit, NOON)
    assert isinstance(await broker.cancel(limit), Accepted)
    [update] = await broker.updates(0)
    assert (update.kind, update.client_order_id, update.reason) == (UpdateKind.CANCELED, "limit", "requested")
    assert isinstance(await broker.cancel(replace(limit, client_order_id=ClientOrderId("none"))), Refused)


async def test_an_older_holder_is_fenced_off(setting: Setting) -> None:
    old, new = setting.broker(epoch=1), setting.broker(epoch=2)
    await old.open("USDT", Decimal(10_000))
    await setting.step(0, FLAT)
    assert isinstance(await new.lookup(ENTRY), Absent)
    refused = await old.submit(ENTRY, NOON)
    assert isinstance(refused, Refused)
    assert refused.code == "fenced"
    with pytest.raises(Fenced):
        await old.open("USDT", None)


def test_in_the_same_process_no_call_ever_waits() -> None:
    setting = local()

    async def trade() -> None:
        broker = setting.broker()
        await broker.open("USDT", Decimal(10_000))
        await setting.step(0, FLAT)
        await broker.submit(ENTRY, NOON)
        await broker.updates(0)
        await broker.positions()

    with pytest.raises(StopIteration):
        trade().send(None)


async def test_an_exchange_that_is_not_there_is_down_for_questions_and_unknown_for_orders() -> None:
    client = ExchangeClient("tcp://127.0.0.1:1", timeout=0.5)
    broker = PaperBroker(ACCOUNT, WireGateway(client), 1)
    assert isinstance(await broker.submit(ENTRY, NOON), Unknown)
    assert isinstance(await broker.lookup(ENTRY), Unknown)
    with pytest.raises(VenueDown):
        await broker.updates(0)
    with pytest.raises(VenueDown):
        await broker.open("USDT", None)
    await client.close()


async def test_silence_and_nonsense_after_a_submit_are_unknown() -> None:
    answers = iter([b"", b'{"id": 2, "result": {"surprise": true}}\n', b"not json\n"])

    async def odd(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b'{"id": 0, "result": {}}\n')
        await reader.readline()
        writer.write(next(answers))
        await reader.read()
        writer.close()

    server = await asyncio.start_server(odd, "127.0.0.1", 0)
    client = ExchangeClient(f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}", timeout=0.2)
    broker = PaperBroker(ACCOUNT, WireGateway(client), 1)
    for _ in range(3):
        assert isinstance(await broker.submit(ENTRY, NOON), Unknown)
    await client.close()
    server.close()
