"""A real HTTP server that gives one answer after the other, the last one again and again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from aiohttp.test_utils import TestServer


class Scripted:
    """`script` holds status and body of each answer, `asked` the requests so far; `headers` go with every answer."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[web.Request] = []
        self.headers: dict[str, str] = {}
        self.script: list[tuple[int, bytes]] = []

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(request)
        status, body = self.script[min(len(self.asked), len(self.script)) - 1]
        return web.Response(status=status, body=body, headers=self.headers)


@asynccontextmanager
async def serving_script() -> AsyncIterator[Scripted]:
    scripted = Scripted()
    app = web.Application()
    app.router.add_get("/{path:.*}", scripted.answer)
    async with TestServer(app) as server:
        scripted.url = str(server.make_url("")).rstrip("/")
        yield scripted
