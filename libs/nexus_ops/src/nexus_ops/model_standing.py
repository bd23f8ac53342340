"""How models stand: who reads the regime, who watches, how they did, and where rules are read instead."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any

from nexus_common.contracts.model import ModelCard
from nexus_common.contracts.signal import RegimeRead
from nexus_common.contracts.values import ModelId, format_instant
from nexus_common.runtime.errors import ConfigurationError
from nexus_common.runtime.ports import EventStore
from nexus_cortex.domain.model import ModelState
from nexus_ops.recorded_models import model_state
from nexus_ops.timetravel import last_close

# Regimes change every few hours; so many signal events reach back far enough to hold one of every instrument.
SIGNALS_LOOKED_AT = 20_000


async def models_standing(store: EventStore) -> dict[str, Any]:
    """All registered models, champion, shadow, and the regime of each instrument with who read it and why."""
    state = await model_state(store)
    now = await last_close(store)
    return {
        "champion": state.champion,
        "champion_since": _instant(state.reigns[-1].effective_from if state.reigns else None),
        "champion_in_use": None if now is None else state.champion_at(now),
        "champion_refused": None if state.champion is None else state.refused.get(state.champion),
        "shadow": state.shadow,
        "shadow_since": _instant(state.shadow_since),
        "models": [_row(card, state) for card in state.cards.values()],
        "regimes": await regimes_now(store),
    }


async def model_standing(store: EventStore, name: str) -> dict[str, Any]:
    """One model by its id or the beginning of it: its card, its scores and its drift.

    Raises:
        ConfigurationError: no model is called so, or several are.
    """
    state = await model_state(store)
    card = state.cards[known_model(state, name)]
    board = state.boards[-1] if state.boards else None
    drift = state.drift if state.drift is not None and state.drift.model == card.model else None
    return {
        **_row(card, state),
        "digest": card.digest,
        "schema_hash": card.schema_hash,
        "timeframe": str(card.timeframe),
        "instruments": list(card.instruments),
        "classes": list(card.classes),
        "metrics": {name: float(value) for name, value in card.metrics.items()},
        "scoreboard": None
        if board is None
        else {
            "since": format_instant(board.since),
            "at": format_instant(board.at),
            "scores": [
                {
                    "contender": str(score.contender),
                    "model": score.model,
                    "closes": score.closes,
                    "right": score.right,
                    "mean_r": float(score.mean_r),
                }
                for score in board.scores
            ],
        },
        "drift": None
        if drift is None
        else {
            "at": format_instant(drift.at),
            "rows": drift.rows,
            "drifted": list(drift.drifted),
            "psi": {name: float(value) for name, value in drift.psi.items()},
        },
        "regimes": await regimes_now(store) if state.champion == card.model else [],
    }


async def regime_standing(store: EventStore) -> dict[str, Any]:
    """Champion and shadow, and of how many instruments each of them and the rules read the regime, and why."""
    state = await model_state(store)
    regimes = await regimes_now(store)
    return {
        "champion": state.champion,
        "shadow": state.shadow,
        "read_by": dict(Counter(row["model_version"] for row in regimes)),
        "fallbacks": dict(Counter(row["fallback"].partition(":")[0] for row in regimes if row["fallback"])),
    }


async def regimes_now(store: EventStore) -> list[dict[str, Any]]:
    """The regime of each instrument as it was last recorded; `fallback` is why rules were read beside a model."""
    found: dict[tuple[str, str], RegimeRead] = {}
    for recorded in await store.latest("signal", SIGNALS_LOOKED_AT):
        if isinstance(recorded.event, RegimeRead):
            found[recorded.event.venue, recorded.event.symbol] = recorded.event
    return [
        {
            "venue": str(read.venue),
            "symbol": str(read.symbol),
            "since": format_instant(read.candle_close),
            "regime": str(read.regime),
            "strategy": read.strategy,
            "confidence": float(read.confidence),
            "model_version": read.model_version,
            "fallback": read.fallback,
        }
        for _, read in sorted(found.items())
    ]


def known_model(state: ModelState, name: str) -> ModelId:
    """A registered model by its id or the beginning of it.

    Raises:
        ConfigurationError: no model is called so, or several are; the text lists those there are.
    """
    found = [model for model in state.cards if model.startswith(name)]
    if len(found) == 1:
        return found[0]
    known = ", ".join(state.cards) or "none; `nexus models register FOLDER` adds one"
    problem = f"there is no model {name}" if not found else f"{len(found)} models begin with {name}"
    raise ConfigurationError(f"{problem}: registered are {known}")


def _row(card: ModelCard, state: ModelState) -> dict[str, Any]:
    return {
        "model": card.model,
        "standing": _standing(card.model, state),
        "refused": state.refused.get(card.model),
        "trained_from": format_instant(card.trained_from),
        "trained_to": format_instant(card.trained_to),
        "rows": card.rows,
    }


def _standing(model: ModelId, state: ModelState) -> str:
    if model in state.refused:
        return "refused"
    if model == state.champion:
        return "champion"
    return "shadow" if model == state.shadow else "registered"


def _instant(moment: datetime | None) -> str | None:
    return None if moment is None else format_instant(moment)
