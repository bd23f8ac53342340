"""The recorded crashes of May 2021 and October 2025, where the data set lies beside the checkout."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from nexus_common.contracts.values import Symbol, Timeframe, Venue
from nexus_data.recorded_market import RecordedMarket
from nexus_market.candles import CandleFolder

DATA = Path(__file__).parents[4] / "shared" / "data"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="no recorded market beside the checkout")


def symbols(names: str) -> list[Symbol]:
    return [Symbol(name) for name in names.split()]


def day(year: int, month: int, number: int) -> datetime:
    return datetime(year, month, number, tzinfo=UTC)


def test_three_days_of_may_2021_play_minute_by_minute() -> None:
    names = symbols("BTCUSDT ETHUSDT ADAUSDT DOGEUSDT XRPUSDT LTCUSDT LINKUSDT DOTUSDT")
    market = RecordedMarket(DATA, names, day(2021, 5, 17), day(2021, 5, 20))
    steps = list(market.steps())
    assert len(steps) == 4_320
    assert sum(len(step.bars) for step in steps) == 8 * 4_320
    assert sum("stands in for the perpetual" in note for note in market.notes) == 8
    assert [step.at for step in steps if step.macro] == [day(2021, 5, 18), day(2021, 5, 19), day(2021, 5, 20)]
    folder = CandleFolder({symbol: market.base_of(symbol) for symbol in names})
    for step in steps:
        assert str(folder.close(step.at, step.bars)) == str(step.closed[0].candles)


def test_the_hole_of_april_2021_is_told_for_each_symbol() -> None:
    names = symbols("BTCUSDT LTCUSDT")
    market = RecordedMarket(DATA, names, day(2021, 4, 24), day(2021, 4, 26))
    gaps = [gap for step in market.steps() for gap in step.gaps]
    assert [(gap.symbol, (gap.last - gap.first).seconds // 60 + 1) for gap in gaps] == [
        ("BTCUSDT", 284),
        ("LTCUSDT", 283),
    ]


def test_the_crash_of_october_2025_plays_on_perpetuals_with_funding() -> None:
    names = symbols("BTCUSDT ETHUSDT SOLUSDT DOGEUSDT 1000PEPEUSDT")
    market = RecordedMarket(DATA, names, day(2025, 10, 10), day(2025, 10, 12))
    assert {market.base_of(symbol) for symbol in names} == {Timeframe.M5}
    assert set(market.sources.values()) == {f"ohlcv/binance_um/{name}-5m.parquet" for name in names}
    funded = [(step.at.hour, set(step.funding)) for step in market.steps() if step.funding]
    assert [hour for hour, _ in funded] == [8, 16, 0, 8, 16, 0]
    assert all(coins == {"BTCUSDT", "ETHUSDT", "SOLUSDT", "DOGEUSDT"} for _, coins in funded)


def test_the_perpetuals_of_another_venue_play_when_asked_for() -> None:
    market = RecordedMarket(DATA, symbols("BTCUSDT"), day(2025, 10, 10), day(2025, 10, 11), "bybit")
    assert market.venue_of(Symbol("BTCUSDT")) is Venue.BYBIT


def test_stocks_play_through_nights_and_holidays() -> None:
    names = symbols("SPY AAPL")
    market = RecordedMarket(DATA, names, day(2025, 11, 26), day(2025, 12, 2))
    steps = list(market.steps())
    assert not any(step.gaps for step in steps)
    # The 4h candle of the evening ends by time, hours after the last trade.
    assert any(step.at == day(2025, 11, 27) and not step.bars for step in steps)
    assert all(candle.volume >= Decimal(0) for step in steps for c in step.closed for candle in c.candles)
