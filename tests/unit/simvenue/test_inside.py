"""The inside of a bar: every price of it is reached and none beyond, volumes add up, candles agree."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nexus_common.contracts.values import Timeframe, format_decimal
from nexus_market.candles import Ohlcv, fold, series_of, slot_millis, spell
from nexus_simvenue.market.happenings import Kline
from nexus_simvenue.market.inside import (
    Forming,
    klines_of,
    mark_of,
    print_of,
    top_of,
    touches_of,
)

M1 = slot_millis(Timeframe.M1)
BEGIN = 1_700_000_400_000 // (4 * 3_600_000) * 4 * 3_600_000
prices = st.floats(1e-7, 1e6).map(lambda price: spell(float(f"{price:.9g}")))
volumes = st.one_of(st.just(Decimal("0.0")), st.floats(1e-8, 1e9).map(spell), st.integers(1, 9).map(Decimal))


@st.composite
def bars(draw: st.DrawFn) -> Ohlcv:
    corners = [draw(prices) for _ in range(4)]
    return Ohlcv(corners[0], max(corners), min(corners), corners[3], draw(volumes))


@given(bars(), st.integers(1, 90))
def test_touches_walk_from_the_open_over_both_extremes_to_the_close(bar: Ohlcv, count: int) -> None:
    touches = touches_of(bar, BEGIN, M1, count)
    walked = [touch.price for touch in touches]
    assert len(touches) == max(count, 4)
    assert (walked[0], walked[-1]) == (bar.open, bar.close)
    assert (max(walked), min(walked)) == (bar.high, bar.low)
    near = bar.high if bar.high - bar.open <= bar.open - bar.low else bar.low
    far = bar.low if near == bar.high else bar.high
    assert walked.index(near) <= len(walked) - 1 - walked[::-1].index(far)
    times = [touch.at for touch in touches]
    assert times == sorted(set(times))
    assert BEGIN == times[0] <= times[-1] < BEGIN + M1


@given(bars(), st.integers(4, 90))
def test_quantities_add_up_to_the_volume_and_none_is_zero_where_there_is_any(bar: Ohlcv, count: int) -> None:
    quantities = [touch.quantity for touch in touches_of(bar, BEGIN, M1, count)]
    assert sum(quantities, Decimal(0)) == bar.volume
    assert all(quantities) if bar.volume else not any(quantities)


@given(st.lists(bars(), min_size=1, max_size=12))
def test_candles_on_the_way_stay_inside_what_they_become(some: list[Ohlcv]) -> None:
    times = [BEGIN + number * M1 for number in range(len(some))]
    base = series_of(Timeframe.M1, times, some)
    for timeframe in (Timeframe.M1, Timeframe.M5, Timeframe.H1):
        forming, last = Forming(timeframe), {}
        for time, row in zip(times, some, strict=True):
            for touch in touches_of(row, time, M1, 4):
                forming.add(touch)
                last[forming.open_time] = forming.kline(touch.at)
        folded = fold(base, timeframe, times[-1] + slot_millis(timeframe) * 2)
        for open_time, bar in zip(folded.open_time.tolist(), folded.bars(0, len(folded)), strict=True):
            as_it_stood = [Decimal(text) for text in last[open_time][2:7]]
            assert as_it_stood[:4] == list(bar[:4])
            assert spell(float(as_it_stood[4])) == bar.volume


@given(bars())
def test_a_candle_begun_with_whole_bars_is_the_one_begun_with_their_touches(bar: Ohlcv) -> None:
    whole, by_touches = Forming(Timeframe.M5), Forming(Timeframe.M5)
    whole.take(BEGIN, bar)
    for touch in touches_of(bar, BEGIN, M1, 7):
        by_touches.add(touch)
    assert [*map(Decimal, whole.kline(0)[2:7])] == [*map(Decimal, by_touches.kline(0)[2:7])]


@given(bars())
def test_the_book_stands_around_the_touch_and_is_never_crossed(bar: Ohlcv) -> None:
    for number, touch in enumerate(touches_of(bar, BEGIN, M1, 5)):
        top = top_of(touch, number)
        assert 0 < Decimal(top.bid) < Decimal(top.ask)
        assert format_decimal(touch.price) in (top.bid, top.ask)
        assert Decimal(print_of(touch, number).price) == touch.price
        assert mark_of(touch, "0.0001").next_funding % 28_800_000 == 0


def test_a_series_is_seen_twice_before_each_close_and_once_behind_the_last() -> None:
    bar = Ohlcv(*map(Decimal, ("1.5", "2.0", "1.25", "1.75", "8.0")))
    price = Decimal("0.00001")
    quiet = Ohlcv(price, price, price, price, Decimal("0.0"))
    seen = [*klines_of(series_of(Timeframe.M5, [BEGIN, BEGIN + 300_000], [bar, quiet]))]
    opened, stretched, closed, *of_quiet, behind = seen
    assert opened == Kline(
        *(Timeframe.M5, BEGIN, "1.5", "1.5", "1.5", "1.5", "2.0", 1, False, BEGIN + 75_000)
    )
    assert stretched[3:7] == ("2.0", "1.25", "1.25", "4.0")
    assert closed == Kline(
        *(Timeframe.M5, BEGIN, "1.5", "2.0", "1.25", "1.75", "8.0", 4, True, BEGIN + 300_000)
    )
    assert [kline.closed for kline in of_quiet] == [False, False, True]
    assert of_quiet[-1].close == "0.00001"
    assert (behind.open_time, behind.closed) == (BEGIN + 600_000, False)


@given(st.lists(st.floats(1e-9, 1e12), min_size=1, max_size=40))
def test_figures_of_a_series_read_back_as_the_same_floats(figures: list[float]) -> None:
    bar = [Ohlcv(*(spell(figure),) * 5) for figure in figures]
    times = [BEGIN + number * M1 for number in range(len(bar))]
    closed = [k for k in klines_of(series_of(Timeframe.M1, times, bar)) if k.closed]
    assert np.array_equal([float(kline.volume) for kline in closed], figures)
    assert not any("e" in kline.close for kline in closed)
