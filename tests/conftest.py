"""Real servers for the tests that need them, started once a session and worker, from the PyPI wheels."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import itertools
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from nexus_ops.stack import EmbeddedNats, EmbeddedPostgres

TEMPLATE = "nexus_template"
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """A running Postgres."""
    server = EmbeddedPostgres(tmp_path_factory.mktemp("postgres"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedNats]:
    """A running nats-server; whoever kills or wipes it starts it again."""
    server = EmbeddedNats(tmp_path_factory.mktemp("nats"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def nats_url(nats_server: EmbeddedNats) -> str:
    """The address of a running nats-server; its streams are shared by the tests of a session."""
    return nats_server.url


@pytest.fixture(scope="session")
def _template_database(postgres_server: EmbeddedPostgres) -> str:
    _execute(postgres_server, f"CREATE DATABASE {TEMPLATE}")
    _migrate(postgres_server.dsn_of(TEMPLATE))
    return TEMPLATE


@pytest.fixture
def fresh_database(postgres_server: EmbeddedPostgres, _template_database: str) -> Iterator[str]:
    """The address of an empty database with the current schema, made for this test."""
    name = f"test_{next(_numbers)}"
    _execute(postgres_server, f"CREATE DATABASE {name} TEMPLATE {_template_database}")
    yield postgres_server.dsn_of(name)
    _execute(postgres_server, f"DROP DATABASE {name} WITH (FORCE)")


def _execute(server: EmbeddedPostgres, statement: str) -> None:
    with psycopg.connect(server.dsn_of("postgres"), autocommit=True) as connection:
        connection.execute(statement.encode())


def _migrate(url: str) -> None:
    try:
        migrate: Any = importlib.import_module("nexus_common.runtime.store.migrate")
    except ModuleNotFoundError as error:
        if error.name != "nexus_common.runtime.store.migrate":
            raise
        return
    done = migrate.upgrade(url)
    if inspect.isawaitable(done):

        async def finish() -> None:
            await done

        asyncio.run(finish())
