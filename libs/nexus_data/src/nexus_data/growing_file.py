"""A Parquet file of a data directory that grows: what it lacks, rows added, written so that it is never half there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from nexus_common.contracts.market import Bar
from nexus_common.runtime.errors import ConfigurationError
from nexus_data.bar_file import COLUMNS
from nexus_data.findings import Span, day_and_time
from nexus_data.inventory import DataFile
from nexus_data.sessions import us_sessions
from nexus_market.candles import Millis, from_millis, to_millis

Schema = Mapping[str, type[pl.DataType]]
BAR_SCHEMA: Schema = {"open_time": pl.Int64, **dict.fromkeys(COLUMNS[1:], pl.Float64)}
FUNDING_SCHEMA: Schema = {"funding_time": pl.Int64, "funding_rate": pl.Float64}
_WEEKEND = 4 * 86_400_000
Rows = Sequence[tuple[int | float, ...]]


class GrowingFile:
    """Rows by the first column of `schema`, rising, each once; more columns of a file that is there are kept.

    Raises:
        ConfigurationError: the file that is there cannot be read, or has not these columns.
    """

    def __init__(self, path: Path, schema: Schema) -> None:
        self.path = path
        self._schema = schema
        self._key = next(iter(schema))
        self._frame = _read(path, schema)
        self._added: list[pl.DataFrame] = []

    @property
    def times(self) -> Millis:
        """The first column of the rows that are written."""
        return self._frame[self._key].to_numpy()

    @property
    def unwritten(self) -> int:
        return sum(map(len, self._added))

    def add(self, rows: Rows | pl.DataFrame) -> None:
        """Rows in the order of the schema's columns."""
        if not isinstance(rows, pl.DataFrame):
            rows = pl.DataFrame(rows, schema=dict(self._schema), orient="row")
        if not rows.is_empty():
            self._added.append(rows)

    def write(self) -> int:
        """Write what was added, beside the file and then in its place; how many rows are new to it.

        A row that is there already is left as it is.
        """
        before = len(self._frame)
        if self._added:
            joined = pl.concat([self._frame, *self._added], how="diagonal")
            self._frame = joined.unique(self._key, keep="first", maintain_order=True).sort(self._key)
            self._added = []
            self.path.parent.mkdir(parents=True, exist_ok=True)
            unfinished = self.path.with_suffix(".unfinished")
            self._frame.write_parquet(unfinished, compression="zstd")
            unfinished.replace(self.path)
        return len(self._frame) - before


def _read(path: Path, schema: Schema) -> pl.DataFrame:
    if not path.exists():
        return pl.DataFrame(schema=dict(schema))
    try:
        frame = pl.read_parquet(path)
        return frame.with_columns(pl.col(name).cast(kind) for name, kind in schema.items())
    except (pl.exceptions.PolarsError, OSError) as error:
        raise ConfigurationError(f"{path} cannot be added to ({error}): repair or remove it") from error


def bar_row(bar: Bar) -> tuple[int | float, ...]:
    return (bar.open_time, *(float(figure) for figure in bar[1:]))


def missing_bars(times: Millis, first: int, last: int, slot: int) -> list[Span]:
    """Stretches of opens from `first` up to, not including, `last` that are not among `times`: first and last open."""
    grid = np.arange(-(-first // slot) * slot, last, slot, dtype=np.int64)
    lacking = grid[~np.isin(grid, times)]
    if not len(lacking):
        return []
    edges = np.flatnonzero(np.diff(lacking) > slot)
    begins = np.concatenate([[0], edges + 1])
    ends = np.concatenate([edges, [len(lacking) - 1]])
    return [(int(lacking[begin]), int(lacking[end])) for begin, end in zip(begins, ends, strict=True)]


def missing_sessions(times: Millis, first: int, last: int) -> list[Span]:
    """Trading days without a bar, with their extended hours; a day that has begun is asked for from its last bar on."""
    spans = []
    for session in us_sessions().between(from_millis(first).date(), from_millis(last).date()):
        opens, closes = (to_millis(at) for at in (session.extended.opens, session.extended.closes))
        begin, end = max(opens, first), min(closes, last) - 1
        inside = times[(times >= opens) & (times < closes)]
        if begin <= end and not len(inside):
            spans.append((begin, end))
        elif len(inside) and len(times) and int(inside[-1]) == int(times[-1]) and int(times[-1]) < end:
            spans.append((max(int(times[-1]) + 1, begin), end))
    return _joined(spans)


def _joined(spans: list[Span]) -> list[Span]:
    """Neighbouring days as one question."""
    joined: list[Span] = []
    for begin, end in spans:
        if joined and begin - joined[-1][1] < _WEEKEND:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((begin, end))
    return joined


def pieces(spans: Iterable[Span], size: int) -> Iterator[Span]:
    """Spans cut so that none is longer than `size` milliseconds."""
    for first, last in spans:
        for begin in range(first, last + 1, size):
            yield begin, min(begin + size - 1, last)


def refuse_overlap(files: Iterable[DataFile], path: Path, first: int, last: int) -> None:
    """Another file of the same series may not hold what is to go into this one; raises ConfigurationError."""
    for file in files:
        times = pl.scan_parquet(file.path).select(
            pl.min("open_time").alias("a"), pl.max("open_time").alias("b")
        )
        begins, ends = times.collect().row(0)
        if file.path != path and begins is not None and begins < last and first <= ends:
            raise ConfigurationError(
                f"{file.name} has bars of this span already (to {day_and_time(ends)}): "
                "choose another span, or move that file away"
            )
