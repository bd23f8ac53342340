"""What the exchange does the way real venues do: ids used again, trailing by rate, interventions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from nexus_common.contracts.order import OrderKind
from nexus_common.contracts.values import Side, Venue
from nexus_market.exchange import (
    Accepted,
    Exchange,
    ExchangeSettings,
    Ohlcv,
    Refused,
    Reuse,
    Status,
    Ticket,
    duplicate_orders,
    plain,
    unprotected_spans,
)
from nexus_market.instruments import DEFAULT_INSTRUMENTS

NOON = datetime(2025, 6, 1, 12, tzinfo=UTC)
SOL = "SOLUSDT"
CALM = ExchangeSettings(slippage_bps=Decimal(0), slippage_ticks=0)


def bar(open_: str, high: str, low: str, close: str, volume: str = "100000") -> Ohlcv:
    return Ohlcv(*map(Decimal, (open_, high, low, close, volume)))


FLAT = bar("100", "100", "100", "100")


@pytest.fixture
def exchange() -> Exchange:
    made = Exchange(DEFAULT_INSTRUMENTS[Venue.BINANCE], CALM)
    made.open_account("a", 1, "USDT", Decimal(10_000))
    made.step(NOON, {SOL: FLAT}, {SOL: FLAT})
    return made


def ticket(name: str, side: Side, kind: OrderKind, quantity: str = "2", **fields: Any) -> Ticket:
    given = {k: Decimal(v) if isinstance(v, str) else v for k, v in fields.items()}
    return Ticket(name, SOL, side, kind, Decimal(quantity), **given)


def close(exchange: Exchange, minute: int, closed: Ohlcv, opening: Ohlcv = FLAT) -> None:
    exchange.step(NOON + timedelta(minutes=minute), {SOL: closed}, {SOL: opening})


ENTRY = ticket("in", Side.BUY, OrderKind.MARKET, leverage=5)
STOP = ticket("stop", Side.SELL, OrderKind.STOP, trigger_price="95", reduce_only=True)


def test_an_id_that_is_unique_among_open_orders_only_places_a_second_order(exchange: Exchange) -> None:
    resting = ticket("rest", Side.BUY, OrderKind.LIMIT, limit_price="90")
    assert isinstance(exchange.submit("a", 1, resting, Reuse.WHEN_CLOSED), Accepted)
    again = exchange.submit("a", 1, resting, Reuse.WHEN_CLOSED)
    assert isinstance(again, Refused)
    assert again.code == "-4116"
    exchange.submit("a", 1, ENTRY, Reuse.WHEN_CLOSED)
    exchange.submit("a", 1, ENTRY, Reuse.WHEN_CLOSED)
    assert exchange.account("a").held(SOL) == 4
    assert duplicate_orders(map(plain, exchange.records)) == [("a", "in")]


def test_an_id_that_is_unique_for_ever_is_refused_ever_after(exchange: Exchange) -> None:
    assert isinstance(exchange.submit("a", 1, ENTRY, Reuse.NEVER), Accepted)
    assert isinstance(exchange.submit("a", 1, ENTRY, Reuse.NEVER), Refused)
    assert exchange.account("a").held(SOL) == 2


def test_a_stop_by_rate_follows_at_a_fraction_of_the_best_price(exchange: Exchange) -> None:
    exchange.submit("a", 1, ENTRY)
    trail = ticket("trail", Side.SELL, OrderKind.TRAILING_STOP, trail_rate="0.01", reduce_only=True)
    assert isinstance(exchange.submit("a", 1, trail), Accepted)
    close(exchange, 1, bar("100", "110", "100", "110"), bar("110", "110", "110", "110"))
    close(exchange, 2, bar("110", "110", "109", "109.5"))
    assert exchange.account("a").held(SOL) == 2
    close(exchange, 3, bar("109.5", "109.5", "108.5", "109"))
    assert exchange.updates("a", 0)[-1].price == Decimal("108.9")
    assert exchange.account("a").held(SOL) == 0


@pytest.mark.parametrize("rate", ["0.0005", "0.0015", "0.101", "0"])
def test_a_rate_is_a_multiple_of_a_tenth_of_a_percent(exchange: Exchange, rate: str) -> None:
    exchange.submit("a", 1, ENTRY)
    trail = ticket("trail", Side.SELL, OrderKind.TRAILING_STOP, trail_rate=rate, reduce_only=True)
    assert isinstance(exchange.submit("a", 1, trail), Refused)


def test_a_trailing_stop_of_the_position_closes_all_that_is_held(exchange: Exchange) -> None:
    exchange.submit("a", 1, ENTRY)
    trail = ticket("trail", Side.SELL, OrderKind.TRAILING_STOP, "1", trail_distance="1", close_position=True)
    assert isinstance(exchange.submit("a", 1, trail), Accepted)
    exchange.submit("a", 1, ENTRY._replace(client_order_id="more", quantity=Decimal(3)))
    close(exchange, 1, bar("100", "100", "98", "98"))
    assert exchange.account("a").held(SOL) == 0


def test_a_stop_can_be_given_another_size_and_the_ledger_sees_what_it_leaves_open(exchange: Exchange) -> None:
    exchange.submit("a", 1, ENTRY)
    exchange.submit("a", 1, STOP)
    assert isinstance(exchange.amend("a", 1, "stop", Decimal(96), Decimal(1)), Accepted)
    assert isinstance(exchange.amend("a", 1, "stop", Decimal(96), Decimal("0.001")), Refused)
    close(exchange, 1, FLAT)
    spans = unprotected_spans(map(plain, exchange.records), exchange.at)
    assert [span.end for span in spans] == [NOON, None]
    close(exchange, 2, bar("100", "100", "95", "95"))
    assert exchange.account("a").held(SOL) == 1


def test_an_order_can_vanish_without_a_word(exchange: Exchange) -> None:
    exchange.submit("a", 1, ENTRY)
    exchange.submit("a", 1, STOP)
    told = len(exchange.updates("a", 0))
    assert exchange.vanish("a", "stop")
    assert not exchange.vanish("a", "stop")
    assert len(exchange.updates("a", 0)) == told
    assert exchange.account("a").orders["stop"].status is Status.CANCELED
    assert exchange.records[-1]["kind"] == "cancel"


@pytest.mark.parametrize("reason", ["liquidation", "adl"])
def test_the_venue_can_take_a_position_over(exchange: Exchange, reason: str) -> None:
    exchange.submit("a", 1, ENTRY)
    exchange.submit("a", 1, STOP)
    assert exchange.take_over("a", SOL, reason)
    assert not exchange.take_over("a", SOL, reason)
    taken = next(u for u in exchange.updates("a", 0) if u.kind == "liquidation")
    assert (taken.reason, taken.quantity) == (reason, Decimal(2))
    assert exchange.open_orders("a") == []


def test_a_transfer_moves_the_wallet_and_is_told(exchange: Exchange) -> None:
    assert exchange.transfer("a", Decimal(-500)) == 9_500
    update = exchange.updates("a", 0)[-1]
    assert (update.kind, update.wallet, update.change) == ("balance", Decimal(9_500), Decimal(-500))


def test_other_settings_hold_from_the_next_fill_on(exchange: Exchange) -> None:
    exchange.configure(
        ExchangeSettings(slippage_ticks=0, slippage_bps=Decimal(0), volume_share=Decimal("0.00001"))
    )
    exchange.submit("a", 1, ENTRY)
    assert exchange.account("a").held(SOL) == 1
