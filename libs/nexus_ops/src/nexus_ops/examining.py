"""Asks venues and the store what `nexus doctor` judges."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import Final, NamedTuple

from nexus_common.contracts.session import AccountSpec
from nexus_common.contracts.values import AccountId, ClientOrderId, Profile, Symbol
from nexus_common.runtime.errors import ConfigurationError
from nexus_common.runtime.exchange_client import ExchangeClient
from nexus_common.runtime.ports import EventStore
from nexus_common.runtime.settings import NexusSettings
from nexus_executor.domain.order import OrderState
from nexus_executor.domain.trade_state import TradeState
from nexus_executor.venues.broker import Broker, VenueDown, VenueOrder, VenuePosition
from nexus_executor.venues.facts import AccountFacts
from nexus_executor.venues.native import NativeBroker
from nexus_executor.venues.paper import PaperBroker, WireGateway
from nexus_ops.doctor import Examined, Finding, Outcome, Record, strays, unexplained
from nexus_ops.timetravel import folded
from nexus_ops.venue_accounts import native_broker

# A stack at work fills and cancels between two questions; what stays for this long is no such moment.
LOOKS: Final = 4
LOOK_AGAIN_SECONDS: Final = 0.5
_SDKS: Final = ("ccxt", "pybit", "alpaca-py")
_DISK_WARN, _DISK_FAIL = 1_000_000_000, 100_000_000
Records = Mapping[AccountId, Record]


class _Answers(NamedTuple):
    facts: AccountFacts | None
    orders: Sequence[VenueOrder]
    positions: Sequence[VenuePosition]


async def examined(
    settings: NexusSettings, account: AccountSpec, profile: Profile, store: EventStore | None
) -> Examined:
    """One account, asked at its venue without changing anything there."""
    record = None if store is None else (await records(store)).get(account.account, Record())
    keys, trouble, answers = None, None, None
    async with AsyncExitStack() as closing:
        try:
            broker = await _broker(settings, account, closing)
            keys = _where(settings, account)
            answers = await _asked(broker)
            for _ in range(LOOKS if store is not None else 0):
                if record is None or store is None or not _stray(answers, record):
                    break
                await asyncio.sleep(LOOK_AGAIN_SECONDS)
                record = (await records(store)).get(account.account, Record())
                answers = await _asked(broker)
        except (ConfigurationError, VenueDown) as error:
            trouble = str(error)
    return Examined(
        account=account,
        profile=profile,
        keys=keys,
        trouble=trouble,
        facts=None if answers is None else answers.facts,
        orders=None if answers is None else answers.orders,
        positions=None if answers is None else answers.positions,
        record=record,
        simulated=account.paper,
    )


async def _broker(
    settings: NexusSettings, account: AccountSpec, closing: AsyncExitStack
) -> NativeBroker | Broker:
    if account.paper and settings.exchange.protocol == "exchange":
        client = ExchangeClient(
            settings.exchange.url, name="doctor", timeout=settings.exchange.timeout_seconds
        )
        closing.push_async_callback(client.close)
        return PaperBroker(account.account, WireGateway(client, account.venue), epoch=0)
    return await closing.enter_async_context(native_broker(settings, account))


def _where(settings: NexusSettings, account: AccountSpec) -> str:
    if account.paper:
        return "a paper account has its own"
    return f"in {settings.executor.credentials_file}, for its owner alone"


async def _asked(broker: NativeBroker | Broker) -> _Answers:
    asked = getattr(broker, "facts", None)
    facts: AccountFacts | None = None if asked is None else await asked()
    return _Answers(facts, await broker.open_orders(), await broker.positions())


def _stray(answers: _Answers, record: Record) -> bool:
    return bool(strays(answers.orders, record) or unexplained(answers.positions, record))


async def records(store: EventStore) -> Records:
    """What the store expects of each account."""
    orders: dict[AccountId, set[ClientOrderId]] = {}
    held: dict[AccountId, dict[Symbol, Decimal]] = {}
    standing: dict[str, OrderState] = await folded(store, "order", None)
    trades: dict[str, TradeState] = await folded(store, "trade", None)
    for name, order in standing.items():
        if order.intent is not None and not order.status.has_ended:
            orders.setdefault(order.intent.account, set()).add(ClientOrderId(name))
    for trade in trades.values():
        if trade.is_held:
            terms = trade.terms
            there = held.setdefault(terms.account, {})
            signed = trade.remaining * trade.direction.sign
            there[terms.symbol] = there.get(terms.symbol, Decimal(0)) + signed
    return {
        account: Record(frozenset(orders.get(account, ())), held.get(account, {}))
        for account in {*orders, *held}
    }


def machine(home: Path) -> list[Finding]:
    """Disk and versions of what this runs on."""
    free = shutil.disk_usage(home if home.exists() else Path.cwd()).free
    outcome = Outcome.FAIL if free < _DISK_FAIL else Outcome.WARN if free < _DISK_WARN else Outcome.OK
    sdks = ", ".join(f"{name} {version(name)}" for name in _SDKS)
    return [
        Finding("disk", outcome, f"{free / 1e9:.1f} GB are free"),
        Finding("versions", Outcome.OK, f"nexus {version('nexus-ops')}, {sdks}"),
    ]
