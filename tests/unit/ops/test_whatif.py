"""A record decided again with other settings: what differs, first of all where, and what a user had set himself."""

from __future__ import annotations

import asyncio
import json
import shlex
from decimal import Decimal
from pathlib import Path

import pytest

from nexus_common.contracts.risk import EntryApproved
from nexus_common.runtime.errors import ConfigurationError
from nexus_common.runtime.settings import NexusSettings, load
from nexus_common.runtime.store.memory import MemoryStore
from nexus_data.market_feed import Market
from nexus_ingest import bootstrap as ingest
from nexus_ops.commands.whatif import backtest_of
from nexus_ops.composition import LocalHouse, cortex_reactor, settings_for
from nexus_ops.market_options import MarketOptions
from nexus_ops.whatif import what_if
from nexus_ops.whatif_report import NO_SIGNAL, Fate, Span, WhatIf
from nexus_ops.whatif_settings import read_changes

MARKET = MarketOptions(seed=6, minutes=600, symbols="BTCUSDT,DOGEUSDT,SOLUSDT", mode="pilot")


async def played(settings: NexusSettings, market: Market) -> MemoryStore:
    house = LocalHouse(settings, market)
    await house.open()
    for step in market.steps():
        await house.step(step)
    return house.store


@pytest.fixture(scope="module")
def record() -> MemoryStore:
    settings = settings_for(MARKET.environment())
    return asyncio.run(played(settings, ingest.market(settings.ingest)))


async def compared(store: MemoryStore, *texts: str, span: Span | None = None) -> WhatIf:
    before = settings_for(MARKET.environment())
    changes = read_changes(texts, before)
    after = changes.settings(before)
    return await what_if(store, changes, lambda: cortex_reactor(after), span or Span())


def fates(found: WhatIf) -> dict[Fate, int]:
    (counts,) = found.accounts().values()
    return {fate: count for fate, count in counts.items() if count}


async def test_what_is_as_it_was_changes_nothing(record: MemoryStore) -> None:
    found = await compared(record, "shield.margin_fraction=0.05", "cortex.strategy=auto")
    assert set(fates(found)) <= {Fate.SAME, Fate.REFUSED}
    assert fates(found)[Fate.SAME] > 0
    assert found.signals == ()
    assert found.divergence() is None


async def test_smaller_margins_are_smaller_sizes_and_the_first_is_told_with_both_sides(
    record: MemoryStore,
) -> None:
    found = await compared(record, "shield.margin_fraction=0.005")
    approved = [pair for pair in found.verdicts if pair.fate is Fate.SIZE]
    assert approved
    assert fates(found).get(Fate.SAME, 0) == 0
    for pair in approved:
        assert isinstance(pair.recorded, EntryApproved)
        assert isinstance(pair.now, EntryApproved)
        assert pair.now.margin < pair.recorded.margin
        assert pair.now.margin <= pair.now.equity * Decimal("0.005")
    first = found.divergence()
    assert first is not None
    assert first.at == next(pair.at for pair in found.verdicts if pair.differs)
    assert first.recorded != first.now
    assert first.now.startswith("approved: ")


async def test_another_strategy_is_another_set_of_signals_and_what_is_new_is_not_judged(
    record: MemoryStore,
) -> None:
    found = await compared(record, "cortex.strategy=grid")
    named = {pair.signal.strategy for pair in found.signals if pair.recorded is None}
    assert named <= {"grid"}
    gone = sum(pair.now is None for pair in found.signals)
    assert gone > 0
    assert found.checks()[NO_SIGNAL] == (0, len([pair for pair in found.verdicts if pair.now is None]))
    assert found.unjudged == sum(row[3] for row in found.strategies().values())


async def test_a_wider_stop_travels_from_the_signal_into_the_verdict(record: MemoryStore) -> None:
    found = await compared(record, "cortex.parameters.shark.stop_atr=1.2")
    pairs = [pair for pair in found.verdicts if pair.recorded.strategy == "shark" and pair.differs]
    assert pairs
    for pair in pairs:
        if isinstance(pair.now, EntryApproved):
            assert isinstance(pair.recorded, EntryApproved)
            assert pair.now.plan.stop_distance > pair.recorded.plan.stop_distance


async def test_a_tighter_day_opens_the_breaker_and_refuses_what_follows(record: MemoryStore) -> None:
    found = await compared(record, "shield.daily_loss=0.0001", "shield.losing_streak=1")
    assert found.trips_recorded == ()
    trip = found.trips_now[0]
    later = [pair for pair in found.verdicts if pair.at > trip.at]
    assert later
    assert all(not isinstance(pair.now, EntryApproved) for pair in later)
    first = found.divergence()
    assert first is not None
    assert first.at == trip.at


async def test_only_the_span_is_counted(record: MemoryStore) -> None:
    whole = await compared(record, "shield.margin_fraction=0.001")
    cut = whole.verdicts[len(whole.verdicts) // 2].at
    late = await compared(record, "shield.margin_fraction=0.001", span=Span(start=cut))
    early = await compared(record, "shield.margin_fraction=0.001", span=Span(end=cut))
    assert early.verdicts + late.verdicts == whole.verdicts


async def test_a_figure_that_a_user_set_himself_stays_his(tmp_path: Path) -> None:
    script = tmp_path / "script.txt"
    market = ingest.market(settings_for(MARKET.environment()).ingest)
    script.write_text(f"{market.start:%Y-%m-%d %H:%M} /risk margin_fraction 0.02\n")
    settings = settings_for({**MARKET.environment(), "NEXUS__TELEGRAM__SCRIPT": str(script)})
    store = await played(settings, ingest.market(settings.ingest))
    found = await compared(store, "shield.margin_fraction=0.001")
    assert found.divergence() is None
    assert len(found.kept) == 1
    assert "set margin_fraction himself" in found.kept[0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("shield.nonsense=1", "shield.margin_fraction"),
        ("nonsense=1", "cortex.strategy"),
        ("shield.margin_fraction=0.5", "≤ 0.10"),
        ("shield.margin_fraction=much", "no number"),
        ("shield.margin_fraction", "NAME=VALUE"),
        ("cortex.nonsense=1", "cortex.shark_targets"),
        ("cortex.parameters.trend.adx_min=much", "parameters"),
    ],
)
def test_what_cannot_be_changed_is_refused_with_what_can(text: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        read_changes([text], load(environment={}))
    assert said in str(refused.value)


def test_groups_of_values_are_changed_one_by_one() -> None:
    settings = load(environment={"NEXUS__CORTEX__PARAMETERS": '{"trend": {"adx_min": 20, "stop_atr": 2}}'})
    changed = read_changes(["cortex.parameters.trend.adx_min=30"], settings).cortex
    assert changed is not None
    assert changed.parameters == {"trend": {"adx_min": Decimal(30), "stop_atr": Decimal(2)}}


def test_the_backtest_to_play_has_all_that_the_run_was_started_with(tmp_path: Path) -> None:
    options = MarketOptions(venue="binance_um", strategy="grid", mode="pilot", timeframe="15m", seed=3)
    (tmp_path / "market.json").write_text(json.dumps(options.environment()))
    before = settings_for(options.environment())
    said = backtest_of(tmp_path, read_changes(["shield.kelly=on"], before))
    assert said is not None
    words = shlex.split(said)
    assert "NEXUS__INGEST__SOURCES=binance_um,bybit_linear,us,binance_spot" in words
    assert 'NEXUS__CORTEX__TIMEFRAMES={"grid": "15m"}' in words
    assert "NEXUS__SHIELD__RISK__KELLY=1" in words
    assert words[words.index("--strategy") + 1] == "grid"
    changed = backtest_of(tmp_path, read_changes(["cortex.strategy=trend"], before))
    assert changed is not None
    assert changed.endswith("--strategy trend")
