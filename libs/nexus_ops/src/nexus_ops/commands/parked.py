"""Verbs about messages that a consumer could not read and put aside."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer

from nexus_common.runtime.bus.transport import Parked
from nexus_common.runtime.errors import ConfigurationError
from nexus_ops.access import DEFAULT_HOME, opened_bus
from nexus_ops.commands import options
from nexus_ops.output import console, pairs, print_json

BEGINNING = 200


def register(events: typer.Typer) -> None:
    events.command("parked")(parked)
    events.command("release")(release)


def parked(home: options.Home = DEFAULT_HOME, as_json: options.Json = False) -> None:
    """Messages that a consumer put aside, oldest first, each with its reason."""
    rows = [_row(each) for each in asyncio.run(_parked(home))]
    if as_json:
        print_json(rows)
        return
    if not rows:
        console.print("nothing is parked")
    for number, row in enumerate(rows):
        if number:
            console.print()
        console.print(pairs((name, str(value)) for name, value in row.items()))


def _row(each: Parked) -> dict[str, Any]:
    return {
        "sequence": each.sequence,
        "consumer": each.durable,
        "subject": each.subject,
        "reason": each.reason,
        "bytes": len(each.data),
        "beginning": each.data[:BEGINNING].decode(errors="replace"),
    }


async def _parked(home: Path) -> list[Parked]:
    async with opened_bus(home) as bus:
        return list(await bus.parked())


def release(
    sequence: Annotated[int, typer.Argument(metavar="SEQ", help="as `nexus events parked` lists it")],
    home: options.Home = DEFAULT_HOME,
    as_json: options.Json = False,
) -> None:
    """Publish a parked message again where it came from."""
    asyncio.run(_release(home, sequence))
    if as_json:
        print_json({"released": sequence})
    else:
        console.print(f"message {sequence} is on its way again")


async def _release(home: Path, sequence: int) -> None:
    async with opened_bus(home) as bus:
        try:
            await bus.release(sequence)
        except LookupError as error:
            raise ConfigurationError(f"{error.args[0]}: `nexus events parked` lists what is") from error
