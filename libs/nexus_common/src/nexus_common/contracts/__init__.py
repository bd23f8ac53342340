"""What services say to each other. Importing this package registers every event and command."""

from nexus_common.contracts import (
    account,
    beat,
    feed,
    guard,
    instrument,
    macro,
    market,
    model,
    notice,
    order,
    risk,
    run,
    schedule,
    session,
    signal,
    trade,
)

__all__ = [
    "account",
    "beat",
    "feed",
    "guard",
    "instrument",
    "macro",
    "market",
    "model",
    "notice",
    "order",
    "risk",
    "run",
    "schedule",
    "session",
    "signal",
    "trade",
]
