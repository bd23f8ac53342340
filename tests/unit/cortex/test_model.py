"""Which model reads the regime: registered, promoted, rolled back, refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from nexus_common.contracts.model import (
    DriftMeasured,
    MeasureDrift,
    ModelCard,
    ModelDeclined,
    ModelPromoted,
    ModelRefused,
    ModelRegistered,
    ModelRolledBack,
    PromoteModel,
    RefuseModel,
    RegisterModel,
    RollBackModel,
    ScoreShadow,
    SetShadow,
    ShadowScored,
    ShadowSet,
)
from nexus_common.contracts.values import ModelId, Symbol, Timeframe
from nexus_common.testing.spec import given
from nexus_cortex.domain.model import MODELS, next_close

NOON = datetime(2025, 3, 3, 12, tzinfo=UTC)
QUARTER = timedelta(minutes=15)
A, B, C = (ModelId(name * 12) for name in "abc")


def card(model: ModelId) -> ModelCard:
    return ModelCard(
        model=model,
        digest=model * 5,
        schema_hash="s",
        timeframe=Timeframe.M15,
        instruments=(Symbol("BTCUSDT"),),
        classes=("none", "trend"),
        trained_from=NOON,
        trained_to=NOON,
        rows=1_000,
        metrics={"accuracy": Decimal("0.5")},
    )


def registered(*models: ModelId) -> list[ModelRegistered]:
    return [ModelRegistered(card=card(model), by="owner") for model in models]


def promoted(model: ModelId, previous: ModelId | None, quarters: int = 1) -> ModelPromoted:
    return ModelPromoted(
        model=model, previous=previous, effective_from=NOON + quarters * QUARTER, by="owner", reason="better"
    )


def promote(model: ModelId, quarters: int = 1) -> PromoteModel:
    return PromoteModel(model, NOON + quarters * QUARTER, "owner", "better", NOON)


def roll_back(quarters: int = 5) -> RollBackModel:
    return RollBackModel(NOON + quarters * QUARTER, "owner", "worse", NOON)


def rolled_back(withdrawn: ModelId, model: ModelId | None, quarters: int = 5) -> ModelRolledBack:
    return ModelRolledBack(
        withdrawn=withdrawn,
        model=model,
        effective_from=NOON + quarters * QUARTER,
        by="owner",
        reason="worse",
    )


def test_a_model_is_registered_once() -> None:
    register = RegisterModel(card(A), "owner", NOON)
    given(MODELS).when(register).then(*registered(A))
    given(MODELS, *registered(A)).when(register).then_nothing()


def test_a_registered_model_is_promoted_from_a_close_on() -> None:
    after = given(MODELS, *registered(A)).when(promote(A)).then(promoted(A, None)).state
    assert after.champion == A
    assert after.champion_at(NOON) is None
    assert after.champion_at(NOON + QUARTER) == A


def test_promoting_the_champion_again_is_nothing() -> None:
    given(MODELS, *registered(A), promoted(A, None)).when(promote(A, 2)).then_nothing()


def test_a_model_that_nobody_registered_is_declined_and_those_there_are_named() -> None:
    (event,) = given(MODELS, *registered(A)).when(promote(B)).events
    assert event == ModelDeclined(
        asked="promote", model=B, reason=f"it is not registered; there is {A}", by="owner"
    )


def test_a_refused_model_is_declined_with_the_reason_it_was_refused_for() -> None:
    refused = ModelRefused(model=A, reason="manifest.json: wrong SHA-256", by="cortex")
    for wish in (promote(A), SetShadow(A, NOON, "owner", NOON)):
        (event,) = given(MODELS, *registered(A), refused).when(wish).events
        assert isinstance(event, ModelDeclined)
        assert "wrong SHA-256" in event.reason


def test_a_model_that_is_registered_anew_is_refused_no_more() -> None:
    history = [*registered(A), ModelRefused(model=A, reason="truncated", by="cortex")]
    given(MODELS, *history).when(RegisterModel(card(A), "owner", NOON)).then(*registered(A))
    given(MODELS, *history, *registered(A)).when(promote(A)).then(promoted(A, None))


def test_rolling_back_leads_through_the_champions_to_rules() -> None:
    history = [*registered(A, B), promoted(A, None), promoted(B, A, 2)]
    first = given(MODELS, *history).when(roll_back()).then(rolled_back(B, A)).state
    assert first.champion == A
    assert first.champion_at(NOON + 2 * QUARTER) == B
    assert first.champion_at(NOON + 5 * QUARTER) == A
    second = given(MODELS, *history, rolled_back(B, A)).when(roll_back(6)).then(rolled_back(A, None, 6)).state
    assert second.champion is None
    assert second.champion_at(NOON + 6 * QUARTER) is None
    again = given(MODELS, *history, rolled_back(B, A), rolled_back(A, None, 6)).when(roll_back(7))
    again.then_types(ModelDeclined)


def test_rolling_back_passes_over_a_model_that_was_refused() -> None:
    history = [*registered(A, B, C), promoted(A, None), promoted(B, A, 2), promoted(C, B, 3)]
    refused = ModelRefused(model=B, reason="truncated", by="cortex")
    after = given(MODELS, *history, refused).when(roll_back()).then(rolled_back(C, A)).state
    assert after.line == (A,)


def test_of_two_promotions_for_one_close_the_later_one_counts() -> None:
    state = given(MODELS, *registered(A, B), promoted(A, None), promoted(B, A)).state
    assert state.champion_at(NOON + QUARTER) == B


def test_a_shadow_is_set_changed_and_taken_away() -> None:
    since = NOON + QUARTER
    shadowed = ShadowSet(model=B, effective_from=since, by="owner")
    after = given(MODELS, *registered(A, B)).when(SetShadow(B, since, "owner", NOON)).then(shadowed).state
    assert after.shadow_at(NOON) is None
    assert after.shadow_at(since) == B
    again = given(MODELS, *registered(A, B), shadowed)
    again.when(SetShadow(B, since, "owner", NOON)).then_nothing()
    nobody = ShadowSet(model=None, effective_from=since, by="owner")
    assert again.when(SetShadow(None, since, "owner", NOON)).then(nobody).state.shadow_at(since) is None


def test_the_champion_is_not_its_own_shadow_and_a_promoted_shadow_is_none_any_more() -> None:
    history = [*registered(A, B), promoted(A, None)]
    given(MODELS, *history).when(SetShadow(A, NOON, "owner", NOON)).then_types(ModelDeclined)
    shadowed = ShadowSet(model=B, effective_from=NOON, by="owner")
    after = given(MODELS, *history, shadowed).when(promote(B, 2)).state
    assert (after.champion, after.shadow) == (B, None)


def test_scores_of_a_day_are_recorded_once_and_a_new_contest_begins_without_any() -> None:
    score = ScoreShadow(NOON, NOON + timedelta(days=1), (), NOON + timedelta(days=2))
    scored = ShadowScored(since=NOON, at=NOON + timedelta(days=1), scores=())
    given(MODELS).when(score).then(scored)
    given(MODELS, scored).when(score).then_nothing()
    assert given(MODELS, *registered(A), scored, promoted(A, None)).state.boards == ()


def test_drift_names_the_features_that_are_others_now() -> None:
    psi = {"rsi": Decimal("0.30"), "adx": Decimal("0.25"), "width": Decimal("0.24")}
    measure = MeasureDrift(A, NOON, 96, psi, NOON)
    measured = DriftMeasured(model=A, at=NOON, rows=96, psi=psi, drifted=("adx", "rsi"))
    given(MODELS).when(measure).then(measured)
    given(MODELS, measured).when(measure).then_nothing()


def test_the_same_refusal_is_told_once() -> None:
    refuse = RefuseModel(A, "truncated", "cortex", NOON)
    refused = ModelRefused(model=A, reason="truncated", by="cortex")
    given(MODELS).when(refuse).then(refused)
    given(MODELS, refused).when(refuse).then_nothing()


@pytest.mark.parametrize(
    ("minute", "second", "expected"), [(0, 0, 15), (0, 1, 15), (14, 59, 15), (15, 0, 30), (45, 30, 60)]
)
def test_a_change_takes_effect_at_the_next_close(minute: int, second: int, expected: int) -> None:
    at = NOON + timedelta(minutes=minute, seconds=second)
    assert next_close(at) == NOON + timedelta(minutes=expected)
