"""Verbs that run the house: up, demo."""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from nexus_ops import demo as demos
from nexus_ops.access import DEFAULT_HOME, connected
from nexus_ops.commands import options
from nexus_ops.composition import cortex_reactor, rehearsed
from nexus_ops.live_options import SIMULATED_SPEED, LiveOptions, MarketKind, rehearsed_live
from nexus_ops.market_options import MarketOptions
from nexus_ops.output import console, print_json, print_text, progress, stderr
from nexus_ops.screen import watch
from nexus_ops.stack.house import House
from nexus_ops.stack.life import prepare_home

PLAYED_SPEED = "1200"


def register(app: typer.Typer) -> None:
    app.command("up")(up)
    app.command("demo")(demo)


def up(
    data: options.Data = None,
    start: options.From = None,
    end: options.To = None,
    symbols: options.Symbols = None,
    venue: options.Venue = None,
    account_venue: options.AccountVenue = None,
    protocol: options.Protocol = None,
    kind: Annotated[
        MarketKind,
        typer.Option("--market", help="played in lock step, the venues' own, or simulated venues'"),
    ] = MarketKind.PLAYED,
    speed: Annotated[
        str | None,
        typer.Option(help=f"market seconds in a second, or max; {PLAYED_SPEED}, simulated {SIMULATED_SPEED}"),
    ] = None,
    mode: options.Mode = "pilot",
    strategy: options.Strategy = None,
    script: options.Script = None,
    seed: options.Seed = None,
    minutes: options.Minutes = None,
    home: options.Home = DEFAULT_HOME,
    fresh: Annotated[bool, typer.Option("--fresh", help="put an earlier run aside and begin anew")] = False,
) -> None:
    """Run everything on this machine and watch it trade; Ctrl-C stops it all."""
    if kind is not MarketKind.PLAYED:
        live = LiveOptions(*(kind, symbols, mode, strategy, protocol, data, start, end, minutes, seed, speed))
        environment, plays = rehearsed_live(live)
        _run(home, environment, fresh, plays)
        return
    market = MarketOptions(
        *(data, start, end, symbols, venue, speed or PLAYED_SPEED, mode, strategy, script, seed, minutes),
        protocol=protocol,
        account_venue=account_venue,
    )
    environment, _, _ = rehearsed(market.environment())
    _run(home, environment, fresh)


def _run(home: Path, environment: Mapping[str, str], fresh: bool, plays: Sequence[str] = ()) -> None:
    prepare_home(home, environment, fresh=fresh)
    with House(home, environment, plays=plays) as house:
        house.start()
        watch(house)


def demo(
    data: options.Data = None,
    start: options.From = None,
    end: options.To = None,
    symbols: options.Symbols = None,
    venue: options.Venue = None,
    account_venue: options.AccountVenue = None,
    protocol: options.Protocol = None,
    mode: options.Mode = "pilot",
    strategy: options.Strategy = None,
    script: options.Script = None,
    seed: options.Seed = None,
    minutes: options.Minutes = None,
    home: Annotated[Path | None, typer.Option(help="keep the data in this folder")] = None,
    cortex_replicas: Annotated[
        int, typer.Option(min=1, max=16, help="processes that share cortex's work")
    ] = 1,
    as_json: options.Json = False,
) -> None:
    """Play a bounded market at full speed, then judge it: ledger, protection, replay, and one trade's story."""
    market = MarketOptions(
        *(data, start, end, symbols, venue, "max", mode, strategy, script, seed, minutes),
        protocol=protocol,
        account_venue=account_venue,
    )
    begun = time.monotonic()
    environment, settings, played = rehearsed(market.environment())
    with ExitStack() as closing:
        folder = home or Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="nexus-demo-")))
        prepare_home(folder, environment, fresh=True)
        house = closing.enter_context(House(folder, environment, cortex_replicas))
        origin = played.start.timestamp()
        with progress("starting", played.end.timestamp() - origin) as advance:
            ready = demos.play(house, lambda at, text: advance(at - origin, text))
        with progress("judging", None) as advance:
            report = asyncio.run(_judge(house, cortex_reactor(settings), advance))
    report.seconds, report.ready_seconds = time.monotonic() - begun, ready
    if as_json:
        print_json(report.to_json())
    else:
        _show(report)
    if report.problems:
        raise typer.Exit(1)


async def _judge(house: House, cortex: object, advance: demos.Advance) -> demos.DemoReport:
    async with connected(house.addresses.store) as store:
        return await demos.judge(store, house.addresses.exchange, cortex, advance)


def _show(report: demos.DemoReport) -> None:
    table = Table("figure", "value", box=None, show_header=False, pad_edge=False)
    for name, value in report.to_json().items():
        if name != "problems" and value is not None:
            table.add_row(
                name.replace("_", " "), json.dumps(value) if isinstance(value, dict) else str(value)
            )
    console.print(table)
    if report.story:
        print_text(f"\n{report.story}\n")
    for problem in report.problems:
        stderr.print(f"not as promised: {problem}", style="red", markup=False)
    if not report.problems:
        console.print("every promise held", style="green")
