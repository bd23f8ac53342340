"""Verbs about the regime model: which there are, which is used. They ask; cortex decides."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from nexus_common.contracts.values import ModelId
from nexus_common.runtime.clock import WallClock
from nexus_common.runtime.errors import ConfigurationError, DependencyMissing, NexusError
from nexus_common.runtime.settings import load
from nexus_common.runtime.settings_sections import StoreSettings
from nexus_common.runtime.store.postgres import PostgresStore
from nexus_cortex.adapters.wish_box import Wish, WishBox, WishKind
from nexus_cortex.artefact import ArtefactRefused, check_apart, load_artefact, read_folder
from nexus_cortex.models_in_use import Files
from nexus_ops.access import DEFAULT_HOME, opened_models, opened_store, stack_word
from nexus_ops.commands import options
from nexus_ops.model_standing import known_model, model_standing, models_standing
from nexus_ops.output import columns, console, pairs, print_json, progress, stderr
from nexus_ops.recorded_models import model_state

ASK_SECONDS = 0.2
Model = Annotated[str, typer.Argument(metavar="ID", help="a model's id, or the beginning of it")]
Reason = Annotated[str, typer.Option("--reason", help="why, for the record")]
Wait = Annotated[float, typer.Option("--wait", min=0, help="seconds to wait for cortex")]


def register(app: typer.Typer) -> None:
    group = typer.Typer(
        name="models", help="The regime model: register, promote, roll back, shadow.", no_args_is_help=True
    )
    group.command("list")(list_models)
    group.command("show")(show)
    group.command("register")(register_model)
    group.command("promote")(promote)
    group.command("rollback")(roll_back)
    group.command("shadow")(shadow)
    app.add_typer(group)


def list_models(home: options.Home = DEFAULT_HOME, as_json: options.Json = False) -> None:
    """Every model with its standing, and who reads the regime of each instrument."""
    document = asyncio.run(_standing(home, None))
    if as_json:
        print_json(document)
        return
    table = columns("model", "standing", "trained from", "to", ">rows")
    for row in document["models"]:
        span = (row["trained_from"][:10], row["trained_to"][:10])
        table.add_row(row["model"], row["standing"], *span, f"{row['rows']:,}")
    console.print(table)
    console.print()
    in_use, since = document["champion_in_use"], document["champion_since"]
    facts = [("reads the regime", in_use or "the rules")]
    if document["champion_refused"] is not None:
        facts = [
            ("reads the regime", f"the rules, since {in_use} was refused: {document['champion_refused']}")
        ]
    if document["champion"] != in_use:
        facts.append(("from the next close on", document["champion"] or "the rules"))
    elif since is not None:
        facts.append(("since", _minute(since)))
    facts.append(("shadow", document["shadow"] or "nobody"))
    console.print(pairs(facts))
    _show_regimes(document["regimes"])


def show(name: Model, home: options.Home = DEFAULT_HOME, as_json: options.Json = False) -> None:
    """One model: what it was trained on, how it did, its scores, its drift, where rules are read instead."""
    document = asyncio.run(_standing(home, name))
    if as_json:
        print_json(document)
        return
    facts = [
        ("model", document["model"]),
        ("standing", document["standing"] + (f": {document['refused']}" if document["refused"] else "")),
        ("trained on", f"{document['trained_from'][:10]} to {document['trained_to'][:10]}"),
        ("rows", f"{document['rows']:,}"),
        ("instruments", ", ".join(document["instruments"])),
        ("features", f"schema {document['schema_hash'][:12]}"),
        *((name.replace("_", " "), f"{value:.4g}") for name, value in document["metrics"].items()),
    ]
    console.print(pairs(facts))
    _show_scores(document["scoreboard"])
    _show_drift(document["drift"])
    _show_regimes(document["regimes"])


def _show_scores(board: dict[str, Any] | None) -> None:
    if board is None:
        return
    table = columns("contender", "model", ">closes", ">right", ">R a close")
    for score in board["scores"]:
        right = f"{score['right'] / score['closes']:.1%}" if score["closes"] else "-"
        row = (str(score["closes"]), right, f"{score['mean_r']:+.4f}")
        table.add_row(score["contender"], score["model"] or "", *row)
    console.print(f"\nScoreboard since {_minute(board['since'])}, as of {_minute(board['at'])}")
    console.print(table)


def _show_drift(drift: dict[str, Any] | None) -> None:
    if drift is None:
        return
    console.print(f"\nDrift of the week to {drift['at'][:10]} ({drift['rows']:,} rows)")
    table = columns("feature", ">PSI", "")
    for name, value in sorted(drift["psi"].items(), key=lambda item: -item[1]):
        table.add_row(name, f"{value:.3f}", "another population" if name in drift["drifted"] else "")
    console.print(table)


def _show_regimes(regimes: list[dict[str, Any]]) -> None:
    if not regimes:
        return
    console.print()
    table = columns("instrument", "regime", "calls for", ">conf", "read by", "rules, because")
    for row in regimes:
        table.add_row(
            row["symbol"],
            row["regime"].replace("_", " "),
            row["strategy"].replace("_", " "),
            f"{row['confidence']:.2f}",
            row["model_version"],
            row["fallback"].partition(":")[0],
        )
    console.print(table)


def _minute(instant: str) -> str:
    return instant[:16].replace("T", " ")


def register_model(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="folder that `nexus train` wrote")],
    home: options.Home = DEFAULT_HOME,
    wait: Wait = 60.0,
    as_json: options.Json = False,
) -> None:
    """Bring a model into the registry: checked here, checked again by cortex, used by nobody yet."""
    _finish(asyncio.run(_register(home, *_checked(folder), wait)), as_json)


def promote(
    name: Model,
    home: options.Home = DEFAULT_HOME,
    reason: Reason = "",
    wait: Wait = 60.0,
    as_json: options.Json = False,
) -> None:
    """Let a model read the regime from the next 15m close on."""
    _finish(asyncio.run(_ask(home, WishKind.PROMOTE, name, reason, wait)), as_json)


def roll_back(
    home: options.Home = DEFAULT_HOME,
    reason: Reason = "",
    wait: Wait = 60.0,
    as_json: options.Json = False,
) -> None:
    """Go back to the champion before this one, or to the rules."""
    _finish(asyncio.run(_ask(home, WishKind.ROLL_BACK, None, reason, wait)), as_json)


def shadow(
    name: Annotated[str, typer.Argument(metavar="ID|none", help="a model, or none to end it")],
    home: options.Home = DEFAULT_HOME,
    wait: Wait = 60.0,
    as_json: options.Json = False,
) -> None:
    """Let a model predict beside the champion, without effect, and be scored once a day."""
    wanted = None if name == "none" else name
    _finish(asyncio.run(_ask(home, WishKind.SHADOW, wanted, "", wait)), as_json)


@dataclass(frozen=True, slots=True)
class Desk:
    """What a wish is asked with."""

    store: PostgresStore
    box: WishBox

    async def ask(self, kind: WishKind, model: ModelId | None, reason: str, wait: float) -> Wish:
        by = str(load().telegram.owner)
        number = await self.box.ask(kind, model, by, reason, WallClock().now())
        return await self._outcome(number, wait)

    async def _outcome(self, number: int, seconds: float) -> Wish:
        begun = time.monotonic()
        with progress("waiting for cortex's next turn", seconds) as advance:
            while True:
                wish = await self.box.get(number)
                waited = time.monotonic() - begun
                if wish is not None and (wish.outcome is not None or waited >= seconds):
                    return wish
                advance(waited)
                await asyncio.sleep(ASK_SECONDS)


@asynccontextmanager
async def _desk(home: Path) -> AsyncIterator[Desk]:
    """Raises DependencyMissing when nobody runs who could decide anything."""
    if stack_word(home) is None and (home / "postgres").exists():
        raise DependencyMissing(
            f"the stack in {home} is not running: start it with `nexus up`, then ask again"
        )
    _require_stack(home)
    async with opened_models(home) as (store, _, url):
        box = WishBox(url)
        try:
            yield Desk(store, box)
        finally:
            await box.close()


def _require_stack(home: Path) -> None:
    configured = load().store.url != StoreSettings().url
    if stack_word(home) is None and not (home / "postgres").exists() and not configured:
        raise DependencyMissing(
            f"{home} holds no run: start one with `nexus up`, name its folder with --home, or set NEXUS__STORE__URL"
        )


async def _standing(home: Path, name: str | None) -> dict[str, Any]:
    _require_stack(home)
    async with opened_store(home) as store:
        return await models_standing(store) if name is None else await model_standing(store, name)


def _checked(folder: Path) -> tuple[ModelId, Files]:
    """The model in a folder, found usable by a process of its own first."""
    if not folder.is_dir():
        raise ConfigurationError(f"{folder} is no folder: name the one that `nexus train` wrote")
    files = read_folder(folder)
    try:
        check_apart(files)
        return load_artefact(files).model, files
    except ArtefactRefused as refusal:
        raise NexusError(f"the model in {folder} cannot be used: {refusal}") from refusal


async def _register(home: Path, model: ModelId, files: Files, wait: float) -> Wish:
    async with _desk(home) as desk:
        await desk.store.keep_artefact(model, files)
        if await desk.store.artefact(model) != files:
            raise NexusError(
                f"the store holds other bytes under the name {model}: somebody changed its rows in `models`"
            )
        return await desk.ask(WishKind.REGISTER, model, "", wait)


async def _ask(home: Path, kind: WishKind, name: str | None, reason: str, wait: float) -> Wish:
    async with _desk(home) as desk:
        model = None if name is None else known_model(await model_state(desk.store), name)
        return await desk.ask(kind, model, reason, wait)


def _finish(wish: Wish, as_json: bool) -> None:
    failed = wish.outcome is not None and wish.outcome.startswith(("refused", "declined"))
    if as_json:
        print_json(
            {"wish": wish.number, "kind": str(wish.kind), "model": wish.model, "outcome": wish.outcome}
        )
    elif wish.outcome is None:
        console.print(
            f"asked as wish {wish.number}; cortex has not had a turn yet. It decides at its next one: "
            "`nexus models list` shows it then"
        )
    else:
        (stderr if failed else console).print(wish.outcome, markup=False)
    if failed:
        raise typer.Exit(1)
