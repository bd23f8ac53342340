"""The verb that decides a record again with other settings: whatif."""

from __future__ import annotations

import asyncio
import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

import typer

from nexus_ops.access import DEFAULT_HOME, opened_store
from nexus_ops.commands import options
from nexus_ops.composition import cortex_reactor, settings_of_home
from nexus_ops.layout import folded
from nexus_ops.output import (
    columns,
    console,
    parse_instant,
    print_json,
    print_text,
    progress,
    stderr,
)
from nexus_ops.whatif import what_if
from nexus_ops.whatif_report import Fate, Span, WhatIf
from nexus_ops.whatif_settings import CORTEX, RISK, Changes, read_changes

# Which option of `backtest` says what a run was started with.
_PLAYED: Final = {
    "NEXUS__INGEST__DATA_DIR": "--data",
    "NEXUS__INGEST__START": "--from",
    "NEXUS__INGEST__END": "--to",
    "NEXUS__INGEST__SYMBOLS": "--symbols",
    "NEXUS__INGEST__SEED": "--seed",
    "NEXUS__INGEST__MINUTES": "--minutes",
    "NEXUS__TELEGRAM__MODE": "--mode",
    "NEXUS__CORTEX__STRATEGY": "--strategy",
}
# What has no option there, and changes what is played.
_PLAYED_BY_NAME: Final = (
    "NEXUS__INGEST__SOURCES",
    "NEXUS__INGEST__ACCOUNT_VENUE",
    "NEXUS__CORTEX__TIMEFRAMES",
    "NEXUS__TELEGRAM__SCRIPT",
)


def register(app: typer.Typer) -> None:
    app.command("whatif")(whatif)


def whatif(
    changed: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="NAME=VALUE", help="such as shield.risk_fraction=0.005 or cortex.strategy=trend"
        ),
    ] = None,
    start: options.From = None,
    end: options.To = None,
    home: options.Home = DEFAULT_HOME,
    as_json: options.Json = False,
) -> None:
    """Decide a record again with other settings: how many decisions differ, and the first that does."""
    before = settings_of_home(home)
    changes = read_changes(changed or [], before)
    after = changes.settings(before)
    cortex_reactor(after)  # refuses what cortex cannot be, before anything is read
    span = Span(*(None if text is None else parse_instant(text) for text in (start, end)))
    found = asyncio.run(_compared(home, changes, span))
    played = backtest_of(home, changes)
    if as_json:
        print_json({**found.to_json(), "backtest": played})
    else:
        _show(found, played)


async def _compared(home: Path, changes: Changes, span: Span) -> WhatIf:
    after = changes.settings(settings_of_home(home))
    async with opened_store(home) as store:
        with progress("deciding again", None) as advance:
            done = 0

            def count(more: int) -> None:
                nonlocal done
                done += more
                advance(done, f"deciding again, {done} commands")

            return await what_if(store, changes, lambda: cortex_reactor(after), span, count)


def backtest_of(home: Path, changes: Changes) -> str | None:
    """The command that plays the same market with the changes; None: the market was not a played one."""
    word = home / "market.json"
    if not word.exists():
        return None
    started: Mapping[str, str] = json.loads(word.read_text())
    changed = _environment(changes)
    options = {option: started[key] for key, option in _PLAYED.items() if key in started}
    if (strategy := changed.pop("NEXUS__CORTEX__STRATEGY", None)) is not None:
        options["--strategy"] = strategy  # the option would win over the variable
    variables = {key: started[key] for key in _PLAYED_BY_NAME if key in started} | changed
    return shlex.join(
        [
            *(f"{key}={value}" for key, value in variables.items()),
            *("nexus", "backtest"),
            *(part for option in options.items() for part in option),
        ]
    )


def _environment(changes: Changes) -> dict[str, str]:
    found = {f"NEXUS__SHIELD__RISK__{name.upper()}": str(value) for name, value in changes.risk.items()}
    if changes.cortex is not None:
        named = {text.partition("=")[0].strip().removeprefix(CORTEX).split(".")[0] for text in changes.asked}
        values = changes.cortex.model_dump(mode="json", include=named)
        found |= {
            f"NEXUS__CORTEX__{name.upper()}": value if isinstance(value, str) else json.dumps(value)
            for name, value in values.items()
        }
    return found


def _show(found: WhatIf, played: str | None) -> None:
    console.print("with " + ", ".join(f"[bold]{text}[/bold]" for text in found.asked), soft_wrap=True)
    console.print()
    if any(text.startswith(CORTEX) for text in found.asked):
        _show_signals(found)
    _show_verdicts(found)
    _show_checks(found)
    if found.trips_recorded or found.trips_now or any(text.startswith(RISK) for text in found.asked):
        console.print(
            f"the circuit breaker opened {len(found.trips_recorded)} times on record, {len(found.trips_now)} now"
        )
    _show_divergence(found)
    _show_limits(found, played)


def _show_signals(found: WhatIf) -> None:
    table = columns("strategy", ">same", ">other plan", ">only recorded", ">only now")
    for name, row in found.strategies().items():
        table.add_row(name, *(str(count) for count in row))
    console.print(table)
    console.print()


def _show_verdicts(found: WhatIf) -> None:
    table = columns("account", *(f">{fate}" for fate in Fate))
    for account, counts in found.accounts().items():
        table.add_row(account, *(str(counts[fate]) for fate in Fate))
    console.print(table)
    console.print()


def _show_checks(found: WhatIf) -> None:
    checks = found.checks()
    if not checks:
        return
    table = columns("check that failed", ">recorded", ">now")
    for name, (recorded, now) in checks.items():
        table.add_row(name, str(recorded), str(now))
    console.print(table)
    console.print()


def _show_divergence(found: WhatIf) -> None:
    first = found.divergence()
    if first is None:
        console.print("not one decision would differ", style="green")
        return
    console.print("first difference", style="yellow")
    for text in (
        f"{first.at:%Y-%m-%d %H:%M}  {first.what}",
        f"recorded  {first.recorded}",
        f"now       {first.now}",
    ):
        print_text(folded(text))


def _show_limits(found: WhatIf, played: str | None) -> None:
    notes = [*found.kept]
    if found.unjudged:
        notes.append(f"{found.unjudged} signals are new: shield was never asked about them")
    if found.divergence() is not None:
        notes.append(
            "these are decisions on the recorded course: from the first difference on, fills, positions and equity "
            "would have gone another way" + ("" if played is None else ", which a backtest plays:")
        )
    for note in notes:
        stderr.print(f"note: {note}", style="dim", markup=False)
    if played is not None and found.divergence() is not None:
        stderr.print(f"  {played}", style="dim", markup=False, soft_wrap=True)
