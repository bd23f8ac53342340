"""Polygon's market data for stocks, in place of Alpaca's; orders stay at Alpaca."""
