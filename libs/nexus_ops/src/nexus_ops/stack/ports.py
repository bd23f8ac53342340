"""Ports of the loopback interface."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack

from nexus_common.runtime.errors import ConfigurationError, DependencyMissing

LOOPBACK = "127.0.0.1"


def free_port() -> int:
    """A port nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def free_ports(count: int) -> list[int]:
    """Different ports nobody listens on right now."""
    with ExitStack() as probing:
        probes = [probing.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind((LOOPBACK, 0))
        return [probe.getsockname()[1] for probe in probes]


def require_free(port: int, program: str) -> None:
    """Raises ConfigurationError when somebody else listens on the port, or it may not be used."""
    with socket.socket() as probe:
        # Connections of a server that has just stopped linger; they do not keep a new one from listening.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            probe.listen(1)
        except OSError as error:
            raise ConfigurationError(
                f"{program} cannot listen on {LOOPBACK}:{port} ({error.strerror}): "
                "stop the program that uses this port, or choose another port"
            ) from error


def wait_for_port(port: int, timeout: float = 10.0, host: str = LOOPBACK) -> None:
    """Return as soon as the port accepts connections; raises DependencyMissing after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            socket.create_connection((host, port), 0.2).close()
            return
        except OSError as error:
            if time.monotonic() >= deadline:
                raise DependencyMissing(
                    f"nothing answers at {host}:{port} after {timeout:g} s ({error})"
                ) from error
            time.sleep(0.01)
