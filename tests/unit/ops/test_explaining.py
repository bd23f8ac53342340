"""Why, and why not: each strategy on its own timeframe, who read the regime, the whole market, what is off."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from nexus_common.contracts.signal import SignalRaised
from nexus_common.contracts.values import Symbol, Timeframe
from nexus_common.runtime.store.memory import MemoryStore
from nexus_cortex.domain.strategies import STRATEGIES
from nexus_ingest import bootstrap as ingest
from nexus_ops.composition import LocalHouse, cortex_reactor, settings_for
from nexus_ops.decisions import events_of
from nexus_ops.market_options import MarketOptions
from nexus_ops.story import background_of, find_story, tell
from nexus_ops.strategy_table import strategy_lines, strategy_rows
from nexus_ops.why_not import WhyNot, why_not

MARKET = MarketOptions(seed=6, minutes=600, symbols="BTCUSDT,DOGEUSDT,SOLUSDT", mode="pilot")


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> MemoryStore:
    """A run whose owner switches the memes off at once."""
    script = Path(tmp_path_factory.mktemp("script"), "script.txt")
    start = ingest.market(settings_for(MARKET.environment()).ingest).start
    script.write_text(f"{start:%Y-%m-%d %H:%M} /groups off meme\n")
    settings = settings_for({**MARKET.environment(), "NEXUS__TELEGRAM__SCRIPT": str(script)})
    market = ingest.market(settings.ingest)

    async def play() -> MemoryStore:
        house = LocalHouse(settings, market)
        await house.open()
        for step in market.steps():
            await house.step(step)
        return house.store

    return asyncio.run(play())


async def asked(record: MemoryStore, symbol: str) -> WhyNot:
    return await why_not(record, cortex_reactor(settings_for(MARKET.environment())), Symbol(symbol), None)


async def test_every_strategy_stands_at_the_last_close_of_its_own_timeframe(record: MemoryStore) -> None:
    told = (await asked(record, "SOLUSDT")).to_json()
    by_name = {each["strategy"]: each for each in told["strategies"]}
    assert list(by_name) == list(STRATEGIES)
    for name, each in by_name.items():
        assert each["timeframe"] == str(STRATEGIES[name].timeframe)
        minutes = STRATEGIES[name].timeframe.seconds // 60
        assert each["close"] <= told["at"]
        assert int(each["close"][14:16]) % minutes == 0
    assert by_name["scalping"]["close"] >= by_name["trend"]["close"] >= by_name["grid"]["close"]
    assert STRATEGIES["grid"].timeframe is Timeframe.H1


async def test_the_regime_is_told_with_its_reader_and_its_figures(record: MemoryStore) -> None:
    found = await asked(record, "SOLUSDT")
    now = found.to_json()["regime_now"]
    assert now["model_version"] == "rules"
    assert {"adx", "atr_percent", "divergence"} <= set(now["inputs"])
    assert any("read by rules" in sentence for chapter, sentence in found.lines() if chapter == "Regime")


async def test_a_group_that_is_off_holds_back_its_own_instruments_alone(record: MemoryStore) -> None:
    assert "owner: the group meme is switched off" in (await asked(record, "DOGEUSDT")).hindrances
    assert not any("group" in each for each in (await asked(record, "SOLUSDT")).hindrances)


async def test_the_story_of_a_signal_has_its_regime_and_the_market_as_a_whole(record: MemoryStore) -> None:
    raised = [
        each
        async for each in events_of(record, ("signal",))
        if isinstance(each.event, SignalRaised) and each.event.action.is_entry
    ]
    story = await find_story(record, str(raised[-1].envelope.event_id))
    lines = tell(story, await background_of(record, story))
    said = {
        chapter: [line.text for line in lines if line.chapter == chapter] for chapter in ("Regime", "Signal")
    }
    assert any(text.startswith("figures: adx") for text in said["Regime"])
    event = raised[-1].event
    assert f"{event.strategy} on {event.timeframe} wants to" in said["Signal"][0]
    assert said["Signal"][-1].startswith("the plan: stop ")
    assert len([line for line in lines if line.chapter == "Market as a whole"]) == 3
    assert any(line.chapter == "Checks" for line in lines)


def test_strategies_are_told_with_timeframe_and_regimes_within_80_columns() -> None:
    rows = {row["name"]: row for row in strategy_rows()}
    assert (rows["grid"]["timeframe"], rows["grid"]["regimes"]) == ("1h", ["range_tight"])
    assert rows["mean_reversion"]["regimes"] == ["range_wide", "normal"]
    assert (rows["shark"]["timeframe"], rows["shark"]["regimes"]) == ("15m", [])
    for row in rows.values():
        lines = [line for text in strategy_lines(row) for line in text.split("\n")]
        assert max(map(len, lines)) <= 80
        assert len([line for line in lines if line.startswith("    ")]) >= len(row["parameters"])
