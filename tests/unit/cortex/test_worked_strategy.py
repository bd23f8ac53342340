"""The strategy that CONTRIBUTING.md adds, taken from there: its own test, and its place beside the others."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Final

import pytest

from nexus_common.contracts.signal import Action
from nexus_common.contracts.values import Timeframe
from nexus_cortex.domain.evaluation import Choice, evaluate
from nexus_cortex.domain.strategies import STRATEGIES
from nexus_cortex.domain.strategies.strategy import Strategy
from nexus_market.features import blocks
from unit.cortex.markets import said_of, view_of, wild

NAME: Final = "nexus_cortex.domain.strategies.breakout"
CODE, TEST = re.findall(
    r"```python\n(.*?)```", (Path(__file__).parents[3] / "CONTRIBUTING.md").read_text(), re.DOTALL
)


def module(name: str, source: str) -> ModuleType:
    made = ModuleType(name)
    sys.modules[name] = made
    exec(compile(source, name, "exec"), made.__dict__)
    return made


@pytest.fixture
def breakout() -> Iterator[Strategy]:
    """The strategy as the page writes it, where its test looks for it."""
    yield module(NAME, CODE).BREAKOUT
    del sys.modules[NAME]


def test_it_passes_the_test_that_the_page_gives_it(breakout) -> None:
    page = module("worked_test", TEST)
    try:
        (cases,) = (mark.args[1] for mark in page.test_markets_by_hand.pytestmark)
        assert len(cases) == 6
        for case in cases:
            page.test_markets_by_hand(*case.values)
        page.test_confidence_rises_with_adx_and_with_the_way_beyond()
    finally:
        del sys.modules["worked_test"]


def test_it_is_judged_beside_the_others_on_its_timeframe(breakout) -> None:
    table = {**STRATEGIES, breakout.name: breakout}
    views = [view_of(columns) for columns in blocks(wild(3, 1_500, Timeframe.H1), Timeframe.H1)]
    choice = Choice(auto=True)

    commands = [
        evaluation.command(row, datetime(2024, 6, 1, tzinfo=UTC), choice)
        for evaluation in evaluate(views, Timeframe.H1, choice.of(table))
        for row in range(len(evaluation.view.bars))
    ]
    said = [proposal for command in commands if command is not None for proposal in command.proposals]

    assert {each.strategy for each in said} == {"mean_reversion", "grid", "breakout"}
    entered = [each for each in said if each.strategy == "breakout" and each.failed_rule is None]
    assert {each.action for each in entered} == {Action.ENTER_LONG, Action.ENTER_SHORT}
    assert all(each.plan is not None and not each.bound_to_regime for each in entered)


def test_it_does_not_look_ahead(breakout) -> None:
    bars = wild(4, 900, Timeframe.H1)
    last = int(bars.open_time[799]) + 3_600_000

    assert said_of(breakout, bars[:800]) == [each for each in said_of(breakout, bars) if each[0] <= last]
