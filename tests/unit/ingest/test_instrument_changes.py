"""What people are told of a new listing."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from nexus_common.contracts.instrument import (
    Bracket,
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
from nexus_common.contracts.values import Symbol, Venue
from nexus_common.testing.spec import given
from nexus_ingest.domain.instrument import INSTRUMENT
from nexus_market.instruments import DEFAULT_INSTRUMENTS, by_symbol

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
BTC, ETH = Symbol("BTCUSDT"), Symbol("ETHUSDT")
KNOWN = by_symbol(DEFAULT_INSTRUMENTS[Venue.BYBIT])
TRADING = Terms(status=InstrumentStatus.TRADING)


def listing(*instruments: Instrument, **more: Any) -> ListInstruments:
    return ListInstruments(NOON, Venue.BYBIT, instruments, **more)


def listed(*instruments: Instrument, **more: Any) -> InstrumentsListed:
    return InstrumentsListed(venue=Venue.BYBIT, instruments=instruments, **more)


def told(before: InstrumentsListed, command: ListInstruments) -> tuple[InstrumentChange, ...]:
    changes: list[InstrumentChange] = []
    events: list[InstrumentEvent] = given(INSTRUMENT, before).when(command).events
    for event in events:
        if isinstance(event, InstrumentsChanged):
            changes += event.changes
    return tuple(changes)


def test_the_first_listing_is_no_news() -> None:
    given(INSTRUMENT).when(listing(KNOWN[BTC])).then(listed(KNOWN[BTC]))


def test_the_same_listing_again_is_nothing() -> None:
    given(INSTRUMENT, listed(KNOWN[BTC])).when(listing(KNOWN[BTC])).then_nothing()


def test_an_answer_without_instruments_delists_nothing() -> None:
    given(INSTRUMENT, listed(KNOWN[BTC])).when(listing()).then_nothing()


def test_listings_and_delistings_are_told() -> None:
    assert told(listed(KNOWN[BTC]), listing(KNOWN[ETH])) == (
        InstrumentChange(BTC, ChangeKind.DELISTED),
        InstrumentChange(ETH, ChangeKind.LISTED),
    )


def test_steps_are_told_from_old_to_new() -> None:
    finer = KNOWN[BTC].model_copy(update={"tick_size": Decimal("0.01"), "max_leverage": 50})
    assert told(listed(KNOWN[BTC]), listing(finer)) == (
        InstrumentChange(BTC, ChangeKind.ALTERED, "tick_size", "0.1", "0.01"),
        InstrumentChange(BTC, ChangeKind.ALTERED, "max_leverage", "125", "50"),
    )


@pytest.mark.parametrize(
    ("before", "now", "change"),
    [
        (
            {},
            {"ends_at": NOON},
            (ChangeKind.TO_STOP, "ends_at", "", "2026-11-02T12:00:00.000000Z"),
        ),
        (
            {"ends_at": NOON},
            {},
            (ChangeKind.ALTERED, "ends_at", "2026-11-02T12:00:00.000000Z", ""),
        ),
        ({}, {"status": InstrumentStatus.PAUSED}, (ChangeKind.STOPPED, "status", "trading", "paused")),
        ({"status": InstrumentStatus.PAUSED}, {}, (ChangeKind.RESUMED, "status", "paused", "trading")),
        ({"shortable": True}, {"shortable": False}, (ChangeKind.ALTERED, "shortable", "yes", "no")),
        ({"shortable": False}, {"shortable": True}, (ChangeKind.ALTERED, "shortable", "no", "yes")),
        (
            {"brackets": (Bracket(Decimal(0), Decimal(5_000), Decimal(50), Decimal("0.01")),)},
            {"brackets": (Bracket(Decimal(0), Decimal(5_000), Decimal(25), Decimal("0.01")),)},
            (ChangeKind.ALTERED, "brackets", "50x up to 5000", "25x up to 5000"),
        ),
    ],
)
def test_terms_that_changed_are_told(
    before: Mapping[str, Any], now: Mapping[str, Any], change: tuple[ChangeKind, str, str, str]
) -> None:
    old = listed(KNOWN[BTC], terms={BTC: TRADING.model_copy(update=before)})
    new = listing(KNOWN[BTC], terms={BTC: TRADING.model_copy(update=now)})
    assert told(old, new) == (InstrumentChange(BTC, *change),)


def test_terms_known_for_the_first_time_have_not_changed() -> None:
    bracket = Bracket(Decimal(0), Decimal(5_000), Decimal(50), Decimal("0.01"))
    new = TRADING.model_copy(update={"brackets": (bracket,), "max_market_quantity": Decimal(3)})
    assert told(listed(KNOWN[BTC]), listing(KNOWN[BTC], terms={BTC: new})) == ()


def test_a_stop_that_only_the_list_of_stopped_ones_says_is_told_too() -> None:
    change = InstrumentChange(BTC, ChangeKind.STOPPED, "status", "trading", "stopped")
    assert told(listed(KNOWN[BTC]), listing(KNOWN[BTC], not_trading=(BTC,))) == (change,)


def test_what_cannot_be_read_is_told_once_and_is_not_called_delisted() -> None:
    shib = KNOWN[Symbol("1000SHIBUSDT")]
    unreadable = {"SHIB1000USDT": "tickSize is 0"}
    now = listing(KNOWN[BTC], unreadable=unreadable)
    change = InstrumentChange(Symbol("SHIB1000USDT"), ChangeKind.UNREADABLE, now="tickSize is 0")
    assert told(listed(KNOWN[BTC], shib), now) == (change,)
    again = listing(KNOWN[BTC], KNOWN[ETH], unreadable=unreadable)
    assert told(listed(KNOWN[BTC], unreadable=unreadable), again) == (
        InstrumentChange(ETH, ChangeKind.LISTED),
    )


def test_a_listing_from_before_terms_is_spelled_as_it_was() -> None:
    assert set(listed(KNOWN[BTC]).payload()) == {"venue", "instruments"}
    assert "terms" in listed(KNOWN[BTC], terms={BTC: TRADING}).payload()
