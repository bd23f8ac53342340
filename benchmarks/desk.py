"""Consume, decide, append, publish: one service's whole write path, beside the same trips without its contents."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Final

from benchmarks.measuring import Figure, alternate
from benchmarks.servers import Servers, servers
from nexus_common.contracts.envelope import Envelope, Recorded, decode
from nexus_common.contracts.ids import NEXUS, derived
from nexus_common.contracts.macro import MacroRead, RecordMacro
from nexus_common.contracts.message import Event
from nexus_common.contracts.notice import ComposeNotice, Urgency
from nexus_common.contracts.values import UserId
from nexus_common.runtime.bus import topology
from nexus_common.runtime.bus.jetstream import JetStreamBus
from nexus_common.runtime.bus.transport import Message
from nexus_common.runtime.clock import WallClock
from nexus_common.runtime.desk import WorkDesk
from nexus_common.runtime.ports import Bus
from nexus_common.runtime.store.postgres import PostgresStore
from nexus_common.runtime.store.session import Session
from nexus_ingest.domain.macro import MACRO
from nexus_telegram.domain.notices import NOTICE

MESSAGES: Final = 300
REPETITIONS: Final = 5
NOON: Final = datetime(2026, 3, 2, 12, tzinfo=UTC)
TABLES: Final = (
    b"CREATE TABLE bare_facts (id bigserial PRIMARY KEY, body text)",
    b"CREATE TABLE bare_inbox (id bigserial PRIMARY KEY, handled bigint)",
)


def run() -> list[Figure]:
    with servers() as addresses:
        return asyncio.run(_measure(addresses))


async def _measure(addresses: Servers) -> list[Figure]:
    store = await PostgresStore.connect(addresses.store, fingerprint="bench", clock=WallClock())
    bare = Session(addresses.store, "bare")
    bus = await JetStreamBus.connect(addresses.bus)
    async with bare as connection:
        await connection.execute(b"RESET ROLE")
        for table in TABLES:
            await connection.execute(table)
    path = _Path(store, bus, bare)
    try:
        await path.ours()
        await path.floor()
        pairs = await alternate(path.ours, path.floor, REPETITIONS)
    finally:
        await bus.close()
        await bare.close()
        await store.close()
    return [
        Figure(
            "messages consumed, decided on, appended and published, one at a time",
            round(pairs.value),
            "messages/s",
            round(pairs.bare),
            "pull, two inserts, commit, publish with ack, ack",
            round(pairs.ratio, 2),
        )
    ]


class _Path:
    """The same messages through a desk, and through nothing but the two servers."""

    def __init__(self, store: PostgresStore, bus: Bus, bare: Session) -> None:
        self._store = store
        self._bus = bus
        self._bare = bare
        self._numbers = count()
        self._inputs = WorkDesk(store, "bench-input", _forget, keep_commands=False)
        self._desk = WorkDesk(store, "bench", _forget)

    async def ours(self) -> float:
        number = next(self._numbers)
        await self._offer(await self._record(number), "macro")
        begun = time.perf_counter()
        done = 0
        async for delivery in self._bus.deliveries("bench", ["nexus.macro.>"]):
            envelope = decode(delivery.data)
            for heard in self._desk.begin([envelope]):
                await self._decide(heard)
            await self._desk.commit()
            for recorded in self._desk.take_recorded():
                subject, data = topology.subject_for(recorded), recorded.body.encode()
                await self._bus.publish(subject, data, {}, str(recorded.envelope.event_id))
            await self._bus.ack([delivery])
            done += 1
            if done == MESSAGES:
                break
        return MESSAGES / (time.perf_counter() - begun)

    async def floor(self) -> float:
        number = next(self._numbers)
        await self._offer(await self._record(number), "news")
        begun = time.perf_counter()
        done = 0
        async for delivery in self._bus.deliveries("bench-bare", ["nexus.news.>"]):
            async with self._bare as connection, connection.transaction():
                body = delivery.data.decode()
                await connection.execute(b"INSERT INTO bare_facts (body) VALUES (%s)", (body,), prepare=True)
                place = (delivery.sequence,)
                await connection.execute(b"INSERT INTO bare_inbox (handled) VALUES (%s)", place, prepare=True)
            await self._bus.publish("nexus.brief.bare.0", delivery.data, {}, f"{number}/{done}")
            await self._bus.ack([delivery])
            done += 1
            if done == MESSAGES:
                break
        return MESSAGES / (time.perf_counter() - begun)

    async def _record(self, number: int) -> list[Recorded[Event]]:
        for index in range(MESSAGES):
            at = NOON + timedelta(minutes=number * MESSAGES + index)
            reading = MacroRead(known_at=at, fear_greed=index % 100)
            cause = derived(NEXUS, f"{number}/{index}")
            self._inputs.begin(())
            await self._inputs.handle(MACRO, "global", RecordMacro(at, reading), cause=cause)
        await self._inputs.commit()
        return self._inputs.take_recorded()

    async def _offer(self, recorded: list[Recorded[Event]], category: str) -> None:
        messages: list[Message] = [
            (f"nexus.{category}.read.0", each.body.encode(), {}, f"{category}/{each.envelope.event_id}")
            for each in recorded
        ]
        for start in range(0, len(messages), 100):
            await self._bus.publish_all(messages[start : start + 100])

    async def _decide(self, heard: Envelope[Event]) -> None:
        command = ComposeNotice(UserId("bench"), Urgency.INFO, "heard", heard.event_id, heard.occurred_at)
        await self._desk.handle(NOTICE, "bench", command, cause=heard.event_id)


def _forget(envelope: Envelope[Event]) -> None:
    """Nothing is kept in a view here."""
