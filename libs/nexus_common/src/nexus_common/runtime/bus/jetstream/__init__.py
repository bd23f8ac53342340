"""The bus over NATS JetStream; the only package that imports nats."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def _without(module: str) -> Iterator[None]:
    """What is imported within takes an optional dependency for absent."""
    if module in sys.modules:
        yield
        return
    sys.modules[module] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[module]


# nats-py wants aiohttp for WebSockets, which we do not use; importing it is a sixth of a service's start.
with _without("aiohttp"):
    from nexus_common.runtime.bus.jetstream.bus import JetStreamBus

__all__ = ["JetStreamBus"]
