"""What the doctor says of an account, sentence by sentence."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from nexus_common.contracts.order import OrderKind
from nexus_common.contracts.session import AccountSpec
from nexus_common.contracts.values import AccountId, ClientOrderId, Profile, Side, Symbol, Venue
from nexus_executor.venues.broker import VenueOrder, VenueOrderStatus, VenuePosition
from nexus_executor.venues.facts import AccountFacts, PositionMode
from nexus_ops.doctor import Examined, Outcome, Record, examine

BTC = Symbol("BTCUSDT")
LIVE = AccountSpec(account=AccountId("owner.binance.live"), venue=Venue.BINANCE, paper=False, currency="USDT")
FACTS = AccountFacts(
    clock_skew=timedelta(milliseconds=12),
    can_trade=True,
    can_withdraw=False,
    ip_restricted=True,
    position_mode=PositionMode.ONE_WAY,
    leverage={BTC: 10},
)
OURS = VenueOrder(
    ClientOrderId("nx1a"),
    "1",
    BTC,
    Side.SELL,
    OrderKind.STOP,
    VenueOrderStatus.OPEN,
    Decimal("0.1"),
    Decimal(0),
    Decimal(50_000),
)
HEALTHY = Examined(
    account=LIVE,
    profile=Profile.NEXUS,
    keys="in keys.toml, for its owner alone",
    trouble=None,
    facts=FACTS,
    orders=[OURS],
    positions=[VenuePosition(BTC, Decimal("0.1"), Decimal(60_000))],
    record=Record(frozenset({ClientOrderId("nx1a")}), {BTC: Decimal("0.1")}),
    simulated=False,
)


def outcomes(seen: Examined) -> dict[str, Outcome]:
    return {each.check: each.outcome for each in examine(seen)}


def said(seen: Examined, check: str) -> tuple[Outcome, str]:
    return next((each.outcome, each.detail) for each in examine(seen) if each.check == check)


def test_a_healthy_account_passes_every_check() -> None:
    assert set(outcomes(HEALTHY).values()) == {Outcome.OK}
    assert len(outcomes(HEALTHY)) == 10


@pytest.mark.parametrize(
    ("milliseconds", "outcome"),
    [
        (0, Outcome.OK),
        (500, Outcome.OK),
        (-500, Outcome.OK),
        (501, Outcome.WARN),
        (-501, Outcome.WARN),
        (2_000, Outcome.WARN),
        (2_001, Outcome.FAIL),
        (-2_001, Outcome.FAIL),
    ],
)
def test_a_clock_apart_is_warned_of_and_then_refused(milliseconds: int, outcome: Outcome) -> None:
    seen = replace(HEALTHY, facts=replace(FACTS, clock_skew=timedelta(milliseconds=milliseconds)))
    assert said(seen, "clock")[0] is outcome


@pytest.mark.parametrize(
    ("facts", "check", "outcome", "sentence"),
    [
        ({"can_trade": False}, "trading", Outcome.FAIL, "may not trade"),
        ({"can_trade": None}, "trading", Outcome.UNSAID, "does not say"),
        ({"can_withdraw": True}, "withdrawal", Outcome.FAIL, "take that permission away"),
        ({"ip_restricted": False}, "address", Outcome.WARN, "bind it to yours"),
        ({"position_mode": PositionMode.HEDGE}, "position mode", Outcome.FAIL, "switch to one-way"),
        ({"position_mode": None}, "position mode", Outcome.UNSAID, "no such mode"),
        ({"leverage": {BTC: 11}}, "leverage", Outcome.FAIL, "BTCUSDT 11x; the profile nexus allows 10x"),
        ({"leverage": {}}, "leverage", Outcome.UNSAID, "none is set"),
        ({"clock_skew": None}, "clock", Outcome.UNSAID, "does not say its time"),
    ],
)
def test_what_the_venue_says_is_judged(
    facts: dict[str, object], check: str, outcome: Outcome, sentence: str
) -> None:
    seen = replace(HEALTHY, facts=replace(FACTS, **facts))  # type: ignore[arg-type]
    found, detail = said(seen, check)
    assert found is outcome
    assert sentence in detail


def test_orders_and_positions_that_are_not_ours_are_found() -> None:
    foreign = replace(OURS, client_order_id=ClientOrderId("web_1"))
    outcome, detail = said(replace(HEALTHY, orders=[OURS, foreign]), "orders")
    assert outcome is Outcome.FAIL
    assert "1 without an owner in our store: BTCUSDT sell stop web_1" in detail
    attached = replace(OURS, client_order_id=None, attached=True)
    assert said(replace(HEALTHY, orders=[attached]), "orders")[0] is Outcome.OK
    outcome, detail = said(replace(HEALTHY, positions=[]), "positions")
    assert outcome is Outcome.FAIL
    assert "BTCUSDT is +0 at the venue and +0.1 by our fills" in detail


def test_without_a_store_what_stands_is_counted_only() -> None:
    seen = replace(HEALTHY, record=None)
    assert said(seen, "orders") == (
        Outcome.UNSAID,
        "1 stand; there is no store to compare them with",
    )
    assert said(seen, "positions")[0] is Outcome.UNSAID


def test_keys_that_are_missing_and_a_venue_that_is_silent_are_told_apart() -> None:
    silent = replace(HEALTHY, trouble="no answer", facts=None, orders=None, positions=None)
    assert outcomes(silent) == {
        "keys": Outcome.OK,
        "reached": Outcome.FAIL,
        "orders": Outcome.UNSAID,
        "positions": Outcome.UNSAID,
    }
    keyless = replace(silent, keys=None, trouble="there is no file")
    assert outcomes(keyless)["keys"] is Outcome.FAIL
    assert outcomes(keyless)["reached"] is Outcome.UNSAID


def test_a_simulated_account_is_not_judged_by_the_clock_of_a_played_market() -> None:
    seen = replace(HEALTHY, simulated=True, facts=replace(FACTS, clock_skew=timedelta(days=2_000)))
    assert said(seen, "clock")[0] is Outcome.UNSAID
