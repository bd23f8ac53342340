"""The private stream: cut, silent, doubled, torn, and filled up again."""

from __future__ import annotations

from decimal import Decimal

import pytest

from contract.bybit.hand import ENTRY, SOL, STOP, Stage, order
from contract.settings import MONDAY, bar, flat
from nexus_common.contracts.order import OrderKind
from nexus_common.contracts.values import Side
from nexus_executor.venues.broker import Accepted, UpdateKind, VenueDown

MORE = order("more", Side.BUY, OrderKind.MARKET, "1", leverage=5)


def fills(updates: object) -> list[Decimal | None]:
    return sorted(u.quantity for u in updates if u.kind is UpdateKind.FILL)


@pytest.mark.parametrize("kind", ["fill", "order", "accepted"])
@pytest.mark.parametrize(
    "fault", ["drop", "cut", "stall", "duplicate", "shuffle", "malformed", "unknown_frame"]
)
async def test_nothing_is_lost_or_doubled(stage: Stage, fault: str, kind: str) -> None:
    broker = await stage.opened()
    stage.fault("stream", fault, order_kind=kind)
    await broker.submit(ENTRY, stage.at)
    await broker.submit(MORE, stage.at)
    told = await broker.updates(0)
    assert fills(told) == [1, 2]
    assert [update.sequence for update in told] == list(range(1, len(told) + 1))
    assert stage.house.fired()
    if fault in ("malformed", "unknown_frame"):
        assert sum(broker.refused_frames.values()) == 1


async def test_a_stop_that_goes_off_while_the_stream_is_silent_is_seen_by_the_position(stage: Stage) -> None:
    broker = await stage.opened()
    await broker.submit(ENTRY, stage.at)
    await broker.submit(STOP, stage.at)
    seen = len(await broker.updates(0))
    stage.fault("stream", "stall")
    stage.step(bar("100", "100", "94", "95"), flat("95"))
    assert await broker.updates(seen) == [], "the socket lives and answers pings"
    assert await broker.positions() == []
    told = await broker.updates(seen)
    assert [u.kind for u in told if u.kind is not UpdateKind.BALANCE] == [
        UpdateKind.TRIGGERED,
        UpdateKind.FILL,
    ]
    await broker.submit(ENTRY.__class__(**{**_fields(ENTRY), "client_order_id": "nx1again"}), stage.at)
    assert fills(await broker.updates(seen + len(told))) == [2], "it listens anew"


def _fields(request: object) -> dict[str, object]:
    return {name: getattr(request, name) for name in request.__slots__}


async def test_a_cut_while_the_stop_goes_off_is_filled_up(stage: Stage) -> None:
    broker = await stage.opened()
    await broker.submit(ENTRY, stage.at)
    await broker.submit(STOP, stage.at)
    seen = len(await broker.updates(0))
    stage.fault("stream", "cut")
    stage.step(bar("100", "100", "94", "95"), flat("95"))
    told = await broker.updates(seen)
    assert fills(told) == [2]
    await broker.backfill(MONDAY, [SOL])
    assert await broker.updates(seen + len(told)) == []


async def test_a_gap_is_asked_for_until_there_is_an_answer(stage: Stage) -> None:
    broker = await stage.opened()
    await broker.submit(ENTRY, stage.at)
    await broker.submit(STOP, stage.at)
    seen = len(await broker.updates(0))
    stage.house.faults(
        {"method": "stream", "fault": "cut", "account": stage.account},
        {"method": "order_history", "fault": "lose_reply", "account": stage.account},
    )
    stage.step(bar("100", "100", "94", "95"), flat("95"))
    with pytest.raises(VenueDown):
        await broker.updates(seen)
    assert fills(await broker.updates(seen)) == [2], "the new socket is whole, what came before it is not"


async def test_a_backfill_pages_through_everything(stage: Stage) -> None:
    broker = await stage.opened()
    await broker.updates(0)
    stage.fault("stream", "drop", times=10_000)
    for number in range(130):
        stage.create(orderLinkId=f"many-{number}", qty="0.1")
    await broker.backfill(MONDAY, [])
    assert len(fills(await broker.updates(0))) == 130


async def test_a_backfill_crosses_windows_of_seven_days(stage: Stage) -> None:
    broker = await stage.opened()
    stage.create(qty="1")
    stage.step(seconds=20 * 86_400)
    stage.create(qty="2")
    later = await stage.opened()
    await later.backfill(MONDAY, [SOL])
    told = await later.updates(0)
    assert fills(told) == [1, 2]
    assert fills(await broker.updates(0)) == [1, 2]


async def test_while_the_venue_is_gone_it_is_down_and_afterwards_whole(stage: Stage) -> None:
    broker = await stage.opened(timeout=0.3)
    await broker.submit(ENTRY, stage.at)
    stage.fault("time", "lose_request", times=9, account=None)
    front = next(iter(f for v, f in stage.house.server.fronts.items() if v == "bybit"))
    front._cut(stage.account)
    with pytest.raises(VenueDown):
        await broker.updates(0)
    stage.house.faults()
    assert fills(await broker.updates(0)) == [2]


async def test_an_answer_without_the_account_is_no_empty_wallet(stage: Stage) -> None:
    broker = await stage.opened()
    body = '{"retCode":0,"retMsg":"OK","result":{"list":[]},"retExtInfo":{},"time":1748865600000}'
    stage.fault("account", "status_unworked", status=200, body=body)
    with pytest.raises(VenueDown, match="holds no account"):
        await broker.open("USDT", None)
    assert await broker.open("USDT", None) == 10_000


async def test_a_wrong_secret_does_not_open(stage: Stage) -> None:
    stage.flag("revoked", True)
    with pytest.raises(VenueDown, match="10003"):
        await stage.broker().open("USDT", None)


async def test_before_the_first_turn_the_venues_time_signs(stage: Stage) -> None:
    stage.clock.__init__()
    broker = await stage.opened()
    assert await broker.positions() == []
    assert await broker.updates(0) == []


async def test_a_turn_behind_the_venues_time_still_asks(stage: Stage) -> None:
    broker = await stage.opened()
    stage.house.ask("set_clock", offset_seconds=60)
    assert await broker.positions() == []
    refused = await broker.submit(ENTRY, stage.at)
    assert getattr(refused, "code", None) == "10002"
    stage.house.ask("set_clock", offset_seconds=0)
    assert isinstance(await broker.submit(ENTRY, stage.at), Accepted)
