"""Finds the store and the bus that a command is about: a running stack's, a stopped one's, or the configured ones."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from nexus_common.runtime.bus.jetstream import JetStreamBus
from nexus_common.runtime.clock import WallClock
from nexus_common.runtime.errors import ConfigurationError
from nexus_common.runtime.projection import ReadModels
from nexus_common.runtime.settings import load
from nexus_common.runtime.settings_sections import BusSettings, StoreSettings
from nexus_common.runtime.store.postgres import PostgresStore
from nexus_ops.stack.nats import EmbeddedNats
from nexus_ops.stack.postgres import EmbeddedPostgres

DEFAULT_HOME = Path(".nexus")


def stack_word(home: Path) -> dict[str, Any] | None:
    """What the running stack of a home folder has left word of; None when it does not run."""
    path = home / "stack.json"
    if not path.exists():
        return None
    word: dict[str, Any] = json.loads(path.read_text())
    # A stack that was killed could not take its word back.
    return word if _answers(word["addresses"]["store"]) else None


@contextmanager
def store_address(home: Path) -> Iterator[str]:
    """The address of the store of `home`. When its stack is down, its Postgres runs for as long as this takes.

    Without such a folder it is the settings' address (`NEXUS__STORE__URL`).

    Raises:
        ConfigurationError: there is neither.
    """
    word = stack_word(home)
    if word is not None:
        yield word["addresses"]["store"]
    elif (home / "postgres").exists():
        server = EmbeddedPostgres(home / "postgres")
        server.start()
        try:
            yield server.dsn
        finally:
            server.stop()
    else:
        yield _configured(home, load().store.url, StoreSettings().url, "NEXUS__STORE__URL")


@contextmanager
def bus_address(home: Path) -> Iterator[str]:
    """The address of the bus of `home`, found as that of the store is; raises ConfigurationError as well."""
    word = stack_word(home)
    if word is not None:
        yield word["addresses"]["bus"]
    elif (home / "nats").exists():
        server = EmbeddedNats(home / "nats")
        server.start()
        try:
            yield server.url
        finally:
            server.stop()
    else:
        yield _configured(home, load().bus.url, BusSettings().url, "NEXUS__BUS__URL")


@asynccontextmanager
async def opened_store(home: Path) -> AsyncIterator[PostgresStore]:
    """The store of `home`."""
    with store_address(home) as url:
        async with connected(url) as store:
            yield store


@asynccontextmanager
async def opened_models(home: Path) -> AsyncIterator[tuple[PostgresStore, ReadModels, str]]:
    """The store of `home`, its read models, and the address of both."""
    with store_address(home) as url:
        async with connected(url) as store:
            models = ReadModels(url)
            try:
                yield store, models, url
            finally:
                await models.close()


@asynccontextmanager
async def opened_bus(home: Path) -> AsyncIterator[JetStreamBus]:
    """The bus of `home`."""
    with bus_address(home) as url:
        bus = await JetStreamBus.connect(url, name="ops")
        try:
            yield bus
        finally:
            await bus.close()


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[PostgresStore]:
    """The store at an address, for as long as the block lasts."""
    store = await PostgresStore.connect(url, fingerprint="ops", clock=WallClock())
    try:
        yield store
    finally:
        await store.close()


def _configured(home: Path, url: str, default: str, variable: str) -> str:
    if url == default:
        raise ConfigurationError(
            f"{home} holds no run: start one with `nexus up`, name its folder with --home, or set {variable}"
        )
    return url


def _answers(url: str) -> bool:
    parts = urlsplit(url)
    try:
        socket.create_connection((parts.hostname or "", parts.port or 0), 1.0).close()
    except OSError:
        return False
    return True
