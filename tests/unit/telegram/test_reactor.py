"""Telegram opens sessions, plays its script, and tells each user once what concerns him."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nexus_common.contracts.account import AccountNoted, AccountOpened, HandTraded, PositionLiquidated
from nexus_common.contracts.envelope import open_command
from nexus_common.contracts.feed import FeedLost
from nexus_common.contracts.guard import BlackSwanDeclared, FallEvidence, FallMeasure
from nexus_common.contracts.message import Event
from nexus_common.contracts.notice import NoticeComposed, Urgency
from nexus_common.contracts.risk import BreakerTripped, Check, EntryApproved, EntryRefused
from nexus_common.contracts.session import (
    InputRefused,
    InputTaken,
    ModeChanged,
    OrderRequested,
    ProposalAnswered,
    RoleGranted,
    SessionOpened,
    TaskRequested,
)
from nexus_common.contracts.signal import Action, ExitPlan
from nexus_common.contracts.trade import (
    ExitReason,
    ProtectionFailed,
    ProtectionSet,
    TradeClosed,
    TradeEntered,
    TradeProposed,
)
from nexus_common.contracts.values import (
    AccountId,
    Direction,
    Origin,
    Side,
    Symbol,
    Timeframe,
    TradeId,
    UserId,
    Venue,
)
from nexus_scheduler.domain.schedule import SCHEDULE
from nexus_telegram.domain.access import ACCESS
from nexus_telegram.domain.notices import NOTICE
from nexus_telegram.domain.session import SESSION

ANNA, BERT = UserId("anna"), UserId("bert")
PAPER = AccountId("anna.binance.paper")
TRADE = TradeId("11111111-2222-5333-8444-555555555555")
BTC = Symbol("BTCUSDT")
Fact = tuple[str, Event, AccountId | None]
Build = Callable[..., Any]


def _proposed(installation: Any, minutes: int = 5) -> Fact:
    event = TradeProposed(
        trade_id=TRADE,
        account=PAPER,
        user=ANNA,
        verdict_id=UUID(TRADE),
        venue=Venue.BINANCE,
        symbol=BTC,
        direction=Direction.LONG,
        strategy="trend",
        quantity=Decimal("0.5"),
        price=Decimal(40_000),
        stop=Decimal(39_000),
        atr=Decimal(600),
        expires_at=installation.now + timedelta(minutes=minutes),
        drift_limit=Decimal(300),
    )
    return f"trade-{TRADE}", event, PAPER


def _entered(complete: bool, quantity: str) -> Fact:
    event = TradeEntered(
        trade_id=TRADE,
        account=PAPER,
        venue=Venue.BINANCE,
        symbol=BTC,
        direction=Direction.LONG,
        strategy="trend",
        quantity=Decimal(quantity),
        average_price=Decimal(40_010),
        margin=Decimal(4_001),
        complete=complete,
    )
    return f"trade-{TRADE}", event, PAPER


def _protected() -> Fact:
    event = ProtectionSet(
        trade_id=TRADE,
        stop=Decimal(39_010),
        stop_quantity=Decimal("0.5"),
        first_target=Decimal(42_000),
        second_target=None,
        trail_distance=None,
        trail_activation=None,
        reason="entry complete",
    )
    return f"trade-{TRADE}", event, PAPER


def _closed(installation: Any) -> Fact:
    event = TradeClosed(
        trade_id=TRADE,
        account=PAPER,
        user=ANNA,
        venue=Venue.BINANCE,
        symbol=BTC,
        direction=Direction.LONG,
        strategy="trend",
        timeframe=Timeframe.M15,
        reason=ExitReason.BLACK_SWAN,
        quantity=Decimal("0.5"),
        entry_price=Decimal(40_010),
        exit_price=Decimal(39_500),
        gross_profit=Decimal(-255),
        fees=Decimal("15.9"),
        funding=Decimal(0),
        net_profit=Decimal("-270.9"),
        r_multiple=Decimal("-0.54"),
        return_on_margin=Decimal("-0.0677"),
        return_on_equity=Decimal("-0.0271"),
        opened_at=installation.now,
        closed_at=installation.now,
        atr=Decimal(600),
    )
    return f"trade-{TRADE}", event, PAPER


def _black_swan(installation: Any) -> Fact:
    evidence = FallEvidence(
        measure=FallMeasure.CANDLE_OPEN,
        reference_price=Decimal(40_000),
        reference_at=installation.now,
        price=Decimal(38_300),
        price_at=installation.now,
        fall_percent=Decimal("4.25"),
        confirmed_by="the bar's close",
    )
    event = BlackSwanDeclared(
        venue=Venue.BINANCE,
        symbol=BTC,
        evidence=evidence,
        action=Action.EXIT_LONG,
        confidence=Decimal(1),
        longs_blocked_until=installation.now + timedelta(hours=4),
    )
    return "guard-crypto", event, None


def _refused(origin: Origin) -> Fact:
    event = EntryRefused(
        request_id=UUID(TRADE),
        origin=origin,
        venue=Venue.BINANCE,
        symbol=BTC,
        direction=Direction.LONG,
        strategy="manual",
        price=Decimal(40_000),
        equity=Decimal(10_000),
        reason="kill",
        checks=(
            Check(name="kill", passed=False, detail="halted by anna"),
            Check(name="feed", passed=True, detail="fresh"),
        ),
    )
    return f"risk-{PAPER}", event, PAPER


def _types(recorded: list[Any]) -> list[type[Event]]:
    return [type(each.event) for each in recorded]


async def test_the_first_turn_opens_the_session_and_makes_its_user_the_owner(installation: Build) -> None:
    nexus = installation()
    await nexus.step()
    await nexus.step()
    assert _types(await nexus.events("session")) == [SessionOpened]
    [granted] = await nexus.events("access")
    assert granted.event == RoleGranted(user=ANNA, role="owner", by="settings")


async def test_a_scripted_command_is_taken_at_its_time_and_answered(installation: Build) -> None:
    nexus = installation("-", "/mode pilot")
    await nexus.step()
    assert InputTaken not in _types(await nexus.events("session"))
    await nexus.step()
    await nexus.step()
    _, taken, changed = await nexus.events("session")
    assert taken.event == InputTaken(user=ANNA, source="script", number=1, text="/mode pilot")
    assert changed.event == ModeChanged(user=ANNA, mode="pilot")
    assert changed.envelope.causation_id == taken.envelope.event_id
    assert changed.envelope.correlation_id == taken.envelope.correlation_id
    assert await nexus.notices() == ["The mode is pilot now: trades are made at once."]


async def test_a_mistyped_command_is_refused_with_the_nearest_one(installation: Build) -> None:
    nexus = installation("/lnog BTCUSDT")
    await nexus.step()
    refused = (await nexus.events("session"))[-1].event
    assert isinstance(refused, InputRefused)
    assert "did you mean /long?" in refused.reason
    [notice] = await nexus.notices()
    assert notice == f"Not done: {refused.reason}"


async def test_what_is_no_command_is_not_kept(installation: Build) -> None:
    nexus = installation("/setkeys CANARY-7F3A")
    await nexus.step()
    assert not [body for body in await nexus.bodies() if "CANARY-7F3A" in body]


async def test_a_stranger_is_refused_and_nothing_is_asked_in_his_name(installation: Build) -> None:
    nexus = installation()
    await nexus.restart()
    nexus.script = [_replace_user(entry, BERT) for entry in installation("/kill").script]
    await nexus.restart()
    await nexus.step()
    streams = {each.envelope.stream: type(each.event) for each in await nexus.events("session")}
    assert streams["session-bert"] is InputRefused
    assert "no access" in (await nexus.notices())[-1]


def _replace_user(entry: Any, user: UserId) -> Any:
    return type(entry)(entry.number, entry.at, entry.command, user, entry.line)


async def test_a_manual_order_passes_on_with_its_account(installation: Build) -> None:
    nexus = installation("/long BTC 5%")
    await nexus.step()
    order = (await nexus.events("session"))[-1]
    assert isinstance(order.event, OrderRequested)
    assert order.event.stop_fraction == Decimal("0.05")
    assert order.envelope.account == PAPER


async def test_a_proposal_is_shown_and_answered_by_its_short_id(installation: Build) -> None:
    nexus = installation("-", "-", "/approve 11111111")
    await nexus.step()
    await nexus.step(_proposed(nexus))
    [shown] = await nexus.notices()
    assert "/approve 11111111" in shown
    assert "39,000 (-2.50 %)" in shown
    await nexus.step()
    answered = (await nexus.events("session"))[-1].event
    assert answered == ProposalAnswered(user=ANNA, trade_id=TRADE, approved=True)


async def test_opening_and_closing_are_told_once_each_with_the_whole_position(installation: Build) -> None:
    nexus = installation()
    await nexus.step(_proposed(nexus))
    await nexus.step(_entered(False, "0.2"))
    await nexus.step(_entered(True, "0.5"), _protected())
    await nexus.step(_closed(nexus))
    _, opened, closed = await nexus.notices()
    assert opened.splitlines()[0] == "OPENED  long BTCUSDT"
    assert "39,010" in opened
    assert "-270.90" in closed
    assert "-0.54 R" in closed


async def test_figures_of_a_notice_stand_below_each_other(installation: Build) -> None:
    nexus = installation()
    await nexus.step(_proposed(nexus))
    await nexus.step(_closed(nexus))
    lines = (await nexus.notices())[-1].splitlines()
    entry = next(line for line in lines if line.startswith("entry"))
    net = next(line for line in lines if line.startswith("net"))
    assert len(entry) == len(net)


async def test_a_notice_carries_the_event_it_is_about_and_its_story(installation: Build) -> None:
    nexus = installation()
    await nexus.step(_proposed(nexus))
    [proposed] = await nexus.events("trade")
    [notice] = await nexus.events("notice")
    assert isinstance(notice.event, NoticeComposed)
    assert notice.event.about == proposed.envelope.event_id == notice.envelope.causation_id
    assert notice.envelope.correlation_id == proposed.envelope.correlation_id
    assert notice.envelope.account == PAPER


async def test_alarms_are_marked_as_such(installation: Build) -> None:
    nexus = installation()
    await nexus.step(_proposed(nexus), _entered(True, "0.5"))
    failed = ProtectionFailed(trade_id=TRADE, detail="the venue refused the stop")
    tripped = BreakerTripped(reason="5 losing trades", equity=Decimal(9_700), detail="last five net -300.00")
    lost = FeedLost(venue=Venue.BINANCE, reason="no tick for 10 s")
    await nexus.step(
        _black_swan(nexus),
        (f"trade-{TRADE}", failed, PAPER),
        (f"risk-{PAPER}", tripped, PAPER),
        ("feed-binance", lost, None),
    )
    alarms = [
        each.event.text
        for each in await nexus.events("notice")
        if isinstance(each.event, NoticeComposed) and each.event.urgency is Urgency.ALARM
    ]
    assert [alarm.split("  ")[0] for alarm in alarms] == [
        "BLACK SWAN",
        "UNPROTECTED",
        "CIRCUIT BREAKER",
        "FEED LOST",
    ]
    assert "BTCUSDT" in alarms[0]


async def test_an_owner_hears_what_others_did_to_his_account(installation: Build) -> None:
    nexus = installation()
    btc = Symbol("BTCUSDT")
    traded = HandTraded(
        account=PAPER,
        symbol=btc,
        side=Side.SELL,
        quantity=Decimal("0.04"),
        price=Decimal(60_000),
        fee=Decimal(1),
        fill_id="t1",
    )
    taken = PositionLiquidated(
        account=PAPER, symbol=btc, quantity=Decimal(1), price=Decimal(59_000), reason="adl"
    )
    noted = AccountNoted(account=PAPER, text="key revoked")
    stream = f"account-{PAPER}"
    await nexus.step((stream, traded, PAPER), (stream, taken, PAPER), (stream, noted, PAPER))
    told = await nexus.notices()
    assert [text.splitlines()[0] for text in told] == [
        "BY HAND  sell BTCUSDT",
        "DELEVERAGED  BTCUSDT",
        f"ACCOUNT  {PAPER}: key revoked",
    ]
    assert "60,000" in told[0]
    assert "next day" in told[1]


async def test_only_a_refused_order_by_hand_is_told(installation: Build) -> None:
    nexus = installation()
    await nexus.step(_refused(Origin.SIGNAL))
    assert await nexus.notices() == []
    await nexus.step(_refused(Origin.MANUAL))
    [told] = await nexus.notices()
    assert told == "REFUSED  your long BTCUSDT: kill\nkill  halted by anna"


async def test_what_concerns_another_venue_is_not_told(installation: Build) -> None:
    nexus = installation()
    await nexus.step(("feed-bybit", FeedLost(venue=Venue.BYBIT, reason="x"), None))
    assert await nexus.notices() == []


async def test_status_positions_and_why_show_what_happened(installation: Build) -> None:
    nexus = installation("-", "-", "/status", "/positions", "/why 1111", "/tasks", "/risk", "/strategies")
    opened = AccountOpened(
        account=PAPER, user=ANNA, venue=Venue.BINANCE, paper=True, currency="USDT", wallet=Decimal(10_000)
    )
    await nexus.step()
    await nexus.step(
        (f"account-{PAPER}", opened, PAPER), _proposed(nexus), _entered(True, "0.5"), _protected()
    )
    for _ in range(6):
        await nexus.step()
    status, positions, why, tasks, risk, strategies = (await nexus.notices())[-6:]
    assert "10,000.00 USDT (paper)" in status
    assert "long BTCUSDT" in positions
    assert "39,010" in positions
    assert "entered: 0.5 at 40010" in why
    assert "daily-summary" in tasks
    assert "margin_fraction" in risk
    assert "mean_reversion" in strategies


def _approved(installation: Any, origin: Origin, strategy: str) -> Fact:
    one = Decimal(1)
    event = EntryApproved(
        request_id=UUID(int=1),
        origin=origin,
        venue=Venue.BINANCE,
        symbol=BTC,
        direction=Direction.LONG,
        strategy=strategy,
        timeframe=Timeframe.H1,
        quantity=one,
        leverage=1,
        margin=one,
        notional=one,
        price=Decimal(100),
        stop=Decimal(99),
        plan=ExitPlan(
            stop_distance=one, target_distance=one, trail_distance=one, trail_after_r=one, time_stop_bars=96
        ),
        atr=one,
        risk=one,
        equity=Decimal(10_000),
        confidence=one,
        checks=(),
        valid_until=installation.now + timedelta(hours=1),
    )
    return f"risk-{PAPER}", event, PAPER


async def test_a_strategy_that_was_added_can_be_switched_once_it_traded(installation: Build) -> None:
    nexus = installation("/strategies off breakout", "-", "/strategies", "/strategies off breakout")
    await nexus.step()
    facts = [(Origin.SIGNAL, "breakout"), (Origin.SIGNAL, "trend"), (Origin.MANUAL, "manual")]
    await nexus.step(*(_approved(nexus, *fact) for fact in facts))
    for _ in range(3):
        await nexus.step()

    before, *_, listed, switched = await nexus.notices()
    assert "'breakout' is not a strategy" in before
    assert [line.split()[0] for line in listed.splitlines()[1:]] == [
        "trend",
        "scalping",
        "mean_reversion",
        "grid",
        "shark",
        "breakout",
    ]
    assert switched.startswith("breakout is off")


async def test_a_reminder_comes_back_by_the_scheduler(installation: Build) -> None:
    nexus = installation("/remind 2m look at it", "/alert BTC > 105")
    for price in (100, 101, 102, 106, 107):
        await nexus.step(price=price)
    told = await nexus.notices()
    assert "REMINDER  look at it" in told
    assert [text for text in told if text.startswith("PRICE ALERT")] == [
        "PRICE ALERT  BTCUSDT above 105: closed at 106"
    ]


async def test_a_cron_line_that_never_comes_is_refused_by_the_scheduler_and_told(installation: Build) -> None:
    nexus = installation("/remind 0 0 30 2 * never")
    await nexus.step()
    assert TaskRequested in _types(await nexus.events("session"))
    assert "never comes" in (await nexus.notices())[-1]


async def test_the_day_is_summed_up_after_midnight(installation: Build) -> None:
    nexus = installation()
    await nexus.step(_proposed(nexus), _entered(True, "0.5"), _closed(nexus))
    nexus.now = nexus.now.replace(hour=0, minute=5) + timedelta(days=1)
    await nexus.step()
    summary = (await nexus.notices())[-1]
    assert summary.startswith("SUMMARY  2026-01-01")
    assert "1 closed, 0 won" in summary
    assert "-270.90" in summary


async def test_a_quiet_turn_records_nothing(installation: Build) -> None:
    nexus = installation()
    await nexus.step()
    before = len(await nexus.events())
    await nexus.step()
    assert len(await nexus.events()) == before + 1  # the market's own


async def _day(nexus: Any) -> list[str]:
    """A short story with every kind of decision in it."""
    await nexus.step()
    await nexus.step(_proposed(nexus))
    await nexus.step(price=99)
    await nexus.step(_entered(True, "0.5"), _protected(), price=106)
    await nexus.step(_black_swan(nexus), price=90)
    await nexus.step(_closed(nexus))
    nexus.now = nexus.now.replace(hour=0, minute=5) + timedelta(days=1)
    await nexus.step()
    await nexus.step()
    bodies: list[str] = await nexus.bodies()
    return bodies


SCRIPT = (
    "/mode copilot",
    "/alert BTC > 105",
    "/approve 1111",
    "/remind 1m look",
    "/status",
    "/lnog",
    "/why 1111",
)


async def test_the_same_day_is_recorded_when_everything_is_started_again_at_every_step(
    installation: Build,
) -> None:
    undisturbed = await _day(installation(*SCRIPT))
    nexus = installation(*SCRIPT)
    steady = nexus.step

    async def started_again(*facts: Fact, price: int = 100) -> None:
        await nexus.restart()
        await steady(*facts, price=price)

    nexus.step = started_again
    assert await _day(nexus) == undisturbed


async def test_stored_commands_decided_again_give_the_recorded_events(installation: Build) -> None:
    nexus = installation(
        *SCRIPT, "/grant bert subscriber", "/revoke bert", "/cancel t2", "/risk margin_fraction 2%"
    )
    await _day(nexus)
    deciders = {decider.category: decider for decider in (SESSION, ACCESS, NOTICE, SCHEDULE)}
    states: dict[str, Any] = {}
    decided: dict[str, list[Event]] = {}
    for _, sealed in await nexus.store.commands():
        decider = deciders[sealed.stream.partition("-")[0]]
        state = states.get(sealed.stream, decider.initial)
        events = list(decider.decide(open_command(sealed).command, state))
        states[sealed.stream] = decider.fold(events, state)
        decided.setdefault(sealed.stream, []).extend(events)
    assert len(decided) >= 5
    for stream, events in decided.items():
        assert events == [recorded.event for recorded in await nexus.store.read_stream(stream)]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    before=st.frozensets(st.integers(1, 20), max_size=6), after=st.frozensets(st.integers(1, 20), max_size=6)
)
async def test_the_same_day_is_recorded_whenever_a_process_dies(
    before: frozenset[int], after: frozenset[int], installation: Build
) -> None:
    undisturbed = await _day(installation(*SCRIPT))
    assert len(undisturbed) > 40
    assert await _day(installation(*SCRIPT, before=before, after=after)) == undisturbed


@pytest.mark.parametrize("cut", range(1, 18))
async def test_a_death_right_after_a_commit_neither_repeats_nor_skips_an_input(
    cut: int, installation: Build
) -> None:
    nexus = installation(*SCRIPT, after=frozenset({cut}))
    await _day(nexus)
    taken = [
        each.event.number for each in await nexus.events("session") if isinstance(each.event, InputTaken)
    ]
    assert taken == list(range(1, len(SCRIPT) + 1))
