"""A way through an HTTP proxy for a WebSocket client that knows none: CONNECT, then the socket is handed on."""

from __future__ import annotations

import asyncio
import base64
import socket
from urllib.parse import SplitResult, urlsplit

_PORTS = {"ws": 80, "wss": 443, "http": 80, "https": 443}


async def open_tunnel(proxy: str, target: SplitResult, timeout: float) -> socket.socket:
    """A connected socket to `target` by way of `proxy` (`http://user:password@host:port`).

    Raises:
        OSError: the proxy is not there or refuses.
        TimeoutError: it does not answer in time.
    """
    way = urlsplit(proxy)
    if way.scheme != "http" or way.hostname is None or target.hostname is None:
        raise OSError("only a plain http proxy can carry the private stream")
    port = target.port or _PORTS[target.scheme]
    head = f"CONNECT {target.hostname}:{port} HTTP/1.1\r\nHost: {target.hostname}:{port}\r\n"
    if way.username is not None:
        credentials = base64.b64encode(f"{way.username}:{way.password or ''}".encode()).decode()
        head += f"Proxy-Authorization: Basic {credentials}\r\n"
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(timeout):
        infos = await loop.getaddrinfo(way.hostname, way.port or _PORTS["http"], type=socket.SOCK_STREAM)
        family, kind, protocol, _, address = infos[0]
        connection = socket.socket(family, kind, protocol)
        connection.setblocking(False)
        try:
            await loop.sock_connect(connection, address)
            await loop.sock_sendall(connection, (head + "\r\n").encode())
            answer = b""
            while b"\r\n\r\n" not in answer and len(answer) < 8_192:
                # Byte by byte: what follows the head belongs to the WebSocket.
                byte = await loop.sock_recv(connection, 1)
                if not byte:
                    raise OSError("the proxy hung up")
                answer += byte
            if answer.split(b" ")[1:2] != [b"200"]:
                raise OSError("the proxy refuses the private stream")
        except BaseException:
            connection.close()
            raise
    return connection
