"""The time at live venues. Owner: ingest, streams `beat-{hour}`.

A category of its own: a service that hears about feeds, and hears all of it again after a start, need not go
through a beat for each second of its life.
"""

from __future__ import annotations

from dataclasses import dataclass

from nexus_common.contracts.message import Event, command
from nexus_common.contracts.values import Instant


class Beat(Event):
    """A step of a live market begins: `at` is the time of its turns, later than that of the step before."""

    type = "beat.struck"

    at: Instant


@command("beat.strike")
@dataclass(frozen=True, slots=True)
class StrikeBeat:
    at: Instant
