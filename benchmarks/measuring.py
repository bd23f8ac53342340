"""Figures, each beside its floor, from repetitions that alternate between the two."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True, slots=True)
class Figure:
    """`ratio` is `value` / `floor`: of rates the higher the better, of times the lower.

    `goal` is the design's figure in words, `met` whether it holds here; None: it cannot be told from this run.
    """

    what: str
    value: float
    unit: str
    floor: float | None = None
    floor_is: str = ""
    ratio: float | None = None
    goal: str = ""
    met: bool | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Pairs:
    """What alternating repetitions measured: each of ours right beside a floor under the same load."""

    ours: tuple[float, ...]
    floor: tuple[float, ...]

    @property
    def value(self) -> float:
        return median(self.ours)

    @property
    def bare(self) -> float:
        return median(self.floor)

    @property
    def ratio(self) -> float:
        """The median of the ratios of neighbours, which a change of the machine's load does not move."""
        return median(mine / bare for mine, bare in zip(self.ours, self.floor, strict=True))


async def alternate(
    ours: Callable[[], Awaitable[float]], floor: Callable[[], Awaitable[float]], repetitions: int
) -> Pairs:
    """Measure both by turns, each first as often as the other."""
    mine: list[float] = []
    bare: list[float] = []
    for number in range(repetitions):
        first, second = ((ours, mine), (floor, bare))[:: 1 if number % 2 else -1]
        for measure, results in (first, second):
            results.append(await measure())
    return Pairs(tuple(mine), tuple(bare))


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def machine() -> str:
    """The class of machine, without its name."""
    return f"{os.cpu_count()} cores, {platform.machine()}, Python {sys.version.split()[0]}"


def write_result(name: str, figures: Sequence[Figure]) -> dict[str, Any]:
    """Keep the figures of one benchmark under `results/`."""
    load = os.getloadavg()[0]
    result = {
        "benchmark": name,
        "at": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "machine": machine(),
        "load_before": round(load, 2),
        "figures": [asdict(figure) for figure in figures],
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=2) + "\n")
    return result
