"""Orders through the vendors' SDKs over sockets: how long a filled position waits for its stop, what a run takes.

The same three days are played by the exchange's own protocol (the floor) and by each venue's, in processes of their
own with a durable store. The exchange's ledger times each position from its fill to the acceptance of its stop.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.house import market
from benchmarks.measuring import Figure, percentile
from nexus_common.runtime.exchange_client import ExchangeClient
from nexus_ops.demo import play
from nexus_ops.stack.house import House
from nexus_ops.stack.life import prepare_home

VENUES = ("binance", "bybit")
GOAL_MS = 250.0


@dataclass(frozen=True, slots=True)
class Run:
    """Seconds: of the whole run, and from each fill that opened a position to its stop's acceptance."""

    played: float
    unprotected: list[float]


def run() -> list[Figure]:
    figures = []
    for venue in VENUES:
        own, native = _once(venue, "exchange"), _once(venue, "native")
        figures += _figures(venue, own, native)
    return figures


def _once(venue: str, protocol: str) -> Run:
    with tempfile.TemporaryDirectory(prefix="nexus-bench-") as folder:
        home = Path(folder) / "home"
        environment = {
            **market(),
            "NEXUS__INGEST__ACCOUNT_VENUE": venue,
            "NEXUS__TELEGRAM__VENUES": venue,
            "NEXUS__EXCHANGE__PROTOCOL": protocol,
        }
        prepare_home(home, environment, fresh=True)
        with House(home, environment) as house:
            begun = time.perf_counter()
            play(house, lambda at, text: None)
            played = time.perf_counter() - begun
            return Run(played, asyncio.run(_unprotected(house.addresses.exchange)))


async def _unprotected(url: str) -> list[float]:
    client = ExchangeClient(url, name="bench", timeout=60.0)
    try:
        answer = await client.call("ledger", {"limit": 0})
    finally:
        await client.close()
    return [float(span["wall_seconds"]) for span in answer["unprotected"]]


def _figures(venue: str, own: Run, native: Run) -> list[Figure]:
    floor_is = "the exchange's own protocol"
    figures = [
        Figure(
            f"three days of eight symbols by {venue}'s protocol",
            round(native.played, 1),
            "s",
            round(own.played, 1),
            floor_is,
            round(native.played / own.played, 2),
        )
    ]
    if native.unprotected and own.unprotected:
        middle, bare = median(native.unprotected) * 1e3, median(own.unprotected) * 1e3
        worst = percentile(native.unprotected, 0.99) * 1e3
        note = f"{len(native.unprotected)} positions"
        figures += [
            Figure(
                f"fill to stop accepted at {venue}, p50",
                round(middle, 1),
                "ms",
                round(bare, 1),
                floor_is,
                round(middle / bare, 2),
                note=note,
            ),
            Figure(
                f"fill to stop accepted at {venue}, p99",
                round(worst, 1),
                "ms",
                goal=f"below {GOAL_MS:g} ms and the venue's own time",
                met=worst < GOAL_MS,
                note=note,
            ),
        ]
    return figures
