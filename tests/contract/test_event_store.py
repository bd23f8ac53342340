"""Both stores keep the same contract; Postgres adds what only a server can promise."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import psycopg
import pytest

from nexus_common.runtime.errors import ConfigurationError, LeaseLost, SchemaMismatch, StoreUnavailable
from nexus_common.runtime.ports import AlreadyHandled
from nexus_common.runtime.store.export import verify
from nexus_common.runtime.store.memory import MemoryStore
from nexus_common.runtime.store.postgres import PostgresStore
from nexus_common.testing.store_contract import (
    FixedClock,
    OpenStore,
    StoreContract,
    a_batch,
    an_append,
    appended,
    reading,
)

OURS = "application_name LIKE 'nexus %' AND datname = current_database()"
END_OF_OURS = f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE {OURS}"
OURS_WAITING = f"SELECT pid FROM pg_stat_activity WHERE {OURS} AND wait_event_type = 'Lock'"


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def open_store(self) -> OpenStore:
        store = MemoryStore(fingerprint="code/settings", clock=FixedClock())

        async def open_store() -> MemoryStore:
            return store

        return open_store


@pytest.fixture
async def open_store(fresh_database: str) -> AsyncIterator[OpenStore]:
    opened: list[PostgresStore] = []

    async def open_one() -> PostgresStore:
        opened.append(await connect(fresh_database))
        return opened[-1]

    yield open_one
    for store in opened:
        await store.close()


@pytest.fixture
async def store(fresh_database: str) -> AsyncIterator[PostgresStore]:
    store = await connect(fresh_database)
    yield store
    await store.close()


async def connect(url: str) -> PostgresStore:
    return await PostgresStore.connect(url, fingerprint="code/settings", clock=FixedClock())


def execute(url: str, *statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


@pytest.mark.integration
class TestPostgresStore(StoreContract):
    """The contract, on a real server."""


@pytest.mark.integration
@pytest.mark.parametrize("table", ["events", "commands"])
@pytest.mark.parametrize("change", ["UPDATE {} SET body = ''", "DELETE FROM {}", "TRUNCATE {}"])
def test_history_cannot_be_changed_even_by_the_owner(fresh_database: str, table: str, change: str) -> None:
    with pytest.raises(psycopg.errors.RestrictViolation, match=f"{table} is append-only"):
        execute(fresh_database, change.format(table))


@pytest.mark.integration
def test_a_service_has_no_right_to_change_history(fresh_database: str) -> None:
    for change in (
        "UPDATE events SET body = ''",
        "DELETE FROM events",
        "TRUNCATE events",
        "DROP TABLE events",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            execute(fresh_database, "SET ROLE nexus_service", change)


@pytest.mark.integration
async def test_the_store_works_with_the_rights_of_a_service(store: PostgresStore) -> None:
    await appended(store, an_append("macro-a", [reading(1)]))
    async with store._writer as connection:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await connection.execute("DELETE FROM events")


@pytest.mark.integration
async def test_a_connection_lost_between_two_calls_is_made_anew(
    store: PostgresStore, fresh_database: str
) -> None:
    (first,) = await appended(store, an_append("macro-a", [reading(1)]))
    execute(fresh_database, END_OF_OURS)
    await store.append(a_batch(an_append("macro-a", [reading(2)], after=first)))
    assert await store.head() == 2


@pytest.mark.integration
async def test_a_connection_lost_during_a_call_leaves_it_in_doubt_and_the_next_call_finds_the_store_again(
    store: PostgresStore, fresh_database: str
) -> None:
    (first,) = await appended(store, an_append("macro-a", [reading(1)]))
    second = a_batch(an_append("macro-a", [reading(2)], after=first))
    with (
        psycopg.connect(fresh_database) as other,
        psycopg.connect(fresh_database, autocommit=True) as looking,
    ):
        other.execute("LOCK TABLE events IN ACCESS EXCLUSIVE MODE")
        appending = asyncio.ensure_future(store.append(second))
        while not looking.execute(OURS_WAITING.encode()).fetchone():  # noqa: ASYNC110 - nobody tells us
            await asyncio.sleep(0.01)
        execute(fresh_database, f"{END_OF_OURS} AND wait_event_type = 'Lock'")
        with pytest.raises(StoreUnavailable):
            await appending
    await store.append(second)
    assert await store.head() == 2


@pytest.mark.integration
async def test_a_store_that_nobody_answers_for_is_unavailable() -> None:
    with pytest.raises(StoreUnavailable):
        await connect("postgresql://nexus@127.0.0.1:1/nexus")


@pytest.mark.integration
async def test_a_server_that_may_forget_is_refused(fresh_database: str) -> None:
    execute(
        fresh_database,
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET synchronous_commit = off', current_database()); END $$",
    )
    with pytest.raises(ConfigurationError, match="synchronous_commit off"):
        await connect(fresh_database)


@pytest.mark.integration
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            "UPDATE alembic_version SET version_num = '9999'",
            "revision 9999, which this release .* does not know",
        ),
        ("DROP TABLE alembic_version", "has no tables yet: migrate it"),
    ],
)
async def test_another_schema_is_refused_with_what_to_do(
    fresh_database: str, change: str, words: str
) -> None:
    execute(fresh_database, change)
    with pytest.raises(SchemaMismatch, match=words):
        await connect(fresh_database)


@pytest.mark.integration
@pytest.mark.parametrize("count", [1, 100])
async def test_an_append_that_was_sent_before_a_claim_but_comes_after_it_is_refused(
    open_store: OpenStore, fresh_database: str, count: int
) -> None:
    old, new = await open_store(), await open_store()
    lease = await old.claim("executor/0", "executor-0", ttl_seconds=0)
    assert lease is not None
    async with await psycopg.AsyncConnection.connect(fresh_database) as writer_in_front:
        await writer_in_front.execute("SELECT pg_advisory_xact_lock(7957704)")
        late = an_append("macro-a", [reading(n) for n in range(count)])
        appending = asyncio.ensure_future(old.append(a_batch(late, lease=lease)))
        await _until_waiting(fresh_database, "nexus append")
        assert await new.claim("executor/0", "executor-1", ttl_seconds=60)
        await writer_in_front.rollback()
    with pytest.raises(LeaseLost):
        await appending
    assert await new.head() == 0


@pytest.mark.integration
async def test_a_claim_waits_for_the_append_that_is_past_its_check(
    open_store: OpenStore, fresh_database: str
) -> None:
    old, new = await open_store(), await open_store()
    lease = await old.claim("executor/0", "executor-0", ttl_seconds=0)
    async with await psycopg.AsyncConnection.connect(fresh_database) as other:
        await other.execute("INSERT INTO inbox VALUES ('cortex', 'feed-x', 1)")
        batch = a_batch(an_append("macro-a", [reading(1)]), inbox={"feed-x": 2}, lease=lease)
        appending = asyncio.ensure_future(old.append(batch))
        await _until_waiting(fresh_database, "nexus append")
        claiming = asyncio.ensure_future(new.claim("executor/0", "executor-1", ttl_seconds=60))
        await _until_waiting(fresh_database, "nexus read")
        await other.rollback()
    assert not isinstance(await appending, AlreadyHandled)
    assert await claiming is not None


@pytest.mark.integration
async def test_an_open_transaction_elsewhere_stalls_nobody(store: PostgresStore, fresh_database: str) -> None:
    async with await psycopg.AsyncConnection.connect(fresh_database) as other:
        await other.execute("CREATE TABLE held (n int)")
        await appended(store, an_append("macro-a", [reading(1)]))
        assert await store.head() == 1
        assert len(await store.read_categories(["macro"])) == 1
        await other.rollback()


@pytest.mark.integration
@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("body", "replace(body, '2026', '2027')", "content hash does not fit"),
        ("fingerprint", "'other'", "chain hash does not follow"),
        ("recorded_at", "recorded_at + interval '1 microsecond'", "chain hash does not follow"),
        ("content_hash", "set_byte(content_hash, 3, 1)", "content hash does not fit"),
        ("chain_hash", "set_byte(chain_hash, 3, 1)", "chain hash does not follow"),
        ("category", "'news'", "column category says other"),
        ("occurred_at", "occurred_at + interval '1 hour'", "column occurred_at says other"),
        ("account", "'eve'", "column account says other"),
    ],
)
async def test_what_an_intruder_changes_is_named(
    store: PostgresStore, fresh_database: str, column: str, value: str, words: str
) -> None:
    await appended(store, an_append("macro-a", [reading(n) for n in range(5)]))
    await appended(store, an_append("macro-b", [reading(n) for n in range(3)]))
    execute(
        fresh_database,
        "ALTER TABLE events DISABLE TRIGGER append_only",
        f"UPDATE events SET {column} = {value} WHERE stream = 'macro-a' AND stream_position = 3",
    )
    findings = (await verify(store)).findings
    assert {(finding.stream, finding.position) for finding in findings} == {("macro-a", 3)}
    assert words in " ".join(finding.problem for finding in findings)


@pytest.mark.integration
async def test_a_state_folded_by_other_code_is_no_snapshot_of_ours(
    store: PostgresStore, fresh_database: str
) -> None:
    await store.save_snapshot("macro-a", 5, "ours")
    other = await PostgresStore.connect(fresh_database, fingerprint="other code", clock=FixedClock())
    assert await other.load_snapshot("macro-a") is None
    await other.save_snapshot("macro-a", 3, "theirs")
    assert await other.load_snapshot("macro-a") == (3, "theirs")
    assert await store.load_snapshot("macro-a") is None
    await other.close()


async def _until_waiting(url: str, application: str) -> None:
    """Until a session of this name waits for a lock."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        while True:
            cursor = await connection.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s AND wait_event_type = 'Lock' "
                "AND datname = current_database()",
                (application,),
            )
            row = await cursor.fetchone()
            if row is not None and row[0]:
                return
