"""Verbs about the record: events, replay, verify."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated
from uuid import UUID

import orjson
import typer

from nexus_common.contracts.envelope import Recorded
from nexus_common.contracts.message import Event
from nexus_common.runtime.errors import ConfigurationError
from nexus_common.runtime.store.export import export_line
from nexus_common.runtime.store.export import verify as verify_store
from nexus_common.runtime.store.verify_chain import Verifier
from nexus_ops.access import DEFAULT_HOME, opened_store
from nexus_ops.commands import options, parked, tape
from nexus_ops.composition import cortex_reactor, settings_of_home
from nexus_ops.decisions import decisions_hash
from nexus_ops.output import console, print_json, progress, stderr
from nexus_ops.replay import Outcome, replay

PAGE = 2_000


def register(app: typer.Typer) -> None:
    events = typer.Typer(help="The store, as JSON lines.", no_args_is_help=True)
    events.command("tail")(tail)
    events.command("export")(export)
    events.command("show")(show)
    parked.register(events)
    app.add_typer(events, name="events")
    app.command("replay")(replay_command)
    app.command("verify")(verify)


def tail(
    count: Annotated[int, typer.Option("-n", help="how many")] = 20,
    category: Annotated[str | None, typer.Option(help="only of one category, such as order")] = None,
    home: options.Home = DEFAULT_HOME,
) -> None:
    """The last events, oldest first, a JSON object a line."""
    for recorded in asyncio.run(_tail(home, count, category)):
        sys.stdout.write(_line(recorded) + "\n")


async def _tail(home: Path, count: int, category: str | None) -> list[Recorded[Event]]:
    async with opened_store(home) as store:
        if category is not None:
            return list(await store.latest(category, count))
        head = await store.head()
        found: list[Recorded[Event]] = []
        reach = count
        while len(found) < count and reach <= 2 * head + count:
            found = list(await store.read_categories((), max(0, head - reach), limit=reach))
            reach *= 2
        return found[-count:]


def _line(recorded: Recorded[Event]) -> str:
    body = orjson.loads(recorded.body)
    return orjson.dumps({"global_position": recorded.global_position, **body}).decode()


def export(
    to: Annotated[Path | None, typer.Argument(help="file to write; absent: standard output")] = None,
    home: options.Home = DEFAULT_HOME,
) -> None:
    """The whole store with its hashes, for `tools/verify_chain.py` and for keeping."""
    written = asyncio.run(_export(home, to))
    stderr.print(f"{written} events exported", style="dim")


async def _export(home: Path, to: Path | None) -> int:
    count, after = 0, 0
    out = sys.stdout if to is None else to.open("w")
    try:
        async with opened_store(home) as store:
            head = await store.head()
            with progress("exporting", head) as advance:
                while page := await store.read_raw(after, PAGE):
                    out.writelines(export_line(stored) + "\n" for stored in page)
                    count += len(page)
                    after = page[-1].position
                    advance(after)
    finally:
        if to is not None:
            out.close()
    return count


def show(
    event_id: Annotated[str, typer.Argument(metavar="ID")],
    home: options.Home = DEFAULT_HOME,
) -> None:
    """One event with the command that led to it."""
    print_json(asyncio.run(_show(home, event_id)))


async def _show(home: Path, event_id: str) -> dict[str, object]:
    try:
        wanted = UUID(event_id)
    except ValueError as error:
        raise ConfigurationError(f"{event_id!r} is no event id: `nexus events tail` lists some") from error
    async with opened_store(home) as store:
        recorded = await store.find(wanted)
        if recorded is None:
            raise ConfigurationError(f"no event has the id {event_id}")
        command = await store.command_behind(wanted)
        return {
            "global_position": recorded.global_position,
            "recorded_at": recorded.recorded_at,
            "fingerprint": recorded.fingerprint,
            "content_hash": recorded.content_hash.hex(),
            "chain_hash": recorded.chain_hash.hex(),
            "event": orjson.loads(recorded.body),
            "command": None if command is None else orjson.loads(command.body),
        }


def replay_command(
    verify: Annotated[bool, typer.Option("--verify", help="exit with 1 where the replay differs")] = False,
    folder: Annotated[
        Path | None, typer.Option("--tape", help="replay the raw frames of this tape instead")
    ] = None,
    service: Annotated[str, typer.Option(help="with --tape: ingest, whose tape it is")] = "ingest",
    home: options.Home = DEFAULT_HOME,
    as_json: options.Json = False,
) -> None:
    """Decide the whole record again and compare it hash by hash."""
    if folder is not None:
        tape.replay_from_tape(folder, service, home, verify=verify, as_json=as_json)
        return
    outcome, total = asyncio.run(_replay(home))
    document = {
        "events": outcome.events,
        "commands": outcome.commands,
        "candles": outcome.candles,
        "replay_equal": outcome.equal,
        "first_divergence": None if outcome.divergence is None else outcome.divergence.to_json(),
        "decisions_hash": total,
    }
    if as_json:
        print_json(document)
    else:
        console.print(
            f"{outcome.commands} commands and {outcome.candles} candles decided again, "
            f"{outcome.events} events compared; decisions {total[:16]}"
        )
        if outcome.divergence is None:
            console.print("the replay equals the record", style="green")
        else:
            stderr.print(f"the replay differs: {outcome.divergence.describe()}", style="red", markup=False)
    if verify and not outcome.equal:
        raise typer.Exit(1)


async def _replay(home: Path) -> tuple[Outcome, str]:
    settings = settings_of_home(home)
    async with opened_store(home) as store:
        with progress("replaying", None) as advance:
            done = 0

            def count(more: int) -> None:
                nonlocal done
                done += more
                advance(done, f"replaying, {done} commands")

            outcome = await replay(store, cortex_reactor(settings), count)
        return outcome, await decisions_hash(store)


def verify(home: options.Home = DEFAULT_HOME, as_json: options.Json = False) -> None:
    """Check every hash, every stream's chain, and the recorded heads."""
    verifier = asyncio.run(_verify(home))
    if as_json:
        print_json(verifier.summary())
    else:
        checked = verifier.summary()
        console.print(
            f"{checked['events']} events in {checked['streams']} streams checked against "
            f"{checked['heads_checked']} recorded heads"
        )
        for finding in verifier.findings:
            stderr.print(str(finding), style="red", markup=False)
        if not verifier.findings:
            console.print("nothing was changed", style="green")
    if verifier.findings:
        raise typer.Exit(1)


async def _verify(home: Path) -> Verifier:
    async with opened_store(home) as store:
        head = await store.head()
        with progress("verifying", head) as advance:
            return await verify_store(store, advance)
