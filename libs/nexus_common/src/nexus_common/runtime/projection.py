"""Read models: tables of documents that follow from events, and can be dropped and made again.

A projection is a pure function from an event to changes of its tables. Changes are values rather than
statements, so that a page of events is folded to one write a table and row: that is what makes a rebuild fast.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from nexus_common.contracts.envelope import Envelope
from nexus_common.contracts.message import Event
from nexus_common.contracts.values import format_decimal, format_instant
from nexus_common.runtime.ports import EventStore
from nexus_common.runtime.store.session import Connection, Session

if TYPE_CHECKING:
    from sqlalchemy import Table

Document = Mapping[str, Any]
Progress = Callable[[int, int], None]
PAGE = 5_000


@dataclass(frozen=True, slots=True)
class Put:
    """A whole document, new or in place of the old one. `owner` is whom it is shown to."""

    table: Table
    key: str
    data: Document
    owner: str | None = None


@dataclass(frozen=True, slots=True)
class Amend:
    """Fields of a document that is there already; the others stay. Nothing happens when it is not there."""

    table: Table
    key: str
    data: Document


@dataclass(frozen=True, slots=True)
class Drop:
    """A document that is no more."""

    table: Table
    key: str


Change = Put | Amend | Drop


class Projection(Protocol):
    """What follows from events for some tables, which no other projection writes.

    `apply` hears the events of `categories` in the order of the store and decides by the event alone. Values
    in documents are JSON, decimals and aware datetimes.
    """

    @property
    def name(self) -> str: ...

    @property
    def categories(self) -> Sequence[str]: ...

    @property
    def tables(self) -> Sequence[Table]: ...

    def apply(self, envelope: Envelope[Event]) -> Sequence[Change]: ...


class ReadModels:
    """The tables of documents in Postgres."""

    def __init__(self, url: str) -> None:
        self._session = Session(url, "nexus read models")

    async def close(self) -> None:
        await self._session.close()

    async def get(self, table: Table, key: str) -> dict[str, Any] | None:
        """One document."""
        rows = await self._session.rows(f"SELECT data FROM {table.name} WHERE key = %s".encode(), (key,))  # noqa: S608
        return rows[0][0] if rows else None

    async def rows(
        self, table: Table, owner: str | None = None, limit: int = 1_000
    ) -> Sequence[tuple[str, dict[str, Any]]]:
        """Keys and documents, those of one owner if given, last changed first."""
        condition = "" if owner is None else "WHERE owner = %s"
        query = f"SELECT key, data FROM {table.name} {condition} ORDER BY position DESC, key LIMIT %s"  # noqa: S608
        found = await self._session.rows(query.encode(), (limit,) if owner is None else (owner, limit))
        return [(key, data) for key, data in found]

    async def history(self, table: Table, owner: str | None = None) -> Sequence[dict[str, Any]]:
        """All documents, those of one owner if given, in the order of the events that made them."""
        condition = "" if owner is None else "WHERE owner = %s"
        query = f"SELECT data FROM {table.name} {condition} ORDER BY position, key"  # noqa: S608
        found = await self._session.rows(query.encode(), () if owner is None else (owner,))
        return [data for (data,) in found]

    async def checkpoint(self, name: str) -> int:
        """The global position up to which a projection has been applied."""
        rows = await self._session.rows(b"SELECT position FROM checkpoints WHERE name = %s", (name,))
        return rows[0][0] if rows else 0

    async def write(self, name: str, changes: Changes, before: int, after: int) -> bool:
        """Apply changes and move the checkpoint in one transaction; False when another process was first."""
        async with self._session as connection, connection.transaction():
            await connection.execute(FIRST_CHECKPOINT, (name,), prepare=True)
            moved = await connection.execute(MOVE_CHECKPOINT, (after, name, before), prepare=True)
            if moved.rowcount == 0:
                return False
            await changes.write(connection)
        return True

    async def clear(self, projection: Projection) -> None:
        """Empty a projection's tables and put its checkpoint to the beginning, in one transaction."""
        tables = ", ".join(table.name for table in projection.tables)
        async with self._session as connection, connection.transaction():
            await connection.execute(b"DELETE FROM checkpoints WHERE name = %s", (projection.name,))
            await connection.execute(f"TRUNCATE {tables}".encode())


# Compare and set: of two processes that follow the same projection one writes, the other reads its place again.
FIRST_CHECKPOINT = b"INSERT INTO checkpoints (name, position) VALUES (%s, 0) ON CONFLICT DO NOTHING"
MOVE_CHECKPOINT = b"UPDATE checkpoints SET position = %s WHERE name = %s AND position = %s"
PUT = """
INSERT INTO {table} (key, owner, data, position)
SELECT key, owner, data, position
FROM json_to_recordset(%s::json) AS r(key text, owner text, data jsonb, position bigint)
ON CONFLICT (key) DO UPDATE SET owner = excluded.owner, data = excluded.data, position = excluded.position
"""
AMEND = """
UPDATE {table} AS t SET data = t.data || r.data, position = r.position
FROM json_to_recordset(%s::json) AS r(key text, data jsonb, position bigint) WHERE t.key = r.key
"""
DROP = "DELETE FROM {table} WHERE key = ANY(%s)"


@dataclass(slots=True)
class _TableChanges:
    """What is to be written to one table; a key is in one of the three at most."""

    put: dict[str, dict[str, Any]] = field(default_factory=dict)
    amend: dict[str, dict[str, Any]] = field(default_factory=dict)
    drop: set[str] = field(default_factory=set)


class Changes:
    """Changes folded so that every row is written once, however often it changed."""

    def __init__(self) -> None:
        self._tables: dict[str, _TableChanges] = {}

    def add(self, change: Change, position: int) -> None:
        """Fold in a change that the event at a global position led to."""
        table = self._tables.setdefault(change.table.name, _TableChanges())
        key = change.key
        match change:
            case Put():
                table.amend.pop(key, None)
                table.drop.discard(key)
                table.put[key] = {
                    "key": key,
                    "owner": change.owner,
                    "data": change.data,
                    "position": position,
                }
            case Amend() if key in table.drop:
                return
            case Amend():
                rows = table.put if key in table.put else table.amend
                row = rows.setdefault(key, {"key": key, "data": {}})
                row["data"] = {**row["data"], **change.data}
                row["position"] = position
            case Drop():
                table.put.pop(key, None)
                table.amend.pop(key, None)
                table.drop.add(key)

    async def write(self, connection: Connection) -> None:
        for name in sorted(self._tables):
            changes = self._tables[name]
            for statement, rows in ((PUT, changes.put), (AMEND, changes.amend)):
                if rows:
                    documents = orjson.dumps(list(rows.values()), default=_spell, option=SPELLING).decode()
                    await connection.execute(
                        statement.format(table=name).encode(), (documents,), prepare=True
                    )
            if changes.drop:
                await connection.execute(DROP.format(table=name).encode(), (sorted(changes.drop),))


SPELLING = orjson.OPT_PASSTHROUGH_DATETIME


def _spell(value: Any) -> Any:
    match value:
        case Decimal():
            return format_decimal(value)
        case datetime():
            return format_instant(value)
        case _:
            raise TypeError(f"{value!r} has no place in a document")


class ProjectionRunner:
    """Keeps read models up to the store."""

    def __init__(self, store: EventStore, models: ReadModels, projections: Sequence[Projection]) -> None:
        owners: dict[str, str] = {}
        for projection in projections:
            for table in projection.tables:
                other = owners.setdefault(table.name, projection.name)
                if other != projection.name:
                    raise ValueError(f"projections {other} and {projection.name} both write {table.name}")
        self._store = store
        self._models = models
        self._projections = {projection.name: projection for projection in projections}
        self._positions: dict[str, int] = {}

    async def catch_up(self, progress: Progress = lambda position, head: None) -> None:
        """Apply what was committed since the last time; `progress` hears the position reached, and the aim."""
        head = await self._store.head()
        for projection in self._projections.values():
            await self._follow(projection, head, progress)

    async def rebuild(
        self, name: str | None = None, progress: Progress = lambda position, head: None
    ) -> None:
        """Empty the tables of one projection (of all without a name) and make them again from the first event."""
        head = await self._store.head()
        for projection in [self._projections[name]] if name else list(self._projections.values()):
            await self._models.clear(projection)
            self._positions[projection.name] = 0
            await self._follow(projection, head, progress)

    async def _follow(self, projection: Projection, head: int, progress: Progress) -> None:
        name = projection.name
        if name not in self._positions:
            self._positions[name] = await self._models.checkpoint(name)
        while (position := self._positions[name]) < head:
            page = await self._store.read_categories(projection.categories, position, head, PAGE)
            changes = Changes()
            for recorded in page:
                for change in projection.apply(recorded.envelope):
                    changes.add(change, recorded.global_position)
            reached = page[-1].global_position if len(page) == PAGE else head
            written = await self._models.write(name, changes, position, reached)
            self._positions[name] = reached if written else await self._models.checkpoint(name)
            progress(self._positions[name], head)
