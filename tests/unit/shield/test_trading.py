"""What live venues say about an instrument that keeps entries back."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from nexus_common.contracts.feed import StreamHeard, StreamSilent
from nexus_common.contracts.market import SessionScheduled, TradingHalted, TradingResumed
from nexus_common.contracts.values import Symbol, Venue
from nexus_shield.domain.trading import Trading

SPY, QQQ = Symbol("SPY"), Symbol("QQQ")
HOME = Venue.ALPACA
OPENS = datetime(2025, 6, 2, 13, 30, tzinfo=UTC)
CLOSES = datetime(2025, 6, 2, 20, tzinfo=UTC)
DURING = OPENS + timedelta(hours=1)


def session(day: date, opens: datetime | None = OPENS, closes: datetime | None = CLOSES) -> SessionScheduled:
    return SessionScheduled(
        venue=HOME, day=day, opens=opens, closes=closes, is_early_close=False, sources=("venue",)
    )


def test_nothing_is_held_against_an_instrument_of_which_nothing_was_said() -> None:
    assert Trading().obstacle(HOME, SPY, DURING) is None


def test_silent_candles_keep_entries_back_until_they_are_heard_other_streams_do_not() -> None:
    trading = Trading()
    trading.observe(StreamSilent(venue=HOME, symbol=QQQ, stream="trades", since=DURING))
    trading.observe(StreamSilent(venue=HOME, symbol=SPY, stream="candles", since=DURING))
    assert trading.obstacle(HOME, QQQ, DURING) is None
    assert "silent since 2025-06-02T14:30" in str(trading.obstacle(HOME, SPY, DURING))
    trading.observe(StreamHeard(venue=HOME, symbol=SPY, stream="candles", at=DURING))
    assert trading.obstacle(HOME, SPY, DURING) is None


def test_a_halt_keeps_entries_back_until_it_is_over() -> None:
    trading = Trading()
    trading.observe(TradingHalted(venue=HOME, symbol=SPY, code="T1", reason="news pending", at=DURING))
    assert "news pending" in str(trading.obstacle(HOME, SPY, DURING))
    assert trading.obstacle(HOME, QQQ, DURING) is None
    trading.observe(TradingResumed(venue=HOME, symbol=SPY, at=DURING))
    assert trading.obstacle(HOME, SPY, DURING) is None


@pytest.mark.parametrize(
    ("at", "is_open"),
    [
        (OPENS - timedelta(seconds=1), False),
        (OPENS, True),
        (CLOSES - timedelta(seconds=1), True),
        (CLOSES, False),
    ],
)
def test_a_venue_that_tells_its_hours_is_entered_within_them_only(at: datetime, is_open: bool) -> None:
    trading = Trading()
    trading.observe(session(date(2025, 6, 1), None, None))
    trading.observe(session(date(2025, 6, 2)))
    obstacle = trading.obstacle(HOME, SPY, at)
    assert (obstacle is None) == is_open
    assert trading.obstacle(Venue.BINANCE, Symbol("BTCUSDT"), at) is None


def test_who_asks_while_it_is_closed_hears_when_it_opens() -> None:
    trading = Trading()
    trading.observe(session(date(2025, 6, 2)))
    assert "closed until 2025-06-02T13:30" in str(trading.obstacle(HOME, SPY, OPENS - timedelta(hours=9)))
    assert "as far as its trading hours are known" in str(trading.obstacle(HOME, SPY, CLOSES))
