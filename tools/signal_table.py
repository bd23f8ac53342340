"""Counts of signals over a data directory, by the product and by the second computation, as a Markdown table.

`.venv/bin/python tools/signal_table.py DIR [VENUE ...]` prints it; `make signals` puts it into docs/strategies.md.
Differing signals are counted on stderr. Exit code 1 where a count differs by more than 2 %.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import independent_signals
from independent_signals import Found

from nexus_common.contracts.signal import SignalRaised
from nexus_common.runtime.settings import load
from nexus_cortex.domain.strategies import STRATEGIES
from nexus_data.data_directory import DataDirectory
from nexus_market.candles import to_millis
from nexus_ops.signal_counts import Ground, grounds, signals_on

TOLERANCE = 0.02
BEGIN, END = "<!-- signals -->", "<!-- end of signals -->"


class Row(NamedTuple):
    """One line of the table; `both` counts the signals that both computations gave at the same candle."""

    strategy: str
    venue: str
    ours: int
    second: int
    both: int

    @property
    def difference(self) -> float:
        """As a share of the second count."""
        return 0.0 if self.ours == self.second else abs(self.ours - self.second) / max(self.second, 1)


async def ours(data: DataDirectory, ground: Ground, found: Sequence[Ground], strategy: str) -> list[Found]:
    """What the product says on one series."""
    settings = load(environment={}).cortex
    return [
        Found(ground.folder, ground.symbol, strategy, str(event.action), to_millis(event.candle_close))
        for event in await signals_on(data, ground, found, strategy, settings)
        if isinstance(event, SignalRaised)
    ]


async def compared(data: DataDirectory, venue: str) -> tuple[set[Found], set[Found]]:
    """Every signal on the instruments that a venue lists, by both computations."""
    found, unlisted = grounds(data, venue, None)
    if unlisted:
        print(f"left out, as no venue of Nexus lists them: {', '.join(unlisted)}", file=sys.stderr)
    first: list[Found] = []
    for ground in found:
        for strategy in STRATEGIES:
            first += await ours(data, ground, found, strategy)
        print(f"{venue} {ground.symbol} {ground.stretch}", file=sys.stderr)
    symbols = {ground.symbol for ground in found}
    second = [each for each in independent_signals.signals(data.path, venue) if each.symbol in symbols]
    assert len(set(first)) == len(first), "a strategy said something twice at one candle"
    return set(first), set(second)


def rows(first: set[Found], second: set[Found]) -> list[Row]:
    """By strategy and venue, entries and exits together."""
    counts = [_counted(each) for each in (first, second, first & second)]
    keys = [
        (strategy, venue)
        for strategy in STRATEGIES
        for venue in sorted({each.venue for each in first | second})
    ]
    return [Row(*key, *(count[key] for count in counts)) for key in keys]


def _counted(found: Iterable[Found]) -> Counter[tuple[str, str]]:
    return Counter((each.strategy, each.venue) for each in found)


def sides(first: set[Found]) -> dict[tuple[str, str], Counter[str]]:
    table: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for each in first:
        table[each.strategy, each.venue][each.action] += 1
    return table


def table(first: set[Found], second: set[Found]) -> str:
    by_side = sides(first)
    lines = [
        "| strategy | venue | long | short | ladders | exits | signals | second | the same | difference |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows(first, second):
        side = by_side[row.strategy, row.venue]
        exits = side["exit_long"] + side["exit_short"] + side["close_grid"]
        figures = (
            side["enter_long"],
            side["enter_short"],
            side["open_grid"],
            exits,
            row.ours,
            row.second,
            row.both,
        )
        told = " | ".join(f"{figure:,}" for figure in figures)
        lines.append(f"| {row.strategy} | {row.venue} | {told} | {row.difference * 100:.2f} % |")
    return "\n".join(lines)


def _between_marks(page: str, told: str) -> str:
    before, mark, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (mark and end):
        raise SystemExit(f"the page has no place for the table between {BEGIN} and {END}")
    return f"{before}{mark}\n{told}\n{end}{after}"


def main(directory: Path, venues: Sequence[str], page: Path | None) -> int:
    data = DataDirectory(directory)
    first: set[Found] = set()
    second: set[Found] = set()
    for venue in venues or data.folders(None):
        one, other = asyncio.run(compared(data, venue))
        first |= one
        second |= other
    told = table(first, second)
    if page is None:
        print(told)
    else:
        page.write_text(_between_marks(page.read_text(), told))
    for name, only in (("ours alone", first - second), ("second alone", second - first)):
        listed = Counter((each.venue, each.symbol, each.strategy, each.action) for each in only)
        for key, count in sorted(listed.items()):
            print(f"{name}: {' '.join(key)} {count}", file=sys.stderr)
    return int(any(row.difference > TOLERANCE for row in rows(first, second)))


if __name__ == "__main__":
    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("directory", type=Path)
    given.add_argument("venues", nargs="*")
    given.add_argument("--page", type=Path, help="a page with marks between which the table is put")
    asked = given.parse_args()
    sys.exit(main(asked.directory, asked.venues, asked.page))
