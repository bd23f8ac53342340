"""The bare chain: four processes, each pulls, inserts twice, commits, publishes with acknowledgement, acks.

No event, no decision, no hash: only what four durable hand-overs cost on this machine, written with psycopg
and nats-py directly. Run as a program it is one link of the chain.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from contextlib import suppress

import nats
import psycopg
from nats.errors import TimeoutError as NatsTimeout
from nats.js.api import ConsumerConfig, DeliverPolicy, StreamConfig

LINKS = 4
STREAM = "BARE_CHAIN"
TABLES = (
    "CREATE TABLE IF NOT EXISTS bare_facts (id bigserial PRIMARY KEY, link int, body text)",
    "CREATE TABLE IF NOT EXISTS bare_inbox (id bigserial PRIMARY KEY, link int, handled bigint)",
)
BODY = b"x" * 600


async def measure_chain(store: str, bus: str, times: int) -> list[float]:
    """Seconds from the first publication to the arrival behind the last link, for each of `times` messages."""
    _create_tables(store)
    client = await nats.connect(bus)
    stream = client.jetstream()
    await stream.add_stream(StreamConfig(STREAM, subjects=["bare.>"]))
    links = [_start_link(number, store, bus) for number in range(LINKS)]
    try:
        arrivals = await stream.pull_subscribe(_subject(LINKS), durable="end")
        await _until_ready(stream, arrivals)
        taken = []
        for _ in range(times):
            begun = time.perf_counter()
            await stream.publish(_subject(0), BODY)
            (message,) = await arrivals.fetch(1, timeout=30)
            taken.append(time.perf_counter() - begun)
            await message.ack()
        return taken
    finally:
        for link in links:
            link.kill()
            link.wait()
        await stream.delete_stream(STREAM)
        await client.close()


def _create_tables(store: str) -> None:
    with psycopg.connect(store, autocommit=True) as connection:
        for statement in TABLES:
            connection.execute(statement.encode())


def _start_link(number: int, store: str, bus: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "benchmarks.chain", str(number), store, bus])


async def _until_ready(stream: nats.js.JetStreamContext, arrivals: object) -> None:
    """Messages until one has come through and the chain is warm."""
    for _ in range(30):
        await stream.publish(_subject(0), BODY)
        (message,) = await arrivals.fetch(1, timeout=30)  # type: ignore[attr-defined]
        await message.ack()


def _subject(link: int) -> str:
    return f"bare.{link}"


async def _work(number: int, store: str, bus: str) -> None:
    client = await nats.connect(bus)
    stream = client.jetstream()
    connection = await psycopg.AsyncConnection.connect(store, autocommit=True)
    incoming = await stream.pull_subscribe(
        _subject(number),
        durable=f"link{number}",
        config=ConsumerConfig(deliver_policy=DeliverPolicy.ALL),
    )
    while True:
        with suppress(NatsTimeout):
            (message,) = await incoming.fetch(1, timeout=1)
            async with connection.transaction():
                await connection.execute(
                    b"INSERT INTO bare_facts (link, body) VALUES (%s, %s)",
                    (number, message.data.decode()),
                    prepare=True,
                )
                await connection.execute(
                    b"INSERT INTO bare_inbox (link, handled) VALUES (%s, %s)",
                    (number, message.metadata.sequence.stream),
                    prepare=True,
                )
            await stream.publish(_subject(number + 1), message.data)
            await message.ack()


if __name__ == "__main__":
    asyncio.run(_work(int(sys.argv[1]), sys.argv[2], sys.argv[3]))
