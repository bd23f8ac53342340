"""The bus over NATS JetStream; the only package that imports nats."""

from nexus_common.runtime.bus.jetstream.bus import JetStreamBus

__all__ = ["JetStreamBus"]
