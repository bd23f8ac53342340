"""The table of strategies. To add one: a module with a `Strategy`, and its line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Final

from nexus_common.contracts.values import Timeframe
from nexus_cortex.domain.strategies.grid import GRID
from nexus_cortex.domain.strategies.mean_reversion import MEAN_REVERSION
from nexus_cortex.domain.strategies.scalping import SCALPING
from nexus_cortex.domain.strategies.shark import SHARK
from nexus_cortex.domain.strategies.strategy import Strategy
from nexus_cortex.domain.strategies.trend import TREND

AUTO: Final = "auto"
STRATEGIES: Final[Mapping[str, Strategy]] = MappingProxyType(
    {each.name: each for each in (TREND, SCALPING, MEAN_REVERSION, GRID, SHARK)}
)


def with_parameters(overrides: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Strategy]:
    """The table with some thresholds changed, by strategy and name.

    Raises ValueError for a strategy or threshold that does not exist, or a figure that cannot be one.
    """
    table = dict(STRATEGIES)
    for name, changes in overrides.items():
        if name not in table:
            raise ValueError(f"there is no strategy {name!r}; there are {', '.join(STRATEGIES)}")
        table[name] = _changed(table[name], changes)
    return MappingProxyType(table)


def with_timeframes(table: Mapping[str, Strategy], moves: Mapping[str, Timeframe]) -> Mapping[str, Strategy]:
    """The table with some strategies moved to another timeframe.

    Raises ValueError for a strategy that does not exist, or a timeframe that it is not made for.
    """
    moved = dict(table)
    for name, timeframe in moves.items():
        if name not in moved:
            raise ValueError(f"there is no strategy {name!r}; there are {', '.join(table)}")
        if timeframe not in moved[name].timeframes:
            allowed = ", ".join(moved[name].timeframes)
            raise ValueError(f"{name} cannot run on {timeframe}; it runs on {allowed}")
        moved[name] = replace(moved[name], timeframe=timeframe)
    return MappingProxyType(moved)


def _changed(strategy: Strategy, changes: Mapping[str, Any]) -> Strategy:
    kinds = {field.name: str(field.type) for field in fields(strategy.parameters)}
    values: dict[str, Any] = {}
    for name, value in changes.items():
        if name not in kinds:
            raise ValueError(f"{strategy.name} has no parameter {name!r}; it has {', '.join(kinds)}")
        try:
            values[name] = _READERS[kinds[name]](value)
        except (ArithmeticError, TypeError, ValueError) as error:
            raise ValueError(f"{strategy.name}.{name} cannot be {value!r}") from error
    try:
        return replace(strategy, parameters=replace(strategy.parameters, **values))
    except ValueError as error:
        raise ValueError(f"{strategy.name}: {error}") from error


def _decimal(value: Any) -> Decimal:
    return Decimal(str(value))


def _whole(value: Any) -> int:
    number = _decimal(value)
    if number != number.to_integral_value():
        raise ValueError("not a whole number")
    return int(number)


def _whole_or_none(value: Any) -> int | None:
    return None if value is None else _whole(value)


# By the type that a parameter record gives its field.
_READERS: Final[Mapping[str, Callable[[Any], object]]] = MappingProxyType(
    {"Decimal": _decimal, "float": float, "int": _whole, "int | None": _whole_or_none}
)
