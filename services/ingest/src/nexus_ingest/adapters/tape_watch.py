"""The watch again, over what is on the tape: its frames are decoded anew, its outputs come out anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec

from nexus_common.contracts.values import Symbol, Venue
from nexus_data.tape import Tape
from nexus_data.tape_format import Kind, TapeRow
from nexus_data.tape_segment import from_micros
from nexus_ingest.adapters.tape_inputs import FRAMES, input_of
from nexus_ingest.domain.market_watch import MarketWatch
from nexus_ingest.domain.readings import Reading
from nexus_ingest.domain.watch_rules import Series, WatchedVenue, WatchRules
from nexus_ingest.domain.watch_state import WatchState
from nexus_ingest.domain.watching import Output
from nexus_ingest.venues.alpaca import frames as alpaca
from nexus_ingest.venues.binance.frames import BinanceTalk
from nexus_ingest.venues.bybit.frames import BybitTalk
from nexus_ingest.venues.feed import RawFrame
from nexus_ingest.venues.polygon import frames as polygon

Hear = Callable[[RawFrame], Sequence[Reading]]
"""What a frame says, read behind the earlier ones of its connection; raises UnreadableFrame."""
Names = Mapping[str, Symbol]
"""Our symbols by the venue's names, which are the same."""


def _binance(names: Names, memory: object) -> Hear:
    return BinanceTalk(names).hear


def _bybit(names: Names, memory: object) -> Hear:
    return BybitTalk(names, {}, memory).hear


READERS: Final[Mapping[str, Callable[[Names, object], Hear]]] = {
    "binance": _binance,
    "bybit": _bybit,
    "alpaca": lambda names, memory: lambda frame: alpaca.read(frame).of(names),
    "polygon": lambda names, memory: lambda frame: polygon.read(frame).of(names),
}


class Conditions(msgspec.Struct, frozen=True):
    """What a watch is made with; stands on the tape before its first input.

    `head` is the global position of the last event that was on record by then; `readers` says by venue whose
    frames they are, for stocks come from Alpaca or from Polygon.
    """

    head: int
    rules: WatchRules
    venues: tuple[WatchedVenue, ...]
    known: tuple[tuple[Series, int], ...]
    readers: dict[Venue, str]

    def watch(self, state: WatchState | None = None) -> MarketWatch:
        return MarketWatch(self.rules, self.venues, dict(self.known), state)

    def hear(self, venue: Venue, memory: object = None) -> Hear:
        """A connection of the venue, with nothing heard on it but what it remembers."""
        symbols = next(each.symbols for each in self.venues if each.venue is venue)
        return READERS[self.readers[venue]]({symbol: symbol for symbol in symbols}, memory)


class Standing(msgspec.Struct, frozen=True):
    """A watch in the middle of its run, by which a tape whose beginning was dropped can be watched again.

    `conditions.head` is the global position of the last event on record, when all that had followed from earlier
    inputs was there; `memories` is what connections have to know to read on, by venue and reader.
    """

    conditions: Conditions
    state: WatchState
    memories: dict[Venue, dict[str, Any]]

    def encoded(self) -> bytes:
        """As msgpack, which has keys that are no texts."""
        return msgspec.msgpack.encode(self)


def _standing(row: TapeRow) -> Standing:
    return msgspec.msgpack.decode(row.payload, type=Standing)


@dataclass(frozen=True, slots=True)
class Hole:
    """Inputs that were taken and are not on the tape."""

    first: int
    last: int
    at: datetime

    def __str__(self) -> str:
        return f"inputs {self.first} to {self.last} are not on the tape, before {self.at.isoformat()}"


@dataclass(frozen=True, slots=True)
class Happened:
    """An input was given to the watch: where it stands on the tape, and what followed."""

    sequence: int
    at: datetime
    outputs: Sequence[Output]


class TapeWatch:
    """Gives the inputs of a tape to watches made as they were made then."""

    def __init__(self, tape: Tape) -> None:
        self.inputs = 0
        self.frames = 0
        self.skipped = 0
        self.since: datetime | None = None
        self._tape = tape
        self._watch: MarketWatch | None = None
        self._conditions: Conditions | None = None
        self._connections: dict[tuple[Venue, str], Hear] = {}

    def heads(self) -> list[int]:
        """Where the record stood as each run on the tape began, or where the first is taken up."""
        began = self._tape.inputs_of(Kind.STARTED)
        heads = [_conditions(row).head for row in began]
        states = self._tape.inputs_of(Kind.STATE)
        if states and (not began or states[0].sequence < began[0].sequence):
            heads.insert(0, _standing(states[0]).conditions.head)
        return heads

    def run(self) -> Iterator[Conditions | Hole | Happened]:
        """Everything in order. A run whose beginning is gone is taken up where the state of its watch stands on the
        tape, at `since`; `skipped` counts the inputs before."""
        before: int | None = None
        for venue, row in self._tape.inputs():
            at = from_micros(row.received)
            if before is not None and row.sequence > before + 1:
                yield Hole(before + 1, row.sequence - 1, at)
            before = row.sequence
            match row.kind:
                case Kind.STARTED:
                    yield self._begin(row)
                case Kind.LOST:
                    # They had no numbers: the row stands in their place.
                    yield Hole(row.sequence, row.sequence, at)
                case Kind.STATE:
                    if self._watch is None:
                        yield self._take_up(row)
                case _ if self._watch is None:
                    self.skipped += 1
                case _:
                    yield self._give(self._watch, venue, row, at)

    def _begin(self, row: TapeRow) -> Conditions:
        conditions = _conditions(row)
        self._watch, self._conditions = conditions.watch(), conditions
        self._connections.clear()
        return conditions

    def _take_up(self, row: TapeRow) -> Conditions:
        standing = _standing(row)
        self.since = from_micros(row.received)
        self._conditions = standing.conditions
        self._watch = standing.conditions.watch(standing.state)
        for venue, memories in standing.memories.items():
            for reader, memory in memories.items():
                self._connections[venue, reader] = standing.conditions.hear(venue, memory)
        return standing.conditions

    def _give(self, watch: MarketWatch, venue: Venue, row: TapeRow, at: datetime) -> Happened:
        if row.kind == Kind.CLOSED:
            self._forget(venue, row.connection)
        given = input_of(venue, row, self._decode)
        self.inputs += 1
        self.frames += row.kind in FRAMES
        return Happened(row.sequence, at, watch.take(given))

    def _forget(self, venue: Venue, line: str) -> None:
        """A line that is closed has no connection left."""
        gone = [key for key in self._connections if key[0] is venue and key[1].partition("/")[0] == line]
        for key in gone:
            del self._connections[key]

    def _decode(self, venue: Venue, reader: str, frame: RawFrame) -> Sequence[Reading]:
        hear = self._connections.get((venue, reader))
        if hear is None:
            assert self._conditions is not None
            hear = self._connections[venue, reader] = self._conditions.hear(venue)
        return hear(frame)


def _conditions(row: TapeRow) -> Conditions:
    return msgspec.json.decode(row.payload, type=Conditions)
