"""The exchange server's memory: every request that changes something, in a file that only grows.

One JSON document a line: a header with the settings, then the requests with the time on the wall. The
exchange is deterministic, so going through the file again rebuilds it, ledger and all. A request is written
before it is worked on; what a killed process had answered is therefore in the file.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from nexus_common.contracts.values import format_instant
from nexus_common.runtime.errors import ConfigurationError

FORMAT = 1


class Entry(NamedTuple):
    wall: datetime
    method: str
    params: dict[str, Any]


class RequestJournal:
    """Opens the file, hands out what is in it, and appends."""

    def __init__(self, path: Path, settings: dict[str, Any]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        self._drop_torn_line()
        header = {"journal": FORMAT, "settings": settings}
        if os.fstat(self._file).st_size == 0:
            self._write(header)
        elif self._header() != header:
            os.close(self._file)
            raise ConfigurationError(
                f"{path} was written with other settings than {settings}: "
                "start with those, or give another file"
            )

    def entries(self) -> Iterator[Entry]:
        """The requests so far, oldest first."""
        with self._path.open("rb") as lines:
            next(lines, None)
            for line in lines:
                entry = orjson.loads(line)
                yield Entry(datetime.fromisoformat(entry["wall"]), entry["method"], entry["params"])

    def append(self, entry: Entry) -> None:
        """Hand a request to the operating system; it survives the end of this process."""
        self._write({"wall": format_instant(entry.wall), "method": entry.method, "params": entry.params})

    def close(self) -> None:
        os.close(self._file)

    def _header(self) -> Any:
        with self._path.open("rb") as lines:
            return orjson.loads(next(lines))

    def _write(self, document: dict[str, Any]) -> None:
        line = orjson.dumps(document) + b"\n"
        written = os.write(self._file, line)
        if written != len(line):
            raise OSError(f"{self._path} took {written} of {len(line)} bytes; is the disk full?")

    def _drop_torn_line(self) -> None:
        """A machine that stopped in the middle of a write leaves half a line, which nobody was answered for."""
        content = self._path.read_bytes()
        if content and not content.endswith(b"\n"):
            os.ftruncate(self._file, content.rfind(b"\n") + 1)
