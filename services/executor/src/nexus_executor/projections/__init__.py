"""What executor shows, as tables that follow from events."""

from __future__ import annotations

from nexus_common.runtime.following import Together
from nexus_executor.projections.ledger import Ledger


def read_models() -> Together:
    return Together("executor", [Ledger()])
