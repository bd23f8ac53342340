"""What an endpoint is: who may ask it, what it reads, what it costs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from nexus_common.contracts.instrument import Instrument
from nexus_market.exchange import Exchange
from nexus_market.exchange.account import Account
from nexus_simvenue.binance.books import Book, Books, settled
from nexus_simvenue.binance.errors import Wrong
from nexus_simvenue.binance.parameters import Params, millis
from nexus_simvenue.binance.sheets import Sheet
from nexus_simvenue.wire.dialect import Visibility

_UNFILLED_KEPT: Final = timedelta(days=3)
_KEPT: Final = timedelta(days=90)


class Security(StrEnum):
    NONE = "none"
    KEY = "key"  # API key, no signature
    SIGNED = "signed"
    TRADE = "trade"  # signed, by a key that may trade


@dataclass(frozen=True, slots=True)
class Asked:
    """One admitted request. `account` is the key's owner; empty where none is needed."""

    params: Params
    account: str
    now: datetime
    peer: str


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`weight` counts for the address; `whole_weight` instead of it when no symbol is named."""

    answer: Callable[[Asked], Any]
    security: Security
    weight: int
    reads: tuple[str, ...] = ()
    whole_weight: int | None = None
    is_order: bool = False


@dataclass(frozen=True, slots=True)
class Floor:
    """What all endpoints work on."""

    exchange: Exchange
    books: Books
    visibility: Visibility

    def account(self, asked: Asked) -> Account:
        return self.exchange.account(asked.account)

    def book(self, asked: Asked) -> Book:
        return self.books.book(asked.account)

    def instrument(self, symbol: str) -> Instrument:
        return next(i for i in self.exchange.instruments if i.symbol == symbol)

    def visible(self, sheet: Sheet, now: datetime) -> bool:
        """Whether queries find it: not hidden, and not so old that it is gone."""
        if not self.visibility.sees(sheet.order, now):
            return False
        age = millis(now) - sheet.created
        kept = _UNFILLED_KEPT if settled(sheet) else _KEPT
        return sheet.is_open or age <= kept / timedelta(milliseconds=1)

    def sheets(self, asked: Asked) -> list[Sheet]:
        """All orders of the account that queries find, by age."""
        return [s for s in self.book(asked).sheets.values() if self.visible(s, asked.now)]

    def find(
        self, asked: Asked, id_name: str, client_name: str, code: int, algo: bool, hidden: bool = False
    ) -> Sheet:
        """The newest order of an id; raises Wrong with the code for one that is not there."""
        number = asked.params.integer(id_name)
        client = asked.params.text(client_name)
        if number is None and client is None:
            raise Wrong(-1102, id_name, text=_either(client_name, id_name))
        symbol = asked.params.text("symbol")
        for sheet in reversed(self.book(asked).sheets.values()):
            named = (
                (sheet.algo_id if algo else sheet.order_id) == number if number else sheet.client_id == client
            )
            fits = sheet.algo if algo else sheet.in_matching
            if named and fits and symbol in (None, sheet.order.symbol):
                if hidden or self.visible(sheet, asked.now):
                    return sheet
                break
        raise Wrong(code)


def _either(first: str, second: str) -> str:
    return f"Param '{first}' or '{second}' must be sent, but both were empty/null!"
