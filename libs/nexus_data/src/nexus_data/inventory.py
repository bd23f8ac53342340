"""What is in a data directory: each file by its place and name, without judging what it holds.

`ohlcv/<venue>/`, `quotebars/<venue>/` and `ticks/<venue>/` hold `<SYMBOL>-<interval or kind>[.<span>].<ending>`,
`funding/<venue>/<SYMBOL>.parquet`, `sentiment/<name>.csv`, `tape/` what was recorded live.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from nexus_common.runtime.errors import ConfigurationError

_NAME = re.compile(r"(?P<symbol>[^-]+)-(?P<what>[^.]+)(?:\.(?P<span>.+?))?\.(?P<ending>parquet|csv|jsonl|gz)")
_INTERVAL = re.compile(r"(?P<count>\d+)(?P<unit>[smhdw])")
_UNIT_MILLIS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
US = "us"


class Kind(StrEnum):
    BARS = "bars"
    QUOTE_BARS = "quote bars"
    FUNDING = "funding"
    TICKS = "ticks"
    SENTIMENT = "sentiment"
    TAPE = "tape"


_FOLDERS = {
    "ohlcv": Kind.BARS,
    "quotebars": Kind.QUOTE_BARS,
    "funding": Kind.FUNDING,
    "ticks": Kind.TICKS,
    "sentiment": Kind.SENTIMENT,
}


@dataclass(frozen=True, slots=True)
class DataFile:
    """One file by its name. `what` is the interval of bars, the kind of ticks; `span` tells two spans apart."""

    kind: Kind
    venue: str
    symbol: str
    what: str
    span: str
    path: Path
    name: str

    @property
    def interval_millis(self) -> int | None:
        """Length of a bar; None for anything else."""
        match = _INTERVAL.fullmatch(self.what)
        return int(match["count"]) * _UNIT_MILLIS[match["unit"]] if match else None

    @property
    def size_bytes(self) -> int:
        return self.path.stat().st_size


def files_in(directory: Path) -> list[DataFile]:
    """All files that belong to a data directory, by kind, venue, symbol and interval.

    Raises:
        ConfigurationError: there is no such directory, or nothing in it that could be data.
    """
    if not directory.is_dir():
        raise ConfigurationError(f"{directory} is not a directory: give the path of a data directory")
    found = [
        file
        for folder, kind in _FOLDERS.items()
        for path in (directory / folder).rglob("*")
        if path.is_file() and (file := _file(directory, kind, path)) is not None
    ]
    found += _tape(directory)
    if not found:
        raise ConfigurationError(
            f"{directory} holds no market data: expected ohlcv/<venue>/<SYMBOL>-<interval>.parquet, funding/, "
            "ticks/, sentiment/ or tape/ in it (`nexus data download` or `nexus data import` fills one)"
        )
    order = list(Kind)
    return sorted(
        found, key=lambda f: (order.index(f.kind), f.venue, f.symbol, f.interval_millis or 0, f.name)
    )


def bar_files(folder: Path) -> list[DataFile]:
    """The files of bars in one venue's folder."""
    files = (_file(folder.parent.parent, Kind.BARS, path) for path in sorted(folder.glob("*.parquet")))
    return [file for file in files if file is not None]


def _file(directory: Path, kind: Kind, path: Path) -> DataFile | None:
    name = path.relative_to(directory).as_posix()
    venue = path.parent.name
    if kind is Kind.SENTIMENT:
        return DataFile(kind, "", path.stem, "1d", "", path, name) if path.suffix == ".csv" else None
    if kind is Kind.FUNDING:
        return DataFile(kind, venue, path.stem, "", "", path, name) if path.suffix == ".parquet" else None
    match = _NAME.fullmatch(path.name)
    if match is None or (kind in (Kind.BARS, Kind.QUOTE_BARS) and match["ending"] != "parquet"):
        return None
    return DataFile(kind, venue, match["symbol"], match["what"], match["span"] or "", path, name)


def _tape(directory: Path) -> list[DataFile]:
    return [
        DataFile(Kind.TAPE, path.parent.parent.name, "", path.parent.name, path.stem, path, name)
        for path in (directory / "tape").rglob("*.parquet")
        if (name := path.relative_to(directory).as_posix())
    ]
