"""A house that leaves out the instants at which nobody can have anything to do, and decides the same.

After each step every service says how long it is quiet, the exchange inside which prices nothing trades;
what depends on bars alone (closes worth judging, falls of the reference market) is found beforehand over
whole arrays. Waking too early only costs time, so each of them errs on that side.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Protocol, cast

import numpy as np

from nexus_common.contracts.values import Service
from nexus_common.runtime.desk import WorkDesk
from nexus_common.runtime.ports import Desk
from nexus_common.runtime.settings import NexusSettings
from nexus_cortex.domain.strategies import with_parameters
from nexus_cortex.handlers import CortexReactor
from nexus_data.market_feed import Step
from nexus_data.playback import PlayedMarket
from nexus_market.candles import Millis
from nexus_market.quiet import ANY_PRICE, Quiet
from nexus_ops.catching_up import CatchUp
from nexus_ops.composition import LocalHouse
from nexus_ops.timeline import Timeline, closes_of
from nexus_ops.whole_market import whole_market_cortex
from nexus_shield.handlers import ShieldReactor
from nexus_telegram.script import read_script

SLEEPERS = (Service.EXECUTOR, Service.SHIELD, Service.TELEGRAM, Service.SCHEDULER)


class Sleeper(Protocol):
    """A reactor that can say how long it has nothing to do."""

    async def quiet(self, at: datetime, desk: Desk) -> Quiet | None:
        """After the turns of an instant; None: it wants a turn at the next one."""


class SkippingHouse(LocalHouse):
    """A `LocalHouse` that takes only the steps that matter; its store lacks commands and all other candles."""

    def __init__(self, settings: NexusSettings, market: PlayedMarket) -> None:
        judge = whole_market_cortex(settings.cortex, market) if _choice_is_fixed(settings) else None
        super().__init__(settings, market, judge, keep_commands=False)
        cortex = cast(CortexReactor, self._places[Service.CORTEX].reactor)
        self._played = market
        self._timeline = Timeline(market, settings.shield.guard, _judged(market, cortex))
        self._catch_up = CatchUp(
            market,
            cast(ShieldReactor, self._places[Service.SHIELD].reactor),
            self._places[Service.EXECUTOR].reactor,
            cortex,
            self._exchanges,
        )
        self._sleepers: list[tuple[Sleeper, WorkDesk]] = [
            (cast(Sleeper, self._places[each].reactor), self._places[each].desk) for each in SLEEPERS
        ]

    async def play(self) -> AsyncIterator[Step]:
        """Take the steps that matter, in order; each is given out when it has been taken."""
        index = 0
        while index < len(self._played.instants):
            step = self._played.step_at(index)
            await self.step(step)
            yield step
            following = self._timeline.following(index, await self._quiet(step.at))
            if index + 1 < following < len(self._played.instants):
                self._catch_up.pass_over(index + 1, following)
            index = following

    async def _quiet(self, at: datetime) -> Quiet | None:
        quiet = Quiet()
        for sleeper, desk in self._sleepers:
            answer = await sleeper.quiet(at, desk)
            if answer is None:
                return None
            quiet = quiet.joined(answer)
        bands = {
            (venue, symbol): band
            for venue, symbol in self._timeline.keys
            if (band := self._exchanges[venue].quiet_band(symbol)) != ANY_PRICE
        }
        return quiet.joined(Quiet(None, bands)) if bands else quiet


def _judged(market: PlayedMarket, cortex: CortexReactor) -> Millis:
    """The closes that matter, as far as they are known beforehand; otherwise all that a strategy runs on."""
    known = cortex.judged_closes
    return closes_of(market, cortex.timeframes) if known is None else np.array(known, dtype=np.int64)


def _choice_is_fixed(settings: NexusSettings) -> bool:
    """Whether the strategies that cortex evaluates are the settings' own from the first close to the last."""
    table, chosen = with_parameters(settings.cortex.parameters), settings.telegram.strategy
    script = () if settings.telegram.script is None else read_script(settings.telegram.script)
    by_script = any("strateg" in entry.command.lower() for entry in script)
    return not by_script and (chosen == settings.cortex.strategy or chosen not in table)
