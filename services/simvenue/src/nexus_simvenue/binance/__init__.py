"""Binance USDT-M futures over the matching engine: REST under /fapi and the user data stream."""

from nexus_simvenue.binance.dialect import BinanceDialect

__all__ = ["BinanceDialect"]
