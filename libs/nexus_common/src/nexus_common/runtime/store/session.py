"""One connection to Postgres that opens when it is needed, and again after it was lost."""

from __future__ import annotations

import asyncio
import select
from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from nexus_common.runtime.errors import ConfigurationError, StoreUnavailable
from nexus_common.runtime.store.revision import SERVICE_ROLE

Connection = psycopg.AsyncConnection[tuple[Any, ...]]

# A peer that vanished without a word is found out within seconds, not after the kernel's two hours.
CONNECTION_DEFAULTS = {
    "connect_timeout": "5",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
    "client_encoding": "utf8",
}
# Appends wait for each other on a lock, so a session that falls asleep in a transaction must not keep it.
# Statements are prepared and their plans do not depend on the values: planning an append afresh, as the server
# does the first five times, costs more than the append.
CONFIGURE = b"""
SELECT set_config('timezone', 'UTC', false),
       set_config('idle_in_transaction_session_timeout', '10s', false),
       set_config('lock_timeout', '10s', false),
       set_config('plan_cache_mode', 'force_generic_plan', false)
"""
DURABILITY = b"""
SELECT name, setting FROM pg_settings
WHERE name IN ('fsync', 'synchronous_commit', 'full_page_writes') AND setting = 'off' ORDER BY name
"""
# Whoever logs in, work is done with the rights of a service, which has none to change history.
DROP_RIGHTS = b"""
SELECT set_config('role', rolname, false) FROM pg_roles
WHERE rolname = %s AND rolname <> current_user
  AND pg_has_role(session_user, oid, CASE WHEN current_setting('server_version_num')::int >= 160000
                                          THEN 'SET' ELSE 'MEMBER' END)
  AND has_table_privilege(oid, to_regclass('events'), 'INSERT')
"""


class Session:
    """Runs one piece of work at a time; after StoreUnavailable the next one connects anew."""

    def __init__(self, url: str, name: str) -> None:
        try:
            given = {name: str(value) for name, value in conninfo_to_dict(url).items()}
        except psycopg.Error as error:
            raise ConfigurationError(
                f"store address: {error}; expected postgresql://user@host:port/database"
            ) from error
        self._conninfo = make_conninfo(**{**CONNECTION_DEFAULTS, "application_name": name, **given})
        self._connection: Connection | None = None
        self._turn = asyncio.Lock()

    async def rows(
        self, query: bytes, parameters: Sequence[Any] | Mapping[str, Any] | None = None
    ) -> list[tuple[Any, ...]]:
        """Run one autocommitted statement and fetch what it returns."""
        async with self as connection:
            cursor = connection.cursor(binary=True)
            await cursor.execute(query, parameters, prepare=True)
            return await cursor.fetchall() if cursor.description else []

    async def __aenter__(self) -> Connection:
        """The connection, for one caller at a time.

        Raises (here, and for what happens with the connection):
            StoreUnavailable: it was lost, or nobody answers, or a lock was not to be had in time.
        """
        await self._turn.acquire()
        try:
            return await self._connection_if_open() or await self._open()
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            self._turn.release()
            raise _unavailable(error) from error
        except BaseException:
            self._turn.release()
            raise

    async def __aexit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        try:
            if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
                await self._forget_if_lost()
                raise _unavailable(error) from error
        finally:
            self._turn.release()

    async def close(self) -> None:
        async with self._turn:
            if self._connection is not None:
                await self._connection.close()
                self._connection = None

    async def _connection_if_open(self) -> Connection | None:
        connection = self._connection
        if connection is None or connection.closed:
            return None
        if _has_said_something(connection):
            # Found out before anything was sent over it, so nothing is in doubt and nobody need hear of it.
            self._connection = None
            await connection.close()
            return None
        return connection

    async def _open(self) -> Connection:
        connection = await psycopg.AsyncConnection.connect(self._conninfo, autocommit=True)
        try:
            await connection.execute(CONFIGURE)
            await _require_durability(connection)
            await connection.execute(DROP_RIGHTS, (SERVICE_ROLE,))
        except BaseException:
            await connection.close()
            raise
        self._connection = connection
        return connection

    async def _forget_if_lost(self) -> None:
        connection = self._connection
        if connection is not None and (connection.closed or connection.broken):
            self._connection = None
            await connection.close()


def _has_said_something(connection: Connection) -> bool:
    """Between two statements a server is silent, unless it says goodbye or has died."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))


async def _require_durability(connection: Connection) -> None:
    cursor = await connection.execute(DURABILITY)
    off = [name for name, _ in await cursor.fetchall()]
    if off:
        raise ConfigurationError(
            f"Postgres runs with {', '.join(off)} off: a crash could lose committed orders. "
            "Switch it on in the server's configuration"
        )


def _unavailable(error: psycopg.Error) -> StoreUnavailable:
    return StoreUnavailable(f"the store does not answer: {str(error).strip()}")
