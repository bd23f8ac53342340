"""Alpaca's trading API over the matching engine: REST /v2 and the trade updates stream."""

from nexus_simvenue.alpaca.dialect import AlpacaDialect

__all__ = ["AlpacaDialect"]
