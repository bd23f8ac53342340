"""Bybit V5 through pybit: USDT perpetuals on a unified account, one-way mode, isolated margin."""

from nexus_executor.venues.bybit.broker import BybitBroker

__all__ = ["BybitBroker"]
