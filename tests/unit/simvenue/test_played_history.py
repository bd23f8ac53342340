"""What the venue's REST side knows: the past up to the market's present moment, and not a bar more."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from nexus_common.contracts.values import Side, Symbol, Timeframe, Venue
from nexus_market.candles import Ohlcv, series_of
from nexus_market.instruments import DEFAULT_INSTRUMENTS
from nexus_simvenue.market.happenings import Kline, Print
from nexus_simvenue.market.history import NEWEST_KEPT, PlayedHistory

BTC = Symbol("BTCUSDT")
SLOT = 60_000
COUNT = 40
BAR = Ohlcv(*map(Decimal, ("1.5", "2.0", "1.25", "1.75", "8.0")))
SERIES = series_of(Timeframe.M1, [number * SLOT for number in range(COUNT)], [BAR] * COUNT)


def history(now: int) -> PlayedHistory:
    funding = {BTC: [(SLOT, Decimal("0.0001")), (5 * SLOT, Decimal("-0.0002"))]}
    listed = DEFAULT_INSTRUMENTS[Venue.BINANCE]
    return PlayedHistory(lambda: now, lambda: listed, {(BTC, Timeframe.M1): SERIES}, funding)


@given(st.integers(0, 45 * SLOT), st.integers(-SLOT, 45 * SLOT), st.integers(-SLOT, 45 * SLOT))
def test_bars_are_those_that_have_closed_by_now_and_open_inside_the_span(
    now: int, first: int, last: int
) -> None:
    times = [bar.open_time for bar in history(now).bars(BTC, Timeframe.M1, first, last)]
    opened = [number * SLOT for number in range(COUNT)]
    assert times == [time for time in opened if first <= time <= last and time + SLOT <= now]


def test_what_is_not_served_has_no_bars() -> None:
    assert history(SLOT).bars(BTC, Timeframe.H4, 0, 10**13) == ()
    assert [each.symbol for each in history(0).instruments()] == [BTC]


def test_the_open_candle_is_as_it_was_last_told_until_it_closes() -> None:
    known = history(0)
    assert known.open_bar(BTC, Timeframe.M1) is None
    known.note(BTC, Kline(Timeframe.M1, 0, "1", "3", "1", "2", "5", 1, False, 10))
    bar = known.open_bar(BTC, Timeframe.M1)
    assert bar is not None
    assert bar.high == Decimal(3)
    known.note(BTC, Kline(Timeframe.M1, 0, "1", "3", "1", "2", "5", 1, True, SLOT))
    assert known.open_bar(BTC, Timeframe.M1) is None


def test_the_newest_prints_are_kept_in_bounds() -> None:
    known = history(0)
    for number in range(NEWEST_KEPT + 5):
        known.note(BTC, Print("1", "1", Side.BUY, number, number))
    newest = known.newest(BTC, 3)
    assert [each.at for each in newest] == [NEWEST_KEPT + 2, NEWEST_KEPT + 3, NEWEST_KEPT + 4]
    assert len(known.newest(BTC, 10**6)) == NEWEST_KEPT


def test_settlements_of_the_future_are_not_known() -> None:
    assert history(2 * SLOT).funding(BTC, 0, 10**13) == [(SLOT, "0.0001")]
    assert len(history(9 * SLOT).funding(BTC, 0, 10**13)) == 2


def test_an_instrument_that_vanished_trades_no_more_and_stays_listed() -> None:
    known = history(0)
    known.vanish(BTC)
    assert not known.is_trading(BTC)
    assert [each.symbol for each in known.instruments()] == [BTC]
