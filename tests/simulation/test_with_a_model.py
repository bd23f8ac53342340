"""With a model the backtest's blocks decide what the running system's rows decide, byte for byte."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelling.handmade import by_feature, id_of
from nexus_common.contracts.signal import RegimeRead
from nexus_common.runtime.errors import ConfigurationError
from nexus_cortex.artefact import MODEL
from nexus_ingest import bootstrap as ingest
from nexus_ops.composition import LocalHouse, settings_for
from nexus_ops.decisions import decisions_hash, events_of
from nexus_ops.skipping import SkippingHouse

SURE = by_feature("rsi", "mean_reversion", "trend", at=50.0)
MARKET = {
    "NEXUS__INGEST__MINUTES": "900",
    "NEXUS__INGEST__SEED": "6",
    "NEXUS__INGEST__SYMBOLS": "BTCUSDT,DOGEUSDT,XRPUSDT",  # the last one is not the model's
    "NEXUS__TELEGRAM__MODE": "pilot",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in SURE.items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


async def test_a_backtest_decides_with_a_model_what_stepping_through_every_instant_decides(
    folder: Path,
) -> None:
    settings = settings_for({**MARKET, "NEXUS__CORTEX__MODEL": str(folder)})
    market = ingest.market(settings.ingest)
    whole, skipping = LocalHouse(settings, market), SkippingHouse(settings, market)
    await whole.open()
    for step in market.steps():
        await whole.step(step)
    await skipping.open()
    taken = [step async for step in skipping.play()]

    assert len(taken) < 900
    reads = [r.event for r in [e async for e in events_of(whole.store, ("signal",))]]
    by_model = {(e.symbol, e.model_version) for e in reads if isinstance(e, RegimeRead)}
    assert {("BTCUSDT", id_of(SURE)), ("DOGEUSDT", id_of(SURE)), ("XRPUSDT", "rules")} <= by_model
    assert ("XRPUSDT", id_of(SURE)) not in by_model
    assert await decisions_hash(skipping.store) == await decisions_hash(whole.store)


def test_a_model_in_the_settings_that_was_changed_is_refused_before_anything_starts(folder: Path) -> None:
    (folder / MODEL).write_bytes(SURE[MODEL][:-10])
    with pytest.raises(ConfigurationError, match=r"NEXUS__CORTEX__MODEL\): model.ubj was changed"):
        settings_for({**MARKET, "NEXUS__CORTEX__MODEL": str(folder)})
