"""The append of one event with its command and inbox, and of many, beside what the table itself takes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from statistics import median
from uuid import UUID

from benchmarks.measuring import Figure, alternate
from benchmarks.servers import servers
from nexus_common.contracts.account import BalanceChanged, RecordBalance
from nexus_common.contracts.envelope import GENESIS, seal_command, seal_events
from nexus_common.contracts.ids import NEXUS, command_id, derived
from nexus_common.contracts.values import AccountId
from nexus_common.runtime.clock import WallClock
from nexus_common.runtime.ports import Batch, StreamAppend
from nexus_common.runtime.store import append_sql
from nexus_common.runtime.store.append import _event_row
from nexus_common.runtime.store.postgres import PostgresStore
from nexus_common.runtime.store.rows import rows_of
from nexus_common.runtime.store.session import Session

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
BENCH = "bench"
SINGLES = 200
BULK = 200
BULKS = 20
REPETITIONS = 9
INSERT = (
    f"INSERT INTO events ({', '.join(append_sql.EVENT_COLUMNS)}) "
    f"VALUES ({', '.join(['%s'] * len(append_sql.EVENT_COLUMNS))}) RETURNING position"
).encode()


def run() -> list[Figure]:
    with servers() as addresses:
        return asyncio.run(_measure(addresses.store))


async def _measure(url: str) -> list[Figure]:
    store = await PostgresStore.connect(url, fingerprint=BENCH, clock=WallClock())
    bare = Session(url, "bare insert")
    writer = _Writer(store, bare)
    try:
        for _ in range(2):  # statements prepared, files grown
            await writer.singles()
            await writer.inserts()
        single = await alternate(writer.singles, writer.inserts, REPETITIONS)
        bulk = await alternate(writer.bulks, writer.copies, REPETITIONS)
    finally:
        await bare.close()
        await store.close()
    return [
        Figure(
            "append of one event with command and inbox",
            round(single.value * 1e6),
            "µs",
            round(single.bare * 1e6),
            "bare autocommitted INSERT into the same table",
            round(single.ratio, 2),
            "at least 0.9 of the bare insert's rate (a time ratio of at most 1.11)",
            single.ratio <= 1 / 0.9,
        ),
        Figure(
            f"append of {BULK} events",
            round(bulk.value),
            "events/s",
            round(bulk.bare),
            "binary COPY of the same rows into the same table",
            round(bulk.ratio, 2),
            "at least 0.7 of COPY",
            bulk.ratio >= 0.7,
            "ours also encodes, hashes and chains them",
        ),
    ]


class _Writer:
    """Both ways of writing the same kind of rows; every batch is one of new streams."""

    def __init__(self, store: PostgresStore, bare: Session) -> None:
        self._store = store
        self._bare = bare
        self._number = 0

    def _batches(self, count: int, events: int, *, with_inbox: bool) -> list[Batch]:
        first = self._number
        self._number += count
        return [_batch(number, events, with_inbox=with_inbox) for number in range(first, first + count)]

    async def singles(self) -> float:
        """The median seconds of an append."""
        times = []
        for batch in self._batches(SINGLES, 1, with_inbox=True):
            begun = time.perf_counter()
            await self._store.append(batch)
            times.append(time.perf_counter() - begun)
        return median(times)

    async def inserts(self) -> float:
        """The median seconds of a bare insert."""
        rows = [_rows(batch)[0] for batch in self._batches(SINGLES, 1, with_inbox=False)]
        times = []
        async with self._bare as connection:
            for row in rows:
                begun = time.perf_counter()
                cursor = await connection.execute(INSERT, row, prepare=True, binary=True)
                await cursor.fetchone()
                times.append(time.perf_counter() - begun)
        return median(times)

    async def bulks(self) -> float:
        """Events in a second."""
        batches = self._batches(BULKS, BULK, with_inbox=False)
        begun = time.perf_counter()
        for batch in batches:
            await self._store.append(batch)
        return BULKS * BULK / (time.perf_counter() - begun)

    async def copies(self) -> float:
        rows = [_rows(batch) for batch in self._batches(BULKS, BULK, with_inbox=False)]
        types = list(append_sql.EVENT_COLUMNS.values())
        begun = time.perf_counter()
        async with self._bare as connection:
            for chunk in rows:
                async with connection.cursor().copy(append_sql.COPY_EVENTS) as copying:
                    copying.set_types(types)
                    for row in chunk:
                        await copying.write_row(row)
        return BULKS * BULK / (time.perf_counter() - begun)


def _batch(number: int, events: int, *, with_inbox: bool) -> Batch:
    account = AccountId(f"bench{number}")
    stream, cause = f"account-{account}", derived(NEXUS, f"bench/{number}")
    changed = [
        BalanceChanged(account=account, wallet=Decimal(10_000 + index), change=Decimal(1), reason="fill")
        for index in range(events)
    ]
    envelopes = seal_events(
        changed,
        consumer=BENCH,
        stream=stream,
        version=0,
        at=NOON,
        cause=cause,
        correlation=None,
        account=account,
    )
    command = None
    if with_inbox:
        wish = RecordBalance(account, Decimal(10_000), "fill", NOON)
        identity: UUID = command_id(cause, BENCH, stream)
        command = seal_command(wish, identity, stream, cause, consumer=BENCH)
    inbox = {f"trade-{number % 50}": number + 1} if with_inbox else {}
    return Batch(BENCH, (StreamAppend(stream, 0, GENESIS, envelopes, command),), inbox)


def _rows(batch: Batch) -> Sequence[tuple[object, ...]]:
    rows = rows_of(batch, NOON, BENCH)
    return [_event_row(row, rows) for row in rows.events]
