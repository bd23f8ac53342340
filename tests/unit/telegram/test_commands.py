"""What users write becomes commands, answers, or a sentence that helps."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from nexus_common.contracts.envelope import Envelope
from nexus_common.contracts.ids import NEXUS, derived
from nexus_common.contracts.instrument import Group, Instrument, InstrumentKind, InstrumentsListed
from nexus_common.contracts.limits import RiskSettings
from nexus_common.contracts.message import Event
from nexus_common.contracts.schedule import TaskKind
from nexus_common.contracts.session import (
    AccountSpec,
    AnswerProposal,
    ChangeMode,
    ChangeProfile,
    ChangeRiskSetting,
    ChooseStrategy,
    RequestBreakerReset,
    RequestClose,
    RequestKill,
    RequestOrder,
    RequestResume,
    RequestTask,
    Role,
    SwitchGroup,
    SwitchStrategy,
)
from nexus_common.contracts.trade import TradeProposed
from nexus_common.contracts.values import (
    AccountId,
    Direction,
    Mode,
    Profile,
    Symbol,
    TradeId,
    UserId,
    Venue,
)
from nexus_telegram.commands import COMMANDS, Answer, Ask, Refusal, understand
from nexus_telegram.domain.session import Session
from nexus_telegram.view import View

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
ANNA = UserId("anna")
PAPER = AccountId("anna.binance.paper")
STOCKS = AccountId("anna.alpaca.paper")
SESSION = Session(
    user=ANNA,
    accounts=(
        AccountSpec(account=PAPER, venue=Venue.BINANCE, paper=True, currency="USDT"),
        AccountSpec(account=STOCKS, venue=Venue.ALPACA, paper=True, currency="USD"),
    ),
)
STRATEGIES = ("trend", "scalping", "mean_reversion", "grid", "shark")


def _envelope(event: Event, stream: str, account: AccountId | None = None) -> Envelope[Event]:
    return Envelope(event, derived(NEXUS, event.model_dump_json()), stream, 1, NEXUS, NEXUS, account, NOON)


def _listed(venue: Venue, *symbols: str) -> Envelope[Event]:
    one = Decimal(1)
    instruments = tuple(
        Instrument(
            venue=venue,
            symbol=Symbol(symbol),
            kind=InstrumentKind.PERPETUAL,
            base=symbol,
            quote="USDT",
            group=Group.MAJOR,
            tick_size=one,
            step_size=one,
            min_quantity=one,
            min_notional=one,
            max_leverage=20,
            maker_fee=Decimal(0),
            taker_fee=Decimal(0),
            maintenance_margin=Decimal(0),
        )
        for symbol in symbols
    )
    return _envelope(InstrumentsListed(venue=venue, instruments=instruments), f"instrument-{venue}")


def _proposal(user: UserId, trade: str) -> Envelope[Event]:
    price = Decimal(100)
    event = TradeProposed(
        trade_id=TradeId(trade),
        account=PAPER,
        user=user,
        verdict_id=NEXUS,
        venue=Venue.BINANCE,
        symbol=Symbol("BTCUSDT"),
        direction=Direction.LONG,
        strategy="trend",
        quantity=price,
        price=price,
        stop=Decimal(95),
        atr=price,
        expires_at=NOON + timedelta(minutes=5),
        drift_limit=price,
    )
    return _envelope(event, f"trade-{trade}")


@pytest.fixture
def view() -> View:
    known = View()
    known.observe(_listed(Venue.BINANCE, "BTCUSDT", "ETHUSDT", "1000PEPEUSDT"))
    known.observe(_listed(Venue.ALPACA, "AAPL", "SPY"))
    return known


def _say(text: str, view: View, session: Session = SESSION, role: Role | None = Role.OWNER) -> Answer:
    name, *words = text.removeprefix("/").split()
    return understand(name, Ask(ANNA, role, tuple(words), NOON, session, view, STRATEGIES, RiskSettings()))


def _order(
    account: AccountId, symbol: str, direction: Direction, stop: str | None, leverage: int | None
) -> RequestOrder:
    fraction = None if stop is None else Decimal(stop)
    return RequestOrder(ANNA, account, Symbol(symbol), direction, fraction, leverage, NOON)


def _task(kind: TaskKind, text: str, cron: str | None, minutes: int | None) -> RequestTask:
    due = None if minutes is None else NOON + timedelta(minutes=minutes)
    return RequestTask(ANNA, kind, text, cron, due, None, None, None, NOON)


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("/long BTCUSDT 5%", _order(PAPER, "BTCUSDT", Direction.LONG, "0.05", None)),
        ("/long btc stop=2.5% lev=3", _order(PAPER, "BTCUSDT", Direction.LONG, "0.025", 3)),
        ("/short pepe 10x", _order(PAPER, "1000PEPEUSDT", Direction.SHORT, None, 10)),
        ("/short ETH/USDT on=binance", _order(PAPER, "ETHUSDT", Direction.SHORT, None, None)),
        ("/long AAPL", _order(STOCKS, "AAPL", Direction.LONG, None, None)),
        ("/close BTCUSDT", RequestClose(ANNA, (PAPER,), Symbol("BTCUSDT"), NOON)),
        ("/close all", RequestClose(ANNA, (PAPER, STOCKS), None, NOON)),
        ("/mode pilot", ChangeMode(ANNA, Mode.PILOT, NOON)),
        ("/mode COPILOT", ChangeMode(ANNA, Mode.COPILOT, NOON)),
        ("/profile ronin", ChangeProfile(ANNA, Profile.RONIN, NOON)),
        ("/strategy trend", ChooseStrategy(ANNA, "trend", NOON)),
        ("/strategies off grid", SwitchStrategy(ANNA, "grid", False, NOON)),
        ("/groups off meme", SwitchGroup(ANNA, Group.MEME, False, NOON)),
        ("/groups OFF Layer1", SwitchGroup(ANNA, Group.LAYER1, False, NOON)),
        ("/resetpilot", RequestBreakerReset(ANNA, None, NOON)),
        ("/resume", RequestResume(ANNA, NOON)),
        ("/kill", RequestKill(ANNA, NOON)),
        ("/risk margin_fraction 0.02", ChangeRiskSetting(ANNA, "margin_fraction", Decimal("0.02"), NOON)),
        ("/risk margin_fraction 2%", ChangeRiskSetting(ANNA, "margin_fraction", Decimal("0.02"), NOON)),
        ("/risk leverage 3", ChangeRiskSetting(ANNA, "leverage", Decimal(3), NOON)),
        ("/risk kelly on", ChangeRiskSetting(ANNA, "kelly", Decimal(1), NOON)),
        ("/remind 0 8 * * 1-5 look at it", _task(TaskKind.REMINDER, "look at it", "0 8 * * 1-5", None)),
        ("/remind @daily look", _task(TaskKind.REMINDER, "look", "@daily", None)),
        ("/remind 2h look", _task(TaskKind.REMINDER, "look", None, 120)),
        ("/remind 2026-01-01T13:30 look", _task(TaskKind.REMINDER, "look", None, 90)),
        (
            "/alert BTCUSDT > 40,000",
            RequestTask(
                ANNA,
                TaskKind.PRICE_ALERT,
                "BTCUSDT above 40,000",
                None,
                None,
                Symbol("BTCUSDT"),
                Decimal(40_000),
                True,
                NOON,
            ),
        ),
        (
            "/alert eth<1500.5",
            RequestTask(
                ANNA,
                TaskKind.PRICE_ALERT,
                "ETHUSDT below 1,500.5",
                None,
                None,
                Symbol("ETHUSDT"),
                Decimal("1500.5"),
                False,
                NOON,
            ),
        ),
    ],
)
def test_each_command_asks_for_one_thing(text: str, command: object, view: View) -> None:
    [request] = _say(text, view).requests
    assert request.command == command
    assert request.key == ANNA


def test_switches_among_the_risk_figures_are_on_and_off(view: View) -> None:
    assert _say("/risk black_swan_shorts on", view).say == "black_swan_shorts is on now."
    assert _say("/risk margin_fraction 2%", view).say == "margin_fraction is 0.02 now."
    shown = _say("/risk", view).say.splitlines()
    assert any(line.split() == ["black_swan_shorts", "off"] for line in shown)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("/lnog BTCUSDT", r"/lnog is not a command; did you mean /long\?"),
        ("/qqqqq", "/help lists them"),
        ("/long", r"which symbol\? Usage: /long SYMBOL"),
        ("/long BTCUSDC 5%", "not traded on your accounts; did you mean BTCUSDT"),
        ("/long BTC 5", "'5' is neither a stop"),
        ("/long BTC 0%", "between 0 % and 100 %"),
        ("/long BTC 200%", "between 0 % and 100 %"),
        ("/long BTC stop=x%", "not a figure"),
        ("/long BTC lev=0", "whole number from 1"),
        ("/long BTC on=bybit", "no account at bybit"),
        ("/long BTC on=binnace", "did you mean binance"),
        ("/long $$$", "not a symbol"),
        ("/close", "name one symbol, or all"),
        ("/mode pilto", "did you mean pilot"),
        ("/profile x", "not a profile"),
        ("/strategy tend", "did you mean trend"),
        ("/strategies of grid", "say on or off"),
        ("/groups meme", r"say on or off, and which group\. Usage: /groups \[on\|off NAME\]"),
        ("/groups off memes", "'memes' is not a group; did you mean meme"),
        ("/groups off x", "there are major, meme, defi"),
        ("/risk margin_fracton 1", "did you mean margin_fraction"),
        ("/risk margin_fraction 0.5", "margin_fraction cannot be 0.5"),
        ("/risk margin_fraction NaN", "not a figure"),
        ("/risk black_swan_shorts maybe", "black_swan_shorts is on or off, not 'maybe'"),
        ("/risk kelly 1", "kelly is on or off"),
        ("/risk leverage 2.5", "leverage cannot be 2.5"),
        ("/approve", "no proposal is waiting"),
        ("/why", "name one trade"),
        ("/why abc", "no trade of yours"),
        ("/remind", r"when\?"),
        ("/remind 0 8 * *", "five fields"),
        ("/remind 2h", "what shall you be reminded of"),
        ("/remind 2020-01-01T12:00 look", "is past"),
        ("/alert BTCUSDT 40000", "a symbol, > or <, and a price"),
        ("/alert BTCUSDT > -1", "above 0"),
        ("/cancel t9", "you have no task 't9'"),
        ("/grant bert boss", "not a role"),
        ("/grant bert owner", "not yours to give"),
        ("/revoke bert", "has no role"),
    ],
)
def test_what_cannot_be_followed_is_answered_with_help(text: str, reason: str, view: View) -> None:
    with pytest.raises(Refusal, match=reason):
        _say(text, view)


def test_what_holds_already_asks_for_nothing(view: View) -> None:
    for text in (
        "/mode watcher",
        "/profile nexus",
        "/strategy auto",
        "/strategies on grid",
        "/groups on defi",
    ):
        answer = _say(text, view)
        assert answer.requests == ()
        assert "already" in answer.say


def test_groups_are_shown_with_what_is_off(view: View) -> None:
    shown = _say("/groups", view, replace(SESSION, groups_off=(Group.MEME,))).say.splitlines()
    assert [line.split() for line in shown[1:]] == [
        [group, "off" if group is Group.MEME else "on"] for group in Group
    ]
    switched_on = _say("/groups on meme", view, replace(SESSION, groups_off=(Group.MEME,)))
    assert [request.command for request in switched_on.requests] == [
        SwitchGroup(ANNA, Group.MEME, True, NOON)
    ]


@pytest.mark.parametrize(
    "given", ["/approve", "/approve 1111", "/approve 11111111-0000-5000-8000-000000000000"]
)
def test_a_proposal_is_named_by_the_first_letters_of_its_id_or_not_at_all_when_it_is_the_only_one(
    given: str, view: View
) -> None:
    trade = "11111111-0000-5000-8000-000000000000"
    view.observe(_proposal(ANNA, trade))
    [request] = _say(given, view).requests
    assert request.command == AnswerProposal(ANNA, TradeId(trade), True, NOON)


def test_several_proposals_must_be_told_apart(view: View) -> None:
    view.observe(_proposal(ANNA, "11111111-a"))
    view.observe(_proposal(ANNA, "11112222-b"))
    with pytest.raises(Refusal, match="say which proposal; waiting: 11111111"):
        _say("/reject 1111", view)


def test_a_proposal_of_somebody_else_is_neither_shown_nor_answered(view: View) -> None:
    view.observe(_proposal(UserId("bert"), "11111111-a"))
    with pytest.raises(Refusal, match="no proposal is waiting"):
        _say("/approve 11111111", view)
    with pytest.raises(Refusal, match="no trade of yours"):
        _say("/why 11111111", view)
    assert "No proposals" in _say("/proposals", view).say


def test_without_a_role_nothing_is_answered(view: View) -> None:
    with pytest.raises(Refusal, match="no access"):
        _say("/help", view, role=None)


def test_a_subscriber_is_refused_what_is_the_admins(view: View) -> None:
    with pytest.raises(Refusal, match="/grant is for the admin, you are subscriber"):
        _say("/grant bert subscriber", view, role=Role.SUBSCRIBER)
    assert "/grant" not in _say("/help", view, role=Role.SUBSCRIBER).say


def test_help_lists_every_command_an_owner_has(view: View) -> None:
    shown = _say("/help", view).say
    assert all(f"/{name}" in shown for name in COMMANDS)


def test_without_a_session_only_people_are_managed(view: View) -> None:
    closed = replace(SESSION, user=None)
    with pytest.raises(Refusal, match="no session yet"):
        _say("/status", view, session=closed)
    assert _say("/users", view, session=closed).requests == ()
