"""The exchange's ledger is the judge of protection: every moment without a stop is found."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from nexus_common.contracts.order import OrderKind
from nexus_common.contracts.values import Side, Venue
from nexus_market.exchange import (
    Exchange,
    ExchangeSettings,
    Ohlcv,
    Ticket,
    duplicate_orders,
    plain,
    totals,
    unprotected_spans,
)
from nexus_market.instruments import DEFAULT_INSTRUMENTS

NOON = datetime(2025, 6, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
SOL = "SOLUSDT"
FLAT = Ohlcv(*map(Decimal, ("100", "100", "100", "100", "100000")))
CRASH = Ohlcv(*map(Decimal, ("100", "100", "90", "91", "100000")))
CALM = ExchangeSettings(slippage_bps=Decimal(0), slippage_ticks=0)


def an_exchange() -> Exchange:
    exchange = Exchange(DEFAULT_INSTRUMENTS[Venue.BINANCE], CALM)
    exchange.open_account("a", 1, "USDT", Decimal(10_000))
    exchange.step(NOON, {SOL: FLAT}, {SOL: FLAT})
    send(exchange, "in", Side.BUY, OrderKind.MARKET)
    return exchange


def send(
    exchange: Exchange, name: str, side: Side, kind: OrderKind, quantity: str = "1", **fields: Any
) -> None:
    exchange.submit("a", 1, Ticket(name, SOL, side, kind, Decimal(quantity), **fields))


def stamped(exchange: Exchange) -> list[dict[str, Any]]:
    """Records as a server writes them: plain, one second apart on the wall."""
    return [
        {**plain(record), "wall": (NOON + timedelta(seconds=record["n"])).isoformat()}
        for record in exchange.records
    ]


def test_a_position_is_unprotected_from_its_fill_until_its_stop_is_accepted() -> None:
    exchange = an_exchange()
    send(exchange, "s", Side.SELL, OrderKind.STOP, trigger_price=Decimal(95), reduce_only=True)
    exchange.step(NOON + MINUTE, {SOL: CRASH})
    [span] = unprotected_spans(stamped(exchange))
    assert (span.account, span.symbol, span.start, span.end, span.wall_seconds) == ("a", SOL, NOON, NOON, 1.0)
    assert unprotected_spans(exchange.records)[0].wall_seconds is None  # nobody looked at the wall


def test_a_stop_that_does_not_cover_or_does_not_reduce_protects_nothing() -> None:
    exchange = an_exchange()
    send(exchange, "small", Side.SELL, OrderKind.STOP, "0.5", trigger_price=Decimal(95), reduce_only=True)
    send(exchange, "plain", Side.SELL, OrderKind.STOP, "1", trigger_price=Decimal(95))
    [span] = unprotected_spans(stamped(exchange))
    assert (span.end, span.wall_seconds) == (None, None)
    [span] = unprotected_spans(stamped(exchange), until=NOON + timedelta(hours=1))
    assert span.wall_seconds is not None
    assert 3_500 < span.wall_seconds < 3_600
    send(exchange, "rest", Side.SELL, OrderKind.STOP, "0.5", trigger_price=Decimal(94), reduce_only=True)
    [span] = unprotected_spans(stamped(exchange))
    assert span.end == NOON


def test_canceling_the_stop_bares_the_position_until_it_is_closed() -> None:
    exchange = an_exchange()
    send(exchange, "s", Side.SELL, OrderKind.STOP, trigger_price=Decimal(95), close_position=True)
    exchange.step(NOON + MINUTE, {SOL: FLAT}, {SOL: FLAT})
    exchange.cancel("a", 1, "s")
    exchange.step(NOON + 2 * MINUTE, {SOL: FLAT}, {SOL: FLAT})
    send(exchange, "out", Side.SELL, OrderKind.MARKET, reduce_only=True)
    _entry, bare = unprotected_spans(stamped(exchange))
    assert (bare.start, bare.end) == (NOON + MINUTE, NOON + 2 * MINUTE)


def test_totals_are_what_the_account_says() -> None:
    exchange = an_exchange()
    send(exchange, "s", Side.SELL, OrderKind.STOP, trigger_price=Decimal(95), reduce_only=True)
    send(exchange, "s", Side.SELL, OrderKind.STOP, trigger_price=Decimal(95), reduce_only=True)
    exchange.step(NOON + MINUTE, {SOL: FLAT}, funding={SOL: Decimal("0.001")})
    exchange.step(NOON + 2 * MINUTE, {SOL: CRASH})
    sums, wallets = totals(stamped(exchange))
    total, account = sums["a", SOL], exchange.account("a")
    assert (total.orders, total.fills) == (2, 2)
    assert total.quantity == 2
    assert total.held == 0
    assert (total.realised, total.fees, total.funding) == (account.realised, account.fees, account.funding)
    assert wallets == {"a": account.wallet}
    assert duplicate_orders(stamped(exchange)) == []
    assert [r["kind"] for r in exchange.records].count("resubmission") == 1
