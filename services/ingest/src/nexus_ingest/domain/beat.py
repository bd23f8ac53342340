"""The beats of a live market: each later than the one before."""

from __future__ import annotations

from datetime import datetime

from nexus_common.contracts.beat import Beat, StrikeBeat
from nexus_common.contracts.decider import Decider


def stream_key(at: datetime) -> str:
    """A stream an hour, so that a restart folds an hour of beats at most."""
    return f"{at:%Y-%m-%dT%H}"


def decide(command: StrikeBeat, state: datetime | None) -> list[Beat]:
    return [Beat(at=command.at)] if state is None or command.at > state else []


def evolve(state: datetime | None, event: Beat) -> datetime | None:
    return event.at


BEAT: Decider[StrikeBeat, datetime | None, Beat] = Decider("beat", None, decide, evolve)
