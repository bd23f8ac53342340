"""What commands print: one JSON document on stdout with `--json`, text otherwise; progress goes to stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import orjson
from rich.console import Console, JustifyMethod
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from nexus_common.runtime.errors import ConfigurationError

console = Console(highlight=False)
stderr = Console(stderr=True, highlight=False)


def print_json(document: Any) -> None:
    sys.stdout.write(orjson.dumps(document, option=orjson.OPT_INDENT_2, default=str).decode() + "\n")
    sys.stdout.flush()


def print_text(text: str) -> None:
    """Text that is laid out already: its words are not searched for markup, its lines not broken again."""
    console.print(text, markup=False, soft_wrap=True)


def columns(*headings: str) -> Table:
    """A plain table that fits 80 columns; a heading with `>` before it stands over figures, set to the right.

    Where room is short words are folded, figures and the first column are not.
    """
    table = Table(box=None, padding=(0, 1, 0, 0))
    for index, heading in enumerate(headings):
        is_figure = heading.startswith(">")
        justify: JustifyMethod = "right" if is_figure else "left"
        whole = index == 0 or is_figure
        table.add_column(heading.removeprefix(">"), justify=justify, no_wrap=whole, overflow="fold")
    return table


def pairs(rows: Iterable[tuple[str, str]]) -> Table:
    """Names and values under one another; a value too long for its line is folded."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, value)
    return table


@contextmanager
def progress(what: str, total: float | None) -> Iterator[Any]:
    """A bar on stderr, only where somebody looks at it; yields a function to call with what is done so far."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=stderr, transient=True, disable=not stderr.is_terminal) as bar:
        task = bar.add_task(what, total=total)

        def advance(done: float, text: str | None = None) -> None:
            bar.update(task, completed=done, description=text or what)

        yield advance


def parse_instant(text: str) -> datetime:
    """A day or an instant in UTC: `2021-05-17`, `2021-05-17T11:30`, `2021-05-17 11:30:00`, `…Z`.

    Raises ConfigurationError with the text and the forms that are understood.
    """
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError as error:
        raise ConfigurationError(
            f"{text!r} is no time: write 2021-05-17 or 2021-05-17T11:30 (UTC)"
        ) from error
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
