"""Which venues' own protocols the simulated exchange speaks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from nexus_common.contracts.values import Venue
from nexus_market.exchange import Exchange
from nexus_simvenue.alpaca import AlpacaDialect
from nexus_simvenue.binance import BinanceDialect
from nexus_simvenue.bybit import BybitDialect
from nexus_simvenue.wire.dialect import Dialect, Visibility

DIALECTS: Final[Mapping[Venue, Callable[[Exchange, Visibility], Dialect]]] = MappingProxyType(
    {
        Venue.ALPACA: AlpacaDialect,
        Venue.BINANCE: BinanceDialect,
        Venue.BYBIT: BybitDialect,
    }
)
