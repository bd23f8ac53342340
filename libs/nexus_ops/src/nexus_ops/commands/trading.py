"""Verbs about strategies on recorded data: strategies, signals, backtest."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.table import Table

from nexus_common.runtime.settings import NexusSettings
from nexus_data.playback import PlayedMarket
from nexus_ops.backtest import Backtest, run_backtest
from nexus_ops.commands import options
from nexus_ops.composition import rehearsed
from nexus_ops.market_options import MarketOptions
from nexus_ops.output import columns, console, pairs, print_json, progress, stderr
from nexus_ops.signals import SignalScan, rows_of
from nexus_ops.strategy_table import strategy_rows


def register(app: typer.Typer) -> None:
    app.command("strategies")(strategies)
    app.command("signals")(signals)
    app.command("backtest")(backtest)


def strategies(as_json: options.Json = False) -> None:
    """The strategies with their parameters and defaults."""
    rows = strategy_rows()
    if as_json:
        print_json(rows)
        return
    for row in rows:
        bound = "only while the regime names it" if row["follows_regime"] else "whatever the regime"
        console.print(f"[bold]{row['name']}[/bold]  {row['description']}")
        console.print(f"  on {', '.join(row['timeframes'])}; under auto {bound}", style="dim")
        console.print(pairs((f"  {name}", str(value)) for name, value in row["parameters"].items()))
        console.print()


def signals(
    strategy: options.Strategy = "auto",
    symbols: options.Symbols = None,
    data: options.Data = None,
    venue: options.Venue = None,
    start: options.From = None,
    end: options.To = None,
    seed: options.Seed = None,
    minutes: options.Minutes = None,
    timeframe: options.Timeframe = None,
    withheld: Annotated[bool, typer.Option("--withheld", help="also those not given, and why")] = False,
    as_json: options.Json = False,
) -> None:
    """The raw signals of a strategy on a market: what cortex says before anybody weighs it."""
    market = MarketOptions(
        *(data, start, end, symbols, venue),
        strategy=strategy,
        seed=seed,
        minutes=minutes,
        timeframe=timeframe,
    )
    settings, played = _open(market)
    scan = SignalScan(settings.cortex, played)
    with _playing("reading", played) as advance:
        rows = rows_of(asyncio.run(scan.run(advance)), withheld=withheld)
    rows = [row for row in rows if timeframe in (None, row["timeframe"])]
    if as_json:
        print_json(rows)
    else:
        console.print(_signal_table(rows))
        stderr.print(f"{len(rows)} rows", style="dim")


def _signal_table(rows: list[dict[str, Any]]) -> Table:
    table = columns("close", "symbol", "strategy", "action", ">price", ">stop", ">conf", "regime")
    for row in rows:
        confidence = row["withheld"] or f"{row['confidence']:.2f}"
        table.add_row(
            row["close_time"][2:16].replace("T", " "),
            row["symbol"],
            row["strategy"],
            row["action"].removeprefix("enter_").replace("_", " "),
            f"{row['price']:g}",
            "" if row["stop"] is None else f"{row['stop']:.6g}",
            confidence,
            row["regime"] or "",
        )
    return table


def backtest(
    strategy: options.Strategy = "auto",
    symbols: options.Symbols = None,
    data: options.Data = None,
    venue: options.Venue = None,
    start: options.From = None,
    end: options.To = None,
    mode: options.Mode = "pilot",
    seed: options.Seed = None,
    minutes: options.Minutes = None,
    as_json: options.Json = False,
) -> None:
    """Play a market through all services in this process and report what it was worth."""
    market = MarketOptions(data, start, end, symbols, venue, None, mode, strategy, seed=seed, minutes=minutes)
    settings, played = _open(market)
    with _playing("playing", played) as advance:
        done = asyncio.run(run_backtest(settings, played, advance))
    if as_json:
        print_json(done.to_json())
    else:
        _show(done)


def _open(options_: MarketOptions) -> tuple[NexusSettings, PlayedMarket]:
    _, settings, played = rehearsed(options_.environment())
    return settings, played


@contextmanager
def _playing(what: str, played: PlayedMarket) -> Iterator[Callable[[datetime], None]]:
    origin = played.start
    with progress(what, (played.end - origin).total_seconds()) as advance:

        def moved(at: datetime) -> None:
            advance((at - origin).total_seconds(), f"{at:%Y-%m-%d %H:%M}")

        yield moved


def _show(done: Backtest) -> None:
    report = done.to_json()
    trades = report.pop("trade_list")
    table = columns("opened", "symbol", "side", "strategy", "out", ">net", ">R")
    for row in trades:
        table.add_row(
            row["opened_at"][2:16].replace("T", " "),
            row["symbol"],
            row["direction"],
            row["strategy"],
            row["reason"].replace("_", " "),
            f"{row['net_profit']:.2f}",
            f"{row['r_multiple']:.2f}",
        )
    if trades:
        console.print(table)
        console.print()
    notes = report.pop("notes")
    console.print(pairs((name.replace("_", " "), _figure(value)) for name, value in report.items()))
    for note in notes:
        stderr.print(f"note: {note}", style="dim", markup=False)


def _figure(value: Any) -> str:
    match value:
        case None:
            return "undefined"
        case float():
            return f"{value:,.4f}".rstrip("0").rstrip(".")
        case _:
            return str(value)
