"""Reading what people write: symbols, percentages, figures, times. Pure; raises Refusal with a helpful sentence."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from difflib import get_close_matches
from enum import StrEnum
from typing import TypeVar

from nexus_common.contracts.session import AccountSpec
from nexus_common.contracts.values import Symbol, Venue
from nexus_telegram.commands.command import Ask, Refusal

ChoiceT = TypeVar("ChoiceT", bound=StrEnum)
_SYMBOL = re.compile(r"[A-Z0-9.]{1,20}")
_DURATION = re.compile(r"(\d{1,5})([mhd])")
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}


def nearest(word: str, known: Iterable[str]) -> str:
    """`; did you mean …?`, or nothing."""
    near = get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else ""


def choice(word: str, kind: type[ChoiceT], what: str) -> ChoiceT:
    try:
        return kind(word.lower())
    except ValueError as error:
        names = [str(each) for each in kind]
        raise Refusal(
            f"{word!r} is not a {what}{nearest(word.lower(), names) or '; there are ' + ', '.join(names)}"
        ) from error


def decimal(word: str, what: str) -> Decimal:
    try:
        number = Decimal(word.replace(",", ""))
    except InvalidOperation as error:
        raise Refusal(f"{word!r} is not a figure for {what}") from error
    if not number.is_finite():
        raise Refusal(f"{word!r} is not a figure for {what}")
    return number


def fraction(word: str, what: str) -> Decimal:
    """`5%` as 0.05; a bare figure could mean either and is refused."""
    if not word.endswith("%"):
        raise Refusal(f"{what} is a percentage such as 5%, not {word!r}")
    number = decimal(word[:-1], what) / 100
    if not 0 < number < 1:
        raise Refusal(f"{what} lies between 0 % and 100 %, not at {word}")
    return number


def leverage(word: str) -> int:
    digits = word.lower().strip("x")
    if not digits.isdecimal() or int(digits) < 1:
        raise Refusal(f"leverage is a whole number from 1, such as 3x, not {word!r}")
    return int(digits)


def duration(word: str) -> timedelta | None:
    """`30m`, `2h`, `1d`; None for anything else."""
    found = _DURATION.fullmatch(word.lower())
    return None if found is None else int(found[1]) * _UNITS[found[2]]


def moment(word: str) -> datetime | None:
    """An ISO time, UTC unless it says otherwise; None for anything else."""
    try:
        read = datetime.fromisoformat(word)
    except ValueError:
        return None
    return read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)


def market(word: str, ask: Ask, venue: str | None = None) -> tuple[AccountSpec, Symbol]:
    """The account to trade with and its venue's symbol for what was written: BTC, btcusdt, PEPE, AAPL."""
    name = word.upper().replace("/", "").replace("-", "")
    if not _SYMBOL.fullmatch(name):
        raise Refusal(f"{word!r} is not a symbol")
    accounts = _at(ask.session.accounts, venue)
    for account in accounts:
        listed = ask.view.instruments.get(account.venue)
        for candidate in _spellings(name, account):
            if listed is None or candidate in listed:
                return account, candidate
    known = sorted(
        {str(symbol) for account in accounts for symbol in ask.view.instruments.get(account.venue, ())}
    )
    raise Refusal(
        f"{word!r} is not traded on your accounts{nearest(name, known) or nearest(f'{name}USDT', known)}"
    )


def _at(accounts: tuple[AccountSpec, ...], venue: str | None) -> tuple[AccountSpec, ...]:
    if venue is None:
        found = accounts
    else:
        wanted = choice(venue, Venue, "venue")
        found = tuple(account for account in accounts if account.venue is wanted)
    if not found:
        raise Refusal("you have no account" if venue is None else f"you have no account at {venue}")
    return found


def _spellings(name: str, account: AccountSpec) -> list[Symbol]:
    """How a venue may list it; cheap coins trade a thousand at a time."""
    if not account.venue.is_crypto:
        return [] if name.endswith((account.currency, "USDT")) else [Symbol(name)]
    base = name.removesuffix(account.currency)
    return [Symbol(f"{base}{account.currency}"), Symbol(f"1000{base}{account.currency}")] if base else []
