"""The wall clock, handed in by whoever composes a program."""

from __future__ import annotations

from datetime import UTC, datetime


class WallClock:
    def now(self) -> datetime:
        return datetime.now(UTC)
