"""Candles, backfills and settlements are recorded once, in order of time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from nexus_common.contracts.market import (
    Bar,
    Candle,
    CandlesBackfilled,
    CandlesClosed,
    FundingSettled,
    RecordBackfill,
    RecordCandles,
    RecordFunding,
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


def test_stored_commands_come_back_the_same() -> None:
    for command in (
        record(closed(NOON, Timeframe.M1, Timeframe.H4)),
        RecordBackfill(NOON, backfilled(0, 60_000)),
        RecordFunding(NOON, funding(NOON)),
    ):
        assert decode_command(command_type(type(command)), command_payload(command)) == command


def test_streams_are_named_by_partition_and_by_series() -> None:
    assert MARKET.stream(partition_key(Venue.BINANCE, 0)) == "market-binance.0"
    assert MARKET.stream(series_key(Venue.BYBIT, BTC, Timeframe.M15)) == "market-bybit.BTCUSDT.15m"
