"""Finds the event store that a command is about: a running stack's, a stopped one's, or the configured one."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from nexus_common.runtime.clock import WallClock
from nexus_common.runtime.settings import load
from nexus_common.runtime.store.postgres import PostgresStore
from nexus_ops.stack.postgres import EmbeddedPostgres

DEFAULT_HOME = Path(".nexus")


def stack_word(home: Path) -> dict[str, Any] | None:
    """What the running stack of a home folder has left word of; None when it does not run."""
    path = home / "stack.json"
    if not path.exists():
        return None
    word: dict[str, Any] = json.loads(path.read_text())
    return word


@asynccontextmanager
async def opened_store(home: Path) -> AsyncIterator[PostgresStore]:
    """The store of `home`. When its stack is down, its Postgres is started for as long as this takes.

    Without such a folder the settings' address is used (`NEXUS__STORE__URL`).
    """
    word = stack_word(home)
    if word is not None:
        async with _connected(word["addresses"]["store"]) as store:
            yield store
    elif (home / "postgres").exists():
        server = EmbeddedPostgres(home / "postgres")
        server.start()
        try:
            async with _connected(server.dsn) as store:
                yield store
        finally:
            server.stop()
    else:
        async with _connected(load().store.url) as store:
            yield store


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[PostgresStore]:
    store = await PostgresStore.connect(url, fingerprint="ops", clock=WallClock())
    try:
        yield store
    finally:
        await store.close()
