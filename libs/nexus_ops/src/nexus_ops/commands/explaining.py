"""Verbs that explain: why."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from nexus_ops.access import DEFAULT_HOME, opened_store
from nexus_ops.commands import options
from nexus_ops.output import console, print_json
from nexus_ops.story import Line, find_story, render, tell


def register(app: typer.Typer) -> None:
    app.command("why")(why)


def why(
    wanted: Annotated[str, typer.Argument(metavar="ID", help="a trade, order or event id, or its beginning")],
    home: options.Home = DEFAULT_HOME,
    as_json: options.Json = False,
) -> None:
    """The story of a trade: candle, features, regime, checks, order, fills, stop, exit."""
    lines = asyncio.run(_story(home, wanted))
    if as_json:
        print_json([asdict(line) for line in lines])
    else:
        console.print(render(lines), markup=False)


async def _story(home: Path, wanted: str) -> list[Line]:
    async with opened_store(home) as store:
        return tell(await find_story(store, wanted))
