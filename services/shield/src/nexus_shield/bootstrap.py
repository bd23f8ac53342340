"""Shield put together."""

from __future__ import annotations

from nexus_common.runtime.service import Context, Work
from nexus_common.runtime.settings import NexusSettings
from nexus_shield.handlers import ShieldReactor


def reactor(settings: NexusSettings) -> ShieldReactor:
    """Shield as the settings want it; also for backtests and replays, which have no bus."""
    return ShieldReactor(settings.shield.risk, settings.shield.guard)


async def build(context: Context) -> Work:
    return await context.lockstep(reactor(context.settings))
