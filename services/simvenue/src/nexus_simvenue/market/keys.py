"""API keys of services that know no secrets beside them (Polygon, CoinMarketCap)."""

from __future__ import annotations

from nexus_market.exchange.wire import simulated_secret


def service_key(name: str) -> str:
    """The key of somebody by this name."""
    return f"{name}.{simulated_secret(name)}"


def is_service_key(key: str) -> bool:
    return key == service_key(key.partition(".")[0])
