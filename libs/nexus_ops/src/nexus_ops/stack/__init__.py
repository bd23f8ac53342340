"""Postgres, nats-server and the services as processes of one machine, without Docker."""

from nexus_ops.stack.nats import EmbeddedNats
from nexus_ops.stack.ports import free_port, wait_for_port
from nexus_ops.stack.postgres import EmbeddedPostgres
from nexus_ops.stack.processes import Managed, Program, Status, Supervisor, python_service

__all__ = [
    "EmbeddedNats",
    "EmbeddedPostgres",
    "Managed",
    "Program",
    "Status",
    "Supervisor",
    "free_port",
    "python_service",
    "wait_for_port",
]
