"""A static address: HTTP and WebSocket both go through the account's proxy, and nothing goes past it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from contract.bybit.hand import ENTRY, Stage
from contract.settings import Connection
from nexus_common.contracts.values import Venue
from nexus_executor.venues.broker import Accepted, UpdateKind
from nexus_executor.venues.bybit import BybitBroker


class Proxy:
    """A forward proxy: CONNECT for WebSocket, whole addresses for HTTP; it alone knows where the venue is."""

    def __init__(self, venue: str) -> None:
        self._to = urlsplit(venue)
        self.seen: list[str] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> str:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
        self.seen.append(method)
        there, back = await asyncio.open_connection(self._to.hostname, self._to.port)
        if method == "CONNECT":
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            parts = urlsplit(target)
            path = parts.path + (f"?{parts.query}" if parts.query else "")
            back.write(head.replace(target.encode(), path.encode(), 1))
        for source, sink in ((reader, back), (there, writer)):
            task = asyncio.ensure_future(
                self._pump(source, sink, rewrite=method != "CONNECT" and sink is back)
            )
            self._tasks.add(task)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, rewrite: bool) -> None:
        try:
            while data := await source.read(65_536):
                if rewrite:
                    self.seen.append(data.split(b" ", 1)[0].decode("utf-8", "replace"))
                    data = data.replace(b"http://venue.invalid", b"", 1)
                sink.write(data)
                await sink.drain()
        except (ConnectionError, OSError):
            pass
        finally:
            sink.close()


async def test_everything_goes_through_the_proxy(stage: Stage) -> None:
    access = Connection(stage.house, stage.account, stage.clock).access(Venue.BYBIT)
    proxy = Proxy(access.rest_url)
    address = await proxy.start()
    # An address that leads nowhere: only the proxy can reach the venue.
    behind = replace(access, rest_url="http://venue.invalid", stream_url="ws://venue.invalid", proxy=address)
    broker = BybitBroker(behind, stage.clock)
    try:
        await broker.open("USDT", None)
        assert isinstance(await broker.submit(ENTRY, stage.at), Accepted)
        assert [u.kind for u in await broker.updates(0) if u.kind is UpdateKind.FILL] == [UpdateKind.FILL]
        assert "CONNECT" in proxy.seen
        assert "POST" in proxy.seen
    finally:
        await broker.close()
        await proxy.stop()


async def test_a_proxy_of_the_environment_is_not_used(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    broker = await stage.opened()
    assert await broker.updates(0) == []
