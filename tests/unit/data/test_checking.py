"""What `nexus data check` finds in files made for it, and what it leaves in peace."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_common.runtime.errors import ConfigurationError
from nexus_data.checking import Checked, check_directory
from nexus_data.findings import Finding, Report, Verdict, duration
from nexus_data.inventory import Kind, files_in

HOUR = 3_600_000
MINUTE = 60_000
# A Monday of 2025, 00:00 UTC.
ZERO = 1_757_894_400_000
DAY = 24 * HOUR


def walk(count: int, seed: int = 1) -> pl.DataFrame:
    """A quiet market by minutes."""
    steps = np.random.default_rng(seed).normal(0, 0.0005, count)
    close = 100 * np.exp(np.cumsum(steps))
    opens = np.concatenate([[100.0], close[:-1]])
    return pl.DataFrame(
        {
            "open_time": [ZERO + minute * MINUTE for minute in range(count)],
            "open": opens,
            "high": np.maximum(opens, close) + 0.01,
            "low": np.minimum(opens, close) - 0.01,
            "close": close,
            "volume": [1.0 + minute % 3 for minute in range(count)],
        }
    )


def write(directory: Path, name: str, frame: pl.DataFrame) -> None:
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.write_parquet(path)


def folded(frame: pl.DataFrame, minutes: int) -> pl.DataFrame:
    slot = minutes * MINUTE
    return frame.group_by(pl.col("open_time") // slot * slot, maintain_order=True).agg(
        pl.col("open").first(),
        pl.col("high").max(),
        pl.col("low").min(),
        pl.col("close").last(),
        pl.col("volume").sum(),
    )


def report_of(checked: Checked, name: str) -> Report:
    return next(report for report in checked.reports if report.file.name == name)


def findings_of(directory: Path, name: str) -> dict[str, Finding]:
    return {finding.check: finding for finding in report_of(check_directory(directory), name).findings}


ONE = "ohlcv/binance_um/BTCUSDT-1m.parquet"


def test_a_whole_series_is_fine(tmp_path: Path) -> None:
    write(tmp_path, ONE, walk(3_000))
    report = report_of(check_directory(tmp_path), ONE)
    assert (report.verdict, report.rows, report.missing, report.findings) == (Verdict.OK, 3_000, 0, [])
    assert set(report.filled) == {1.0}


def test_a_gap_is_counted_and_placed(tmp_path: Path) -> None:
    whole = walk(3_000)
    write(tmp_path, ONE, pl.concat([whole[:1_000], whole[1_284:]]))
    report = report_of(check_directory(tmp_path), ONE)
    (gap,) = report.findings
    assert (gap.check, gap.verdict, report.missing) == ("gaps", Verdict.LOOK, 284)
    assert gap.places == ((ZERO + 1_000 * MINUTE, ZERO + 1_284 * MINUTE),)
    assert "1 gap, 284 bars" in gap.words
    assert "4 h 44 min" in gap.words
    assert min(share for share in report.filled if share is not None) < 0.5


@given(st.sets(st.integers(1, 598), max_size=40))
def test_every_missing_bar_is_counted(tmp_path_factory: pytest.TempPathFactory, lost: set[int]) -> None:
    directory = tmp_path_factory.mktemp("data")
    kept = [row for row in range(600) if row not in lost]
    write(directory, ONE, walk(600)[kept])
    report = report_of(check_directory(directory), ONE)
    assert report.missing == len(lost)
    assert report.verdict is (Verdict.LOOK if lost else Verdict.OK)


def altered(rows: Sequence[int], **values: Any) -> pl.DataFrame:
    frame = walk(300)
    for name, value in values.items():
        column = frame[name].to_list()
        for row in rows:
            column[row] = value
        frame = frame.with_columns(pl.Series(name, column, strict=False))
    return frame


@pytest.mark.parametrize(
    ("frame", "check"),
    [
        (altered([7], close=0.0), "price"),
        (altered([7], low=-1.0), "price"),
        (altered([7], close=float("nan")), "not finite"),
        (altered([7], high=float("inf")), "not finite"),
        (altered([7], volume=-1.0), "volume"),
        (altered([7], high=1.0), "high and low"),
        (altered([7], low=1_000.0), "high and low"),
        (altered([7], close=None), "empty cells"),
        (altered([7], open_time=ZERO + 6 * MINUTE), "duplicates"),
        (altered([7], open_time=ZERO + 2 * MINUTE), "order"),
        (altered([7], open_time=ZERO + 7 * MINUTE + 1_000), "grid"),
        (walk(300).drop("volume"), "columns"),
        (walk(300).with_columns(pl.col("close").cast(pl.String)), "columns"),
        (walk(1)[:0], "empty"),
    ],
)
def test_what_cannot_be_is_broken(tmp_path: Path, frame: pl.DataFrame, check: str) -> None:
    write(tmp_path, ONE, frame)
    checked = check_directory(tmp_path)
    finding = {each.check: each for each in report_of(checked, ONE).findings}[check]
    assert (finding.verdict, finding.count) == (Verdict.BROKEN, 1)
    assert checked.verdict is Verdict.BROKEN


def test_a_file_that_is_no_parquet_is_broken_and_the_rest_is_checked(tmp_path: Path) -> None:
    write(tmp_path, ONE, walk(300))
    (tmp_path / "ohlcv/binance_um/ETHUSDT-1m.parquet").write_bytes(b"PAR1 and no more")
    checked = check_directory(tmp_path)
    assert [report.verdict for report in checked.reports] == [Verdict.OK, Verdict.BROKEN]


def test_one_close_that_stands_alone_is_an_outlier_and_a_fall_that_stays_is_none(tmp_path: Path) -> None:
    spiked = walk(600).with_columns(
        pl.when(pl.int_range(pl.len()) == 300).then(pl.col("close") * 1.1).otherwise("close").alias("close")
    )
    spiked = spiked.with_columns(high=pl.max_horizontal("high", "close"))
    factor = pl.when(pl.int_range(pl.len()) < 300).then(1.0).otherwise(0.9)
    fallen = walk(600).with_columns(pl.col("open", "high", "low", "close") * factor)
    write(tmp_path, ONE, spiked)
    write(tmp_path, "ohlcv/binance_um/ETHUSDT-1m.parquet", fallen)
    found = findings_of(tmp_path, ONE)["outliers"]
    assert found.places == ((ZERO + 300 * MINUTE, ZERO + 301 * MINUTE),)
    assert findings_of(tmp_path, "ohlcv/binance_um/ETHUSDT-1m.parquet") == {}


def test_an_outlier_that_another_venue_saw_is_none(tmp_path: Path) -> None:
    spiked = walk(600).with_columns(
        pl.when(pl.int_range(pl.len()) == 300).then(pl.col("close") * 1.1).otherwise("close").alias("close")
    )
    spiked = spiked.with_columns(high=pl.max_horizontal("high", "close"))
    write(tmp_path, ONE, spiked)
    write(tmp_path, "ohlcv/bybit_linear/BTCUSDT-1m.parquet", spiked)
    assert findings_of(tmp_path, ONE) == {}


def test_a_price_of_ten_times_is_a_jump(tmp_path: Path) -> None:
    factor = pl.when(pl.int_range(pl.len()) < 300).then(1.0).otherwise(10.0)
    write(tmp_path, ONE, walk(600).with_columns(pl.col("open", "high", "low", "close") * factor))
    found = findings_of(tmp_path, ONE)
    assert "× 10" in found["jumps"].words


def test_bars_that_are_not_what_the_finer_ones_fold_to_are_told(tmp_path: Path) -> None:
    fine = walk(600)
    coarse = folded(fine, 15)
    write(tmp_path, ONE, fine)
    write(tmp_path, "ohlcv/binance_um/BTCUSDT-15m.parquet", coarse)
    assert check_directory(tmp_path).verdict is Verdict.OK
    high = coarse["high"].to_list()
    high[3] += 0.01
    write(tmp_path, "ohlcv/binance_um/BTCUSDT-15m.parquet", coarse.with_columns(high=pl.Series(high)))
    (found,) = findings_of(tmp_path, "ohlcv/binance_um/BTCUSDT-15m.parquet").values()
    assert (found.check, found.count) == ("folds", 1)
    assert found.places == ((ZERO + 45 * MINUTE, ZERO + 60 * MINUTE),)


def test_venues_far_apart_are_told(tmp_path: Path) -> None:
    other = walk(600).with_columns(
        pl.col("open", "high", "low", "close")
        * pl.when(pl.int_range(pl.len()) < 590).then(1.0).otherwise(1.02)
    )
    write(tmp_path, ONE, walk(600))
    write(tmp_path, "ohlcv/bybit_linear/BTCUSDT-1m.parquet", other)
    found = findings_of(tmp_path, "ohlcv/bybit_linear/BTCUSDT-1m.parquet")
    assert found["two venues"].count == 10


def test_two_files_of_one_series_may_not_overlap(tmp_path: Path) -> None:
    write(tmp_path, ONE, walk(600))
    write(tmp_path, "ohlcv/binance_um/BTCUSDT-1m.again.parquet", walk(600)[500:])
    assert check_directory(tmp_path).verdict is Verdict.BROKEN


def test_a_market_that_stood_still_is_told(tmp_path: Path) -> None:
    write(tmp_path, ONE, altered(range(100, 104), volume=0.0))
    found = findings_of(tmp_path, ONE)["no volume"]
    assert found.places == ((ZERO + 100 * MINUTE, ZERO + 104 * MINUTE),)


# -- stocks ----------------------------------------------------------------------------------------

STOCK = "ohlcv/us/SPY-1m.parquet"


def stock_days(days: Sequence[int], every: int = 1) -> pl.DataFrame:
    """Regular sessions of September 2025 (13:30 to 20:00 UTC); `days` count from Monday the 15th."""
    minutes = [day * 1_440 + 810 + minute for day in days for minute in range(0, 390, every)]
    frame = walk(len(minutes))
    return frame.with_columns(open_time=pl.Series([ZERO + minute * MINUTE for minute in minutes]))


def test_minutes_without_a_trade_nights_and_weekends_miss_nothing(tmp_path: Path) -> None:
    write(tmp_path, STOCK, stock_days([0, 1, 2, 3, 4, 7], every=3))
    report = report_of(check_directory(tmp_path), STOCK)
    assert (report.findings, report.missing) == ([], 0)
    assert {share for share in report.filled if share is not None} == {1.0}


def test_a_session_without_a_bar_is_missed(tmp_path: Path) -> None:
    write(tmp_path, STOCK, stock_days([0, 1, 3, 4]))
    (found,) = findings_of(tmp_path, STOCK).values()
    assert (found.check, found.count) == ("sessions", 1)
    assert found.places == ((ZERO + 2 * DAY + 810 * MINUTE, ZERO + 2 * DAY + 1_200 * MINUTE),)


def test_a_session_that_ends_early_without_reason_is_told(tmp_path: Path) -> None:
    write(tmp_path, STOCK, stock_days([0, 1, 2])[:-60])
    (found,) = findings_of(tmp_path, STOCK).values()
    assert (found.check, found.count) == ("cut sessions", 1)


def test_a_split_is_called_one(tmp_path: Path) -> None:
    split = stock_days([0, 1]).with_columns(
        pl.col("open", "high", "low", "close")
        * pl.when(pl.int_range(pl.len()) < 390).then(1.0).otherwise(1 / 7)
    )
    write(tmp_path, STOCK, split)
    assert set(findings_of(tmp_path, STOCK)) == {"splits"}


# -- beside the bars -------------------------------------------------------------------------------


def test_ticks_are_checked_for_order_numbers_and_figures(tmp_path: Path) -> None:
    trades = pl.DataFrame(
        {
            "trade_ms": [ZERO, ZERO + 1, ZERO + 2, ZERO + 1],
            "trade_id": [1, 2, 5, 5],
            "price": [100.0, 0.0, float("nan"), 100.0],
            "qty": [1.0, 1.0, 1.0, 1.0],
        }
    )
    write(tmp_path, "ticks/binance_um/BTCUSDT-trades.parquet", trades)
    found = findings_of(tmp_path, "ticks/binance_um/BTCUSDT-trades.parquet")
    assert {name: each.count for name, each in found.items()} == {
        "order": 1,
        "duplicates": 1,
        "numbering": 2,
        "price": 2,
    }


def test_a_crossed_book_is_broken(tmp_path: Path) -> None:
    tops = pl.DataFrame(
        {"local_ns": [1, 2], "update_id": [1, 2], "bid": [100.0, 101.0], "ask": [100.5, 100.5]}
    )
    write(tmp_path, "ticks/binance_um/BTCUSDT-bookticker.parquet", tops)
    found = findings_of(tmp_path, "ticks/binance_um/BTCUSDT-bookticker.parquet")
    assert found["crossed"].verdict is Verdict.BROKEN


def test_raw_frames_are_read_to_their_end(tmp_path: Path) -> None:
    path = tmp_path / "ticks/binance_um/BTCUSDT-raw_ws.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text('5000000 {"a":1}\n4000000 {"a":\n6000000 {"a":2}\n')
    found = findings_of(tmp_path, "ticks/binance_um/BTCUSDT-raw_ws.jsonl")
    assert {name: each.count for name, each in found.items()} == {"frames": 1, "order": 1}


def test_settlements_left_out_are_counted_and_late_stamps_are_not_off(tmp_path: Path) -> None:
    times = [ZERO + 8 * HOUR * number + number % 3 for number in range(20) if number not in (7, 8)]
    rates = pl.DataFrame({"funding_time": times, "funding_rate": [0.0001] * 17 + [0.09]})
    write(tmp_path, "funding/binance_um/BTCUSDT.parquet", rates)
    report = report_of(check_directory(tmp_path), "funding/binance_um/BTCUSDT.parquet")
    assert report.missing == 2
    assert {each.check for each in report.findings} == {"gaps", "rates"}


def test_daily_readings_are_checked_for_days_and_ranges(tmp_path: Path) -> None:
    path = tmp_path / "sentiment/fear_greed_daily.csv"
    path.parent.mkdir()
    path.write_text("date,value\n2025-01-01,50\n2025-01-02,101\n2025-01-04,nan\nnever,3\n")
    found = findings_of(tmp_path, "sentiment/fear_greed_daily.csv")
    assert {name: each.count for name, each in found.items()} == {"dates": 1, "figures": 2, "gaps": 1}


def test_a_directory_without_data_is_refused_with_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="not a directory"):
        files_in(tmp_path / "nowhere")
    with pytest.raises(ConfigurationError, match="no market data"):
        files_in(tmp_path)


def test_files_are_known_by_place_and_name(tmp_path: Path) -> None:
    write(tmp_path, "ohlcv/us/AAPL-1m.2014-06.parquet", walk(1))
    write(tmp_path, "ohlcv/us/notes.parquet", walk(1))
    (file,) = files_in(tmp_path)
    assert (file.kind, file.venue, file.symbol, file.what, file.span) == (
        Kind.BARS,
        "us",
        "AAPL",
        "1m",
        "2014-06",
    )
    assert file.interval_millis == MINUTE


@pytest.mark.parametrize(
    ("millis", "words"), [(284 * MINUTE, "4 h 44 min"), (DAY, "1 d"), (5_000, "5 s"), (250, "250 ms")]
)
def test_durations_are_told_in_two_units(millis: int, words: str) -> None:
    assert duration(millis) == words
