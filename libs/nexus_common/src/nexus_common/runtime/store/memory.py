"""The event store in memory: same behaviour, gone with the process. For tests and backtests."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from heapq import merge
from itertools import islice
from uuid import UUID

from nexus_common.contracts.envelope import GENESIS, Envelope, Recorded, SealedCommand, category_of, encode
from nexus_common.contracts.message import Event
from nexus_common.contracts.values import ModelId
from nexus_common.runtime.clock import WallClock
from nexus_common.runtime.ports import AlreadyHandled, Batch, Clock, Lease, StreamAppend
from nexus_common.runtime.store import conflicts
from nexus_common.runtime.store.rows import Snapshot, StoredEvent, Tail, rows_of, to_stored

Log = list[Recorded[Event]]


class MemoryStore:
    """An `EventStore` whose coroutines never suspend.

    With `lazy` a body is encoded (and its content hash computed) only when somebody reads it, and nothing is
    chained: every chain hash is `GENESIS`. That makes an append a fraction as long, for backtests.
    """

    def __init__(
        self, *, fingerprint: str = "memory", clock: Clock | None = None, lazy: bool = False
    ) -> None:
        self._fingerprint = fingerprint
        self._clock = clock or WallClock()
        self._lazy = lazy
        self._log: Log = []
        self._streams: defaultdict[str, Log] = defaultdict(list)
        self._categories: defaultdict[str, Log] = defaultdict(list)
        self._by_id: dict[UUID, Recorded[Event]] = {}
        self._commands: list[SealedCommand] = []
        self._command_ids: set[UUID] = set()
        self._behind: dict[UUID, SealedCommand] = {}
        self._inbox: defaultdict[str, dict[str, int]] = defaultdict(dict)
        self._leases: dict[str, tuple[Lease, datetime]] = {}
        self._snapshots: dict[str, Snapshot] = {}
        self._artefacts: defaultdict[ModelId, dict[str, bytes]] = defaultdict(dict)

    async def close(self) -> None:
        """Nothing to give back."""

    async def append(self, batch: Batch) -> Sequence[Recorded[Event]] | AlreadyHandled:
        if batch.lease is not None and not self._holds(batch.lease):
            raise conflicts.lease_lost(batch.lease)
        handled = self._inbox[batch.consumer]
        if any(handled.get(source, 0) >= position for source, position in batch.inbox.items()):
            return AlreadyHandled()
        recorded = self._record(batch)
        self._check(batch)
        handled.update(batch.inbox)
        for append in batch.appends:
            if append.command is not None:
                self._keep_command(append, append.command)
        for one in recorded:
            self._log.append(one)
            self._by_id[one.envelope.event_id] = one
            stream = one.envelope.stream
            self._streams[stream].append(one)
            self._categories[category_of(stream)].append(one)
        return recorded

    def _record(self, batch: Batch) -> Log:
        first = len(self._log) + 1
        if not self._lazy:
            rows = rows_of(batch, self._clock.now(), self._fingerprint)
            return rows.recorded(list(range(first, first + len(rows.events))))
        now = self._clock.now().astimezone(UTC)
        envelopes = (envelope for append in batch.appends for envelope in append.envelopes)
        return [
            _Unsealed(envelope, position, now, self._fingerprint)
            for position, envelope in enumerate(envelopes, start=first)
        ]

    def _check(self, batch: Batch) -> None:
        ends: dict[str, int] = {}
        ids: set[UUID] = set()
        for append in batch.appends:
            if append.stream not in ends:
                self._check_end(append)
            ends[append.stream] = append.expected_version + len(append.envelopes)
            for envelope in append.envelopes:
                if envelope.event_id in self._by_id or envelope.event_id in ids:
                    raise conflicts.repeated_event(envelope)
                ids.add(envelope.event_id)
            command = append.command
            if command is not None:
                if command.command_id in self._command_ids or command.command_id in ids:
                    raise conflicts.repeated_command(command)
                ids.add(command.command_id)

    def _check_end(self, append: StreamAppend) -> None:
        stream = self._streams.get(append.stream, [])
        expected = append.expected_version
        if expected > len(stream) or (
            expected > 0 and not self._lazy and stream[expected - 1].chain_hash != append.previous_hash
        ):
            raise conflicts.moved([Tail(append.stream, expected, append.previous_hash)])
        if expected < len(stream) and append.envelopes:
            raise conflicts.taken(append.envelopes[0])

    def _keep_command(self, append: StreamAppend, command: SealedCommand) -> None:
        self._commands.append(command)
        self._command_ids.add(command.command_id)
        for envelope in append.envelopes:
            self._behind[envelope.event_id] = command

    async def read_stream(self, stream: str, after: int = 0) -> Sequence[Recorded[Event]]:
        return self._streams.get(stream, [])[after:]

    async def read_categories(
        self, categories: Sequence[str], after: int = 0, up_to: int | None = None, limit: int = 1_000
    ) -> Sequence[Recorded[Event]]:
        last = len(self._log) if up_to is None else min(up_to, len(self._log))
        if not categories:
            return self._log[after : min(last, after + limit)]
        found = [
            _between(self._categories.get(name, []), after, last, limit) for name in sorted(set(categories))
        ]
        return list(islice(merge(*found, key=_position), limit))

    async def read_positions(self, positions: Sequence[int]) -> Sequence[Recorded[Event]]:
        return [self._log[p - 1] for p in sorted(set(positions)) if 0 < p <= len(self._log)]

    async def latest(self, category: str, count: int) -> Sequence[Recorded[Event]]:
        return self._categories.get(category, [])[-count:] if count > 0 else []

    async def find(self, event_id: UUID) -> Recorded[Event] | None:
        return self._by_id.get(event_id)

    async def correlated(self, correlation_id: UUID) -> Sequence[Recorded[Event]]:
        return [one for one in self._log if one.envelope.correlation_id == correlation_id]

    async def read_raw(self, after: int = 0, limit: int = 1_000) -> Sequence[StoredEvent]:
        return [to_stored(one) for one in self._log[after : after + limit]]

    async def commands(self, after: int = 0, limit: int = 1_000) -> Sequence[tuple[int, SealedCommand]]:
        return list(enumerate(self._commands[after : after + limit], start=after + 1))

    async def command_behind(self, event_id: UUID) -> SealedCommand | None:
        return self._behind.get(event_id)

    async def inbox(self, consumer: str) -> Mapping[str, int]:
        return dict(self._inbox[consumer])

    async def head(self) -> int:
        return len(self._log)

    async def heads(
        self, categories: Sequence[str], after: int
    ) -> tuple[Sequence[tuple[str, int, bytes]], int]:
        moved = {one.envelope.stream for one in self._log[after:] if one.envelope.category in categories}
        heads = [
            (stream, len(self._streams[stream]), self._streams[stream][-1].chain_hash)
            for stream in sorted(moved)
        ]
        return heads, len(self._log)

    async def claim(self, partition: str, holder: str, ttl_seconds: float) -> Lease | None:
        now = self._clock.now()
        lease, expires = self._leases.get(partition, (Lease(partition, holder, 0), now))
        if lease.holder != holder and expires > now:
            return None
        lease = Lease(partition, holder, lease.epoch + 1)
        self._leases[partition] = lease, now + timedelta(seconds=ttl_seconds)
        return lease

    async def renew(self, lease: Lease, ttl_seconds: float) -> bool:
        if not self._holds(lease):
            return False
        self._leases[lease.partition] = lease, self._clock.now() + timedelta(seconds=ttl_seconds)
        return True

    async def release(self, lease: Lease) -> None:
        if self._holds(lease):
            nobody = Lease(lease.partition, "", lease.epoch)
            self._leases[lease.partition] = nobody, self._clock.now()

    async def holders(self, prefix: str) -> Mapping[str, str]:
        now = self._clock.now()
        return {
            partition: lease.holder
            for partition, (lease, expires) in sorted(self._leases.items())
            if partition.startswith(prefix) and expires > now
        }

    def _holds(self, lease: Lease) -> bool:
        known = self._leases.get(lease.partition)
        return known is not None and known[0] == lease

    async def keep_artefact(self, model: ModelId, files: Mapping[str, bytes]) -> None:
        self._artefacts[model] = {**files, **self._artefacts[model]}

    async def artefact(self, model: ModelId) -> Mapping[str, bytes]:
        return dict(self._artefacts.get(model, {}))

    async def save_snapshot(self, stream: str, position: int, state: str) -> None:
        known = self._snapshots.get(stream)
        if known is None or known.position <= position:
            self._snapshots[stream] = Snapshot(position, state)

    async def load_snapshot(self, stream: str) -> Snapshot | None:
        return self._snapshots.get(stream)

    async def drop_snapshots(self) -> None:
        self._snapshots.clear()


class _Unsealed(Recorded[Event]):
    """A recorded event whose body is encoded when it is first asked for."""

    __slots__ = ("_encoded",)
    _encoded: str | None

    def __init__(
        self, envelope: Envelope[Event], position: int, recorded_at: datetime, fingerprint: str
    ) -> None:
        keep = object.__setattr__
        keep(self, "envelope", envelope)
        keep(self, "global_position", position)
        keep(self, "recorded_at", recorded_at)
        keep(self, "fingerprint", fingerprint)
        keep(self, "chain_hash", GENESIS)
        keep(self, "_encoded", None)

    @property
    def body(self) -> str:
        body = self._encoded
        if body is None:
            body = encode(self.envelope)
            object.__setattr__(self, "_encoded", body)
        return body


def _position(recorded: Recorded[Event]) -> int:
    return recorded.global_position


def _between(log: Log, after: int, last: int, limit: int) -> Log:
    start = bisect_right(log, after, key=_position)
    end = bisect_right(log, last, key=_position)
    return log[start : min(end, start + limit)]
