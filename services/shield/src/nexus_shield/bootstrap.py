"""Shield put together."""

from __future__ import annotations

from nexus_common.runtime.service import Context, Work
from nexus_common.runtime.settings import NexusSettings
from nexus_common.runtime.ticks import TickReader
from nexus_shield.adapters.tick_watch import TickWatch
from nexus_shield.domain.market_view import REFERENCE
from nexus_shield.handlers import ShieldReactor


def reactor(settings: NexusSettings) -> ShieldReactor:
    """Shield as the settings want it; also for backtests and replays, which have no bus."""
    return ShieldReactor(
        settings.shield.risk, settings.shield.guard, shark_targets=settings.cortex.shark_targets
    )


async def build(context: Context) -> Work:
    shield = reactor(context.settings)
    if context.settings.ingest.market == "live":
        context.beside.append(tick_watch(context, shield).run)
    return await context.lockstep(shield)


def tick_watch(context: Context, shield: ShieldReactor) -> TickWatch:
    """Live markets have ticks; played ones have bars alone."""
    speed = context.settings.feeds.market_speed
    crypto = [(venue, REFERENCE) for venue in context.settings.feeds.venues if venue.is_crypto]
    return TickWatch(
        context.bus,
        TickReader(context.bus, crypto),
        shield.sentinel.ticks,
        shield.sentinel.find,
        1.0 if speed == "max" else float(speed),
    )
