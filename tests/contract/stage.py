"""The stage of the conformance suite: one venue, one fresh account, and the hand that moves its market."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import pytest

from contract.settings import Connection, VenueHouse, VenueRow, flat, spoken
from nexus_common.contracts.order import OrderKind
from nexus_common.contracts.values import AccountId, ClientOrderId, Side
from nexus_executor.venues.access import TurnClock
from nexus_executor.venues.broker import (
    Broker,
    OrderRequest,
    UpdateKind,
    VenueUpdate,
)
from nexus_simvenue.faults import Fault

FLAT = flat("100")
# Behind any receive window, so that "not found" is an answer.
LATER = 8
_numbers = count(1)
T = TypeVar("T")
Case = tuple[Fault, dict[str, Any]]


class Stage:
    """One venue, one fresh account on it, and the hand that moves its market."""

    def __init__(self, row: VenueRow, house: VenueHouse) -> None:
        self.row = row
        self.house = house
        self.clock = TurnClock()
        self.account = AccountId(f"owner{next(_numbers)}.{row.venue}.paper")
        self._brokers: list[Broker] = []
        row.open_account(house, self.account)
        self.step()

    @property
    def at(self) -> Any:
        return self.house.at

    def step(self, closed: Any = FLAT, opening: Any = FLAT, seconds: float = 60) -> None:
        self.house.step(self.row.venue, {self.row.symbol: closed}, {self.row.symbol: opening}, seconds)
        self.clock.told(self.house.at)

    def new_broker(self, epoch: int = 1, timeout: float = 0.5) -> Broker:
        broker = self.row.make(Connection(self.house, self.account, self.clock, epoch, timeout))
        self._brokers.append(broker)
        return broker

    async def broker(self, epoch: int = 1, timeout: float = 0.5) -> Broker:
        broker = self.new_broker(epoch, timeout)
        await broker.open(self.row.currency, Decimal(10_000))
        return broker

    async def clear(self) -> None:
        for broker in self._brokers:
            await broker.close()

    def fault(self, method: str, fault: Fault, **fields: Any) -> None:
        self.house.faults({"method": method, "fault": str(fault), "account": self.account, **fields})

    def order(
        self, name: str, side: Side, kind: OrderKind, quantity: str = "2", **fields: Any
    ) -> OrderRequest:
        return OrderRequest(
            ClientOrderId(f"nx1contract{name}"), self.row.symbol, side, kind, Decimal(quantity), **fields
        )

    @property
    def entry(self) -> OrderRequest:
        return self.order("in", Side.BUY, OrderKind.MARKET, leverage=5)

    @property
    def resting(self) -> OrderRequest:
        return self.order("limit", Side.BUY, OrderKind.LIMIT, limit_price=Decimal(90), leverage=5)

    def stop(self, trigger: str = "95", name: str = "stop", whole: bool = True) -> OrderRequest:
        """A stop as the executor wants it there: for all that is held where the venue has that."""
        close = whole and self.row.traits.close_position_stop
        return self.order(
            name,
            Side.SELL,
            OrderKind.STOP,
            trigger_price=Decimal(trigger),
            reduce_only=not close,
            close_position=close,
        )

    def ordered(self) -> list[dict[str, Any]]:
        """The orders of this account that the venue accepted, as its ledger has them."""
        return [r for r in self.house.ledger() if r["kind"] == "order" and r["account"] == self.account]


def fits(wanted: Callable[[VenueRow], bool]) -> Callable[[T], T]:
    """A promise that only some venues can be held to: in one process, say, nothing gets lost."""

    def mark(test: T) -> T:
        test.fits = wanted  # type: ignore[attr-defined]
        return test

    return mark


def given(*faults: tuple[Fault, dict[str, Any]]) -> Callable[[T], T]:
    """A promise for each of these faults, at the venues that can be given them."""

    def mark(test: T) -> T:
        test.faults = faults  # type: ignore[attr-defined]
        return test

    return mark


def can(row: VenueRow, fault: Fault, fields: dict[str, Any]) -> bool:
    """Whether a venue's protocol has such a thing."""
    return fault in row.can_fail and (fault is not Fault.LIMIT or fields["status"] in row.limits)


def generate(metafunc: pytest.Metafunc) -> None:
    """Give a test its stages: a row for each venue, and where it asks for faults, each of them."""
    if "stage" not in metafunc.fixturenames:
        return
    wanted = getattr(metafunc.function, "fits", lambda row: True)
    rows = [row for row in spoken() if wanted(row)]
    faults = getattr(metafunc.function, "faults", None)
    if faults is None:
        metafunc.parametrize("stage", rows, ids=[row.name for row in rows], indirect=True)
        return
    cases = [(row, (fault, fields)) for row in rows for fault, fields in faults if can(row, fault, fields)]
    names = [f"{row.name}-{fault}-{fields.get('status', '')}".strip("-") for row, (fault, fields) in cases]
    metafunc.parametrize(("stage", "fault"), cases, ids=names, indirect=["stage"])


@asynccontextmanager
async def opened(row: VenueRow, folder: Path) -> AsyncIterator[Stage]:
    """A stage at this venue, with a server of its own."""
    house = VenueHouse(folder)
    await house.start()
    made = Stage(row, house)
    try:
        yield made
    finally:
        await made.clear()
        await house.stop()


def fills(updates: Sequence[VenueUpdate]) -> list[VenueUpdate]:
    return [update for update in updates if update.kind is UpdateKind.FILL]


def of(updates: Sequence[VenueUpdate], order: OrderRequest) -> list[VenueUpdate]:
    """What is told of an order; the position's own stop has no client order id at the venue."""
    return [
        update
        for update in updates
        if update.client_order_id == order.client_order_id
        or (update.client_order_id is None and update.attached is order.kind)
    ]
