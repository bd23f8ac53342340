"""Telegram put together: the owner's session, and the commands of a script."""

from __future__ import annotations

from nexus_common.contracts.session import AccountSpec
from nexus_common.contracts.values import AccountId, Venue
from nexus_common.runtime.service import Context, Work
from nexus_common.runtime.settings import NexusSettings, TelegramSettings
from nexus_telegram.handlers import SessionSpec, TelegramReactor
from nexus_telegram.projections import read_models
from nexus_telegram.script import read_script


def reactor(settings: NexusSettings) -> TelegramReactor:
    """Telegram as the settings want it; raises ConfigurationError for a script that cannot be read."""
    script = () if settings.telegram.script is None else read_script(settings.telegram.script)
    return TelegramReactor([owners_session(settings.telegram)], script, risk=settings.shield.risk)


def owners_session(settings: TelegramSettings) -> SessionSpec:
    """The owner's session with a paper account at each venue."""
    return SessionSpec(
        user=settings.owner,
        mode=settings.mode,
        profile=settings.profile,
        strategy=settings.strategy,
        accounts=tuple(_paper_account(settings, venue) for venue in settings.venues),
    )


def _paper_account(settings: TelegramSettings, venue: Venue) -> AccountSpec:
    return AccountSpec(
        account=AccountId(f"{settings.owner}.{venue}.paper"),
        venue=venue,
        paper=True,
        currency="USDT" if venue.is_crypto else "USD",
        balance=settings.paper_usdt if venue.is_crypto else settings.paper_usd,
    )


async def build(context: Context) -> Work:
    await context.follow(read_models())
    return await context.lockstep(reactor(context.settings))
