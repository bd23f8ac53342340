"""A segment of the tape under way, in parts of some seconds, and how it is sealed.

TAPE/open/<segment>/<venue>-<table>-<number>.parquet    a part: whole or not there, whatever is killed
TAPE/<venue>/<table>/<segment>.parquet                  sealed: all parts of a table in one file

A segment's name says when it began and its first sequence number; names sort by time.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Final

import polars as pl

from nexus_common.contracts.feed import TapeSealed
from nexus_common.contracts.values import Venue
from nexus_data.tape_format import Table, file_name

OPEN: Final = "open"
UNFINISHED: Final = ".unfinished"
# On raw frames level 9 takes a fifth off what level 3 leaves; beyond it only the time grows.
LEVEL: Final = 9
PART_LEVEL: Final = 1
ROW_GROUP: Final = 100_000
_NAME: Final = re.compile(r"(\d{8}T\d{6}Z)-(\d+)")
_PART: Final = re.compile(r"(?P<venue>[a-z]+)-(?P<table>[a-z]+)-\d+\.parquet")
_BLOCK: Final = 1 << 20


def segment_name(began: datetime, sequence: int) -> str:
    return f"{began:%Y%m%dT%H%M%SZ}-{sequence:012d}"


def began_at(segment: str) -> datetime | None:
    """When a segment began; None: this is no segment's name."""
    match = _NAME.fullmatch(segment)
    return None if match is None else datetime.strptime(match[1], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)


def first_sequence(segment: str) -> int:
    """The number of a segment's first input, as its name says; 0: it has ticks alone."""
    match = _NAME.fullmatch(segment)
    return 0 if match is None else int(match[2])


def hash_of(path: Path) -> str:
    digest = sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Seal:
    """What became of a segment: the facts about its files, and the parts that could not be read."""

    sealed: tuple[TapeSealed, ...]
    unreadable: tuple[str, ...]


class OpenSegment:
    """The segment that is being written, or one that a crash left behind."""

    def __init__(self, tape: Path, name: str) -> None:
        self.name = name
        self._tape = tape
        self._folder = tape / OPEN / name
        self._parts = 0

    def write(self, venue: Venue, table: Table, rows: pl.DataFrame) -> None:
        """One part; it appears under its name when it is complete."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._parts += 1
        path = self._folder / f"{venue}-{table}-{self._parts:06d}.parquet"
        unfinished = path.with_suffix(UNFINISHED)
        rows.write_parquet(unfinished, compression="zstd", compression_level=PART_LEVEL, statistics=False)
        unfinished.rename(path)

    def seal(self) -> Seal:
        """Join the parts to one file a venue and table, then remove them.

        A crash within leaves all parts, and sealing again gives the same files, or none under their name.
        """
        sealed: list[TapeSealed] = []
        unreadable: list[str] = []
        for (venue, table), parts in sorted(_by_table(self._folder).items()):
            rows = {part: rows_in(part) for part in parts}
            readable = [part for part in parts if rows[part]]
            unreadable += [part.name for part in parts if rows[part] is None]
            if readable:
                sealed.append(self._join(venue, table, readable))
        self._remove_parts()
        return Seal(tuple(sealed), tuple(unreadable))

    def _remove_parts(self) -> None:
        done = self._folder.with_name(f"{self.name}.sealed")
        shutil.rmtree(done, ignore_errors=True)
        if self._folder.is_dir():
            self._folder.rename(done)
        shutil.rmtree(done, ignore_errors=True)

    def _join(self, venue: Venue, table: Table, parts: list[Path]) -> TapeSealed:
        path = self._tape / file_name(venue, table, self.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(UNFINISHED)
        pl.scan_parquet(parts).sink_parquet(
            unfinished,
            compression="zstd",
            compression_level=LEVEL,
            row_group_size=ROW_GROUP,
            statistics=False,
        )
        with unfinished.open("rb") as file:
            os.fsync(file.fileno())
        unfinished.rename(path)
        return describe(self._tape, path)


def describe(tape: Path, path: Path) -> TapeSealed:
    """The fact about a sealed file, read from it."""
    column = pl.col("received")
    facts = pl.scan_parquet(path).select(first=column.min(), last=column.max(), rows=pl.len()).collect()
    first, last, rows = facts.row(0)
    return TapeSealed(
        venue=Venue(path.parts[-3]),
        name=path.relative_to(tape).as_posix(),
        first=from_micros(first),
        last=from_micros(last),
        rows=rows,
        size_bytes=path.stat().st_size,
        sha256=hash_of(path),
    )


def left_open(tape: Path) -> list[OpenSegment]:
    """Segments that nobody sealed, oldest first."""
    return [OpenSegment(tape, folder.name) for folder in open_folders(tape)]


def open_folders(tape: Path) -> list[Path]:
    return sorted(path for path in (tape / OPEN).glob("*") if began_at(path.name) is not None)


def parts_of(folder: Path, venue: Venue, table: Table) -> list[Path]:
    """The readable parts of one table of an open segment, in the order of their writing."""
    return [part for part in _by_table(folder).get((venue, table), []) if rows_in(part) is not None]


def _by_table(folder: Path) -> dict[tuple[Venue, Table], list[Path]]:
    found: dict[tuple[Venue, Table], list[Path]] = {}
    for path, match in _matching(folder):
        found.setdefault((Venue(match["venue"]), Table(match["table"])), []).append(path)
    return found


def _matching(folder: Path) -> Iterator[tuple[Path, re.Match[str]]]:
    for path in sorted(folder.glob("*.parquet")):
        match = _PART.fullmatch(path.name)
        if match is not None:
            yield path, match


def rows_in(path: Path) -> int | None:
    """How many rows a file holds; None: it cannot be read."""
    try:
        return int(pl.scan_parquet(path).select(pl.len()).collect().item())
    except (pl.exceptions.PolarsError, OSError):
        return None


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def from_micros(micros: int) -> datetime:
    return _EPOCH + timedelta(microseconds=micros)


def to_micros(moment: datetime) -> int:
    """Microseconds since the Unix epoch, exactly."""
    return (moment - _EPOCH) // _MICROSECOND
