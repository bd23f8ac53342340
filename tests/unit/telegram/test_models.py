"""Who looks after the installation is told of its models, and can ask."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from nexus_common.contracts.message import Event
from nexus_common.contracts.model import (
    DriftMeasured,
    ModelCard,
    ModelPromoted,
    ModelRefused,
    ModelRegistered,
    ModelRolledBack,
    ShadowSet,
)
from nexus_common.contracts.values import ModelId, Symbol, Timeframe

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
A, B = ModelId("a" * 12), ModelId("b" * 12)
Build = Callable[..., Any]
CARD = ModelCard(
    model=A,
    digest="d",
    schema_hash="s",
    timeframe=Timeframe.M15,
    instruments=(Symbol("BTCUSDT"),),
    classes=("none",),
    trained_from=NOON,
    trained_to=NOON,
    rows=10,
    metrics={},
)
PROMOTED = ModelPromoted(model=A, previous=None, effective_from=NOON, by="owner", reason="it is better")


def of_models(*events: Event) -> list[tuple[str, Event, None]]:
    return [("model-regime", event, None) for event in events]


async def test_changes_refusals_and_new_drift_are_told(installation: Build) -> None:
    nexus = installation()
    psi = {"adx": Decimal("0.41"), "atr": Decimal("0.30"), "rsi": Decimal("0.02")}
    drifted = DriftMeasured(model=A, at=NOON, rows=700, psi=psi, drifted=("adx", "atr"))
    await nexus.step(*of_models(ModelRegistered(card=CARD, by="owner"), PROMOTED, drifted))
    await nexus.step(*of_models(drifted.model_copy(update={"drifted": ("adx",)})))
    await nexus.step(
        *of_models(
            ModelRefused(model=B, reason="truncated", by="cortex"),
            ModelRolledBack(withdrawn=A, model=None, effective_from=NOON, by="owner", reason="worse"),
        )
    )
    told = await nexus.notices()
    assert [text.splitlines()[0] for text in told] == [
        f"MODEL  {A} reads the regime",
        f"DRIFT  not what model {A} was trained on",
        f"MODEL REFUSED  {B}: truncated; rules read the regime where it would have",
        "MODEL ROLLED BACK  the rules read the regime again",
    ]
    assert "it is better" in told[0]
    assert [line.split()[0] for line in told[1].splitlines()[1:3]] == ["adx", "atr"]


async def test_models_are_listed(installation: Build) -> None:
    nexus = installation("-", "/models")
    shadowed = ShadowSet(model=B, effective_from=NOON, by="owner")
    await nexus.step(*of_models(ModelRegistered(card=CARD, by="owner"), PROMOTED, shadowed))
    await nexus.step()
    answer = (await nexus.notices())[-1]
    lines = {line.split("  ")[0].strip(): line for line in answer.splitlines()}
    assert answer.startswith("MODELS")
    assert lines["reads the regime"].endswith(A)
    assert lines["shadow"].endswith(B)
    assert lines[A].endswith("trained to 2024-01-01")
