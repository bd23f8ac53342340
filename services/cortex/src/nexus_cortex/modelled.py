"""Cortex with the regime model: hears who reads the regime, and decides it where the stream is its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from nexus_common.contracts import ids
from nexus_common.contracts.envelope import Envelope
from nexus_common.contracts.message import Event
from nexus_common.contracts.model import (
    REGIME,
    MeasureDrift,
    PromoteModel,
    RefuseModel,
    ScoreShadow,
)
from nexus_common.contracts.values import Service, Timeframe
from nexus_common.runtime.log import get_logger
from nexus_common.runtime.ports import Desk, Turn
from nexus_cortex.adapters.clerk import Clerk
from nexus_cortex.artefact import ArtefactRefused
from nexus_cortex.domain.model import MODELS, next_close
from nexus_cortex.domain.scoreboard import promotion
from nexus_cortex.handlers import CortexReactor
from nexus_cortex.measuring import Day, Measured, kept, measure
from nexus_cortex.models_in_use import ModelsInUse
from nexus_market.candles import EPOCH

QUARTER: Final = Timeframe.M15.duration
DAY: Final = timedelta(days=1)
OURSELVES: Final = "cortex"
BY_RULE: Final = "the rule for shadows"
log = get_logger(__name__)


class ModelledCortex:
    """Judges as `CortexReactor` does, with the champion of each close.

    Every replica follows the stream of models. The one that owns it takes wishes, refuses what cannot be loaded,
    and once a day, a quarter of an hour after midnight, begins to score the contest and to measure drift, beside
    the turns. All of that is computed from the candles held, so a restart loses nothing of it.
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
        self._measuring: asyncio.Task[Measured] | None = None
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
        # A slow candle is read by who reigned at its own close.
        await self._models.ready(*self._models.state.champions_between(close - DAY, close))
        await self._cortex.react(turn, batch, desk)
        if self._is_ours():
            await self._refuse_unusable(turn.at, desk)
            await self._take_wishes(turn.at, desk)
            await self._record_measured(turn.at, desk)
            await self._measure_yesterday(close)

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

    async def _measure_yesterday(self, close: datetime) -> None:
        """Begin at a day's second close, when the candles of midnight are in for certain."""
        state = self._models.state
        midnight = EPOCH + (close - QUARTER - EPOCH) // DAY * DAY
        since, done = state.contest_since, self._measured
        if since is None or midnight <= since or (done is not None and midnight <= done):
            return
        self._measured = midnight
        await self._models.ready(state.champion, state.shadow)
        champion = self._models.usable(state.champion_at(midnight))
        shadow = self._models.usable(state.shadow_at(midnight))
        last = state.boards[-1] if state.boards else None
        if (champion is None and shadow is None) or (last is not None and last.at >= midnight):
            return
        day = Day(midnight, since, champion, shadow, last)
        views = [kept(view) for view in self._cortex.looked_back()]
        self._measuring = asyncio.ensure_future(asyncio.to_thread(measure, day, views))

    async def _record_measured(self, at: datetime, desk: Desk) -> None:
        """What a measurement has found, in the first turn after it is done; of a contest that is over, nothing."""
        if self._measuring is None or not self._measuring.done():
            return
        measuring, self._measuring = self._measuring, None
        failed = measuring.exception()
        if failed is not None:
            log.error("models not measured", reason=repr(failed))
            return
        measured = measuring.result()
        day = measured.day
        if day.since != self._models.state.contest_since:
            return
        command = ScoreShadow(day.since, day.end, measured.scores, at)
        await desk.handle(MODELS, REGIME, command, cause=ids.timer_id("model-scores", day.end))
        if day.champion is not None and measured.psi is not None:
            drift = MeasureDrift(day.champion.model, day.end, measured.rows, dict(measured.psi), at)
            await desk.handle(MODELS, REGIME, drift, cause=ids.timer_id("model-drift", day.end))
        reason = promotion(self._models.state.boards)
        if self._promotes and day.shadow is not None and reason is not None:
            wish = PromoteModel(day.shadow.model, next_close(at), BY_RULE, reason, at)
            await desk.handle(MODELS, REGIME, wish, cause=ids.timer_id("model-promotion", day.end))
