"""A file of timed commands, for demos, tests and recorded sessions.

Lines of text (`2021-05-19T11:30:00Z /long BTCUSDT 5%`, also `2021-05-19 11:30 /status`), lines of JSON
(`{"at": "…", "command": "/long BTCUSDT 5%", "user": "anna"}`), or one JSON array of such objects. Times without
a zone are UTC; `#` begins a comment line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from nexus_common.contracts.values import UserId
from nexus_common.runtime.errors import ConfigurationError

_LINE: Final = re.compile(
    r"(?P<at>\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:\d{2})?)\s+(?P<command>\S.*)"
)
_KEYS: Final = frozenset({"at", "command", "user"})
_USER: Final = re.compile(r"[A-Za-z0-9_]+")


@dataclass(frozen=True, slots=True)
class ScriptEntry:
    """`number` counts the entries from 1 in the order of time; without a user it is the owner's."""

    number: int
    at: datetime
    command: str
    user: UserId | None
    line: int


def read_script(path: Path) -> tuple[ScriptEntry, ...]:
    """Raises ConfigurationError when the file cannot be read or a line is wrong; the text names both."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"the script {path} cannot be read: {error}") from error
    return parse_script(text, str(path))


def parse_script(text: str, name: str) -> tuple[ScriptEntry, ...]:
    """The entries in the order of time; those of one time in the order of their lines."""
    found = _array(text, name) if text.lstrip().startswith("[") else _lines(text, name)
    entries = sorted(found, key=lambda entry: (entry.at, entry.line))
    return tuple(
        ScriptEntry(number, entry.at, entry.command, entry.user, entry.line)
        for number, entry in enumerate(entries, start=1)
    )


def _lines(text: str, name: str) -> Iterator[ScriptEntry]:
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        place = f"{name}, line {number}"
        if line.startswith("{"):
            try:
                fields = json.loads(line)
            except json.JSONDecodeError as error:
                raise ConfigurationError(f"{place}: not JSON: {error.msg} at column {error.colno}") from error
            yield _from_fields(fields, number, place)
        else:
            found = _LINE.fullmatch(line)
            if found is None:
                raise ConfigurationError(
                    f"{place}: expected a time and a command, such as 2021-05-19T11:30:00Z /status"
                )
            yield _entry(found["at"], found["command"], None, number, place)


def _array(text: str, name: str) -> Iterator[ScriptEntry]:
    """Element by element, so that each knows its line."""
    decoder = json.JSONDecoder()
    position = text.index("[") + 1
    while True:
        position += len(text[position:]) - len(text[position:].lstrip(", \t\r\n"))
        line = text.count("\n", 0, position) + 1
        place = f"{name}, line {line}"
        if text[position : position + 1] == "]":
            return
        try:
            fields, position = decoder.raw_decode(text, position)
        except json.JSONDecodeError as error:
            raise ConfigurationError(f"{name}, line {error.lineno}: not JSON: {error.msg}") from error
        yield _from_fields(fields, line, place)


def _from_fields(fields: Any, line: int, place: str) -> ScriptEntry:
    if not isinstance(fields, dict):
        raise ConfigurationError(f'{place}: expected an object with "at" and "command"')
    unknown = sorted(set(fields) - _KEYS)
    if unknown:
        raise ConfigurationError(f"{place}: unknown key {unknown[0]!r}; there are at, command and user")
    for key in ("at", "command"):
        if not isinstance(fields.get(key), str):
            raise ConfigurationError(f"{place}: {key!r} is missing or not a text")
    user = fields.get("user")
    if user is not None and not (isinstance(user, str) and _USER.fullmatch(user)):
        raise ConfigurationError(f"{place}: {user!r} is not a user's name: letters, digits and _")
    return _entry(fields["at"], fields["command"], user, line, place)


def _entry(at: str, command: str, user: str | None, line: int, place: str) -> ScriptEntry:
    try:
        moment = datetime.fromisoformat(at)
    except ValueError as error:
        raise ConfigurationError(f"{place}: {at!r} is not a time such as 2021-05-19T11:30:00Z") from error
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    if not command.startswith("/") or len(command.split()[0]) < 2:
        raise ConfigurationError(f"{place}: {command!r} is not a command: commands begin with /")
    return ScriptEntry(0, moment, command.strip(), None if user is None else UserId(user), line)
