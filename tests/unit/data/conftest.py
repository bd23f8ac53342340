"""Small data directories, made for one test."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

MIDNIGHT = datetime(2021, 5, 17, tzinfo=UTC)
ZERO = int(MIDNIGHT.timestamp()) * 1_000
MINUTE = 60_000

WriteBars = Callable[..., Path]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def write_bars(directory: Path) -> WriteBars:
    """Writes `ohlcv/<name>.parquet`: a bar for each minute number since midnight, price 100 plus the number."""

    def write(name: str, minutes: Sequence[int], **columns: Any) -> Path:
        path = directory / "ohlcv" / f"{name}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        prices = [100.0 + minute / 4 for minute in minutes]
        frame: dict[str, Any] = {
            "open_time": [ZERO + minute * MINUTE for minute in minutes],
            "open": prices,
            "high": [price + 2 for price in prices],
            "low": [price - 2 for price in prices],
            "close": [price + 1 for price in prices],
            "volume": [0.1 * (minute % 7) for minute in minutes],
        } | columns
        pl.DataFrame({name: value for name, value in frame.items() if value is not None}).write_parquet(path)
        return path

    return write
