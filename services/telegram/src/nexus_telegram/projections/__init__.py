"""What telegram shows, as tables that follow from events."""

from __future__ import annotations

from nexus_common.runtime.following import Together
from nexus_telegram.projections.bot_state import BotState
from nexus_telegram.projections.notices import Notices
from nexus_telegram.projections.orders import Orders
from nexus_telegram.projections.positions import OpenPositions
from nexus_telegram.projections.sessions import Sessions
from nexus_telegram.projections.trades import ClosedTrades
from nexus_telegram.projections.users import Users


def read_models() -> Together:
    return Together(
        "telegram",
        [Sessions(), Users(), OpenPositions(), ClosedTrades(), Orders(), Notices(), BotState()],
    )
