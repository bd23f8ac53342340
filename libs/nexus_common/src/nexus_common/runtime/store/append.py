"""Writing a batch: one statement, or a copy in a transaction of its own when it is large."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import orjson
from psycopg.errors import UniqueViolation

from nexus_common.runtime.errors import WrongExpectedVersion
from nexus_common.runtime.ports import AlreadyHandled, Batch
from nexus_common.runtime.store import append_sql, conflicts
from nexus_common.runtime.store.rows import Row, Rows, Tail
from nexus_common.runtime.store.session import Connection

COPY_ROWS_MAX = 200


def conflict(error: UniqueViolation, rows: Rows) -> WrongExpectedVersion:
    """Which of the rows the server holds already; its detail reads `Key (…)=(…) already exists.`"""
    detail = error.diag.message_detail or ""
    for row in rows.events:
        envelope = row.envelope
        if f"({envelope.stream}, {envelope.position})" in detail:
            return conflicts.taken(envelope)
        if f"({envelope.event_id})" in detail and error.diag.table_name == "events":
            return conflicts.repeated_event(envelope)
    for command, _ in rows.commands:
        if f"({command.command_id})" in detail:
            return conflicts.repeated_command(command)
    return WrongExpectedVersion(f"the store holds part of this batch already: {detail}")


async def insert(connection: Connection, batch: Batch, rows: Rows) -> list[int] | None:
    """Write a batch in one statement. Its new positions, or None when nothing was written."""
    statement = append_sql.append_statement(
        events=bool(rows.events),
        commands=bool(rows.commands),
        inbox=bool(batch.inbox),
        tails=bool(rows.tails),
        lease=batch.lease is not None,
    )
    parameters = _parameters(batch, rows)
    if rows.events:
        parameters["events"] = _events_json(rows)
    if rows.commands:
        parameters["commands"] = _commands_json(rows)
    cursor = await connection.execute(statement, parameters, prepare=True)
    positions = [row[0] for row in await cursor.fetchall()]
    if not positions:
        return None
    return positions if rows.events else []


async def copy(connection: Connection, batch: Batch, rows: Rows) -> list[int] | None:
    """Write a large batch by COPY. Its new positions, or None when nothing was written."""
    async with connection.transaction():
        if not await _may_copy(connection, batch, rows):
            return None
        events = (_event_row(row, rows) for row in rows.events)
        await _copy_rows(connection, append_sql.COPY_EVENTS, append_sql.EVENT_COLUMNS, events)
        commands = iter(_command_rows(rows))
        await _copy_rows(connection, append_sql.COPY_COMMANDS, append_sql.COMMAND_COLUMNS, commands)
        last = await _ask(connection, append_sql.LAST_POSITION, {})
    # Nobody else could take a position while we held the writers' lock.
    return list(range(last - len(rows.events) + 1, last + 1))


async def _may_copy(connection: Connection, batch: Batch, rows: Rows) -> bool:
    """Ask the batch's conditions, advance its inbox, and take the writers' lock: in the order `insert` locks in."""
    parts = {"tails": bool(rows.tails), "lease": batch.lease is not None}
    if batch.inbox:
        advance = append_sql.append_statement(events=False, commands=False, inbox=True, **parts)
        cursor = await connection.execute(advance, _parameters(batch, rows), prepare=True)
        if await cursor.fetchone() is None:
            return False
        await connection.execute(append_sql.SERIALISE)
        return True
    await connection.execute(append_sql.SERIALISE)
    return bool(await _ask(connection, append_sql.gate_statement(**parts), _parameters(batch, rows)))


async def refusal(connection: Connection, batch: Batch, rows: Rows) -> AlreadyHandled:
    """Why nothing was written.

    Raises:
        LeaseLost: the lease's epoch is not the newest.
        WrongExpectedVersion: a stream does not end where the writer believes.
    """
    parameters = _parameters(batch, rows)
    if batch.lease is not None and await _ask(connection, append_sql.IS_FENCED, parameters):
        raise conflicts.lease_lost(batch.lease)
    if batch.inbox and await _ask(connection, append_sql.IS_HANDLED, parameters):
        return AlreadyHandled()
    raise conflicts.moved(rows.tails)


async def _ask(connection: Connection, query: bytes, parameters: Mapping[str, Any]) -> Any:
    """The one value that a query answers with."""
    cursor = await connection.execute(query, parameters, prepare=True)
    answer = await cursor.fetchone()
    assert answer is not None
    return answer[0]


async def _copy_rows(
    connection: Connection, statement: bytes, columns: Mapping[str, str], values: Iterator[tuple[Any, ...]]
) -> None:
    while (first := next(values, None)) is not None:
        async with connection.cursor().copy(statement) as copying:
            copying.set_types(list(columns.values()))
            await copying.write_row(first)
            for row in islice(values, COPY_ROWS_MAX - 1):
                await copying.write_row(row)


def _parameters(batch: Batch, rows: Rows) -> dict[str, Any]:
    parameters: dict[str, Any] = {}
    if batch.inbox:
        parameters["consumer"] = batch.consumer
        parameters["sources"] = len(batch.inbox)
        parameters["inbox"] = _inbox_json(batch.inbox)
    if batch.lease is not None:
        lease = batch.lease
        parameters |= {"partition": lease.partition, "holder": lease.holder, "epoch": lease.epoch}
    if rows.tails:
        parameters["tails"] = _tails_json(rows.tails)
    return parameters


def _event_row(row: Row, rows: Rows) -> tuple[Any, ...]:
    """Values in the order of `EVENT_COLUMNS`."""
    envelope = row.envelope
    return (
        envelope.stream,
        envelope.category,
        envelope.position,
        envelope.event.type,
        envelope.event_id,
        envelope.account,
        envelope.causation_id,
        envelope.correlation_id,
        envelope.occurred_at,
        rows.recorded_at,
        rows.fingerprint,
        row.body,
        row.content_hash,
        row.chain_hash,
        row.command_id,
    )


def _command_rows(rows: Rows) -> list[tuple[Any, ...]]:
    """Values in the order of `COMMAND_COLUMNS`."""
    return [
        (command.command_id, command.stream, position, command.type, command.causation_id, command.body)
        for command, position in rows.commands
    ]


def _events_json(rows: Rows) -> str:
    return _records(append_sql.EVENT_COLUMNS, (_event_row(row, rows) for row in rows.events))


def _commands_json(rows: Rows) -> str:
    return _records(append_sql.COMMAND_COLUMNS, _command_rows(rows))


def _tails_json(tails: Sequence[Tail]) -> str:
    return _records(
        ("stream", "stream_position", "chain_hash"),
        [(tail.stream, tail.position, tail.chain_hash) for tail in tails],
    )


def _inbox_json(inbox: Mapping[str, int]) -> str:
    return _records(("source", "position"), list(inbox.items()))


def _records(columns: Iterable[str], rows: Iterable[tuple[Any, ...]]) -> str:
    names = tuple(columns)
    return orjson.dumps([dict(zip(names, row, strict=True)) for row in rows], default=_spell).decode()


def _spell(value: Any) -> str:
    if isinstance(value, bytes):
        return "\\x" + value.hex()
    raise TypeError(f"{value!r} has no place in a row")
