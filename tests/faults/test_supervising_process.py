"""`nexus up` may be killed itself: nothing is left behind, and the next one goes on where it stood."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from faults.rig import generated, processes_of, undisturbed
from nexus_ops.access import opened_store
from nexus_ops.summary import summarise

pytestmark = [pytest.mark.faults, pytest.mark.xdist_group("machine")]

PLAYED = generated(480)


@contextmanager
def nexus_up(home: Path, *more: str) -> Iterator[subprocess.Popen[bytes]]:
    """`nexus up` of the market as fast as it goes; killed at the end if it still runs."""
    with (home.parent / "up.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "nexus_ops", "up", "--home", str(home), "--speed", "max", *more],
            env={**os.environ, **PLAYED.environment},
            stdout=log,
            stderr=log,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def until(condition: Callable[[], bool], seconds: float = 90.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.05)


def steps_played(home: Path) -> int:
    trace = home / "traces" / "ingest-1.trace"
    return trace.read_bytes().count(b"recording") if trace.exists() else 0


def decided(home: Path) -> str:
    async def summary() -> str:
        async with opened_store(home) as store:
            return (await summarise(store)).decisions_hash

    return asyncio.run(summary())


def test_killed_and_started_again_it_goes_on_to_the_same_end(tmp_path: Path) -> None:
    home = tmp_path / "home"
    for killed_after in (100, 300):
        with nexus_up(home):
            until(lambda: steps_played(home) >= killed_after)  # noqa: B023
        until(lambda: processes_of(home) == [], 15.0)
    with nexus_up(home) as process:
        until((home / "ended").exists)
        process.send_signal(signal.SIGINT)
        assert process.wait(30.0) == 0
        assert processes_of(home) == []
    assert decided(home) == undisturbed(PLAYED).decisions_hash
    assert steps_played(home) == 480


def test_a_second_one_is_refused_and_ctrl_c_leaves_no_process(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with nexus_up(home) as process:
        until(lambda: steps_played(home) >= 50)
        running = processes_of(home)
        for more in ((), ("--fresh",)):
            with nexus_up(home, *more) as second:
                assert second.wait(30.0) == 2
        assert set(running) <= set(processes_of(home))
        assert len(processes_of(home)) > 10  # six services, exchange, NATS, Postgres with its workers
        process.send_signal(signal.SIGINT)
        assert process.wait(30.0) == 0
        assert processes_of(home) == []
