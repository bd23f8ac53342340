"""What surrounds an event, its canonical bytes, and the two hashes.

The body is the truth: sorted keys, decimals as strings, UTC with microseconds. Runs are compared by the
content hash (SHA-256 of the body); tampering is found by the chain hash.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, Generic, TypeVar
from uuid import UUID

import orjson

from nexus_common.contracts.ids import event_id
from nexus_common.contracts.message import Event, command_payload, command_type, decode_command, decode_event
from nexus_common.contracts.values import AccountId, format_instant

E_co = TypeVar("E_co", bound=Event, covariant=True)
GENESIS = bytes(32)


@dataclass(frozen=True, slots=True)
class Envelope(Generic[E_co]):
    """An event with its place in history. `position` counts from 1 within its stream."""

    event: E_co
    event_id: UUID
    stream: str
    position: int
    correlation_id: UUID
    causation_id: UUID
    account: AccountId | None
    occurred_at: datetime

    @property
    def category(self) -> str:
        return category_of(self.stream)


@dataclass(frozen=True, slots=True)
class Recorded(Generic[E_co]):
    """An envelope as the store keeps it: with its bytes, its global position and its link in the chain."""

    envelope: Envelope[E_co]
    body: str
    global_position: int
    recorded_at: datetime
    fingerprint: str
    chain_hash: bytes

    @property
    def event(self) -> E_co:
        return self.envelope.event

    @property
    def content_hash(self) -> bytes:
        return content_hash(self.body)


@dataclass(frozen=True, slots=True)
class SealedCommand:
    """A command as it is stored beside the events it led to: all that deciding it again takes."""

    command_id: UUID
    stream: str
    type: str
    causation_id: UUID
    body: str


@dataclass(frozen=True, slots=True)
class OpenedCommand:
    """A stored command with its circumstances. `consumer` is who sent it; a `correlation_id` that is absent
    says that the command began a story."""

    command: Any
    consumer: str
    correlation_id: UUID | None
    account: AccountId | None


def category_of(stream: str) -> str:
    """`order-nx1abc` belongs to the category `order`."""
    return stream.partition("-")[0]


def canonical(data: Any) -> str:
    """JSON with sorted keys and no white space: one value, one spelling."""
    return orjson.dumps(data, option=orjson.OPT_SORT_KEYS).decode()


def encode(envelope: Envelope[Event]) -> str:
    """The canonical body of an envelope."""
    return canonical(
        {
            "account": envelope.account,
            "causation": envelope.causation_id,
            "correlation": envelope.correlation_id,
            "data": envelope.event.payload(),
            "id": envelope.event_id,
            "occurred_at": format_instant(envelope.occurred_at),
            "position": envelope.position,
            "stream": envelope.stream,
            "type": envelope.event.type,
            "version": envelope.event.version,
        }
    )


def decode(body: str | bytes) -> Envelope[Event]:
    """The envelope of a body, its event brought up to the newest version.

    Raises:
        UnknownMessage: written by a newer release.
        ValueError: not a body, or its payload does not fit its type.
    """
    try:
        fields = orjson.loads(body)
        return Envelope(
            event=decode_event(fields["type"], fields["version"], fields["data"]),
            event_id=UUID(fields["id"]),
            stream=fields["stream"],
            position=fields["position"],
            correlation_id=UUID(fields["correlation"]),
            causation_id=UUID(fields["causation"]),
            account=fields["account"],
            occurred_at=datetime.fromisoformat(fields["occurred_at"]),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not the body of an event: {error!r}") from error


def content_hash(body: str) -> bytes:
    return sha256(body.encode()).digest()


def chain_hash(previous: bytes, body: str, recorded_at: datetime, fingerprint: str) -> bytes:
    """Links an event to the one before it in its stream; `GENESIS` stands before the first."""
    return sha256(
        previous + body.encode() + format_instant(recorded_at).encode() + fingerprint.encode()
    ).digest()


def seal_command(
    command: object,
    command_id: UUID,
    stream: str,
    causation_id: UUID,
    *,
    consumer: str,
    correlation_id: UUID | None = None,
    account: AccountId | None = None,
) -> SealedCommand:
    """The stored form of a command."""
    name = command_type(type(command))
    body = canonical(
        {
            "account": account,
            "consumer": consumer,
            "correlation": correlation_id,
            "data": command_payload(command),
            "type": name,
        }
    )
    return SealedCommand(command_id, stream, name, causation_id, body)


def open_command(sealed: SealedCommand) -> OpenedCommand:
    """The command a sealed one was made of; raises UnknownMessage when a newer release wrote it."""
    fields = orjson.loads(sealed.body)
    correlation = fields["correlation"]
    return OpenedCommand(
        decode_command(fields["type"], fields["data"]),
        fields["consumer"],
        None if correlation is None else UUID(correlation),
        fields["account"],
    )


def seal_events(
    events: Sequence[Event],
    *,
    consumer: str,
    stream: str,
    version: int,
    at: datetime,
    cause: UUID,
    correlation: UUID | None,
    account: AccountId | None,
) -> tuple[Envelope[Event], ...]:
    """Envelopes for what one command led to, behind position `version` of the stream; ids follow from the cause."""
    ids = [event_id(cause, consumer, stream, index) for index in range(len(events))]
    story = correlation or (ids[0] if ids else cause)
    return tuple(
        Envelope(event, identity, stream, version + 1 + index, story, cause, account, at)
        for index, (event, identity) in enumerate(zip(events, ids, strict=True))
    )
