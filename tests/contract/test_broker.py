"""Every broker keeps the same promises: paper in this process and over the wire, and the venues through their SDKs.

What differs between them is read from their traits and nowhere else.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from contract.settings import MONDAY, VenueHouse, bar, flat, spoken
from contract.stage import FLAT, Case, Stage, fills, fits, generate, given, of, opened
from nexus_common.contracts.order import OrderKind
from nexus_common.contracts.values import AccountId, ClientOrderId, Side
from nexus_common.runtime.exchange_client import ExchangeClient
from nexus_executor.venues.broker import (
    Absent,
    Accepted,
    Fenced,
    OrderRequest,
    Refused,
    Unknown,
    UpdateKind,
    VenuePosition,
)
from nexus_executor.venues.paper import PaperBroker, WireGateway
from nexus_market.exchange import Ohlcv
from nexus_simvenue.faults import Fault

pytest_generate_tests = generate


@pytest.fixture
async def stage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stage]:
    async with opened(request.param, tmp_path) as made:
        yield made


# -- the life of a trade ------------------------------------------------------------------------------


async def test_an_entry_is_filled_told_and_held(stage: Stage) -> None:
    broker = await stage.broker()
    assert isinstance(await broker.submit(stage.entry, stage.at), Accepted)
    [fill] = fills(await broker.updates(0))
    assert fill.client_order_id == stage.entry.client_order_id
    assert (fill.side, fill.quantity, fill.price) == (Side.BUY, Decimal(2), Decimal(100))
    assert fill.complete
    assert fill.fill_id
    assert await broker.positions() == [VenuePosition(stage.row.symbol, Decimal(2), Decimal(100))]
    assert await broker.open_orders() == []


async def test_a_stop_stands_is_moved_and_triggers(stage: Stage) -> None:
    broker = await stage.broker()
    await broker.submit(stage.entry, stage.at)
    stop = stage.stop("95")
    assert isinstance(await broker.submit(stop, stage.at), Accepted)
    [standing] = await broker.open_orders()
    assert standing.attached or standing.client_order_id == stop.client_order_id
    assert (standing.kind, standing.side, standing.trigger_price) == (
        OrderKind.STOP,
        Side.SELL,
        Decimal(95),
    )
    seen = len(await broker.updates(0))
    if stage.row.traits.amend_stop:
        assert isinstance(await broker.amend(stop, Decimal(96)), Accepted)
        assert isinstance(await broker.amend(stop, Decimal(96)), Accepted), "asked twice is as asked once"
    else:
        other = stage.stop("96", "stop2", whole=not stage.row.traits.one_position_stop)
        assert isinstance(await broker.submit(other, stage.at), Accepted)
        assert isinstance(await broker.cancel(stop), Accepted)
        stop = other
    [moved] = await broker.open_orders()
    assert moved.trigger_price == Decimal(96)
    stage.step(bar("100", "100", "94", "95"), flat("95"))
    told = await broker.updates(seen)
    [fill] = fills(told)
    assert fill in of(told, stop)
    assert (fill.side, fill.quantity, fill.price) == (Side.SELL, Decimal(2), Decimal(96))
    assert await broker.positions() == []
    assert await broker.open_orders() == []


@pytest.mark.parametrize(
    ("kind", "trigger", "closed", "price"),
    [
        (OrderKind.STOP, "95", bar("100", "100", "94", "95"), "95"),
        (OrderKind.TAKE_PROFIT, "105", bar("100", "106", "100", "105"), "105"),
    ],
)
async def test_a_way_out_for_a_quantity_waits_on_its_side_of_the_market(
    stage: Stage, kind: OrderKind, trigger: str, closed: Ohlcv, price: str
) -> None:
    if kind is OrderKind.TAKE_PROFIT and stage.row.traits.reserves_quantity:
        return  # there it is the executor that takes targets
    broker = await stage.broker()
    await broker.submit(stage.entry, stage.at)
    out = stage.order("out", Side.SELL, kind, trigger_price=Decimal(trigger), reduce_only=True)
    assert isinstance(await broker.submit(out, stage.at), Accepted)
    [standing] = await broker.open_orders()
    assert (standing.client_order_id, standing.kind) == (out.client_order_id, kind)
    stage.step(closed, flat(price))
    [_, fill] = fills(await broker.updates(0))
    assert (fill.client_order_id, fill.quantity, fill.price) == (
        out.client_order_id,
        Decimal(2),
        Decimal(price),
    )
    assert await broker.positions() == []


async def test_a_short_is_told_with_its_sign(stage: Stage) -> None:
    broker = await stage.broker()
    entry = stage.order("short", Side.SELL, OrderKind.MARKET, leverage=5)
    assert isinstance(await broker.submit(entry, stage.at), Accepted)
    [held] = await broker.positions()
    assert held.quantity == Decimal(-2)
    out = stage.order("out", Side.BUY, OrderKind.MARKET, reduce_only=True)
    assert isinstance(await broker.submit(out, stage.at), Accepted)
    assert await broker.positions() == []
    assert [fill.side for fill in fills(await broker.updates(0))] == [Side.SELL, Side.BUY]


async def test_parts_of_an_order_are_told_each_once(stage: Stage) -> None:
    broker = await stage.broker()
    stage.step(FLAT, flat("100", "10"))
    assert isinstance(await broker.submit(stage.entry, stage.at), Accepted)
    first = fills(await broker.updates(0))
    stage.step(flat("100", "10"), FLAT)
    both = fills(await broker.updates(0))
    assert [fill.quantity for fill in first] == [Decimal(1)]
    assert [fill.quantity for fill in both] == [Decimal(1), Decimal(1)]
    assert [fill.complete for fill in both] == [False, True]
    assert len({fill.fill_id for fill in both}) == 2


async def test_the_wallet_is_what_the_venue_says(stage: Stage) -> None:
    broker = await stage.broker()
    await broker.submit(stage.entry, stage.at)
    told = [u.wallet for u in await broker.updates(0) if u.wallet is not None]
    wallets = stage.house.proofs()["wallets"]
    assert all(isinstance(wallet, Decimal) for wallet in told)
    await broker.close()  # a venue may have one stream for a key
    assert await (await stage.broker(epoch=2)).open(stage.row.currency, None) == Decimal(
        wallets[stage.account]
    )
    if told:
        assert told[-1] == Decimal(wallets[stage.account])


# -- answers ------------------------------------------------------------------------------------------


async def test_refusals_are_definite_with_the_venues_code(stage: Stage) -> None:
    broker = await stage.broker()
    refused = await broker.submit(replace(stage.entry, quantity=Decimal(1_000_000), leverage=1), stage.at)
    assert isinstance(refused, Refused)
    assert refused.code
    assert refused.reason
    assert stage.ordered() == []
    assert await broker.positions() == []


async def test_a_cancel_is_answered_and_told(stage: Stage) -> None:
    broker = await stage.broker()
    assert isinstance(await broker.submit(stage.resting, stage.at), Accepted)
    assert [order.client_order_id for order in await broker.open_orders()] == [stage.resting.client_order_id]
    assert isinstance(await broker.cancel(stage.resting), Accepted)
    assert await broker.open_orders() == []
    told = of(await broker.updates(0), stage.resting)
    assert [update.kind for update in told] == [UpdateKind.CANCELED]
    assert told[0].reason


async def test_canceling_what_is_not_there_is_refused(stage: Stage) -> None:
    broker = await stage.broker()
    assert isinstance(await broker.cancel(stage.resting), Refused)


async def test_a_lookup_tells_what_became_of_an_order(stage: Stage) -> None:
    broker = await stage.broker()
    assert isinstance(await broker.lookup(stage.resting), Absent)
    await broker.submit(stage.resting, stage.at)
    stage.step(seconds=1)
    assert isinstance(await broker.lookup(stage.resting), Accepted)
    await broker.cancel(stage.resting)
    stage.step(seconds=1)
    assert isinstance(await broker.lookup(stage.resting), Accepted), "canceled since, but it was accepted"
    await broker.submit(stage.entry, stage.at)
    stage.step(seconds=1)
    assert isinstance(await broker.lookup(stage.entry), Accepted), "filled since"


async def test_a_stop_can_be_looked_up(stage: Stage) -> None:
    broker = await stage.broker()
    await broker.submit(stage.entry, stage.at)
    assert isinstance(await broker.lookup(stage.stop()), Absent)
    await broker.submit(stage.stop(), stage.at)
    stage.step(seconds=1)
    assert isinstance(await broker.lookup(stage.stop()), Accepted)


async def test_an_order_sent_again_is_still_one_order(stage: Stage) -> None:
    broker = await stage.broker()
    first = await broker.submit(stage.resting, stage.at)
    again = await broker.submit(stage.resting, stage.at)
    assert isinstance(first, Accepted)
    if stage.row.ids_are_taken:
        assert isinstance(again, Refused | Unknown), (
            "an id that is taken says nothing about which order has it"
        )
    else:
        assert again == first
    assert len(stage.ordered()) == 1


# -- the private stream -------------------------------------------------------------------------------


async def test_updates_are_numbered_without_a_hole_and_can_be_asked_for_again(stage: Stage) -> None:
    broker = await stage.broker()
    await broker.submit(stage.entry, stage.at)
    await broker.submit(stage.resting, stage.at)
    await broker.cancel(stage.resting)
    told = await broker.updates(0)
    assert [update.sequence for update in told] == list(range(1, len(told) + 1))
    assert await broker.updates(0) == told
    assert await broker.updates(1) == told[1:]
    assert await broker.updates(len(told)) == []
    await broker.submit(stage.order("more", Side.BUY, OrderKind.MARKET), stage.at)
    more = await broker.updates(len(told))
    assert more[0].sequence == len(told) + 1
    assert len(fills(more)) == 1


async def test_a_backfill_adds_nothing_that_was_told(stage: Stage) -> None:
    broker = await stage.broker()
    await broker.submit(stage.entry, stage.at)
    await broker.submit(stage.stop(), stage.at)
    await broker.submit(stage.resting, stage.at)
    await broker.cancel(stage.resting)
    told = await broker.updates(0)
    stage.step(seconds=1)
    await broker.backfill(MONDAY, [stage.row.symbol])
    assert await broker.updates(len(told)) == []


async def test_who_comes_later_is_told_by_a_backfill(stage: Stage) -> None:
    broker = await stage.broker()
    await broker.submit(stage.entry, stage.at)
    await broker.submit(stage.stop("95"), stage.at)
    before = await broker.updates(0)
    await broker.close()
    stage.step(bar("100", "100", "94", "95"), flat("95"))
    stage.step(flat("95"), flat("95"), seconds=1)
    later = await stage.broker(epoch=2)
    await later.backfill(MONDAY, [stage.row.symbol])
    told = await later.updates(0)
    assert [(f.side, f.quantity, f.price) for f in fills(told)] == [
        (Side.BUY, Decimal(2), Decimal(100)),
        (Side.SELL, Decimal(2), Decimal(95)),
    ]
    assert fills(told)[0].key == fills(before)[0].key
    assert fills(told)[0].fill_id == fills(before)[0].fill_id


async def test_what_the_owner_does_by_hand_is_told(stage: Stage) -> None:
    broker = await stage.broker()
    by_hand = {"client_order_id": "web_1", "symbol": stage.row.symbol, "side": "buy", "kind": "market"}
    stage.house.ask("by_hand", account=stage.account, order={**by_hand, "quantity": "3"})
    told = fills(await broker.updates(0))
    assert [fill.quantity for fill in told] == [Decimal(3)]
    assert [held.quantity for held in await broker.positions()] == [Decimal(3)]


@fits(lambda row: row.venue.is_crypto)
@pytest.mark.parametrize("reason", ["liquidation", "adl"])
async def test_a_position_that_the_venue_takes_is_told(stage: Stage, reason: str) -> None:
    broker = await stage.broker()
    await broker.submit(stage.entry, stage.at)
    stage.house.ask("take_over", account=stage.account, symbol=stage.row.symbol, reason=reason)
    [taken] = [u for u in await broker.updates(0) if u.kind is UpdateKind.LIQUIDATION]
    assert (taken.symbol, taken.quantity, taken.reason) == (stage.row.symbol, Decimal(2), reason)
    assert await broker.positions() == []


@given(
    (Fault.DUPLICATE, {"count": 5}),
    (Fault.SHUFFLE, {"count": 2}),
    (Fault.MALFORMED, {}),
    (Fault.UNKNOWN_FRAME, {}),
    (Fault.CUT, {}),
)
async def test_a_bad_stream_loses_and_doubles_nothing(stage: Stage, fault: Case) -> None:
    broker = await stage.broker()
    kind, fields = fault
    stage.fault("stream", kind, **fields)
    await broker.submit(stage.entry, stage.at)
    await broker.submit(stage.order("more", Side.BUY, OrderKind.MARKET, "1"), stage.at)
    told = list(await broker.updates(0))
    if kind is Fault.SHUFFLE:
        stage.house.faults()
        told = list(await broker.updates(0))
    stage.step(seconds=1)
    told = list(await broker.updates(0))
    assert sorted(fill.quantity or 0 for fill in fills(told)) == [Decimal(1), Decimal(2)]
    assert [update.sequence for update in told] == list(range(1, len(told) + 1))
    if kind is not Fault.SHUFFLE:
        assert stage.house.fired()


# -- the exchange's own protocol ----------------------------------------------------------------------


@fits(lambda row: not row.is_native)
async def test_an_older_holder_is_fenced_off(stage: Stage) -> None:
    old, new = stage.new_broker(epoch=1), stage.new_broker(epoch=2)
    await old.open("USDT", Decimal(10_000))
    assert isinstance(await new.lookup(stage.entry), Absent)
    refused = await old.submit(stage.entry, stage.at)
    assert isinstance(refused, Refused)
    assert refused.code == "fenced"
    with pytest.raises(Fenced):
        await old.open("USDT", None)


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
    broker = PaperBroker(AccountId("a"), WireGateway(client), 1)
    order = OrderRequest(ClientOrderId("in"), "SOLUSDT", Side.BUY, OrderKind.MARKET, Decimal(2))
    for _ in range(3):
        assert isinstance(await broker.submit(order, MONDAY), Unknown)
    await client.close()
    server.close()


def test_in_the_same_process_no_call_ever_waits(tmp_path: Path) -> None:
    house = VenueHouse(tmp_path)
    row = next(row for row in spoken() if row.name == "paper-local")
    stage = Stage(row, house)

    async def trade() -> None:
        broker = await stage.broker()
        await broker.submit(stage.entry, stage.at)
        await broker.updates(0)
        await broker.positions()

    with pytest.raises(StopIteration):
        trade().send(None)
    house._journal.close()
