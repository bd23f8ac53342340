"""Killed at any moment, no service loses, repeats or changes a decision."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from faults.rig import Killer, Played, generated, house_in, play, undisturbed
from nexus_common.contracts.values import Service

pytestmark = [pytest.mark.faults, pytest.mark.xdist_group("machine")]

REAL = Path(__file__).parents[3] / "shared" / "data"
THREE_DAYS = {
    "NEXUS__INGEST__DATA_DIR": str(REAL),
    "NEXUS__INGEST__START": "2021-05-17T00:00:00+00:00",
    "NEXUS__INGEST__END": "2021-05-20T00:00:00+00:00",
    "NEXUS__INGEST__SYMBOLS": "BTCUSDT,ETHUSDT,ADAUSDT,DOGEUSDT,XRPUSDT,LTCUSDT,LINKUSDT,DOTUSDT",
    "NEXUS__TELEGRAM__MODE": "pilot",
}


def run_with_kills(home: Path, played: Played, kills: int, seed: int) -> Killer:
    """Play the market under fire and hold the outcome against the undisturbed one."""
    reference = undisturbed(played)
    with house_in(home, played) as house:
        killer = Killer(house, played, kills, seed)
        try:
            report = play(house, played, killer.begin)
        finally:
            killer.end()
            sys.stdout.write(f"\n{killer.kills.table()}\n")
    sys.stdout.write(
        f"decisions {report.summary.decisions_hash}, {report.summary.orders} orders, {report.summary.fills} fills, "
        f"{report.summary.trades_closed} trades closed; "
        f"longest without a stop {report.ledger.unprotected_seconds_max:.2f} s\n"
    )
    assert report.summary.decisions_hash == reference.decisions_hash
    assert report.summary.fills == reference.fills > 0
    assert report.ledger.duplicate_orders == 0
    assert report.replayed.equal
    assert report.problems == []
    return killer


def test_services_killed_at_work_change_nothing(tmp_path: Path) -> None:
    killer = run_with_kills(tmp_path, generated(720), kills=12, seed=1)
    assert killer.kills.counted >= 12
    assert killer.kills.services == {str(service) for service in Service}


@pytest.mark.long
@pytest.mark.timeout(3_600)
def test_two_hundred_kills_in_three_days_change_nothing(tmp_path: Path) -> None:
    played = Played(THREE_DAYS) if REAL.is_dir() else generated(3 * 1_440)
    killer = run_with_kills(tmp_path, played, kills=200, seed=2)
    assert killer.kills.counted >= 200
    assert killer.kills.services == {str(service) for service in Service}
    assert killer.kills.hit(Service.EXECUTOR, "submit")
