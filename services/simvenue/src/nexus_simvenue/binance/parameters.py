"""What may be sent with a request: names, types, and that nothing else comes along."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Final
from urllib.parse import parse_qsl

from nexus_common.contracts.values import Side
from nexus_simvenue.binance.errors import Wrong
from nexus_simvenue.wire.http import HttpRequest

SIGNED: Final = ("timestamp", "recvWindow", "signature")
_CLIENT_ID: Final = re.compile(r"^[\.A-Z\:/a-z0-9_-]{1,36}$")
_DECIMAL: Final = re.compile(r"^-?\d{1,16}(\.\d{1,16})?$")
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def millis(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Params:
    """The fields of one request; everything that is read is known, everything else was refused before."""

    fields: Mapping[str, str]
    symbols: frozenset[str] = field(default_factory=frozenset)

    def __contains__(self, name: str) -> bool:
        return name in self.fields

    def text(self, name: str) -> str | None:
        return self.fields.get(name)

    def needed(self, name: str) -> str:
        value = self.fields.get(name)
        if not value:
            raise Wrong(-1102, name)
        return value

    def forbid(self, names: Iterable[str]) -> None:
        """Raises Wrong (-1106) for a parameter that does not go with the others."""
        for name in names:
            if name in self.fields:
                raise Wrong(-1106, name)

    def symbol(self) -> str:
        symbol = self.needed("symbol")
        if symbol not in self.symbols:
            raise Wrong(-1121)
        return symbol

    def symbol_if_given(self) -> str | None:
        return self.symbol() if "symbol" in self.fields else None

    def side(self) -> Side:
        side = self.needed("side")
        if side not in ("BUY", "SELL"):
            raise Wrong(-1117)
        return Side(side.lower())

    def number(self, name: str) -> Decimal:
        """A mandatory amount: plain digits, at most 16 decimals."""
        value = self.needed(name)
        if not _DECIMAL.match(value):
            raise Wrong(-1130, name) if _is_number(value) else Wrong(-1102, name)
        return Decimal(value)

    def flag(self, name: str) -> bool:
        value = self.fields.get(name, "false")
        if value.lower() not in ("true", "false"):
            raise Wrong(-1130, name)
        return value.lower() == "true"

    def integer(self, name: str, lowest: int = 0, highest: int = 2**63) -> int | None:
        value = self.fields.get(name)
        if value is None:
            return None
        if not re.fullmatch(r"\d{1,19}", value):
            raise Wrong(-1100, name)
        if not lowest <= int(value) <= highest:
            raise Wrong(-1130, name)
        return int(value)

    def one_of(self, name: str, allowed: Iterable[str], default: str, code: int) -> str:
        value = self.fields.get(name, default)
        if value not in allowed:
            raise Wrong(code, name)
        return value

    def client_id(self, name: str, default: str) -> str:
        value = self.fields.get(name, default)
        if len(value) > 36:
            raise Wrong(-4015, text="Client order id length should not be more than 36 chars")
        if not _CLIENT_ID.match(value):
            raise Wrong(-4015)
        return value

    def span(self, days: int, now: datetime) -> tuple[int, int]:
        """startTime and endTime in ms, at most so many days apart; the last so many when not given."""
        start, end = self.integer("startTime"), self.integer("endTime")
        width = days * 86_400_000
        if start is None and end is None:
            return millis(now) - width, millis(now)
        start = (end or 0) - width if start is None else start
        end = start + width if end is None else end
        if start > end:
            raise Wrong(-1023)
        if end - start > width:
            raise Wrong(-4165, text="Invalid time interval.")
        return start, end


def _is_number(value: str) -> bool:
    try:
        Decimal(value)
    except InvalidOperation:
        return False
    return True


def sent(request: HttpRequest) -> dict[str, str]:
    """All parameters, of query and body; raises Wrong for duplicates and empty ones."""
    found: dict[str, str] = {}
    for name, value in [
        *parse_qsl(request.query, keep_blank_values=True),
        *parse_qsl(request.body, keep_blank_values=True),
    ]:
        if name in found:
            raise Wrong(-1101)
        if value == "":
            raise Wrong(-1105, name)
        found[name] = value
    return found


def only(fields: Mapping[str, str], allowed: Iterable[str]) -> None:
    """Raises Wrong (-1104) for a parameter that this endpoint does not read."""
    known = frozenset(allowed)
    read = [name for name in fields if name in known]
    if len(read) != len(fields):
        raise Wrong(-1104, len(read), len(fields))


def signed_text(request: HttpRequest) -> str:
    """What the signature covers: query and body as they were sent, without the signature itself."""
    parts = (re.sub(r"(^|&)signature=[^&]*", "", text) for text in (request.query, request.body))
    return "".join(part.lstrip("&") for part in parts)
