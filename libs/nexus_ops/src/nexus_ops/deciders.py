"""Which decider rules which category: what a replay decides with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from nexus_common.contracts.decider import AnyDecider
from nexus_cortex.domain.model import MODELS
from nexus_executor.domain.account import ACCOUNT
from nexus_executor.domain.order import ORDER
from nexus_executor.domain.trade import TRADE
from nexus_scheduler.domain.schedule import SCHEDULE
from nexus_shield.domain.guard import GUARD
from nexus_shield.domain.risk import RISK
from nexus_telegram.domain.access import ACCESS
from nexus_telegram.domain.notices import NOTICE
from nexus_telegram.domain.session import SESSION

DECIDERS: Final[Mapping[str, AnyDecider]] = {
    decider.category: decider
    for decider in (ACCOUNT, ORDER, TRADE, SCHEDULE, GUARD, RISK, ACCESS, NOTICE, SESSION, MODELS)
}
