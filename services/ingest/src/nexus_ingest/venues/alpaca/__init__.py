"""Alpaca's market data for stocks: the IEX and the SIP feed."""
