"""Verbs about market data at rest: list, check, download, import."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nexus_data.checking import Checked, check_directory, measure
from nexus_data.findings import Verdict
from nexus_data.inventory import files_in
from nexus_ops.commands import options
from nexus_ops.data_page import write_page
from nexus_ops.data_tables import STYLES, findings, listing, size
from nexus_ops.output import console, print_json, progress, stderr

Directory = Annotated[Path, typer.Argument(metavar="DIR", help="a data directory")]
Page = Annotated[Path | None, typer.Option("--html", help="write a page with a picture of what is there")]


def register(app: typer.Typer) -> None:
    group = typer.Typer(
        name="data", help="Market data: download, import, list and check it.", no_args_is_help=True
    )
    group.command("list")(list_data)
    group.command("check")(check)
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
    console.print(f"{len(reports)} files, {sum(report.rows for report in reports):,} rows, {size(total)}")


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
    console.print(f"{len(checked.reports)} files: {', '.join(counts)}")
