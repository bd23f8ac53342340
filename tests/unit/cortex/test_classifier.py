"""The regime by a model: believed where it is sure and knows what it sees, rules with the reason elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from modelling.handmade import always, by_feature, never_sure
from nexus_common.contracts.signal import Regime
from nexus_common.contracts.values import Symbol, Timeframe, Venue
from nexus_cortex.artefact import Artefact, load_artefact
from nexus_cortex.domain.classifier import MEANINGS, ByModel, Instead
from nexus_cortex.domain.evaluation import Readings, by_rules
from nexus_cortex.domain.outcomes import CLASSES
from nexus_cortex.domain.regime import NEEDS, macro_trend_of
from nexus_cortex.domain.sangria import Mood
from nexus_cortex.domain.signals import RegimeNow
from nexus_cortex.domain.strategies.strategy import MarketView
from nexus_market.candles import Series
from nexus_market.features import FeatureColumns, blocks
from nexus_market.indicators import Bars

ETH = Symbol("ETHUSDT")


@pytest.fixture
def views(
    synthetic_market: Mapping[Symbol, Mapping[Timeframe, Series]], mood: Callable[[Any], Mood]
) -> list[MarketView]:
    """Each block of an instrument, from where the rules are ready."""
    held = synthetic_market[ETH]
    macro = macro_trend_of(Bars.of_series(held[Timeframe.H4]))
    whole = mood(synthetic_market)
    found = []
    for columns in blocks(Bars.of_series(held[Timeframe.M15]), Timeframe.M15):
        first = columns.first_ready(NEEDS)
        if first < len(columns):
            found.append(MarketView(columns.since(first), macro, whole, Venue.BINANCE, False, symbol=ETH))
    return found


def single(view: MarketView, row: int) -> MarketView:
    """A row as cortex sees it live: the last one of its window."""
    end = view.bars.start + row + 1
    return replace(view, bars=FeatureColumns(view.bars.window[:end], end - 1, view.bars.timeframe))


def fallbacks(readings: Readings) -> set[str]:
    return {readings.reading(row).fallback.partition(":")[0] for row in range(len(readings.number))}


def artefact(files: dict[str, bytes]) -> Artefact:
    return load_artefact(files)


@pytest.mark.parametrize("name", CLASSES)
def test_each_class_calls_for_its_own_strategy(name: str, views: Sequence[MarketView]) -> None:
    model = artefact(always(name))
    (readings,) = ByModel(model)(views[-1:])
    read = readings.reading(0)
    assert (read.regime, read.strategy) == MEANINGS[name]
    assert read.model_version == model.model
    assert read.confidence > 0.9
    assert set(read.inputs) == set(CLASSES)
    assert read.fallback == ""


def test_where_nothing_earned_anything_nothing_is_called_for() -> None:
    assert MEANINGS["none"] == (Regime.NORMAL, "none")


def test_a_model_that_is_not_sure_leaves_it_to_the_rules_and_says_how_sure_it_was(
    views: Sequence[MarketView],
) -> None:
    (readings,) = ByModel(artefact(never_sure()))(views[-1:])
    (rules,) = by_rules(views[-1:])
    read = readings.reading(5)
    assert read == rules.reading(5).model_copy(update={"fallback": read.fallback})
    assert read.fallback.startswith("confidence: ")
    assert read.fallback.endswith("< 0.70")
    assert fallbacks(readings) == {"confidence"}


def test_an_instrument_that_the_model_was_not_trained_on_is_the_rules(views: Sequence[MarketView]) -> None:
    stranger = replace(views[-1], symbol=Symbol("XRPUSDT"))
    readings = ByModel(artefact(always("trend")))([stranger, views[-1]])
    assert fallbacks(readings[0]) == {"instrument"}
    assert fallbacks(readings[1]) == {""}


def test_until_all_features_are_ready_the_rules_read(views: Sequence[MarketView]) -> None:
    """The rules need 150 bars, the model 600; the first block ends in between."""
    readings = ByModel(artefact(always("trend")))(views)
    assert fallbacks(readings[0]) == {"features"}
    assert fallbacks(readings[-1]) == {""}


def test_a_figure_that_is_no_number_is_not_asked_about(views: Sequence[MarketView]) -> None:
    """Twenty bars without volume: volume over its mean is 0 over 0."""
    window = views[-1].bars.window
    silent = replace(window, volume=np.concatenate([window.volume[:-30], np.zeros(30)]))
    view = replace(views[-1], bars=FeatureColumns(silent, len(silent) - 1, Timeframe.M15))
    (readings,) = ByModel(artefact(always("trend")))([view])
    assert readings.reading(0).fallback.startswith("figures: ")


def test_a_refused_model_is_the_rules_with_the_reason(views: Sequence[MarketView]) -> None:
    (readings,) = Instead("model.ubj was changed")(views[-1:])
    assert readings.reading(0).fallback == "artefact: model.ubj was changed"
    assert readings.reading(0).model_version == "rules"


@pytest.mark.parametrize("files", [by_feature("rsi", "grid", "trend", at=50.0), never_sure()])
def test_a_row_alone_beside_others_and_in_a_block_reads_the_same_to_the_last_bit(
    files: dict[str, bytes], views: Sequence[MarketView]
) -> None:
    read = ByModel(artefact(files))
    (block,) = read(views[-1:])
    rows = list(range(0, len(views[-1].bars), 7))
    beside = read([single(views[-1], row) for row in rows])
    for row, answer in zip(rows, beside, strict=True):
        (alone,) = read([single(views[-1], row)])
        assert block.reading(row) == answer.reading(0) == alone.reading(0)
        assert block.probabilities[row].tobytes() == answer.probabilities[0].tobytes()
        assert block.number[row] == answer.number[0]


def test_rows_of_one_number_say_the_same_as_far_as_it_is_recorded(views: Sequence[MarketView]) -> None:
    read = ByModel(artefact(by_feature("rsi", "grid", "trend", at=50.0)))
    said: dict[int, set[RegimeNow]] = {}
    for readings in read(views):
        for row, number in enumerate(readings.number.tolist()):
            said.setdefault(number, set()).add(RegimeNow.of(readings.reading(row)))
    assert len(said) > 5
    assert all(len(each) == 1 for each in said.values())
    assert len(set.union(*said.values())) == len(said)
