"""The bars that the executor goes by, as live venues tell them: in pieces, late, again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from nexus_common.contracts.market import Candle, CandlesClosed
from nexus_common.contracts.values import Symbol, Timeframe, Venue
from nexus_executor.domain.bars import Bars

BTC, ETH = Symbol("BTCUSDT"), Symbol("ETHUSDT")
NOON = datetime(2025, 6, 2, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOME = Venue.BINANCE


def closed(
    at: datetime, symbol: Symbol, close: int = 100, *timeframes: Timeframe, late: bool = False
) -> CandlesClosed:
    prices = (Decimal(100), Decimal(110), Decimal(90), Decimal(close), Decimal(1))
    candles = tuple(Candle(symbol, each, *prices) for each in timeframes or (Timeframe.M1,))
    return CandlesClosed(venue=HOME, partition=0, at=at, candles=candles, late=late)


def test_a_bar_is_news_in_every_turn_of_the_step_that_brought_it_and_in_no_other() -> None:
    bars = Bars()
    bars.take(closed(NOON, BTC, 101, Timeframe.M5, Timeframe.M1))
    bars.begin(NOON)
    first = bars.closed_now(HOME, BTC)
    assert first is not None
    assert (first.candle.timeframe, first.opened) == (Timeframe.M1, NOON - MINUTE)
    bars.begin(NOON)
    assert bars.closed_now(HOME, BTC) == first
    bars.begin(NOON + timedelta(seconds=1))
    assert bars.closed_now(HOME, BTC) is None


def test_a_slow_instruments_bar_is_news_when_it_comes() -> None:
    bars = Bars()
    bars.take(closed(NOON, BTC))
    bars.begin(NOON)
    bars.take(closed(NOON, ETH, 102))
    bars.begin(NOON + timedelta(seconds=2))
    news = bars.closed_now(HOME, ETH)
    assert news is not None
    assert news.candle.close == 102
    assert bars.closed_now(HOME, BTC) is None


def test_bars_of_a_repair_and_old_ones_are_no_news_but_prices() -> None:
    bars = Bars()
    bars.take(closed(NOON - MINUTE, BTC, 95))
    bars.take(closed(NOON, ETH, 96, late=True))
    bars.begin(NOON)
    assert bars.closed_now(HOME, BTC) is None
    assert bars.closed_now(HOME, ETH) is None
    assert bars.price(HOME, ETH, NOON, MINUTE) == 96


def test_the_price_of_an_instrument_is_not_lost_by_an_event_about_another() -> None:
    bars = Bars()
    bars.take(closed(NOON, BTC, 101))
    bars.take(closed(NOON, ETH, 102))
    bars.take(closed(NOON - MINUTE, BTC, 90, late=True))
    assert bars.price(HOME, BTC, NOON + timedelta(seconds=5), timedelta(seconds=10)) == 101
    assert bars.price(HOME, BTC, NOON + timedelta(seconds=11), timedelta(seconds=10)) is None


def test_ranges_are_those_of_the_last_quarters_each_once() -> None:
    bars = Bars()
    quarter = 15 * MINUTE
    for number in range(3):
        bars.take(closed(NOON + number * quarter, BTC, 100, Timeframe.M15))
    bars.take(closed(NOON + quarter, BTC, 100, Timeframe.M15, late=True))
    assert bars.mean_true_range(HOME, BTC, 14) == 20
    assert bars.mean_true_range(HOME, ETH, 14) is None
