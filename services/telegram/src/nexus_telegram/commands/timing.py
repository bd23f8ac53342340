"""Later: /remind, /alert, /tasks, /cancel. The scheduler keeps the tasks and reads the cron lines."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final

from nexus_common.contracts.schedule import TaskKind
from nexus_common.contracts.session import RequestTask, RequestTaskCancel
from nexus_telegram.commands.command import Answer, Ask, Refusal, to_session
from nexus_telegram.commands.words import decimal, duration, market, moment, nearest
from nexus_telegram.render import answers
from nexus_telegram.render.figures import clock, figure

CRON_FIELDS: Final = 5
_CRON_FIELD = re.compile(r"[0-9A-Za-z*/,\-]+")
_ALERT = re.compile(r"\s*(?P<symbol>[^\s<>]+)\s*(?P<sign>[<>])=?\s*(?P<price>\S+)\s*")


def remind(ask: Ask) -> Answer:
    cron, due, rest = _when(ask)
    text = " ".join(rest)
    if not text:
        raise Refusal("what shall you be reminded of?")
    command = RequestTask(ask.user, TaskKind.REMINDER, text, cron, due, None, None, None, ask.at)
    shown = f"by {cron!r} UTC" if cron else f"at {clock(due)}"
    return to_session(ask, command, f"Asked the scheduler: {text}, {shown}.")


def _when(ask: Ask) -> tuple[str | None, datetime | None, tuple[str, ...]]:
    """A cron line, or the one time; and the words that follow it."""
    words = ask.words
    if not words:
        raise Refusal("when? A cron line (0 8 * * 1-5), a time (2021-05-19T12:00) or a while (30m, 2h, 1d)")
    wait = duration(words[0])
    once = ask.at + wait if wait is not None else moment(words[0])
    if once is not None:
        if once <= ask.at:
            raise Refusal(f"{clock(once)} is past")
        return None, once, words[1:]
    if words[0].startswith("@"):
        return words[0].lower(), None, words[1:]
    fields = words[:CRON_FIELDS]
    if len(fields) < CRON_FIELDS or not all(_CRON_FIELD.fullmatch(field) for field in fields):
        raise Refusal("a cron line has five fields: minute, hour, day, month, weekday, such as 0 8 * * 1-5")
    return " ".join(fields), None, words[CRON_FIELDS:]


def alert(ask: Ask) -> Answer:
    found = _ALERT.fullmatch(" ".join(ask.words))
    if found is None:
        raise Refusal("an alert is a symbol, > or <, and a price")
    _, symbol = market(found["symbol"], ask)
    price = decimal(found["price"], "the price")
    if price <= 0:
        raise Refusal("a price is above 0")
    above = found["sign"] == ">"
    text = f"{symbol} {'above' if above else 'below'} {figure(price)}"
    command = RequestTask(ask.user, TaskKind.PRICE_ALERT, text, None, None, symbol, price, above, ask.at)
    return to_session(ask, command, f"Asked the scheduler: tell when {text}.")


def tasks(ask: Ask) -> Answer:
    return Answer(answers.tasks(ask.view.tasks.get(ask.user, {})))


def cancel(ask: Ask) -> Answer:
    if len(ask.words) != 1:
        raise Refusal("name one task; /tasks lists them")
    task, known = ask.words[0].lower(), ask.view.tasks.get(ask.user, {})
    if task not in known:
        raise Refusal(f"you have no task {task!r}{nearest(task, known) or '; /tasks lists them'}")
    return to_session(
        ask, RequestTaskCancel(ask.user, task, ask.at), f"Asked the scheduler to cancel {task}."
    )
