"""A year of one-minute bars through all deciders, beside a loop over arrays that does none of it."""

from __future__ import annotations

import asyncio
import tempfile
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

import numpy as np
import talib

from benchmarks.measuring import Figure
from nexus_common.contracts.values import Symbol, Timeframe
from nexus_data.generated_market import START
from nexus_data.playback import PlayedMarket
from nexus_ingest import bootstrap as ingest
from nexus_ops.backtest import run_backtest
from nexus_ops.composition import LocalHouse, settings_for
from nexus_ops.decisions import decisions_hash

SYMBOL: Final = Symbol("BTCUSDT")
BARS: Final = 525_600
STEPPED_BARS: Final = 20_160
REPETITIONS: Final = 3
YEAR: Final = {
    "NEXUS__INGEST__SYMBOLS": SYMBOL,
    "NEXUS__INGEST__MINUTES": str(BARS),
    "NEXUS__TELEGRAM__MODE": "pilot",
    "NEXUS__CORTEX__STRATEGY": "trend",
    "NEXUS__TELEGRAM__STRATEGY": "trend",
}
# Takes crosses without a strong move, too, for more trades.
EAGER: Final = {"NEXUS__CORTEX__PARAMETERS__trend__adx_min": "0.001"}


@dataclass(frozen=True, slots=True)
class Measured:
    """CPU seconds of this process, so that what else runs on the machine counts less."""

    seconds: float
    trades: int
    decisions: str


def run() -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "script.txt"
        script.write_text(_resets())
        year = {**YEAR, "NEXUS__TELEGRAM__SCRIPT": str(script)}
        often = {**year, **EAGER}
        market = ingest.market(settings_for(YEAR).ingest)
        floor = min(_bare_loop(market) for _ in range(REPETITIONS))
        seldom = [_backtest(year, market) for _ in range(REPETITIONS)]
        many = [_backtest(often, market) for _ in range(REPETITIONS)]
        stepped = _stepped({**often, "NEXUS__INGEST__MINUTES": str(STEPPED_BARS)})
    few, busy = (min(runs, key=lambda each: each.seconds) for runs in (seldom, many))
    a_trade = (busy.seconds - few.seconds) / (busy.trades - few.trades) * 1e6
    at_goal = BARS / (few.seconds + 10_000 * a_trade / 1e6)
    goal = "at least 270,000 bars/s at 10,000 trades"
    return [
        _figure(few, floor, "trend as it is"),
        _figure(busy, floor, "every cross taken, however weak"),
        Figure("a trade more", round(a_trade), "µs", goal="190 µs", met=a_trade <= 190),
        Figure(
            "the same at 10,000 trades, worked out",
            round(at_goal),
            "bars/s",
            goal=goal,
            met=at_goal >= 270_000,
        ),
        Figure(
            "every instant stepped through, none left out",
            round(stepped),
            "bars/s",
            note=f"{STEPPED_BARS} bars",
        ),
    ]


def _figure(measured: Measured, floor: float, note: str) -> Figure:
    return Figure(
        f"backtest of {BARS} bars with {measured.trades} trades",
        round(BARS / measured.seconds),
        "bars/s",
        round(BARS / floor),
        "EMA 20/50 crosses with stop and target in a plain loop over arrays",
        round(floor / measured.seconds, 4),
        note=note,
    )


def _backtest(environment: dict[str, str], market: PlayedMarket) -> Measured:
    settings = settings_for(environment)
    begun = time.process_time()
    done = asyncio.run(run_backtest(settings, market))
    return Measured(time.process_time() - begun, len(done.curve.trades), done.decisions)


def _stepped(environment: dict[str, str]) -> float:
    """Bars in a CPU second when every service takes its turn at every bar; the decisions must be the same."""
    settings = settings_for(environment)
    market = ingest.market(settings.ingest)
    house = LocalHouse(settings, market)

    async def play() -> str:
        await house.open()
        for step in market.steps():
            await house.step(step)
        return await decisions_hash(house.store)

    begun = time.process_time()
    decided = asyncio.run(play())
    seconds = time.process_time() - begun
    if decided != _backtest(environment, market).decisions:
        raise AssertionError("leaving instants out changed a decision")
    return STEPPED_BARS / seconds


def _resets() -> str:
    """The circuit breaker would end the year early: its owner resets it every six hours."""
    times = (START + timedelta(hours=6 * number) for number in range(1, 4 * 365))
    return "".join(f"{at:%Y-%m-%dT%H:%MZ} /resetpilot\n" for at in times)


def _bare_loop(market: PlayedMarket) -> float:
    """CPU seconds of what a backtest is at the very least: crosses found over arrays, exits bar by bar."""
    bars, main = market.series(SYMBOL), market.series(SYMBOL, Timeframe.M15)
    begun = time.process_time()
    gap = talib.EMA(main.close, 20) - talib.EMA(main.close, 50)
    atr = talib.ATR(main.high, main.low, main.close, 14)
    crosses = np.flatnonzero((gap[1:] > 0) != (gap[:-1] > 0)) + 1
    row, wallet = 0, 10_000.0
    for cross in crosses[crosses > 50].tolist():
        first = int(np.searchsorted(bars.open_time, main.close_time[cross]))
        if first < row or first >= len(bars):
            continue
        sign = 1.0 if gap[cross] > 0 else -1.0
        entry = bars.open[first]
        stop, target = entry - sign * 1.5 * atr[cross], entry + sign * 3.0 * atr[cross]
        worst, best = (bars.low, bars.high) if sign > 0 else (bars.high, bars.low)
        row, price = first, entry
        while row < len(bars):
            if (worst[row] - stop) * sign <= 0:
                price = stop
                break
            if (best[row] - target) * sign >= 0:
                price = target
                break
            row += 1
        wallet += wallet * 0.5 * (sign * (price / entry - 1.0) - 0.001)
    return time.process_time() - begun
