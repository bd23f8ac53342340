"""The whole house from the command line: the same market twice, who runs, and what a replay notices."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from faults.rig import generated, in_memory, undisturbed
from nexus_common.contracts.decider import AnyDecider
from nexus_common.contracts.risk import EntryApproved
from nexus_common.contracts.values import Service
from nexus_common.runtime.ports import EventStore
from nexus_ops import deciders
from nexus_ops import replay as replaying
from nexus_ops.composition import cortex_reactor, settings_for
from nexus_ops.replay import Outcome, replay

MARKET = generated(300)
WIDER_STOPS = {"NEXUS__CORTEX__PARAMETERS": json.dumps({"trend": {"stop_atr": "1.6"}})}


def nexus(*arguments: str, **more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "nexus_ops", *arguments],
        env={**os.environ, **MARKET.environment, **more},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def answer_of(process: subprocess.Popen[str]) -> dict[str, Any]:
    output, errors = process.communicate(timeout=120)
    assert output, errors
    document: dict[str, Any] = json.loads(output)
    return document


@pytest.mark.integration
@pytest.mark.xdist_group("machine")
def test_a_demo_comes_out_the_same_each_time_and_can_be_looked_at_and_replayed(tmp_path: Path) -> None:
    first = answer_of(nexus("demo", "--json"))
    second_run = nexus("demo", "--json", "--home", str(tmp_path / "home"))
    running = status_of(tmp_path / "home")
    second = answer_of(second_run)

    assert first["problems"] == second["problems"] == []
    assert first["decisions_hash"] == second["decisions_hash"] == undisturbed(MARKET).decisions_hash
    assert first["fills"] > 0
    assert {*map(str, Service), "simvenue"} <= {name for name, pid in running["processes"].items() if pid}

    home = ("--home", str(tmp_path / "home"))
    again = answer_of(nexus("replay", "--json", *home))
    assert again["replay_equal"] is True
    assert again["decisions_hash"] == second["decisions_hash"]
    other = nexus("replay", "--json", "--verify", *home, **WIDER_STOPS)
    changed = answer_of(other)
    assert other.returncode == 1
    assert changed["replay_equal"] is False
    assert changed["first_divergence"]["stream"].startswith("signal-")


def status_of(home: Path) -> dict[str, Any]:
    """What `nexus status` says once the house is up."""
    deadline = time.monotonic() + 60
    while not (home / "stack.json").exists():
        assert time.monotonic() < deadline, "the house never came up"
        time.sleep(0.05)
    return answer_of(nexus("status", "--json", "--home", str(home)))


@pytest.fixture(scope="module")
def recorded() -> EventStore:
    """The record of the market, played in this process."""
    return asyncio.run(in_memory(MARKET))


def replayed(store: EventStore, **settings: str) -> Outcome:
    cortex = cortex_reactor(settings_for({**MARKET.environment, **settings}))
    return asyncio.run(replay(store, cortex))


def test_a_record_replays_equal(recorded: EventStore) -> None:
    outcome = replayed(recorded)
    assert outcome.equal
    assert outcome.candles >= 300


def test_a_replay_with_another_parameter_names_the_first_event_that_differs(recorded: EventStore) -> None:
    divergence = replayed(recorded, **WIDER_STOPS).divergence
    assert divergence is not None
    assert divergence.stream.startswith("signal-")


def test_a_replay_with_a_changed_line_in_a_decider_names_the_first_event_that_differs(
    recorded: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    risk: AnyDecider = deciders.DECIDERS["risk"]

    def decide(command: Any, state: Any) -> Any:
        events = risk.decide(command, state)
        return [
            event.model_copy(update={"quantity": event.quantity * 2})
            if isinstance(event, EntryApproved)
            else event
            for event in events
        ]

    changed = {**deciders.DECIDERS, "risk": replace(risk, decide=decide)}
    monkeypatch.setattr(replaying, "DECIDERS", changed)
    divergence = replayed(recorded).divergence
    assert divergence is not None
    assert divergence.stream.startswith("risk-")
    assert divergence.global_position is not None
