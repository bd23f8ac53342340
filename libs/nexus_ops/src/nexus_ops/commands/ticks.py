"""The verb that shows prices as they come over the bus."""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Final

import orjson
import typer

from nexus_common.contracts.tick import BookTick, MarkTick, TickBatch, TradeTick
from nexus_common.contracts.values import Symbol, Venue
from nexus_common.runtime.ticks import TickReader
from nexus_market.candles import from_millis
from nexus_ops.access import DEFAULT_HOME, opened_bus
from nexus_ops.commands import options
from nexus_ops.output import print_text, stderr

SILENT_SECONDS: Final = 5.0


def register(app: typer.Typer) -> None:
    app.command("ticks")(ticks)


def ticks(
    symbols: options.Symbols = None,
    count: Annotated[int | None, typer.Option("-n", min=1, help="end after so many batches")] = None,
    home: options.Home = DEFAULT_HOME,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object a line, one line a tick")] = False,
) -> None:
    """Trades, book tops and marks of a running stack as they come; Ctrl-C ends."""
    with suppress(KeyboardInterrupt):
        asyncio.run(_follow(home, symbols, count, as_json))


async def _follow(home: Path, symbols: str | None, count: int | None, as_json: bool) -> None:
    texts = None if symbols is None else [each.strip().upper() for each in symbols.split(",")]
    names = None if texts is None else [Symbol(each) for each in texts if each]
    chosen = None if names is None else [(venue, name) for venue in Venue for name in names]
    async with opened_bus(home) as bus:
        seen = 0
        silence = asyncio.get_running_loop().call_later(SILENT_SECONDS, _tell_silence, symbols)
        async for batch in TickReader(bus, chosen):
            for line in json_lines(batch) if as_json else text_lines(batch):
                if as_json:
                    sys.stdout.write(line + "\n")
                else:
                    print_text(line)
            sys.stdout.flush()
            silence.cancel()
            seen += 1
            if seen == count:
                return


def _tell_silence(symbols: str | None) -> None:
    of = f" of {symbols}" if symbols else ""
    stderr.print(
        f"no ticks{of} yet: they come from live and simulated markets (nexus up --market) for what is followed there",
        style="yellow",
    )


def json_lines(batch: TickBatch) -> list[str]:
    place = {"venue": batch.venue, "symbol": batch.symbol, "received": batch.received}
    ticks: list[tuple[str, TradeTick | BookTick | MarkTick]] = [("trade", each) for each in batch.trades]
    if batch.book is not None:
        ticks.append(("book", batch.book))
    if batch.mark is not None:
        ticks.append(("mark", batch.mark))
    return [orjson.dumps({**place, "kind": kind, **each._asdict()}).decode() for kind, each in ticks]


def text_lines(batch: TickBatch) -> list[str]:
    """One line a tick: time, venue, instrument, then figures under one another."""
    place = f"{batch.venue:<8}{batch.symbol:<14}"
    lines = [
        f"{_time(each.at)} {place}trade {each.taker or '':<5}{each.price:>14} x {each.quantity}"
        for each in batch.trades
    ]
    if batch.book is not None:
        bid, bid_quantity, ask, ask_quantity, at = batch.book
        lines.append(f"{_time(at)} {place}book       {bid:>14} x {bid_quantity} | {ask} x {ask_quantity}")
    if batch.mark is not None:
        mark = batch.mark
        funding = "" if mark.funding_rate is None else f" funding {mark.funding_rate}"
        lines.append(f"{_time(mark.at)} {place}mark       {mark.mark_price:>14}{funding}")
    return lines


def _time(at: int) -> str:
    return f"{from_millis(at):%H:%M:%S.%f}"[:-3]
