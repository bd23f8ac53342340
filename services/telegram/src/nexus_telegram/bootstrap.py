"""Telegram put together: the owner's session, and the commands of a script."""

from __future__ import annotations

from collections.abc import Sequence

from nexus_common.contracts.session import AccountSpec
from nexus_common.contracts.values import AccountId, Venue
from nexus_common.runtime.errors import ConfigurationError
from nexus_common.runtime.service import Context, Work
from nexus_common.runtime.settings import NexusSettings
from nexus_telegram.handlers import SessionSpec, TelegramReactor
from nexus_telegram.projections import read_models
from nexus_telegram.script import read_script


def reactor(settings: NexusSettings) -> TelegramReactor:
    """Telegram as the settings want it; raises ConfigurationError for a script that cannot be read."""
    script = () if settings.telegram.script is None else read_script(settings.telegram.script)
    return TelegramReactor([owners_session(settings)], script, risk=settings.shield.risk)


def owners_session(settings: NexusSettings) -> SessionSpec:
    """The owner's session with an account at each venue; orders by hand go to the first that lists the symbol.

    Raises:
        ConfigurationError: the venues contradict one another.
    """
    telegram = settings.telegram
    stray = [venue for venue in telegram.live_venues if venue not in telegram.venues]
    if stray:
        raise ConfigurationError(
            f"NEXUS__TELEGRAM__LIVE_VENUES names {', '.join(stray)}, which NEXUS__TELEGRAM__VENUES does not: "
            "add it there, or leave it out"
        )
    primary = primary_venue(settings)
    return SessionSpec(
        user=telegram.owner,
        mode=telegram.mode,
        profile=telegram.profile,
        strategy=telegram.strategy,
        accounts=tuple(_account(settings, venue, primary) for venue in _in_order(telegram.venues, primary)),
    )


def primary_venue(settings: NexusSettings) -> Venue | None:
    """The crypto venue that signals trade at; None when the owner has no account at one.

    Raises:
        ConfigurationError: he has no account there, or it trades no crypto.
    """
    telegram = settings.telegram
    chosen = telegram.primary_venue
    if chosen is None:
        return next((venue for venue in telegram.venues if venue.is_crypto), None)
    if not chosen.is_crypto or chosen not in telegram.venues:
        raise ConfigurationError(
            f"NEXUS__TELEGRAM__PRIMARY_VENUE is {chosen}: choose a crypto venue among NEXUS__TELEGRAM__VENUES "
            f"({', '.join(telegram.venues)})"
        )
    return chosen


def _in_order(venues: Sequence[Venue], primary: Venue | None) -> list[Venue]:
    return sorted(dict.fromkeys(venues), key=lambda venue: venue is not primary)


def _account(settings: NexusSettings, venue: Venue, primary: Venue | None) -> AccountSpec:
    """Signals on crypto go to the primary venue, on stocks to Alpaca, to the other crypto venue on request."""
    telegram = settings.telegram
    paper = venue not in telegram.live_venues
    opening = telegram.paper_usdt if venue.is_crypto else telegram.paper_usd
    return AccountSpec(
        account=AccountId(f"{telegram.owner}.{venue}.{_kind(settings, venue)}"),
        venue=venue,
        paper=paper,
        currency="USDT" if venue.is_crypto else "USD",
        balance=opening if paper else None,
        signals=not venue.is_crypto or venue is primary or telegram.second_venue,
    )


def _kind(settings: NexusSettings, venue: Venue) -> str:
    """How an account's name ends. Alpaca's own paper side is another account there than the live one."""
    if venue not in settings.telegram.live_venues:
        return "paper"
    return "trial" if venue is Venue.ALPACA and not settings.venues.alpaca.live else "live"


async def build(context: Context) -> Work:
    await context.follow(read_models())
    return await context.lockstep(reactor(context.settings))
