"""The append as one statement.

Arrays travel as one JSON parameter each: the server takes JSON apart faster than the driver can spell
arrays (per event 27 µs against 48 µs, and a single event costs no more than a bare insert).
"""

from __future__ import annotations

from functools import lru_cache

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
OPEN, FENCED, HANDLED, MOVED = "open", "fenced", "handled", "moved"

# FOR SHARE waits for a claim under way and sees its outcome, and makes a later claim wait for our commit:
# nothing is appended under an epoch once a newer one was granted.
_HELD = """held AS MATERIALIZED (
    SELECT 1 FROM leases
    WHERE partition = %(partition)s AND holder = %(holder)s AND epoch = %(epoch)s FOR SHARE)"""
_HEARD = """heard AS MATERIALIZED (
    SELECT source, position FROM json_to_recordset(%(inbox)s::json) AS h(source text, position bigint))"""
_GATE = """gate AS MATERIALIZED (SELECT CASE {cases} ELSE 'open' END AS state)"""
_CASE_FENCED = "WHEN NOT EXISTS (SELECT FROM held) THEN 'fenced'"
_CASE_HANDLED = """WHEN EXISTS (
    SELECT FROM heard JOIN inbox ON inbox.consumer = %(consumer)s AND inbox.source = heard.source
    WHERE inbox.position >= heard.position) THEN 'handled'"""
_CASE_MOVED = """WHEN EXISTS (
    SELECT FROM json_to_recordset(%(tails)s::json) AS t(stream text, stream_position bigint, chain_hash bytea)
    WHERE NOT EXISTS (
        SELECT FROM events
        WHERE events.stream = t.stream AND events.stream_position = t.stream_position
            AND events.chain_hash = t.chain_hash)) THEN 'moved'"""
_ADVANCED = """advanced AS (
    INSERT INTO inbox AS i (consumer, source, position)
    SELECT %(consumer)s, heard.source, heard.position FROM gate, heard WHERE gate.state = 'open'
    ORDER BY heard.source
    ON CONFLICT (consumer, source) DO UPDATE SET position = excluded.position
        WHERE i.position < excluded.position
    RETURNING 1)"""
# The gate saw the inbox before we waited for the writers in front of us; ON CONFLICT sees it as it is now.
_GO = """go AS MATERIALIZED (SELECT state, CASE
    WHEN state <> 'open' THEN false
    WHEN (SELECT count(*) FROM advanced) < (SELECT count(*) FROM heard) THEN nexus_give_up()
    ELSE true END AS pass FROM gate)"""
_GO_WITHOUT_INBOX = "go AS MATERIALIZED (SELECT state, state = 'open' AS pass FROM gate)"


def _insertion(table: str, columns: dict[str, str]) -> str:
    names = ", ".join(columns)
    record = ", ".join(f"{name} {type_name}" for name, type_name in columns.items())
    return (
        f"INSERT INTO {table} ({names}) SELECT {names} FROM go, "  # noqa: S608 - names of our own tables
        f"ROWS FROM (json_to_recordset(%({table})s::json) AS ({record})) WITH ORDINALITY AS r({names}, nth) "
        "WHERE go.pass ORDER BY nth"
    )


@lru_cache
def append_statement(*, lease: bool, inbox: bool, tails: bool, commands: bool) -> bytes:
    """The statement for a batch that has these parts; it answers with a state and the new positions.

    Parameters: `events`, and as given `commands`, `inbox`, `tails` as JSON arrays, `consumer`, and
    `partition`, `holder`, `epoch` of the lease.
    """
    cases = [
        case for given, case in ((lease, _CASE_FENCED), (inbox, _CASE_HANDLED), (tails, _CASE_MOVED)) if given
    ]
    parts = [
        *([_HELD] if lease else []),
        *([_HEARD] if inbox else []),
        _GATE.format(cases=" ".join(cases)) if cases else "gate AS MATERIALIZED (SELECT 'open' AS state)",
        *([_ADVANCED, _GO] if inbox else [_GO_WITHOUT_INBOX]),
        *([f"sent AS ({_insertion('commands', COMMAND_COLUMNS)})"] if commands else []),
        f"written AS ({_insertion('events', EVENT_COLUMNS)} RETURNING position)",
    ]
    answer = "SELECT state, (SELECT array_agg(position ORDER BY position) FROM written) FROM go"
    return f"WITH {', '.join(parts)} {answer}".encode()


@lru_cache
def gate_statement(*, lease: bool, tails: bool) -> bytes:
    """The gate alone, in front of a bulk copy in the same transaction."""
    cases = [case for given, case in ((lease, _CASE_FENCED), (tails, _CASE_MOVED)) if given]
    held = f"{_HELD}, " if lease else ""
    gate = _GATE.format(cases=" ".join(cases))
    return f"WITH {held}{gate} SELECT state FROM gate".encode()  # noqa: S608 - made of the constants above


COPY_EVENTS = f"COPY events ({', '.join(EVENT_COLUMNS)}) FROM STDIN (FORMAT BINARY)".encode()
COPY_COMMANDS = f"COPY commands ({', '.join(COMMAND_COLUMNS)}) FROM STDIN (FORMAT BINARY)".encode()
LAST_POSITION = b"SELECT currval('events_position_seq')"
