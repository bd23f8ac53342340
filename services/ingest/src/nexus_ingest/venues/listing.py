"""What the readers of venues' instrument metadata share: what is kept, what is none of ours, what cannot be read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple

from pydantic import ValidationError

from nexus_common.contracts.instrument import Bracket, Instrument, InstrumentKind, InstrumentStatus, Terms
from nexus_common.contracts.values import Symbol, Venue
from nexus_ingest.venues.feed import Listing
from nexus_market.candles import from_millis
from nexus_market.instruments import (
    DEFAULT_INSTRUMENTS,
    FEES,
    coin_and_multiplier,
    group_of,
    venue_spelling,
)

Row = Mapping[str, Any]
# No venue's figure has more digits before or behind the point.
_DIGITS_MAX = 18


class OutsideNexus(Exception):
    """The venue lists it, but it is none of Nexus' markets; the message is the reason it is counted under."""


class UnreadableRow(ValueError):
    """A row that cannot be used; the message says what is wrong with which field."""


class Listed(NamedTuple):
    instrument: Instrument
    terms: Terms


def gather(rows: Iterable[Any], name_field: str, read: Callable[[Row], Listed]) -> Listing:
    """Read each row by itself: one that cannot be read is left out with its reason, the rest stands."""
    found: dict[Symbol, Listed] = {}
    unreadable: dict[str, str] = {}
    outside: Counter[str] = Counter()
    for number, row in enumerate(rows):
        name = str(row.get(name_field, f"row {number}")) if isinstance(row, Mapping) else f"row {number}"
        try:
            if not isinstance(row, Mapping):
                raise UnreadableRow("is no object")
            listed = read(row)
            if listed.instrument.symbol in found:
                raise UnreadableRow("is listed twice: the first stands")
        except OutsideNexus as reason:
            outside[str(reason)] += 1
        except UnreadableRow as problem:
            unreadable[name] = str(problem)
        except ValidationError as error:
            first = error.errors()[0]
            unreadable[name] = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        else:
            found[listed.instrument.symbol] = listed
    return _listing(found, unreadable, outside)


def _listing(
    found: Mapping[Symbol, Listed], unreadable: dict[str, str], outside: Mapping[str, int]
) -> Listing:
    return Listing(
        instruments=tuple(each.instrument for each in found.values()),
        not_trading=tuple(symbol for symbol, each in found.items() if _stops(each.terms)),
        terms={symbol: each.terms for symbol, each in found.items()},
        unreadable=unreadable,
        outside=dict(outside),
    )


def _stops(terms: Terms) -> bool:
    return terms.status is not InstrumentStatus.TRADING or terms.ends_at is not None


def text(row: Row, field: str) -> str:
    value = row.get(field)
    if not isinstance(value, str) or not value:
        raise UnreadableRow(
            f"{field} is missing" if value in (None, "") else f"{field} is {value!r}, no text"
        )
    return value


def part(row: Row, field: str) -> Row:
    """An object inside a row."""
    value = row.get(field)
    if not isinstance(value, Mapping):
        raise UnreadableRow(f"{field} is missing")
    return value


def number(row: Row, field: str) -> Decimal:
    """A finite figure from 0 up, without zeros at its end: `0.10` is 0.1."""
    value = row.get(field)
    try:
        if not isinstance(value, str | int | float | Decimal) or isinstance(value, bool):
            raise InvalidOperation
        figure = Decimal(str(value))
    except InvalidOperation:
        raise UnreadableRow(f"{field} is {value!r}, no number") from None
    if not figure.is_finite() or figure < 0 or abs(figure.adjusted()) > _DIGITS_MAX:
        raise UnreadableRow(f"{field} is {value!r}, no number that could be meant")
    return Decimal(format(figure.normalize(), "f"))


def positive(row: Row, field: str) -> Decimal:
    figure = number(row, field)
    if figure == 0:
        raise UnreadableRow(f"{field} is 0")
    return figure


def moment(row: Row, field: str) -> datetime | None:
    """A time in milliseconds; 0, an empty text or no field at all mean none."""
    if row.get(field) in (None, "", 0, "0"):
        return None
    try:
        return from_millis(int(number(row, field)))
    except OverflowError:
        raise UnreadableRow(f"{field} is {row[field]!r}, no time in milliseconds") from None


def perpetual(
    venue: Venue,
    spelled: str,
    base: str,
    quote: str,
    terms: Terms,
    *,
    tick_size: Decimal,
    step_size: Decimal,
    min_quantity: Decimal,
    min_notional: Decimal,
    max_leverage: Decimal,
    maintenance_margin: Decimal,
) -> Listed:
    """A perpetual under our symbol, with the coin behind its multiple, its group and the venue's standard fees.

    Brackets go before the highest leverage and the maintenance margin that are given.
    """
    coin, multiplier = coin_and_multiplier(venue, base)
    first = terms.brackets[0] if terms.brackets else None
    maker_fee, taker_fee = FEES[venue]
    instrument = Instrument(
        venue=venue,
        symbol=our_symbol(f"{'' if multiplier == 1 else multiplier}{coin}{quote}"),
        kind=InstrumentKind.PERPETUAL,
        base=coin,
        quote=quote,
        group=group_of(coin, InstrumentKind.PERPETUAL),
        tick_size=tick_size,
        step_size=step_size,
        min_quantity=min_quantity,
        min_notional=min_notional,
        max_leverage=max(int(first.max_leverage if first else max_leverage), 1),
        maker_fee=maker_fee,
        taker_fee=taker_fee,
        maintenance_margin=first.maintenance_margin if first else maintenance_margin,
        multiplier=multiplier,
    )
    if venue_spelling(instrument) != spelled:
        raise UnreadableRow(f"is a contract of {coin} that we would ask for as {venue_spelling(instrument)}")
    return Listed(instrument, terms)


def our_symbol(name: str) -> Symbol:
    """Names become parts of stream names, so only capitals and digits will do."""
    if not (name.isascii() and name.isalnum() and name == name.upper()):
        raise UnreadableRow(f"name {name!r} is not made of capitals and digits alone")
    return Symbol(name)


def known_default(venue: Venue, symbol: str) -> Instrument | None:
    """The built-in figures, for what a venue's metadata does not say."""
    return next((each for each in DEFAULT_INSTRUMENTS[venue] if each.symbol == symbol), None)


def brackets_in_order(brackets: Sequence[Bracket]) -> tuple[Bracket, ...]:
    """Brackets from the smallest position up; raises UnreadableRow where they leave holes or overlap."""
    ordered = tuple(sorted(brackets))
    floors = [bracket.floor for bracket in ordered[1:]]
    if ordered and (ordered[0].floor != 0 or floors != [bracket.cap for bracket in ordered[:-1]]):
        raise UnreadableRow("brackets do not follow one another from 0 up")
    return ordered
