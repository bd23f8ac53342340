"""A session keeps what its user chose and passes on what he asks for."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from nexus_common.contracts.instrument import Group
from nexus_common.contracts.schedule import TaskKind
from nexus_common.contracts.session import (
    AccountSpec,
    AnswerProposal,
    ChangeMode,
    ChangeRiskSetting,
    CloseRequested,
    GroupSwitched,
    InputRefused,
    InputTaken,
    KillRequested,
    ModeChanged,
    OpenSession,
    OrderRequested,
    ProposalAnswered,
    RefuseInput,
    RequestClose,
    RequestKill,
    RequestOrder,
    RequestTask,
    RiskSettingChanged,
    SessionOpened,
    StrategySwitched,
    SwitchGroup,
    SwitchStrategy,
    TakeInput,
    TaskRequested,
)
from nexus_common.contracts.values import AccountId, Direction, Mode, Profile, Symbol, TradeId, UserId, Venue
from nexus_common.testing.spec import given
from nexus_telegram.domain.session import SESSION

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
ANNA = UserId("anna")
PAPER = AccountSpec(
    account=AccountId("anna.binance.paper"),
    venue=Venue.BINANCE,
    paper=True,
    currency="USDT",
    balance=Decimal(10_000),
)
STOCKS = AccountSpec(account=AccountId("anna.alpaca.paper"), venue=Venue.ALPACA, paper=True, currency="USD")
OPENED = SessionOpened(
    user=ANNA, mode=Mode.WATCHER, profile=Profile.NEXUS, strategy="auto", accounts=(PAPER, STOCKS)
)
BTC = Symbol("BTCUSDT")


def test_a_session_is_opened_once() -> None:
    command = OpenSession(ANNA, Mode.WATCHER, Profile.NEXUS, "auto", (PAPER, STOCKS), NOON)
    given(SESSION).when(command).then(OPENED)
    given(SESSION, OPENED).when(command).then_nothing()


def test_a_mode_is_changed_once() -> None:
    story = given(SESSION, OPENED).when(ChangeMode(ANNA, Mode.PILOT, NOON))
    story.then(ModeChanged(user=ANNA, mode=Mode.PILOT))
    given(SESSION, OPENED).when(ChangeMode(ANNA, Mode.WATCHER, NOON)).then_nothing()


def test_nothing_is_chosen_before_the_session_is_open() -> None:
    given(SESSION).when(ChangeMode(ANNA, Mode.PILOT, NOON)).then_broken("no session")


def test_a_refused_input_needs_no_session() -> None:
    refused = InputRefused(user=ANNA, text="/lnog", reason="not a command")
    given(SESSION).when(RefuseInput(ANNA, "/lnog", "not a command", NOON)).then(refused)


def test_an_input_is_taken_once_for_each_number_of_its_source() -> None:
    taken = InputTaken(user=ANNA, source="script", number=2, text="/status")
    given(SESSION, OPENED).when(TakeInput(ANNA, "script", 2, "/status", NOON)).then(taken)
    given(SESSION, taken).when(TakeInput(ANNA, "script", 2, "/status", NOON)).then_nothing()
    given(SESSION, taken).when(TakeInput(ANNA, "script", 1, "/status", NOON)).then_nothing()
    given(SESSION, taken).when(TakeInput(ANNA, "chat", 1, "/status", NOON)).then_types(InputTaken)


def test_an_order_is_asked_for_on_an_own_account_only() -> None:
    own = RequestOrder(ANNA, PAPER.account, BTC, Direction.LONG, Decimal("0.05"), None, NOON)
    foreign = RequestOrder(ANNA, AccountId("bert.binance.paper"), BTC, Direction.LONG, None, None, NOON)
    requested = OrderRequested(
        user=ANNA,
        account=PAPER.account,
        symbol=BTC,
        direction=Direction.LONG,
        stop_fraction=Decimal("0.05"),
        at=NOON,
    )
    given(SESSION, OPENED).when(own).then(requested)
    given(SESSION, OPENED).when(foreign).then_broken("not anna's")


def test_closing_everything_asks_once_for_each_account() -> None:
    given(SESSION, OPENED).when(RequestClose(ANNA, (PAPER.account, STOCKS.account), None, NOON)).then(
        CloseRequested(user=ANNA, account=PAPER.account), CloseRequested(user=ANNA, account=STOCKS.account)
    )


def test_a_proposal_is_answered() -> None:
    trade = TradeId("11111111-2222-5333-8444-555555555555")
    answered = ProposalAnswered(user=ANNA, trade_id=trade, approved=True)
    given(SESSION, OPENED).when(AnswerProposal(ANNA, trade, True, NOON)).then(answered)


def test_a_kill_is_asked_for_each_time() -> None:
    kill = KillRequested(user=ANNA)
    given(SESSION, OPENED, kill).when(RequestKill(ANNA, NOON)).then(kill)


def test_a_strategy_is_switched_off_and_on_again() -> None:
    off = StrategySwitched(user=ANNA, strategy="grid", enabled=False)
    story = given(SESSION, OPENED).when(SwitchStrategy(ANNA, "grid", False, NOON)).then(off)
    assert story.state.switched_off == ("grid",)
    given(SESSION, OPENED, off).when(SwitchStrategy(ANNA, "grid", False, NOON)).then_nothing()
    again = given(SESSION, OPENED, off).when(SwitchStrategy(ANNA, "grid", True, NOON))
    assert again.state.switched_off == ()


def test_a_group_is_switched_off_and_on_again() -> None:
    off = GroupSwitched(user=ANNA, group=Group.MEME, enabled=False)
    story = given(SESSION, OPENED).when(SwitchGroup(ANNA, Group.MEME, False, NOON)).then(off)
    assert story.state.groups_off == (Group.MEME,)
    given(SESSION, OPENED, off).when(SwitchGroup(ANNA, Group.MEME, False, NOON)).then_nothing()
    given(SESSION, OPENED).when(SwitchGroup(ANNA, Group.MEME, True, NOON)).then_nothing()
    again = given(SESSION, OPENED, off).when(SwitchGroup(ANNA, Group.MEME, True, NOON))
    assert again.state.groups_off == ()


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        (
            "margin_fraction",
            "0.11",
            "margin_fraction cannot be 0.11: input should be less than or equal to 0.10",
        ),
        ("margin_fraction", "0", "margin_fraction cannot be 0: input should be greater than 0"),
        ("kelly_trades", "29", "kelly_trades cannot be 29: input should be greater than or equal to 30"),
        (
            "cooldown_seconds",
            "59",
            "cooldown_seconds cannot be 59: input should be greater than or equal to 60",
        ),
        ("margin", "0.01", "'margin' is not a risk setting"),
    ],
)
def test_a_figure_beyond_its_cap_is_refused_and_not_recorded(name: str, value: str, reason: str) -> None:
    story = given(SESSION, OPENED).when(ChangeRiskSetting(ANNA, name, Decimal(value), NOON))
    (refused,) = story.events
    assert isinstance(refused, InputRefused)
    assert refused.reason.startswith(reason)
    assert story.state.risk == {}


def test_a_risk_figure_is_kept_until_it_changes() -> None:
    changed = RiskSettingChanged(user=ANNA, name="margin_fraction", value=Decimal("0.02"))
    command = ChangeRiskSetting(ANNA, "margin_fraction", Decimal("0.02"), NOON)
    given(SESSION, OPENED).when(command).then(changed)
    given(SESSION, OPENED, changed).when(command).then_nothing()


def test_tasks_are_numbered_in_the_order_they_are_asked_for() -> None:
    command = RequestTask(ANNA, TaskKind.REMINDER, "look", "0 8 * * *", None, None, None, None, NOON)
    first = TaskRequested(user=ANNA, task="t1", kind=TaskKind.REMINDER, text="look", cron="0 8 * * *")
    given(SESSION, OPENED).when(command).then(first)
    given(SESSION, OPENED, first).when(command).then(first.model_copy(update={"task": "t2"}))
