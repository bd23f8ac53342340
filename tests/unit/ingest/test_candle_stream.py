"""Candles, backfills and settlements are recorded once, in order of time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from nexus_common.contracts.market import (
    Bar,
    Candle,
    CandleCorrected,
    CandlesBackfilled,
    CandlesClosed,
    CorrectCandle,
    FundingSettled,
    NoteHalt,
    RecordBackfill,
    RecordCandles,
    RecordFunding,
    ScheduleSession,
    SessionScheduled,
    TradingHalted,
    TradingResumed,
)
from nexus_common.contracts.message import command_payload, command_type, decode_command
from nexus_common.contracts.values import Symbol, Timeframe, Venue
from nexus_common.testing.spec import given
from nexus_ingest.domain.candle_stream import MARKET, partition_key, series_key

BTC = Symbol("BTCUSDT")
NOON = datetime(2021, 5, 17, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
FIGURES = tuple(map(Decimal, ("10.5", "11.0", "10.0", "10.8", "3.25")))


def closed(at: datetime = NOON, *timeframes: Timeframe) -> CandlesClosed:
    candles = tuple(Candle(BTC, timeframe, *FIGURES) for timeframe in timeframes or (Timeframe.M1,))
    return CandlesClosed(venue=Venue.BINANCE, partition=0, at=at, candles=candles)


def record(event: CandlesClosed) -> RecordCandles:
    return RecordCandles(event.at, event)


def backfilled(*open_times: int) -> CandlesBackfilled:
    return CandlesBackfilled(
        venue=Venue.BINANCE,
        symbol=BTC,
        timeframe=Timeframe.M1,
        source="ohlcv/binance_um/BTCUSDT-1m.parquet",
        bars=tuple(Bar(time, *FIGURES) for time in open_times),
    )


def funding(at: datetime, symbol: str = "BTCUSDT") -> FundingSettled:
    return FundingSettled(
        venue=Venue.BINANCE, symbol=Symbol(symbol), rate=Decimal("0.0001"), mark_price=Decimal(10), at=at
    )


def test_closed_candles_are_recorded() -> None:
    given(MARKET).when(record(closed())).then(closed())


def test_the_next_instant_follows() -> None:
    given(MARKET, closed()).when(record(closed(NOON + MINUTE))).then(closed(NOON + MINUTE))


def test_an_instant_recorded_before_is_not_recorded_again() -> None:
    given(MARKET, closed(), closed(NOON + MINUTE)).when(record(closed())).then_nothing()
    given(MARKET, closed()).when(record(closed())).then_nothing()


def test_an_instant_without_candles_is_no_fact() -> None:
    empty = CandlesClosed(venue=Venue.BINANCE, partition=0, at=NOON, candles=())
    given(MARKET).when(record(empty)).then_nothing()


def test_a_candle_off_its_grid_must_not_happen() -> None:
    given(MARKET).when(record(closed(NOON + MINUTE, Timeframe.M5))).then_broken("no 5m candle of BTCUSDT")


def test_two_candles_of_one_series_at_one_instant_must_not_happen() -> None:
    given(MARKET).when(record(closed(NOON, Timeframe.M1, Timeframe.M1))).then_broken("two 1m candles")


def test_a_backfill_is_recorded_chunk_by_chunk() -> None:
    given(MARKET, backfilled(0, 60_000)).when(RecordBackfill(NOON, backfilled(120_000))).then(
        backfilled(120_000)
    )


def test_of_a_backfill_only_what_is_new_is_recorded() -> None:
    story = given(MARKET, backfilled(0, 60_000))
    story.when(RecordBackfill(NOON, backfilled(0, 60_000))).then_nothing()
    story.when(RecordBackfill(NOON, backfilled(60_000, 120_000))).then(backfilled(120_000))


def test_a_backfill_out_of_order_must_not_happen() -> None:
    given(MARKET).when(RecordBackfill(NOON, backfilled(60_000, 0))).then_broken("not in order of time")


def test_funding_is_settled_once_for_each_symbol() -> None:
    story = given(MARKET, funding(NOON))
    story.when(RecordFunding(NOON, funding(NOON))).then_nothing()
    story.when(RecordFunding(NOON, funding(NOON, "ETHUSDT"))).then(funding(NOON, "ETHUSDT"))
    later = funding(NOON + timedelta(hours=8))
    story.when(RecordFunding(later.at, later)).then(later)


def test_repaired_candles_are_recorded_as_late_and_each_series_still_goes_forward() -> None:
    repaired = closed(NOON).model_copy(update={"late": True})
    given(MARKET, closed(NOON - MINUTE)).when(record(repaired)).then(repaired)
    given(MARKET, closed(NOON + MINUTE)).when(record(repaired)).then_nothing()


def test_of_a_slow_event_of_the_same_instant_only_what_is_new_is_recorded() -> None:
    slow = closed(NOON, Timeframe.M1, Timeframe.M5)
    given(MARKET, closed(NOON)).when(record(slow)).then(closed(NOON, Timeframe.M5))


def corrected(close: str) -> CandleCorrected:
    was = Bar(0, *FIGURES)
    return CandleCorrected(
        venue=Venue.BINANCE,
        partition=0,
        symbol=BTC,
        timeframe=Timeframe.M1,
        was=was,
        now=was._replace(close=Decimal(close)),
        source="rest",
        at=NOON,
    )


def test_a_correction_is_recorded_if_it_says_something_else() -> None:
    given(MARKET, closed()).when(CorrectCandle(NOON, corrected("10.9"))).then(corrected("10.9"))
    given(MARKET, closed()).when(CorrectCandle(NOON, corrected("10.8"))).then_nothing()


def test_what_was_never_recorded_is_not_corrected() -> None:
    given(MARKET).when(CorrectCandle(NOON, corrected("10.9"))).then_nothing()
    of_noon = Bar(1_621_252_800_000, *FIGURES)
    later = corrected("10.9").model_copy(
        update={"was": of_noon, "now": of_noon._replace(close=Decimal("10.9"))}
    )
    given(MARKET, closed(NOON)).when(CorrectCandle(NOON, later)).then_nothing()
    given(MARKET, closed(NOON), closed(NOON + MINUTE)).when(CorrectCandle(NOON, later)).then(later)
    given(MARKET, closed(NOON, Timeframe.M5)).when(CorrectCandle(NOON, corrected("10.9"))).then_nothing()


def test_a_correction_does_not_hold_back_the_candles_that_follow() -> None:
    story = given(MARKET, closed(), corrected("10.9"))
    story.when(record(closed())).then_nothing()
    story.when(record(closed(NOON + MINUTE))).then(closed(NOON + MINUTE))


def session(days: int = 0, closes_at: int = 20, *, disagreement: str = "") -> SessionScheduled:
    opens = NOON.replace(hour=13, minute=30) + timedelta(days=days)
    return SessionScheduled(
        venue=Venue.ALPACA,
        day=opens.date(),
        opens=opens,
        closes=opens.replace(hour=closes_at, minute=0),
        is_early_close=closes_at < 20,
        sources=("alpaca",),
        disagreement=disagreement,
    )


def test_a_session_is_recorded_when_it_is_news() -> None:
    story = given(MARKET, session())
    story.when(ScheduleSession(NOON, session())).then_nothing()
    story.when(ScheduleSession(NOON, session(closes_at=17))).then(session(closes_at=17))
    story.when(ScheduleSession(NOON, session(1))).then(session(1))
    doubted = session(disagreement="the library says that it closes at 17:00")
    story.when(ScheduleSession(NOON, doubted)).then(doubted)


def test_sessions_of_long_ago_are_forgotten() -> None:
    state = given(MARKET, *(session(days) for days in range(60))).state
    assert len(state.sessions) == 8


def halt(symbol: str = "SPY") -> TradingHalted:
    return TradingHalted(venue=Venue.ALPACA, symbol=Symbol(symbol), code="LUDP", reason="volatility", at=NOON)


def resumed(symbol: str = "SPY") -> TradingResumed:
    return TradingResumed(venue=Venue.ALPACA, symbol=Symbol(symbol), at=NOON + MINUTE)


def test_an_instrument_is_halted_and_resumed_once() -> None:
    given(MARKET).when(NoteHalt(NOON, halt())).then(halt())
    given(MARKET, halt()).when(NoteHalt(NOON, halt())).then_nothing()
    given(MARKET, halt()).when(NoteHalt(NOON, halt("QQQ"))).then(halt("QQQ"))
    given(MARKET, halt()).when(NoteHalt(NOON, resumed())).then(resumed())
    given(MARKET, halt(), resumed()).when(NoteHalt(NOON, halt())).then(halt())


def test_what_was_not_halted_is_not_resumed() -> None:
    given(MARKET).when(NoteHalt(NOON, resumed())).then_nothing()


def test_stored_commands_come_back_the_same() -> None:
    for command in (
        CorrectCandle(NOON, corrected("10.9")),
        ScheduleSession(NOON, session()),
        NoteHalt(NOON, halt()),
        NoteHalt(NOON, resumed()),
        record(closed(NOON, Timeframe.M1, Timeframe.H4)),
        RecordBackfill(NOON, backfilled(0, 60_000)),
        RecordFunding(NOON, funding(NOON)),
    ):
        assert decode_command(command_type(type(command)), command_payload(command)) == command


def test_streams_are_named_by_partition_and_by_series() -> None:
    assert MARKET.stream(partition_key(Venue.BINANCE, 0)) == "market-binance.0"
    assert MARKET.stream(series_key(Venue.BYBIT, BTC, Timeframe.M15)) == "market-bybit.BTCUSDT.15m"
