"""The venue is right about what is held, the store about why."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from nexus_common.contracts.account import PositionDrifted
from nexus_common.contracts.order import OrderKind
from nexus_common.contracts.trade import TradeDeclined
from nexus_common.contracts.values import ClientOrderId, Side, Symbol
from nexus_executor.reconcile import Comparison, compare_positions, vanished_orders
from nexus_executor.venues.broker import VenueOrder, VenueOrderStatus, VenuePosition
from nexus_market.exchange import Ticket

BTC, ETH = Symbol("BTCUSDT"), Symbol("ETHUSDT")


def at_venue(symbol: Symbol, quantity: str) -> VenuePosition:
    return VenuePosition(symbol, Decimal(quantity), Decimal(100))


def test_equal_books_differ_nowhere() -> None:
    assert compare_positions({BTC: Decimal(1)}, [at_venue(BTC, "1")]) == ()


def test_more_less_and_unexplained_positions_are_differences() -> None:
    found = compare_positions({BTC: Decimal(1)}, [at_venue(BTC, "0.5"), at_venue(ETH, "-2")])
    assert found == (
        Comparison(BTC, Decimal(1), Decimal("0.5")),
        Comparison(ETH, Decimal(0), Decimal(-2)),
    )
    assert compare_positions({BTC: Decimal(1)}, []) == (Comparison(BTC, Decimal(1), Decimal(0)),)


def test_orders_that_do_not_stand_are_found() -> None:
    stop = VenueOrder(
        ClientOrderId("a"),
        "x1",
        BTC,
        Side.SELL,
        OrderKind.STOP,
        VenueOrderStatus.OPEN,
        Decimal(1),
        Decimal(0),
        Decimal(90),
    )
    assert vanished_orders([ClientOrderId("a"), ClientOrderId("b")], [stop]) == (ClientOrderId("b"),)


async def a_drifted_world(
    make_world: Callable[..., Any], verdict: Callable[..., Any], to_risk: Callable[..., Any]
) -> Any:
    """Somebody sold 0.04 of our 0.1 BTC by hand."""
    world = make_world()
    await world.start()
    await world.flat("60000")
    await world.flat("60000", to_risk(verdict()))
    by_hand = Ticket("by-hand", BTC, Side.SELL, OrderKind.MARKET, Decimal("0.04"), reduce_only=True)
    world.exchange.submit("anna-paper", 1, by_hand)
    await world.flat("60000")
    return world


async def test_a_difference_is_reported_once_and_again_when_it_is_gone(
    make_world: Callable[..., Any], verdict: Callable[..., Any], to_risk: Callable[..., Any]
) -> None:
    world = await a_drifted_world(make_world, verdict, to_risk)
    await world.reconcile()
    drifted = await world.only(PositionDrifted)
    assert (drifted.expected, drifted.held) == (Decimal("0.1"), Decimal("0.06"))
    await world.reconcile()
    assert len(await world.all_of(PositionDrifted)) == 1
    back = Ticket("back", BTC, Side.BUY, OrderKind.MARKET, Decimal("0.04"), leverage=5)
    world.exchange.submit("anna-paper", 1, back)
    await world.flat("60000")
    await world.reconcile()
    last = (await world.all_of(PositionDrifted))[-1]
    assert last.expected == last.held
    await world.reconcile()
    assert len(await world.all_of(PositionDrifted)) == 2


async def test_no_new_exposure_where_the_books_differ(
    make_world: Callable[..., Any], verdict: Callable[..., Any], to_risk: Callable[..., Any]
) -> None:
    world = await a_drifted_world(make_world, verdict, to_risk)
    await world.reconcile()
    await world.flat("60000", to_risk(verdict(quantity="0.01")))
    assert "that our fills do not explain" in (await world.only(TradeDeclined)).reason


async def test_a_stop_that_vanished_without_a_word_is_placed_again(
    make_world: Callable[..., Any], verdict: Callable[..., Any], to_risk: Callable[..., Any]
) -> None:
    world = make_world()
    await world.start()
    await world.flat("60000")
    await world.flat("60000", to_risk(verdict()))
    stop = next(order for order in world.resting() if order.kind is OrderKind.STOP)
    world.exchange.cancel("anna-paper", 1, stop.ticket.client_order_id)
    world.exchange.account("anna-paper").updates.pop()
    await world.reconcile()
    await world.flat("60000")
    assert sum(order.kind is OrderKind.STOP for order in world.resting()) == 1
