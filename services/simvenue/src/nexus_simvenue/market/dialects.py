"""At which addresses the market side answers, whose market each tells, and in which words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from nexus_common.contracts.values import Venue
from nexus_simvenue.market.alpaca import AlpacaMarket
from nexus_simvenue.market.binance import BinanceMarket
from nexus_simvenue.market.bybit import BybitMarket
from nexus_simvenue.market.dialect import MarketDialect
from nexus_simvenue.market.polygon import PolygonMarket


class MarketAddress(NamedTuple):
    """What is told at an address is what happens at `venue`."""

    venue: Venue
    make: Callable[[], MarketDialect]


# Names of the addresses document. A venue's own name is the address of its accounts, too.
MARKETS: Final[Mapping[str, MarketAddress]] = MappingProxyType(
    {
        "binance": MarketAddress(Venue.BINANCE, BinanceMarket),
        "bybit": MarketAddress(Venue.BYBIT, BybitMarket),
        "alpaca": MarketAddress(Venue.ALPACA, AlpacaMarket),
        "polygon": MarketAddress(Venue.ALPACA, PolygonMarket),
    }
)
# Services that say how the whole market stands; both are answered by `macro.MacroVenue`.
MACRO: Final = ("coinmarketcap", "fear_greed")
# Accounts' and markets' addresses, each once.
ADDRESSES: Final = tuple(dict.fromkeys((*map(str, Venue), *MARKETS, *MACRO)))
