"""A backtest that leaves out what cannot matter decides what the running system decides, byte for byte."""

from __future__ import annotations

from pathlib import Path

import pytest

from nexus_common.contracts.market import CandlesClosed
from nexus_data.playback import PlayedMarket
from nexus_ingest import bootstrap as ingest
from nexus_ops.backtest import run_backtest
from nexus_ops.composition import LocalHouse, settings_for
from nexus_ops.decisions import decisions_hash, events_of
from nexus_ops.equity import EquityCurve
from nexus_ops.skipping import SkippingHouse

DATA = Path(__file__).parents[3] / "shared" / "data"
BUSY_DAY = Path(__file__).parent / "busy_day.txt"
EIGHT = "BTCUSDT,ETHUSDT,ADAUSDT,DOGEUSDT,XRPUSDT,LTCUSDT,LINKUSDT,DOTUSDT"
TWO_DAYS = {"NEXUS__INGEST__MINUTES": "2880", "NEXUS__TELEGRAM__MODE": "pilot"}
MARKETS: dict[str, dict[str, str]] = {
    "calm": {**TWO_DAYS, "NEXUS__INGEST__SEED": "1"},
    "by the trend alone": {
        **TWO_DAYS,
        "NEXUS__INGEST__SEED": "7",
        "NEXUS__CORTEX__STRATEGY": "trend",
        "NEXUS__TELEGRAM__STRATEGY": "trend",
    },
    "by ladders alone": {
        **TWO_DAYS,
        "NEXUS__INGEST__SEED": "1",
        "NEXUS__INGEST__SYMBOLS": "BTCUSDT,ETHUSDT",
        "NEXUS__CORTEX__STRATEGY": "grid",
        "NEXUS__TELEGRAM__STRATEGY": "grid",
    },
    "with somebody at the keys": {
        **TWO_DAYS,
        "NEXUS__INGEST__SEED": "42",
        "NEXUS__TELEGRAM__SCRIPT": str(BUSY_DAY),
    },
    "in copilot, one instrument": {
        **TWO_DAYS,
        "NEXUS__INGEST__SEED": "3",
        "NEXUS__INGEST__SYMBOLS": "ETHUSDT",
        "NEXUS__TELEGRAM__MODE": "copilot",
    },
    "the recorded crash of May 2021": {
        "NEXUS__INGEST__DATA_DIR": str(DATA),
        "NEXUS__INGEST__SYMBOLS": EIGHT,
        "NEXUS__INGEST__START": "2021-05-17",
        "NEXUS__INGEST__END": "2021-05-20",
        "NEXUS__TELEGRAM__MODE": "pilot",
    },
    "stocks beside coins, orders by hand": {
        "NEXUS__INGEST__DATA_DIR": str(DATA),
        "NEXUS__INGEST__SYMBOLS": "BTCUSDT,AAPL,SOLUSDT,NVDA,TSLA",
        "NEXUS__INGEST__START": "2025-09-29",
        "NEXUS__INGEST__END": "2025-10-12",
        "NEXUS__TELEGRAM__MODE": "pilot",
        "NEXUS__TELEGRAM__VENUES": "binance,alpaca",
    },
    "recorded, with holes and orders by hand": {
        "NEXUS__INGEST__DATA_DIR": str(DATA),
        "NEXUS__INGEST__SYMBOLS": "BTCUSDT,ADAUSDT",
        "NEXUS__INGEST__START": "2021-04-24",
        "NEXUS__INGEST__END": "2021-04-26",
        "NEXUS__TELEGRAM__MODE": "pilot",
    },
}


def _market(name: str) -> tuple[dict[str, str], PlayedMarket]:
    environment = MARKETS[name]
    if "NEXUS__INGEST__DATA_DIR" in environment and not DATA.is_dir():
        pytest.skip("no recorded market lies beside the checkout")
    return environment, ingest.market(settings_for(environment).ingest)


# Positions are held across a hole in the recording, and across closed sessions beside an open market.
BY_HAND = """
2021-04-25T03:30Z /long ADAUSDT 2%
2021-04-25T03:50Z /short BTCUSDT 2%
2025-09-30T15:00Z /long AAPL 2%
2025-09-30T15:05Z /short NVDA 2%
2025-09-30T19:40Z /long BTCUSDT 2%
2025-09-30T19:45Z /long TSLA 2%
2025-10-01T03:00Z /close BTCUSDT
2025-10-01T21:30Z /short SOLUSDT 2%
"""


def _script(name: str, folder: Path) -> dict[str, str]:
    """The orders of the market's own time."""
    if not name.endswith("by hand"):
        return {}
    start = MARKETS[name]["NEXUS__INGEST__START"]
    script = folder / "script.txt"
    script.write_text("".join(f"{line}\n" for line in BY_HAND.splitlines() if line > start))
    return {"NEXUS__TELEGRAM__SCRIPT": str(script)}


@pytest.mark.parametrize("name", MARKETS)
async def test_leaving_out_quiet_instants_changes_no_decision_and_no_reading(
    name: str, tmp_path: Path
) -> None:
    environment, market = _market(name)
    settings = settings_for({**environment, **_script(name, tmp_path)})
    every, curve = LocalHouse(settings, market), EquityCurve()
    await every.open()
    heard = await every.store.head()
    for step in market.steps():
        await every.step(step)
        async for recorded in events_of(every.store, after=heard):
            curve.take(recorded.event)
            heard = recorded.global_position
        curve.end_of_step(step.at)
    curve.close(market.end)

    quick = await run_backtest(settings, market)

    assert quick.decisions == await decisions_hash(every.store)
    assert quick.curve.trades == curve.trades
    assert quick.curve.readings == curve.readings
    assert quick.bars == sum(len(step.bars) for step in market.steps())


async def test_most_of_a_market_is_left_out() -> None:
    _, market = _market("by the trend alone")
    house = SkippingHouse(settings_for(MARKETS["by the trend alone"]), market)
    await house.open()
    taken = [step async for step in house.play()]
    recorded = [each async for each in events_of(house.store, ("market",))]
    assert len(taken) < len(market.instants) / 4
    assert sum(isinstance(each.event, CandlesClosed) for each in recorded) == len(taken)


def test_a_step_looked_up_is_the_step_played() -> None:
    _, market = _market("calm")
    played = list(market.steps())
    assert [market.step_at(index) for index in (0, 14, 59, 1_439, 2_879)] == [
        played[index] for index in (0, 14, 59, 1_439, 2_879)
    ]
