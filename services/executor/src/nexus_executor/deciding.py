"""A command to a trade that is in hand, filed under the trade's account and correlation."""

from __future__ import annotations

from uuid import UUID

from nexus_common.contracts.trade import TradeCommand
from nexus_common.runtime.ports import Desk
from nexus_executor.domain.holding import Holding
from nexus_executor.domain.trade import TRADE


async def decide(holding: Holding, command: TradeCommand, cause: UUID, desk: Desk) -> None:
    await desk.handle(
        TRADE,
        holding.trade,
        command,
        cause=cause,
        correlation=holding.correlation,
        account=holding.account,
    )
