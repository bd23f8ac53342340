"""Where a process is in its work, one line a point, so that a fault run can tell what a kill interrupted."""

from __future__ import annotations

import os
from pathlib import Path

from nexus_common.runtime.ring import Token


class Trace:
    """Appends to a file with one write a line, which a killed process cannot leave half-buffered."""

    def __init__(self, path: Path | None) -> None:
        self._file = None if path is None else os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def turn(self, token: Token) -> None:
        """A turn was taken up."""
        if self._file is not None:
            self.point(f"turn {token.at:%Y-%m-%dT%H:%M} round {token.round} slot {token.slot}")

    def point(self, name: str) -> None:
        if self._file is not None:
            os.write(self._file, f"{name}\n".encode())

    def idle(self) -> None:
        """Nothing in hand: a kill now interrupts no work."""
        self.point("idle")

    @staticmethod
    def last(path: Path) -> str:
        """The last point that a traced process reached; empty when it never got to one."""
        try:
            with path.open("rb") as file:
                file.seek(0, os.SEEK_END)
                file.seek(max(0, file.tell() - 200))
                lines = file.read().split(b"\n")
        except FileNotFoundError:
            return ""
        return lines[-2].decode() if len(lines) > 1 else ""
