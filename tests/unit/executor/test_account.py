"""What a venue says of an account: each message once, also when it is told again after a restart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from nexus_common.contracts.account import (
    AccountNoted,
    AccountOpened,
    FundingPaid,
    HandTraded,
    OpenAccount,
    PositionLiquidated,
    RecordBalance,
    RecordFunding,
    RecordHandTrade,
    RecordLiquidation,
    RecordNotice,
)
from nexus_common.contracts.order import OrderCanceled, OrderKind
from nexus_common.contracts.trade import ExitReason, TradeClosed
from nexus_common.contracts.values import AccountId, Side, Symbol, UserId, Venue
from nexus_common.testing.spec import given
from nexus_executor.domain.account import ACCOUNT
from nexus_executor.domain.traits import TRAITS
from nexus_executor.venues.broker import VenueOrder, VenueUpdate

NOON = datetime(2024, 6, 3, 12, 0, tzinfo=UTC)
A, BTC = AccountId("a"), Symbol("BTCUSDT")
OPENED = AccountOpened(
    account=A, user=UserId("u"), venue=Venue.BINANCE, paper=True, currency="USDT", wallet=Decimal(100)
)
ONCE: list[tuple[Any, type[Any]]] = [
    (RecordFunding(A, BTC, None, Decimal(1), Decimal(99), NOON, "f1"), FundingPaid),
    (RecordLiquidation(A, BTC, Decimal(1), Decimal(9), None, NOON, "adl", "l1"), PositionLiquidated),
    (RecordHandTrade(A, BTC, Side.BUY, Decimal(1), Decimal(9), Decimal(0), "t1", NOON), HandTraded),
    (RecordNotice(A, "key revoked", NOON, "n1"), AccountNoted),
]


@pytest.mark.parametrize(("command", "event"), ONCE)
def test_a_message_with_a_key_is_taken_once(command: Any, event: type[Any]) -> None:
    first = given(ACCOUNT, OPENED).when(command).events
    assert isinstance(first[0], event)
    given(ACCOUNT, OPENED, *first).when(command).then_nothing()


def test_an_older_balance_told_again_does_not_undo_a_newer_one() -> None:
    older = RecordBalance(A, Decimal(90), "transfer", NOON, "b1")
    newer = RecordBalance(A, Decimal(80), "transfer", NOON, "b2")
    history = [OPENED, *given(ACCOUNT, OPENED).when(older).events]
    history += given(ACCOUNT, *history).when(newer).events
    given(ACCOUNT, *history).when(older).then_nothing()


def test_of_messages_the_last_thousands_are_remembered() -> None:
    state = ACCOUNT.fold([OPENED])
    for number in range(5_000):
        notice = RecordNotice(A, "n", NOON, f"n{number}")
        state = ACCOUNT.fold(ACCOUNT.decide(notice, state), state)
    assert len(state.keys) + len(state.older) <= 4_000
    assert ACCOUNT.decide(RecordNotice(A, "n", NOON, "n3500"), state) == ()


def test_messages_without_a_key_are_told_apart_by_their_number() -> None:
    notice = RecordNotice(A, "margin call", NOON)
    given(ACCOUNT, OPENED, AccountNoted(account=A, text="margin call")).when(notice).then_types(AccountNoted)


def test_nothing_happens_to_an_account_that_is_not_open_but_a_word_to_its_owner() -> None:
    given(ACCOUNT).when(RecordBalance(A, Decimal(5), "fill", NOON)).then_broken("not open")
    given(ACCOUNT).when(RecordNotice(A, "not traded", NOON)).then_types(AccountNoted)
    again = OpenAccount(A, UserId("u"), Venue.BINANCE, True, "USDT", Decimal(5), NOON)
    given(ACCOUNT, OPENED).when(again).then_nothing()


# -- the position's own stop ---------------------------------------------------------------------------


def nameless(world: Any) -> Callable[[Any], Any]:
    """Bybit: a stop that is set on the position is an order without our name."""

    def seen_as(each: VenueUpdate | VenueOrder) -> Any:
        order = world.exchange.account("anna-paper").orders.get(each.client_order_id or "")
        if order is None or not order.ticket.close_position:
            return each
        if isinstance(each, VenueOrder):
            return replace(each, client_order_id=None, attached=True)
        return replace(each, client_order_id=None, attached=order.kind)

    return seen_as


async def a_long(make_world: Any, verdict: Any, to_risk: Any) -> Any:
    world = make_world(traits=TRAITS[Venue.BYBIT])
    await world.start()
    world.stream.seen_as = nameless(world)
    await world.flat("60000")
    await world.flat("60000", to_risk(verdict()))
    return world


async def test_a_nameless_stop_is_ours(make_world: Any, verdict: Any, to_risk: Any) -> None:
    world = await a_long(make_world, verdict, to_risk)
    await world.flat("60000", minutes=3)
    assert await world.all_of(OrderCanceled) == []  # it stands, though under no name
    await world.minute(("60000", "60000", "59000", "59000"))
    closed = await world.only(TradeClosed)
    assert (closed.reason, closed.exit_price) == (ExitReason.STOP, 59_400)
    assert await world.all_of(HandTraded) == []


async def test_a_nameless_stop_that_was_taken_away_is_placed_again(
    make_world: Any, verdict: Any, to_risk: Any
) -> None:
    world = await a_long(make_world, verdict, to_risk)
    stop = next(order for order in world.resting() if order.kind is OrderKind.STOP)
    world.exchange.cancel("anna-paper", 1, stop.ticket.client_order_id)
    await world.flat("60000")
    assert sum(order.kind is OrderKind.STOP for order in world.resting()) == 1
    stop = next(order for order in world.resting() if order.kind is OrderKind.STOP)
    world.exchange.vanish("anna-paper", stop.ticket.client_order_id)
    await world.flat("60000", minutes=2)
    assert sum(order.kind is OrderKind.STOP for order in world.resting()) == 1


async def test_a_nameless_trailing_stop_ends_the_trade(make_world: Any, verdict: Any, to_risk: Any) -> None:
    world = await a_long(make_world, verdict, to_risk)
    await world.minute(("60000", "61300", "60000", "61300"))
    await world.minute(("61300", "61900", "61300", "61900"))
    await world.minute(("61900", "61900", "61000", "61000"))
    assert (await world.only(TradeClosed)).reason is ExitReason.TRAIL
