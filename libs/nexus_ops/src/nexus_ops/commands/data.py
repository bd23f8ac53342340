"""Verbs about market data at rest: list, check, download, import."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nexus_common.contracts.values import Timeframe, Venue
from nexus_common.runtime.errors import ConfigurationError
from nexus_common.runtime.settings import load
from nexus_data.checking import Checked, check_directory, measure
from nexus_data.data_directory import check_span
from nexus_data.findings import Verdict, counted
from nexus_data.inventory import files_in
from nexus_ops.commands import options
from nexus_ops.commands.tape import import_command
from nexus_ops.data_page import write_page
from nexus_ops.data_tables import STYLES, findings, listing, size
from nexus_ops.output import columns, console, parse_instant, print_json, progress, stderr
from nexus_ops.public_archive import import_archives

if TYPE_CHECKING:
    from nexus_ops.downloading import Downloaded, Wish

Directory = Annotated[Path, typer.Argument(metavar="DIR", help="a data directory")]
Page = Annotated[Path | None, typer.Option("--html", help="write a page with a picture of what is there")]
Symbols = Annotated[str, typer.Option("--symbols", help="instruments, by comma; a coin's name will do")]
Timeframes = Annotated[str, typer.Option("--timeframes", help="of 1m, 5m, 15m, 1h, 4h, by comma")]
First = Annotated[str, typer.Option("--from", help="first day or instant (UTC, inclusive)")]
ToDirectory = Annotated[Path, typer.Option("--to-dir", help="data directory to fill")]
Url = Annotated[str | None, typer.Option("--url", help="address to ask instead of the venue's own")]
Funding = Annotated[bool, typer.Option("--funding", help="funding rates too")]
Archives = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="FILE...", help="klines, aggTrades, trades or fundingRate, csv or zip, or folders of them"
    ),
]
Tape = Annotated[Path | None, typer.Option("--tape", help="a tape instead of files")]


def register(app: typer.Typer) -> None:
    group = typer.Typer(
        name="data", help="Market data: download, import, list and check it.", no_args_is_help=True
    )
    group.command("list")(list_data)
    group.command("check")(check)
    group.command("download")(download)
    group.command("import")(import_data)
    app.add_typer(group)


def list_data(directory: Directory, as_json: options.Json = False) -> None:
    """Every series with its venue, symbol, timeframe, span, bars, missing bars and size."""
    files = files_in(directory)
    with progress("reading", len(files)) as advance:
        reports = []
        for done, file in enumerate(files, start=1):
            reports.append(measure(file))
            advance(done, file.name)
    if as_json:
        print_json({"directory": str(directory), "files": [report.to_json() for report in reports]})
        return
    console.print(listing(reports))
    total = sum(report.file.size_bytes for report in reports)
    console.print(
        f"{counted(len(reports), 'file')}, {sum(report.rows for report in reports):,} rows, {size(total)}"
    )


def check(directory: Directory, html: Page = None, as_json: options.Json = False) -> None:
    """Gaps, duplicates, wrong order, impossible and odd figures, folds and venues that differ: exit code 1 where
    something is broken.
    """
    with progress("checking", 1) as advance:
        checked = check_directory(directory, lambda done, total, name: advance(done / total, name))
    if html is not None:
        write_page(checked, html)
        stderr.print(f"the picture is in {html}", markup=False)
    if as_json:
        print_json(checked.to_json())
    else:
        _show(checked)
    if checked.verdict is Verdict.BROKEN:
        raise typer.Exit(1)


def _show(checked: Checked) -> None:
    for line in findings(checked.reports, console.width):
        console.print(line, soft_wrap=True)
    counts = (f"[{STYLES[verdict]}]{checked.count(verdict)} {verdict}[/]" for verdict in Verdict)
    console.print(f"{counted(len(checked.reports), 'file')}: {', '.join(counts)}")


def download(
    venue: Annotated[Venue, typer.Option("--venue", help="whose public history")],
    symbols: Symbols,
    first: First,
    directory: ToDirectory,
    timeframes: Timeframes = "1m",
    last: options.To = None,
    funding: Funding = False,
    url: Url = None,
    as_json: options.Json = False,
) -> None:
    """Download public history: goes on where files end, fills their holes, keeps within the venue's limits.

    Stocks need a key (NEXUS__FEEDS__ALPACA_KEY and …SECRET). Stop it with Ctrl-C whenever you like.
    """
    from nexus_ops.downloading import Wish

    wish = Wish(
        venue,
        _words(symbols),
        _timeframes(timeframes),
        parse_instant(first),
        parse_instant(last) if last else datetime.now(UTC).replace(second=0, microsecond=0),
        directory,
        funding,
    )
    check_span(wish.first, wish.last)
    try:
        done = asyncio.run(_download(wish, url))
    except KeyboardInterrupt:
        stderr.print("stopped: what was received is written, run it again to go on")
        raise typer.Exit(130) from None
    _tell_rows(directory, done.rows, as_json=as_json)


async def _download(wish: Wish, url: str | None) -> Downloaded:
    from nexus_ops.downloading import Download, history_of

    feeds = {"alpaca_data_url": url} if url and wish.venue is Venue.ALPACA else {}
    venues = {wish.venue: {"rest_url": url}} if url else {}
    settings = load({"feeds": feeds, "venues": venues})
    history = history_of(wish, settings.feeds, settings.venues)
    began = time.monotonic()
    with progress(f"asking {wish.venue}", 1) as advance:

        def told(done: Downloaded, words: str) -> None:
            rate = done.received / max(time.monotonic() - began, 0.001)
            advance(done.asked / max(done.total, 1), f"{words}  {rate:,.0f} rows/s")

        try:
            return await Download(wish, history, told, _waits).run()
        finally:
            await history.close()


def _waits(words: str) -> None:
    stderr.print(words, style="yellow", markup=False)


def import_data(
    directory: Annotated[Path, typer.Option("--to", help="data directory to write")],
    files: Archives = None,
    tape: Tape = None,
    venue: Annotated[str, typer.Option("--venue", help="folder of the files' venue")] = "binance_um",
    as_json: options.Json = False,
) -> None:
    """Make or fill a data directory: from a tape, or from files as data.binance.vision has them."""
    if tape is not None and not files:
        import_command(tape, directory, as_json)
    elif files and tape is None:
        with progress("importing", 1) as advance:
            rows = import_archives(
                files, directory, venue, lambda done, total, name: advance(done / total, name)
            )
        _tell_rows(directory, rows, as_json=as_json)
    else:
        raise ConfigurationError("give files, or a tape with --tape: one of the two")


def _tell_rows(directory: Path, rows: dict[str, int], *, as_json: bool) -> None:
    if as_json:
        print_json({"directory": str(directory), "new_rows": rows})
        return
    table = columns("file", ">new rows")
    for name, count in rows.items():
        table.add_row(name, f"{count:,}")
    console.print(table)


def _words(text: str) -> Sequence[str]:
    return [word for word in (part.strip() for part in text.split(",")) if word]


def _timeframes(text: str) -> Sequence[Timeframe]:
    try:
        return [Timeframe(word) for word in _words(text)]
    except ValueError:
        raise ConfigurationError(f"--timeframes {text}: choose among {', '.join(Timeframe)}") from None
