"""The table of planted faults fits the code: each text to change is where the table says it is."""

from __future__ import annotations

import pytest

from faults.planted import ROOT
from faults.plants import PLANTS, Plant

PLANTS_MIN = 20


def test_there_are_enough() -> None:
    assert len({plant.name for plant in PLANTS}) == len(PLANTS) >= PLANTS_MIN


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.name)
def test_the_text_to_change_is_there_once(plant: Plant) -> None:
    assert (ROOT / plant.file).read_text().count(plant.old) == 1
    assert plant.new != plant.old
    assert all((ROOT / test).exists() for test in plant.tests)
