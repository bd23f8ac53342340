"""Coarser candles are the same bits whether they are folded bar by bar or all at once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nexus_common.contracts.market import Candle
from nexus_common.contracts.values import Symbol, Timeframe
from nexus_market.candles import (
    CandleFolder,
    Ohlcv,
    Series,
    fold,
    from_millis,
    series_of,
    slot_millis,
    spell,
    timeframes_from,
    to_millis,
)

BTC, ETH = Symbol("BTCUSDT"), Symbol("ETHUSDT")
MIDNIGHT = datetime(2021, 5, 17, tzinfo=UTC)
ZERO = to_millis(MIDNIGHT)


def bar(price: str, volume: str = "1.0") -> Ohlcv:
    return Ohlcv(*(Decimal(price),) * 4, Decimal(volume))


def minutes(count: int) -> timedelta:
    return timedelta(minutes=count)


def close_all(
    folder: CandleFolder, closes: list[tuple[int, dict[Symbol, Ohlcv]]]
) -> list[tuple[int, Candle]]:
    """Feed bars by closing time (ms) and stop at each due instant on the way, as a clock would."""
    found: list[tuple[int, Candle]] = []
    for at, bars in closes:
        while (due := folder.due()) is not None and to_millis(due) < at:
            found += [(to_millis(due), candle) for candle in folder.close(due, {})]
        found += [(at, candle) for candle in folder.close(from_millis(at), bars)]
    return found


def test_a_candle_is_made_of_its_base_bars() -> None:
    folder = CandleFolder({BTC: Timeframe.M1})
    bars = [bar("10.0", "0.1"), bar("14.0", "0.2"), bar("7.0", "0.3"), bar("9.0", "0.4"), bar("11.0", "0.5")]
    for index, one in enumerate(bars[:-1], start=1):
        assert folder.close(MIDNIGHT + minutes(index), {BTC: one}) == (Candle(BTC, Timeframe.M1, *one),)
    assert folder.close(MIDNIGHT + minutes(5), {BTC: bars[-1]}) == (
        Candle(BTC, Timeframe.M1, *bars[-1]),
        Candle(BTC, Timeframe.M5, *map(Decimal, ("10.0", "14.0", "7.0", "11.0", "1.5"))),
    )


def test_candles_come_by_symbol_as_given_and_then_by_rising_timeframe() -> None:
    folder = CandleFolder({ETH: Timeframe.M5, BTC: Timeframe.M1})
    closes = [
        (ZERO + 60_000 * minute, {BTC: bar("2.0")} | ({ETH: bar("1.0")} if minute % 5 == 0 else {}))
        for minute in range(1, 16)
    ]
    last = [candle for at, candle in close_all(folder, closes) if at == ZERO + 15 * 60_000]
    assert [(candle.symbol, candle.timeframe.value) for candle in last] == [
        (ETH, "5m"),
        (ETH, "15m"),
        (BTC, "1m"),
        (BTC, "5m"),
        (BTC, "15m"),
    ]


def test_a_candle_ends_by_time_even_if_its_last_bar_is_missing() -> None:
    folder = CandleFolder({BTC: Timeframe.M1})
    folder.close(MIDNIGHT + minutes(1), {BTC: bar("10.0")})
    assert folder.due() == MIDNIGHT + minutes(5)
    assert [candle.timeframe for candle in folder.close(MIDNIGHT + minutes(5), {})] == [Timeframe.M5]


def test_a_bucket_without_a_bar_gives_no_candle() -> None:
    folder = CandleFolder({BTC: Timeframe.M1, ETH: Timeframe.M1})
    for minute in range(1, 6):
        candles = folder.close(MIDNIGHT + minutes(minute), {BTC: bar("1.0")})
    assert {candle.symbol for candle in candles} == {BTC}


def test_running_past_an_open_candle_is_refused_not_glossed_over() -> None:
    folder = CandleFolder({BTC: Timeframe.M1})
    folder.close(MIDNIGHT + minutes(1), {BTC: bar("10.0")})
    with pytest.raises(ValueError, match="5m candle of BTCUSDT ended at 2021-05-17T00:05:00"):
        folder.close(MIDNIGHT + minutes(6), {BTC: bar("10.0")})


def test_bars_of_strangers_and_off_grid_times_are_refused() -> None:
    folder = CandleFolder({BTC: Timeframe.M5})
    with pytest.raises(ValueError, match="ETHUSDT"):
        folder.close(MIDNIGHT + minutes(5), {ETH: bar("1.0")})
    with pytest.raises(ValueError, match="no 5m bar of BTCUSDT can close"):
        folder.close(MIDNIGHT + minutes(6), {BTC: bar("1.0")})


def test_an_unfinished_bucket_is_not_folded() -> None:
    series = series_of(Timeframe.M1, [ZERO, ZERO + 60_000], [bar("1.0"), bar("2.0")])
    assert len(fold(series, Timeframe.M5, ZERO + 299_999)) == 0
    assert len(fold(series, Timeframe.M5, ZERO + 300_000)) == 1


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_one_number_has_one_spelling(value: float) -> None:
    assert float(spell(value)) == value
    assert str(spell(float(spell(value)))) == str(spell(value))


prices = st.one_of(
    st.integers(1, 10**8).map(lambda ticks: ticks / 100),
    st.floats(1e-8, 1e8),
)
volumes = st.one_of(
    st.just(0.0),
    st.integers(0, 10**12).map(lambda steps: steps / 1000),
    st.integers(0, 10**8).map(float),
    st.floats(0, 1e17),
    st.sampled_from([0.1, 0.2, 0.30000000000000004, 9007199254740993.0, 1e-9, 123456789.12345678]),
)


@st.composite
def base_series(draw: st.DrawFn) -> Series:
    """Up to two hundred bars with holes, beginning anywhere on the grid."""
    base = draw(st.sampled_from([Timeframe.M1, Timeframe.M5]))
    first = draw(st.integers(0, 10_000))
    steps = draw(st.lists(st.sampled_from([1, 1, 1, 1, 2, 7, 300]), min_size=1, max_size=200))
    slots = np.cumsum([first, *steps[1:]])
    bars = []
    for _ in steps:
        open_, close = draw(prices), draw(prices)
        high = max(open_, close, draw(prices))
        low = min(open_, close, draw(prices))
        bars.append(Ohlcv(*map(spell, (open_, high, low, close, draw(volumes)))))
    return series_of(base, [int(slot) * slot_millis(base) for slot in slots], bars)


@settings(max_examples=60, deadline=None)
@given(base_series())
def test_folding_bar_by_bar_and_all_at_once_give_the_same_bits(series: Series) -> None:
    slot = slot_millis(series.timeframe)
    until = int(series.open_time[-1]) + slot
    closes = [
        (open_time + slot, {BTC: one})
        for open_time, one in zip(series.open_time.tolist(), series.bars(0, len(series)), strict=True)
    ]
    by_bar = close_all(CandleFolder({BTC: series.timeframe}), closes)

    at_once: list[tuple[int, Candle]] = []
    for timeframe in timeframes_from(series.timeframe):
        folded = fold(series, timeframe, until)
        at_once += [
            (int(closed), Candle(BTC, timeframe, *one))
            for closed, one in zip(folded.close_time, folded.bars(0, len(folded)), strict=True)
        ]
    at_once.sort(key=lambda pair: (pair[0], pair[1].timeframe.seconds))
    assert [str(pair) for pair in by_bar] == [str(pair) for pair in at_once]
