"""A running exchange with one Bybit account."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from contract.bybit.hand import Stage
from contract.settings import VenueHouse


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    house = VenueHouse(tmp_path)
    await house.start()
    made = Stage(house)
    try:
        yield made
    finally:
        await made.clear()
        await house.stop()
