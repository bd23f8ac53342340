"""Messages made from their annotations: at random for hypothesis, and one fixed instance of each class.

@given(instances(OrderFilled))
def test_…(event): …
"""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from functools import cache
from typing import Annotated, Any, Literal, NewType, Union, get_args, get_origin, get_type_hints
from uuid import UUID

from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen
from hypothesis import strategies as st
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from nexus_common.contracts.ids import NEXUS, derived

Hint = Any
Limits = dict[str, Any]
PLACES = 8
MOST = Decimal(10) ** 12
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)

decimals = st.decimals(-MOST, MOST, allow_nan=False, allow_infinity=False, places=PLACES)
_FIRST, _LAST = datetime.fromisoformat("1970-01-01"), datetime.fromisoformat("2100-01-01")
instants = st.datetimes(_FIRST, _LAST, timezones=st.just(UTC))
# A lone surrogate is no character and has no bytes.
texts = st.text(st.characters(codec="utf-8"), max_size=20)


def instances(cls: type[Any]) -> st.SearchStrategy[Any]:
    """Instances of an event, a value or a command."""
    return _strategy(cls, {})


def fixed(cls: type[Any]) -> Any:
    """The one instance that is always the same: every optional field given, every sequence of one element."""
    return _fixed(cls, {}, cls.__name__)


def _limits(metadata: Sequence[Any]) -> Limits:
    """The bounds among annotations, however they were written."""
    found: Limits = {}
    for mark in metadata:
        match mark:
            case FieldInfo():
                found |= _limits(mark.metadata)
            case Gt():
                found["gt"] = mark.gt
            case Ge():
                found["ge"] = mark.ge
            case Lt():
                found["lt"] = mark.lt
            case Le():
                found["le"] = mark.le
            case MinLen():
                found["min_size"] = mark.min_length
            case MaxLen():
                found["max_size"] = mark.max_length
            case _:
                pass
    return found


@cache
def _hints(cls: type[Any]) -> tuple[tuple[str, Hint, tuple[tuple[str, Any], ...]], ...]:
    """Name, annotation and bounds of each field."""
    hints = get_type_hints(cls, include_extras=True)
    if issubclass(cls, BaseModel):
        return tuple(
            (name, hints[name], tuple(_limits(field.metadata).items()))
            for name, field in cls.model_fields.items()
        )
    names = [field.name for field in fields(cls)] if is_dataclass(cls) else list(getattr(cls, "_fields", ()))
    return tuple((name, hints[name], ()) for name in names)


def _is_record(hint: Hint) -> bool:
    if not isinstance(hint, type):
        return False
    return issubclass(hint, BaseModel) or is_dataclass(hint) or hasattr(hint, "_fields")


def _bounded(limits: Limits, smallest: Any) -> tuple[Any, Any]:
    """Both ends, inclusive."""
    low = limits.get("ge", limits["gt"] + smallest if "gt" in limits else None)
    high = limits.get("le", limits["lt"] - smallest if "lt" in limits else None)
    return low, high


def _strategy(hint: Hint, limits: Limits) -> st.SearchStrategy[Any]:
    origin: Any = get_origin(hint)
    arguments = get_args(hint)
    if origin is Annotated:
        return _strategy(arguments[0], {**_limits(arguments[1:]), **limits})
    if isinstance(hint, NewType):
        return _strategy(hint.__supertype__, limits)
    if origin in (Union, types.UnionType):
        return st.one_of([_strategy(each, limits) for each in arguments])
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin is tuple and arguments[-1] is not Ellipsis:
        return st.tuples(*(_strategy(each, {}) for each in arguments))
    if origin in (tuple, Sequence):
        size = {key: limits[key] for key in ("min_size", "max_size") if key in limits}
        return st.lists(_strategy(arguments[0], {}), **{"max_size": 3, **size}).map(tuple)
    if origin in (dict, Mapping):
        return st.dictionaries(_strategy(arguments[0], {}), _strategy(arguments[1], {}), max_size=3)
    if _is_record(hint):
        return st.builds(hint, **{name: _strategy(each, dict(own)) for name, each, own in _hints(hint)})
    return _leaf_strategy(hint, limits)


def _leaf_strategy(hint: Hint, limits: Limits) -> st.SearchStrategy[Any]:
    if hint is None or hint is type(None):
        return st.none()
    if issubclass(hint, Enum):
        return st.sampled_from(hint)
    if hint is Decimal:
        low, high = _bounded(limits, Decimal(1).scaleb(-PLACES))
        return st.decimals(
            -MOST if low is None else low,
            MOST if high is None else high,
            allow_nan=False,
            allow_infinity=False,
            places=PLACES,
        )
    if hint is int:
        low, high = _bounded(limits, 1)
        return st.integers(-(2**53) if low is None else low, 2**53 if high is None else high)
    leaves: dict[Any, st.SearchStrategy[Any]] = {
        bool: st.booleans(),
        float: st.floats(allow_nan=False, allow_infinity=False),
        str: texts.filter(lambda text: len(text) >= limits.get("min_size", 0)),
        bytes: st.binary(max_size=20),
        datetime: instants,
        date: st.dates(),
        timedelta: st.timedeltas(timedelta(0), timedelta(days=1_000)),
        UUID: st.uuids(),
    }
    if hint not in leaves:
        raise TypeError(f"no values are known for {hint!r}: teach them to generators.py")
    return leaves[hint]


def _fixed(hint: Hint, limits: Limits, name: str) -> Any:
    origin: Any = get_origin(hint)
    arguments = get_args(hint)
    if origin is Annotated:
        return _fixed(arguments[0], {**_limits(arguments[1:]), **limits}, name)
    if isinstance(hint, NewType):
        return _fixed(hint.__supertype__, limits, name)
    if origin in (Union, types.UnionType):
        return _fixed(next(each for each in arguments if each is not type(None)), limits, name)
    if origin is Literal:
        return arguments[0]
    if origin is tuple and arguments[-1] is not Ellipsis:
        return tuple(_fixed(each, {}, name) for each in arguments)
    if origin in (tuple, Sequence):
        return (_fixed(arguments[0], {}, name),)
    if origin in (dict, Mapping):
        return {_fixed(arguments[0], {}, name): _fixed(arguments[1], {}, name)}
    if _is_record(hint):
        return hint(**{field: _fixed(each, dict(own), field) for field, each, own in _hints(hint)})
    return _fixed_leaf(hint, limits, name)


def _fixed_leaf(hint: Hint, limits: Limits, name: str) -> Any:
    if issubclass(hint, Enum):
        return next(iter(hint))
    if hint is Decimal:
        return _within(Decimal("1.25"), limits, Decimal("0.25"))
    if hint is int:
        return _within(3, limits, 1)
    leaves: dict[Any, Any] = {
        bool: True,
        float: 0.5,
        str: name,
        bytes: name.encode(),
        datetime: NOON,
        date: NOON.date(),
        timedelta: timedelta(minutes=5),
        UUID: derived(NEXUS, name),
    }
    if hint not in leaves:
        raise TypeError(f"no value is known for {hint!r}: teach one to generators.py")
    return leaves[hint]


def _within(wanted: Any, limits: Limits, smallest: Any) -> Any:
    low, high = _bounded(limits, smallest)
    if low is not None and wanted < low:
        return low
    if high is not None and wanted > high:
        return high
    return wanted
