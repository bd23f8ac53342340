"""The sentinel's part in a turn: put on record what bars and ticks show of a fall, and end what is over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nexus_common.contracts.envelope import Envelope
from nexus_common.contracts.guard import BlackSwanDeclared, ReleaseGuard
from nexus_common.contracts.ids import timer_id
from nexus_common.contracts.limits import GuardSettings
from nexus_common.contracts.message import Event
from nexus_common.runtime.ports import Desk, Turn
from nexus_shield.domain.guard import CRYPTO, GUARD, GuardState
from nexus_shield.domain.market_view import MarketView
from nexus_shield.domain.tick_fall import TickFalls
from nexus_shield.domain.tick_findings import Confirmed, Unconfirmed


class Sentinel:
    """`ticks` is fed beside the turns; what was found there waits for the next one. It is lost with the process,
    and found again in the ticks that follow."""

    def __init__(self, market: MarketView, settings: GuardSettings) -> None:
        self.ticks = TickFalls(settings, market.fall_watch)
        self._market = market
        self._settings = settings
        self._found: list[Confirmed | Unconfirmed] = []

    def find(self, finding: Confirmed | Unconfirmed) -> None:
        self._found.append(finding)

    async def watch(self, turn: Turn, batch: Sequence[Envelope[Event]], desk: Desk) -> Envelope[Event] | None:
        """Release when the time is over, then declare what ticks and the batch's bars show; a black swan if any."""
        state: GuardState = await desk.state(GUARD, CRYPTO)
        until = state.black_swan_until
        if until is not None and turn.at >= until:
            release = ReleaseGuard("its time is over", turn.at)
            await desk.handle(GUARD, CRYPTO, release, cause=timer_id("guard-release", until))
        decided = [*await self._by_ticks(turn, desk), *await self._by_bars(batch, desk)]
        self.ticks.stand((await desk.state(GUARD, CRYPTO)).standing, turn.at)
        return next((each for each in decided if isinstance(each.event, BlackSwanDeclared)), None)

    async def _by_ticks(self, turn: Turn, desk: Desk) -> Sequence[Envelope[Any]]:
        found, self._found = self._found, []
        decided: list[Envelope[Any]] = []
        for finding in found:
            command = finding.command(self._settings, turn.at)
            decided += await desk.handle(GUARD, CRYPTO, command, cause=finding.cause)
        return decided

    async def _by_bars(self, batch: Sequence[Envelope[Event]], desk: Desk) -> Sequence[Envelope[Any]]:
        decided: list[Envelope[Any]] = []
        for envelope in batch if self._market.shows_fall else ():
            fall = self._market.take_fall(envelope.event_id)
            if fall is not None:
                declaration, story = fall.declaration(self._settings), envelope.correlation_id
                decided += await desk.handle(GUARD, CRYPTO, declaration, cause=fall.cause, correlation=story)
        return decided
