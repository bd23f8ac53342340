"""A data directory plays as a market, and says what is wrong with it before it does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from nexus_common.contracts.values import Symbol, Timeframe, Venue
from nexus_common.runtime.errors import ConfigurationError
from nexus_data.market_feed import Market
from nexus_data.recorded_market import RecordedMarket
from nexus_market.candles import CandleFolder

MIDNIGHT = datetime(2021, 5, 17, tzinfo=UTC)
ZERO = int(MIDNIGHT.timestamp()) * 1_000
BTC, ETH, SPY = Symbol("BTCUSDT"), Symbol("ETHUSDT"), Symbol("SPY")
WriteBars = Callable[..., Path]


def at(minute: int) -> datetime:
    return MIDNIGHT + timedelta(minutes=minute)


def play(
    directory: Path, symbols: Sequence[Symbol], first: int | None, last: int | None, venue: str | None = None
) -> RecordedMarket:
    start = None if first is None else at(first)
    return RecordedMarket(directory, symbols, start, None if last is None else at(last), venue)


def refused(directory: Path, *arguments: Any) -> str:
    with pytest.raises(ConfigurationError) as refusal:
        play(directory, *arguments)
    return str(refusal.value)


def test_from_is_inclusive_and_to_exclusive(directory: Path, write_bars: WriteBars) -> None:
    write_bars("binance_um/BTCUSDT-1m", range(60))
    market: Market = play(directory, [BTC], 30, 40)
    steps = list(market.steps())
    assert [step.at for step in steps] == [at(minute) for minute in range(31, 41)]
    assert steps[0].bars[BTC].open == Decimal("107.5")
    assert steps[0].next_bars[BTC] == steps[1].bars[BTC]
    assert steps[-1].next_bars == {}


def test_bars_before_the_start_warm_up_and_none_is_told_twice(directory: Path, write_bars: WriteBars) -> None:
    write_bars("binance_um/BTCUSDT-1m", range(60))
    market = play(directory, [BTC], 32, 50)
    warm = {event.timeframe: [bar.open_time for bar in event.bars] for event in market.warmup()}
    assert warm[Timeframe.M1] == [ZERO + 60_000 * minute for minute in range(32)]
    assert warm[Timeframe.M15] == [ZERO, ZERO + 900_000]
    played = [c for step in market.steps() for closed in step.closed for c in closed.candles]
    quarter = [candle for candle in played if candle.timeframe is Timeframe.M15]
    # The quarter that opened before the start is whole: its first two bars are from the warm-up.
    assert [candle.open for candle in quarter] == [Decimal("107.5")]


def test_backfills_come_in_chunks_that_the_bus_can_carry(directory: Path, write_bars: WriteBars) -> None:
    write_bars("binance_um/BTCUSDT-1m", range(5_000))
    events = [event for event in play(directory, [BTC], 4_900, 5_000).warmup() if event.timeframe == "1m"]
    assert [len(event.bars) for event in events] == [1_000, 1_000, 1_000, 328]
    assert events[-1].bars[-1].open_time == ZERO + 4_899 * 60_000
    assert max(len(event.model_dump_json()) for event in events) < 200_000


def test_a_restart_goes_on_with_the_same_steps(directory: Path, write_bars: WriteBars) -> None:
    write_bars("binance_um/BTCUSDT-1m", [*range(200), *range(230, 1_500)])
    write_bars("binance_um/ETHUSDT-5m", range(0, 1_500, 5))
    steps = list(play(directory, [BTC, ETH], 100, 1_400).steps())
    for index in (0, 1, 99, 500, len(steps) - 1):
        resumed = play(directory, [BTC, ETH], 100, 1_400).steps_after(steps[index].at)
        assert list(resumed) == steps[index + 1 :]


def test_one_minute_and_five_minute_series_play_together(directory: Path, write_bars: WriteBars) -> None:
    write_bars("binance_um/BTCUSDT-1m", range(60))
    write_bars("bybit_linear/ETHUSDT-5m", range(0, 60, 5))
    market = play(directory, [ETH, BTC], 10, 30)
    steps = {step.at: step for step in market.steps()}
    assert list(steps[at(14)].bars) == [BTC]
    assert list(steps[at(15)].bars) == [ETH, BTC]
    assert [closed.venue for closed in steps[at(15)].closed] == [Venue.BYBIT, Venue.BINANCE]
    assert ETH in steps[at(15)].next_bars
    assert ETH not in steps[at(16)].next_bars
    assert (market.base_of(ETH), market.base_of(BTC)) == (Timeframe.M5, Timeframe.M1)


def test_the_steps_are_what_folding_bar_by_bar_gives(directory: Path, write_bars: WriteBars) -> None:
    write_bars("binance_um/BTCUSDT-1m", [m for m in range(1_000) if m % 17 and not 300 < m < 420])
    write_bars("binance_um/ETHUSDT-5m", range(0, 1_000, 5))
    market = play(directory, [BTC, ETH], 1, 960)
    folder = CandleFolder({symbol: market.base_of(symbol) for symbol in market.symbols})
    for step in market.steps():
        candles = tuple(candle for closed in step.closed for candle in closed.candles)
        assert str(folder.close(step.at, step.bars)) == str(candles)


def test_a_hole_has_no_steps_but_the_ends_of_open_candles_and_is_told_behind_it(
    directory: Path, write_bars: WriteBars
) -> None:
    write_bars("binance_um/BTCUSDT-1m", [*range(33), *range(52, 70)])
    steps = list(play(directory, [BTC], 0, 70).steps())
    inside = [step for step in steps if at(33) < step.at <= at(52)]
    assert [(step.at, step.bars) for step in inside] == [(at(35), {}), (at(45), {})]
    assert [candle.timeframe for candle in inside[0].closed[0].candles] == [Timeframe.M5]
    told = [(step.at, gap) for step in steps for gap in step.gaps]
    assert [(when, gap.first, gap.last) for when, gap in told] == [(at(53), at(33), at(51))]


def test_a_quiet_minute_of_a_stock_is_no_gap(directory: Path, write_bars: WriteBars) -> None:
    write_bars("us/SPY-1m", [*range(20), *range(30, 60)])
    market = play(directory, [SPY], 0, 60)
    assert market.venue_of(SPY) is Venue.ALPACA
    assert not any(step.gaps for step in market.steps())


def test_the_finest_series_that_covers_the_span_plays_and_others_are_named(
    directory: Path, write_bars: WriteBars
) -> None:
    write_bars("binance_um/BTCUSDT-1m", range(60))
    write_bars("binance_um/BTCUSDT-5m", range(0, 600, 5))
    write_bars("binance_um/BTCUSDT-15m", range(0, 600, 15))
    assert play(directory, [BTC], 0, 60).sources == {BTC: "ohlcv/binance_um/BTCUSDT-1m.parquet"}
    market = play(directory, [BTC], 0, 600)
    assert market.sources == {BTC: "ohlcv/binance_um/BTCUSDT-5m.parquet"}
    assert any("left alone" in note and "BTCUSDT-15m" in note for note in market.notes)


def test_spot_stands_in_only_where_no_perpetual_covers_the_span_and_says_so(
    directory: Path, write_bars: WriteBars
) -> None:
    write_bars("binance_spot/BTCUSDT-1m", range(60))
    write_bars("bybit_linear/BTCUSDT-5m", range(0, 60, 5))
    market = play(directory, [BTC], 0, 60)
    assert (market.venue_of(BTC), market.base_of(BTC)) == (Venue.BYBIT, Timeframe.M5)
    market = play(directory, [BTC], 0, 60, "binance_spot")
    assert "BTCUSDT: the spot market (binance_spot) stands in for the perpetual" in market.notes
    assert market.venue_of(BTC) is Venue.BINANCE


def test_files_that_go_on_from_one_another_are_one_series(directory: Path, write_bars: WriteBars) -> None:
    write_bars("binance_um/BTCUSDT-1m.a", range(30))
    write_bars("binance_um/BTCUSDT-1m.b", range(30, 60))
    market = play(directory, [BTC], 0, 60)
    assert len(list(market.steps())) == 60
    assert market.sources[BTC].endswith("BTCUSDT-1m.a.parquet + ohlcv/binance_um/BTCUSDT-1m.b.parquet")


def test_overlapping_files_are_refused(directory: Path, write_bars: WriteBars) -> None:
    write_bars("binance_um/BTCUSDT-1m", range(40))
    write_bars("binance_um/BTCUSDT-1m.more", range(30, 60))
    message = refused(directory, [BTC], 0, 60)
    assert "BTCUSDT-1m.parquet and ohlcv/binance_um/BTCUSDT-1m.more.parquet overlap" in message


def test_without_a_span_the_common_one_plays(directory: Path, write_bars: WriteBars) -> None:
    write_bars("binance_um/BTCUSDT-1m", range(60))
    write_bars("binance_um/ETHUSDT-1m", range(20, 90))
    market = play(directory, [BTC, ETH], None, None)
    assert (market.start, market.end) == (at(20), at(60))


def test_funding_is_due_on_the_minute(directory: Path, write_bars: WriteBars) -> None:
    write_bars("binance_um/BTCUSDT-1m", range(-60, 120))
    path = directory / "funding" / "binance_um" / "BTCUSDT.parquet"
    path.parent.mkdir(parents=True)
    times = [ZERO - 1_800_000, ZERO + 13, ZERO + 3_600_004]
    pl.DataFrame({"funding_time": times, "funding_rate": [0.5, 0.0001, -0.000007]}).write_parquet(path)
    market = RecordedMarket(directory, [BTC], at(-10), at(100))
    due = {step.at: dict(step.funding) for step in market.steps() if step.funding}
    assert due == {at(0): {BTC: Decimal("0.0001")}, at(60): {BTC: Decimal("-0.000007")}}


def test_the_reading_of_a_day_is_known_when_the_next_begins(directory: Path, write_bars: WriteBars) -> None:
    write_bars("binance_um/BTCUSDT-1m", range(-10, 3_000))
    sentiment = directory / "sentiment"
    sentiment.mkdir()
    (sentiment / "btc_dominance_daily.csv").write_text(
        "date,btc_dominance\n2021-05-15,40.1\n2021-05-16,41.25\n2021-05-17,42\n2021-05-18,43\n"
    )
    (sentiment / "fear_greed_daily.csv").write_text("date,value,classification\n2021-05-17,20,Fear\n")
    market = RecordedMarket(directory, [BTC], at(0), at(1_500))
    before = [(reading.known_at, reading.btc_dominance) for reading in market.macro_before()]
    assert before == [(at(-1_440), Decimal("40.1")), (at(0), Decimal("41.25"))]
    known = [(step.at, step.macro) for step in market.steps() if step.macro is not None]
    assert [when for when, _ in known] == [at(1_440)]
    assert known[0][1].btc_dominance == Decimal(42)
    assert known[0][1].fear_greed == 20
    assert known[0][1].total_market_cap is None


def test_broken_funding_and_readings_are_refused_by_name(directory: Path, write_bars: WriteBars) -> None:
    write_bars("binance_um/BTCUSDT-1m", range(60))
    (directory / "sentiment").mkdir()
    readings = directory / "sentiment" / "btc_dominance_daily.csv"
    readings.write_text("date,btc_dominance\n2021-05-16,high\n")
    assert f"{readings}: line 2 is not a date and a number" in refused(directory, [BTC], 0, 60)
    readings.write_text("day,dominance\n")
    assert "has no column date, btc_dominance" in refused(directory, [BTC], 0, 60)
    readings.unlink()
    funding = directory / "funding" / "binance_um" / "BTCUSDT.parquet"
    funding.parent.mkdir(parents=True)
    times = [ZERO + 600_000, ZERO + 1_200_000]
    pl.DataFrame({"funding_time": times, "funding_rate": [0.0001, float("nan")]}).write_parquet(funding)
    assert f"{funding}: funding_time must rise strictly" in refused(directory, [BTC], 0, 60)
    pl.DataFrame({"time": times}).write_parquet(funding)
    assert "has no column funding_time, funding_rate" in refused(directory, [BTC], 0, 60)


def test_an_empty_directory_is_refused(directory: Path) -> None:
    assert "is not a directory" in refused(directory, [BTC], 0, 60)
    directory.mkdir()
    assert "holds no bars" in refused(directory, [BTC], 0, 60)


def test_an_unknown_symbol_or_venue_is_refused_with_those_there_are(
    directory: Path, write_bars: WriteBars
) -> None:
    write_bars("binance_um/BTCUSDT-1m", range(60))
    assert "no bars of ETHUSDT: choose among BTCUSDT" in refused(directory, [ETH], 0, 60)
    assert "no bars of venue kraken: choose among binance_um" in refused(directory, [BTC], 0, 60, "kraken")
    assert "given twice" in refused(directory, [BTC, BTC], 0, 60)
    assert "no symbols" in refused(directory, [], 0, 60)


def test_a_span_that_is_not_covered_is_refused_with_what_there_is(
    directory: Path, write_bars: WriteBars
) -> None:
    write_bars("binance_um/BTCUSDT-1m", range(60))
    message = refused(directory, [BTC], 0, 61)
    assert "no series of BTCUSDT covers the span from 2021-05-17 00:00 to 2021-05-17 01:01" in message
    assert "binance_um 1m from 2021-05-17 00:00 to 2021-05-17 01:00" in message
    assert "the span is empty" in refused(directory, [BTC], 10, 10)


def test_times_without_a_zone_are_refused(directory: Path) -> None:
    with pytest.raises(ConfigurationError, match="no time zone"):
        RecordedMarket(directory, [BTC], MIDNIGHT.replace(tzinfo=None), None)


def test_only_coarse_bars_are_refused(directory: Path, write_bars: WriteBars) -> None:
    write_bars("us/IWM-1d", [0, 1_440])
    assert "has no 1m or 5m bars" in refused(directory, [Symbol("IWM")], 0, 60)


def test_a_broken_file_is_refused_by_name(directory: Path, write_bars: WriteBars) -> None:
    path = write_bars("binance_um/BTCUSDT-1m", range(60))
    path.write_bytes(path.read_bytes()[:300])
    message = refused(directory, [BTC], 0, 60)
    assert str(path) in message
    assert "cannot be read as Parquet" in message
    path.write_bytes(b"")
    assert "cannot be read as Parquet" in refused(directory, [BTC], 0, 60)


def test_missing_or_wordy_columns_are_refused_by_name(directory: Path, write_bars: WriteBars) -> None:
    write_bars("binance_um/BTCUSDT-1m", range(60), volume=None)
    assert "has no column volume" in refused(directory, [BTC], 0, 60)
    write_bars("binance_um/BTCUSDT-1m", range(60), close=["many"] * 60)
    assert "column close holds String, not numbers" in refused(directory, [BTC], 0, 60)
    write_bars("binance_um/BTCUSDT-1m", range(60), open_time=["2021"] * 60)
    assert "column open_time holds String, not whole milliseconds" in refused(directory, [BTC], 0, 60)


@pytest.mark.parametrize(
    ("column", "row", "value", "complaint"),
    [
        ("open_time", 5, ZERO + 4 * 60_000, "open_time is the same as in the row before (a duplicate)"),
        ("open_time", 5, ZERO + 60_000, "open_time is earlier than in the row before (not sorted)"),
        ("open_time", 5, ZERO + 5 * 60_000 + 1, "open_time is not on the 1m grid"),
        ("open", 5, float("nan"), "open is not a finite number"),
        ("close", 5, None, "no value for close"),
        ("volume", 5, float("inf"), "volume is not a finite number"),
        ("volume", 5, -1.0, "volume is below 0"),
        ("low", 5, 0.0, "low is not above 0"),
        ("high", 5, 1.0, "high is below low"),
        ("high", 5, 102.0, "high is below open or close"),
        ("low", 5, 102.0, "low is above open or close"),
    ],
)
def test_a_wrong_cell_is_refused_with_its_column_row_and_time(
    directory: Path, write_bars: WriteBars, column: str, row: int, value: Any, complaint: str
) -> None:
    path = write_bars("binance_um/BTCUSDT-1m", range(60))
    values = pl.read_parquet(path)[column].to_list()
    values[row] = value
    write_bars("binance_um/BTCUSDT-1m", range(60), **{column: values})
    message = refused(directory, [BTC], 0, 60)
    assert complaint in message
    assert "row 6 (2021-05-17 00:0" in message
    assert str(path) in message
