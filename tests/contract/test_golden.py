"""What was ever written can be read for ever: a stored sample of each version of each message."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

import nexus_ops.composition  # noqa: F401  # brings every family of messages in
from nexus_common.contracts.envelope import (
    SealedCommand,
    content_hash,
    decode,
    encode,
    open_command,
    seal_command,
)
from nexus_common.contracts.message import COMMANDS, EVENTS
from nexus_common.runtime.bus import topology

GOLDEN = Path(__file__).parent / "golden"
FAMILIES = {topology.RUN, *(category for owned in topology.OWNED.values() for category in owned)}
# Other tests register events of families of their own.
EVENT_TYPES = sorted(name for name in EVENTS if name.partition(".")[0] in FAMILIES)
SAMPLES = sorted(GOLDEN.glob("*.json"))
COMMAND_SAMPLES = sorted((GOLDEN / "commands").glob("*.json"))
HOW = "run tests/contract/make_golden.py and commit what it writes"


def sample(path: Path) -> dict[str, str]:
    read: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    return read


def version_of(path: Path) -> tuple[str, int]:
    name, _, version = path.stem.rpartition(".v")
    return name, int(version)


def named(path: Path) -> str:
    return path.stem


@pytest.mark.parametrize("type_name", EVENT_TYPES)
def test_every_version_of_every_event_has_a_sample(type_name: str) -> None:
    for version in range(1, EVENTS[type_name].version + 1):
        assert (GOLDEN / f"{type_name}.v{version}.json").exists(), HOW


@pytest.mark.parametrize("type_name", sorted(COMMANDS))
def test_every_command_has_a_sample(type_name: str) -> None:
    assert (GOLDEN / "commands" / f"{type_name}.json").exists(), HOW


@pytest.mark.parametrize("path", SAMPLES, ids=named)
def test_every_event_ever_written_is_read(path: Path) -> None:
    type_name, version = version_of(path)
    stored = sample(path)
    envelope = decode(stored["body"])
    assert envelope.event.type == type_name
    assert type(envelope.event) is EVENTS[type_name]
    assert json.loads(stored["body"])["version"] == version
    assert content_hash(stored["body"]).hex() == stored["content_hash"]


@pytest.mark.parametrize(
    "path",
    [path for path in SAMPLES if EVENTS[version_of(path)[0]].version == version_of(path)[1]],
    ids=named,
)
def test_events_of_the_newest_version_are_written_as_they_were(path: Path) -> None:
    body = sample(path)["body"]
    assert encode(decode(body)) == body


@pytest.mark.parametrize("path", COMMAND_SAMPLES, ids=named)
def test_every_command_ever_written_is_read_and_loses_nothing(path: Path) -> None:
    """A command may gain a field with a default; what was stored must stay what it was."""
    stored = sample(path)
    sealed = SealedCommand(
        UUID(stored["command_id"]), stored["stream"], path.stem, UUID(stored["causation_id"]), stored["body"]
    )
    opened = open_command(sealed)
    assert type(opened.command) is COMMANDS[path.stem]
    again = seal_command(
        opened.command,
        sealed.command_id,
        sealed.stream,
        sealed.causation_id,
        consumer=opened.consumer,
        correlation_id=opened.correlation_id,
        account=opened.account,
    )
    assert open_command(again) == opened
    before, after = json.loads(sealed.body), json.loads(again.body)
    assert keeps(before["data"], after["data"])
    assert {key: value for key, value in after.items() if key != "data"} == {
        key: value for key, value in before.items() if key != "data"
    }


def test_no_sample_is_without_its_message() -> None:
    assert [path.name for path in SAMPLES if version_of(path)[0] not in EVENTS] == []
    assert [path.name for path in COMMAND_SAMPLES if path.stem not in COMMANDS] == []


def keeps(before: Any, after: Any) -> bool:
    """Whether everything that was there is there unchanged, in groups of fields inside it too."""
    if isinstance(before, dict) and isinstance(after, dict):
        return all(key in after and keeps(value, after[key]) for key, value in before.items())
    if isinstance(before, list) and isinstance(after, list):
        return len(before) == len(after) and all(map(keeps, before, after))
    return bool(before == after)
