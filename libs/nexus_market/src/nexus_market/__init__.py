"""Instruments, candles, features and the matching engine: pure computation."""
