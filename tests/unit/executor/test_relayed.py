"""A broker that trips over an answer nobody foresaw: silence of its venue, never the end of the executor."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from nexus_common.contracts.order import OrderKind
from nexus_common.contracts.values import AccountId, ClientOrderId, Side, Symbol, Venue
from nexus_executor.venues.broker import OrderRequest, SubmitReply, Unknown, VenueDown, VenuePosition
from nexus_executor.venues.paper import LocalGateway, PaperBroker
from nexus_executor.venues.relayed import Relayed
from nexus_market.exchange import Exchange
from nexus_market.instruments import DEFAULT_INSTRUMENTS

NOON = datetime(2025, 6, 1, 12, tzinfo=UTC)
ORDER = OrderRequest(ClientOrderId("in"), Symbol("SOLUSDT"), Side.BUY, OrderKind.MARKET, Decimal(1))


class Surprised(PaperBroker):
    """Its parsers were not written for what comes."""

    def __init__(self, error: Exception) -> None:
        gateway = LocalGateway(Exchange(DEFAULT_INSTRUMENTS[Venue.BINANCE]))
        super().__init__(AccountId("a"), gateway, 1)
        self._error = error

    async def submit(self, order: OrderRequest, at: datetime) -> SubmitReply:
        raise self._error

    async def positions(self) -> Sequence[VenuePosition]:
        raise self._error


@pytest.mark.parametrize("error", [KeyError("avgPrice"), ValueError("x"), ArithmeticError()])
async def test_a_question_is_unanswered_and_an_order_unknown(error: Exception) -> None:
    broker = Relayed(Surprised(error))
    with pytest.raises(VenueDown, match="could not be read"):
        await broker.positions()
    assert isinstance(await broker.submit(ORDER, NOON), Unknown)


async def test_a_fault_of_ours_is_passed_on() -> None:
    with pytest.raises(AssertionError):
        await Relayed(Surprised(AssertionError("ours"))).positions()
