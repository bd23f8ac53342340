"""Bybit V5, USDT perpetuals: the wire protocol over the matching engine."""

from nexus_simvenue.bybit.dialect import BybitDialect

__all__ = ["BybitDialect"]
