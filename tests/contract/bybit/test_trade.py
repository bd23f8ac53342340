"""The life of a trade at Bybit, by pybit over sockets: the position's own stop, targets, trailing, ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from types import SimpleNamespace

import pytest

from contract.bybit.hand import ENTRY, SOL, STOP, TARGET, TRAIL, Stage, order
from contract.settings import MONDAY, bar, flat
from nexus_common.contracts.order import OrderKind
from nexus_common.contracts.values import Side, Symbol
from nexus_common.runtime.errors import ConfigurationError
from nexus_executor.venues.broker import (
    Absent,
    Accepted,
    Refused,
    Unknown,
    UpdateKind,
    VenueDown,
    VenueOrderStatus,
    VenueUpdate,
)
from nexus_executor.venues.facts import PositionMode, StatementKind


def of(updates: Sequence[VenueUpdate], kind: UpdateKind) -> list[VenueUpdate]:
    return [update for update in updates if update.kind is kind]


async def test_a_stop_belongs_to_the_position_is_moved_and_canceled_with_0(stage: Stage) -> None:
    broker = await stage.opened()
    assert isinstance(await broker.submit(STOP, stage.at), Refused), "nothing is held yet"
    assert isinstance(await broker.submit(ENTRY, stage.at), Accepted)
    assert isinstance(await broker.submit(STOP, stage.at), Accepted)
    assert isinstance(await broker.submit(STOP, stage.at), Accepted), "not modified (34040) is as asked for"
    [standing] = await broker.open_orders()
    assert standing.attached
    assert standing.client_order_id is None
    assert (standing.kind, standing.trigger_price, standing.quantity) == (
        OrderKind.STOP,
        Decimal(95),
        Decimal(2),
    )
    assert isinstance(await broker.amend(STOP, Decimal(96)), Accepted)
    [moved] = await broker.open_orders()
    assert (moved.venue_order_id, moved.trigger_price) == (standing.venue_order_id, Decimal(96))
    assert isinstance(await broker.lookup(STOP), Accepted), "where it was moved to"
    seen = len(await broker.updates(0))
    assert isinstance(await broker.cancel(STOP), Accepted)
    assert await broker.open_orders() == []
    [canceled] = await broker.updates(seen)
    assert (canceled.kind, canceled.attached, canceled.client_order_id) == (
        UpdateKind.CANCELED,
        OrderKind.STOP,
        None,
    )
    assert isinstance(await broker.lookup(STOP), Absent)


async def test_a_stop_that_goes_off_is_told_as_the_positions_own(stage: Stage) -> None:
    broker = await stage.opened()
    await broker.submit(ENTRY, stage.at)
    await broker.submit(STOP, stage.at)
    await broker.submit(TARGET, stage.at)
    seen = len(await broker.updates(0))
    stage.step(bar("100", "100", "94", "95"), flat("95"))
    told = await broker.updates(seen)
    [triggered], [fill] = of(told, UpdateKind.TRIGGERED), of(told, UpdateKind.FILL)
    assert (triggered.attached, triggered.price) == (OrderKind.STOP, Decimal(95))
    assert (fill.attached, fill.client_order_id, fill.side) == (OrderKind.STOP, None, Side.SELL)
    assert (fill.quantity, fill.price, fill.complete) == (Decimal(2), Decimal(95), True)
    [gone] = of(told, UpdateKind.CANCELED)
    assert (gone.client_order_id, gone.reason) == (TARGET.client_order_id, "CancelByReduceOnly")
    assert isinstance(await broker.lookup(STOP), Accepted), "it has gone off, but it was accepted"
    assert isinstance(await broker.cancel(STOP), Accepted), "it went with the position"


async def test_a_target_takes_its_part_and_the_stop_keeps_the_rest(stage: Stage) -> None:
    broker = await stage.opened()
    await broker.submit(ENTRY, stage.at)
    await broker.submit(STOP, stage.at)
    assert isinstance(await broker.submit(TARGET, stage.at), Accepted)
    stage.step(bar("100", "106", "100", "105"), flat("105"))
    fills = of(await broker.updates(0), UpdateKind.FILL)
    assert [(f.client_order_id, f.quantity) for f in fills] == [
        (ENTRY.client_order_id, Decimal(2)),
        (TARGET.client_order_id, Decimal(1)),
    ]
    [standing] = await broker.open_orders()
    assert (standing.attached, standing.quantity) == (True, Decimal(1))


async def test_a_trailing_stop_is_the_positions_and_follows(stage: Stage) -> None:
    broker = await stage.opened()
    await broker.submit(ENTRY, stage.at)
    await broker.submit(STOP, stage.at)
    assert isinstance(await broker.submit(TRAIL, stage.at), Accepted)
    assert isinstance(await broker.lookup(TRAIL), Accepted)
    kinds = sorted(standing.kind for standing in await broker.open_orders())
    assert kinds == [OrderKind.STOP, OrderKind.TRAILING_STOP]
    closer = replace(TRAIL, trail_distance=Decimal(2))
    assert isinstance(await broker.submit(closer, stage.at), Accepted)
    stage.step(bar("100", "110", "100", "110"), flat("110"))
    stage.step(bar("110", "110", "107", "107"), flat("107"))
    told = await broker.updates(0)
    [fill] = [f for f in of(told, UpdateKind.FILL) if f.attached is OrderKind.TRAILING_STOP]
    assert fill.price == Decimal(108)
    assert [u.attached for u in of(told, UpdateKind.CANCELED)] == [OrderKind.STOP]
    assert await broker.positions() == []


async def test_the_four_methods_by_name(stage: Stage) -> None:
    broker = await stage.opened()
    await broker.submit(ENTRY, stage.at)
    assert isinstance(
        await broker.set_trading_stop(SOL, stop_loss=Decimal(94), take_profit=Decimal(120)), Accepted
    )
    assert isinstance(await broker.place_trailing_stop(SOL, Decimal(4), activation=Decimal(104)), Accepted)
    resting = order("limit", Side.BUY, OrderKind.LIMIT, limit_price=Decimal(90), leverage=5)
    await broker.submit(resting, stage.at)
    assert isinstance(await broker.amend_order(resting, price=Decimal(91), quantity=Decimal("1.5")), Accepted)
    assert isinstance(await broker.amend_order(resting, price=Decimal(91)), Accepted), (
        "unchanged is as asked for"
    )
    standing = {o.kind: o for o in await broker.open_orders()}
    assert standing[OrderKind.TRAILING_STOP].trigger_price == Decimal(104)
    assert standing[OrderKind.LIMIT].quantity == Decimal("1.5")
    assert len(standing) == 4
    assert isinstance(await broker.set_trading_stop(SOL, take_profit=Decimal(0)), Accepted)
    assert isinstance(await broker.cancel_all_orders(SOL), Accepted)
    assert await broker.open_orders() == []
    assert [p.quantity for p in await broker.positions()] == [Decimal(2)]


async def test_conditional_stops_have_an_id_and_can_be_amended(stage: Stage) -> None:
    broker = await stage.opened()
    await broker.submit(ENTRY, stage.at)
    stop = order("part", Side.SELL, OrderKind.STOP, "1", trigger_price=Decimal(95), reduce_only=True)
    assert isinstance(await broker.submit(stop, stage.at), Accepted)
    assert isinstance(await broker.amend(stop, Decimal(96), Decimal("1.5")), Accepted)
    [standing] = await broker.open_orders()
    assert (standing.client_order_id, standing.kind, standing.attached) == (
        stop.client_order_id,
        OrderKind.STOP,
        False,
    )
    assert (standing.trigger_price, standing.quantity) == (Decimal(96), Decimal("1.5"))
    beyond = await broker.amend(stop, Decimal(101))
    assert isinstance(beyond, Refused)
    assert beyond.code == "110093"
    beyond = await broker.submit(replace(STOP, trigger_price=Decimal(101)), stage.at)
    assert isinstance(beyond, Refused)
    assert "base_price" in beyond.reason


async def test_a_trailing_stop_of_a_part_does_not_exist_there(stage: Stage) -> None:
    broker = await stage.opened()
    part = order("part", Side.SELL, OrderKind.TRAILING_STOP, "1", trail_distance=Decimal(3), reduce_only=True)
    refused = await broker.submit(part, stage.at)
    assert isinstance(refused, Refused)
    assert "whole position" in refused.reason


async def test_shib_is_spelled_as_bybit_does(stage: Stage) -> None:
    shib = Symbol("1000SHIBUSDT")
    stage.step(flat("0.02"), flat("0.02"), symbol=shib)
    broker = await stage.opened()
    entry = replace(ENTRY, symbol=shib, quantity=Decimal(1000))
    assert isinstance(await broker.submit(entry, stage.at), Accepted)
    [held] = await broker.positions()
    assert held.symbol == shib
    assert stage.get("/v5/position/list", "category=linear&symbol=SHIB1000USDT")["result"]["list"]
    assert stage.get("/v5/position/list", "category=linear&symbol=1000SHIBUSDT")["retCode"] == 10001


# -- what is set before an entry ----------------------------------------------------------------------


async def test_margin_mode_and_leverage_are_set_before_an_entry_and_remembered(stage: Stage) -> None:
    broker = await stage.opened()
    await broker.submit(ENTRY, stage.at)
    assert stage.get("/v5/account/info")["result"]["marginMode"] == "ISOLATED_MARGIN"
    [row] = stage.get("/v5/position/list", "category=linear&symbol=SOLUSDT")["result"]["list"]
    assert row["leverage"] == "5"
    stage.fault("leverage", "refuse", code="110013", times=9)
    more = order("more", Side.BUY, OrderKind.MARKET, leverage=5)
    assert isinstance(await broker.submit(more, stage.at), Accepted), "it is set already"
    other = await broker.submit(order("other", Side.BUY, OrderKind.MARKET, leverage=7), stage.at)
    assert isinstance(other, Refused)
    assert other.code == "110013"


async def test_leverage_that_is_set_already_is_confirmed(stage: Stage) -> None:
    first, second = await stage.opened(), await stage.opened()
    await first.submit(ENTRY, stage.at)
    assert isinstance(
        await second.submit(order("two", Side.BUY, OrderKind.MARKET, leverage=5), stage.at), Accepted
    )


async def test_an_entry_without_confirmed_leverage_does_not_leave(stage: Stage) -> None:
    broker = await stage.opened(timeout=0.3)
    stage.fault("leverage", "lose_reply")
    assert isinstance(await broker.submit(ENTRY, stage.at), Unknown)
    assert not [r for r in stage.house.ledger() if r["kind"] == "order"]


async def test_hedge_mode_is_refused_at_the_door(stage: Stage) -> None:
    stage.flag("hedge_mode", True)
    with pytest.raises(ConfigurationError, match="One-Way"):
        await stage.broker().open("USDT", None)


# -- what an account is told --------------------------------------------------------------------------


async def test_an_order_can_be_rejected_after_it_was_accepted(stage: Stage) -> None:
    stage.flag("late_refusals", True)
    broker = await stage.opened()
    large = order("large", Side.BUY, OrderKind.MARKET, "10000", leverage=5)
    assert isinstance(await broker.submit(large, stage.at), Accepted), "accepted is not created"
    [rejected] = await broker.updates(0)
    assert (rejected.kind, rejected.client_order_id) == (UpdateKind.CANCELED, large.client_order_id)
    assert rejected.reason == "rejected: EC_Others"
    found = await broker.lookup(large)
    assert isinstance(found, Refused), "what the venue itself rejected was never an order"


@pytest.mark.parametrize("reason", ["liquidation", "adl", "settlement"])
async def test_a_position_that_the_venue_takes(stage: Stage, reason: str) -> None:
    broker = await stage.opened()
    await broker.submit(ENTRY, stage.at)
    await broker.submit(STOP, stage.at)
    seen = len(await broker.updates(0))
    stage.house.ask("take_over", account=stage.account, symbol=SOL, reason=reason)
    told = await broker.updates(seen)
    [taken] = of(told, UpdateKind.LIQUIDATION)
    assert (taken.symbol, taken.quantity, taken.side, taken.reason) == (SOL, Decimal(2), Side.SELL, reason)
    assert taken.client_order_id is None
    [gone] = of(told, UpdateKind.CANCELED)
    assert (gone.attached, gone.reason) == (OrderKind.STOP, "CancelByTpSlTsClear")
    await broker.backfill(MONDAY, [SOL])
    assert await broker.updates(seen + len(told)) == []


async def test_funding_is_told_once_with_its_sign(stage: Stage) -> None:
    broker = await stage.opened()
    await broker.submit(ENTRY, stage.at)
    seen = len(await broker.updates(0))
    stage.step(funding={SOL: Decimal("0.0001")})
    told = await broker.updates(seen)
    [paid] = of(told, UpdateKind.FUNDING)
    assert (paid.symbol, paid.change, paid.rate) == (SOL, Decimal("-0.02"), Decimal("0.0001"))
    await broker.backfill(MONDAY, [])
    assert await broker.updates(seen + len(told)) == []


async def test_the_owners_own_orders_have_no_id(stage: Stage) -> None:
    broker = await stage.opened()
    by_hand = {"client_order_id": "web", "symbol": SOL, "side": "buy", "kind": "market", "quantity": "3"}
    stage.house.ask("by_hand", account=stage.account, order={**by_hand, "leverage": 5})
    limit = {**by_hand, "client_order_id": "web2", "kind": "limit", "limit_price": "90", "leverage": 5}
    stage.house.ask("by_hand", account=stage.account, order=limit)
    [fill] = of(await broker.updates(0), UpdateKind.FILL)
    assert (fill.client_order_id, fill.attached, fill.quantity) == (None, None, Decimal(3))
    [standing] = await broker.open_orders()
    assert (standing.client_order_id, standing.attached, standing.status) == (
        None,
        False,
        VenueOrderStatus.OPEN,
    )


async def test_facts_and_statement(stage: Stage) -> None:
    stage.flag("can_withdraw", True)
    broker = await stage.opened()
    await broker.submit(ENTRY, stage.at)
    facts = await broker.facts()
    assert (facts.can_trade, facts.can_withdraw, facts.ip_restricted) == (True, True, False)
    assert (facts.position_mode, facts.leverage[SOL], facts.server_time) == (
        PositionMode.ONE_WAY,
        5,
        stage.at,
    )
    stage.step(flat("110"), flat("110"), funding={SOL: Decimal("0.0001")})
    await broker.submit(order("out", Side.SELL, OrderKind.MARKET, reduce_only=True), stage.at)
    stage.house.ask("transfer", account=stage.account, amount="-50")
    rows = await broker.statement(MONDAY)
    wallets = stage.house.proofs()["wallets"]
    assert Decimal(10_000) + sum(row.amount for row in rows) == Decimal(wallets[stage.account])
    assert [row.amount for row in rows if row.kind is StatementKind.REALISED] == [Decimal(20)]
    assert [row.amount for row in rows if row.kind is StatementKind.TRANSFER] == [Decimal(-50)]
    assert len({row.key for row in rows}) == len(rows)


async def test_a_key_that_is_revoked_says_so(stage: Stage) -> None:
    broker = await stage.opened()
    stage.flag("revoked", True)
    refused = await broker.submit(ENTRY, stage.at)
    assert isinstance(refused, Refused)
    assert refused.code == "10003"
    with pytest.raises(VenueDown, match="10003"):
        await broker.positions()


# -- limits -------------------------------------------------------------------------------------------


async def test_a_limit_for_a_second_is_over_a_second_later_in_the_same_turn(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stop for each of many positions must not be held back until the next turn."""
    passed = [100.0]
    monkeypatch.setattr("nexus_executor.venues.bybit.rest.time", SimpleNamespace(monotonic=lambda: passed[0]))
    stage.flag("rate_limit", 10)
    broker = await stage.opened()
    sent = [await broker.submit(STOP, stage.at) for _ in range(11)]
    assert [reply.code for reply in sent if isinstance(reply, Refused)][-1] == "not-sent"
    stage.flag("rate_limit", 100)
    passed[0] += 1
    again = await broker.submit(STOP, stage.at)
    assert isinstance(again, Refused)
    assert again.code != "not-sent", "it went out: nothing is held that a stop could belong to"
