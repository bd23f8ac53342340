"""What Binance says about an account itself, for whoever checks it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from nexus_common.contracts.values import Symbol
from nexus_common.runtime.clock import WallClock
from nexus_executor.venues.access import Access
from nexus_executor.venues.binance import fields, rows
from nexus_executor.venues.binance.fields import Row, UnreadableFrame
from nexus_executor.venues.binance.rest import Rest
from nexus_executor.venues.broker import VenueDown
from nexus_executor.venues.facts import AccountFacts, PositionMode


async def account_facts(rest: Rest, access: Access, currency: str, asked: Iterable[Symbol]) -> AccountFacts:
    """Raises VenueDown; what a key may not ask is None with a note."""
    server_time, skew = await _time(rest)
    notes: list[str] = []
    try:
        config = _object(await rest.ask("account config"))
        can_trade, hedge = fields.flag(config, "canTrade"), fields.flag(config, "dualSidePosition")
        if fields.flag(config, "multiAssetsMargin"):
            notes.append("multi-assets mode is on: isolated margin cannot be set")
        burn = _object(await rest.ask("fee burn"))
        if fields.flag(burn, "feeBurn"):
            notes.append(f"fees are paid in BNB; entries are not possible until they are paid in {currency}")
        wallet = rows.wallet(await rest.rows("balance"), currency)
        leverage = await _leverage(rest, asked)
    except UnreadableFrame as error:
        raise VenueDown(f"Binance's account cannot be read: {error}") from error
    withdraw, restricted, futures = await _restrictions(rest, notes)
    return AccountFacts(
        server_time=server_time,
        clock_skew=skew,
        can_trade=can_trade if futures is None else can_trade and futures,
        can_withdraw=withdraw,
        ip_restricted=restricted,
        position_mode=PositionMode.HEDGE if hedge else PositionMode.ONE_WAY,
        leverage=leverage,
        wallet=wallet,
        live=access.live,
        notes=tuple(notes),
    )


async def _time(rest: Rest) -> tuple[datetime, timedelta]:
    clock = WallClock()
    before = clock.now()
    server_time = await rest.server_time()
    after = clock.now()
    return server_time, server_time - (before + (after - before) / 2)


async def _leverage(rest: Rest, asked: Iterable[Symbol]) -> dict[Symbol, int]:
    """Of each symbol that has a position or an order, or was asked for."""
    busy = {fields.text(row, "symbol") for row in await rest.rows("positions")}
    busy |= set(asked)
    found = {}
    for row in await rest.rows("symbol config"):
        if fields.text(row, "symbol") in busy:
            found[Symbol(fields.text(row, "symbol"))] = fields.whole(row, "leverage")
    return found


async def _restrictions(rest: Rest, notes: list[str]) -> tuple[bool | None, bool | None, bool | None]:
    """Whether the key may withdraw, is bound to addresses, may trade futures; None where it cannot be asked."""
    try:
        row = _object(await rest.ask("key restrictions"))
        return (
            fields.flag(row, "enableWithdrawals"),
            fields.flag(row, "ipRestrict"),
            fields.flag(row, "enableFutures"),
        )
    except (VenueDown, UnreadableFrame) as error:
        notes.append(f"the key's restrictions cannot be asked for: {error}")
        return None, None, None


def _object(found: Any) -> Row:
    if not isinstance(found, dict):
        raise UnreadableFrame("no object")
    return found
