"""What is due because time or price has moved on: proposals, time stops, and what a closed bar leads to."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Final
from uuid import UUID

from nexus_common.contracts import ids
from nexus_common.contracts.market import Candle
from nexus_common.contracts.trade import ExitReason, ExpireProposal, OrderExit
from nexus_common.contracts.values import AccountId, Direction
from nexus_common.runtime.ports import Desk
from nexus_executor.deciding import decide
from nexus_executor.domain.holding import Holding
from nexus_executor.domain.rules import ExecutionRules
from nexus_executor.domain.trade import TRADE, TradeState
from nexus_executor.domain.trail import Managed, due, levels, time_stop_due
from nexus_executor.domain.traits import VenueTraits
from nexus_executor.domain.view import View
from nexus_market.quiet import Quiet, above, below

_CHANGES_MAX: Final = 8  # both targets, a step of progress, break-even, trailing: more than one bar can ask


class Timers:
    """Asked every turn, decides each thing once: what has been decided is no longer due."""

    def __init__(
        self,
        view: View,
        owns: Callable[[AccountId], bool],
        rules: ExecutionRules,
        traits: Callable[[AccountId], VenueTraits],
    ) -> None:
        self._view = view
        self._owns = owns
        self._rules = rules
        self._traits = traits

    async def ring(self, at: datetime, desk: Desk) -> None:
        for trade in list(self._view.proposals):
            holding = self._view.holdings[trade]
            if self._owns(holding.account):
                await self._proposal(holding, at, desk)
        for holding in list(self._view.holdings.values()):
            if holding.proposed is None and not holding.is_over and self._owns(holding.account):
                await self._position(holding, at, desk)

    async def quiet(self, desk: Desk) -> Quiet:
        """Before which time, and inside which prices, nothing that is held becomes due."""
        quiet = Quiet()
        for holding in self._view.holdings.values():
            if holding.proposed is not None or holding.is_over or not _can_be_due(holding):
                continue
            trade: TradeState = await desk.state(TRADE, holding.trade)
            is_under_way = trade.is_held or holding.is_ladder
            if not is_under_way or trade.exit is not None or not self._owns(holding.account):
                continue
            quiet = quiet.joined(Quiet(_time_stop_of(holding, trade)))
            managed = None if holding.is_ladder else self._managed(holding, trade)
            key = (holding.venue, holding.symbol)
            edge = below if holding.direction is Direction.LONG else above
            for level in () if managed is None else levels(managed):
                quiet = quiet.joined(Quiet(None, {key: edge(level)}))
        return quiet

    def _managed(self, holding: Holding, trade: TradeState) -> Managed | None:
        instrument = self._view.instrument(holding.venue, holding.symbol)
        if instrument is None:
            return None
        return Managed(trade, instrument, self._traits(holding.account), self._rules)

    async def _proposal(self, holding: Holding, at: datetime, desk: Desk) -> None:
        proposed = holding.proposed
        if proposed is None:
            return
        if at >= proposed.expires_at:
            cause = ids.timer_id(f"proposal/{holding.trade}", proposed.expires_at)
            await decide(holding, ExpireProposal("expired without an answer", at), cause, desk)
            return
        bar = self._view.bars.closed_now(holding.venue, holding.symbol)
        if bar is None or abs(bar.candle.close - proposed.price) <= proposed.drift_limit:
            return
        reason = (
            f"drifted: price {bar.candle.close} is more than {proposed.drift_limit} from {proposed.price}"
        )
        cause = ids.timer_id(f"drift/{holding.trade}", at)
        await decide(holding, ExpireProposal(reason, at), cause, desk)

    async def _position(self, holding: Holding, at: datetime, desk: Desk) -> None:
        if not _can_be_due(holding):
            return
        trade: TradeState = await desk.state(TRADE, holding.trade)
        if not (trade.is_held or holding.is_ladder) or trade.exit is not None:
            return
        if self._view.has_stopped(holding.venue, holding.symbol):
            detail = f"{holding.venue} stops trading {holding.symbol}"
            cause = ids.derived(UUID(holding.trade), "delisted")
            await decide(holding, OrderExit(ExitReason.DELISTED, detail, at), cause, desk)
            return
        due = _time_stop_of(holding, trade)
        if due is not None and at >= due:
            bars = trade.terms.plan.time_stop_bars
            detail = f"{bars} bars of {trade.terms.timeframe} have passed"
            cause = ids.timer_id(f"time-stop/{holding.trade}", due)
            await decide(holding, OrderExit(ExitReason.TIME, detail, at), cause, desk)
            return
        if holding.is_ladder or holding.filled_at is None:
            return  # What rests of a ladder is all its management.
        # A bar that filled something says nothing about what its prices did after that fill.
        bar = self._view.bars.closed_now(holding.venue, holding.symbol)
        if bar is not None and holding.filled_at <= bar.opened:
            await self._manage(holding, bar.candle, at, desk)

    async def _manage(self, holding: Holding, bar: Candle, at: datetime, desk: Desk) -> None:
        for _ in range(_CHANGES_MAX):
            trade: TradeState = await desk.state(TRADE, holding.trade)
            managed = self._managed(holding, trade)
            found = None if managed is None or trade.exit is not None else due(managed, bar, at)
            if found is None:
                return
            cause = ids.derived(UUID(holding.trade), found.purpose)
            await decide(holding, found.command, cause, desk)


def _can_be_due(holding: Holding) -> bool:
    """Whether anything can be: a ladder is under way before its first fill."""
    return holding.is_ladder or holding.filled_at is not None


def _time_stop_of(holding: Holding, trade: TradeState) -> datetime | None:
    """A ladder's time begins when it does: it binds margin from then on."""
    return time_stop_due(trade, holding.since if holding.is_ladder else trade.opened_at)
