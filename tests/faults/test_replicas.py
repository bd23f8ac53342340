"""Replicas share the work of one service, and one takes over what another leaves."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from faults.rig import Mishaps, generated, house_in, play, send, undisturbed

pytestmark = [pytest.mark.faults, pytest.mark.xdist_group("machine")]


def test_two_cortexes_each_killed_once_decide_what_one_decides(tmp_path: Path) -> None:
    played = generated(480)
    with house_in(tmp_path, played, cortex_replicas=2) as house:
        kills = Mishaps(house, played, [(0.2, send(house, "cortex-1")), (0.5, send(house, "cortex-2"))])
        report = play(house, played, kills)
        assert {each.name for each in house.status()} >= {"cortex-1", "cortex-2"}
    assert kills.happened == 2
    assert report.problems == []
    assert report.summary.decisions_hash == undisturbed(played).decisions_hash


def test_a_frozen_cortex_is_stood_in_for_and_must_not_work_on_when_it_thaws(tmp_path: Path) -> None:
    played = generated(480)
    with house_in(tmp_path, played, cortex_replicas=2) as house:
        freeze = send(house, "cortex-1", signal.SIGSTOP)
        # The market comes no further unless the other one takes its partitions over.
        thaw = send(house, "cortex-1", signal.SIGCONT)
        mishaps = Mishaps(house, played, [(0.2, freeze), (0.5, thaw)])
        report = play(house, played, mishaps)
    assert mishaps.happened == 2
    assert report.problems == []
    assert report.summary.decisions_hash == undisturbed(played).decisions_hash
