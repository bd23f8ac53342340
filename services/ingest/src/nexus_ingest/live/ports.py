"""What the intake needs of others: the watch and the tape."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from nexus_ingest.domain.watching import Input, Output
from nexus_ingest.venues.feed import RawFrame


class Watch(Protocol):
    """The pure watch over the live markets."""

    @property
    def deadline(self) -> datetime | None:
        """When it wants to be told that time has passed, if nothing else happens before."""

    def take(self, given: Input) -> Sequence[Output]:
        """What follows from an input; inputs come in order of their `at`."""


class Tape(Protocol):
    """Keeps what was received. Never raises for a full disk: a tape that breaks must not stop the market."""

    def take(self, given: Input, frame: RawFrame | None = None) -> None:
        """An input, before the watch gets it; what was heard or refused comes with its frame."""
