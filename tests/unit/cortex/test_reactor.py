"""Cortex at its turn: the same signals row by row, block by block, killed and restarted."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from nexus_common.contracts.envelope import open_command
from nexus_common.contracts.ids import candle_id
from nexus_common.contracts.session import SessionOpened, StrategyChosen
from nexus_common.contracts.signal import Action, RegimeRead, SignalRaised, SignalWithheld
from nexus_common.contracts.values import Mode, Profile, Symbol, Timeframe, UserId, Venue
from nexus_common.runtime.errors import ConfigurationError
from nexus_common.runtime.settings_sections import CortexSettings
from nexus_cortex.domain.signals import SIGNALS
from nexus_cortex.domain.strategies import STRATEGIES
from nexus_cortex.scanning import WholeSeries, scans_of
from nexus_market.candles import to_millis
from nexus_market.indicators import Bars

SYNTHETIC_START = datetime(2024, 3, 1, tzinfo=UTC)
SYNTHETIC = (SYNTHETIC_START + timedelta(days=34), SYNTHETIC_START + timedelta(days=40))
CRASH = (SYNTHETIC[1] - timedelta(days=3), SYNTHETIC[1] - timedelta(days=1))
RECORDED = (datetime(2021, 5, 18, 20, tzinfo=UTC), datetime(2021, 5, 20, 20, 30, tzinfo=UTC))
BAR = timedelta(minutes=15)
STEP = timedelta(minutes=5)
MAKER_FEE = Decimal("0.0002")


def scanned(market, since: datetime) -> dict:
    """What a cortex that knows the market beforehand has scanned, by timeframe and instrument."""
    whole = [
        WholeSeries(
            Venue.BINANCE,
            symbol,
            {timeframe: Bars.of_series(series) for timeframe, series in held.items()},
            maker_fee=float(MAKER_FEE),
        )
        for symbol, held in market.items()
    ]
    return scans_of(CortexSettings(), whole, (), to_millis(since) + 1)


async def assert_rows_equal_blocks(run, scans) -> Counter[Timeframe]:
    """Every command of the row path is the scan's, and the closes that a scan skips led to nothing."""
    with_events = {
        (getattr(event, "timeframe", Timeframe.M15), event.symbol, event.candle_close)
        for event in await run.events()
    }
    taken: Counter[Timeframe] = Counter()
    for command in run.commands:
        scan = scans[command.timeframe, (command.venue, command.symbol)]
        if to_millis(command.candle_close) in scan:
            taken[command.timeframe] += 1
            assert scan.command(to_millis(command.candle_close)) == command
        else:
            assert not any(proposal.action.is_entry for proposal in command.proposals)
            assert (command.timeframe, command.symbol, command.candle_close) not in with_events
    assert taken.total() == sum(len(scan.closes) for scan in scans.values())
    return taken


async def test_rows_and_blocks_give_the_same_commands(live, synthetic_market) -> None:
    taken = await assert_rows_equal_blocks(live, scanned(synthetic_market, SYNTHETIC[0]))

    events = await live.events()
    assert set(taken) == {strategy.timeframe for strategy in STRATEGIES.values()}
    assert {event.strategy for event in events if isinstance(event, SignalRaised)} == set(STRATEGIES)
    assert {event.action for event in events if isinstance(event, SignalRaised)} == set(Action)
    assert {e.failed_rule for e in events if isinstance(e, SignalWithheld)} >= {"adx", "regime", "once"}


async def test_rows_and_blocks_give_the_same_commands_on_a_recorded_market(stage, recorded_market) -> None:
    run = stage(recorded_market)
    run.warm_up(RECORDED[0])
    await run.play(*RECORDED)

    await assert_rows_equal_blocks(run, scanned(recorded_market, RECORDED[0]))

    raised = [event for event in await run.events() if isinstance(event, SignalRaised)]
    assert all(("micro_rsi14" in event.features) == event.action.is_entry for event in raised)


async def test_rows_and_blocks_give_the_same_commands_across_nights_and_holes(stage, recorded_stocks) -> None:
    run = stage(recorded_stocks)
    begin = datetime(2025, 10, 10, 12, tzinfo=UTC)
    run.warm_up(begin)
    await run.play(begin, begin + timedelta(hours=12))

    await assert_rows_equal_blocks(run, scanned(recorded_stocks, begin))

    raised = {event.symbol for event in await run.events() if isinstance(event, SignalRaised)}
    assert "SOLUSDT" in raised
    assert raised & {"NVDA", "AAPL"}


async def test_scanned_beforehand_it_records_the_same_bytes(live, stage, synthetic_market) -> None:
    knowing = stage(synthetic_market, scans=scanned(synthetic_market, SYNTHETIC[0]))
    knowing.warm_up(SYNTHETIC[0])
    await knowing.play(*SYNTHETIC)

    assert await knowing.bodies() == await live.bodies()
    assert len(knowing.commands) < len(live.commands)


async def test_warming_up_by_live_candles_or_by_history_gives_the_same(stage, synthetic_market) -> None:
    warmed, grown = stage(synthetic_market), stage(synthetic_market)
    warmed.warm_up(SYNTHETIC[0])
    grown.hear(warmed.heard[0].event, SYNTHETIC_START)
    at = SYNTHETIC_START
    while at < SYNTHETIC[0]:
        at += STEP
        grown.close(at)
    for run in (warmed, grown):
        await run.play(SYNTHETIC[0], SYNTHETIC[0] + timedelta(days=2))

    assert await warmed.bodies() == await grown.bodies()


async def test_nothing_is_said_while_warming_up(stage, synthetic_market) -> None:
    run = stage(synthetic_market)
    await run.play(SYNTHETIC_START, SYNTHETIC_START + timedelta(hours=12))

    assert run.commands == []
    assert await run.bodies() == []


async def test_a_faster_timeframe_is_judged_before_the_regime_can_be_read(stage, synthetic_market) -> None:
    run = stage(synthetic_market)
    await run.play(SYNTHETIC_START, SYNTHETIC_START + timedelta(hours=30))

    events = await run.events()
    assert {command.timeframe for command in run.commands} == {Timeframe.M5}
    assert {type(event) for event in events} == {SignalWithheld}
    assert "the regime was not read yet" in {event.detail for event in events}


async def test_the_main_view_is_judged_first_and_every_close_has_a_cause_of_its_own(live) -> None:
    order = {timeframe: number for number, timeframe in enumerate(live.reactor.timeframes)}
    assert list(order) == [Timeframe.M15, Timeframe.M5, Timeframe.H1]
    judged = [(command.at, order[command.timeframe], command.symbol) for command in live.commands]
    assert judged == sorted(judged)
    recorded = await live.store.read_categories(["signal"], limit=100_000)
    for each in recorded:
        timeframe = getattr(each.event, "timeframe", Timeframe.M15)
        opened = each.event.candle_close - timeframe.duration
        assert each.envelope.causation_id == candle_id(Venue.BINANCE, each.event.symbol, timeframe, opened)


async def test_a_strategy_can_be_moved_to_another_timeframe(stage, synthetic_market) -> None:
    events = await played(stage(synthetic_market, strategy="trend", timeframes={"trend": Timeframe.H1}))

    assert {e.timeframe for e in events if not isinstance(e, RegimeRead)} == {Timeframe.H1}
    assert any(isinstance(e, SignalRaised) for e in events)


async def test_a_ladder_costs_what_the_venue_says(stage, synthetic_market) -> None:
    def run_with(fee: str | None):
        run = stage(synthetic_market, strategy="grid")
        run.warm_up(SYNTHETIC[0])
        if fee is not None:
            dear = [
                each.model_copy(update={"maker_fee": Decimal(fee)}) for each in run.heard[0].event.instruments
            ]
            run.hear(run.heard[0].event.model_copy(update={"instruments": tuple(dear)}), SYNTHETIC[0])
        return run

    cheap, dear = run_with(None), run_with("0.01")
    for run in (cheap, dear):
        await run.play(SYNTHETIC[0], SYNTHETIC[0] + timedelta(days=2))

    def opened(events) -> list:
        return [e for e in events if isinstance(e, SignalRaised) and e.action is Action.OPEN_GRID]

    assert opened(await cheap.events())
    assert not opened(await dear.events())


async def test_killed_at_any_close_and_started_again_it_decides_the_same(stage, synthetic_market) -> None:
    first, last = CRASH[0], CRASH[0] + timedelta(hours=16)
    steady, killed = stage(synthetic_market), stage(synthetic_market)
    for run in (steady, killed):
        run.warm_up(first)
    await steady.play(first, last)
    at, kills = first, 0
    while at < last:
        at += STEP
        if killed.close(at) is None:
            continue
        kills += 1
        if kills % 8 == 0:
            await killed.turn(at, commit=False)
            killed.restart()
        await killed.turn(at)
        if kills % 15 == 0:
            killed.restart()
            await killed.turn(at)
        await killed.turn(at, number=2)

    assert await killed.bodies() == await steady.bodies()
    assert len(await steady.bodies()) > 20


async def test_a_stored_command_decided_again_gives_the_recorded_events(live) -> None:
    states, again = {}, []
    for _, sealed in await live.store.commands(limit=100_000):
        state = states.get(sealed.stream, SIGNALS.initial)
        events = SIGNALS.decide(open_command(sealed).command, state)
        states[sealed.stream] = SIGNALS.fold(events, state)
        again += events
    assert again == await live.events()


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
    first, last = CRASH[0], CRASH[0] + timedelta(days=1)
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
    run.warm_up(CRASH[0])
    for event in heard:
        run.hear(event, CRASH[0] - BAR)
    await run.play(*CRASH)
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


@pytest.mark.parametrize(
    "arguments",
    [
        {"strategy": "flow"},
        {"parameters": {"trend": {"speed": 1}}},
        {"timeframes": {"flow": Timeframe.H1}},
        {"timeframes": {"trend": Timeframe.M1}},
    ],
)
def test_a_strategy_or_threshold_that_does_not_exist_is_refused_at_the_start(stage, arguments) -> None:
    with pytest.raises(ConfigurationError):
        stage({}, **arguments)
