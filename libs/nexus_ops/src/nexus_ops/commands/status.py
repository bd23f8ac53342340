"""The verb that says how a running stack stands."""

from __future__ import annotations

import asyncio
from itertools import groupby
from pathlib import Path
from typing import Any

import typer

from nexus_common.runtime.errors import NexusError
from nexus_ops.access import DEFAULT_HOME, connected, opened_bus, stack_word
from nexus_ops.commands import options
from nexus_ops.output import columns, console, pairs, print_json
from nexus_ops.standing import standing


def register(app: typer.Typer) -> None:
    app.command("status")(status)


def status(home: options.Home = DEFAULT_HOME, as_json: options.Json = False) -> None:
    """Processes, how far the market is, its feeds, lag, leases, parked messages."""
    word = stack_word(home)
    if word is None:
        raise NexusError(f"nothing runs in {home}: start it with `nexus up`, or name its folder with --home")
    document = {
        "home": str(home),
        "processes": word["processes"],
        "restarts": word["restarts"],
        **asyncio.run(_standing(home, word["addresses"]["store"])),
    }
    if as_json:
        print_json(document)
    else:
        _show(document)


async def _standing(home: Path, url: str) -> dict[str, Any]:
    async with connected(url) as store, opened_bus(home) as bus:
        return await standing(store, url, bus)


def _show(document: dict[str, Any]) -> None:
    table = columns("process", ">pid", ">restarts")
    for name, pid in document["processes"].items():
        table.add_row(name, str(pid or "-"), str(document["restarts"].get(name, 0)))
    console.print(table)
    console.print()
    facts = [
        ("schema revision", str(document["schema_revision"])),
        ("head", str(document["head"])),
        ("last step", str(document["last_step"] or "none yet")),
        ("parked messages", str(document["parked"])),
        ("regime read by", _readers(document["regime"])),
        *((f"read models of {name}", f"{each['behind']} behind") for name, each in _items(document)),
    ]
    console.print(pairs(facts))
    console.print()
    console.print(_feeds(document["feeds"]))
    console.print()
    lags = columns("consumer", ">sources", ">events behind", ">most on one")
    for consumer, lag in document["inbox_lag"].items():
        lags.add_row(consumer, str(lag["sources"]), str(lag["events"]), str(lag["most"]))
    console.print(lags)
    console.print()
    console.print(_leases(document["leases"]))


def _readers(regime: dict[str, Any]) -> str:
    """Who reads how many instruments' regimes, and why rules do beside a model."""
    readers = ", ".join(f"{name} ({count})" for name, count in sorted(regime["read_by"].items()))
    reasons = ", ".join(f"{count} for {name}" for name, count in sorted(regime["fallbacks"].items()))
    return (readers or "nobody yet") + (f"; rules instead of the model: {reasons}" if reasons else "")


def _feeds(feeds: dict[str, dict[str, Any]]) -> Any:
    table = columns("feed", "state", ">series", "last candle", ">age", ">gaps", ">corrected", ">refused")
    for venue, each in feeds.items():
        age, silent = each["age_seconds"], len(each["silent"])
        table.add_row(
            venue,
            each["state"] + (f", {silent} silent" if silent else ""),
            str(each["series"]),
            "-" if each["last_candle"] is None else f"{each['last_candle'][:16]}Z".replace("T", " "),
            "-" if age is None else f"{age:.0f} s",
            str(each["gaps"]),
            str(each["corrections"]),
            str(sum(each["refused_frames"].values())),
        )
    return table


def _items(document: dict[str, Any]) -> list[tuple[str, dict[str, int]]]:
    return list(document["read_models"].items())


def _leases(leases: list[dict[str, Any]]) -> Any:
    """Leases of one service and holder share a line."""
    table = columns("lease", "holder", ">epoch")
    rows = [
        (each["partition"].partition("/"), each["holder"] if each["held"] else "nobody", each["epoch"])
        for each in leases
    ]
    rows.sort(key=lambda row: (row[0][0], row[1], row[2], int(row[0][2])))
    for (service, holder, epoch), shared in groupby(rows, key=lambda row: (row[0][0], row[1], row[2])):
        partitions = [row[0][2] for row in shared]
        name = partitions[0] if len(partitions) == 1 else f"{len(partitions)} partitions"
        table.add_row(f"{service} {name}", holder, str(epoch))
    return table
