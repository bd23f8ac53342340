"""The accounts that a command is about, and a way to each at its venue."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from nexus_common.contracts.session import AccountSpec, SessionOpened
from nexus_common.contracts.values import AccountId, Profile, Venue
from nexus_common.runtime.ports import EventStore
from nexus_common.runtime.settings import NexusSettings
from nexus_executor.credentials import keys_of
from nexus_executor.venues.access import TurnClock
from nexus_executor.venues.native import NATIVE, NativeBroker, live_access, simulated_access
from nexus_ops.access import stack_word
from nexus_ops.composition import settings_for
from nexus_ops.decisions import events_of
from nexus_ops.stack.house import exchange_variables
from nexus_ops.timetravel import folded
from nexus_telegram.domain.session import Session


def settings_of_stack(home: Path) -> NexusSettings:
    """The settings of the run in a home folder, with the addresses of its exchange while it runs."""
    market, word = home / "market.json", stack_word(home)
    environment: dict[str, str] = json.loads(market.read_text()) if market.exists() else {}
    if word is not None:
        addresses = word["addresses"]
        venues = {venue: addresses[venue] for venue in Venue if venue in addresses}
        environment |= {"NEXUS__EXCHANGE__URL": addresses["exchange"], **exchange_variables(venues)}
    return settings_for(environment)


async def accounts_on_record(store: EventStore) -> dict[AccountId, AccountSpec]:
    """Every account that a session named."""
    found: dict[AccountId, AccountSpec] = {}
    async for recorded in events_of(store, ("session",)):
        if isinstance(recorded.event, SessionOpened):
            found.update({spec.account: spec for spec in recorded.event.accounts})
    return dict(sorted(found.items()))


async def profiles_on_record(store: EventStore) -> Mapping[AccountId, Profile]:
    """The profile of each account's user."""
    sessions: list[Session] = list((await folded(store, "session", None)).values())
    return {spec.account: session.profile for session in sessions for spec in session.accounts}


@asynccontextmanager
async def native_broker(settings: NexusSettings, account: AccountSpec) -> AsyncIterator[NativeBroker]:
    """The venue's broker of an account, to ask questions with; it is not opened, so nothing is changed there.

    Raises:
        ConfigurationError: a live account has no keys.
    """
    name, venue = account.account, account.venue
    if account.paper:
        access = simulated_access(settings, name, venue)
    else:
        keys = keys_of(name, settings.executor.credentials_file)
        access = live_access(settings, name, venue, keys)
    broker = NATIVE[venue](access, TurnClock(), None)
    try:
        yield broker
    finally:
        await broker.close()
