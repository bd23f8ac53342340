"""Check a data directory: each file by itself, then what several say of one market."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from nexus_data.bar_checks import check_bars
from nexus_data.cross_checks import check_together
from nexus_data.findings import Report, Verdict
from nexus_data.inventory import DataFile, Kind, files_in
from nexus_data.side_checks import check_funding, check_quote_bars, check_sentiment, check_tape, check_ticks

Told = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class Checked:
    """A directory and the report of each of its files."""

    directory: Path
    reports: Sequence[Report]

    @property
    def verdict(self) -> Verdict:
        return max((report.verdict for report in self.reports), key=lambda verdict: verdict.rank)

    def count(self, verdict: Verdict) -> int:
        return sum(report.verdict is verdict for report in self.reports)

    def to_json(self) -> dict[str, Any]:
        return {
            "directory": str(self.directory),
            "verdict": self.verdict,
            "counts": {str(verdict): self.count(verdict) for verdict in Verdict},
            "files": [report.to_json() for report in self.reports],
        }


def check_directory(directory: Path, told: Told = lambda done, total, name: None) -> Checked:
    """Check all files; `told` hears how many are done, of how many, and which is next.

    Raises:
        ConfigurationError: no such directory, or no market data in it.
    """
    files = files_in(directory)
    reports: list[Report] = []
    frames: dict[str, pl.DataFrame] = {}
    for done, file in enumerate(files):
        told(done, len(files), file.name)
        report, clean = _by_itself(file)
        reports.append(report)
        if clean is not None:
            frames[file.name] = clean
    told(len(files), len(files), "comparing")
    check_together(reports, frames)
    return Checked(directory, reports)


_OTHERS: dict[Kind, Callable[[Report], None]] = {
    Kind.QUOTE_BARS: check_quote_bars,
    Kind.FUNDING: check_funding,
    Kind.TICKS: check_ticks,
    Kind.SENTIMENT: check_sentiment,
    Kind.TAPE: check_tape,
}


def _by_itself(file: DataFile) -> tuple[Report, pl.DataFrame | None]:
    report = Report(file)
    if file.kind is Kind.BARS:
        return report, check_bars(report)
    _OTHERS[file.kind](report)
    return report, None


def measure(file: DataFile) -> Report:
    """A file by itself: its rows, its span, what is missing."""
    return _by_itself(file)[0]
