"""How long nobody can have anything to do, so that a backtest may leave instants out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from math import inf
from types import MappingProxyType
from typing import Final

from nexus_common.contracts.values import Symbol, Venue

Band = tuple[float, float]
Bands = Mapping[tuple[Venue, Symbol], Band]
ANY_PRICE: Final[Band] = (0.0, inf)


@dataclass(frozen=True, slots=True)
class Quiet:
    """A service has nothing to do before `until` while each bar's low and high lie strictly inside its band.

    An instrument without a band may stand anywhere. Waking too early does no harm: the turn then taken
    decides nothing. Floats order prices as their decimals do, so a strict comparison with a rounded edge
    never lets a bar pass that reached it.
    """

    until: datetime | None = None
    bands: Bands = field(default_factory=lambda: MappingProxyType({}))

    def joined(self, other: Quiet) -> Quiet:
        """As long as both are quiet."""
        times = [each for each in (self.until, other.until) if each is not None]
        bands = dict(self.bands)
        for key, band in other.bands.items():
            bands[key] = narrower(bands.get(key, ANY_PRICE), band)
        return Quiet(min(times, default=None), bands)


def narrower(one: Band, other: Band) -> Band:
    return max(one[0], other[0]), min(one[1], other[1])


def above(price: Decimal) -> Band:
    """Prices that have not come down to this one."""
    return float(price), inf


def below(price: Decimal) -> Band:
    """Prices that have not risen to this one."""
    return 0.0, float(price)
