"""Load, fold, decide, append: written once, for every service and every runner."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from nexus_common.contracts.decider import AnyDecider
from nexus_common.contracts.envelope import (
    GENESIS,
    Envelope,
    Recorded,
    SealedCommand,
    seal_command,
    seal_events,
)
from nexus_common.contracts.ids import command_id
from nexus_common.contracts.message import Event
from nexus_common.contracts.values import AccountId
from nexus_common.runtime.errors import WrongExpectedVersion
from nexus_common.runtime.ports import AlreadyHandled, Batch, EventStore, Lease, StreamAppend


@dataclass(slots=True)
class _Head:
    """Where a stream stands in this process: committed and pending events folded."""

    version: int
    chain_hash: bytes
    state: Any


class WorkDesk:
    """The desk of one service. Not for concurrent use: a service takes one turn at a time.

    Streams stay folded in memory between turns; the expected version finds out when another writer has been
    at one, and the process then starts afresh rather than repair its memory.

    `consumer` goes into the ids of what is decided, `reader` (the same unless given) is the name under which
    the inbox is kept: replicas that share a consumer's work each hear everything, and must not take what
    another one has handled for their own.
    """

    def __init__(
        self,
        store: EventStore,
        consumer: str,
        observe: Callable[[Envelope[Event]], None],
        inbox: Mapping[str, int] | None = None,
        lease: Callable[[], Lease | None] = lambda: None,
        keep_commands: bool = True,
        note: Callable[[str], None] = lambda point: None,
        reader: str | None = None,
    ) -> None:
        self._store = store
        self._consumer = consumer
        self._reader = reader or consumer
        self._observe = observe
        self._inbox = dict(inbox or {})
        self._lease = lease
        self._keep_commands = keep_commands
        self._note = note
        self._heads: dict[str, _Head] = {}
        self._pending: list[StreamAppend] = []
        self._pending_inbox: dict[str, int] = {}
        self._batch_inbox: dict[str, int] = {}
        self._causes: set[tuple[UUID, str]] = set()
        self._recorded: list[Recorded[Event]] = []

    async def handle(
        self,
        decider: AnyDecider,
        key: str,
        command: Any,
        *,
        cause: UUID,
        correlation: UUID | None = None,
        account: AccountId | None = None,
        fresh: bool = False,
    ) -> Sequence[Envelope[Event]]:
        stream = decider.stream(key)
        if (cause, stream) in self._causes:
            raise ValueError(f"a second command for {stream} from the same cause {cause}: derive its cause")
        head = await self._load(decider, stream, fresh=fresh)
        events = decider.decide(command, head.state)
        if not events:
            return ()
        self._causes.add((cause, stream))
        envelopes = seal_events(
            events,
            consumer=self._consumer,
            stream=stream,
            version=head.version,
            at=command.at,
            cause=cause,
            correlation=correlation,
            account=account,
        )
        sealed = self._seal(command, stream, cause, correlation, account)
        self._pending.append(StreamAppend(stream, head.version, head.chain_hash, envelopes, sealed))
        for event in events:
            head.state = decider.evolve(head.state, event)
        head.version += len(envelopes)
        for envelope in envelopes:
            self._observe(envelope)
        return envelopes

    def _seal(
        self, command: Any, stream: str, cause: UUID, correlation: UUID | None, account: AccountId | None
    ) -> SealedCommand | None:
        if not self._keep_commands:
            return None
        return seal_command(
            command,
            command_id(cause, self._consumer, stream),
            stream,
            cause,
            consumer=self._consumer,
            correlation_id=correlation,
            account=account,
        )

    async def state(self, decider: AnyDecider, key: str) -> Any:
        return (await self._load(decider, decider.stream(key), fresh=False)).state

    async def _load(self, decider: AnyDecider, stream: str, *, fresh: bool) -> _Head:
        head = self._heads.get(stream)
        if head is None:
            head = _Head(0, GENESIS, decider.initial)
            if not fresh:
                for recorded in await self._store.read_stream(stream):
                    head.state = decider.evolve(head.state, recorded.event)
                    head.version = recorded.envelope.position
                    head.chain_hash = recorded.chain_hash
            self._heads[stream] = head
        return head

    def handled(self, source: str) -> int:
        return max(self._inbox.get(source, 0), self._pending_inbox.get(source, 0))

    def note_handled(self, source: str, position: int) -> None:
        if position > self.handled(source):
            self._pending_inbox[source] = position

    def begin(self, batch: Sequence[Envelope[Event]]) -> list[Envelope[Event]]:
        """Start a turn: what of the batch is new to this service. Repeats are dropped here."""
        self._causes.clear()
        new = [envelope for envelope in batch if envelope.position > self._inbox.get(envelope.stream, 0)]
        for envelope in new:
            known = self._batch_inbox.get(envelope.stream, 0)
            self._batch_inbox[envelope.stream] = max(known, envelope.position)
        return new

    async def commit(self) -> None:
        if not self._pending and not self._pending_inbox:
            return
        inbox = {**self._batch_inbox, **self._pending_inbox}
        self._note("committing")
        answer = await self._store.append(Batch(self._reader, tuple(self._pending), inbox, self._lease()))
        if isinstance(answer, AlreadyHandled):
            raise WrongExpectedVersion(
                f"{self._reader} had handled {sorted(inbox)} before: another instance is at work; start afresh"
            )
        self._inbox.update(inbox)
        for recorded in answer:
            self._heads[recorded.envelope.stream].chain_hash = recorded.chain_hash
        self._recorded.extend(answer)
        self._pending.clear()
        self._pending_inbox.clear()
        self._batch_inbox.clear()

    def take_recorded(self) -> list[Recorded[Event]]:
        """What was committed since this was last asked, for publishing."""
        recorded, self._recorded = self._recorded, []
        return recorded

    def forget_all(self) -> None:
        """Drop every stream from memory, between two turns: others may write them from now on.

        A stream is folded from the store again when it is needed.
        """
        self._heads.clear()
