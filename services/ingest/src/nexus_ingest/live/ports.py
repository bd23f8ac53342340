"""What the intake needs of others."""

from __future__ import annotations

from typing import Protocol

from nexus_ingest.domain.watching import Input
from nexus_ingest.venues.feed import RawFrame, ReadBy


class Tape(Protocol):
    """Keeps what was received. Never raises for a full disk: a tape that breaks must not stop the market."""

    def take(self, given: Input, frame: RawFrame | None = None, read_by: ReadBy | None = None) -> None:
        """An input, before the watch gets it; what was heard or refused comes with its frame, what was heard with
        who read it."""
