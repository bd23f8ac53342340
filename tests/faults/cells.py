"""A cell of the fault matrix: one trade of one fresh account, and what goes wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from contract.settings import ROWS, VenueRow
from faults.mortal import Point
from nexus_common.contracts.values import Direction, Symbol

# Nothing but asking finds out that a stream says nothing or left something out; asked every minute.
ASKED_SECONDS: Final = 70.0


class Path(StrEnum):
    """What the market does after half a minute of calm."""

    FALL = "fall"
    RISE = "rise"
    LEAVE = "leave"  # nothing; the owner closes
    AMBER = "amber"  # nothing; trails are tightened, later the owner closes


class Weather(StrEnum):
    """What is the same for all that trade in a market at the same time."""

    FAIR = ""
    THIN = "thin"  # a bar's volume fills 37 % of an order
    CLOCK_BACK_1 = "clock -1 s"
    CLOCK_AHEAD_1 = "clock +1 s"
    CLOCK_BACK_600 = "clock -10 min"
    CLOCK_AHEAD_600 = "clock +10 min"
    CLOCK_BACK_3600 = "clock -1 h"
    CLOCK_AHEAD_3600 = "clock +1 h"

    @property
    def offset(self) -> float:
        """Seconds by which the venue's clock goes wrong for a while."""
        return _OFFSETS.get(self, 0.0)


_OFFSETS = {
    Weather.CLOCK_BACK_1: -1.0,
    Weather.CLOCK_AHEAD_1: 1.0,
    Weather.CLOCK_BACK_600: -600.0,
    Weather.CLOCK_AHEAD_600: 600.0,
    Weather.CLOCK_BACK_3600: -3600.0,
    Weather.CLOCK_AHEAD_3600: 3600.0,
}


@dataclass(frozen=True, slots=True)
class Deed:
    """Something a person or the venue does to the account before turn `turn` of the play."""

    turn: int
    method: str
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Cell:
    """`fault` names the column of the table. `naked_seconds`: how long a position may stand without a stop."""

    venue: str
    target: str
    fault: str
    variant: str
    path: Path
    direction: Direction
    symbol: Symbol
    rules: tuple[Mapping[str, Any], ...] = ()
    deeds: tuple[Deed, ...] = ()
    point: Point | None = None
    leg: str = "entry"
    skip: int = 0
    weather: Weather = Weather.FAIR
    naked_seconds: float = 7.0

    @property
    def name(self) -> str:
        side = "long" if self.direction is Direction.LONG else "short"
        parts = (self.venue, self.target, self.fault, self.variant, side, self.symbol, self.path)
        return "/".join(part for part in parts if part).replace(" ", "_")

    @property
    def is_silent(self) -> bool:
        """Whether only asking finds out about it."""
        return self.naked_seconds >= ASKED_SECONDS

    @property
    def row(self) -> VenueRow:
        return ROWS[self.venue]


# Price and quantity at which a position is split into its three legs everywhere.
TERMS: Final[Mapping[Symbol, tuple[Decimal, Decimal]]] = MappingProxyType(
    {
        Symbol(symbol): (Decimal(price), Decimal(quantity))
        for symbol, price, quantity in (
            ("SOLUSDT", "100", "2"),
            ("BTCUSDT", "60000", "0.04"),
            ("1000SHIBUSDT", "0.025", "8000"),
            ("NVDA", "100", "8"),
            ("SPY", "500", "4"),
        )
    }
)
