"""The equity curve of a run: wallets, and what is open at the last closes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from nexus_common.contracts.account import AccountOpened, BalanceChanged
from nexus_common.contracts.market import Candle, CandlesClosed
from nexus_common.contracts.trade import TradeEntered, TradeReduced
from nexus_common.contracts.values import AccountId, Direction, Symbol, Timeframe, TradeId, UserId, Venue
from nexus_ops.equity import EquityCurve

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
ACCOUNT, BTC, TRADE = AccountId("anna.binance.paper"), Symbol("BTCUSDT"), TradeId("t1")


def opened() -> EquityCurve:
    curve = EquityCurve()
    curve.take(
        AccountOpened(
            account=ACCOUNT,
            user=UserId("anna"),
            venue=Venue.BINANCE,
            paper=True,
            currency="USDT",
            wallet=Decimal(1_000),
        )
    )
    return curve


def entered(quantity: str) -> TradeEntered:
    return TradeEntered(
        trade_id=TRADE,
        account=ACCOUNT,
        venue=Venue.BINANCE,
        symbol=BTC,
        direction=Direction.SHORT,
        strategy="trend",
        quantity=Decimal(quantity),
        average_price=Decimal(100),
        margin=Decimal(10),
        complete=True,
    )


def closed(price: str) -> CandlesClosed:
    one = Decimal(price)
    candle = Candle(BTC, Timeframe.M1, one, one, one, one, Decimal(1))
    return CandlesClosed(venue=Venue.BINANCE, partition=0, at=NOON, candles=(candle,))


def test_a_short_gains_when_its_price_falls_and_counts_what_is_left_of_it() -> None:
    curve = opened()
    curve.take(entered("2"))
    curve.take(closed("90"))
    assert curve.equity() == 1_020
    curve.take(TradeReduced(trade_id=TRADE, leg="first_target", quantity=Decimal(1), price=Decimal(90)))
    assert curve.equity() == 1_010


def test_more_of_an_entry_does_not_bring_back_what_was_closed_of_it() -> None:
    curve = opened()
    curve.take(entered("2"))
    curve.take(TradeReduced(trade_id=TRADE, leg="stop", quantity=Decimal(1), price=Decimal(90)))
    curve.take(entered("3"))
    curve.take(closed("90"))
    assert curve.equity() == 1_020


def test_readings_are_taken_when_a_wallet_changed_at_full_hours_and_at_the_end() -> None:
    curve = opened()
    curve.end_of_step(NOON + timedelta(minutes=1))
    curve.end_of_step(NOON + timedelta(minutes=2))
    curve.take(BalanceChanged(account=ACCOUNT, wallet=Decimal(990), change=Decimal(-10), reason="fee"))
    curve.end_of_step(NOON + timedelta(minutes=3))
    curve.end_of_step(NOON + timedelta(minutes=60))
    curve.close(NOON + timedelta(minutes=75))
    assert [(reading.at.minute, reading.equity) for reading in curve.readings] == [
        (1, 1_000),
        (3, 990),
        (0, 990),
        (15, 990),
    ]
