"""The watch's inputs as rows of the tape, and back.

A frame is kept as it came and is decoded again by whoever reads the tape; a refused one is kept behind the reason
for which it was refused, since not only decoding refuses (size, text that is none). All else is JSON of its fields.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from nexus_common.contracts.message import Event
from nexus_common.contracts.values import Venue
from nexus_data.tape_format import Kind, TapeRow
from nexus_data.tape_segment import from_micros, to_micros
from nexus_ingest.domain.readings import Reading, UnreadableFrame
from nexus_ingest.domain.watching import (
    Answered,
    Closed,
    Heard,
    Input,
    Opened,
    Refused,
    Scheduled,
    ServerTime,
    TimePassed,
    Unanswered,
)
from nexus_ingest.venues.feed import RawFrame, ReadBy

Decode = Callable[[Venue, str, RawFrame], Sequence[Reading]]
"""What a frame says to the connection that read it; raises UnreadableFrame."""
FRAMES: Final = frozenset({Kind.TEXT.value, Kind.BINARY.value, Kind.PARTLY.value})

_KINDS: Final[dict[type[Input], Kind]] = {
    Refused: Kind.REFUSED,
    Opened: Kind.OPENED,
    Closed: Kind.CLOSED,
    Answered: Kind.ANSWERED,
    Unanswered: Kind.UNANSWERED,
    ServerTime: Kind.SERVER_TIME,
    Scheduled: Kind.SCHEDULED,
    TimePassed: Kind.TIME_PASSED,
}
_TYPES: Final = {kind.value: type_ for type_, kind in _KINDS.items()}
_BEHIND: Final = b"\n"


class _Counts(msgspec.Struct, frozen=True):
    """Stands before a frame of kind `partly`: the places of the readings that count."""

    places: tuple[int, ...]
    is_text: bool


def row_of(sequence: int, given: Input, frame: RawFrame | None, read_by: ReadBy | None = None) -> TapeRow:
    """An input as a row; `frame` belongs to Heard and Refused, `read_by` to Heard.

    Raises:
        ValueError: what was heard comes without its frame.
    """
    received = to_micros(given.at)
    connection = getattr(given, "connection", "")
    if isinstance(given, Heard):
        if frame is None:
            raise ValueError(f"a frame heard from {given.venue} has to be taped with its text")
        return _frame_row(sequence, received, frame, read_by or ReadBy(connection))
    payload = msgspec.json.encode(given, enc_hook=_event)
    if frame is not None:
        payload += _BEHIND + _bytes(frame)
    return TapeRow(sequence, received, _KINDS[type(given)].value, connection, payload)


def input_of(venue: Venue, row: TapeRow, decode: Decode) -> Input:
    """The input that a row was made from; a frame says what `decode` finds in it.

    Raises:
        ValueError: this is no kind of input.
    """
    if row.kind in FRAMES:
        return _heard(venue, row, decode)
    if row.kind not in _TYPES:
        raise ValueError(f"row {row.sequence} of the tape is of kind {row.kind}, which is no input")
    fields = row.payload.partition(_BEHIND)[0]
    given: Input = msgspec.json.decode(fields, type=_TYPES[row.kind], dec_hook=_as_event)
    return given


def venue_of(given: Input) -> Venue | None:
    """The venue that an input concerns; None: all of them."""
    if isinstance(given, Scheduled):
        return given.session.venue
    venue: Venue | None = getattr(given, "venue", None)
    return venue


def _event(value: object) -> dict[str, Any]:
    """Events inside an input, as they are stored."""
    if isinstance(value, Event):
        return value.payload()
    raise NotImplementedError(f"{type(value).__name__} cannot be taped")


def _as_event(wanted: type, value: object) -> object:
    if issubclass(wanted, Event):
        return wanted.model_validate(value)
    raise NotImplementedError(f"{wanted.__name__} cannot be read from the tape")


def line_of(row: TapeRow) -> str:
    """The name under which the watch knows the connection."""
    return row.connection.partition("/")[0]


def _frame_row(sequence: int, received: int, frame: RawFrame, read_by: ReadBy) -> TapeRow:
    is_text, payload = isinstance(frame, str), _bytes(frame)
    if read_by.counts is None:
        kind = Kind.TEXT if is_text else Kind.BINARY
    else:
        kind = Kind.PARTLY
        payload = msgspec.json.encode(_Counts(read_by.counts, is_text)) + _BEHIND + payload
    return TapeRow(sequence, received, kind.value, read_by.reader, payload)


def _heard(venue: Venue, row: TapeRow, decode: Decode) -> Input:
    at, connection = from_micros(row.received), line_of(row)
    payload, counts = row.payload, None
    if row.kind == Kind.PARTLY:
        before, _, payload = payload.partition(_BEHIND)
        counts = msgspec.json.decode(before, type=_Counts)
    is_text = row.kind == Kind.TEXT if counts is None else counts.is_text
    try:
        readings = decode(venue, row.connection, payload.decode() if is_text else payload)
    except UnreadableFrame as error:
        return Refused(venue, connection, str(error), "", at)
    if counts is not None:
        readings = [reading for place, reading in enumerate(readings) if place in counts.places]
    return Heard(venue, connection, readings, at)


def _bytes(frame: RawFrame) -> bytes:
    # Half a surrogate pair can come out of a JSON text; it must not stop the tape.
    return frame.encode(errors="replace") if isinstance(frame, str) else frame
