"""The wire to the exchange server: one JSON document a line over TCP, requests in order, dicts in and out.

Two kinds of silence are told apart, because only one of them is harmless: a request that never left
(`ExchangeDown`), and one that may have been worked on although no answer came (`ExchangeUnanswered`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import orjson

from nexus_common.runtime.errors import NexusError

_LINE_MAX = 1 << 28


class ExchangeDown(NexusError):
    """The request did not leave: nothing has happened, try again later."""


class ExchangeUnanswered(NexusError):
    """The request left and no answer came: ask what became of it before anything else."""


class ExchangeError(NexusError):
    """The exchange answered that the request makes no sense; `code` says in which way."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(f"{code}: {reason}")
        self.code = code
        self.reason = reason


class ExchangeClient:
    """One connection, made when needed and made anew after a failure; may be shared by many tasks.

    The server drops every older connection of the same `name` as soon as a new one greets it, together with
    what was still to be read from it. So no request of a connection given up can arrive late: what is asked
    on a new connection is answered for certain.
    """

    def __init__(self, url: str, *, name: str | None = None, timeout: float = 5.0) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("tcp", "http") or parts.hostname is None or parts.port is None:
            raise ValueError(f"{url!r} is not the address of an exchange; it looks like http://host:port")
        self._host, self._port = parts.hostname, parts.port
        self._name = name or f"client-{uuid4().hex}"
        self._timeout = timeout
        self._connecting = asyncio.Lock()
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._sent = 0

    async def call(self, method: str, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Ask and wait for the answer.

        Raises:
            ExchangeDown: there is no connection; the request did not leave.
            ExchangeUnanswered: the connection broke, or the time ran out, after it left.
            ExchangeError: the exchange does not understand the request.
        """
        writer = await self._connected()
        self._sent += 1
        number = self._sent
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            writer.write(orjson.dumps({"id": number, "method": method, "params": params or {}}) + b"\n")
            async with asyncio.timeout(self._timeout):
                await writer.drain()
                reply = await answer
        except TimeoutError:
            self._drop(f"no answer to {method} within {self._timeout} s")
            raise ExchangeUnanswered(f"no answer to {method} within {self._timeout} s") from None
        except OSError as error:
            self._drop(str(error))
            raise ExchangeUnanswered(f"the connection broke during {method}: {error}") from error
        finally:
            self._waiting.pop(number, None)
        return _result(reply)

    async def close(self) -> None:
        """Give the connection up."""
        reading, self._reading = self._reading, None
        writer = self._writer
        self._drop("closed")
        if reading is not None:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
        if writer is not None:
            with suppress(OSError):
                await writer.wait_closed()

    async def _connected(self) -> asyncio.StreamWriter:
        async with self._connecting:
            if self._writer is not None and not self._writer.is_closing():
                return self._writer
            try:
                async with asyncio.timeout(self._timeout):
                    return await self._connect()
            except (OSError, TimeoutError) as error:
                self._drop(f"no connection: {error}")
                raise ExchangeDown(
                    f"the exchange at {self._host}:{self._port} does not answer ({error}); is it running?"
                ) from error

    async def _connect(self) -> asyncio.StreamWriter:
        reader, writer = await asyncio.open_connection(self._host, self._port, limit=_LINE_MAX)
        try:
            writer.write(orjson.dumps({"id": 0, "method": "hello", "params": {"name": self._name}}) + b"\n")
            if not await reader.readline():
                raise ConnectionResetError("the exchange closed the connection")
        except BaseException:
            writer.close()
            raise
        self._writer = writer
        self._reading = asyncio.get_running_loop().create_task(self._read(reader, writer))
        return writer

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reason = "the exchange closed the connection"
        try:
            while line := await reader.readline():
                reply = orjson.loads(line)
                waiting = self._waiting.pop(reply["id"], None)
                if waiting is not None and not waiting.done():
                    waiting.set_result(reply)
        except (OSError, ValueError, KeyError, TypeError) as error:
            reason = f"the connection broke: {error}"
        if self._writer is writer:
            self._drop(reason)

    def _drop(self, reason: str) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()
        waiting, self._waiting = self._waiting, {}
        for answer in waiting.values():
            if not answer.done():
                answer.set_exception(ConnectionResetError(reason))


def _result(reply: dict[str, Any]) -> dict[str, Any]:
    error = reply.get("error")
    if error is not None:
        raise ExchangeError(str(error.get("code")), str(error.get("reason")))
    result = reply.get("result")
    if not isinstance(result, dict):
        raise ExchangeUnanswered(f"unreadable answer: {reply!r}")
    return result
