"""The Binance broker through ccxt, against the venue that refuses, lies by silence and takes positions."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from contract.binance.ground import SOL
from contract.settings import MONDAY, ROWS, Connection, VenueHouse, bar, flat
from nexus_common.contracts.order import OrderKind
from nexus_common.contracts.values import AccountId, ClientOrderId, Side, Venue
from nexus_common.runtime.errors import ConfigurationError
from nexus_executor.venues.access import Access, TurnClock
from nexus_executor.venues.binance import BinanceBroker
from nexus_executor.venues.binance.vendor import VendorSession
from nexus_executor.venues.broker import (
    Absent,
    Accepted,
    OrderRequest,
    Refused,
    Unknown,
    UpdateKind,
    VenueDown,
    VenueOrder,
    VenueOrderStatus,
    VenueUpdate,
)
from nexus_executor.venues.facts import PositionMode, StatementKind
from nexus_executor.venues.rate_budget import RateBudget
from nexus_simvenue.faults import Fault

FLAT = flat("100")
ROW = ROWS["binance"]
_numbers = count(1)


class Stage:
    """A broker with an account of its own, and the hand that moves market and venue."""

    def __init__(self, folder: Path) -> None:
        self.house = VenueHouse(folder)
        self.clock = TurnClock()
        self.account = AccountId(f"own{next(_numbers)}.binance.paper")
        self.budget = RateBudget(2_400, 60)
        self.brokers: list[BinanceBroker] = []

    async def start(self) -> None:
        await self.house.start()
        ROW.open_account(self.house, self.account)
        self.step()

    def step(self, closed: Any = FLAT, opening: Any = FLAT, seconds: float = 60, **more: Any) -> None:
        self.house.step(Venue.BINANCE, {SOL: closed}, {SOL: opening}, seconds, **more)
        self.clock.told(self.house.at)

    def access(self, timeout: float = 0.5) -> Access:
        return Connection(self.house, self.account, self.clock, timeout=timeout).access(Venue.BINANCE)

    async def broker(self, timeout: float = 0.5) -> BinanceBroker:
        broker = self.unopened(timeout)
        await broker.open("USDT", None)
        return broker

    def unopened(self, timeout: float = 0.5) -> BinanceBroker:
        broker = BinanceBroker(self.access(timeout), self.clock, self.budget)
        self.brokers.append(broker)
        return broker

    def fault(self, method: str, fault: Fault, **fields: Any) -> None:
        self.house.faults({"method": method, "fault": str(fault), "account": self.account, **fields})

    def flag(self, name: str, value: Any = True) -> None:
        self.house.ask("flag", account=self.account, name=name, value=value)

    @property
    def at(self) -> Any:
        return self.house.at

    async def stop(self) -> None:
        for broker in self.brokers:
            await broker.close()
        await self.house.stop()


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    made = Stage(tmp_path)
    await made.start()
    try:
        yield made
    finally:
        await made.stop()


def order(name: str, side: Side, kind: OrderKind, quantity: str = "2", **fields: Any) -> OrderRequest:
    return OrderRequest(ClientOrderId(name), SOL, side, kind, Decimal(quantity), **fields)


ENTRY = order("in", Side.BUY, OrderKind.MARKET, leverage=5)
STOP = order("stop", Side.SELL, OrderKind.STOP, trigger_price=Decimal(95), close_position=True)
REST = order("rest", Side.BUY, OrderKind.LIMIT, limit_price=Decimal(90), leverage=5)
TARGET = order("target", Side.SELL, OrderKind.TAKE_PROFIT, "1", trigger_price=Decimal(110), reduce_only=True)


def kinds(told: list[VenueUpdate] | Any) -> list[UpdateKind]:
    return [update.kind for update in told]


def fills(told: Any) -> list[VenueUpdate]:
    return [update for update in told if update.kind is UpdateKind.FILL]


# -- the life of a trade ------------------------------------------------------------------------------


async def test_a_trade_with_stop_and_target(stage: Stage) -> None:
    broker = await stage.broker()
    assert isinstance(await broker.submit(ENTRY, stage.at), Accepted)
    stop, target = await broker.submit(STOP, stage.at), await broker.submit(TARGET, stage.at)
    assert isinstance(stop, Accepted)
    assert isinstance(target, Accepted)
    assert await broker.open_orders() == [
        VenueOrder(
            *(STOP.client_order_id, stop.venue_order_id, SOL, Side.SELL, OrderKind.STOP),
            *(VenueOrderStatus.OPEN, Decimal(2), Decimal(0), Decimal(95)),
        ),
        VenueOrder(
            *(TARGET.client_order_id, target.venue_order_id, SOL, Side.SELL, OrderKind.TAKE_PROFIT),
            *(VenueOrderStatus.OPEN, Decimal(1), Decimal(0), Decimal(110)),
        ),
    ]
    [entered] = await broker.updates(0)
    assert entered.wallet == Decimal(10_000) - Decimal("0.1"), "the wallet comes with the fill"
    stage.step(bar("100", "111", "100", "108"), flat("108"))
    triggered, taken = await broker.updates(1)
    assert (triggered.kind, triggered.client_order_id, triggered.price) == (
        UpdateKind.TRIGGERED,
        "target",
        Decimal(110),
    )
    assert (taken.client_order_id, taken.quantity, taken.price) == ("target", Decimal(1), Decimal(110))
    [standing] = await broker.open_orders()
    assert standing.quantity == 1, "a stop for all that is held"
    stage.step(bar("108", "108", "94", "94"), flat("94"))
    told = await broker.updates(3)
    assert kinds(told) == [UpdateKind.TRIGGERED, UpdateKind.FILL]
    assert told[1].client_order_id == "stop"
    assert await broker.positions() == []
    assert next(r["leverage"] for r in stage.house.ledger() if r["kind"] == "order") == 5


async def test_a_trailing_stop_follows_by_its_rate(stage: Stage) -> None:
    broker = await stage.broker()
    await broker.submit(ENTRY, stage.at)
    trail = order("trail", Side.SELL, OrderKind.TRAILING_STOP, trail_rate=Decimal("0.012"), reduce_only=True)
    assert isinstance(await broker.submit(trail, stage.at), Accepted)
    stage.step(bar("100", "110", "100", "110"), flat("110"))
    stage.step(bar("110", "110", "108", "108"), flat("108"))
    told = await broker.updates(0)
    assert [f.price for f in fills(told)] == [Decimal(100), Decimal("108.68")]
    refused = await broker.submit(replace(trail, trail_rate=None, trail_distance=Decimal(2)), stage.at)
    assert refused == Refused(
        "inexpressible", "a trailing stop trails by a rate at Binance, not by a distance"
    )


async def test_leverage_and_margin_stand_before_an_entry(stage: Stage) -> None:
    broker = await stage.broker()
    await broker.submit(ENTRY, stage.at)
    assert (await broker.facts()).leverage[SOL] == 5
    too_high = replace(ENTRY, client_order_id=ClientOrderId("high"), leverage=80)
    refused = await broker.submit(too_high, stage.at)
    assert isinstance(refused, Refused)
    assert refused.code == "-4028"
    stage.fault("leverage", Fault.LOSE_REPLY, times=9)
    silent = await broker.submit(replace(too_high, leverage=6), stage.at)
    assert isinstance(silent, Unknown)
    assert len([r for r in stage.house.ledger() if r["kind"] == "order"]) == 1, "nothing was sent"


async def test_leverage_changed_by_hand_is_set_again(stage: Stage) -> None:
    broker, other = await stage.broker(), VendorSession(stage.access())
    await broker.submit(ENTRY, stage.at)
    params = {"symbol": str(SOL), "leverage": "10"}
    raw = await other.send("fapiPrivatePostLeverage", params, round(stage.at.timestamp() * 1000))
    assert raw.status == 200
    await broker.updates(0)
    lower = await broker.submit(replace(ENTRY, client_order_id=ClientOrderId("more")), stage.at)
    assert isinstance(lower, Refused), "isolated leverage cannot be lowered with a position"
    assert lower.code == "-4161"
    await other.close()


async def test_a_blind_resend_would_be_a_second_order(stage: Stage) -> None:
    broker = await stage.broker()
    await broker.submit(ENTRY, stage.at)
    await broker.submit(ENTRY, stage.at)
    assert [p.quantity for p in await broker.positions()] == [Decimal(4)]


async def test_a_triggered_stop_that_is_not_filled_yet_can_be_canceled(stage: Stage) -> None:
    broker = await stage.broker()
    await broker.submit(ENTRY, stage.at)
    await broker.submit(STOP, stage.at)
    stage.step(bar("100", "100", "94", "94", volume="10"), flat("94", "0"))
    [standing] = await broker.open_orders()
    assert (standing.kind, standing.filled) == (OrderKind.MARKET, Decimal(1))
    assert isinstance(await broker.cancel(STOP), Accepted)
    assert await broker.open_orders() == []
    assert kinds(await broker.updates(0)) == [
        UpdateKind.FILL,
        UpdateKind.TRIGGERED,
        UpdateKind.FILL,
        UpdateKind.CANCELED,
    ]
    assert isinstance(await broker.cancel(STOP), Accepted), "canceled is canceled"


# -- the account --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("flag", "words"), [("hedge_mode", "hedge mode"), ("fee_burn", "fees in BNB")])
async def test_modes_in_which_nothing_can_be_traded_are_told_at_start(
    stage: Stage, flag: str, words: str
) -> None:
    stage.flag(flag)
    with pytest.raises(ConfigurationError, match=words):
        await stage.unopened().open("USDT", None)
    with pytest.raises(ConfigurationError, match="USDT"):
        await stage.unopened().open("USD", None)


async def test_a_mode_changed_later_is_refused_and_heard(stage: Stage) -> None:
    broker = await stage.broker()
    stage.flag("hedge_mode")
    refused = await broker.submit(ENTRY, stage.at)
    assert isinstance(refused, Refused)
    assert refused.code == "-4061"
    [notice] = await broker.updates(0)
    assert notice.kind is UpdateKind.NOTICE
    assert "hedge mode" in str(notice.reason)


async def test_a_revoked_key_is_down_for_questions_and_refused_for_orders(stage: Stage) -> None:
    broker = await stage.broker()
    stage.flag("revoked")
    refused = await broker.submit(replace(ENTRY, leverage=None), stage.at)
    assert isinstance(refused, Refused)
    assert refused.code == "-2015"
    with pytest.raises(VenueDown, match="-2015"):
        await broker.positions()
    with pytest.raises(VenueDown):
        await stage.unopened().open("USDT", None)


async def test_the_venue_tells_about_the_account(stage: Stage) -> None:
    broker = await stage.broker()
    stage.flag("can_withdraw")
    stage.flag("ip_restricted", False)
    facts = await broker.facts()
    assert facts.server_time == stage.at
    assert (facts.can_trade, facts.can_withdraw, facts.ip_restricted) == (True, True, False)
    assert facts.position_mode is PositionMode.ONE_WAY
    assert facts.wallet == 10_000


async def test_the_statement_is_the_ledger(stage: Stage) -> None:
    broker = await stage.broker()
    await broker.submit(ENTRY, stage.at)
    stage.step(flat("110"), flat("110"), funding={SOL: Decimal("0.0001")})
    stage.house.ask("transfer", account=stage.account, amount="250")
    await broker.submit(order("out", Side.SELL, OrderKind.MARKET, reduce_only=True), stage.at)
    rows = await broker.statement(MONDAY)
    assert [row.kind for row in rows] == [
        StatementKind.FEE,
        StatementKind.FUNDING,
        StatementKind.TRANSFER,
        StatementKind.REALISED,
        StatementKind.FEE,
    ]
    wallet = Decimal(stage.house.proofs()["wallets"][stage.account])
    assert sum(row.amount for row in rows) == wallet - 10_000
    told = await broker.updates(0)
    assert told[-1].wallet == wallet
    [funding] = [u for u in told if u.kind is UpdateKind.FUNDING]
    assert (funding.symbol, funding.change, funding.rate) == (SOL, Decimal("-0.022"), Decimal("0.0001"))
    assert [u.change for u in told if u.kind is UpdateKind.BALANCE] == [Decimal(250)]


async def test_funding_and_transfers_are_told_once_by_stream_and_backfill(stage: Stage) -> None:
    broker = await stage.broker()
    await broker.submit(ENTRY, stage.at)
    stage.step(FLAT, FLAT, funding={SOL: Decimal("0.0001")})
    stage.house.ask("transfer", account=stage.account, amount="250")
    told = await broker.updates(0)
    await broker.backfill(MONDAY, [SOL])
    assert await broker.updates(len(told)) == []
    later = await stage.broker()
    await later.backfill(MONDAY, [])
    assert sorted(str(u.key) for u in await later.updates(0) if u.wallet is None) == sorted(
        str(u.key) for u in told
    )


async def test_a_margin_call_is_heard(stage: Stage) -> None:
    broker = await stage.broker()
    await broker.submit(ENTRY, stage.at)
    seen = len(await broker.updates(0))
    stage.flag("margin_call")
    assert [u.reason for u in await broker.updates(seen)] == [f"margin call on {SOL}"]


@pytest.mark.parametrize("reason", ["liquidation", "adl", "settlement"])
async def test_a_taken_position_is_found_by_a_backfill_too(stage: Stage, reason: str) -> None:
    broker = await stage.broker()
    await broker.submit(ENTRY, stage.at)
    stage.step()
    stage.house.ask("take_over", account=stage.account, symbol=SOL, reason=reason)
    told = [u for u in await broker.updates(0) if u.kind is UpdateKind.LIQUIDATION]
    later = await stage.broker()
    await later.backfill(MONDAY, [SOL])
    found = [u for u in await later.updates(0) if u.kind is UpdateKind.LIQUIDATION]
    assert [(u.key, u.reason, u.quantity, u.price, u.fee) for u in found] == [
        (u.key, u.reason, u.quantity, u.price, u.fee) for u in told
    ]
    assert told[0].reason == reason
    assert told[0].wallet is not None


# -- the stream ---------------------------------------------------------------------------------------


async def test_a_listen_key_is_kept_alive_and_an_expired_one_replaced(stage: Stage) -> None:
    broker = await stage.broker()
    for _ in range(5):
        stage.step(seconds=1_500)
        assert await broker.updates(0) == []
    stage.flag("listen_key_expired")
    await broker.submit(ENTRY, stage.at)
    assert len(fills(await broker.updates(0))) == 1
    stage.step(seconds=7_200)
    stage.house.ask(
        *("by_hand",),
        account=stage.account,
        order={"client_order_id": "w", "symbol": SOL, "side": "sell", "kind": "market", "quantity": "1"},
    )
    assert [f.client_order_id for f in fills(await broker.updates(0))] == ["in", "w"]


@pytest.mark.parametrize("fault", [Fault.STALL, Fault.DROP, Fault.CUT])
@pytest.mark.parametrize("kind", ["accepted", "position", "fill"])
async def test_what_the_stream_keeps_back_is_found(stage: Stage, fault: Fault, kind: str) -> None:
    broker = await stage.broker()
    stage.fault("stream", fault, order_kind=kind)
    assert isinstance(await broker.submit(ENTRY, stage.at), Accepted)
    told = await broker.updates(0)
    [fill] = fills(told)
    assert (fill.quantity, fill.complete) == (Decimal(2), True)
    assert stage.house.fired()
    wallets = [u.wallet for u in told if u.wallet is not None]
    if not (fault is Fault.DROP and kind != "fill"):
        assert wallets[-1] == Decimal(stage.house.proofs()["wallets"][stage.account])


async def test_a_stream_that_stays_silent_is_not_believed(stage: Stage) -> None:
    broker = await stage.broker()
    await broker.submit(ENTRY, stage.at)
    await broker.submit(STOP, stage.at)
    seen = len(await broker.updates(0))
    stage.fault("stream", Fault.STALL)
    stage.step(bar("100", "100", "94", "94"), flat("94"))
    assert await broker.updates(seen) == []
    for _ in range(3):
        stage.step(flat("94"), flat("94"))
        found = await broker.updates(seen)
    assert kinds(found)[:2] == [UpdateKind.TRIGGERED, UpdateKind.FILL]


async def test_a_gap_is_asked_for_until_there_is_an_answer(stage: Stage) -> None:
    broker = await stage.broker()
    await broker.submit(ENTRY, stage.at)
    await broker.submit(STOP, stage.at)
    seen = len(await broker.updates(0))
    stage.house.faults(
        {"method": "stream", "fault": "cut", "account": stage.account},
        {"method": "income", "fault": "lose_reply", "account": stage.account},
    )
    stage.step(bar("100", "100", "94", "94"), flat("94"))
    with pytest.raises(VenueDown):
        await broker.updates(seen)
    assert len(fills(await broker.updates(seen))) == 1, "the new socket is whole, what came before it is not"


async def test_what_an_unreadable_message_said_is_asked_for(stage: Stage) -> None:
    broker = await stage.broker()
    await broker.submit(ENTRY, stage.at)
    await broker.submit(STOP, stage.at)
    seen = len(await broker.updates(0))
    stage.house.faults(
        {"method": "stream", "fault": "malformed", "account": stage.account},
        {"method": "stream", "fault": "drop", "account": stage.account, "order_kind": "fill"},
    )
    stage.step(bar("100", "100", "94", "94"), flat("94"))
    assert len(fills(await broker.updates(seen))) == 1


async def test_unreadable_messages_are_counted(stage: Stage) -> None:
    broker = await stage.broker()
    stage.house.faults(
        {"method": "stream", "fault": "malformed", "account": stage.account},
        {"method": "stream", "fault": "unknown_frame", "account": stage.account},
    )
    await broker.submit(ENTRY, stage.at)
    assert len(fills(await broker.updates(0))) == 1
    assert broker.refused_messages == {"no JSON: JSONDecodeError": 1, "unknown event": 1}


async def test_a_trade_of_an_order_that_is_hidden_waits(stage: Stage) -> None:
    broker = await stage.broker()
    stage.fault("submit", Fault.LATE, seconds=90)
    await broker.submit(ENTRY, stage.at)
    later = await stage.broker()
    with pytest.raises(VenueDown, match="does not show order"):
        await later.backfill(MONDAY, [SOL])
    stage.step(seconds=91)
    await later.backfill(MONDAY, [SOL])
    assert [f.client_order_id for f in fills(await later.updates(0))] == ["in"]


async def test_a_backfill_reads_long_histories(stage: Stage) -> None:
    broker = await stage.broker()
    await broker.submit(ENTRY, stage.at)
    await broker.submit(STOP, stage.at)
    for _ in range(20):
        stage.step(seconds=86_400)
    stage.step(bar("100", "100", "94", "94"), flat("94"))
    later = await stage.broker()
    await later.backfill(MONDAY, [SOL])
    assert [(f.client_order_id, f.complete) for f in fills(await later.updates(0))] == [
        ("in", True),
        ("stop", True),
    ]


# -- time and limits ----------------------------------------------------------------------------------


async def test_a_request_signed_too_long_ago_is_refused(stage: Stage) -> None:
    broker = await stage.broker()
    await broker.submit(ENTRY, stage.at)
    reply = await broker.submit(
        replace(ENTRY, client_order_id=ClientOrderId("old")), stage.at - timedelta(seconds=6)
    )
    assert isinstance(reply, Refused)
    assert reply.code == "-1021"


async def test_questions_find_the_venues_time_by_themselves(stage: Stage) -> None:
    broker = await stage.broker()
    stage.house.ask("set_clock", offset_seconds=3_000)
    assert await broker.positions() == []
    silent = BinanceBroker(stage.access(), TurnClock())
    stage.brokers.append(silent)
    assert await silent.open("USDT", None) == 10_000
    assert isinstance(await silent.lookup(ENTRY), Absent)


@pytest.mark.parametrize(("status", "silence"), [(429, 30), (418, 120), (403, 300)])
async def test_a_ban_is_honoured(stage: Stage, status: int, silence: int) -> None:
    broker = await stage.broker()
    stage.fault("positions", Fault.LIMIT, status=status, seconds=silence)
    with pytest.raises(VenueDown):
        await broker.positions()
    stage.house.faults()
    for method in (broker.positions, broker.open_orders):
        with pytest.raises(VenueDown, match="banned until"):
            await method()
    refused = await broker.submit(replace(ENTRY, leverage=None), stage.at)
    assert isinstance(refused, Refused)
    assert refused.code == "banned"
    assert "not sent, banned until" in refused.reason
    assert isinstance(await broker.cancel(REST), Unknown)
    stage.step(seconds=silence + 1)
    assert await broker.positions() == []


async def test_the_last_fifth_of_the_limit_is_kept_for_exits(stage: Stage) -> None:
    broker = await stage.broker()
    await broker.submit(ENTRY, stage.at)
    stage.step()
    for _ in range(24):
        await broker.open_orders()
    with pytest.raises(VenueDown, match="weight is used up"):
        await broker.open_orders()
    assert stage.budget.used(stage.at) <= 1_920
    assert isinstance(await broker.submit(STOP, stage.at), Accepted)
    assert isinstance(await broker.cancel(STOP), Accepted)


# -- ccxt ---------------------------------------------------------------------------------------------


async def test_the_proxy_is_asked_for_both_ways(stage: Stage) -> None:
    through = VendorSession(replace(stage.access(), proxy="http://127.0.0.1:9"))
    vendor = through._vendor
    assert vendor.check_proxy_settings() == [None, "http://127.0.0.1:9", None]
    assert vendor.check_ws_proxy_settings() == [None, "http://127.0.0.1:9", None]
    await through.close()


@pytest.mark.parametrize("live", [True, False])
def test_only_other_addresses_are_written_over(stage: Stage, live: bool) -> None:
    access = stage.access()
    if live:
        access = replace(
            access, rest_url="https://fapi.binance.com", stream_url="wss://fstream.binance.com", live=True
        )
    api = VendorSession(access)._vendor.urls["api"]
    assert api["fapiPrivate"] == f"{access.rest_url}/fapi/v1"
    assert api["ws"]["linear"].startswith(access.stream_url) if isinstance(api["ws"]["linear"], str) else True
    assert api["sapi"] == ("https://api.binance.com/sapi/v1" if live else f"{access.rest_url}/sapi/v1")
