"""A service says by HTTP whether it is well."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from nexus_common.runtime.errors import ConfigurationError
from nexus_common.runtime.health import Health
from nexus_ops.stack import free_port

HOST = "127.0.0.1"


async def get(port: int) -> tuple[str, dict[str, Any]]:
    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: nexus\r\n\r\n")
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert f"Content-Length: {len(body)}" in lines
    return lines[0], orjson.loads(body)


async def test_a_service_is_well_once_it_is_at_work() -> None:
    health = Health("shield", "1")
    port = free_port()
    await health.listen(HOST, port)
    try:
        status, facts = await get(port)
        assert status == "HTTP/1.1 503 Service Unavailable"
        assert (facts["service"], facts["instance"], facts["ready"]) == ("shield", "1", False)
        health.ready()
        health.note(step="2026-03-02T12:00:00Z")
        status, facts = await get(port)
        assert status == "HTTP/1.1 200 OK"
        assert (facts["ready"], facts["step"]) == (True, "2026-03-02T12:00:00Z")
    finally:
        await health.close()


async def test_port_0_answers_nowhere() -> None:
    health = Health("shield", "1")
    await health.listen(HOST, 0)
    await health.close()


async def test_a_port_that_is_taken_is_a_configuration_error() -> None:
    first, second = Health("shield", "1"), Health("shield", "2")
    port = free_port()
    await first.listen(HOST, port)
    try:
        with pytest.raises(ConfigurationError, match="NEXUS__RUNTIME__HEALTH_PORT"):
            await second.listen(HOST, port)
    finally:
        await first.close()
