"""What is read beside the bars: funding rates and daily readings of the whole market."""

from __future__ import annotations

import csv
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path

import polars as pl

from nexus_common.contracts.macro import MacroRead
from nexus_common.contracts.values import Symbol
from nexus_common.runtime.errors import ConfigurationError
from nexus_market.candles import spell, to_millis

_MINUTE = 60_000
# Enough before the start to compare with the day before, from any hour.
_MACRO_BEFORE = timedelta(hours=48)
# Spot markets pay no funding; the perpetual's own rates belong to what they stand for.
_FUNDING_FOLDER = {"binance_spot": "binance_um"}


def funding_file(directory: Path, folder: str, symbol: Symbol) -> Path:
    return directory / "funding" / _FUNDING_FOLDER.get(folder, folder) / f"{symbol}.parquet"


def read_funding(path: Path, start: datetime, end: datetime) -> list[tuple[int, Decimal]]:
    """Due times (ms, on the minute: venues stamp some milliseconds late) and rates in (start, end]."""
    try:
        frame = pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise ConfigurationError(
            f"{path} cannot be read as Parquet ({error}): remove or repair it"
        ) from error
    missing = [name for name in ("funding_time", "funding_rate") if name not in frame.columns]
    if missing:
        raise ConfigurationError(f"{path} has no column {', '.join(missing)}: remove or repair it")
    times = pl.col("funding_time").cast(pl.Int64)
    rates = pl.col("funding_rate").cast(pl.Float64)
    due = frame.select(time=(times + _MINUTE // 2) // _MINUTE * _MINUTE, rate=rates)
    due = due.filter((pl.col("time") > to_millis(start)) & (pl.col("time") <= to_millis(end)))
    steps = due["time"].diff().drop_nulls()
    if due["rate"].is_null().any() or not due["rate"].is_finite().all() or not (steps > 0).all():
        raise ConfigurationError(
            f"{path}: funding_time must rise strictly and funding_rate be a number in each row "
            f"between {start.isoformat()} and {end.isoformat()}: remove or repair it"
        )
    return [(time, spell(rate)) for time, rate in due.iter_rows()]


def read_macro(directory: Path, start: datetime, end: datetime) -> list[MacroRead]:
    """Daily readings that become known up to `end`; the value of a day is known when the next one begins."""
    folder = directory / "sentiment"
    dominance = _daily(folder / "btc_dominance_daily.csv", "btc_dominance")
    market_cap = _daily(folder / "total_market_cap_daily.csv", "total_market_cap_usd")
    fear_greed = _daily(folder / "fear_greed_daily.csv", "value")
    readings = []
    for day in sorted({*dominance, *market_cap, *fear_greed}):
        known_at = day + timedelta(days=1)
        if start - _MACRO_BEFORE <= known_at <= end:
            fear = fear_greed.get(day)
            readings.append(
                MacroRead(
                    known_at=known_at,
                    btc_dominance=dominance.get(day),
                    total_market_cap=market_cap.get(day),
                    fear_greed=None if fear is None else int(fear),
                )
            )
    return readings


def _daily(path: Path, column: str) -> dict[datetime, Decimal]:
    """The values of a CSV file by day, empty cells left out; no file, no values."""
    if not path.is_file():
        return {}
    values: dict[datetime, Decimal] = {}
    with path.open(newline="", encoding="utf-8") as text:
        rows = csv.DictReader(text)
        missing = [name for name in ("date", column) if name not in (rows.fieldnames or ())]
        if missing:
            raise ConfigurationError(f"{path} has no column {', '.join(missing)}: remove or repair it")
        for number, row in enumerate(rows, start=2):
            try:
                day = datetime.strptime(row["date"], "%Y-%m-%d").replace(tzinfo=UTC)
                value = Decimal(row[column]) if row[column] else None
            except (ValueError, TypeError, InvalidOperation) as error:
                raise ConfigurationError(
                    f"{path}: line {number} is not a date and a number ({row}): remove or repair it"
                ) from error
            if value is not None and value.is_finite():
                values[day] = value
    return values
