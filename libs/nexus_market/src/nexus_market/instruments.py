"""What an instrument allows: rounding to its grid, its minimums, and the names people use for it.

The built-in registry holds the venues' figures as published by their own metadata (Binance USDT-M
exchangeInfo, Bybit V5 instruments-info); a running system replaces it by what the venue lists.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple

from nexus_common.contracts.instrument import Group, Instrument, InstrumentKind
from nexus_common.contracts.values import Direction, Symbol, Venue

_ZERO = Decimal(0)


class Toward(StrEnum):
    UP = "up"
    DOWN = "down"
    NEAREST = "nearest"


def floor_quantity(quantity: Decimal, instrument: Instrument) -> Decimal:
    """The largest quantity on the instrument's grid that is not above `quantity`; 0 below one step."""
    if quantity <= 0:
        return _ZERO
    return quantity // instrument.step_size * instrument.step_size


def round_price(price: Decimal, instrument: Instrument, toward: Toward = Toward.NEAREST) -> Decimal:
    """The price on the instrument's grid, at least one tick; exactly between two ticks goes up."""
    tick = instrument.tick_size
    ticks = price // tick
    rest = price - ticks * tick
    if rest > 0 and (toward is Toward.UP or (toward is Toward.NEAREST and rest * 2 >= tick)):
        ticks += 1
    return max(ticks, Decimal(1)) * tick


def round_stop(price: Decimal, instrument: Instrument, direction: Direction) -> Decimal:
    """The stop of a position on the grid, never further from the entry than asked."""
    return round_price(price, instrument, Toward.UP if direction is Direction.LONG else Toward.DOWN)


def round_target(price: Decimal, instrument: Instrument, direction: Direction) -> Decimal:
    """The target of a position on the grid, never harder to reach than asked."""
    return round_price(price, instrument, Toward.DOWN if direction is Direction.LONG else Toward.UP)


def notional(quantity: Decimal, price: Decimal) -> Decimal:
    """Value in quote currency; quantities and prices are both those of the contract."""
    return quantity * price


def on_step(quantity: Decimal, instrument: Instrument) -> bool:
    return quantity % instrument.step_size == 0


def on_tick(price: Decimal, instrument: Instrument) -> bool:
    return price % instrument.tick_size == 0


def refusal(
    instrument: Instrument, quantity: Decimal, price: Decimal, *, reduce_only: bool = False
) -> str | None:
    """Why the venue would refuse this quantity at this price; None when it fits its filters."""
    if not on_step(quantity, instrument):
        return f"quantity {quantity} is not a multiple of {instrument.step_size} {instrument.symbol}"
    if quantity < instrument.min_quantity:
        return f"quantity {quantity} is below the minimum of {instrument.min_quantity} {instrument.symbol}"
    value = notional(quantity, price)
    if value < instrument.min_notional and not reduce_only:
        return f"notional {value} is below the minimum of {instrument.min_notional} {instrument.quote}"
    return None


class Resolved(NamedTuple):
    """An instrument found by a name, and how many of its contracts one unit of that name is."""

    instrument: Instrument
    contracts_per_unit: Decimal

    def quantity(self, units: Decimal) -> Decimal:
        """Units of the name (coins) as a contract quantity on the grid."""
        return floor_quantity(units * self.contracts_per_unit, self.instrument)


def resolve(name: str, instruments: Iterable[Instrument]) -> Resolved | None:
    """Find the instrument people mean: `pepe`, `PEPE/USDT`, `BTC/USDT:USDT`, `1000PEPE`, `SHIB1000USDT`, `AAPL`.

    A coin's own name (PEPE) counts single coins, so its quantity is divided by the contract's multiplier;
    a contract's name (1000PEPE) counts contracts and goes before a coin's. Of several contracts of one coin its
    name means the one with the smallest multiplier. None when nothing fits.
    """
    wanted = _letters(name.partition(":")[0])
    of_coin = []
    for instrument in instruments:
        if wanted in _contract_names(instrument):
            return Resolved(instrument, Decimal(1))
        if wanted in (instrument.base, instrument.base + instrument.quote):
            of_coin.append(instrument)
    if not of_coin:
        return None
    smallest = min(of_coin, key=lambda each: each.multiplier)
    return Resolved(smallest, 1 / Decimal(smallest.multiplier))


def _letters(name: str) -> str:
    """Letters and digits in capitals: what is left when people's separators are gone."""
    return "".join(letter for letter in name.upper() if letter.isalnum())


def _contract_names(instrument: Instrument) -> tuple[str, ...]:
    symbol, base, quote = instrument.symbol, instrument.base, instrument.quote
    if instrument.kind is InstrumentKind.STOCK:
        return (_letters(symbol),)
    if instrument.multiplier == 1:
        return symbol, base, base + quote
    times = str(instrument.multiplier)
    spelled = venue_spelling(instrument)
    return symbol, spelled, times + base, times + base + quote, base + times, base + times + quote


# How venues write a multiplied contract where it is not the multiplier before the coin.
_OWN_SPELLINGS: Final[Mapping[tuple[Venue, str], tuple[str, int]]] = MappingProxyType(
    {
        (Venue.BYBIT, "SHIB"): ("SHIB1000", 1_000),
        (Venue.BINANCE, "BABYDOGE"): ("1MBABYDOGE", 1_000_000),
    }
)
_MULTIPLIED: Final = re.compile(r"(?P<times>10{3,})(?P<coin>[A-Z].*)")


def venue_spelling(instrument: Instrument) -> str:
    """The symbol as the venue writes it; ours is the same on all venues."""
    own = _OWN_SPELLINGS.get((instrument.venue, instrument.base))
    if own is not None and own[1] == instrument.multiplier:
        return own[0] + instrument.quote
    return instrument.symbol


def coin_and_multiplier(venue: Venue, base: str) -> tuple[str, int]:
    """The coin behind a venue's base asset, and how many of it one contract is: `1000PEPE` is 1000 PEPE.

    A coin whose own name begins with a digit (1INCH) is itself.
    """
    for (of_venue, coin), (spelled, times) in _OWN_SPELLINGS.items():
        if of_venue is venue and spelled == base:
            return coin, times
    match = _MULTIPLIED.fullmatch(base)
    return (match["coin"], int(match["times"])) if match else (base, 1)


def by_symbol(instruments: Iterable[Instrument]) -> dict[Symbol, Instrument]:
    return {instrument.symbol: instrument for instrument in instruments}


def group_of(base: str, kind: InstrumentKind) -> Group:
    """The group of a coin or stock by its own name; one that nobody has placed is in none of the coins' groups."""
    unknown = Group.STOCKS if kind is InstrumentKind.STOCK else Group.OTHER
    return _GROUPS.get((kind, base), unknown)


# base, group, tick, step, smallest notional, highest leverage, maintenance margin
_Perpetual = tuple[str, Group, str, str, int, int, str]
_BINANCE: Final[tuple[_Perpetual, ...]] = (
    ("BTC", Group.MAJOR, "0.1", "0.001", 100, 125, "0.004"),
    ("ETH", Group.MAJOR, "0.01", "0.001", 20, 100, "0.005"),
    ("SOL", Group.MAJOR, "0.01", "0.01", 5, 75, "0.005"),
    ("BNB", Group.MAJOR, "0.01", "0.01", 5, 75, "0.005"),
    ("XRP", Group.MAJOR, "0.0001", "0.1", 5, 75, "0.005"),
    ("ADA", Group.MAJOR, "0.0001", "1", 5, 75, "0.006"),
    ("AVAX", Group.MAJOR, "0.001", "1", 5, 50, "0.01"),
    ("DOT", Group.MAJOR, "0.001", "0.1", 5, 50, "0.01"),
    ("LINK", Group.MAJOR, "0.001", "0.01", 20, 75, "0.006"),
    ("DOGE", Group.MEME, "0.00001", "1", 5, 75, "0.006"),
    ("1000SHIB", Group.MEME, "0.000001", "1", 5, 50, "0.01"),
    ("1000PEPE", Group.MEME, "0.0000001", "1", 5, 50, "0.01"),
    ("1000FLOKI", Group.MEME, "0.00001", "1", 5, 25, "0.01"),
    ("1000BONK", Group.MEME, "0.000001", "1", 5, 50, "0.01"),
    ("WIF", Group.MEME, "0.0001", "0.1", 5, 50, "0.01"),
    ("SUI", Group.LAYER1, "0.0001", "0.1", 5, 50, "0.01"),
    ("SEI", Group.LAYER1, "0.0001", "1", 5, 50, "0.01"),
    ("INJ", Group.AI, "0.001", "0.1", 5, 50, "0.01"),
    ("RENDER", Group.AI, "0.001", "0.1", 5, 50, "0.01"),
    ("ICP", Group.LAYER1, "0.001", "1", 5, 50, "0.01"),
    ("UNI", Group.DEFI, "0.001", "1", 5, 50, "0.01"),
    ("CRV", Group.DEFI, "0.001", "0.1", 5, 50, "0.01"),
    ("POL", Group.LAYER1, "0.00001", "1", 5, 50, "0.01"),
    ("BCH", Group.LAYER1, "0.01", "0.001", 20, 75, "0.006"),
    ("ZEC", Group.LAYER1, "0.01", "0.001", 5, 50, "0.01"),
    ("XLM", Group.LAYER1, "0.00001", "1", 5, 50, "0.01"),
    ("FET", Group.AI, "0.0001", "1", 5, 25, "0.01"),
    ("LTC", Group.LAYER1, "0.01", "0.001", 20, 75, "0.006"),
    ("AAVE", Group.DEFI, "0.01", "0.1", 5, 50, "0.01"),
    ("LDO", Group.DEFI, "0.0001", "1", 5, 25, "0.01"),
    ("DYDX", Group.DEFI, "0.001", "0.1", 5, 25, "0.01"),
    ("WLD", Group.AI, "0.0001", "1", 5, 50, "0.01"),
    ("NEAR", Group.LAYER1, "0.001", "1", 5, 50, "0.01"),
    ("ARB", Group.LAYER1, "0.0001", "0.1", 5, 50, "0.01"),
    ("ETC", Group.LAYER1, "0.001", "0.01", 20, 50, "0.01"),
    ("ALGO", Group.LAYER1, "0.0001", "0.1", 5, 50, "0.01"),
    ("FIL", Group.LAYER1, "0.001", "0.1", 5, 50, "0.01"),
    ("HYPE", Group.LAYER1, "0.001", "0.01", 5, 50, "0.01"),
)
# Where Bybit's grid is another one than Binance's: tick and step.
_BYBIT_GRID: Final = {
    "ETH": ("0.01", "0.01"),
    "SOL": ("0.01", "0.1"),
    "BNB": ("0.1", "0.01"),
}
_STOCKS = "AAPL MSFT NVDA TSLA AMZN META GOOGL AMD JPM BAC COIN ORCL"
_ETFS = "SPY QQQ IWM TLT GLD SOXL XLF XLK"


_GROUPS: Final[Mapping[tuple[InstrumentKind, str], Group]] = MappingProxyType(
    {(InstrumentKind.PERPETUAL, name.removeprefix("1000")): group for name, group, *_ in _BINANCE}
    | {(InstrumentKind.STOCK, symbol): Group.STOCKS for symbol in _STOCKS.split()}
    | {(InstrumentKind.STOCK, symbol): Group.ETFS for symbol in _ETFS.split()}
)
# Maker and taker, without discounts: no venue's metadata says them.
FEES: Final[Mapping[Venue, tuple[Decimal, Decimal]]] = MappingProxyType(
    {
        Venue.BINANCE: (Decimal("0.0002"), Decimal("0.0005")),
        Venue.BYBIT: (Decimal("0.0002"), Decimal("0.00055")),
        Venue.ALPACA: (_ZERO, _ZERO),
    }
)


def _perpetual(venue: Venue, row: _Perpetual) -> Instrument:
    name, group, tick, step, min_notional, max_leverage, maintenance = row
    base, multiplier = coin_and_multiplier(venue, name)
    maker_fee, taker_fee = FEES[venue]
    if venue is Venue.BYBIT:
        tick, step = _BYBIT_GRID.get(name, (tick, step))
        min_notional = 5
    return Instrument(
        venue=venue,
        symbol=Symbol(f"{name}USDT"),
        kind=InstrumentKind.PERPETUAL,
        base=base,
        quote="USDT",
        group=group,
        tick_size=Decimal(tick),
        step_size=Decimal(step),
        min_quantity=Decimal(step),
        min_notional=Decimal(min_notional),
        max_leverage=max_leverage,
        maker_fee=maker_fee,
        taker_fee=taker_fee,
        maintenance_margin=Decimal(maintenance),
        multiplier=multiplier,
    )


def _stock(symbol: str) -> Instrument:
    maker_fee, taker_fee = FEES[Venue.ALPACA]
    return Instrument(
        venue=Venue.ALPACA,
        symbol=Symbol(symbol),
        kind=InstrumentKind.STOCK,
        base=symbol,
        quote="USD",
        group=group_of(symbol, InstrumentKind.STOCK),
        tick_size=Decimal("0.01"),
        step_size=Decimal(1),
        min_quantity=Decimal(1),
        min_notional=Decimal(1),
        max_leverage=1,
        maker_fee=maker_fee,
        taker_fee=taker_fee,
        maintenance_margin=Decimal("0.25"),
    )


DEFAULT_INSTRUMENTS: Final[Mapping[Venue, tuple[Instrument, ...]]] = MappingProxyType(
    {
        Venue.BINANCE: tuple(_perpetual(Venue.BINANCE, row) for row in _BINANCE),
        Venue.BYBIT: tuple(_perpetual(Venue.BYBIT, row) for row in _BINANCE),
        Venue.ALPACA: tuple(map(_stock, f"{_STOCKS} {_ETFS}".split())),
    }
)
