"""Scheduler put together."""

from __future__ import annotations

from nexus_common.runtime.service import Context, Work
from nexus_common.runtime.settings import NexusSettings
from nexus_scheduler.handlers import SchedulerReactor


def reactor(settings: NexusSettings) -> SchedulerReactor:
    """Scheduler as the settings want it; also for backtests and replays, which have no bus."""
    return SchedulerReactor(settings.scheduler.daily_summary_cron, settings.scheduler.tasks_max)


async def build(context: Context) -> Work:
    return await context.lockstep(reactor(context.settings))
