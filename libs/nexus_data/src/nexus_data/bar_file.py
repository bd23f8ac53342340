"""One Parquet file of bars, read and checked: what is wrong with it is said before anything trades on it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from nexus_common.contracts.values import Timeframe
from nexus_common.runtime.errors import ConfigurationError
from nexus_market.candles import Series, slot_millis

FIGURES = ("open", "high", "low", "close", "volume")
COLUMNS = ("open_time", *FIGURES)
ADVICE = "repair the file, or download or import it again"


def read_span(path: Path) -> tuple[int, int]:
    """The first and last open time (ms) of a file."""
    times = _read(path, ["open_time"])["open_time"]
    if times.is_empty():
        raise ConfigurationError(f"{path} holds no bars: {ADVICE}")
    first, last = times.min(), times.max()
    assert isinstance(first, int)
    assert isinstance(last, int)
    return first, last


def read_bars(path: Path, timeframe: Timeframe) -> Series:
    """The bars of a file: strictly rising times on the grid, finite positive prices, high and low outermost.

    Raises:
        ConfigurationError: names the file, the column, the first row that is wrong, and what to do.
    """
    frame = _read(path, list(COLUMNS))
    _refuse_empty_cells(path, frame)
    columns = {name: frame[name].to_numpy() for name in FIGURES}
    series = Series(timeframe, frame["open_time"].to_numpy(), **columns)
    _check_times(path, series)
    _check_figures(path, series)
    return series


def _read(path: Path, columns: list[str]) -> pl.DataFrame:
    try:
        schema = pl.read_parquet_schema(path)
        missing = [name for name in columns if name not in schema]
        if missing:
            raise ConfigurationError(
                f"{path} has no column {', '.join(missing)} (it has {', '.join(schema)}): {ADVICE}"
            )
        for name in columns:
            if not (schema[name].is_integer() if name == "open_time" else schema[name].is_numeric()):
                wanted = "whole milliseconds UTC" if name == "open_time" else "numbers"
                raise ConfigurationError(
                    f"{path}: column {name} holds {schema[name]}, not {wanted}: {ADVICE}"
                )
        frame = pl.read_parquet(path, columns=columns)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise ConfigurationError(f"{path} cannot be read as Parquet ({error}): {ADVICE}") from error
    kept = [pl.col(name).cast(pl.Int64 if name == "open_time" else pl.Float64) for name in columns]
    return frame.select(kept).rechunk()


def _refuse_empty_cells(path: Path, frame: pl.DataFrame) -> None:
    for name in COLUMNS:
        empty = frame[name].is_null().to_numpy()
        if empty.any():
            row = int(np.argmax(empty))
            time = frame["open_time"][row]
            raise ConfigurationError(f"{path}: no value for {name} in {_place(row, time)}: {ADVICE}")


def _check_times(path: Path, series: Series) -> None:
    times = series.open_time
    if len(times) == 0:
        raise ConfigurationError(f"{path} holds no bars: {ADVICE}")
    steps = np.diff(times, prepend=times[0] - 1)
    slot = slot_millis(series.timeframe)
    _refuse_first(path, times, steps == 0, "open_time", "is the same as in the row before (a duplicate)")
    _refuse_first(path, times, steps < 0, "open_time", "is earlier than in the row before (not sorted)")
    _refuse_first(path, times, times % slot != 0, "open_time", f"is not on the {series.timeframe} grid")


def _check_figures(path: Path, series: Series) -> None:
    times = series.open_time
    for name in FIGURES:
        column = getattr(series, name)
        _refuse_first(path, times, ~np.isfinite(column), name, "is not a finite number (NaN or infinite)")
    for name in FIGURES[:-1]:
        _refuse_first(path, times, getattr(series, name) <= 0, name, "is not above 0")
    _refuse_first(path, times, series.volume < 0, "volume", "is below 0")
    _refuse_first(path, times, series.high < series.low, "high", "is below low")
    top = np.maximum(series.open, series.close)
    _refuse_first(path, times, series.high < top, "high", "is below open or close")
    bottom = np.minimum(series.open, series.close)
    _refuse_first(path, times, series.low > bottom, "low", "is above open or close")


def _refuse_first(
    path: Path, times: NDArray[np.int64], wrong: NDArray[np.bool_], column: str, complaint: str
) -> None:
    if wrong.any():
        row = int(np.argmax(wrong))
        count = int(wrong.sum())
        also = f" (and in {count - 1} more rows)" if count > 1 else ""
        raise ConfigurationError(
            f"{path}: {column} {complaint} in {_place(row, int(times[row]))}{also}: {ADVICE}"
        )


def _place(row: int, time: int | None) -> str:
    """A row as people count them, from 1, with its time if it has a readable one."""
    try:
        stamp = (
            "no time"
            if time is None
            else f"{datetime.fromtimestamp(time / 1_000, UTC):%Y-%m-%d %H:%M:%S} UTC"
        )
    except (OverflowError, ValueError, OSError):
        stamp = f"open_time {time}"
    return f"row {row + 1} ({stamp})"
