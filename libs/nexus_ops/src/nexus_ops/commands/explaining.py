"""Verbs that explain: why, why-not, at."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from nexus_common.contracts.values import Symbol
from nexus_ops.access import DEFAULT_HOME, opened_store
from nexus_ops.commands import options
from nexus_ops.composition import cortex_reactor, settings_of_home
from nexus_ops.layout import chapters
from nexus_ops.output import console, pairs, print_json, print_text
from nexus_ops.recorded_models import read_as_recorded
from nexus_ops.story import Line, background_of, find_story, render, tell
from nexus_ops.timetravel import Rows, Subject, instant_or_now, look
from nexus_ops.why_not import WhyNot
from nexus_ops.why_not import why_not as explain


def register(app: typer.Typer) -> None:
    app.command("why")(why)
    app.command("why-not")(why_not)
    app.command("at")(at)


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
        print_text(render(lines))


async def _story(home: Path, wanted: str) -> list[Line]:
    async with opened_store(home) as store:
        story = await find_story(store, wanted)
        return tell(story, await background_of(store, story))


def why_not(
    symbol: Annotated[str, typer.Argument(metavar="SYMBOL", help="an instrument, such as BTCUSDT")],
    when: Annotated[str, typer.Option("--at", metavar="T", help="an instant (UTC), or now")] = "now",
    home: options.Home = DEFAULT_HOME,
    as_json: options.Json = False,
) -> None:
    """Why an instrument is not traded: the rules at its last close, what was withheld, refused, or holds it back."""
    found = asyncio.run(_explained(home, Symbol(symbol.upper()), instant_or_now(when)))
    if as_json:
        print_json(found.to_json())
    else:
        print_text(chapters(found.lines()))


async def _explained(home: Path, symbol: Symbol, until: datetime | None) -> WhyNot:
    cortex = cortex_reactor(settings_of_home(home))
    async with opened_store(home) as store:
        await read_as_recorded(store, cortex)
        return await explain(store, cortex, symbol, until)


def at(
    when: Annotated[str, typer.Argument(metavar="T", help="an instant (UTC), or now")],
    subject: Annotated[Subject, typer.Argument(help="what to look at")],
    home: options.Home = DEFAULT_HOME,
    as_json: options.Json = False,
) -> None:
    """What was held, ordered, risked or chosen at an instant."""
    rows = asyncio.run(_looked(home, subject, instant_or_now(when)))
    if as_json:
        print_json(rows)
        return
    if not rows:
        console.print(f"no {subject} at {when}")
    for number, row in enumerate(rows):
        if number:
            console.print()
        console.print(pairs((name.replace("_", " "), _said(value)) for name, value in row.items()))


async def _looked(home: Path, subject: Subject, until: datetime | None) -> Rows:
    async with opened_store(home) as store:
        return await look(store, subject, until)


def _said(value: Any) -> str:
    match value:
        case None:
            return "-"
        case dict():
            return ", ".join(f"{name} {each}" for name, each in value.items()) or "-"
        case list():
            return ", ".join(map(str, value)) or "-"
        case _:
            return str(value)
