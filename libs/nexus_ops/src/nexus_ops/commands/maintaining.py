"""Verbs that look after what can be made again: rebuild."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from nexus_common.contracts.values import Service
from nexus_ops.access import DEFAULT_HOME, opened_models
from nexus_ops.commands import options
from nexus_ops.output import console, pairs, print_json, progress
from nexus_ops.rebuilding import Rebuilt
from nexus_ops.rebuilding import rebuild as rebuild_service


def register(app: typer.Typer) -> None:
    app.command("rebuild")(rebuild)


def rebuild(
    service: Annotated[Service, typer.Argument(metavar="SERVICE", help="whose read models and snapshots")],
    home: options.Home = DEFAULT_HOME,
    as_json: options.Json = False,
) -> None:
    """Drop a service's read models and snapshots, and make them again from the events."""
    rebuilt = asyncio.run(_rebuild(home, service))
    if as_json:
        print_json(rebuilt.to_json())
        return
    console.print(pairs((name, f"{count} documents") for name, count in rebuilt.documents.items()))
    console.print(
        f"{rebuilt.streams} streams of {rebuilt.events} events folded, "
        f"{rebuilt.snapshots_dropped} snapshots dropped"
    )


async def _rebuild(home: Path, service: Service) -> Rebuilt:
    async with opened_models(home) as (store, models, url):
        with progress(f"rebuilding {service}", await store.head()) as advance:

            def moved(position: int, head: int) -> None:
                advance(position, f"rebuilding {service}, {position} of {head}")

            return await rebuild_service(service, store, models, url, moved)
