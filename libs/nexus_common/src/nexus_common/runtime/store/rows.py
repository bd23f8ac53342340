"""Events as rows: what a batch becomes before it is written, and what is read back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, NamedTuple
from uuid import UUID

import orjson

from nexus_common.contracts.envelope import (
    Envelope,
    Recorded,
    SealedCommand,
    category_of,
    decode,
    encode,
)
from nexus_common.contracts.message import Event
from nexus_common.contracts.values import format_instant
from nexus_common.runtime.ports import Batch

# Columns that repeat what the body says, so that they can be searched.
REPEATED = ("category", "type", "event_id", "account", "causation", "correlation", "occurred_at")


class StoredEvent(NamedTuple):
    """An event exactly as it lies in the store, decoded by nobody; what is verified and exported.

    `columns` has the values of `REPEATED`, where a store keeps such columns.
    """

    position: int
    stream: str
    stream_position: int
    recorded_at: datetime
    fingerprint: str
    body: str
    content_hash: bytes
    chain_hash: bytes
    columns: tuple[Any, ...] = ()


class Snapshot(NamedTuple):
    """A folded state as text, and the position in the stream it was folded up to."""

    position: int
    state: str


@dataclass(frozen=True, slots=True)
class Tail:
    """Where a writer believes a stream to end: its last position and that event's chain hash."""

    stream: str
    position: int
    chain_hash: bytes


@dataclass(frozen=True, slots=True)
class Row:
    """An event ready to be written; only the global position is not known yet."""

    envelope: Envelope[Event]
    body: str
    content_hash: bytes
    chain_hash: bytes
    command_id: UUID | None


@dataclass(frozen=True, slots=True)
class Rows:
    """A batch ready to be written. `commands` has with each command the position of its first event."""

    events: list[Row]
    commands: list[tuple[SealedCommand, int]]
    tails: list[Tail]
    recorded_at: datetime
    fingerprint: str

    def recorded(self, positions: list[int]) -> list[Recorded[Event]]:
        """The events as the store keeps them, once their global positions are known."""
        return [
            Recorded(row.envelope, row.body, position, self.recorded_at, self.fingerprint, row.chain_hash)
            for row, position in zip(self.events, positions, strict=True)
        ]


def rows_of(batch: Batch, recorded_at: datetime, fingerprint: str) -> Rows:
    """Encode, hash and chain a batch.

    A stream may be appended to twice in one batch; the second part is chained to the first, and only the
    first says where the stream is believed to end.

    Raises:
        ValueError: an envelope's stream or position is not the one it is appended at.
    """
    recorded_at = recorded_at.astimezone(UTC)
    rows = Rows([], [], [], recorded_at, fingerprint)
    # `chain_hash` and `content_hash` of the contracts, with what a batch has in common spelled once.
    suffix = (format_instant(recorded_at) + fingerprint).encode()
    ends: dict[str, tuple[int, bytes]] = {}
    for append in batch.appends:
        stream, position, previous = append.stream, append.expected_version, append.previous_hash
        if stream in ends:
            known, previous = ends[stream]
            if known != position:
                raise ValueError(
                    f"{stream}: a batch goes on at position {position}, its first part ends at {known}"
                )
        elif position > 0:
            rows.tails.append(Tail(stream, position, previous))
        command_id = None
        if append.command is not None:
            command_id = append.command.command_id
            rows.commands.append((append.command, position + 1))
        for envelope in append.envelopes:
            position += 1
            if envelope.position != position or envelope.stream != stream:
                raise ValueError(
                    f"event {envelope.event_id} says {envelope.stream} {envelope.position}, "
                    f"but is appended as {stream} {position}"
                )
            body = encode(envelope)
            text = body.encode()
            previous = sha256(previous + text + suffix).digest()
            rows.events.append(Row(envelope, body, sha256(text).digest(), previous, command_id))
        ends[stream] = position, previous
    return rows


def to_recorded(stored: StoredEvent) -> Recorded[Event]:
    """Decode a stored event."""
    return Recorded(
        decode(stored.body),
        stored.body,
        stored.position,
        stored.recorded_at,
        stored.fingerprint,
        stored.chain_hash,
    )


def to_stored(recorded: Recorded[Event]) -> StoredEvent:
    """The raw form of an event that was written with these very hashes."""
    return StoredEvent(
        recorded.global_position,
        recorded.envelope.stream,
        recorded.envelope.position,
        recorded.recorded_at,
        recorded.fingerprint,
        recorded.body,
        recorded.content_hash,
        recorded.chain_hash,
    )


def misfiled(stored: StoredEvent) -> Sequence[str]:
    """The columns that say something else than the body, which is the truth."""
    if not stored.columns:
        return ()
    fields = orjson.loads(stored.body)
    truth = (
        category_of(fields["stream"]),
        fields["type"],
        UUID(fields["id"]),
        fields["account"],
        UUID(fields["causation"]),
        UUID(fields["correlation"]),
        datetime.fromisoformat(fields["occurred_at"]),
    )
    return [
        name for name, value, right in zip(REPEATED, stored.columns, truth, strict=True) if value != right
    ]
