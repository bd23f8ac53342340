"""Makes a data directory of a tape: the candles that closed, as corrected, the funding, and the ticks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

import polars as pl

from nexus_common.contracts.market import Candle, CandleCorrected, CandlesClosed, FundingSettled
from nexus_common.contracts.values import Symbol, Timeframe, Venue
from nexus_common.runtime.errors import ConfigurationError
from nexus_data.tape import Tape
from nexus_data.tape_format import Table, figure
from nexus_ingest.adapters.tape_watch import Happened, Hole, TapeWatch
from nexus_market.candles import from_millis, to_millis

FOLDERS: Final = {Venue.BINANCE: "binance_um", Venue.BYBIT: "bybit_linear", Venue.ALPACA: "us"}
BASE: Final = Timeframe.M1
_BAR_COLUMNS: Final = {
    "open_time": pl.Int64,
    **dict.fromkeys(("open", "high", "low", "close", "volume"), pl.Float64),
}
_FUNDING_COLUMNS: Final = {"funding_time": pl.Int64, "funding_rate": pl.Float64}
_MICROS_IN_MS: Final = 1_000
Progress = Callable[[int, datetime], None]
Figures = tuple[float, float, float, float, float]


@dataclass(slots=True)
class Imported:
    """What was written, by file below the directory: how many rows. `holes` says what the tape lacks."""

    files: dict[str, int] = field(default_factory=dict)
    corrected: int = 0
    holes: list[str] = field(default_factory=list)


class _Gathered:
    """The bars and funding of all series, as the watch tells them."""

    def __init__(self) -> None:
        self.bars: dict[tuple[Venue, Symbol], dict[int, Figures]] = {}
        self.funding: dict[tuple[Venue, Symbol], dict[int, float]] = {}
        self.corrected = 0

    def take(self, output: object) -> None:
        match output:
            case CandlesClosed(venue=venue, at=at):
                for candle in output.candles:
                    if candle.timeframe is BASE:
                        opened = to_millis(candle.open_time(at))
                        self.bars.setdefault((venue, candle.symbol), {})[opened] = _figures(candle)
            case CandleCorrected(timeframe=Timeframe.M1, now=now):
                self.bars.setdefault((output.venue, output.symbol), {})[now.open_time] = _figures(now)
                self.corrected += 1
            case FundingSettled(venue=venue, symbol=symbol):
                rates = self.funding.setdefault((venue, symbol), {})
                rates[to_millis(output.at)] = float(output.rate)


def import_tape(tape: Tape, to: Path, progress: Progress = lambda count, at: None) -> Imported:
    """Watch what was taped again, and write what follows in the layout of data directories.

    Raises:
        ConfigurationError: a file that would be written is there already.
    """
    imported, gathered = Imported(), _Gathered()
    watching = TapeWatch(tape)
    if not watching.heads():
        imported.holes.append("no run begins on this tape: there are ticks to import, but no candles")
    for step in watching.run():
        match step:
            case Hole():
                imported.holes.append(str(step))
            case Happened():
                for output in step.outputs:
                    gathered.take(output)
                if watching.inputs % 10_000 == 0:
                    progress(watching.inputs, step.at)
    if watching.skipped and watching.since is not None:
        imported.holes.append(
            f"{watching.skipped} inputs before {watching.since:%Y-%m-%d %H:%M:%S} are left out: their run began on "
            "segments that are gone"
        )
    imported.corrected = gathered.corrected
    for name, frame in (*_series(gathered), *_ticks(tape)):
        imported.files[name] = _write(to / name, frame)
    return imported


def _series(gathered: _Gathered) -> Iterator[tuple[str, pl.LazyFrame]]:
    for (venue, symbol), bars in sorted(gathered.bars.items()):
        rows = [(opened, *figures) for opened, figures in sorted(bars.items())]
        table = pl.LazyFrame(rows, schema=_BAR_COLUMNS, orient="row")
        yield f"ohlcv/{FOLDERS[venue]}/{symbol}-{BASE}.parquet", table
    for (venue, symbol), rates in sorted(gathered.funding.items()):
        table = pl.LazyFrame(sorted(rates.items()), schema=_FUNDING_COLUMNS, orient="row")
        yield f"funding/{FOLDERS[venue]}/{symbol}.parquet", table


def _ticks(tape: Tape) -> Iterator[tuple[str, pl.LazyFrame]]:
    """One file an instrument and kind, named after the day on which it begins."""
    for venue in Venue:
        for table, suffix, columns in _TICK_FILES:
            ticks = tape.ticks(venue, table)
            if ticks is None:
                continue
            first = ticks.group_by("symbol").agg(pl.col("received").min()).sort("symbol").collect()
            for symbol, received in first.iter_rows():
                day = f"{from_millis(received // _MICROS_IN_MS):%Y-%m-%d}"
                of_it = ticks.filter(pl.col("symbol") == symbol).select(
                    *columns, local_ns=pl.col("received") * 1_000
                )
                yield f"ticks/{FOLDERS[venue]}/{symbol}-{suffix}.{day}.parquet", of_it


_TICK_FILES: Final = (
    (
        Table.TRADES,
        "trades",
        (
            pl.col("at").alias("trade_ms"),
            pl.col("number").alias("trade_id"),
            figure("price").alias("price"),
            figure("quantity").alias("qty"),
            (~pl.col("taker_buys")).alias("buyer_is_maker"),
        ),
    ),
    (
        Table.BOOK,
        "bookticker",
        (
            pl.col("at").alias("event_ms"),
            figure("bid").alias("bid"),
            figure("bid_quantity").alias("bid_qty"),
            figure("ask").alias("ask"),
            figure("ask_quantity").alias("ask_qty"),
        ),
    ),
    (
        Table.MARKS,
        "marks",
        (
            pl.col("at").alias("event_ms"),
            figure("mark_price").alias("mark_price"),
            figure("index_price").alias("index_price"),
            figure("funding_rate").alias("funding_rate"),
            pl.col("next_funding"),
        ),
    ),
)


def _write(path: Path, table: pl.LazyFrame) -> int:
    if path.exists():
        raise ConfigurationError(f"{path} is there already: import into an empty folder")
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    table.sink_parquet(unfinished, compression="zstd")
    unfinished.rename(path)
    return int(pl.scan_parquet(path).select(pl.len()).collect().item())


def _figures(bar: Candle | object) -> Figures:
    return tuple(float(getattr(bar, name)) for name in ("open", "high", "low", "close", "volume"))  # type: ignore[return-value]
