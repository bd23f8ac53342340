"""Binance USDT-M futures, through ccxt."""

from nexus_executor.venues.binance.broker import BinanceBroker

__all__ = ["BinanceBroker"]
