"""Scheduler put together."""

from __future__ import annotations

from nexus_common.runtime.errors import ConfigurationError
from nexus_common.runtime.service import Context, Work
from nexus_common.runtime.settings import NexusSettings
from nexus_scheduler.domain.cron import BadCron
from nexus_scheduler.handlers import SchedulerReactor
from nexus_scheduler.projections import read_models


def reactor(settings: NexusSettings) -> SchedulerReactor:
    """Scheduler as the settings want it; raises ConfigurationError for a cron line that cannot be read."""
    try:
        return SchedulerReactor(settings.scheduler.daily_summary_cron, settings.scheduler.tasks_max)
    except BadCron as error:
        raise ConfigurationError(f"NEXUS__SCHEDULER__DAILY_SUMMARY_CRON: {error}") from error


async def build(context: Context) -> Work:
    await context.follow(read_models())
    return await context.lockstep(reactor(context.settings))
