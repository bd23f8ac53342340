"""The append as one statement.

Arrays travel as one JSON parameter each: the server takes JSON apart faster than the driver can spell
arrays (per event 27 µs against 48 µs, and a single event costs no more than a bare insert). The insertion of
the events is the statement itself and not one of its parts, which would cost an eighth more.
"""

from __future__ import annotations

from functools import lru_cache

GIVEN_UP = "NX001"  # what nexus_give_up() raises
EVENT_COLUMNS = {
    "stream": "text",
    "category": "text",
    "stream_position": "bigint",
    "type": "text",
    "event_id": "uuid",
    "account": "text",
    "causation": "uuid",
    "correlation": "uuid",
    "occurred_at": "timestamptz",
    "recorded_at": "timestamptz",
    "fingerprint": "text",
    "body": "text",
    "content_hash": "bytea",
    "chain_hash": "bytea",
    "command_id": "uuid",
}
COMMAND_COLUMNS = {
    "command_id": "uuid",
    "stream": "text",
    "stream_position": "bigint",
    "type": "text",
    "causation": "uuid",
    "body": "text",
}
# FOR SHARE waits for a claim under way and sees its outcome, and makes a later claim wait for our commit:
# nothing is appended under an epoch once a newer one was granted.
_HELD = """held AS MATERIALIZED (
    SELECT 1 FROM leases
    WHERE partition = %(partition)s AND holder = %(holder)s AND epoch = %(epoch)s FOR SHARE)"""
_IS_HELD = "EXISTS (SELECT FROM held)"
_IS_BEHIND = """NOT EXISTS (
    SELECT FROM json_to_recordset(%(tails)s::json) AS t(stream text, stream_position bigint, chain_hash bytea)
    WHERE NOT EXISTS (
        SELECT FROM events
        WHERE events.stream = t.stream AND events.stream_position = t.stream_position
            AND events.chain_hash = t.chain_hash))"""
# Rows in one order for everybody, so that two who handle the same messages do not wait for each other.
_ADVANCED = """advanced AS (
    INSERT INTO inbox AS i (consumer, source, position)
    SELECT %(consumer)s, h.source, h.position
    FROM json_to_recordset(%(inbox)s::json) AS h(source text, position bigint)
    WHERE {condition} ORDER BY h.source
    ON CONFLICT (consumer, source) DO UPDATE SET position = excluded.position
        WHERE i.position < excluded.position
    RETURNING 1)"""
# None advanced: a repeat, and nothing is written. Some, not all: what did advance must be undone.
_ALL_ADVANCED = """(SELECT CASE count(*) WHEN %(sources)s THEN true WHEN 0 THEN false ELSE nexus_give_up() END
    FROM advanced)"""


def _insertion(table: str, columns: dict[str, str], *, guarded: bool) -> str:
    names = ", ".join(columns)
    record = ", ".join(f"{name} {type_name}" for name, type_name in columns.items())
    go, condition = ("go, ", "WHERE go.pass ") if guarded else ("", "")
    return (
        f"INSERT INTO {table} ({names}) SELECT {names} FROM {go}"  # noqa: S608 - names of our own tables
        f"ROWS FROM (json_to_recordset(%({table})s::json) AS ({record})) WITH ORDINALITY AS r({names}, nth) "
        f"{condition}ORDER BY nth"
    )


@lru_cache
def append_statement(*, events: bool, commands: bool, inbox: bool, tails: bool, lease: bool) -> bytes:
    """The statement for a batch that has these parts; it returns the new positions.

    Without events it returns one row for a batch that was written. No row: nothing was written, and
    `IS_FENCED` and `IS_HANDLED` tell why. Parameters: the parts as JSON arrays; `consumer` and the number of
    `sources` with an inbox; `partition`, `holder` and `epoch` of the lease.
    """
    conditions = [text for given, text in ((lease, _IS_HELD), (tails, _IS_BEHIND)) if given]
    parts = [_HELD] if lease else []
    guarded = bool(conditions) or inbox
    if inbox:
        parts.append(_ADVANCED.format(condition=" AND ".join(conditions) or "true"))
    if guarded:
        parts.append(
            f"go AS MATERIALIZED (SELECT {_ALL_ADVANCED if inbox else ' AND '.join(conditions)} AS pass)"
        )
    if commands:
        parts.append(f"sent AS ({_insertion('commands', COMMAND_COLUMNS, guarded=guarded)})")
    if events:
        answer = f"{_insertion('events', EVENT_COLUMNS, guarded=guarded)} RETURNING position"
    else:
        answer = "SELECT 0 FROM go WHERE go.pass" if guarded else "SELECT 0"
    return f"{'WITH ' if parts else ''}{', '.join(parts)} {answer}".encode()


@lru_cache
def gate_statement(*, tails: bool, lease: bool) -> bytes:
    """The conditions alone, in front of a bulk copy in the same transaction."""
    conditions = [text for given, text in ((lease, _IS_HELD), (tails, _IS_BEHIND)) if given]
    held = f"WITH {_HELD} " if lease else ""
    return f"{held}SELECT {' AND '.join(conditions) or 'true'}".encode()


# Why a batch was not written. An old epoch stays old and a position that was handled stays handled, so these can
# be asked after the fact; if neither is so, a stream did not end where the writer believed it to.
IS_FENCED = b"""
SELECT NOT EXISTS (SELECT FROM leases WHERE partition = %(partition)s AND holder = %(holder)s AND epoch = %(epoch)s)
"""
IS_HANDLED = b"""
SELECT EXISTS (
    SELECT FROM json_to_recordset(%(inbox)s::json) AS h(source text, position bigint)
    JOIN inbox ON inbox.consumer = %(consumer)s AND inbox.source = h.source
    WHERE inbox.position >= h.position)
"""

# What the trigger before each insertion takes. A copy takes it first, so that everybody locks in one order.
SERIALISE = b"SELECT pg_advisory_xact_lock(7957704)"
COPY_EVENTS = f"COPY events ({', '.join(EVENT_COLUMNS)}) FROM STDIN (FORMAT BINARY)".encode()
COPY_COMMANDS = f"COPY commands ({', '.join(COMMAND_COLUMNS)}) FROM STDIN (FORMAT BINARY)".encode()
LAST_POSITION = b"SELECT currval('events_position_seq')"
