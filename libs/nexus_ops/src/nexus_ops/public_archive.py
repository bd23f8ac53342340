"""Files of a venue's public archive into a data directory.

Layout: data.binance.vision, `SYMBOL-1m-2024-05.zip` (klines), `SYMBOL-aggTrades-….zip`, `SYMBOL-trades-….zip`,
`SYMBOL-fundingRate-….zip`, each one CSV, unpacked or not, with a line of headings or without. Spot files of 2025
and later count in microseconds.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import polars as pl

from nexus_common.contracts.values import Timeframe
from nexus_common.runtime.errors import ConfigurationError
from nexus_data.growing_file import BAR_SCHEMA, FUNDING_SCHEMA, GrowingFile, Schema

_NAME: Final = re.compile(
    r"(?P<symbol>[A-Z0-9]+)-(?P<what>[A-Za-z0-9]+)-(?P<span>\d{4}-\d{2}(?:-\d{2})?)\.(?:csv|zip)"
)
_KLINES: Final = ("open_time", "open", "high", "low", "close", "volume")
_AGGREGATES: Final = ("trade_id", "price", "qty", "first_id", "last_id", "trade_ms", "buyer_is_maker")
_TRADES: Final = ("trade_id", "price", "qty", "quote_qty", "trade_ms", "buyer_is_maker")
_FUNDING: Final = ("funding_time", "interval_hours", "funding_rate")
_TRADE_SCHEMA: Final[Schema] = {
    "trade_id": pl.Int64,
    "trade_ms": pl.Int64,
    "price": pl.Float64,
    "qty": pl.Float64,
    "buyer_is_maker": pl.Boolean,
}
_TIMES: Final = frozenset({"open_time", "trade_ms", "funding_time"})
# Milliseconds of the year 5138: what is beyond are microseconds.
_MILLIS_MAX: Final = 100_000_000_000_000

Told = Callable[[int, int, str], None]


class Archive(NamedTuple):
    """One file by its name."""

    path: Path
    symbol: str
    what: str
    span: str


def import_archives(sources: Sequence[Path], directory: Path, venue: str, told: Told) -> dict[str, int]:
    """New rows by file below `directory`; what is there already stays as it is.

    Raises:
        ConfigurationError: a file with another name or content, before anything of it is written.
    """
    archives = list(_found(sources))
    rows: dict[str, int] = {}
    for number, archive in enumerate(archives):
        told(number, len(archives), archive.path.name)
        name, schema = _place(archive, venue)
        file = GrowingFile(directory / name, schema)
        file.add(_rows(archive, schema))
        rows[name] = rows.get(name, 0) + file.write()
    return rows


def _found(sources: Iterable[Path]) -> Iterable[Archive]:
    for source in sources:
        paths = sorted(source.rglob("*")) if source.is_dir() else [source]
        named = [(path, _NAME.fullmatch(path.name)) for path in paths]
        archives = [Archive(path, *match.group("symbol", "what", "span")) for path, match in named if match]
        if not archives:
            raise ConfigurationError(
                f"{source} is no file of the archive, and holds none: expected names such as "
                "BTCUSDT-1m-2024-05.zip or BTCUSDT-fundingRate-2024-05.csv"
            )
        yield from archives


def _place(archive: Archive, venue: str) -> tuple[str, Schema]:
    symbol, what = archive.symbol, archive.what
    if what in set(Timeframe):
        return f"ohlcv/{venue}/{symbol}-{what}.parquet", BAR_SCHEMA
    if what == "fundingRate":
        return f"funding/{venue}/{symbol}.parquet", FUNDING_SCHEMA
    if what in ("aggTrades", "trades"):
        return f"ticks/{venue}/{symbol}-trades.{archive.span}.parquet", _TRADE_SCHEMA
    raise ConfigurationError(
        f"{archive.path.name}: {what} is neither a timeframe of ours ({', '.join(Timeframe)}) nor fundingRate, "
        "aggTrades or trades"
    )


def _rows(archive: Archive, schema: Schema) -> pl.DataFrame:
    headings = {"fundingRate": _FUNDING, "aggTrades": _AGGREGATES, "trades": _TRADES}.get(
        archive.what, _KLINES
    )
    try:
        frame = pl.read_csv(_text(archive.path), has_header=False, infer_schema=False)
        if len(frame.columns) < len(headings):
            raise ConfigurationError(
                f"{archive.path} has {len(frame.columns)} columns, not {len(headings)} or more"
            )
        frame = frame.rename(dict(zip(frame.columns, headings, strict=False)))
        # A line of headings is the only one that begins with a letter.
        frame = frame.filter(pl.col(headings[0]).str.contains(r"^\d"))
        return frame.select(_column(name, kind) for name, kind in schema.items())
    except (pl.exceptions.PolarsError, OSError, zipfile.BadZipFile, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigurationError(f"{archive.path} cannot be read ({reason}): download it again") from error


def _column(name: str, kind: type[pl.DataType]) -> pl.Expr:
    if kind is pl.Boolean:
        return pl.col(name).str.to_lowercase() == "true"
    figure = pl.col(name).cast(kind)
    if name in _TIMES:
        return pl.when(figure > _MILLIS_MAX).then(figure // 1_000).otherwise(figure).alias(name)
    return figure


def _text(path: Path) -> io.BytesIO:
    if path.suffix == ".csv":
        return io.BytesIO(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        name = next((each for each in archive.namelist() if each.endswith(".csv")), None)
        if name is None:
            raise ConfigurationError(f"{path} holds no CSV file: download it again")
        return io.BytesIO(archive.read(name))
