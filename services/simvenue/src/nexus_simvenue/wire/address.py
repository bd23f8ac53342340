"""An address of a service without accounts: public questions, and streams where it has any."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from aiohttp import web

from nexus_simvenue.wire.http import HttpRequest, HttpResponse
from nexus_simvenue.wire.incoming import is_handshake, read_request


class Streams(Protocol):
    def accepts(self, path: str) -> bool: ...

    async def listen(self, request: web.Request) -> web.StreamResponse: ...

    def hang_up(self) -> None: ...


class Address:
    """`get` answers what it knows; everything else is not found."""

    def __init__(
        self, get: Callable[[HttpRequest], HttpResponse | None], streams: Streams | None = None
    ) -> None:
        self._get = get
        self._streams = streams
        self._runner: web.AppRunner | None = None

    @property
    def has_streams(self) -> bool:
        return self._streams is not None

    async def start(self, host: str, port: int) -> int:
        """Listen; port 0 takes a free one. Returns the port."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        if self._streams is not None:
            self._streams.hang_up()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        if is_handshake(request):
            if self._streams is None or not self._streams.accepts(request.rel_url.path):
                return web.Response(status=404, text="404 page not found")
            return await self._streams.listen(request)
        answer = self._get(await read_request(request))
        if answer is None:
            return web.Response(status=404, text="404 page not found")
        return web.Response(status=answer.status, body=answer.body.encode(), headers=dict(answer.headers))
