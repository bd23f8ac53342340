"""Events as rows: what a batch becomes before it is written, and what is read back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import NamedTuple
from uuid import UUID

import orjson

from nexus_common.contracts.envelope import (
    Envelope,
    Recorded,
    SealedCommand,
    category_of,
    encode,
)
from nexus_common.contracts.message import Event
from nexus_common.contracts.values import format_instant
from nexus_common.runtime.ports import Batch


class StoredEvent(NamedTuple):
    """An event exactly as it lies in the store, decoded by nobody; what is verified and exported.

    From `category` on these are the columns that repeat what the body says, so that it can be searched.
    """

    position: int
    stream: str
    stream_position: int
    recorded_at: datetime
    fingerprint: str
    body: str
    content_hash: bytes
    chain_hash: bytes
    category: str
    type: str
    event_id: str
    account: str | None
    causation: str
    correlation: str
    occurred_at: datetime


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
    rows = Rows([], [], [], recorded_at.astimezone(UTC), fingerprint)
    # `content_hash` and `chain_hash` of the contracts, with what the batch has in common spelled once.
    suffix = (format_instant(rows.recorded_at) + fingerprint).encode()
    ends: dict[str, tuple[int, bytes]] = {}
    for append in batch.appends:
        stream, position, previous = append.stream, append.expected_version, append.previous_hash
        if stream in ends:
            known, previous = ends[stream]
            if known != position:
                raise ValueError(f"{stream}: a batch goes on at {position}, its first part ends at {known}")
        elif position > 0:
            rows.tails.append(Tail(stream, position, previous))
        command_id = append.command.command_id if append.command else None
        if append.command is not None:
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


def to_stored(recorded: Recorded[Event]) -> StoredEvent:
    """The raw form of an event that was written with these very hashes."""
    envelope = recorded.envelope
    return StoredEvent(
        recorded.global_position,
        envelope.stream,
        envelope.position,
        recorded.recorded_at,
        recorded.fingerprint,
        recorded.body,
        recorded.content_hash,
        recorded.chain_hash,
        envelope.category,
        envelope.event.type,
        str(envelope.event_id),
        envelope.account,
        str(envelope.causation_id),
        str(envelope.correlation_id),
        envelope.occurred_at,
    )


def misfiled(stored: StoredEvent) -> Sequence[str]:
    """The columns that say something else than the body, which is the truth."""
    fields = orjson.loads(stored.body)
    compared = (
        ("category", stored.category, category_of(fields["stream"])),
        ("type", stored.type, fields["type"]),
        ("event_id", stored.event_id, fields["id"]),
        ("account", stored.account, fields["account"]),
        ("causation", stored.causation, fields["causation"]),
        ("correlation", stored.correlation, fields["correlation"]),
        ("occurred_at", stored.occurred_at, datetime.fromisoformat(fields["occurred_at"])),
    )
    return [name for name, column, truth in compared if column != truth]
