"""Live market data: ticks through an ingest, their way to the bus, their size on the tape, memory over a week.

Frames come over a socket from a process of their own, ticks go to a real NATS. ccxt.pro reads the same kind of frames
from the same server by turns.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from benchmarks.feed_processes import SYMBOLS
from benchmarks.house import DATA
from benchmarks.measuring import Figure, Pairs, alternate, percentile
from nexus_common.contracts.values import Symbol, Venue
from nexus_common.runtime.bus.jetstream import JetStreamBus
from nexus_common.runtime.ticks import TickReader
from nexus_data.tape import Tape
from nexus_data.tape_format import Table
from nexus_data.tape_segment import from_micros
from nexus_ingest.adapters.tape_writer import TapeWriter
from nexus_ingest.domain.readings import Reading, UnreadableFrame
from nexus_ingest.domain.watching import Heard, Ticks
from nexus_ingest.venues.binance.frames import BinanceTalk
from nexus_ops.stack import EmbeddedNats

ROUNDS: Final = 3
FLOOD: Final = 300_000
CCXT_FLOOD: Final = 60_000
PACED: Final = 50_000
PACE: Final = 5_000
DAYS: Final = 7
RECORDED: Final = ("binance_um", "binance_spot")
GOAL_RATE, GOAL_MS = 50_000, 5.0
GOAL_TRADE_BYTES, GOAL_FRAME_BYTES = 12.0, 45.0
TIMEOUT: Final = 600.0


def run() -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="nexus-bench-") as folder, _servers(Path(folder)) as around:
        rates, cpu = asyncio.run(around.rates())
        latencies = asyncio.run(around.latencies())
    figures = [*_rate_figures(rates, cpu), *_latency_figures(latencies)]
    for venue in RECORDED:
        recording = DATA / "ticks" / venue / "BTCUSDT-raw_ws.2024-08-08.gz"
        if recording.exists():
            figures += _tape_figures(venue, recording)
    return [*figures, _memory_figure(_spoken(_child("week", str(DAYS))))]


# -- rate and latency -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Around:
    """What the measured processes are given."""

    server: str
    bus: str

    async def rates(self) -> tuple[Pairs, float]:
        """Ticks a second of ours beside ccxt's, and our CPU microseconds a tick."""
        cpu: list[float] = []

        async def ours() -> float:
            outcome = _spoken(_child("ingest", f"{self.server}/{FLOOD}/0/ticks", self.bus, str(FLOOD)))
            if outcome["lost"] or outcome["published"] + outcome["replaced"] != FLOOD:
                raise AssertionError(f"not every tick left or was replaced: {outcome}")
            cpu.append(outcome["cpu_seconds"] / FLOOD * 1e6)
            return float(outcome["per_second"])

        async def theirs() -> float:
            address = f"{self.server}/{CCXT_FLOOD}/0/trades"
            return float(_spoken(_child("ccxt", address, str(CCXT_FLOOD)))["per_second"])

        return await alternate(ours, theirs, ROUNDS), min(cpu)

    async def latencies(self) -> list[float]:
        """Milliseconds from the server's socket to a reader of the bus, tick by tick."""
        bus = await JetStreamBus.connect(self.bus, name="bench-reader")
        address = f"{self.server}/{PACED}/{PACE}/ticks"
        process = _child("ingest", address, self.bus, str(PACED))
        waits: list[float] = []
        async for batch in TickReader(bus, [(Venue.BINANCE, symbol) for symbol in SYMBOLS]):
            now = time.time_ns()
            waits += [(now - int(trade.number)) / 1e6 for trade in batch.trades]
            if len(waits) >= PACED:
                break
        _spoken(process)
        await bus.close()
        # The first moments are the opening of connections and streams.
        return waits[PACED // 10 :]


@contextmanager
def _servers(folder: Path) -> Iterator[Around]:
    nats, frames = EmbeddedNats(folder / "nats"), _child("serve")
    try:
        nats.start()
        assert frames.stdout is not None
        yield Around(f"ws://127.0.0.1:{int(frames.stdout.readline())}", nats.url)
    finally:
        frames.kill()
        frames.communicate()
        nats.stop()


def _child(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "benchmarks.feed_processes", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def _spoken(process: subprocess.Popen[str]) -> dict[str, Any]:
    """What a process says when it is done."""
    out, _ = process.communicate(timeout=TIMEOUT)
    if process.returncode != 0:
        raise RuntimeError(f"a process of the benchmark ended with {process.returncode}")
    outcome: dict[str, Any] = json.loads(out)
    return outcome


def _rate_figures(rates: Pairs, cpu: float) -> list[Figure]:
    return [
        Figure(
            "ticks decoded, watched and published by one process",
            round(rates.value),
            "ticks/s",
            round(rates.bare),
            "ccxt.pro watch_trades over the same server",
            round(rates.ratio, 2),
            f"at least {GOAL_RATE:,}",
            rates.value >= GOAL_RATE,
            f"{len(SYMBOLS)} instruments, a trade to three book tops",
        ),
        Figure(
            "the same, CPU a tick", round(cpu, 1), "µs", note=f"{1e6 / cpu:,.0f} ticks/s of one core's time"
        ),
    ]


def _latency_figures(waits: list[float]) -> list[Figure]:
    p99 = percentile(waits, 0.99)
    note = f"{PACE:,} trades/s, server's socket to a reader's"
    return [
        Figure("frame to tick on the bus, p50", round(percentile(waits, 0.5), 2), "ms", note=note),
        Figure(
            "frame to tick on the bus, p99", round(p99, 2), "ms", goal=f"< {GOAL_MS:g}", met=p99 < GOAL_MS
        ),
    ]


# -- the tape ---------------------------------------------------------------------------------------------


def _tape_figures(venue: str, recording: Path) -> list[Figure]:
    """What the frames and trades of a recording take on disk."""
    with tempfile.TemporaryDirectory(prefix="nexus-bench-") as folder:
        begun = time.perf_counter()
        frames, raw = _tape(recording, Path(folder))
        seconds = time.perf_counter() - begun
        sizes = {file.table: file.size_bytes / file.rows for file in Tape(Path(folder)).sealed()}
    where = f"recorded {venue}, depth frames included"
    return [
        Figure(
            f"a raw frame on the tape ({venue})",
            round(sizes[Table.FRAMES], 1),
            "bytes",
            round(raw / frames, 1),
            "as it came",
            round(sizes[Table.FRAMES] / (raw / frames), 3),
            f"at most {GOAL_FRAME_BYTES:g}",
            sizes[Table.FRAMES] <= GOAL_FRAME_BYTES,
            where,
        ),
        Figure(
            f"a trade in columns ({venue})",
            round(sizes[Table.TRADES], 2),
            "bytes",
            goal=f"at most {GOAL_TRADE_BYTES:g}",
            met=sizes[Table.TRADES] <= GOAL_TRADE_BYTES,
        ),
        Figure(
            f"frames taped and sealed ({venue})",
            round(frames / seconds),
            "frames/s",
            note="decoding included",
        ),
    ]


def _tape(recording: Path, folder: Path) -> tuple[int, int]:
    """Put a recording on a tape; how many frames and bytes they were."""
    talk = BinanceTalk({"BTCUSDT": Symbol("BTCUSDT")})
    tape = TapeWriter(folder, Venue.BINANCE, frames=True, segment_minutes=60, keep_days=9_999)
    tape.open()
    count = size = 0
    with gzip.open(recording, "rt") as lines:
        for line in lines:
            nanoseconds, _, frame = line.rstrip("\n").partition(" ")
            at = from_micros(int(nanoseconds) // 1_000)
            readings = _readings(talk, frame)
            tape.take(Heard(Venue.BINANCE, "main", readings, at), frame)
            if readings:
                tape.take_ticks(Ticks(Venue.BINANCE, readings, at))
            count += 1
            size += len(frame)
    tape.close()
    if tape.health["lost"] or tape.health["problem"]:
        raise AssertionError(f"the tape is not whole: {tape.health}")
    return count, size


def _readings(talk: BinanceTalk, frame: str) -> list[Reading]:
    """Kinds that are not consumed (depth; spot book tops, which have no time) say nothing here."""
    try:
        return list(talk.hear(frame))
    except UnreadableFrame:
        return []


# -- memory -----------------------------------------------------------------------------------------------


def _memory_figure(outcome: dict[str, Any]) -> Figure:
    first, last = outcome["memory_mb"][0], outcome["memory_mb"][-1]
    return Figure(
        f"memory after {timedelta(days=DAYS).days} days of 51 instruments with five timeframes",
        round(last, 1),
        "MB",
        round(first, 1),
        "after the first day",
        round(last / first, 3),
        "flat",
        last <= first * 1.05,
        f"{outcome['frames']:,} frames, {outcome['candles']:,} candles, without the house",
    )
