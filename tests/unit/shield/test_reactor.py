"""Shield's turns: what it hears from the others, and what it decides."""

import json
from datetime import timedelta
from decimal import Decimal as D

import pytest

from nexus_common.contracts.feed import FeedLost, FeedRestored
from nexus_common.contracts.guard import AmberRaised, BlackSwanDeclared, GuardReleased
from nexus_common.contracts.instrument import Bracket, Group, InstrumentsListed, InstrumentStatus, Terms
from nexus_common.contracts.risk import (
    BreakerReset,
    BreakerTripped,
    DayOpened,
    EntriesHalted,
    EntriesResumed,
    EntryApproved,
    EntryRefused,
    ExitApproved,
    PeakRaised,
    PositionNoted,
    ReservationReleased,
    ResultNoted,
)
from nexus_common.contracts.session import (
    BreakerResetRequested,
    GroupSwitched,
    KillRequested,
    OrderRequested,
    ResumeRequested,
    RiskSettingChanged,
    Role,
    RoleGranted,
    StrategySwitched,
)
from nexus_common.contracts.signal import Action
from nexus_common.contracts.trade import TradeAbandoned, TradeAlerted, TradeDeclined, TradeReduced
from nexus_common.contracts.values import Direction, Origin, Venue
from nexus_shield.domain.risk import RISK

MINUTE = timedelta(minutes=1)
SIGNALS = "signal-binance.BTCUSDT"
TRADE = "trade-t1"


def types(events):
    return [type(event) for event in events]


def wish(make, **changes):
    fields = {"user": "ann", "account": "ann-binance", "symbol": "BTCUSDT", "direction": Direction.LONG}
    return OrderRequested(**{**fields, "at": make.NOON, **changes})


async def approve(make, play, **changes):
    """A signal's verdict at noon."""
    (envelope,) = await play.step(make.NOON, (SIGNALS, make.signal(**changes)))
    assert isinstance(envelope.event, EntryApproved)
    return envelope


async def hold(make, play, trade="t1", **changes):
    """A position of 2.5 at 1000 since a minute past noon."""
    verdict = await approve(make, play)
    at = make.NOON + MINUTE
    stream = f"trade-{trade}"
    return await play.act(
        at, (stream, make.admitted(trade, verdict)), (stream, make.entered(trade, **changes))
    )


async def test_the_first_turn_opens_the_day(make, play):
    events = await play.act(
        make.NOON, ("session-ann", make.opened()), ("account-ann-binance", make.wallet("10000"))
    )
    assert types(events) == [DayOpened, PeakRaised]


async def test_a_signal_is_judged_in_its_own_story(make, play):
    await play.begin()
    (verdict,) = await play.step(make.NOON, (SIGNALS, make.signal()))
    assert (verdict.stream, verdict.account) == ("risk-ann-binance", "ann-binance")
    assert verdict.correlation_id == make.number(SIGNALS)
    assert verdict.causation_id == verdict.event.request_id == make.number(f"{SIGNALS}/1")
    assert verdict.event.quantity == D("2.500")


async def test_an_account_trades_its_own_venue(make, play):
    await play.begin()
    assert await play.act(make.NOON, (SIGNALS, make.signal(venue=Venue.BYBIT))) == []


async def test_a_second_venue_takes_orders_by_hand_and_no_signals(make, play):
    await play.begin()
    spare = make.opened(user="bob", account="bob-binance", signals=False)
    await play.act(
        make.NOON - MINUTE, ("session-bob", spare), ("account-bob", make.wallet("10000", "bob-binance"))
    )
    assert [v.account for v in await play.step(make.NOON, (SIGNALS, make.signal()))] == ["ann-binance"]
    by_hand = wish(make, user="bob", account="bob-binance", stop_fraction=D("0.02"))
    verdicts = await play.step(make.NOON + MINUTE, ("session-bob", by_hand))
    assert [v.account for v in verdicts] == ["bob-binance"]


async def test_accounts_come_in_order_and_exits_first_then_confidence_then_instrument(make, play):
    await play.begin("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT")
    await hold(make, play, symbol="XRPUSDT")
    zoe = [("session-zoe", make.opened("zoe", "a-zoe")), ("account-a-zoe", make.wallet("1", "a-zoe"))]
    await play.act(make.NOON + MINUTE, *zoe)
    at = make.NOON + 2 * MINUTE
    told = [
        ("signal-1", make.signal("SOLUSDT", at, confidence=D("0.5"))),
        ("signal-2", make.signal("ETHUSDT", at, confidence=D("0.5"))),
        ("signal-3", make.signal("BTCUSDT", at, confidence=D("0.9"))),
        ("signal-4", make.signal("XRPUSDT", at, confidence=D("0.1"), action=Action.EXIT_LONG, plan=None)),
    ]
    judged = [e for e in await play.step(at, *told) if e.stream.startswith("risk")]
    assert [(e.account, e.event.symbol) for e in judged] == [
        ("a-zoe", "BTCUSDT"),
        ("a-zoe", "ETHUSDT"),
        ("a-zoe", "SOLUSDT"),
        ("ann-binance", "XRPUSDT"),
        ("ann-binance", "BTCUSDT"),
        ("ann-binance", "ETHUSDT"),
        ("ann-binance", "SOLUSDT"),
    ]
    assert isinstance(judged[3].event, ExitApproved)


async def test_what_one_verdict_reserves_the_next_one_feels(make, play):
    await play.begin()
    other = make.signal(strategy="scalping", confidence=D("0.6"))
    events = await play.act(make.NOON, ("signal-1", make.signal()), ("signal-2", other))
    assert types(events) == [EntryApproved, EntryRefused]
    assert events[1].reason == "cooldown"
    assert "one_position" in [c.name for c in events[1].checks if not c.passed]


async def test_a_verdict_that_nobody_uses_is_released_in_time(make, play):
    await play.begin()
    verdict = await approve(make, play)
    until = verdict.event.valid_until
    assert await play.act(until) == []
    (released,) = await play.step(until + MINUTE)
    assert released.event.verdict_id == verdict.event_id
    assert released.correlation_id == verdict.correlation_id
    assert await play.act(until + 2 * MINUTE) == []


async def test_an_ordered_entry_keeps_its_reservation_until_the_order_ends(make, play):
    await play.begin()
    verdict = await approve(make, play)
    await play.act(make.NOON + MINUTE, (TRADE, make.admitted("t1", verdict)))
    assert await play.act(make.NOON + timedelta(hours=5)) == []
    end = TradeAbandoned(
        trade_id="t1", account="ann-binance", verdict_id=verdict.event_id, symbol="BTCUSDT", reason="refused"
    )
    events = await play.act(make.NOON + timedelta(hours=5), (TRADE, end))
    assert types(events) == [ReservationReleased]


def alerted(verdict):
    entry = verdict.event
    return TradeAlerted(
        trade_id="t1",
        account="ann-binance",
        user="ann",
        verdict_id=verdict.event_id,
        venue=entry.venue,
        symbol=entry.symbol,
        direction=entry.direction,
        strategy=entry.strategy,
        quantity=entry.quantity,
        price=entry.price,
        stop=entry.stop,
    )


async def test_an_alert_reserves_nothing(make, play):
    await play.begin()
    verdict = await approve(make, play)
    assert types(await play.act(make.NOON + MINUTE, (TRADE, alerted(verdict)))) == [ReservationReleased]


async def test_a_declined_proposal_frees_its_reservation(make, play):
    await play.begin()
    verdict = await approve(make, play)
    await play.act(make.NOON, (TRADE, make.admitted("t1", verdict)))
    (released,) = await play.act(
        make.NOON + MINUTE, (TRADE, TradeDeclined(trade_id="t1", reason="ann said no"))
    )
    assert (released.verdict_id, released.reason) == (verdict.event_id, "ann said no")


async def test_a_position_is_noted_reduced_and_ended(make, play):
    await play.begin()
    assert types(await hold(make, play)) == [PositionNoted]
    part = TradeReduced(trade_id="t1", leg="first_target", quantity=D("1.25"), price=D(1010))
    (noted,) = await play.act(make.NOON + 2 * MINUTE, (TRADE, part))
    assert (noted.quantity, noted.margin) == (D("1.25"), D(250))
    at = make.NOON + 3 * MINUTE
    (result,) = await play.act(at, (TRADE, make.closed("t1", at)))
    assert (result.losing_streak, result.cooldown_until) == (1, at + timedelta(minutes=45))
    state = await play.desk.state(RISK, "ann-binance")
    assert state.exposures == ()


async def test_quiet_steps_record_nothing(make, play):
    await play.begin()
    await hold(make, play)
    for minute in range(2, 6):
        at = make.NOON + minute * MINUTE
        assert await play.act(at, ("market-binance.0", make.bars(at, ("BTCUSDT", "1001")))) == []


async def test_open_loss_counts_toward_the_day(make, play):
    await play.begin()
    await hold(make, play, symbol="ETHUSDT", quantity=D(10), margin=D(2000))
    at = make.NOON + 2 * MINUTE
    # 10 × -29.9 = 2.99 %, 10 × -30 = 3 %
    assert await play.act(at, ("market-binance.0", make.bars(at, ("ETHUSDT", "970.1")))) == []
    at += MINUTE
    (tripped,) = await play.act(at, ("market-binance.0", make.bars(at, ("ETHUSDT", "970"))))
    assert (type(tripped), tripped.reason, tripped.equity) == (BreakerTripped, "daily loss", D(9700))


async def test_the_day_begins_with_the_first_turn_after_midnight(make, play):
    await play.begin()
    at = make.NOON + timedelta(hours=12)
    events = await play.act(at, ("market-binance.0", make.bars(at, ("ETHUSDT", "1000"))))
    assert types(events) == [DayOpened]


async def test_a_fall_of_btc_is_declared_and_longs_wait_for_the_release(make, play):
    await play.begin()
    fall = make.bars(make.NOON, ("BTCUSDT", "955"), ("ETHUSDT", "1000"))
    events = await play.act(make.NOON, ("market-binance.0", fall), ("signal-1", make.signal("ETHUSDT")))
    assert types(events) == [BlackSwanDeclared, EntryRefused]
    assert events[1].reason == "black_swan"
    short = make.signal("ETHUSDT", action=Action.ENTER_SHORT)
    assert types(await play.act(make.NOON, ("signal-1", short))) == [EntryApproved]
    end = make.NOON + timedelta(hours=4)
    before = make.signal("SOLUSDT", end - MINUTE)
    assert EntryRefused in types(await play.act(end - MINUTE, ("signal-1", before)))
    events = await play.act(end, ("signal-1", make.signal("SOLUSDT", end)))
    assert types(events) == [GuardReleased, EntryApproved]


async def test_a_fall_of_another_instrument_is_none_of_the_sentinels_business(make, play):
    await play.begin()
    assert await play.act(make.NOON, ("market-binance.0", make.bars(make.NOON, ("ETHUSDT", "900")))) == []


async def test_half_a_fall_is_amber(make, play):
    await play.begin()
    fall = make.bars(make.NOON, ("BTCUSDT", "979"), ("ETHUSDT", "1000"))
    events = await play.act(make.NOON, ("market-binance.0", fall), ("signal-1", make.signal("ETHUSDT")))
    assert types(events) == [AmberRaised, EntryRefused]
    later = make.NOON + timedelta(minutes=30)
    assert types(await play.act(later, ("signal-1", make.signal("SOLUSDT", later)))) == [EntryApproved]


async def test_the_owner_releases_the_sentinel_for_all(make, play):
    await play.begin()
    await play.act(make.NOON, ("market-binance.0", make.bars(make.NOON, ("BTCUSDT", "955"))))
    events = await play.act(make.NOON + MINUTE, ("session-ann", ResumeRequested(user="ann")))
    assert types(events) == [GuardReleased]


async def test_a_subscriber_lifts_the_block_for_himself_only(make, play):
    await play.begin()
    await play.act(
        make.NOON,
        ("access-zoe", RoleGranted(user="zoe", role=Role.OWNER, by="zoe")),
        ("session-zoe", make.opened("zoe", "zoe-binance")),
        ("account-zoe-binance", make.wallet("10000", "zoe-binance")),
        ("market-binance.0", make.bars(make.NOON, ("BTCUSDT", "955"), ("ETHUSDT", "1000"))),
    )
    events = await play.act(make.NOON, ("session-ann", ResumeRequested(user="ann")))
    assert types(events) == [EntriesResumed]
    events = await play.step(make.NOON, ("signal-1", make.signal("ETHUSDT")))
    assert [(e.account, type(e.event)) for e in events] == [
        ("ann-binance", EntryApproved),
        ("zoe-binance", EntryRefused),
    ]


async def test_a_kill_halts_until_the_owner_resumes(make, play):
    await play.begin()
    assert types(await play.act(make.NOON, ("session-ann", KillRequested(user="ann")))) == [EntriesHalted]
    events = await play.act(make.NOON, (SIGNALS, make.signal()), ("session-ann", wish(make)))
    assert types(events) == [EntryRefused, EntryRefused]
    events = await play.act(make.NOON, ("session-ann", ResumeRequested(user="ann")), (SIGNALS, make.signal()))
    assert types(events) == [EntriesResumed, EntryApproved]


@pytest.mark.parametrize(("only", "answered"), [(None, True), ("ann-binance", True), ("zoe-binance", False)])
async def test_a_reset_starts_the_breaker_of_ones_own_accounts(make, play, only, answered):
    await play.begin()
    at = make.NOON
    events = await play.act(at, ("account-ann-binance", make.wallet("9600")))
    assert types(events) == [BreakerTripped]
    assert (await play.act(at, (SIGNALS, make.signal())))[0].reason == "breaker"
    events = await play.act(at, ("session-ann", BreakerResetRequested(user="ann", account=only)))
    assert types(events) == ([BreakerReset] if answered else [])


async def test_an_order_by_hand_uses_two_four_and_one_and_a_half_atr(make, play):
    await play.begin()
    history = make.backfill(make.NOON - timedelta(minutes=15), "BTCUSDT", *(["1000"] * 30))  # each 4 wide
    await play.act(
        make.NOON, ("market-b", history), ("market-binance.0", make.bars(make.NOON, ("BTCUSDT", "1000")))
    )
    (verdict,) = await play.step(make.NOON, ("session-ann", wish(make, leverage=3)))
    entry = verdict.event
    assert (entry.origin, entry.strategy, entry.leverage) == (Origin.MANUAL, "manual", 3)
    # 29 ranges of 4, the last bar flat: (13 × 4 + 0) / 14
    assert entry.atr == D("3.71428571")
    assert entry.plan.stop_distance == D("7.5")
    assert entry.plan.target_distance == 4 * entry.atr
    assert entry.plan.trail_distance == D("1.5") * entry.atr
    assert verdict.correlation_id == make.number("session-ann")


async def test_an_order_by_hand_with_its_own_stop_needs_no_history(make, play):
    await play.begin()
    (entry,) = await play.act(make.NOON, ("session-ann", wish(make, stop_fraction=D("0.02"))))
    assert type(entry) is EntryApproved
    assert (entry.plan.stop_distance, entry.plan.target_distance) == (D("20.0"), D(40))
    assert entry.plan.trail_distance == D(15)


async def test_an_order_by_hand_without_any_price_is_refused(make, play):
    await play.begin()
    (refused,) = await play.act(make.NOON, ("session-ann", wish(make, symbol="XRPUSDT")))
    assert (type(refused), refused.price) == (EntryRefused, None)
    assert refused.reason == "instrument"
    missing = {check.name for check in refused.checks if not check.passed}
    assert {"feed", "widest_stop", "size"} <= missing


async def test_an_order_for_anothers_account_is_refused(make, play):
    await play.begin()
    (refused,) = await play.act(make.NOON, ("session-bob", wish(make, user="bob", stop_fraction=D("0.02"))))
    assert refused.reason == "owner"


async def test_a_users_choices_count_from_the_next_signal_on(make, play):
    await play.begin()
    smaller = RiskSettingChanged(user="ann", name="margin_fraction", value=D("0.01"))
    (entry,) = await play.act(make.NOON, ("session-ann", smaller), (SIGNALS, make.signal()))
    assert entry.margin == D(100)
    off = StrategySwitched(user="ann", strategy="trend", enabled=False)
    (refused,) = await play.act(make.NOON, ("session-ann", off), ("signal-1", make.signal("ETHUSDT")))
    assert refused.reason == "strategy"
    on = StrategySwitched(user="ann", strategy="trend", enabled=True)
    (entry,) = await play.act(make.NOON, ("session-ann", on), ("signal-1", make.signal("ETHUSDT")))
    assert type(entry) is EntryApproved


async def test_a_group_that_is_off_is_refused_to_signals_and_open_to_hands(make, play):
    await play.begin()
    off = GroupSwitched(user="ann", group=Group.MAJOR, enabled=False)
    (refused,) = await play.act(make.NOON, ("session-ann", off), (SIGNALS, make.signal()))
    assert refused.reason == "group"
    assert refused.checks[2].detail == "BTCUSDT belongs to major; switched off: major"
    (entry,) = await play.act(make.NOON, ("session-ann", wish(make, stop_fraction=D("0.02"))))
    assert type(entry) is EntryApproved
    on = GroupSwitched(user="ann", group=Group.MAJOR, enabled=True)
    (entry,) = await play.act(make.NOON, ("session-ann", on), ("signal-1", make.signal("ETHUSDT")))
    assert type(entry) is EntryApproved


async def test_the_venues_brackets_are_those_an_account_can_reach(make, play):
    await play.begin()
    steps = (
        Bracket(D(0), D(2000), D(20), D("0.004")),
        Bracket(D(2000), D(30_000), D(3), D("0.01")),
        Bracket(D(30_001), D(90_000), D(1), D("0.5")),
    )
    terms = {"BTCUSDT": Terms(status=InstrumentStatus.TRADING, brackets=steps)}
    listed = InstrumentsListed(venue=Venue.BINANCE, instruments=(make.instrument(),), terms=terms)
    (entry,) = await play.act(make.NOON, ("instrument-binance", listed), (SIGNALS, make.signal()))
    # 5 % × 10,000 at 5 × is 2500, where 3 × is the most; 4 × buys 2000, which the first bracket gives
    assert (entry.leverage, entry.notional) == (4, D(2000))
    (command,) = [c for _, c in await play.store.commands() if c.type == "risk.assess_entry"]
    assert len(json.loads(command.body)["data"]["context"]["brackets"]) == 2


@pytest.mark.parametrize(("name", "value"), [("margin_fraction", "0.5"), ("no_such_figure", "1")])
async def test_a_recorded_figure_beyond_its_cap_changes_nothing(make, play, name, value):
    await play.begin()
    beyond = RiskSettingChanged(user="ann", name=name, value=D(value))
    (entry,) = await play.act(make.NOON, ("session-ann", beyond), (SIGNALS, make.signal()))
    assert entry.margin == D(500)


@pytest.mark.parametrize("amount", ["0", "-120"])
async def test_without_equity_nothing_is_entered(make, play, amount):
    await play.begin()
    told = (("account-ann-binance", make.wallet(amount)), (SIGNALS, make.signal()))
    *_, refused = await play.act(make.NOON, *told)
    assert type(refused) is EntryRefused
    failed = {check.name: check.detail for check in refused.checks if not check.passed}
    assert failed["size"].startswith("less than one step of 0.001")
    assert failed["gross_margin"] == "cannot be judged without a size"


async def test_a_lost_feed_stops_entries_of_its_venue(make, play):
    await play.begin()
    lost = FeedLost(venue=Venue.BINANCE, reason="silence")
    (refused,) = await play.act(make.NOON, ("feed-binance", lost), (SIGNALS, make.signal()))
    assert refused.reason == "feed"
    back = FeedRestored(venue=Venue.BINANCE)
    events = await play.act(make.NOON, ("feed-binance", back), (SIGNALS, make.signal()))
    assert types(events) == [EntryApproved]


async def test_the_third_of_three_that_move_alike_is_refused(make, play):
    await play.begin()
    walk = [str(1000 + (i * 37) % 11) for i in range(60)]
    names = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
    told = [(f"market-{name}", make.backfill(make.NOON, name, *walk)) for name in names]
    await play.act(make.NOON, *told)
    events = await play.act(make.NOON, *((f"signal-{name}", make.signal(name)) for name in names))
    assert types(events) == [EntryApproved, EntryApproved, EntryRefused]
    assert events[2].reason == "correlated"
    (check,) = [c for c in events[2].checks if not c.passed]
    assert check.detail == "moving alike (over 0.85): BTCUSDT 1.00, ETHUSDT 1.00; at most 2 with this one"


async def test_five_losses_pause_signals(make, play):
    await play.begin()
    at = make.NOON
    for i in range(5):
        events = await play.act(at, (f"trade-t{i}", make.closed(f"t{i}", at, profit="-1")))
    assert types(events) == [ResultNoted, BreakerTripped]
    at += timedelta(hours=2)
    (refused,) = await play.act(at, (SIGNALS, make.signal(at=at)))
    assert refused.reason == "breaker"


async def test_only_the_accounts_it_owns_are_served(make):
    play = await make.Play(owns=lambda account: account != "ann-binance").start()
    await play.begin()
    assert await play.act(make.NOON, (SIGNALS, make.signal())) == []
