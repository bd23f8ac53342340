"""The tape as it is read: which files there are, its inputs in order, what was changed or is missing."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from heapq import merge
from itertools import chain
from pathlib import Path
from typing import Final

import polars as pl

from nexus_common.contracts.feed import TapeDropped
from nexus_common.contracts.values import Venue
from nexus_common.runtime.errors import ConfigurationError
from nexus_data.tape_format import Kind, Table, TapeRow
from nexus_data.tape_segment import (
    OPEN,
    UNFINISHED,
    began_at,
    first_sequence,
    hash_of,
    open_folders,
    parts_of,
    rows_in,
)

READ_ROWS: Final = 20_000
RETENTION: Final = "retention"
# More than a segment can hold.
UNREADABLE_HOLDS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class TapeFile:
    """A sealed file."""

    name: str
    venue: Venue
    table: Table
    began: datetime
    path: Path

    @property
    def rows(self) -> int | None:
        """None: it cannot be read."""
        return rows_in(self.path)

    @property
    def is_readable(self) -> bool:
        return self.rows is not None

    @property
    def size_bytes(self) -> int:
        return self.path.stat().st_size


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with a file of the tape."""

    name: str
    problem: str

    def __str__(self) -> str:
        return f"{self.name}: {self.problem}"


class Tape:
    """A folder of segments.

    Raises:
        ConfigurationError: there is no such folder.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise ConfigurationError(f"{folder} is not a directory: give the path of a tape (feeds.tape_dir)")
        self.folder = folder

    def sealed(self, table: Table | None = None) -> list[TapeFile]:
        """Sealed files in the order of their inputs, whatever the clock did meanwhile."""
        found = []
        for path in self.folder.glob(f"*/{table or '*'}/*.parquet"):
            began, venue = began_at(path.stem), path.parts[-3]
            if began is not None and path.parent.name in set(Table) and venue in set(Venue):
                name = path.relative_to(self.folder).as_posix()
                found.append(TapeFile(name, Venue(venue), Table(path.parent.name), began, path))
        return sorted(found, key=lambda file: (*_place(file.path.stem), file.name))

    @property
    def is_empty(self) -> bool:
        """Whether nothing was taped here, or nothing is left."""
        return not self.sealed() and not open_folders(self.folder)

    def foreign(self) -> list[str]:
        """Files in the folders of sealed ones that are none."""
        known = {file.path for file in self.sealed()}
        paths = [
            path
            for folder in self.folder.iterdir()
            if folder.is_dir() and folder.name != OPEN
            for path in folder.rglob("*")
            if path.is_file() and path not in known and path.suffix != UNFINISHED
        ]
        return sorted(path.relative_to(self.folder).as_posix() for path in paths)

    def venues(self) -> tuple[Venue, ...]:
        return tuple(venue for venue in Venue if any(True for _ in self._files(venue, Table.FRAMES)))

    def inputs(self) -> Iterator[tuple[Venue, TapeRow]]:
        """The inputs of all venues in the order in which they were taken; memory stays flat."""
        return merge(*(self._rows(venue) for venue in self.venues()), key=lambda pair: pair[1].sequence)

    def inputs_of(self, kind: Kind) -> list[TapeRow]:
        """The inputs of one kind, in order; for kinds that are few."""
        found: list[TapeRow] = []
        for venue in self.venues():
            files = list(self._files(venue, Table.FRAMES))
            rows = pl.scan_parquet(files).filter(pl.col("kind") == kind.value).collect()
            found.extend(map(TapeRow._make, rows.iter_rows()))
        return sorted(found)

    def ticks(self, venue: Venue, table: Table) -> pl.LazyFrame | None:
        """All ticks of one kind of a venue; None: there are none."""
        files = list(self._files(venue, table))
        return pl.scan_parquet(files) if files else None

    def last_sequence(self) -> int:
        """The highest number handed out; 0: the tape is empty. Only the newest files are looked at.

        A newest file that cannot be read leaves room for what it may have held.
        """
        newest = 0
        for venue in Venue:
            files = list(self._files(venue, Table.FRAMES))
            if files:
                newest = max(newest, _highest(files[-1]))
        return newest

    def drop_before(self, moment: datetime) -> list[TapeDropped]:
        """Remove the sealed files of segments that began before `moment`."""
        dropped = []
        for file in self.sealed():
            if file.began < moment:
                file.path.unlink()
                dropped.append(TapeDropped(venue=file.venue, name=file.name, reason=RETENTION))
        return dropped

    def check(self, noted: Mapping[str, str]) -> list[Finding]:
        """Compare the sealed files with the hashes that were noted of them, by name; `untold` ones are left out."""
        findings = [Finding(name, "is no file of a tape") for name in self.foreign()]
        untold = {file.name for file in self.untold(noted)}
        present = {file.name: file for file in self.sealed() if file.name not in untold}
        for name in sorted({*present, *noted}):
            file = present.get(name)
            if file is None:
                findings.append(Finding(name, "is missing: no event says that it was dropped"))
            elif name not in noted:
                findings.append(Finding(name, "no event knows it"))
            elif hash_of(file.path) != noted[name]:
                findings.append(Finding(name, "was changed: its SHA-256 is not the one of its event"))
        return findings

    def untold(self, noted: Collection[str]) -> list[TapeFile]:
        """Files of segments behind the last noted one: sealed as a run ended, and told as the next one begins."""
        last = max((_place(Path(name).stem) for name in noted), default=None)
        return [file for file in self.sealed() if last is None or _place(file.path.stem) > last]

    def _files(self, venue: Venue, table: Table) -> Iterator[Path]:
        sealed = [file.path for file in self.sealed(table) if file.venue is venue]
        names = {path.stem for path in sealed}
        under_way = (
            parts_of(each, venue, table) for each in open_folders(self.folder) if each.name not in names
        )
        return chain(sealed, chain.from_iterable(under_way))

    def _rows(self, venue: Venue) -> Iterator[tuple[Venue, TapeRow]]:
        for path in self._files(venue, Table.FRAMES):
            for row in read_rows(path):
                yield venue, row


def _place(segment: str) -> tuple[int, str]:
    return first_sequence(segment), segment


def _highest(path: Path) -> int:
    try:
        return int(pl.scan_parquet(path).select(pl.col("sequence").max()).collect().item())
    except (pl.exceptions.PolarsError, OSError):
        return first_sequence(path.stem) + UNREADABLE_HOLDS


def read_rows(path: Path) -> Iterator[TapeRow]:
    """The rows of one file of frames, some thousands in memory at a time.

    Raises:
        ConfigurationError: the file cannot be read.
    """
    start = 0
    while True:
        try:
            chunk = pl.scan_parquet(path).slice(start, READ_ROWS).collect()
        except (pl.exceptions.PolarsError, OSError) as error:
            raise ConfigurationError(
                f"{path} cannot be read ({error}): `nexus tape check` says whether it was changed"
            ) from error
        yield from map(TapeRow._make, chunk.iter_rows())
        start += len(chunk)
        if len(chunk) < READ_ROWS:
            return


def oldest_kept(now: datetime, keep_days: int) -> datetime:
    return now - timedelta(days=keep_days)
