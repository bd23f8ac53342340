"""Small generated markets, and closed trades made by hand."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from nexus_common.contracts.trade import ExitReason, TradeClosed
from nexus_common.contracts.values import AccountId, Direction, Symbol, Timeframe, TradeId, UserId, Venue
from nexus_common.runtime.settings import NexusSettings
from nexus_data.market_feed import Market
from nexus_ingest import bootstrap as ingest
from nexus_ops.composition import settings_for
from nexus_ops.market_options import MarketOptions

MIDNIGHT = datetime(2026, 1, 1, tzinfo=UTC)
MakeTrade = Callable[..., TradeClosed]


@pytest.fixture
def settings() -> NexusSettings:
    options = MarketOptions(seed=2, minutes=600, symbols="BTCUSDT,DOGEUSDT,SOLUSDT", mode="pilot")
    return settings_for(options.environment())


@pytest.fixture
def market(settings: NexusSettings) -> Market:
    return ingest.market(settings.ingest)


@pytest.fixture
def a_trade() -> MakeTrade:
    """A closed trade; `net` and `r` are what it was worth."""

    def make(net: str = "10", r: str = "1", **changes: Any) -> TradeClosed:
        given: dict[str, Any] = {
            "trade_id": TradeId("t1"),
            "account": AccountId("anna.binance.paper"),
            "user": UserId("anna"),
            "venue": Venue.BINANCE,
            "symbol": Symbol("BTCUSDT"),
            "direction": Direction.LONG,
            "strategy": "trend",
            "timeframe": Timeframe.M15,
            "reason": ExitReason.TARGET,
            "quantity": Decimal(1),
            "entry_price": Decimal(100),
            "exit_price": Decimal(110),
            "gross_profit": Decimal(net) + 1,
            "fees": Decimal(1),
            "funding": Decimal(0),
            "net_profit": Decimal(net),
            "r_multiple": Decimal(r),
            "return_on_margin": Decimal("0.1"),
            "return_on_equity": Decimal("0.01"),
            "opened_at": MIDNIGHT,
            "closed_at": MIDNIGHT + timedelta(hours=1),
            "atr": Decimal(1),
        }
        return TradeClosed(**{**given, **changes})

    return make
