"""What is due because time or price has moved on: proposals, time stops, break-even."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from nexus_common.contracts import ids
from nexus_common.contracts.market import Candle
from nexus_common.contracts.trade import ExitReason, ExpireProposal, MoveStop, OrderExit, TradeCommand
from nexus_common.contracts.values import AccountId, Direction
from nexus_common.runtime.ports import Desk
from nexus_executor.domain.holding import Holding
from nexus_executor.domain.rules import ExecutionRules
from nexus_executor.domain.trade import TRADE, TradeState
from nexus_executor.domain.trail import break_even_due, break_even_level, time_stop_due
from nexus_executor.domain.view import View
from nexus_market.quiet import Quiet, above, below


class Timers:
    """Asked every turn, decides each thing once: what has been decided is no longer due."""

    def __init__(self, view: View, owns: Callable[[AccountId], bool], rules: ExecutionRules) -> None:
        self._view = view
        self._owns = owns
        self._rules = rules

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
            if holding.proposed is not None or holding.is_over or holding.filled_at is None:
                continue
            trade: TradeState = await desk.state(TRADE, holding.trade)
            if self._owns(holding.account) and trade.is_held and trade.exit is None:
                level = break_even_level(trade, self._rules)
                key = (holding.venue, holding.symbol)
                is_long = holding.direction is Direction.LONG
                bands = {} if level is None else {key: below(level) if is_long else above(level)}
                quiet = quiet.joined(Quiet(time_stop_due(trade), bands))
        return quiet

    async def _proposal(self, holding: Holding, at: datetime, desk: Desk) -> None:
        proposed = holding.proposed
        if proposed is None:
            return
        if at >= proposed.expires_at:
            cause = ids.timer_id(f"proposal/{holding.trade}", proposed.expires_at)
            await self._decide(holding, ExpireProposal("expired without an answer", at), cause, desk)
            return
        bar = self._view.bars.closed_at(holding.venue, holding.symbol, at)
        if bar is None or abs(bar.close - proposed.price) <= proposed.drift_limit:
            return
        reason = f"drifted: price {bar.close} is more than {proposed.drift_limit} from {proposed.price}"
        cause = ids.timer_id(f"drift/{holding.trade}", at)
        await self._decide(holding, ExpireProposal(reason, at), cause, desk)

    async def _position(self, holding: Holding, at: datetime, desk: Desk) -> None:
        if holding.filled_at is None:
            return
        trade: TradeState = await desk.state(TRADE, holding.trade)
        if not trade.is_held or trade.exit is not None:
            return
        due = time_stop_due(trade)
        if due is not None and at >= due:
            bars = trade.terms.plan.time_stop_bars
            detail = f"{bars} bars of {trade.terms.timeframe} have passed"
            cause = ids.timer_id(f"time-stop/{holding.trade}", due)
            await self._decide(holding, OrderExit(ExitReason.TIME, detail, at), cause, desk)
            return
        # A bar that filled something says nothing about what its prices did after that fill.
        bar = self._view.bars.closed_at(holding.venue, holding.symbol, at) if holding.filled_at < at else None
        if bar is not None:
            await self._break_even(holding, trade, bar, at, desk)

    async def _break_even(
        self, holding: Holding, trade: TradeState, bar: Candle, at: datetime, desk: Desk
    ) -> None:
        instrument = self._view.instrument(holding.venue, holding.symbol)
        if instrument is None:
            return
        stop = break_even_due(trade, bar, instrument, self._rules)
        if stop is not None:
            cause = ids.derived(UUID(holding.trade), f"break-even/{trade.protections}")
            await self._decide(holding, MoveStop(stop, "break-even", at), cause, desk)

    async def _decide(self, holding: Holding, command: TradeCommand, cause: UUID, desk: Desk) -> None:
        await desk.handle(
            TRADE,
            holding.trade,
            command,
            cause=cause,
            correlation=holding.correlation,
            account=holding.account,
        )
