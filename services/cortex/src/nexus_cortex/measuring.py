"""What is found out once a day of champion and shadow, from the candles that are held: scores and drift."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import numpy as np

from nexus_common.contracts.model import Contender, Score, ShadowScored
from nexus_cortex.artefact import Artefact
from nexus_cortex.domain.drift import drift, usable_rows
from nexus_cortex.domain.evaluation import MAIN
from nexus_cortex.domain.scoreboard import scores
from nexus_cortex.domain.strategies.strategy import MarketView
from nexus_market.candles import to_millis
from nexus_market.features import FeatureColumns
from nexus_market.indicators import Bars

# A week holds every weekday once; a single day's rows say more of that day than of the market.
DRIFT_OVER: Final = timedelta(days=7)
DRIFT_ROWS_MIN: Final = 500


@dataclass(frozen=True, slots=True)
class Day:
    """A day that is over, who was in the contest that began at `since`, and the last scoreboard before."""

    end: datetime
    since: datetime
    champion: Artefact | None
    shadow: Artefact | None
    last: ShadowScored | None


@dataclass(frozen=True, slots=True)
class Measured:
    """`psi` of the champion's features over `rows`; None without a champion, or with too few rows."""

    day: Day
    scores: tuple[Score, ...]
    rows: int
    psi: Mapping[str, Decimal] | None


def measure(day: Day, views: Sequence[MarketView]) -> Measured:
    """Score and compare; takes a moment (about 10 ms an instrument), so not in a turn."""
    asked = {Contender.CHAMPION: day.champion, Contender.SHADOW: day.shadow}
    models = {contender: model for contender, model in asked.items() if model is not None}
    board = scores(views, models, day.last, day.since, day.end)
    if day.champion is None:
        return Measured(day, board, 0, None)
    known = [view for view in views if view.symbol in day.champion.instruments]
    rows = usable_rows([_between(view, day.end - DRIFT_OVER, day.end) for view in known])
    enough = len(rows) >= DRIFT_ROWS_MIN
    return Measured(day, board, len(rows), drift(rows, reference_of(day.champion)) if enough else None)


def reference_of(model: Artefact) -> Mapping[str, Any]:
    """How the features were spread over the rows a model learned from; of a feature that is absent nothing is known."""
    found: Mapping[str, Any] = model.manifest.get("reference", {})
    return found


def kept(view: MarketView) -> MarketView:
    """A view on bars of its own: those that a history hands out change when the next bar is taken."""
    window = view.bars.window
    copied = Bars(*(getattr(window, field.name).copy() for field in fields(Bars)))
    return replace(view, bars=FeatureColumns(copied, view.bars.start, view.bars.timeframe))


def _between(view: MarketView, after: datetime, until: datetime) -> MarketView:
    """The rows that closed in this time."""
    closes = view.bars.close_time()
    first, last = np.searchsorted(closes, (to_millis(after), to_millis(until)), side="right").tolist()
    # Indicators are causal: cutting later bars off changes nothing in what stands before.
    rows = FeatureColumns(view.bars.window[: view.bars.start + last], view.bars.start + first, MAIN)
    return replace(view, bars=rows)
