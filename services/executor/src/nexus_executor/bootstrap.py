"""Executor put together: the rules it trades by, and a broker for each account."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack

from nexus_common.contracts.session import AccountSpec
from nexus_common.contracts.values import Venue
from nexus_common.runtime.clock import WallClock
from nexus_common.runtime.exchange_client import ExchangeClient
from nexus_common.runtime.ports import Clock
from nexus_common.runtime.service import Context, Work
from nexus_common.runtime.settings import NexusSettings
from nexus_executor.credentials import keys_of
from nexus_executor.domain.rules import ExecutionRules
from nexus_executor.domain.traits import TRAITS
from nexus_executor.handlers import ExecutorReactor
from nexus_executor.projections import read_models
from nexus_executor.venues.access import Access, TurnClock
from nexus_executor.venues.broker import Broker
from nexus_executor.venues.native import NATIVE, AddressBudgets, live_access, simulated_access
from nexus_executor.venues.paper import Gateway, PaperBroker, WireGateway
from nexus_executor.venues.relayed import LiveAccount, SimulatedAccount

Gateways = Callable[[Venue], Gateway]


def rules(settings: NexusSettings) -> ExecutionRules:
    windows = [settings.venues.of(venue).receive_window_seconds for venue in Venue]
    chosen = settings.executor
    return ExecutionRules(
        proposal_seconds=chosen.proposal_minutes * 60,
        progressive_targets=chosen.progressive_targets,
        reconcile_seconds=chosen.reconcile_seconds,
        receive_window_seconds=max(windows),
    )


def reactor(
    settings: NexusSettings,
    gateway: Gateways,
    epoch: int,
    note: Callable[[str], None] = lambda point: None,
) -> ExecutorReactor:
    """Executor on a simulated exchange in this process, or one that is reached by its own protocol.

    `epoch` fences off an older executor there. `note` is told of each request to a venue as it leaves and as it
    is answered.
    """
    return ExecutorReactor(paper_brokers(gateway, epoch), rules(settings), note=note)


def paper_brokers(gateway: Gateways, epoch: int) -> Callable[[AccountSpec], Broker]:
    """Every account on paper, with its venue's traits."""

    def broker_of(account: AccountSpec) -> Broker:
        return PaperBroker(account.account, gateway(account.venue), epoch, TRAITS[account.venue])

    return broker_of


class Brokers:
    """Which broker trades an account:

    | account | protocol | broker |
    |---|---|---|
    | paper | exchange | the simulated exchange's own protocol, with the venue's traits |
    | paper | native | the venue's broker, at the simulated exchange |
    | live | | the venue's broker, at the venue, with keys from the credentials file |
    """

    def __init__(
        self, settings: NexusSettings, gateway: Gateways, epoch: int, clock: TurnClock, wall: Clock
    ) -> None:
        self._settings = settings
        self._gateway = gateway
        self._epoch = epoch
        self._clock = clock
        self._wall = wall
        self._budgets = AddressBudgets()
        self._made: list[Broker] = []

    def __call__(self, account: AccountSpec) -> Broker:
        """Raises ConfigurationError for a live account without keys."""
        broker = self._broker(account)
        self._made.append(broker)
        return broker

    def _broker(self, account: AccountSpec) -> Broker:
        name, venue, settings = account.account, account.venue, self._settings
        if not account.paper:
            keys = keys_of(name, settings.executor.credentials_file)
            return LiveAccount(
                self._native(venue, live_access(settings, name, venue, keys)), name, self._wall
            )
        gateway = self._gateway(venue)
        if settings.exchange.protocol == "exchange":
            return PaperBroker(name, gateway, self._epoch, TRAITS[venue])
        native = self._native(venue, simulated_access(settings, name, venue))
        return SimulatedAccount(native, name, gateway, self._epoch)

    def _native(self, venue: Venue, access: Access) -> Broker:
        return NATIVE[venue](access, self._clock, self._budgets.of(venue, access))

    async def close(self) -> None:
        """Give up every connection that was made."""
        for broker in self._made:
            await broker.close()


def connected(
    settings: NexusSettings,
    name: str,
    epoch: int,
    closing: AsyncExitStack,
    note: Callable[[str], None] = lambda point: None,
) -> ExecutorReactor:
    """Executor with its connections to the exchange and the venues, which `closing` gives up."""
    client = ExchangeClient(settings.exchange.url, name=name, timeout=settings.exchange.timeout_seconds)
    closing.push_async_callback(client.close)
    clock = TurnClock()
    brokers = Brokers(settings, lambda venue: WireGateway(client, venue), epoch, clock, WallClock())
    closing.push_async_callback(brokers.close)
    return ExecutorReactor(brokers, rules(settings), note=note, clock=clock)


async def build(context: Context) -> Work:
    guard = context.leases.guard
    reactor = connected(
        context.settings,
        f"executor-{context.leases.number}",
        guard.epoch if guard else 0,
        context.closing,
        context.trace.point,
    )
    await context.follow(read_models())
    return await context.lockstep(reactor)
