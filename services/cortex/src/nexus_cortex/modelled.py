"""Cortex with the regime model: hears who reads the regime, and decides it where the stream is its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

import numpy as np

from nexus_common.contracts import ids
from nexus_common.contracts.envelope import Envelope
from nexus_common.contracts.message import Event
from nexus_common.contracts.model import (
    REGIME,
    Contender,
    MeasureDrift,
    PromoteModel,
    RefuseModel,
    ScoreShadow,
)
from nexus_common.contracts.values import Service, Timeframe
from nexus_common.runtime.log import get_logger
from nexus_common.runtime.ports import Desk, Turn
from nexus_cortex.adapters.clerk import Clerk
from nexus_cortex.artefact import Artefact, ArtefactRefused
from nexus_cortex.domain.drift import drift, usable_rows
from nexus_cortex.domain.evaluation import MAIN
from nexus_cortex.domain.model import MODELS, next_close
from nexus_cortex.domain.scoreboard import promotion, scores
from nexus_cortex.domain.strategies.strategy import MarketView
from nexus_cortex.handlers import CortexReactor
from nexus_cortex.models_in_use import ModelsInUse
from nexus_market.candles import EPOCH, to_millis
from nexus_market.features import FeatureColumns

QUARTER: Final = Timeframe.M15.duration
DAY: Final = timedelta(days=1)
# A week holds every weekday once; a single day's rows say more of that day than of the market.
DRIFT_OVER: Final = timedelta(days=7)
DRIFT_ROWS_MIN: Final = 500
OURSELVES: Final = "cortex"
BY_RULE: Final = "the rule for shadows"
log = get_logger(__name__)


class ModelledCortex:
    """Judges as `CortexReactor` does, with the champion of each close.

    Every replica follows the stream of models. The one that owns it takes wishes, refuses what cannot be loaded,
    and once a day, a quarter of an hour after midnight, scores the contest and measures drift. All of that is
    computed from the candles held, so a restart loses nothing of it.
    """

    service = Service.CORTEX
    listens: Mapping[str, int | None] = {**CortexReactor.listens, "model": None}

    def __init__(
        self,
        cortex: CortexReactor,
        models: ModelsInUse,
        clerk: Clerk,
        is_ours: Callable[[], bool],
        *,
        promotes: bool = False,
    ) -> None:
        """`is_ours` says at each turn whether this process decides; `promotes` lets a shadow win by the rule."""
        self._cortex = cortex
        self._models = models
        self._clerk = clerk
        self._is_ours = is_ours
        self._promotes = promotes
        self._caught_up: datetime | None = None
        self._measured: datetime | None = None
        cortex.read_with(models.read_regimes)

    def observe(self, envelope: Envelope[Event]) -> None:
        self._models.observe(envelope)
        self._cortex.observe(envelope)

    async def resume(self, desk: Desk) -> None:
        await self._models.ready(self._models.state.champion)
        await self._cortex.resume(desk)

    async def react(self, turn: Turn, batch: Sequence[Envelope[Event]], desk: Desk) -> None:
        close = EPOCH + (turn.at - EPOCH) // QUARTER * QUARTER
        if close != self._caught_up:
            # What was decided before this close is committed by now, whoever decided it.
            await self._models.catch_up()
            self._caught_up = close
        await self._models.ready(self._models.state.champion_at(close))
        await self._cortex.react(turn, batch, desk)
        if self._is_ours():
            await self._refuse_unusable(turn.at, desk)
            await self._take_wishes(turn.at, desk)
            await self._measure_yesterday(close, turn.at, desk)

    async def _refuse_unusable(self, at: datetime, desk: Desk) -> None:
        """Tell of a model that is wanted and cannot be loaded."""
        state = self._models.state
        for model in (state.champion, state.shadow):
            refusal = None if model is None else self._models.loaded.get(model)
            if model is None or not isinstance(refusal, ArtefactRefused) or model in state.refused:
                continue
            log.error("model refused, rules read the regime", model=model, reason=str(refusal))
            command = RefuseModel(model, str(refusal), OURSELVES, at)
            await desk.handle(MODELS, REGIME, command, cause=ids.timer_id(f"model-refused/{model}", at))

    async def _take_wishes(self, at: datetime, desk: Desk) -> None:
        for prepared in self._clerk.waiting():
            command = prepared.command(at)
            events = await desk.handle(MODELS, REGIME, command, cause=prepared.wish.cause)
            self._clerk.decided(prepared, anything=bool(events))

    async def _measure_yesterday(self, close: datetime, at: datetime, desk: Desk) -> None:
        """At a day's second close, when the candles of midnight are in for certain."""
        state = self._models.state
        midnight = EPOCH + (close - QUARTER - EPOCH) // DAY * DAY
        since, done = state.contest_since, self._measured
        if since is None or midnight <= since or (done is not None and midnight <= done):
            return
        self._measured = midnight
        await self._models.ready(state.champion, state.shadow)
        champion = self._models.usable(state.champion_at(midnight))
        shadow = self._models.usable(state.shadow_at(midnight))
        if champion is None and shadow is None:
            return
        day = _Day(midnight, at, self._cortex.looked_back())
        await self._score(day, since, champion, shadow, desk)
        if champion is not None:
            await _measure_drift(day, champion, desk)

    async def _score(
        self, day: _Day, since: datetime, champion: Artefact | None, shadow: Artefact | None, desk: Desk
    ) -> None:
        boards = self._models.state.boards
        if boards and boards[-1].at >= day.end:
            return
        asked = {Contender.CHAMPION: champion, Contender.SHADOW: shadow}
        models = {contender: model for contender, model in asked.items() if model is not None}
        board = scores(day.views, models, boards[-1] if boards else None, since, day.end)
        command = ScoreShadow(since, day.end, board, day.at)
        await desk.handle(MODELS, REGIME, command, cause=ids.timer_id("model-scores", day.end))
        reason = promotion(self._models.state.boards)
        if self._promotes and shadow is not None and reason is not None:
            wish = PromoteModel(shadow.model, next_close(day.at), BY_RULE, reason, day.at)
            await desk.handle(MODELS, REGIME, wish, cause=ids.timer_id("model-promotion", day.end))


@dataclass(frozen=True, slots=True)
class _Day:
    """A day that is over: when it ended, the instant at which it is measured, and what is held of the past."""

    end: datetime
    at: datetime
    views: Sequence[MarketView]


async def _measure_drift(day: _Day, champion: Artefact, desk: Desk) -> None:
    week = [
        _between(view, day.end - DRIFT_OVER, day.end)
        for view in day.views
        if view.symbol in champion.instruments
    ]
    rows = usable_rows(week)
    if len(rows) < DRIFT_ROWS_MIN:
        return
    psi = drift(rows, champion.manifest["reference"])
    command = MeasureDrift(champion.model, day.end, len(rows), psi, day.at)
    await desk.handle(MODELS, REGIME, command, cause=ids.timer_id("model-drift", day.end))


def _between(view: MarketView, after: datetime, until: datetime) -> MarketView:
    """The rows that closed in this time."""
    closes = view.bars.close_time()
    first, last = np.searchsorted(closes, (to_millis(after), to_millis(until)), side="right").tolist()
    # Indicators are causal: cutting later bars off changes nothing in what stands before.
    rows = FeatureColumns(view.bars.window[: view.bars.start + last], view.bars.start + first, MAIN)
    return replace(view, bars=rows)
