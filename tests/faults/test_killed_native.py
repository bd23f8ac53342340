"""Killed at any moment while it trades through the vendors' SDKs, the executor loses and repeats nothing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from faults.rig import Killer, generated, house_in, play
from nexus_common.contracts.values import Service

pytestmark = [pytest.mark.faults, pytest.mark.long, pytest.mark.xdist_group("machine")]

MINUTES = 720
KILLS = 24
NATIVE = {"NEXUS__EXCHANGE__PROTOCOL": "native"}


@pytest.mark.timeout(3_600)
def test_kills_at_work_over_the_venues_own_protocol(tmp_path: Path) -> None:
    """Judged by the exchange's ledger: answers that were lost with a process are found at the venue."""
    played = generated(MINUTES, **NATIVE)
    with house_in(tmp_path, played) as house:
        killer = Killer(house, played, KILLS, seed=3)
        try:
            report = play(house, played, killer.begin)
        finally:
            killer.end()
            sys.stdout.write(f"\n{killer.kills.table()}\n")
    sys.stdout.write(
        f"{report.summary.orders} orders, {report.summary.fills} fills, "
        f"{report.ledger.duplicate_orders} duplicates; "
        f"longest without a stop {report.ledger.unprotected_seconds_max:.2f} s on the wall\n"
    )
    assert killer.kills.counted >= KILLS
    assert killer.kills.hit(Service.EXECUTOR, "") > 0
    assert report.summary.fills > 0
    assert report.ledger.duplicate_orders == 0
    assert report.apart == []
    assert report.replayed.equal
    assert report.problems == []
