"""Alpaca through alpaca-py: US stocks, paper and live."""

from nexus_executor.venues.alpaca.broker import AlpacaBroker

__all__ = ["AlpacaBroker"]
