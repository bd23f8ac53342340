"""Postgres and NATS of our own for one benchmark, as `nexus up` would start them."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from nexus_common.runtime.store.migrate import upgrade
from nexus_ops.stack import EmbeddedNats, EmbeddedPostgres


@dataclass(frozen=True, slots=True)
class Servers:
    store: str
    bus: str


@contextmanager
def servers() -> Iterator[Servers]:
    """Both servers, empty, with the schema in place; stopped and removed afterwards."""
    with ExitStack() as closing:
        folder = Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="nexus-bench-")))
        postgres, nats = EmbeddedPostgres(folder / "postgres"), EmbeddedNats(folder / "nats")
        for server in (postgres, nats):
            server.start()
            closing.callback(server.stop)
        asyncio.run(_migrate(postgres.dsn))
        yield Servers(postgres.dsn, nats.url)


async def _migrate(url: str) -> None:
    upgrade(url)
