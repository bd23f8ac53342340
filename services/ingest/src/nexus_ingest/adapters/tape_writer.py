"""Writes the tape, off the hot path: taking something is an append to a list, a thread does the rest.

Every few seconds what was taken becomes parts on disk; at the end of a segment its parts are joined, sealed and
told with their hashes. Memory is bounded: when the thread cannot follow, what comes is counted instead of taped, and
a row of kind `lost` says how much is missing, so that no replay takes the rest for the whole.
"""

from __future__ import annotations

import fcntl
import threading
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, Final

import msgspec
import polars as pl

from nexus_common.contracts.feed import TapeDropped, TapeSealed
from nexus_common.contracts.tick import BookTick, MarkTick, TradeTick
from nexus_common.contracts.values import Venue
from nexus_common.runtime.errors import ConfigurationError
from nexus_common.runtime.log import get_logger
from nexus_data.tape import Tape, oldest_kept
from nexus_data.tape_format import Kind, Table, TapeRow, TickRow, frames_table, ticks_table
from nexus_data.tape_segment import OpenSegment, describe, left_open, segment_name, to_micros
from nexus_ingest.adapters.tape_inputs import row_of, venue_of
from nexus_ingest.domain.readings import BookRead, MarkRead, Reading, TradeRead
from nexus_ingest.domain.watching import Input, Ticks
from nexus_ingest.venues.feed import RawFrame, ReadBy

PART_SECONDS: Final = 4.0
WAITING_MAX: Final = 400_000
WAITING_BYTES_MAX: Final = 256 << 20
LOCK: Final = "writer.lock"
BUSY: Final = "another process writes this tape"
log = get_logger(__name__)


@dataclass(slots=True)
class _Taken:
    """What was taken since the last part: inputs with their numbers and frames, and ticks."""

    inputs: list[tuple[int, Input, RawFrame | None, ReadBy | None]] = field(default_factory=list)
    others: list[tuple[int, Kind, datetime, bytes]] = field(default_factory=list)
    ticks: list[Ticks] = field(default_factory=list)
    size: int = 0
    frame_bytes: int = 0

    @property
    def span(self) -> tuple[datetime, datetime] | None:
        """When the first and the last of it were received; None: there is nothing."""
        times = [given.at for _, given, *_ in (*self.inputs[:1], *self.inputs[-1:])]
        times += [at for _, _, at, _ in (*self.others[:1], *self.others[-1:])]
        times += [ticks.at for ticks in (*self.ticks[:1], *self.ticks[-1:])]
        return (min(times), max(times)) if times else None

    @property
    def first_number(self) -> int:
        return min((row[0] for rows in (self.inputs, self.others) for row in rows[:1]), default=0)


class TapeWriter:
    """The tape of one ingest. `keeper` is the venue among whose frames stands what concerns no single venue."""

    def __init__(
        self, folder: Path, keeper: Venue, *, frames: bool, segment_minutes: int, keep_days: int
    ) -> None:
        self._folder = folder
        self._keeper = keeper
        self._with_frames = frames
        self._length = timedelta(minutes=segment_minutes)
        self._keep_days = keep_days
        self._lock = threading.Lock()
        self._taken = _Taken()
        self._number = 0
        self._lost = 0
        self._lost_in_all = 0
        self._problem = ""
        self._lock_file: IO[bytes] | None = None
        self._wants_state = False
        self._left: list[OpenSegment] = []
        self._noted: frozenset[str] = frozenset()
        self._segment: OpenSegment | None = None
        self._ends: datetime | None = None
        self._facts: deque[TapeSealed | TapeDropped] = deque()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="tape", daemon=True)

    def open(self, noted: Collection[str] = ()) -> None:
        """Begin. The thread first seals what a crash left, and tells of sealed files behind those that are `noted`.

        Two processes cannot write one tape: while another one holds it, nothing is taped and all is counted as lost.

        Raises:
            ConfigurationError: the folder cannot be written.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(f"the tape cannot be written to {self._folder}: {error}") from error
        self._noted = frozenset(noted)
        if not self._take_over():
            self._say(BUSY)
        self._thread.start()

    def close(self) -> None:
        """Write and seal what there is."""
        self._stop.set()
        self._thread.join()

    def take(self, given: Input, frame: RawFrame | None = None, read_by: ReadBy | None = None) -> None:
        """An input of the watch, before the watch gets it; what was heard or refused comes with its frame."""
        if not self._with_frames:
            return
        with self._lock:
            if self._has_room(1, 0 if frame is None else len(frame)):
                self._number += 1
                self._taken.inputs.append((self._number, given, frame, read_by))

    def started(self, at: datetime, conditions: object) -> None:
        """What the watch is made with: a replay from here makes its own so. Anything that msgspec encodes."""
        with self._lock:
            self._wants_state = False
            self._note(Kind.STARTED, at, msgspec.json.encode(conditions))

    @property
    def wants_state(self) -> bool:
        """Whether a segment has begun that cannot be watched again without those before it."""
        return self._wants_state and self._with_frames and self._lock_file is not None

    def stands(self, at: datetime, standing: bytes) -> None:
        """What the watch remembers, between two inputs: a replay may begin from here."""
        with self._lock:
            self._wants_state = False
            self._note(Kind.STATE, at, standing)

    def take_ticks(self, ticks: Ticks) -> None:
        """Ticks for the columns."""
        with self._lock:
            if self._has_room(len(ticks.readings)):
                self._taken.ticks.append(ticks)

    def facts(self) -> list[TapeSealed | TapeDropped]:
        """What was sealed and dropped since this was last asked, to be recorded."""
        facts = []
        while self._facts:
            facts.append(self._facts.popleft())
        return facts

    @property
    def health(self) -> Mapping[str, object]:
        """For the health page: rows that wait for the thread, rows lost, what went wrong last."""
        problem = self._problem
        if self._thread.ident is not None and not self._thread.is_alive() and not self._stop.is_set():
            problem = "nothing is written any more: its thread has ended, see the log"
        return {"waiting": self._taken.size, "lost": self._lost_in_all, "problem": problem}

    def _has_room(self, rows: int, frame_bytes: int = 0) -> bool:
        taken = self._taken
        is_full = taken.size + rows > WAITING_MAX or taken.frame_bytes + frame_bytes > WAITING_BYTES_MAX
        if is_full or self._lock_file is None:
            self._lost += rows
            self._lost_in_all += rows
            return False
        taken.size += rows
        taken.frame_bytes += frame_bytes
        return True

    def _note(self, kind: Kind, at: datetime, payload: bytes) -> None:
        if self._with_frames and self._lock_file is not None:
            self._number += 1
            self._taken.others.append((self._number, kind, at, payload))

    # -- in the thread --------------------------------------------------------------------------------

    def _work(self) -> None:
        while self._lock_file is None and not self._stop.wait(PART_SECONDS):
            self._guarded(self._take_over)
        if self._lock_file is None:
            return
        self._guarded(self._settle)
        while not self._stop.wait(PART_SECONDS):
            self._guarded(self._write_part)
        self._guarded(self._write_part)
        # What was lost since is noted by now, and not written.
        self._guarded(self._write_part)
        self._guarded(self._seal)
        self._lock_file.close()

    def _guarded(self, work: Callable[[], object]) -> None:
        """A full disk must not end trading; a replay finds the hole in the numbers."""
        try:
            work()
        except (OSError, ValueError, pl.exceptions.PolarsError) as error:
            self._say(str(error))
        else:
            self._say(BUSY if self._lock_file is None else "")

    def _say(self, problem: str) -> None:
        """Once, however long it lasts."""
        if problem and not self._problem:
            log.error("the tape cannot be written", folder=str(self._folder), reason=problem)
        elif self._problem and not problem:
            log.warning("the tape is written again", folder=str(self._folder), rows_lost=self._lost_in_all)
        self._problem = problem

    def _take_over(self) -> bool:
        """Become the one who writes the tape; it is let go of however the process ends."""
        held = (self._folder / LOCK).open("wb")
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            held.close()
            return False
        number, left = Tape(self._folder).last_sequence(), left_open(self._folder)
        with self._lock:
            self._number, self._left, self._lock_file = number, left, held
            self._wants_state = True
        return True

    def _settle(self) -> None:
        """Seal what was left open, and tell what nobody could be told of."""
        self._seal_left()
        told = {fact.name for fact in self._facts} | self._noted
        for file in Tape(self._folder).untold(self._noted):
            if file.name not in told and file.is_readable:
                self._facts.append(describe(self._folder, file.path))

    def _write_part(self) -> None:
        taken = self._swapped()
        if taken.span is not None:
            self._roll(*taken.span, taken.first_number)
            self._write(taken)

    def _swapped(self) -> _Taken:
        """What was taken. What was lost stands at the beginning of what comes next."""
        with self._lock:
            taken, self._taken = self._taken, _Taken()
            if self._lost and taken.span is not None:
                log.error("not taped: the disk cannot follow", rows=self._lost, folder=str(self._folder))
                self._note(Kind.LOST, taken.span[1], msgspec.json.encode(self._lost))
                self._lost = 0
            return taken

    def _roll(self, first: datetime, last: datetime, number: int) -> None:
        """Begin the next segment when it is time. What is too old goes first: sealing may need its room."""
        if self._ends is not None and last >= self._ends:
            self._facts += Tape(self._folder).drop_before(oldest_kept(last, self._keep_days))
            self._segment_ends()
            self._segment, self._ends = (
                OpenSegment(self._folder, segment_name(first, number)),
                first + self._length,
            )
            self._wants_state = True
            self._guarded(self._seal_left)
        elif self._segment is None:
            self._segment, self._ends = (
                OpenSegment(self._folder, segment_name(first, number)),
                first + self._length,
            )

    def _seal(self) -> None:
        self._segment_ends()
        self._seal_left()

    def _segment_ends(self) -> None:
        segment, self._segment, self._ends = self._segment, None, None
        if segment is not None:
            self._left.append(segment)

    def _seal_left(self) -> None:
        """What cannot be sealed now, is with the next one."""
        while self._left:
            seal = self._left[0].seal()
            if seal.unreadable:
                log.error(
                    "parts of the tape could not be read", segment=self._left[0].name, parts=seal.unreadable
                )
            self._facts += seal.sealed
            del self._left[0]

    def _write(self, taken: _Taken) -> None:
        segment = self._segment
        assert segment is not None
        for venue, inputs in self._frames(taken).items():
            segment.write(venue, Table.FRAMES, frames_table(inputs))
        for (venue, table), ticks in _columns(taken.ticks).items():
            rows = ticks_table(table, ticks)
            if len(rows):
                segment.write(venue, table, rows)

    def _frames(self, taken: _Taken) -> dict[Venue, list[TapeRow]]:
        rows: dict[Venue, list[TapeRow]] = {}
        for number, given, frame, read_by in taken.inputs:
            row = row_of(number, given, frame, read_by)
            rows.setdefault(venue_of(given) or self._keeper, []).append(row)
        if taken.others:
            kept = rows.setdefault(self._keeper, [])
            kept += [
                TapeRow(number, to_micros(at), kind.value, "", data)
                for number, kind, at, data in taken.others
            ]
            kept.sort()
        return rows


def _columns(taken: Sequence[Ticks]) -> dict[tuple[Venue, Table], list[TickRow]]:
    rows: dict[tuple[Venue, Table], list[TickRow]] = {}
    for ticks in taken:
        received = to_micros(ticks.at)
        for reading in ticks.readings:
            row = _tick(received, reading)
            if row is not None:
                table, values = row
                rows.setdefault((ticks.venue, table), []).append(values)
    return rows


def _tick(received: int, reading: Reading) -> tuple[Table, TickRow] | None:
    match reading:
        case TradeRead():
            return Table.TRADES, (received, reading.symbol, TradeTick._make(reading[1:]))
        case BookRead():
            return Table.BOOK, (received, reading.symbol, BookTick._make(reading[1:]))
        case MarkRead():
            return Table.MARKS, (received, reading.symbol, MarkTick._make(reading[1:]))
        case _:
            return None  # candles are events, halts too
