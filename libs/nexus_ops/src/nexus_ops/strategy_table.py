"""The table of strategies as users see it."""

from __future__ import annotations

from dataclasses import fields
from decimal import Decimal
from typing import Any

from nexus_cortex.domain.strategies import STRATEGIES
from nexus_cortex.domain.strategies.strategy import Strategy


def strategy_rows() -> list[dict[str, Any]]:
    """One document a strategy, in the order of the table."""
    return [_row(strategy) for strategy in STRATEGIES.values()]


def _row(strategy: Strategy) -> dict[str, Any]:
    return {
        "name": strategy.name,
        "description": strategy.description,
        "timeframes": [str(timeframe) for timeframe in strategy.timeframes],
        "follows_regime": strategy.bound_to_regime,
        "features": list(strategy.needs),
        "parameters": {
            field.name: _plain(getattr(strategy.parameters, field.name))
            for field in fields(strategy.parameters)
        },
    }


def _plain(value: Any) -> Any:
    return float(value) if isinstance(value, Decimal) else value
