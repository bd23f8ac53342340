"""Sizing, limits, circuit breaker, black swan: verdicts."""
