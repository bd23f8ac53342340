"""What ran, with which code and settings. Each service owns `run-{service}`."""

from __future__ import annotations

from typing import NamedTuple

from nexus_common.contracts.message import Event
from nexus_common.contracts.values import Service


class Head(NamedTuple):
    """The last event of a stream: its position and its chain hash in hex."""

    stream: str
    position: int
    chain_hash: str


class RunStarted(Event):
    """A service began to work. `settings` never holds secrets."""

    type = "run.started"

    service: Service
    instance: str
    code: str
    settings_hash: str
    settings: dict[str, str]
    epoch: int


class RunStopped(Event):
    type = "run.stopped"

    service: Service
    instance: str
    reason: str


class HeadsRecorded(Event):
    """The heads of the streams that moved since the last one: a cut tail or a removed stream shows."""

    type = "run.heads_recorded"

    up_to: int
    heads: tuple[Head, ...]


RunEvent = RunStarted | RunStopped | HeadsRecorded
