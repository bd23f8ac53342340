"""Verbs about accounts at their venues: ledger, doctor."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from nexus_common.contracts.session import AccountSpec
from nexus_common.contracts.values import AccountId, format_decimal
from nexus_common.runtime.errors import ConfigurationError, DependencyMissing, NexusError
from nexus_common.runtime.following import Follower
from nexus_common.runtime.projection import ReadModels
from nexus_common.runtime.settings import NexusSettings
from nexus_common.runtime.store.postgres import PostgresStore
from nexus_common.runtime.store.schema import ledger as ledger_table
from nexus_executor.credentials import VARIABLE
from nexus_executor.projections import read_models
from nexus_executor.venues.broker import VenueDown
from nexus_executor.venues.facts import StatementRow
from nexus_ops.access import DEFAULT_HOME, opened_models, opened_store, stack_word
from nexus_ops.book import AccountBook, Grouping, books_of, grouped
from nexus_ops.commands import options
from nexus_ops.doctor import Finding, Outcome, examine
from nexus_ops.examining import examined, machine
from nexus_ops.output import columns, console, print_json, stderr
from nexus_ops.statement import compare, exchange_statement
from nexus_ops.venue_accounts import (
    accounts_on_record,
    native_broker,
    profiles_on_record,
    settings_of_stack,
)
from nexus_telegram.bootstrap import owners_session


def register(app: typer.Typer) -> None:
    app.command("ledger")(ledger)
    app.command("doctor")(doctor)


def ledger(
    account: Annotated[str | None, typer.Option(help="one account; absent: all")] = None,
    by: Annotated[Grouping | None, typer.Option(help="break the figures down")] = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="compare with the venue's own statement; exit code 1 where they differ"),
    ] = False,
    home: options.Home = DEFAULT_HOME,
    as_json: options.Json = False,
) -> None:
    """Fills, fees, funding and realised profit of each account, from our own fills."""
    books, problems = asyncio.run(_ledger(home, account, check))
    document = [_account(book, by) for book in books]
    if as_json:
        checked = {"checked": check, "differences": problems} if check else {}
        print_json({"accounts": document, **checked})
    else:
        _show(document, by)
        for problem in problems:
            stderr.print(problem, style="red", markup=False)
        if check and not problems:
            console.print("the ledger equals the venue's statement", style="green")
    if problems:
        raise typer.Exit(1)


async def _ledger(home: Path, account: str | None, check: bool) -> tuple[list[AccountBook], list[str]]:
    async with opened_models(home) as (store, models, _):
        books = await read_books(store, models)
        chosen = [book for name, book in sorted(books.items()) if account in (None, name)]
        if not chosen and account is not None:
            known = ", ".join(sorted(books)) or "none"
            raise ConfigurationError(f"there is no account {account}: there is {known}")
        problems: list[str] = []
        if check:
            settings, specs = settings_of_stack(home), await accounts_on_record(store)
            if all(specs[book.account].paper for book in chosen) and stack_word(home) is None:
                raise DependencyMissing(
                    f"the stack in {home} is not running, so no exchange can state its paper accounts: "
                    "start it with `nexus up`"
                )
            for book in chosen:
                rows = await venue_statement(settings, specs[book.account], book)
                problems.extend(compare(book, rows))
    return chosen, problems


async def read_books(store: PostgresStore, models: ReadModels) -> dict[AccountId, AccountBook]:
    """The books as of now; what the executor has not yet put into its read model is put there first."""
    await Follower(read_models(), store, models).catch_up()
    return books_of(await models.history(ledger_table))


async def venue_statement(
    settings: NexusSettings, account: AccountSpec, book: AccountBook
) -> list[StatementRow]:
    """What the venue states of an account since it was opened.

    Raises:
        NexusError: the venue does not answer.
    """
    if account.paper and settings.exchange.protocol == "exchange":
        return (await exchange_statement(settings.exchange.url)).get(account.account, [])
    async with native_broker(settings, account) as broker:
        try:
            return list(await broker.statement(book.opened_at))
        except VenueDown as error:
            raise NexusError(f"{account.venue} gives no statement of {account.account}: {error}") from error


def _account(book: AccountBook, by: Grouping | None) -> dict[str, Any]:
    groups = grouped(book, by)
    return {
        "account": book.account,
        "venue": str(book.venue),
        "currency": book.currency,
        "opening": format_decimal(book.opening),
        "wallet": format_decimal(book.wallet),
        "unexplained": format_decimal(book.unexplained),
        "groups": [{**({} if by is None else {str(by): name}), **f.to_json()} for name, f in groups.items()],
    }


def _show(accounts: list[dict[str, Any]], by: Grouping | None) -> None:
    figures = ("fills", "realised", "fees", "funding", "net")
    for each in accounts:
        console.print(
            f"[bold]{each['account']}[/bold]  {_cents(each['wallet'])} {each['currency']}, "
            f"opened with {_cents(each['opening'])}"
        )
        table = columns(str(by or "account"), *(f">{name}" for name in figures))
        for group in each["groups"]:
            name = group[str(by)] if by is not None else "all"
            table.add_row(name, str(group["fills"]), *(_coloured(name, group[name]) for name in figures[1:]))
        console.print(table)
        console.print()


def _cents(amount: str) -> str:
    return f"{float(amount):,.2f}"


def _coloured(name: str, amount: str) -> str:
    if name != "net" or not float(amount):
        return _cents(amount)
    return f"[{'green' if float(amount) > 0 else 'red'}]{_cents(amount)}[/]"


def doctor(home: options.Home = DEFAULT_HOME, as_json: options.Json = False) -> None:
    """Keys, permissions, clock, modes, and what stands at the venue, for every account; changes nothing."""
    found = asyncio.run(_doctor(home))
    failed = any(each.outcome is Outcome.FAIL for findings in found.values() for each in findings)
    if as_json:
        print_json({"healthy": not failed, "accounts": _findings(found)})
    else:
        _show_findings(found)
    if failed:
        raise typer.Exit(1)


async def _doctor(home: Path) -> dict[str, list[Finding]]:
    settings = settings_of_stack(home)
    async with AsyncExitStack() as closing:
        store = None
        if stack_word(home) is not None:
            store = await closing.enter_async_context(opened_store(home))
        specs = {} if store is None else await accounts_on_record(store)
        specs |= {spec.account: spec for spec in owners_session(settings).accounts if not spec.paper}
        if not specs and store is not None:
            raise DependencyMissing(
                f"the stack in {home} has not opened an account yet: ask again in a moment"
            )
        if not specs:
            raise DependencyMissing(
                f"nothing runs in {home}, and no live account is set up: start `nexus up --protocol native`, or "
                f"name venues in NEXUS__TELEGRAM__LIVE_VENUES and the file with their keys in {VARIABLE}"
            )
        if store is None and settings.executor.credentials_file is None:
            raise ConfigurationError(
                f"there are no keys of {', '.join(sorted(specs))}: name the file that holds them in {VARIABLE}"
            )
        profiles = {} if store is None else await profiles_on_record(store)
        found = {"this machine": machine(home)}
        for name, spec in sorted(specs.items()):
            profile = profiles.get(name, settings.telegram.profile)
            found[name] = examine(await examined(settings, spec, profile, store))
        return found


def _findings(found: dict[str, list[Finding]]) -> dict[str, Any]:
    return {
        name: [
            {"check": each.check, "outcome": str(each.outcome), "detail": each.detail} for each in findings
        ]
        for name, findings in found.items()
    }


_COLOURS = {Outcome.OK: "green", Outcome.WARN: "yellow", Outcome.FAIL: "bold red", Outcome.UNSAID: "dim"}


def _show_findings(found: dict[str, list[Finding]]) -> None:
    width = max(len(each.check) for findings in found.values() for each in findings)
    for name, findings in found.items():
        console.print(f"[bold]{escape(name)}[/bold]")
        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
        table.add_column(width=width, no_wrap=True)
        table.add_column(width=4, no_wrap=True)
        table.add_column(overflow="fold")
        for each in findings:
            colour = _COLOURS[each.outcome]
            table.add_row(each.check, f"[{colour}]{each.outcome}[/]", escape(each.detail))
        console.print(table)
        console.print()
