"""What the parts of a service ask of each other."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, runtime_checkable
from uuid import UUID

from nexus_common.contracts.decider import AnyDecider
from nexus_common.contracts.envelope import Envelope, Recorded, SealedCommand
from nexus_common.contracts.message import Event
from nexus_common.contracts.values import AccountId, ModelId, Service


class Clock(Protocol):
    """Reads the wall clock; handed in, never ambient."""

    def now(self) -> datetime: ...


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work one partition: `epoch` grows with every new holder and fences off the old one."""

    partition: str
    holder: str
    epoch: int


@dataclass(frozen=True, slots=True)
class StreamAppend:
    """Events for the end of one stream, with the command that led to them.

    `expected_version` is the position of the stream's last event (0: the stream is new), `previous_hash`
    that event's chain hash.
    """

    stream: str
    expected_version: int
    previous_hash: bytes
    envelopes: tuple[Envelope[Event], ...]
    command: SealedCommand | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """What is committed together or not at all: inbox positions, commands and events.

    `inbox` maps each source stream to the position up to which `consumer` has handled it.
    """

    consumer: str
    appends: tuple[StreamAppend, ...]
    inbox: Mapping[str, int] = field(default_factory=dict)
    lease: Lease | None = None


class AlreadyHandled:
    """The answer to a batch whose inbox positions had been reached before: nothing was written."""


class EventStore(Protocol):
    """The truth. Positions are handed out in the order of commits, so `position > n` never skips."""

    async def append(self, batch: Batch) -> Sequence[Recorded[Event]] | AlreadyHandled:
        """Commit a batch in one statement.

        Raises:
            WrongExpectedVersion: a stream has moved on, or holds one of these event ids already.
            LeaseLost: the lease's epoch is not the newest.
            StoreUnavailable: no answer; whether it was committed must be found by loading again.
        """

    async def read_stream(self, stream: str, after: int = 0) -> Sequence[Recorded[Event]]:
        """The events of one stream behind a position, oldest first."""

    async def read_categories(
        self, categories: Sequence[str], after: int = 0, up_to: int | None = None, limit: int = 1_000
    ) -> Sequence[Recorded[Event]]:
        """Events of some categories (all when empty) with `after` < global position <= `up_to`."""

    async def read_positions(self, positions: Sequence[int]) -> Sequence[Recorded[Event]]:
        """The events at these global positions, oldest first."""

    async def latest(self, category: str, count: int) -> Sequence[Recorded[Event]]:
        """The last `count` events of a category, oldest first."""

    async def commands(self, after: int = 0, limit: int = 1_000) -> Sequence[tuple[int, SealedCommand]]:
        """Stored commands in the order of their commits, each with its sequence number."""

    async def inbox(self, consumer: str) -> Mapping[str, int]:
        """How far a consumer has handled each source stream."""

    async def head(self) -> int:
        """The global position of the last event; 0 when there is none."""

    async def claim(self, partition: str, holder: str, ttl_seconds: float) -> Lease | None:
        """Take a partition with a new epoch; None while another holder's lease has not run out.

        The same holder takes its own partition again at once: what holds it under the old epoch is a zombie.
        """

    async def renew(self, lease: Lease, ttl_seconds: float) -> bool:
        """Keep a partition under its epoch; False when somebody has taken it with a newer one."""

    async def release(self, lease: Lease) -> None:
        """Give a partition back before its time."""

    async def holders(self, prefix: str) -> Mapping[str, str]:
        """Who holds which of the partitions whose names begin so; leases that ran out are left out."""

    async def artefact(self, model: ModelId) -> Mapping[str, bytes]:
        """A model's files as they lie there, tampered with or not; none: it was never kept."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message from the bus. `ack` after commit; `park` when it can never be handled."""

    subject: str
    data: bytes
    headers: Mapping[str, str]
    sequence: int
    handle: Any


class Bus(Protocol):
    """Transport. At least once, in stream order unless redelivered; may lose everything (the store refills)."""

    async def publish(self, subject: str, data: bytes, headers: Mapping[str, str], message_id: str) -> None:
        """Publish and wait for the acknowledgement; raises BusUnavailable."""

    async def publish_all(self, messages: Sequence[tuple[str, bytes, Mapping[str, str], str]]) -> None:
        """Publish in this order and wait for all acknowledgements; raises BusUnavailable."""

    def deliveries(self, durable: str, subjects: Sequence[str]) -> AsyncIterator[Delivery]:
        """Messages for a durable consumer, endlessly; survives restarts and wiped stores of the server."""

    async def ack(self, deliveries: Sequence[Delivery]) -> None: ...

    async def park(self, delivery: Delivery, reason: str) -> None:
        """Put a message aside with its reason, and acknowledge it."""


class Desk(Protocol):
    """Where a service's commands are decided: loads, folds, decides, remembers, commits.

    Everything decided since the last commit is committed together, with the inbox positions of the batch
    that led to it.
    """

    async def handle(
        self,
        decider: AnyDecider,
        key: str,
        command: object,
        *,
        cause: UUID,
        correlation: UUID | None = None,
        account: AccountId | None = None,
        fresh: bool = False,
    ) -> Sequence[Envelope[Event]]:
        """Decide a command on the stream `{category}-{key}`; the command's `at` is when it occurred.

        `fresh` says that the stream cannot exist yet, which spares a read. A second command for the same
        cause and stream must come with a derived cause, otherwise ValueError. Without a correlation the
        cause starts a new story.
        """

    async def state(self, decider: AnyDecider, key: str) -> Any:
        """The folded state of a stream, undecided events of this turn included."""

    def handled(self, source: str) -> int:
        """The position up to which this service has handled a source stream of its own (a venue's updates)."""

    def note_handled(self, source: str, position: int) -> None:
        """Advance such a position with the next commit."""

    async def commit(self) -> None:
        """Write what was decided. Nothing to write: no transaction."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A service's turn in one market instant; `at` is the time, `position` the step's own event."""

    at: datetime
    position: int
    epoch: int
    round: int
    slot: int


class Reactor(Protocol):
    """A service's own part: what it remembers of the world and what it does about it.

    `listens` names the categories it hears, with how many of the latest events it needs again after a
    restart (None: all). Its own categories may be among them; their events are observed as they are decided.
    """

    service: Service
    listens: Mapping[str, int | None]

    def observe(self, envelope: Envelope[Event]) -> None:
        """Take an event into the view; decides nothing. Called once for each event, oldest first."""

    async def resume(self, desk: Desk) -> None:
        """After a (re)start, before the first turn: settle what was left open."""

    async def react(self, turn: Turn, batch: Sequence[Envelope[Event]], desk: Desk) -> None:
        """Decide what follows from the events heard since the last turn; all are observed already."""


@runtime_checkable
class Remembering(Protocol):
    """A reactor that needs some streams from their beginning, of whose category it hears only the latest events."""

    whole_streams: Sequence[str]
