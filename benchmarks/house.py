"""The whole house at work: start, candle to order, seconds of a demo, memory, re-execution, hash check."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import median

import orjson

from benchmarks.chain import measure_chain
from benchmarks.measuring import Figure, percentile
from nexus_common.contracts.market import CandlesClosed
from nexus_common.contracts.order import Leg, OrderIntentRecorded
from nexus_common.runtime.clock import WallClock
from nexus_common.runtime.ports import EventStore
from nexus_common.runtime.store.postgres import PostgresStore
from nexus_ops.decisions import events_of
from nexus_ops.demo import play
from nexus_ops.stack.house import House
from nexus_ops.stack.life import prepare_home

DATA = Path(__file__).parents[2] / "shared" / "data"
EIGHT = "BTCUSDT,ETHUSDT,ADAUSDT,DOGEUSDT,XRPUSDT,LTCUSDT,LINKUSDT,DOTUSDT"
RECORDED = {
    "NEXUS__INGEST__DATA_DIR": str(DATA),
    "NEXUS__INGEST__SYMBOLS": EIGHT,
    "NEXUS__INGEST__START": "2021-05-17",
    "NEXUS__INGEST__END": "2021-05-20",
}
GENERATED = {"NEXUS__INGEST__SYMBOLS": EIGHT, "NEXUS__INGEST__MINUTES": "4320"}
SETTINGS = {"NEXUS__INGEST__SPEED": "max", "NEXUS__TELEGRAM__MODE": "pilot"}
ROUNDS = 3
CHAIN_MESSAGES = 200
MEMORY_MAX_MB = 250


@dataclass(frozen=True, slots=True)
class Run:
    """One demo and, right behind it on the same servers, the bare chain. Times in seconds."""

    ready: float
    played: float
    events: int
    latencies: list[float]
    chain: list[float]
    memory: dict[str, float]


def run() -> list[Figure]:
    runs = [_once(number) for number in range(ROUNDS)]
    return [*_chain_figures(runs), *_life_figures(runs)]


def market() -> dict[str, str]:
    """Three recorded days of eight symbols where there are any, else three generated ones."""
    return {**SETTINGS, **(RECORDED if DATA.is_dir() else GENERATED)}


def _once(number: int) -> Run:
    with tempfile.TemporaryDirectory(prefix="nexus-bench-") as folder:
        home, environment = Path(folder) / "home", market()
        prepare_home(home, environment, fresh=True)
        with House(home, environment) as house:
            begun = time.perf_counter()
            ready = play(house, lambda at, text: None)
            played = time.perf_counter() - begun
            memory = {each.name: _resident(each.pid) for each in house.status() if each.pid is not None}
            addresses = house.addresses
            latencies, events = asyncio.run(_latencies(addresses.store, home / "exchange" / "journal.jsonl"))
            chain = asyncio.run(measure_chain(addresses.store, addresses.bus, CHAIN_MESSAGES))
    return Run(ready, played, events, latencies, chain, memory)


def _resident(pid: int) -> float:
    """Megabytes of main memory of this process; those it started are not in it."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1_024


async def _latencies(url: str, journal: Path) -> tuple[list[float], int]:
    """Seconds from a candle's commit to the arrival of its entry order at the exchange."""
    store = await PostgresStore.connect(url, fingerprint="bench", clock=WallClock())
    try:
        closed, entries, events = await _candles_and_entries(store)
    finally:
        await store.close()
    arrived = _arrivals(journal)
    taken = [
        (arrived[order] - closed[at]).total_seconds()
        for order, at in entries.items()
        if order in arrived and at in closed
    ]
    return taken, events


async def _candles_and_entries(
    store: EventStore,
) -> tuple[Mapping[datetime, datetime], Mapping[str, datetime], int]:
    closed: dict[datetime, datetime] = {}
    entries: dict[str, datetime] = {}
    events = 0
    async for recorded in events_of(store):
        events += 1
        match recorded.event:
            case CandlesClosed(at=at):
                closed[at] = recorded.recorded_at
            case OrderIntentRecorded(leg=Leg.ENTRY, client_order_id=order):
                entries[order] = recorded.envelope.occurred_at
            case _:
                pass
    return closed, entries, events


def _arrivals(journal: Path) -> dict[str, datetime]:
    """When the exchange was first asked for each order, by its own record."""
    arrived: dict[str, datetime] = {}
    for line in journal.read_bytes().splitlines()[1:]:
        entry = orjson.loads(line)
        if entry["method"] == "submit":
            order = entry["params"]["order"]["client_order_id"]
            arrived.setdefault(order, datetime.fromisoformat(entry["wall"]))
    return arrived


def _chain_figures(runs: list[Run]) -> list[Figure]:
    figures = []
    for name, share, goal_ms in (("p50", 0.50, 7.0), ("p99", 0.99, 25.0)):
        ours = [percentile(run.latencies, share) * 1e3 for run in runs if run.latencies]
        if not ours:
            continue
        bare = [percentile(run.chain, share) * 1e3 for run in runs if run.latencies]
        ratio = median(mine / floor for mine, floor in zip(ours, bare, strict=True))
        goal = f"below {goal_ms:g} ms" + (", at most 1.1 of the bare chain" if share == 0.50 else "")
        figures.append(
            Figure(
                f"candle committed to entry order at the exchange, {name}",
                round(median(ours), 2),
                "ms",
                round(median(bare), 2),
                "bare chain of four processes",
                round(ratio, 2),
                goal,
                median(ours) < goal_ms and (share != 0.50 or ratio <= 1.1),
                f"{sum(len(run.latencies) for run in runs)} entry orders of {len(runs)} runs",
            )
        )
    return figures


def _life_figures(runs: list[Run]) -> list[Figure]:
    ready = median(run.ready for run in runs)
    played = median(run.played for run in runs)
    which = "recorded" if DATA.is_dir() else "generated"
    figures = [
        Figure("start of the embedded stack to ready", round(ready, 2), "s", goal="below 5 s", met=ready < 5),
        Figure(
            f"three {which} days of eight symbols through all processes, start included",
            round(played, 1),
            "s",
            goal="below 60 s",
            met=played < 60,
            note=f"{runs[0].events} events",
        ),
    ]
    for name in sorted(runs[0].memory):
        resident = median(run.memory[name] for run in runs if name in run.memory)
        is_ours = name not in ("postgres", "nats")
        figures.append(
            Figure(
                f"memory of {name} after the run",
                round(resident),
                "MB",
                goal=f"below {MEMORY_MAX_MB} MB" if is_ours else "",
                met=resident < MEMORY_MAX_MB if is_ours else None,
            )
        )
    return figures
