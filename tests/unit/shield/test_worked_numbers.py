"""Every rule of shield with its arithmetic: the rows of docs/defence.md, each played against the real decider.

The page is made from these rows; NEXUS_WRITE_DOCS=1 writes it anew.
"""

import os
import re
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal as D
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import pytest

from nexus_common.contracts.assessment import Peer
from nexus_common.contracts.guard import GuardStanding
from nexus_common.contracts.instrument import Bracket, Group, InstrumentKind
from nexus_common.contracts.limits import RiskSettings
from nexus_common.contracts.risk import BreakerTripped, DayOpened, EntriesHalted, MarkEquity, PeakRaised
from nexus_common.contracts.signal import LadderPlan
from nexus_common.contracts.values import Direction, Profile, Timeframe, Venue
from nexus_common.testing.spec import given
from nexus_shield.domain.checks import CHECKS
from nexus_shield.domain.risk import RISK

PAGE = Path(__file__).parents[3] / "docs" / "defence.md"
BEGIN, END = "<!-- worked numbers -->", "<!-- end of worked numbers -->"
MINUTE = timedelta(minutes=1)


class Row(NamedTuple):
    """`history` and `command` take the builders of `make`; `passes` is the outcome of the check of that name."""

    check: str
    example: str
    arithmetic: str
    passes: bool
    command: Callable = lambda make: {}
    history: Callable = lambda make: ()


def peers(*symbols, group=Group.MEME, correlation="0"):
    return tuple(Peer(symbol=s, group=group, correlation=D(correlation)) for s in symbols)


def stop(distance, **changes):
    return lambda make: {"request": make.request(plan=make.plan(distance, "100"), **changes)}


def brackets(make):
    steps = (Bracket(D(0), D(2600), D(20), D("0.004")), Bracket(D(2600), D(9000), D(5), D("0.01")))
    return {"request": make.request(leverage=10), "brackets": steps}


def stock(make, **changes):
    listed = make.instrument("AAPL", venue=Venue.ALPACA, kind=InstrumentKind.STOCK, step_size=D(1))
    request = make.request(
        symbol="AAPL", venue=Venue.ALPACA, price=D(100), plan=make.plan("2"), leverage=10, **changes
    )
    return {"instrument": listed, "request": request}


def ladder(make):
    plan = LadderPlan(centre=D(100), spacing=D(1), levels=5, stop_beyond=D(1))
    return stock(make, ladder=plan)


def kelly(make):
    return {**stop("49")(make), "settings": RiskSettings(kelly=True)}


def thirty_trades(make):
    return [make.result(f"t{i}", "1", 0, r="1.02" if i % 2 else "-1") for i in range(30)]


def filling(make):
    """3000 were reserved; so far 3100 are bound, because the price had moved."""
    return [
        make.approved("r", "ETHUSDT", margin="3000"),
        make.held(
            "t", "ETHUSDT", margin="3100", request_id=make.number("r"), complete=False, quantity=D("0.001")
        ),
    ]


def cluster(last):
    return lambda make: [
        *(make.held(s, s, margin="500") for s in ("ETHUSDT", "SOLUSDT", "XRPUSDT")),
        make.approved("r", "ADAUSDT", margin=last),
    ]


def both_sides(third):
    def history(make):
        small = {"quantity": D("0.001")}
        return [
            make.held("a", "ETHUSDT", margin="2250", **small),
            make.held("b", "DOGEUSDT", margin="2250", direction=Direction.SHORT, **small),
            *([make.held("c", "WIFUSDT", margin=third, **small)] if third else []),
        ]

    return history


def one(symbol, margin, **changes):
    return lambda make: [make.held("a", symbol, margin=margin, **changes)]


IN_CLUSTER = {"peers": peers("ADAUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT", group=Group.MAJOR)}
ETH = {"peers": peers("ETHUSDT")}
TWO_ALIKE = peers("ETHUSDT", correlation="0.86")
NOTHING = "–"

ROWS = [
    Row("owner", "bob asks for ann's account", NOTHING, False, lambda make: {"asked_by": "bob"}),
    Row("instrument", "not in the venue's listing", NOTHING, False, lambda make: {"instrument": None}),
    Row("group", "`/groups off major`, BTC", NOTHING, False, lambda make: {"groups_off": (Group.MAJOR,)}),
    Row("group", "`/groups off meme`, BTC", NOTHING, True, lambda make: {"groups_off": (Group.MEME,)}),
    Row("halted", "after `/kill`", NOTHING, False, history=lambda make: [EntriesHalted(by="ann")]),
    Row(
        "breaker",
        "tripped by a day's loss",
        NOTHING,
        False,
        history=lambda make: [BreakerTripped(reason="daily loss", equity=D(9700), detail="3 %")],
    ),
    Row(
        "black_swan",
        "a crypto long in its four hours",
        NOTHING,
        False,
        lambda make: {"guard": GuardStanding(black_swan_until=make.NOON + MINUTE)},
    ),
    Row(
        "amber",
        "a crypto long in its half hour",
        NOTHING,
        False,
        lambda make: {"guard": GuardStanding(amber_until=make.NOON + MINUTE)},
    ),
    Row("strategy", "`/strategies off trend`", NOTHING, False, lambda make: {"strategies_off": ("trend",)}),
    Row(
        "validity",
        "valid until noon, judged at noon",
        "0 ≤ 0",
        True,
        lambda make: {"request": make.request(valid_until=make.NOON)},
    ),
    Row(
        "validity",
        "valid until a second before",
        "1 > 0",
        False,
        lambda make: {"request": make.request(valid_until=make.NOON - timedelta(seconds=1))},
    ),
    Row(
        "feed",
        "the price is 10 s old",
        "10 ≤ 10",
        True,
        lambda make: {"request": make.request(price_at=make.NOON - timedelta(seconds=10))},
    ),
    Row(
        "feed",
        "the price is 11 s old",
        "11 > 10",
        False,
        lambda make: {"request": make.request(price_at=make.NOON - timedelta(seconds=11))},
    ),
    Row(
        "cooldown",
        "a 15m entry 44 minutes ago, ATR as usual",
        "3 × 900 = 2700 > 44 × 60",
        False,
        history=lambda make: [make.approved("old", "BTCUSDT", cooldown_until=make.NOON + MINUTE)],
    ),
    Row(
        "rest",
        "trend was stopped out as shark would be",
        "16 × 15 = 240 > 239",
        False,
        history=lambda make: [make.result("t", "-25", 1, rest_until=make.NOON + MINUTE)],
    ),
    Row("widest_stop", "50 away from 1000", "50 / 1000 = 0.05", True, stop("50")),
    Row("widest_stop", "50.1 away from 1000", "50.1 / 1000 > 0.05", False, stop("50.1")),
    Row("narrowest_stop", "4 away: four round trips", "4 = 4 × 2 × 0.0005 × 1000", True, stop("4")),
    Row("narrowest_stop", "3.9 away", "3.9 < 4 × 2 × 0.0005 × 1000", False, stop("3.9")),
    Row(
        "liquidation",
        "Ronin asks for 20 ×, stop 40 away",
        "(1 / 12 - 0.004) / 1.004 < 2 × 40 / 1000 ≤ (1 / 11 - 0.004) / 1.004",
        True,
        lambda make: {**stop("40", leverage=20)(make), "profile": Profile.RONIN},
    ),
    Row(
        "liquidation",
        "maintenance margin 90 %, stop 50 away: not even 1 × will do",
        "50 < (1 / 1 - 0.90) / 1.90 × 1000 < 2 × 50",
        False,
        lambda make: {**stop("50")(make), "instrument": make.instrument(maintenance_margin=D("0.90"))},
    ),
    Row("ladder", "a grid on a stock", NOTHING, False, ladder),
    Row("one_position", "a long is open", "1 + 1 > 1", False, history=one("BTCUSDT", "100")),
    Row(
        "no_flip",
        "a short is open: `/close` it first",
        "1 + 1 > 1",
        False,
        history=one("BTCUSDT", "100", direction=Direction.SHORT),
    ),
    Row("size", "stop 10 away: bound by margin", "0.05 × 10000 × 5 / 1000 = 2.5", True),
    Row(
        "size",
        "stop 49 away: bound by the loss",
        "0.01 × 10000 / (49 + 1000 × 2 × 0.0005) = 2",
        True,
        stop("49"),
    ),
    Row(
        "size",
        "9.1 % below the all-time peak of 11,000, after a reset at 10,000",
        "0.05 ≤ (11000 - 10000) / 11000 < 0.10; 0.8 × 0.05 × 10000 × 5 / 1000 = 2",
        True,
        history=lambda make: [PeakRaised(peak_since_reset=D(10_000), peak_all_time=D(11_000))],
    ),
    Row(
        "size",
        "half-Kelly of 15 wins of 1.02 R and 15 losses of 1 R, stop 49 away",
        "0.5 × (0.5 - 0.5 / 1.02) < 0.01; 0.980 ≤ 0.5 × (0.5 - 0.5 / 1.02) × 10000 / 50 < 0.981",
        True,
        kelly,
        thirty_trades,
    ),
    Row(
        "size",
        "10 × where the venue gives 5 × above 2,600",
        "0.05 × 10000 × 5 = 2500 ≤ 2600 < 0.05 × 10000 × 6",
        True,
        brackets,
    ),
    Row("size", "a stock at 100: whole shares at 1 ×", "0.05 × 10000 × 1 / 100 = 5", True, stock),
    Row(
        "size",
        "equity 10",
        "0.002 ≤ 0.05 × 10 × 5 / 1000 < 0.003; 0.002 × 1000 < 5",
        False,
        lambda make: {"equity": D(10)},
    ),
    Row(
        "size",
        "the venue's minimum is 2.5",
        "0.05 × 10000 × 5 / 1000 = 2.5",
        True,
        lambda make: {"instrument": make.instrument(min_quantity=D("2.5"))},
    ),
    Row(
        "per_instrument",
        "limit 5 %",
        "0.05 × 10000 ≤ 0.05 × 10000",
        True,
        lambda make: {"settings": RiskSettings(per_instrument=D("0.05"))},
    ),
    Row(
        "per_instrument",
        "limit 4.99 %",
        "0.05 × 10000 > 0.0499 × 10000",
        False,
        lambda make: {"settings": RiskSettings(per_instrument=D("0.0499"))},
    ),
    Row(
        "per_cluster",
        "three held, one reserved",
        "4 × 500 + 500 = 0.25 × 10000",
        True,
        lambda make: IN_CLUSTER,
        cluster("500"),
    ),
    Row(
        "per_cluster",
        "a cent more reserved",
        "3 × 500 + 500.01 + 500 > 0.25 × 10000",
        False,
        lambda make: IN_CLUSTER,
        cluster("500.01"),
    ),
    Row(
        "per_cluster",
        "2,000.01 in a coin whose group nobody knows",
        "2000.01 + 500 > 0.25 × 10000",
        False,
        lambda make: {"peers": (Peer(symbol="NEWUSDT", group=None, correlation=D(0)),)},
        one("NEWUSDT", "2000.01"),
    ),
    Row(
        "one_direction",
        "3,000 long",
        "3000 + 500 = 0.70 × 0.50 × 10000",
        True,
        lambda make: ETH,
        one("ETHUSDT", "3000"),
    ),
    Row(
        "one_direction",
        "3,000.01 long",
        "3000.01 + 500 > 0.70 × 0.50 × 10000",
        False,
        lambda make: ETH,
        one("ETHUSDT", "3000.01"),
    ),
    Row(
        "one_direction",
        "3,000 reserved, 3,100 filled so far",
        "3100 + 500 > 0.70 × 0.50 × 10000",
        False,
        lambda make: ETH,
        filling,
    ),
    Row(
        "gross_margin",
        "long and short 2,250 each",
        "2250 + 2250 + 500 = 0.50 × 10000",
        True,
        lambda make: {"peers": peers("DOGEUSDT", "ETHUSDT")},
        both_sides(None),
    ),
    Row(
        "gross_margin",
        "and a cent",
        "2250 + 2250 + 0.01 + 500 > 0.50 × 10000",
        False,
        lambda make: {"peers": peers("DOGEUSDT", "ETHUSDT", "WIFUSDT")},
        both_sides("0.01"),
    ),
    Row(
        "gross_notional",
        "27,500 held",
        "27500 + 2500 = 3 × 10000",
        True,
        lambda make: ETH,
        one("ETHUSDT", "1", quantity=D("27.5")),
    ),
    Row(
        "gross_notional",
        "27,501 held",
        "27501 + 2500 > 3 × 10000",
        False,
        lambda make: ETH,
        one("ETHUSDT", "1", quantity=D("27.501")),
    ),
    Row(
        "correlated",
        "ETH moves alike (0.86), SOL does not (0.85)",
        "0.86 > 0.85; 1 + 1 ≤ 2",
        True,
        lambda make: {"peers": (*TWO_ALIKE, *peers("SOLUSDT", correlation="0.85"))},
    ),
    Row(
        "correlated",
        "ETH (0.86) and SOL (0.851) move alike",
        "0.851 > 0.85; 2 + 1 > 2",
        False,
        lambda make: {"peers": (*TWO_ALIKE, *peers("SOLUSDT", correlation="0.851"))},
    ),
]


def played(make, row):
    (event,) = given(RISK, *row.history(make)).when(make.assess(**row.command(make))).events
    (check,) = [each for each in event.checks if each.name == row.check]
    return check


def holds(arithmetic):
    """Whether it is true as written, in exact fractions; `;` is "and"."""
    spoken = {"×": "*", "≤": "<=", "≥": ">="}
    for part in arithmetic.split(";"):
        exact = re.sub(r"\d+(\.\d+)?", lambda found: f"Fraction('{found[0]}')", part)
        exact = re.sub(r"(?<![<>=])=(?!=)", "==", exact)
        for word, sign in spoken.items():
            exact = exact.replace(word, sign)
        if not eval(exact.strip().replace("<==", "<=").replace(">==", ">="), {"Fraction": Fraction}):
            return False
    return True


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.check}: {row.example}")
def test_a_rule_decides_as_its_arithmetic_says(make, row):
    assert row.arithmetic == NOTHING or holds(row.arithmetic), row.arithmetic
    check = played(make, row)
    assert check.passed is row.passes, check.detail


def test_every_rule_has_an_example_that_it_refuses():
    assert {row.check for row in ROWS if not row.passes} == {name for name, _ in CHECKS}


def day(make, opening, equity, peak=None):
    """What a reading of equity leads to, on a day that began with `opening`."""
    began = (
        DayOpened(day="2024-03-01", equity=D(opening)),
        PeakRaised(peak_since_reset=D(peak or opening), peak_all_time=D(peak or opening)),
    )
    return [
        e.reason for e in given(RISK, *began).when(MarkEquity(D(equity), RiskSettings(), make.NOON)).events
    ]


@pytest.mark.parametrize(
    ("opening", "equity", "peak", "arithmetic", "trips"),
    [
        ("10000", "9700.01", None, "(10000 - 9700.01) / 10000 < 0.03", []),
        ("10000", "9700", None, "(10000 - 9700) / 10000 = 0.03", ["daily loss"]),
        ("9100", "9000.01", "10000", "(10000 - 9000.01) / 10000 < 0.10", []),
        ("9100", "9000", "10000", "(10000 - 9000) / 10000 = 0.10", ["drawdown"]),
    ],
)
def test_the_breaker_trips_at_its_limits(make, opening, equity, peak, arithmetic, trips):
    assert holds(arithmetic)
    assert day(make, opening, equity, peak) == trips


@pytest.mark.parametrize(
    ("timeframe", "atr", "arithmetic", "seconds"),
    [
        (Timeframe.M1, "8", "300 > 3 × 60", 300),
        (Timeframe.M15, "8", "3 × 900 × 8 / 8 = 2700", 2700),
        (Timeframe.M15, "10", "3 × 900 × 8 / 10 = 2160", 2160),
        (Timeframe.H1, "20", "3 × 3600 × 0.5 = 5400; 8 / 20 < 0.5", 5400),
        (Timeframe.H1, "2", "3 × 3600 × 2 = 21600; 8 / 2 > 2", 21600),
    ],
)
def test_a_cooldown_is_as_long_as_its_arithmetic_says(make, timeframe, atr, arithmetic, seconds):
    assert holds(arithmetic)
    request = make.request(timeframe=timeframe, atr=D(atr), atr_mean=D(8))
    (event,) = given(RISK).when(make.assess(request=request)).events
    assert event.cooldown_until == make.NOON + timedelta(seconds=seconds)


def table(make):
    lines = ["| rule | example | arithmetic | outcome |", "|---|---|---|---|"]
    for row in ROWS:
        check = played(make, row)
        outcome = "passes" if check.passed else "**refused**"
        lines.append(f"| `{row.check}` | {row.example} | {row.arithmetic} | {outcome}: {check.detail} |")
    return "\n".join(lines)


def test_the_page_shows_these_numbers(make):
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    page = f"{before}{BEGIN}\n\n{table(make)}\n\n{END}{after}"
    if os.environ.get("NEXUS_WRITE_DOCS"):
        PAGE.write_text(page, encoding="utf-8")
        return
    assert text == page, "NEXUS_WRITE_DOCS=1 pytest tests/unit/shield/test_worked_numbers.py writes it anew"
