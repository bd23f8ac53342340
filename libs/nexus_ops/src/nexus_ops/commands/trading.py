"""The verb that plays a market through all services: backtest."""

from __future__ import annotations

import asyncio
from typing import Any

import typer

from nexus_ops.backtest import Backtest, run_backtest
from nexus_ops.commands import options
from nexus_ops.commands.playing import opened_market, playing
from nexus_ops.market_options import MarketOptions
from nexus_ops.output import columns, console, pairs, print_json, stderr


def register(app: typer.Typer) -> None:
    app.command("backtest")(backtest)


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
    settings, played = opened_market(market)
    with playing("playing", played) as advance:
        done = asyncio.run(run_backtest(settings, played, advance))
    if as_json:
        print_json(done.to_json())
    else:
        _show(done)


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
