"""Cortex put together."""

from __future__ import annotations

from collections.abc import Callable

from nexus_common.runtime.bus.topology import partition_of
from nexus_common.runtime.service import Context, Work
from nexus_common.runtime.settings import NexusSettings
from nexus_cortex.handlers import CortexReactor


def reactor(settings: NexusSettings, owns: Callable[[str], bool] = lambda key: True) -> CortexReactor:
    """Cortex as the settings want it; also for backtests and replays, which have no bus."""
    cortex = settings.cortex
    return CortexReactor(
        cortex.strategy, cortex.parameters, cortex.shark_targets, owns, timeframes=cortex.timeframes
    )


async def build(context: Context) -> Work:
    return await context.lockstep(
        reactor(context.settings, lambda key: context.leases.owns(partition_of(key)))
    )
