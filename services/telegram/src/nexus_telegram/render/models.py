"""The regime models in words: what is told of them, and the answer to /models."""

from __future__ import annotations

from collections.abc import Sequence

from nexus_common.contracts.model import DriftMeasured, ModelPromoted, ModelRefused, ModelRolledBack
from nexus_common.contracts.values import ModelId
from nexus_telegram.model_view import ModelView
from nexus_telegram.render.figures import card, clock, ratio

DRIFTED_SHOWN = 5
RULES = "the rules"


def promoted(event: ModelPromoted) -> str:
    rows = [("from", clock(event.effective_from)), ("before", event.previous or RULES), ("by", event.by)]
    return card(f"MODEL  {event.model} reads the regime", [*rows, ("why", event.reason or "not said")])


def rolled_back(event: ModelRolledBack) -> str:
    rows = [("from", clock(event.effective_from)), ("withdrawn", event.withdrawn), ("by", event.by)]
    who = "the rules read" if event.model is None else f"{event.model} reads"
    return card(f"MODEL ROLLED BACK  {who} the regime again", [*rows, ("why", event.reason or "not said")])


def refused(event: ModelRefused) -> str:
    return f"MODEL REFUSED  {event.model}: {event.reason}; rules read the regime where it would have"


def drifted(event: DriftMeasured, newly: Sequence[str]) -> str:
    """The features that have just become others; those that were so before are told no more."""
    worst = sorted(newly, key=lambda name: -event.psi[name])
    rows = [(name.replace("_", " "), f"PSI {event.psi[name]:.2f}") for name in worst[:DRIFTED_SHOWN]]
    if len(worst) > DRIFTED_SHOWN:
        rows.append(("", f"and {len(worst) - DRIFTED_SHOWN} more"))
    rows.append(("in all", f"{len(event.drifted)} of {len(event.psi)}"))
    return card(f"DRIFT  not what model {event.model} was trained on", rows)


def listed(view: ModelView) -> str:
    rows = [("reads the regime", view.champion or RULES), ("shadow", view.shadow or "nobody")]
    rows += [(model, _line(model, view)) for model in view.cards]
    if view.board is not None:
        rows += [
            (f"{score.contender}", f"{ratio(score.mean_r)} R a close over {score.closes}")
            for score in view.board.scores
        ]
    if view.drift is not None:
        rows.append(("drifted", ", ".join(view.drift.drifted) or "nothing"))
    return card("MODELS", rows)


def _line(model: ModelId, view: ModelView) -> str:
    if model in view.refused:
        return f"refused: {view.refused[model]}"
    return f"trained to {view.cards[model].trained_to:%Y-%m-%d}"
