"""Where the owner trades: crypto at his primary venue, the other only on request, stocks at Alpaca."""

from __future__ import annotations

from typing import Any

import pytest

from nexus_common.contracts.values import Venue
from nexus_common.runtime.errors import ConfigurationError
from nexus_common.runtime.settings import load
from nexus_telegram.bootstrap import owners_session


def accounts(venues: str, **telegram: Any) -> list[tuple[str, bool, bool]]:
    settings = load({"telegram": {"venues": venues, **telegram}}, environment={})
    return [(each.account, each.paper, each.signals) for each in owners_session(settings).accounts]


def test_signals_go_to_the_first_crypto_venue_and_to_alpaca() -> None:
    assert accounts("bybit,binance,alpaca") == [
        ("owner.bybit.paper", True, True),
        ("owner.binance.paper", True, False),
        ("owner.alpaca.paper", True, True),
    ]


def test_the_primary_venue_comes_first_for_orders_by_hand_too() -> None:
    assert accounts("alpaca,bybit,binance", primary_venue="binance") == [
        ("owner.binance.paper", True, True),
        ("owner.alpaca.paper", True, True),
        ("owner.bybit.paper", True, False),
    ]


def test_the_second_venue_takes_signals_when_its_owner_says_so() -> None:
    assert [signals for _, _, signals in accounts("binance,bybit", second_venue=True)] == [True, True]


def test_a_live_account_is_another_account_and_is_opened_with_nothing() -> None:
    settings = load({"telegram": {"venues": "binance,bybit", "live_venues": "bybit"}}, environment={})
    paper, live = owners_session(settings).accounts
    assert (paper.account, paper.paper) == ("owner.binance.paper", True)
    assert (live.account, live.paper, live.balance) == ("owner.bybit.live", False, None)


@pytest.mark.parametrize(("live", "name"), [(False, "owner.alpaca.trial"), (True, "owner.alpaca.live")])
def test_alpacas_own_paper_side_is_another_account_than_its_live_one(live: bool, name: str) -> None:
    venues = {"venues": "alpaca", "live_venues": "alpaca"}
    settings = load({"telegram": venues, "venues": {"alpaca": {"live": live}}}, environment={})
    assert [each.account for each in owners_session(settings).accounts] == [name]


@pytest.mark.parametrize(
    ("telegram", "sentence"),
    [
        ({"primary_venue": "bybit"}, "PRIMARY_VENUE is bybit: choose a crypto venue among .*binance, alpaca"),
        ({"primary_venue": "alpaca"}, "PRIMARY_VENUE is alpaca"),
        ({"live_venues": "bybit"}, "LIVE_VENUES names bybit, which NEXUS__TELEGRAM__VENUES does not"),
    ],
)
def test_venues_that_contradict_one_another_are_refused(telegram: dict[str, str], sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        accounts("binance,alpaca", **telegram)


def test_an_owner_of_stocks_alone_has_no_primary_venue() -> None:
    assert accounts("alpaca") == [(f"owner.{Venue.ALPACA}.paper", True, True)]
