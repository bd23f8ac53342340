"""Cortex at its turn: the same signals row by row, block by block, killed and restarted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from nexus_common.contracts.envelope import open_command
from nexus_common.contracts.session import SessionOpened, StrategyChosen
from nexus_common.contracts.signal import Action, RegimeRead, SignalRaised, SignalWithheld
from nexus_common.contracts.values import Mode, Profile, Symbol, UserId, Venue
from nexus_common.runtime.errors import ConfigurationError
from nexus_cortex.domain.evaluation import Choice, SeriesScan
from nexus_cortex.domain.signals import SIGNALS
from nexus_cortex.domain.strategies import STRATEGIES
from nexus_cortex.domain.strategies.shark import SHARK_TARGETS
from nexus_market.candles import to_millis
from nexus_market.indicators import Bars

SYNTHETIC_START = datetime(2024, 3, 1, tzinfo=UTC)
SYNTHETIC = (SYNTHETIC_START + timedelta(days=29), SYNTHETIC_START + timedelta(days=40))
RECORDED = (datetime(2021, 5, 12, tzinfo=UTC), datetime(2021, 5, 20, 20, 30, tzinfo=UTC))
BAR = timedelta(minutes=15)


def scans_of(market, mood, since: datetime) -> dict:
    return {
        (Venue.BINANCE, symbol): SeriesScan(
            Venue.BINANCE,
            symbol,
            Bars.of_series(main),
            Bars.of_series(macro),
            mood(market),
            STRATEGIES,
            Choice(auto=True),
            symbol in SHARK_TARGETS,
            to_millis(since),
        )
        for symbol, (main, macro) in market.items()
    }


async def assert_rows_equal_blocks(run, scans) -> None:
    """Every command of the row path is the scan's, and the closes that a scan skips led to nothing."""
    with_events = {(event.symbol, event.candle_close) for event in await run.events()}
    taken = 0
    for command in run.commands:
        scan = scans[command.venue, command.symbol]
        if to_millis(command.candle_close) in scan:
            taken += 1
            assert scan.command(to_millis(command.candle_close)) == command
        else:
            assert command.proposals == ()
            assert (command.symbol, command.candle_close) not in with_events
    assert 100 < taken < len(run.commands)


async def test_rows_and_blocks_give_the_same_commands(stage, synthetic_market, mood) -> None:
    run = stage(synthetic_market)
    run.warm_up(SYNTHETIC[0])
    await run.play(*SYNTHETIC)

    await assert_rows_equal_blocks(run, scans_of(synthetic_market, mood, SYNTHETIC[0] + BAR))
    events = await run.events()
    raised = {(e.strategy, e.action) for e in events if isinstance(e, SignalRaised)}
    assert ("shark", Action.ENTER_SHORT) in raised
    assert {Action.ENTER_LONG, Action.ENTER_SHORT, Action.EXIT_LONG, Action.EXIT_SHORT} <= {
        a for _, a in raised
    }
    assert {e.failed_rule for e in events if isinstance(e, SignalWithheld)} >= {"adx", "regime", "once"}


async def test_rows_and_blocks_give_the_same_commands_on_a_recorded_market(
    stage, recorded_market, mood
) -> None:
    run = stage(recorded_market)
    run.warm_up(RECORDED[0])
    await run.play(*RECORDED)

    await assert_rows_equal_blocks(run, scans_of(recorded_market, mood, RECORDED[0] + BAR))


async def test_scanned_beforehand_it_records_the_same_bytes(stage, synthetic_market, mood) -> None:
    live = stage(synthetic_market)
    scanned = stage(synthetic_market, scans=scans_of(synthetic_market, mood, SYNTHETIC[0] + BAR))
    for run in (live, scanned):
        run.warm_up(SYNTHETIC[0])
        await run.play(*SYNTHETIC)

    assert await scanned.bodies() == await live.bodies()
    assert len(scanned.commands) < len(live.commands)


async def test_warming_up_by_live_candles_or_by_history_gives_the_same(stage, synthetic_market) -> None:
    warmed, grown = stage(synthetic_market), stage(synthetic_market)
    warmed.warm_up(SYNTHETIC[0])
    at = SYNTHETIC_START
    while at < SYNTHETIC[0]:
        at += BAR
        grown.close(at)
    for run in (warmed, grown):
        await run.play(SYNTHETIC[0], SYNTHETIC[0] + timedelta(days=4))

    assert await warmed.bodies() == await grown.bodies()


async def test_nothing_is_said_while_warming_up(stage, synthetic_market) -> None:
    run = stage(synthetic_market)
    await run.play(SYNTHETIC_START, SYNTHETIC_START + timedelta(hours=30))

    assert run.commands == []
    assert await run.bodies() == []


async def test_killed_at_any_close_and_started_again_it_decides_the_same(stage, synthetic_market) -> None:
    first, last = SYNTHETIC[1] - timedelta(days=4), SYNTHETIC[1] - timedelta(days=2)
    steady, killed = stage(synthetic_market), stage(synthetic_market)
    for run in (steady, killed):
        run.warm_up(first)
    await steady.play(first, last)
    at, kills = first, 0
    while at < last:
        at += BAR
        if killed.close(at) is None:
            continue
        kills += 1
        if kills % 3 == 0:
            await killed.turn(at, commit=False)
            killed.restart()
        await killed.turn(at)
        if kills % 5 == 0:
            killed.restart()
            await killed.turn(at)
        await killed.turn(at, number=2)

    assert await killed.bodies() == await steady.bodies()
    assert len(await steady.bodies()) > 20


async def test_a_stored_command_decided_again_gives_the_recorded_events(stage, synthetic_market) -> None:
    run = stage(synthetic_market)
    first = SYNTHETIC[1] - timedelta(days=4)
    run.warm_up(first)
    await run.play(first, SYNTHETIC[1])

    states, again = {}, []
    for _, sealed in await run.store.commands(limit=100_000):
        state = states.get(sealed.stream, SIGNALS.initial)
        events = SIGNALS.decide(open_command(sealed).command, state)
        states[sealed.stream] = SIGNALS.fold(events, state)
        again += events
    assert again == await run.events()


async def test_later_rounds_of_an_instant_judge_nothing_again(stage, synthetic_market) -> None:
    run = stage(synthetic_market)
    run.warm_up(SYNTHETIC[0])
    at = SYNTHETIC[0] + BAR
    run.close(at)

    await run.turn(at)
    judged = len(run.commands)
    await run.turn(at, number=2)

    assert judged > 0
    assert len(run.commands) == judged


async def test_replicas_judge_their_own_instruments_and_together_all(stage, synthetic_market) -> None:
    first, last = SYNTHETIC[1] - timedelta(days=3), SYNTHETIC[1]
    whole = stage(synthetic_market)
    left = stage(synthetic_market, owns=lambda key: key < "binance.E")
    right = stage(synthetic_market, owns=lambda key: key >= "binance.E")
    for run in (whole, left, right):
        run.warm_up(first)
        await run.play(first, last)

    assert {command.symbol for command in left.commands} == {"BTCUSDT", "DOGEUSDT"}
    assert sorted(await left.bodies() + await right.bodies()) == sorted(await whole.bodies())


def opened(strategy: str) -> SessionOpened:
    return SessionOpened(
        user=UserId("ann"), mode=Mode.PILOT, profile=Profile.NEXUS, strategy=strategy, accounts=()
    )


async def played(run, *heard) -> list:
    first = SYNTHETIC[0]
    run.warm_up(first)
    for event in heard:
        run.hear(event, first - BAR)
    await run.play(*SYNTHETIC)
    return await run.events()


async def test_a_user_s_choice_by_hand_is_judged_beside_auto(stage, synthetic_market) -> None:
    auto = await played(stage(synthetic_market), opened("auto"))
    both = await played(stage(synthetic_market), opened("trend"))

    assert all(e.within_regime for e in auto if isinstance(e, SignalRaised))
    outside = [e for e in both if isinstance(e, SignalRaised) and not e.within_regime]
    assert outside
    assert {e.strategy for e in outside} == {"trend"}


async def test_a_choice_taken_back_is_judged_no_more(stage, synthetic_market) -> None:
    auto = await played(stage(synthetic_market))
    back = StrategyChosen(user=UserId("ann"), strategy="auto")

    assert await played(stage(synthetic_market), opened("trend"), back) == auto


async def test_a_choice_counts_from_the_instant_after_it(stage, synthetic_market) -> None:
    run = stage(synthetic_market)
    run.warm_up(SYNTHETIC[0])
    at = SYNTHETIC[0] + BAR
    run.hear(opened("trend"), at)
    for close in (at, at + BAR):
        run.close(close)
        await run.turn(close)

    assert {command.candle_close: command.by_hand for command in run.commands} == {
        at: (),
        at + BAR: ("trend",),
    }


async def test_a_strategy_by_configuration_is_judged_alone(stage, synthetic_market) -> None:
    events = await played(stage(synthetic_market, strategy="trend"), opened("auto"))

    assert {e.strategy for e in events if not isinstance(e, RegimeRead)} == {"trend"}
    assert any(not e.within_regime for e in events if isinstance(e, SignalRaised))


async def test_shark_targets_are_a_setting(stage, synthetic_market) -> None:
    events = await played(stage(synthetic_market, shark_targets=[Symbol("ETHUSDT")]))

    assert {e.symbol for e in events if isinstance(e, SignalRaised) and e.strategy == "shark"} == {"ETHUSDT"}


@pytest.mark.parametrize("arguments", [{"strategy": "flow"}, {"parameters": {"trend": {"speed": 1}}}])
def test_a_strategy_or_threshold_that_does_not_exist_is_refused_at_the_start(stage, arguments) -> None:
    with pytest.raises(ConfigurationError):
        stage({}, **arguments)
