"""Messages read well: figures line up, nothing is shown in exponents, what is unknown is a dash."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from nexus_common.contracts.envelope import Envelope
from nexus_common.contracts.ids import NEXUS
from nexus_common.contracts.notice import NoticeComposed, Urgency
from nexus_common.contracts.values import UserId
from nexus_telegram.adapters.console import ConsolePrinter
from nexus_telegram.render.figures import card, figure, money, percent, table

FIGURES = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**12), max_value=10**12, places=8)


@given(FIGURES)
def test_a_figure_loses_nothing_and_shows_no_exponent(number: Decimal) -> None:
    shown = figure(number)
    assert Decimal(shown.replace(",", "")) == number
    assert "E" not in shown


def test_figures_are_grouped_and_trimmed() -> None:
    assert figure(Decimal("42150.500")) == "42,150.5"
    assert figure(Decimal("1E+3")) == "1,000"
    assert figure(Decimal("0.00001230")) == "0.0000123"
    assert figure(None) == "–"


def test_money_has_two_decimals_and_no_negative_zero() -> None:
    assert money(Decimal("1234.005")) == "1,234.00"
    assert money(Decimal("12.3"), signed=True) == "+12.30"
    assert money(Decimal("-0.001"), signed=True) == "0.00"
    assert percent(Decimal("-0.025"), signed=True) == "-2.50 %"


def test_the_figures_of_a_card_end_in_one_column() -> None:
    shown = card(
        "T", [("entry", "40,010"), ("quantity", "0.5"), ("result", "-0.54 R"), ("account", "anna.paper")]
    )
    assert shown.splitlines() == [
        "T",
        "entry     40,010",
        "quantity     0.5",
        "result     -0.54 R",
        "account   anna.paper",
    ]


def test_the_columns_of_a_table_line_up() -> None:
    assert table(["a", "price"], [["long BTC", "1"], ["x", "10"]]).splitlines() == [
        "a         price",
        "long BTC      1",
        "x            10",
    ]


def test_the_console_shows_notices_only_and_indents_their_lines() -> None:
    stream = io.StringIO()
    notice = NoticeComposed(user=UserId("anna"), urgency=Urgency.ALARM, text="KILL\nall closed", about=NEXUS)
    at = datetime(2026, 1, 1, 12, tzinfo=UTC)
    ConsolePrinter(stream)(Envelope(notice, NEXUS, "notice-anna", 1, NEXUS, NEXUS, None, at))
    assert stream.getvalue() == "2026-01-01 12:00:00 ! anna: KILL\n                      all closed\n"
