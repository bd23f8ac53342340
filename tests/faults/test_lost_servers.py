"""The bus may lose everything, and bus and store may die: the store's disk is enough."""

from __future__ import annotations

from pathlib import Path

import pytest

from faults.rig import Mishaps, generated, house_in, play, send, undisturbed

pytestmark = [pytest.mark.faults, pytest.mark.xdist_group("machine")]


def test_a_bus_that_loses_everything_again_and_again_loses_nothing(tmp_path: Path) -> None:
    played = generated(480)
    with house_in(tmp_path, played) as house:
        wipes = Mishaps(house, played, [(share, house.nats.wipe) for share in (0.0, 0.2, 0.4, 0.6, 0.8)])
        report = play(house, played, wipes)
    assert wipes.happened == 5
    assert report.problems == []
    assert report.summary.decisions_hash == undisturbed(played).decisions_hash


def test_killed_servers_come_back_and_nothing_is_lost(tmp_path: Path) -> None:
    played = generated(480)
    with house_in(tmp_path, played) as house:
        kills = Mishaps(
            house,
            played,
            [
                (0.1, send(house, "nats")),
                (0.2, send(house, "postgres")),
                (0.4, send(house, "nats")),
                (0.5, send(house, "postgres")),
            ],
        )
        report = play(house, played, kills)
        restarts = {each.name: each.restarts for each in house.status()}
    assert (restarts["nats"], restarts["postgres"]) == (2, 2)
    assert report.problems == []
    assert report.summary.decisions_hash == undisturbed(played).decisions_hash


def test_a_killed_exchange_and_nexus_agree_again_on_every_order(tmp_path: Path) -> None:
    """What is decided may differ, for fills are heard later; what stands must not."""
    played = generated(480)
    with house_in(tmp_path, played) as house:
        kills = Mishaps(house, played, [(share, send(house, "simvenue")) for share in (0.1, 0.3, 0.5, 0.7)])
        report = play(house, played, kills)
    assert kills.happened == 4
    assert report.problems == []
    assert report.summary.fills > 0
