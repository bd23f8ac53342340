"""What a venue lists, recorded when it changes, and what of the change people should know."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from nexus_common.contracts.decider import Decider
from nexus_common.contracts.instrument import (
    ChangeKind,
    Instrument,
    InstrumentChange,
    InstrumentEvent,
    InstrumentsChanged,
    InstrumentsListed,
    InstrumentStatus,
    ListInstruments,
    Terms,
)
from nexus_common.contracts.values import Symbol, format_decimal, format_instant
from nexus_market.instruments import by_symbol, venue_spelling

_TOLD = (
    "tick_size",
    "step_size",
    "min_quantity",
    "min_notional",
    "max_leverage",
    "maintenance_margin",
    "multiplier",
)
_TRADING = Terms(status=InstrumentStatus.TRADING)


def decide(command: ListInstruments, state: InstrumentsListed | None) -> list[InstrumentEvent]:
    """A listing without a single instrument is an answer gone wrong, not the end of all of them."""
    if not command.instruments:
        return []
    listed = InstrumentsListed(
        venue=command.venue,
        instruments=command.instruments,
        not_trading=command.not_trading,
        terms=command.terms,
        unreadable=command.unreadable,
    )
    if state == listed:
        return []
    changes = tuple(differences(state, listed))
    changed = [InstrumentsChanged(venue=command.venue, changes=changes)] if changes else []
    return [listed, *changed]


def evolve(state: InstrumentsListed | None, event: InstrumentEvent) -> InstrumentsListed | None:
    return event if isinstance(event, InstrumentsListed) else state


INSTRUMENT: Decider[ListInstruments, InstrumentsListed | None, InstrumentEvent] = Decider(
    "instrument", None, decide, evolve
)


def differences(before: InstrumentsListed | None, now: InstrumentsListed) -> Iterator[InstrumentChange]:
    """What became other between two listings, in order of symbols. The first listing's instruments are no news.

    An instrument that became unreadable is said to be just that, not delisted.
    """
    known = before.unreadable if before is not None else {}
    for name, reason in sorted(now.unreadable.items()):
        if known.get(name) != reason:
            yield InstrumentChange(Symbol(name), ChangeKind.UNREADABLE, now=reason)
    if before is None:
        return
    olds, news = by_symbol(before.instruments), by_symbol(now.instruments)
    for symbol in sorted({*olds, *news}):
        old, new = olds.get(symbol), news.get(symbol)
        if old is None:
            yield InstrumentChange(symbol, ChangeKind.LISTED)
        elif new is None:
            if old is not None and venue_spelling(old) not in now.unreadable:
                yield InstrumentChange(symbol, ChangeKind.DELISTED)
            continue
        else:
            yield from _altered(old, new)
        yield from _standing(symbol, before, now, is_new=old is None)


def _altered(old: Instrument, new: Instrument) -> Iterator[InstrumentChange]:
    for name in _TOLD:
        was, is_now = getattr(old, name), getattr(new, name)
        if was != is_now:
            yield InstrumentChange(new.symbol, ChangeKind.ALTERED, name, _words(was), _words(is_now))


def _standing(
    symbol: Symbol, before: InstrumentsListed, now: InstrumentsListed, *, is_new: bool
) -> Iterator[InstrumentChange]:
    """Whether it trades, until when, and how high it may be levered; a new one is compared with one that trades."""
    new = now.terms.get(symbol, _default_terms(symbol, now))
    old = _TRADING if is_new else before.terms.get(symbol, _default_terms(symbol, before))
    if new.status is not old.status:
        kind = ChangeKind.RESUMED if new.status is InstrumentStatus.TRADING else ChangeKind.STOPPED
        yield InstrumentChange(symbol, kind, "status", old.status, new.status)
    if new.ends_at != old.ends_at:
        kind = ChangeKind.ALTERED if new.ends_at is None else ChangeKind.TO_STOP
        was, is_now = (format_instant(at) if at else "" for at in (old.ends_at, new.ends_at))
        yield InstrumentChange(symbol, kind, "ends_at", was, is_now)
    for name in ("shortable", "fractionable", "max_market_quantity", "brackets"):
        was, is_now = getattr(old, name), getattr(new, name)
        # What was not known before, or is not said now, has not changed.
        if was != is_now and not {was, is_now} & {None, ()}:
            yield InstrumentChange(symbol, ChangeKind.ALTERED, name, _words(was), _words(is_now))


def _default_terms(symbol: Symbol, listed: InstrumentsListed) -> Terms:
    """Of an instrument without terms only this is known: whether it trades."""
    is_stopped = symbol in listed.not_trading
    return Terms(status=InstrumentStatus.STOPPED) if is_stopped else _TRADING


def _words(value: object) -> str:
    """A figure, a yes or no, or a leverage table as people read it."""
    match value:
        case bool():
            return "yes" if value else "no"
        case Decimal():
            return format_decimal(value)
        case tuple():
            return ", ".join(f"{bracket.max_leverage}x up to {bracket.cap}" for bracket in value)
        case _:
            return str(value)
