"""Executor put together: the rules it trades by, and a broker for each account."""

from __future__ import annotations

from collections.abc import Callable

from nexus_common.contracts.session import AccountSpec
from nexus_common.contracts.values import Venue
from nexus_common.runtime.errors import ConfigurationError
from nexus_common.runtime.exchange_client import ExchangeClient
from nexus_common.runtime.service import Context, Work
from nexus_common.runtime.settings import NexusSettings
from nexus_executor.domain.rules import ExecutionRules
from nexus_executor.handlers import ExecutorReactor
from nexus_executor.venues.broker import Broker
from nexus_executor.venues.paper import Gateway, PaperBroker, WireGateway


def rules(settings: NexusSettings) -> ExecutionRules:
    return ExecutionRules(proposal_seconds=settings.executor.proposal_minutes * 60)


def reactor(
    settings: NexusSettings,
    gateway: Callable[[Venue], Gateway],
    epoch: int,
    note: Callable[[str], None] = lambda point: None,
) -> ExecutorReactor:
    """Executor on a simulated exchange; `epoch` fences off an older executor at the exchange.

    `note` is told of each request to a venue as it leaves and as it is answered.
    """
    return ExecutorReactor(brokers(gateway, epoch), rules(settings), note=note)


def brokers(gateway: Callable[[Venue], Gateway], epoch: int) -> Callable[[AccountSpec], Broker]:
    """Which broker trades an account."""

    def broker_of(account: AccountSpec) -> Broker:
        if not account.paper:
            raise ConfigurationError(
                f"{account.account} is a live account, and this release trades on paper only: "
                "open a paper account instead"
            )
        return PaperBroker(account.account, gateway(account.venue), epoch)

    return broker_of


async def build(context: Context) -> Work:
    settings = context.settings
    client = ExchangeClient(
        settings.exchange.url,
        name=f"executor-{context.leases.number}",
        timeout=settings.exchange.timeout_seconds,
    )
    context.closing.push_async_callback(client.close)
    guard = context.leases.guard
    return await context.lockstep(
        reactor(
            settings,
            lambda venue: WireGateway(client, venue),
            guard.epoch if guard else 0,
            context.trace.point,
        )
    )
