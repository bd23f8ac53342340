"""Minutes folded one by one are the candles that the whole series folds to."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from nexus_common.contracts.market import Bar
from nexus_common.contracts.values import Symbol, Timeframe, Venue
from nexus_ingest.domain.folds import FoldCheck, Folds, same_candle
from nexus_market.candles import Ohlcv, fold, series_of, slot_millis, spell

MINUTE = 60_000
START = 1_748_822_400_000  # on the 4h grid
HIGHER = (Timeframe.M5, Timeframe.M15, Timeframe.H1, Timeframe.H4)
BTC = Symbol("BTCUSDT")


def bar(minute: int, price: float = 100.0, volume: float = 1.5) -> Bar:
    figures = (price, price * 1.01, price * 0.99, price * 1.005, volume)
    return Bar(START + minute * MINUTE, *(spell(round(figure, 6)) for figure in figures))


@st.composite
def minutes(draw: st.DrawFn) -> list[Bar]:
    """Up to ten hours of minutes, some of which were never traded."""
    first = draw(st.integers(0, 300))
    count = draw(st.integers(1, 300))
    untraded = draw(st.sets(st.integers(first, first + count)))
    prices = st.floats(0.5, 2_000, allow_nan=False)
    return [
        bar(minute, draw(prices), draw(st.floats(0, 1e6)))
        for minute in range(first, first + count)
        if minute not in untraded
    ]


def as_folded(bars: list[Bar], first: int, until: int) -> Iterator[tuple[Timeframe, Bar]]:
    """What the whole series folds to, but for slots begun before `first`."""
    if not bars:
        return
    base = series_of(Timeframe.M1, [each.open_time for each in bars], [Ohlcv(*each[1:]) for each in bars])
    for timeframe in HIGHER:
        whole = fold(base, timeframe, until)
        for row in range(len(whole)):
            open_time = whole.open_time.item(row)
            if open_time >= first:
                yield timeframe, Bar(open_time, *whole.bar(row))


@given(minutes(), st.integers(0, 300))
def test_minutes_folded_one_by_one_equal_the_series_folded_whole(bars: list[Bar], rest: int) -> None:
    first = bars[0].open_time if bars else START
    until = (bars[-1].open_time if bars else START) + MINUTE + rest * MINUTE
    folds = Folds(HIGHER)
    folds.begin(first)
    told = [each for bar in bars for each in folds.add(bar)] + folds.pass_time(until)
    assert sorted(told, key=str) == sorted(as_folded(bars, first, until), key=str)
    ends = [each.open_time + slot_millis(timeframe) for timeframe, each in told]
    assert ends == sorted(ends)


def test_a_slot_begun_before_the_watch_is_not_folded_unless_remembered() -> None:
    late, told_of = Folds((Timeframe.M5,)), Folds((Timeframe.M5,))
    for folds in (late, told_of):
        folds.begin(START + 3 * MINUTE)
    told_of.remember(START, [bar(minute) for minute in range(3)])
    assert late.add(bar(3)) + late.add(bar(4)) == []
    told_of.add(bar(3))
    ((timeframe, folded),) = told_of.add(bar(4))
    assert (timeframe, folded.open_time, folded.volume) == (Timeframe.M5, START, Decimal("7.5"))


def test_a_candle_ends_by_time() -> None:
    folds = Folds((Timeframe.M5,))
    folds.begin(START)
    folds.add(bar(1))
    assert folds.pass_time(START + 4 * MINUTE) == []
    assert [timeframe for timeframe, _ in folds.pass_time(START + 5 * MINUTE)] == [Timeframe.M5]
    assert folds.pass_time(START + 5 * MINUTE) == []


def test_memory_stays_flat_and_what_is_folded_whole() -> None:
    folds = Folds(HIGHER)
    folds.begin(START)
    told = [each for minute in range(3_000) for each in folds.add(bar(minute))]
    assert len(folds._minutes) <= 700
    hours = [each for timeframe, each in told if timeframe is Timeframe.H4]
    assert [each.volume for each in hours] == [Decimal("360.0")] * 12


def test_a_minute_that_changes_changes_the_ended_slots_it_is_in() -> None:
    folds = Folds(HIGHER)
    folds.begin(START)
    for minute in range(17):
        folds.add(bar(minute))
    changed = folds.correct(bar(2, 200.0))
    assert [(timeframe, each.high) for timeframe, each in changed] == [
        (Timeframe.M5, Decimal("202.0")),
        (Timeframe.M15, Decimal("202.0")),
    ]
    assert folds.correct(bar(16, 200.0)) == []
    assert folds.correct(bar(99)) == []


def test_prices_have_to_be_equal_and_volumes_to_a_billionth() -> None:
    one = bar(0, volume=1_000.0)
    assert same_candle(one, one._replace(volume=Decimal("1000.000001")))
    assert not same_candle(one, one._replace(volume=Decimal("1000.00001")))
    assert not same_candle(one, one._replace(high=one.high + Decimal("0.000001")))


def test_a_difference_is_told_whichever_side_comes_first() -> None:
    for order in (("fold", "tell"), ("tell", "fold")):
        check = FoldCheck(Venue.BINANCE, BTC)
        sides = {"fold": bar(0), "tell": bar(0, volume=9.0)}
        first, second = (getattr(check, side)(Timeframe.M5, sides[side]) for side in order)
        assert first is None
        assert (second.folded, second.told) == (bar(0), bar(0, volume=9.0))
        assert check.fold(Timeframe.M5, bar(5)) is None
        assert check.tell(Timeframe.M5, bar(5)) is None
