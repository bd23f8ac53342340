"""Rules of market faults: when they strike, what they spoil, what is listed of them."""

from __future__ import annotations

from typing import Any

import pytest

from nexus_common.contracts.values import Side, Timeframe
from nexus_simvenue.market.faults import MarketFault, MarketFaults, MarketRule, spoiled
from nexus_simvenue.market.happenings import Happening, Kline, Mark, Print, Top

TRADE = Print("50.5", "2", Side.BUY, 1, 60_000)
TOP = Top("50.4", "1", "50.5", "1", 1, 60_000)
MARK = Mark("50.5", "50.5", "0.0001", 90_000, 60_000)
KLINE = Kline(Timeframe.M1, 0, "1", "1", "1", "1", "1", 1, True, 60_000)


def struck(messages: int, **fields: Any) -> list[int]:
    """At which of so many messages a rule strikes."""
    faults = MarketFaults()
    faults.replace([{"fault": "drop", **fields}])
    return [n for n in range(messages) if faults.strike("binance", "BTCUSDT", "btcusdt@trade", n)]


def test_a_rule_strikes_after_so_many_and_so_often() -> None:
    assert struck(10) == [0]
    assert struck(10, skip=3, times=2) == [3, 4]
    assert struck(10, address="bybit") == []
    assert struck(10, symbol="ETHUSDT") == []
    assert struck(10, topic="btcusdt@trade", times=99) == [*range(10)]


def test_chance_is_the_same_for_one_seed() -> None:
    often = struck(1_000, chance=0.1, times=1_000, seed=4)
    assert often == struck(1_000, chance=0.1, times=1_000, seed=4)
    assert often != struck(1_000, chance=0.1, times=1_000, seed=5)
    assert 60 < len(often) < 150


def test_what_fired_is_listed_in_order() -> None:
    faults = MarketFaults()
    faults.replace([{"fault": "cut", "skip": 1}, {"fault": "stall", "symbol": "ETHUSDT"}])
    faults.strike("binance", "ETHUSDT", "ethusdt@trade", 5)
    faults.strike("binance", "BTCUSDT", "btcusdt@trade", 6)
    assert [(fired.fault, fired.symbol, fired.at) for fired in faults.fired] == [
        (MarketFault.STALL, "ETHUSDT", 5),
        (MarketFault.CUT, "BTCUSDT", 6),
    ]


def test_a_rule_that_makes_no_sense_replaces_nothing() -> None:
    faults = MarketFaults()
    faults.replace([{"fault": "cut"}])
    with pytest.raises(ValueError, match="'weather' is not a valid MarketFault"):
        faults.replace([{"fault": "weather"}])
    with pytest.raises(TypeError):
        faults.replace([{"fault": "cut", "whenever": 1}])
    assert [rule.fault for rule in faults.rules] == [MarketFault.CUT]


@pytest.mark.parametrize(
    ("fault", "happening", "name", "figure"),
    [
        ("tenfold", TRADE, "price", "505.0"),
        ("dip", TRADE, "price", "45.45"),
        ("zero", TRADE, "price", "0"),
        ("nan", TRADE, "price", "NaN"),
        ("tenfold", TOP, "ask", "505.0"),
        ("nan", MARK, "mark_price", "NaN"),
        ("crossed", TOP, "bid", "50.5"),
        ("crossed", TRADE, "price", "50.5"),
        ("backwards", KLINE, "at", 30_000),
    ],
)
def test_figures_are_spoilt(fault: str, happening: Happening, name: str, figure: object) -> None:
    rule = MarketRule(MarketFault(fault), seconds=30)
    assert getattr(spoiled(happening, rule), name) == figure
