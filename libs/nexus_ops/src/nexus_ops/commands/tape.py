"""Verbs about the tape: what is on it, whether it was changed, what follows from it, a data directory of it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from nexus_common.contracts.feed import TapeDropped, TapeSealed
from nexus_common.runtime.errors import ConfigurationError
from nexus_data.tape import Tape
from nexus_ops.access import DEFAULT_HOME, opened_store
from nexus_ops.commands import options
from nexus_ops.composition import settings_of_home
from nexus_ops.decisions import events_of
from nexus_ops.output import columns, console, print_json, progress, stderr
from nexus_ops.tape_import import Imported, import_tape
from nexus_ops.tape_replay import Outcome, replay_tape

TapeFolder = Annotated[Path, typer.Option("--tape", help="folder of the tape")]
Folder = Annotated[
    Path | None, typer.Argument(metavar="DIR", help="folder of the tape; absent: the configured one")
]


def register(app: typer.Typer) -> None:
    tape = typer.Typer(help="Recorded frames and ticks of live markets.", no_args_is_help=True)
    tape.command("list")(list_segments)
    tape.command("check")(check)
    app.add_typer(tape, name="tape")


def list_segments(
    folder: Folder = None, home: options.Home = DEFAULT_HOME, as_json: options.Json = False
) -> None:
    """The sealed files of a tape, oldest first: rows, size, bytes a row."""
    files = _tape(_folder(folder, home)).sealed()
    rows = [
        {"name": each.name, "rows": each.rows, "bytes": each.size_bytes, "began": each.began.isoformat()}
        for each in files
    ]
    if as_json:
        print_json(rows)
        return
    table = columns("segment", ">rows", ">KiB", ">bytes a row")
    for file in files:
        count, size = file.rows, file.size_bytes
        shown = ("unreadable", "-") if count is None else (f"{count:,}", f"{size / max(count, 1):.1f}")
        table.add_row(file.name, shown[0], f"{size / 1024:,.0f}", shown[1])
    console.print(table)
    if not files:
        console.print("nothing is sealed yet: the first segment is under way", style="dim")


def check(folder: Folder = None, home: options.Home = DEFAULT_HOME, as_json: options.Json = False) -> None:
    """Compare the files of a tape with the hashes that the store has of them."""
    tape = Tape(_folder(folder, home))
    noted = asyncio.run(_noted(home))
    findings, untold = tape.check(noted), [file.name for file in tape.untold(noted)]
    if as_json:
        found = [{"name": each.name, "problem": each.problem} for each in findings]
        print_json({"noted": len(noted), "untold": untold, "findings": found})
    else:
        console.print(f"{len(noted)} hashes compared with their files")
        if untold:
            console.print(
                f"{len(untold)} newer files have no event yet: the next start tells of them", style="dim"
            )
        for finding in findings:
            stderr.print(str(finding), style="red", markup=False)
        if not findings:
            console.print("nothing was changed", style="green")
    if findings:
        raise typer.Exit(1)


async def _noted(home: Path) -> dict[str, str]:
    """The hashes of all files that are to be there, by name."""
    noted: dict[str, str] = {}
    async with opened_store(home) as store:
        async for recorded in events_of(store, ["feed"]):
            match recorded.event:
                case TapeSealed(name=name, sha256=sha256):
                    noted[name] = sha256
                case TapeDropped(name=name):
                    noted.pop(name, None)
    return noted


def replay_from_tape(folder: Path, service: str, home: Path, *, verify: bool, as_json: bool) -> None:
    """Decode a tape again, watch the market again, and compare with the record."""
    if service != "ingest":
        raise ConfigurationError(f"a tape holds what ingest heard, not {service}: leave --service out")
    outcome = asyncio.run(_replay(_tape(folder), home))
    if as_json:
        print_json(outcome.to_json())
    else:
        _show_replay(outcome)
    if verify and not outcome.equal:
        raise typer.Exit(1)


async def _replay(tape: Tape, home: Path) -> Outcome:
    async with opened_store(home) as store:
        with progress("replaying", None) as advance:
            return await replay_tape(
                tape, store, lambda count, at: advance(count, f"{at:%Y-%m-%d %H:%M}, {count} inputs")
            )


def _show_replay(outcome: Outcome) -> None:
    console.print(
        f"{outcome.inputs} inputs of {outcome.runs} runs watched again, {outcome.frames} frames among them; "
        f"{outcome.events} events compared, {outcome.candles} candles in them"
    )
    if outcome.since is not None:
        console.print(
            f"taken up at {outcome.since:%Y-%m-%d %H:%M:%S}, where a segment has the state of the watch: "
            f"the {outcome.skipped} inputs before belong to a run whose beginning was dropped",
            style="dim",
        )
    if outcome.one_sided:
        console.print(f"{outcome.one_sided} events at the end of runs are on one side only", style="dim")
    if outcome.divergence is None:
        console.print("what follows from the tape equals the record", style="green")
    else:
        stderr.print(f"the tape differs: {outcome.divergence.what}", style="red", markup=False)


def import_command(
    tape: TapeFolder,
    to: Annotated[Path, typer.Option("--to", help="data directory to write")],
    as_json: options.Json = False,
) -> None:
    """Make a data directory of a tape: closed candles with their corrections, funding, ticks."""
    with progress("importing", None) as advance:
        imported = import_tape(
            _tape(tape), to, lambda count, at: advance(count, f"{at:%Y-%m-%d %H:%M}, {count} inputs")
        )
    if as_json:
        print_json(
            {"to": str(to), "corrected": imported.corrected, "files": imported.files, "holes": imported.holes}
        )
    else:
        _show_import(imported)


def _show_import(imported: Imported) -> None:
    table = columns("file", ">rows")
    for name, rows in imported.files.items():
        table.add_row(name, f"{rows:,}")
    console.print(table)
    if imported.corrected:
        console.print(f"{imported.corrected} bars as they were corrected later", style="dim")
    for hole in imported.holes:
        stderr.print(hole, style="yellow", markup=False)


def _tape(folder: Path) -> Tape:
    """Raises ConfigurationError where there is nothing to read."""
    tape = Tape(folder)
    if tape.is_empty:
        raise ConfigurationError(
            f"{folder} holds no segment of a tape: is it the folder that feeds.tape_dir names?"
        )
    return tape


def _folder(folder: Path | None, home: Path) -> Path:
    if folder is not None:
        return folder
    configured = settings_of_home(home).feeds.tape_dir
    if configured is None:
        raise ConfigurationError("no tape is configured: give its folder, or set NEXUS__FEEDS__TAPE_DIR")
    return configured
