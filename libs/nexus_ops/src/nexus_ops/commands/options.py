"""Options that several verbs share, so that each is worded once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="one JSON document on stdout and nothing else")]
Home = Annotated[Path, typer.Option("--home", help="folder of the stack's data")]
Data = Annotated[
    Path | None, typer.Option("--data", help="directory of a recorded market; absent: a generated one")
]
From = Annotated[str | None, typer.Option("--from", help="first day or instant (UTC, inclusive)")]
To = Annotated[str | None, typer.Option("--to", help="last day or instant (UTC, exclusive)")]
Symbols = Annotated[str | None, typer.Option("--symbols", help="instruments, by comma")]
Venue = Annotated[str | None, typer.Option("--venue", help="recorded venue to prefer, such as binance_um")]
Protocol = Annotated[
    str | None,
    typer.Option(
        "--protocol",
        help="how accounts reach the exchange: its own protocol (exchange) or their venue's (native)",
    ),
]
AccountVenue = Annotated[
    str | None, typer.Option("--account-venue", help="play crypto as another venue's: binance or bybit")
]
Mode = Annotated[str | None, typer.Option("--mode", help="watcher, copilot or pilot")]
Timeframe = Annotated[
    str | None, typer.Option("--timeframe", help="let strategies run on 5m, 15m, 1h or 4h, where they can")
]
Strategy = Annotated[str | None, typer.Option("--strategy", help="a strategy's name, or auto")]
Script = Annotated[Path | None, typer.Option("--script", help="file of timed commands")]
Seed = Annotated[int | None, typer.Option("--seed", help="what a generated market is drawn from")]
Minutes = Annotated[int | None, typer.Option("--minutes", help="length of a generated market")]
