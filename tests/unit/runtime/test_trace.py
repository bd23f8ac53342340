"""What a process was doing is readable after its death."""

from __future__ import annotations

from pathlib import Path

import pytest

from nexus_common.runtime.ring import Token
from nexus_common.runtime.trace import Trace
from nexus_common.testing.small_service import NOON

TOKEN = Token(NOON, 7, 1, 2, 3, 1, ((7, "market"),))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "shield-1.trace"


def test_the_last_point_is_what_was_written_last(path: Path) -> None:
    trace = Trace(path)
    assert Trace.last(path) == ""
    trace.turn(TOKEN)
    assert Trace.last(path) == "turn 2026-03-02T12:00 round 2 slot 3"
    trace.point("committed")
    assert Trace.last(path) == "committed"
    trace.idle()
    assert Trace.last(path) == "idle"


def test_a_process_that_never_began_has_no_last_point(path: Path) -> None:
    assert Trace.last(path) == ""


def test_a_line_that_was_cut_off_does_not_count(path: Path) -> None:
    path.write_bytes(b"idle\nturn 2026-03")
    assert Trace.last(path) == "idle"


def test_a_long_trace_is_read_from_its_end(path: Path) -> None:
    trace = Trace(path)
    for number in range(1_000):
        trace.point(f"point {number}")
    assert Trace.last(path) == "point 999"


def test_the_next_process_writes_behind_the_dead_one(path: Path) -> None:
    Trace(path).point("committing")
    Trace(path).point("starting")
    assert path.read_text() == "committing\nstarting\n"


def test_without_a_path_nothing_is_written(tmp_path: Path) -> None:
    trace = Trace(None)
    trace.turn(TOKEN)
    trace.point("committed")
    trace.idle()
    assert list(tmp_path.iterdir()) == []
