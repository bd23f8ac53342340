"""`GET /healthz`: 200 once the service is at work, 503 before; one JSON object."""

from __future__ import annotations

import asyncio
import os

import orjson

from nexus_common.runtime.errors import ConfigurationError


class Health:
    """A service's answer to the question whether it is well."""

    def __init__(self, service: str, instance: str) -> None:
        self._facts: dict[str, object] = {
            "service": service,
            "instance": instance,
            "pid": os.getpid(),
            "ready": False,
        }
        self._server: asyncio.Server | None = None

    def ready(self) -> None:
        self._facts["ready"] = True

    def note(self, **facts: object) -> None:
        """Facts worth showing beside: the step the service is in, what it waits for."""
        self._facts.update(facts)

    async def listen(self, host: str, port: int) -> None:
        """Answer on `port`; 0 answers nowhere."""
        if port == 0:
            return
        try:
            self._server = await asyncio.start_server(self._answer, host, port)
        except OSError as error:
            raise ConfigurationError(
                f"the health port {host}:{port} cannot be opened ({error.strerror}); "
                "set NEXUS__RUNTIME__HEALTH_PORT to a free one, or to 0 for none"
            ) from error

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readline()
            body = orjson.dumps(self._facts)
            status = b"200 OK" if self._facts["ready"] else b"503 Service Unavailable"
            writer.write(
                b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
                b"Connection: close\r\n\r\n%s" % (status, len(body), body)
            )
            await writer.drain()
        except ConnectionError:
            pass  # the asker left before the answer
        finally:
            writer.close()
