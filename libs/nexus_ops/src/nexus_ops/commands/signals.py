"""Verbs about what strategies say: strategies, signals."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.table import Table

from nexus_common.contracts.signal import SignalEvent, SignalRaised
from nexus_common.contracts.values import Symbol
from nexus_common.runtime.errors import ConfigurationError
from nexus_common.runtime.settings import load
from nexus_common.runtime.settings_sections import CortexSettings
from nexus_cortex.domain.strategies import AUTO, STRATEGIES
from nexus_cortex.handlers import table_of
from nexus_data.data_directory import DataDirectory
from nexus_data.playback import PlayedMarket
from nexus_ops.chart_window import first_of_each, windows_of
from nexus_ops.commands import options
from nexus_ops.commands.playing import opened_market, playing
from nexus_ops.market_options import MarketOptions
from nexus_ops.output import columns, console, print_json, print_text, progress, stderr
from nexus_ops.signal_counts import Count, count_signals, grounds, totals
from nexus_ops.signals import SignalScan, rows_of
from nexus_ops.strategy_table import strategy_lines, strategy_rows

Charts = Annotated[
    Path | None,
    typer.Option("--chart", metavar="DIR", help="draw the first signals of each strategy into DIR"),
]


def register(app: typer.Typer) -> None:
    app.command("strategies")(strategies)
    app.command("signals")(signals)


_WARM_UP: Final = (
    "note: a strategy says nothing before the 150th candle of its timeframe, and with EMA200 (grid, shark) before the "
    "600th: 25 days of 1h; what is recorded before --from counts"
)


def strategies(as_json: options.Json = False) -> None:
    """The strategies with their timeframes, parameters and defaults, and when the regime calls for them."""
    if as_json:
        print_json(strategy_rows())
        return
    for number, row in enumerate(strategy_rows()):
        if number:
            console.print()
        console.print(f"[bold]{row['name']}[/bold]")
        print_text("\n".join(strategy_lines(row)))


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
    count: Annotated[
        bool, typer.Option("--count", help="counts over all that --data has, each strategy by itself")
    ] = False,
    chart: Charts = None,
    first: Annotated[int, typer.Option(min=1, help="with --chart: how many signals of each strategy")] = 3,
    as_json: options.Json = False,
) -> None:
    """The raw signals of a strategy on a market: what cortex says before anybody weighs it."""
    if count:
        _counted(strategy or AUTO, symbols, data, venue, as_json=as_json)
        return
    market = MarketOptions(
        *(data, start, end, symbols, venue),
        strategy=strategy,
        seed=seed,
        minutes=minutes,
        timeframe=timeframe,
    )
    settings, played = opened_market(market)
    with playing("reading", played) as advance:
        events = asyncio.run(SignalScan(settings.cortex, played).run(advance))
    rows = [row for row in rows_of(events, withheld=withheld) if timeframe in (None, row["timeframe"])]
    drawn = [] if chart is None else _drawn(chart, played, events, first, settings.cortex)
    if as_json:
        print_json(rows)
        return
    console.print(_signal_table(rows, withheld=withheld))
    stderr.print(f"{len(rows)} rows", style="dim")
    if not rows:
        stderr.print(_WARM_UP, style="dim", markup=False)
    for path in drawn:
        stderr.print(f"drawn: {path}", style="dim", soft_wrap=True)


def _signal_table(rows: Iterable[dict[str, Any]], *, withheld: bool) -> Table:
    headings = ("close", "symbol", "strategy", "action", ">price", ">stop", ">conf", "regime")
    table = columns(*headings, *(("withheld by",) if withheld else ()))
    day = ""
    for row in rows:
        if row["close_time"][:10] != day:
            day = row["close_time"][:10]
            table.add_row(day[2:], style="dim")
        figures = (
            row["close_time"][11:16],
            row["symbol"],
            _said(row["strategy"]),
            _said(row["action"].removeprefix("enter_")),
            f"{row['price']:.7g}",
            "" if row["stop"] is None else f"{row['stop']:.7g}",
            "" if row["confidence"] is None else f"{row['confidence']:.2f}",
            _said(row["regime"] or ""),
        )
        table.add_row(*figures, *((_said(row["withheld"] or ""),) if withheld else ()))
    return table


def _said(name: str) -> str:
    """A name in words, which fold better."""
    return name.replace("_", " ")


def _drawn(
    folder: Path, market: PlayedMarket, events: Sequence[SignalEvent], count: int, settings: CortexSettings
) -> list[Path]:
    """One picture for each strategy that entered."""
    from nexus_ops.charts import draw  # matplotlib takes its time

    table = table_of(settings.parameters, settings.timeframes)
    raised = (event for event in events if isinstance(event, SignalRaised))
    windows = windows_of(market, first_of_each(raised, count), table)
    paths = []
    for name in table:
        of_strategy = [window for window in windows if window.strategy.name == name]
        if of_strategy:
            paths.append(folder / f"{name}.png")
            draw(paths[-1], of_strategy)
    return paths


def _counted(
    strategy: str, symbols: str | None, data: Path | None, venue: str | None, *, as_json: bool
) -> None:
    if data is None:
        raise ConfigurationError("--count counts over a data directory: name it with --data")
    settings = load().cortex
    names = list(STRATEGIES) if strategy == AUTO else [strategy]
    table_of(settings.parameters, settings.timeframes)
    chosen = None if symbols is None else [Symbol(each.strip().upper()) for each in symbols.split(",")]
    directory = DataDirectory(data)
    found, unlisted = grounds(directory, venue, chosen)
    with progress("counting", len(found) * len(names)) as advance:
        counts = asyncio.run(count_signals(directory, found, names, settings, advance))
    if as_json:
        print_json({"counts": [each.to_json() for each in counts], "not_listed": unlisted})
        return
    console.print(_count_table(counts))
    console.print()
    console.print(_count_table(totals(counts)))
    if unlisted:
        stderr.print(f"left out, as no venue lists them: {', '.join(unlisted)}", style="dim", markup=False)


def _count_table(counts: Iterable[Count]) -> Table:
    table = columns("venue", "symbol", "strategy", ">long", ">short", ">ladders", ">exits", ">withheld")
    for each in counts:
        row = each.to_json()
        exits = row["exit_long"] + row["exit_short"] + row["close_grid"]
        figures = (row["enter_long"], row["enter_short"], row["open_grid"], exits, each.withheld.total())
        table.add_row(each.venue, each.symbol, each.strategy, *(f"{figure:,}" for figure in figures))
    return table
