"""The verb that puts two runs side by side."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from nexus_ops.access import opened_store
from nexus_ops.commands import options
from nexus_ops.comparison import Comparison, Run, compare, run_of
from nexus_ops.output import console, print_json, stderr


def register(app: typer.Typer) -> None:
    app.command("compare")(compare_runs)


def compare_runs(
    one: Annotated[Path, typer.Argument(metavar="HOME", help="folder of a run")],
    other: Annotated[Path, typer.Argument(metavar="OTHER", help="folder of another run of the same market")],
    as_json: options.Json = False,
) -> None:
    """Two runs of one market, by two protocols for instance: exit code 1 where their trades differ."""
    comparison = asyncio.run(_compare(one, other))
    if as_json:
        print_json(comparison.to_json())
    else:
        _show(comparison)
    if comparison.differences:
        raise typer.Exit(1)


async def _compare(one: Path, other: Path) -> Comparison:
    return compare(await _read(one), await _read(other))


async def _read(home: Path) -> Run:
    async with opened_store(home) as store:
        return await run_of(store)


def _show(comparison: Comparison) -> None:
    for sentence in comparison.differences:
        stderr.print(sentence, style="red", markup=False)
    ours, theirs = comparison.trades
    console.print(
        f"{ours} and {theirs} closed trades, {comparison.fills[0]} and {comparison.fills[1]} fills of order legs"
    )
    if not comparison.differences:
        console.print("the same trades", style="green")
