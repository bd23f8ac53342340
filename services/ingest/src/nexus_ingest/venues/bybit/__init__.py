"""Bybit's public market data for linear perpetuals, V5."""
