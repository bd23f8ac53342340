"""A connection that cannot be replaced for long: what is remembered of the overlap stays bounded."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from aiohttp import WSMsgType, web

from contract.feeds.recipients import Recipient
from contract.feeds.test_kept_sockets import IMPATIENT, kept, line_to, served, until
from nexus_ingest.domain.readings import TradeRead


async def test_what_an_overlap_remembers_is_bounded_however_long_it_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The venue takes no second connection; what the first one said long ago it may say again."""
    monkeypatch.setattr("nexus_ingest.venues.socket.OVERLAP_MAX", 3)
    refused = asyncio.Event()
    said = [str(number) for number in range(8)]

    async def handle(request: web.Request) -> web.StreamResponse:
        if connected:
            refused.set()
            raise web.HTTPServiceUnavailable()
        connected.append(True)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            if message.type is WSMsgType.TEXT and message.data == "subscribe":
                await socket.send_str("subscribed")
                await refused.wait()
                for frame in (*said, said[-1], said[0]):
                    await socket.send_str(frame)
        return socket

    connected: list[bool] = []
    recipient = Recipient()
    async with served(handle) as url, kept(line_to(url), recipient, replace(IMPATIENT, rotation=0.05)):
        await until(lambda: recipient.readings[TradeRead] == len(said) + 1)
