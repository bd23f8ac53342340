"""The event store on Postgres."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self
from uuid import UUID

import psycopg
from psycopg.errors import UniqueViolation

from nexus_common.contracts.envelope import Recorded, SealedCommand, decode
from nexus_common.contracts.message import Event
from nexus_common.contracts.values import ModelId
from nexus_common.runtime.ports import AlreadyHandled, Batch, Clock, Lease
from nexus_common.runtime.store import append_sql
from nexus_common.runtime.store.append import conflict, copy, insert, refusal
from nexus_common.runtime.store.revision import require_revision
from nexus_common.runtime.store.rows import Snapshot, StoredEvent, rows_of
from nexus_common.runtime.store.session import Session

# Above this many events a COPY in a transaction of its own is cheaper than one statement with JSON.
BULK_FROM = 50
LAST_POSSIBLE = 2**63 - 1

_EVENT = "SELECT body, position, recorded_at, fingerprint, chain_hash FROM events"
READ_STREAM = f"{_EVENT} WHERE stream = %s AND stream_position > %s ORDER BY stream_position".encode()
READ_ALL = f"{_EVENT} WHERE position > %s AND position <= %s ORDER BY position LIMIT %s".encode()
# Each category's next events come from its index; so the plan does not depend on how categories are mixed.
_NEXT_OF_CATEGORIES = """
    SELECT next.position FROM unnest(%s::text[]) AS c(category) CROSS JOIN LATERAL (
        SELECT position FROM events
        WHERE category = c.category AND position > %s AND position <= %s ORDER BY position LIMIT %s) AS next
    ORDER BY next.position LIMIT %s"""
READ_CATEGORIES = f"{_EVENT} WHERE position IN ({_NEXT_OF_CATEGORIES}) ORDER BY position".encode()
READ_RAW = b"""
SELECT position, stream, stream_position, recorded_at, fingerprint, body, content_hash, chain_hash, category, type,
    event_id::text, account, causation::text, correlation::text, occurred_at
FROM events WHERE position > %s ORDER BY position LIMIT %s
"""
READ_POSITIONS = f"{_EVENT} WHERE position = ANY(%s::bigint[]) ORDER BY position".encode()
LATEST = f"{_EVENT} WHERE category = %s ORDER BY position DESC LIMIT %s".encode()
FIND = f"{_EVENT} WHERE event_id = %s".encode()
CORRELATED = f"{_EVENT} WHERE correlation = %s ORDER BY position".encode()
COMMANDS = b"SELECT seq, command_id, stream, type, causation, body FROM commands WHERE seq > %s ORDER BY seq LIMIT %s"
COMMAND_BEHIND = (
    b"SELECT c.command_id, c.stream, c.type, c.causation, c.body "
    b"FROM events JOIN commands c USING (command_id) WHERE event_id = %s"
)
INBOX = b"SELECT source, position FROM inbox WHERE consumer = %s"
HEAD = b"SELECT coalesce(max(position), 0) FROM events"
HEADS = b"""
SELECT DISTINCT ON (stream) stream, stream_position, chain_hash FROM events
WHERE category = ANY(%s) AND position > %s AND position <= %s ORDER BY stream, stream_position DESC
"""
CLAIM = b"""
INSERT INTO leases AS l (partition, holder, epoch, expires_at)
VALUES (%s, %s, 1, clock_timestamp() + make_interval(secs => %s))
ON CONFLICT (partition) DO UPDATE
    SET holder = excluded.holder, epoch = l.epoch + 1, expires_at = excluded.expires_at
    WHERE l.holder = excluded.holder OR l.expires_at <= clock_timestamp()
RETURNING epoch
"""
RENEW = b"""
UPDATE leases SET expires_at = clock_timestamp() + make_interval(secs => %s)
WHERE partition = %s AND holder = %s AND epoch = %s RETURNING epoch
"""
RELEASE = b"""
UPDATE leases SET holder = '', expires_at = clock_timestamp() WHERE partition = %s AND holder = %s AND epoch = %s
"""
HOLDERS = b"""
SELECT partition, holder FROM leases
WHERE starts_with(partition, %s) AND expires_at > clock_timestamp() ORDER BY partition
"""
SAVE_SNAPSHOT = b"""
INSERT INTO snapshots AS s (stream, position, fingerprint, state) VALUES (%s, %s, %s, %s)
ON CONFLICT (stream) DO UPDATE
    SET position = excluded.position, fingerprint = excluded.fingerprint, state = excluded.state
    WHERE s.position <= excluded.position OR s.fingerprint <> excluded.fingerprint
"""
KEEP_ARTEFACT = b"""
INSERT INTO models (model, file, content, stored_at) VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING
"""
ARTEFACT = b"SELECT file, content FROM models WHERE model = %s"
LOAD_SNAPSHOT = b"SELECT position, state FROM snapshots WHERE stream = %s AND fingerprint = %s"


class PostgresStore:
    """An `EventStore`. Appends and reads have a connection each, so a long read does not hold up an append."""

    def __init__(self, url: str, fingerprint: str, clock: Clock) -> None:
        self._fingerprint = fingerprint
        self._clock = clock
        self._writer = Session(url, "nexus append")
        self._reader = Session(url, "nexus read")

    @classmethod
    async def connect(cls, url: str, *, fingerprint: str, clock: Clock) -> Self:
        """Open a store whose events are recorded under `fingerprint` (code, settings, model).

        Raises:
            ConfigurationError: the address is none, or the server does not keep what it has committed.
            SchemaMismatch: the store has another release's schema.
            StoreUnavailable: nobody answers.
        """
        store = cls(url, fingerprint, clock)
        try:
            require_revision(await store._revision())
            async with store._writer:
                pass
        except BaseException:
            await store.close()
            raise
        return store

    async def close(self) -> None:
        await self._writer.close()
        await self._reader.close()

    async def append(self, batch: Batch) -> Sequence[Recorded[Event]] | AlreadyHandled:
        rows = rows_of(batch, self._clock.now(), self._fingerprint)
        write = copy if len(rows.events) > BULK_FROM else insert
        try:
            async with self._writer as connection:
                positions = await write(connection, batch, rows)
                if positions is None:
                    return await refusal(connection, batch, rows)
        except UniqueViolation as error:
            raise conflict(error, rows) from error
        except psycopg.DatabaseError as error:
            if error.sqlstate == append_sql.GIVEN_UP:
                return AlreadyHandled()
            raise
        return rows.recorded(positions)

    async def read_stream(self, stream: str, after: int = 0) -> Sequence[Recorded[Event]]:
        return await self._events(READ_STREAM, (stream, after))

    async def read_categories(
        self, categories: Sequence[str], after: int = 0, up_to: int | None = None, limit: int = 1_000
    ) -> Sequence[Recorded[Event]]:
        last = LAST_POSSIBLE if up_to is None else up_to
        if not categories:
            return await self._events(READ_ALL, (after, last, limit))
        return await self._events(READ_CATEGORIES, (sorted(set(categories)), after, last, limit, limit))

    async def read_positions(self, positions: Sequence[int]) -> Sequence[Recorded[Event]]:
        return await self._events(READ_POSITIONS, (list(positions),))

    async def latest(self, category: str, count: int) -> Sequence[Recorded[Event]]:
        return (await self._events(LATEST, (category, count)))[::-1]

    async def find(self, event_id: UUID) -> Recorded[Event] | None:
        """The event with this id."""
        found = await self._events(FIND, (event_id,))
        return found[0] if found else None

    async def correlated(self, correlation_id: UUID) -> Sequence[Recorded[Event]]:
        """All events of one story, oldest first."""
        return await self._events(CORRELATED, (correlation_id,))

    async def read_raw(self, after: int = 0, limit: int = 1_000) -> Sequence[StoredEvent]:
        """Events behind a global position as they lie there, tampered with or not."""
        return [StoredEvent._make(row) for row in await self._reader.rows(READ_RAW, (after, limit))]

    async def commands(self, after: int = 0, limit: int = 1_000) -> Sequence[tuple[int, SealedCommand]]:
        rows = await self._reader.rows(COMMANDS, (after, limit))
        return [(row[0], SealedCommand(*row[1:])) for row in rows]

    async def command_behind(self, event_id: UUID) -> SealedCommand | None:
        """The command that led to an event, if one was stored with it."""
        rows = await self._reader.rows(COMMAND_BEHIND, (event_id,))
        return SealedCommand(*rows[0]) if rows else None

    async def inbox(self, consumer: str) -> Mapping[str, int]:
        return {source: position for source, position in await self._reader.rows(INBOX, (consumer,))}

    async def head(self) -> int:
        return int((await self._reader.rows(HEAD))[0][0])

    async def heads(
        self, categories: Sequence[str], after: int
    ) -> tuple[Sequence[tuple[str, int, bytes]], int]:
        """The heads (stream, position, chain hash) of streams that moved behind a global position, and up to which."""
        up_to = await self.head()
        rows = await self._reader.rows(HEADS, (list(categories), after, up_to))
        return [(stream, position, chain) for stream, position, chain in rows], up_to

    async def claim(self, partition: str, holder: str, ttl_seconds: float) -> Lease | None:
        rows = await self._reader.rows(CLAIM, (partition, holder, ttl_seconds))
        return Lease(partition, holder, rows[0][0]) if rows else None

    async def renew(self, lease: Lease, ttl_seconds: float) -> bool:
        held = (ttl_seconds, lease.partition, lease.holder, lease.epoch)
        return bool(await self._reader.rows(RENEW, held))

    async def release(self, lease: Lease) -> None:
        await self._reader.rows(RELEASE, (lease.partition, lease.holder, lease.epoch))

    async def holders(self, prefix: str) -> Mapping[str, str]:
        return dict(await self._reader.rows(HOLDERS, (prefix,)))

    async def save_snapshot(self, stream: str, position: int, state: str) -> None:
        """Remember a folded state; an older one never replaces a newer one."""
        await self._reader.rows(SAVE_SNAPSHOT, (stream, position, self._fingerprint, state))

    async def load_snapshot(self, stream: str) -> Snapshot | None:
        """The remembered state of a stream, unless other code or settings folded it."""
        rows = await self._reader.rows(LOAD_SNAPSHOT, (stream, self._fingerprint))
        return Snapshot(*rows[0]) if rows else None

    async def drop_snapshots(self) -> None:
        await self._reader.rows(b"TRUNCATE snapshots")

    async def keep_artefact(self, model: ModelId, files: Mapping[str, bytes]) -> None:
        """Keep a model's files under its name; those that lie there already stay as they are."""
        async with self._writer as connection, connection.transaction():
            for name, content in sorted(files.items()):
                await connection.execute(KEEP_ARTEFACT, (model, name, content, self._clock.now()))

    async def artefact(self, model: ModelId) -> Mapping[str, bytes]:
        """A model's files as they lie there, tampered with or not; none: it was never kept."""
        return {name: bytes(content) for name, content in await self._reader.rows(ARTEFACT, (model,))}

    async def _events(self, query: bytes, parameters: Sequence[Any]) -> list[Recorded[Event]]:
        return [Recorded(decode(row[0]), *row) for row in await self._reader.rows(query, parameters)]

    async def _revision(self) -> str | None:
        if (await self._reader.rows(b"SELECT to_regclass('alembic_version')"))[0][0] is None:
            return None
        rows = await self._reader.rows(b"SELECT version_num FROM alembic_version")
        return rows[0][0] if rows else None
