"""A request as it comes in, as dialects read it."""

from __future__ import annotations

from aiohttp import web

from nexus_simvenue.wire.http import HttpRequest


def headers_of(request: web.Request) -> dict[str, str]:
    """Names in lower case."""
    return {name.lower(): value for name, value in request.headers.items()}


def is_handshake(request: web.Request) -> bool:
    """Whether it asks for a WebSocket."""
    return request.headers.get("Upgrade", "").lower() == "websocket"


async def read_request(request: web.Request) -> HttpRequest:
    return HttpRequest(
        request.method,
        request.rel_url.raw_path,
        request.rel_url.raw_query_string,
        headers_of(request),
        (await request.read()).decode("utf-8", "replace"),
        request.remote or "",
    )
