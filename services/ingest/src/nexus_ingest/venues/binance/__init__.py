"""Binance's public market data for USDT-M perpetuals."""
