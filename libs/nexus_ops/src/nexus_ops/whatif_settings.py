"""What `nexus whatif` may change, read from `name=value`: the risk settings, and cortex's own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Final, get_args

from annotated_types import Ge, Gt, Le, Lt
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from nexus_common.contracts.limits import RiskSettings
from nexus_common.runtime.errors import ConfigurationError
from nexus_common.runtime.settings import NexusSettings
from nexus_common.runtime.settings_sections import CortexSettings
from nexus_cortex.domain.strategies import STRATEGIES

RISK: Final = "shield."
CORTEX: Final = "cortex."
# What a running installation reads from its environment; `whatif` takes it as well as the shorter name.
_RISK_LONG: Final = "shield.risk."
_BOUNDS: Final[Mapping[type, tuple[str, str]]] = {
    Gt: (">", "gt"),
    Ge: ("≥", "ge"),
    Lt: ("<", "lt"),
    Le: ("≤", "le"),
}
_CORTEX_HELP: Final = {
    "strategy": ", ".join(("auto", *STRATEGIES)),
    "parameters": "one of those that `nexus strategies` lists",
    "timeframes": "one of those that `nexus strategies` lists",
}
_TRUTHS: Final = {"true": "1", "yes": "1", "on": "1", "false": "0", "no": "0", "off": "0"}


@dataclass(frozen=True, slots=True)
class Changes:
    """Risk figures by name, and cortex's settings as they would be; None: cortex stays as it was."""

    risk: Mapping[str, Decimal]
    cortex: CortexSettings | None
    asked: tuple[str, ...]

    def settings(self, before: NexusSettings) -> NexusSettings:
        """The settings of a run in which only cortex is changed."""
        return before if self.cortex is None else before.model_copy(update={"cortex": self.cortex})


def read_changes(texts: Sequence[str], before: NexusSettings) -> Changes:
    """Changes out of `shield.NAME=VALUE` and `cortex.NAME=VALUE`.

    Raises:
        ConfigurationError: nothing is changed, a name is not known, or a value lies beyond its cap; the text
            lists the names with their caps.
    """
    if not texts:
        raise ConfigurationError(f"name at least one change with --set NAME=VALUE\n{known_names()}")
    risk: dict[str, Decimal] = {}
    cortex: dict[str, Any] = {}
    for text in texts:
        name, sign, value = (part.strip() for part in text.partition("="))
        if not sign or not value:
            raise ConfigurationError(
                f"{text!r} says no change: write NAME=VALUE, such as shield.risk_fraction=0.005"
            )
        if name.startswith(RISK):
            figure = name.removeprefix(_RISK_LONG).removeprefix(RISK)
            risk[figure] = _risk_figure(figure, value, before.shield.risk)
        elif name.startswith(CORTEX):
            _put(cortex, name.removeprefix(CORTEX).split("."), value)
        else:
            raise ConfigurationError(f"{name!r} cannot be changed here\n{known_names()}")
    return Changes(risk, _cortex(cortex, before.cortex) if cortex else None, tuple(texts))


def _risk_figure(name: str, text: str, before: RiskSettings) -> Decimal:
    if name not in RiskSettings.model_fields:
        raise ConfigurationError(f"{RISK}{name} is not a risk setting\n{known_names()}")
    try:
        value = Decimal(_TRUTHS.get(text.lower(), text))
    except InvalidOperation as error:
        raise ConfigurationError(f"{text!r} is no number, which {RISK}{name} has to be") from error
    try:
        before.changed(name, value)
    except ValueError as error:
        field = RiskSettings.model_fields[name]
        raise ConfigurationError(f"{RISK}{name}: {error}; allowed is {_caps(field)}") from error
    return value


def _put(tree: dict[str, Any], path: Sequence[str], value: str) -> None:
    for part in path[:-1]:
        inner = tree.setdefault(part, {})
        if not isinstance(inner, dict):
            raise ConfigurationError(f"{CORTEX}{part} is one value and a group of values at once")
        tree = inner
    tree[path[-1]] = value


def _cortex(changed: Mapping[str, Any], before: CortexSettings) -> CortexSettings:
    unknown = sorted(set(changed) - set(CortexSettings.model_fields))
    if unknown:
        raise ConfigurationError(f"{CORTEX}{unknown[0]} is not a setting of cortex\n{known_names()}")
    try:
        return CortexSettings.model_validate(_merged(before.model_dump(), changed))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        reason = first["msg"].removeprefix("Value error, ")
        raise ConfigurationError(f"{CORTEX}{where} cannot be {first['input']!r}: {reason}") from error


def _merged(before: Mapping[str, Any], changed: Mapping[str, Any]) -> dict[str, Any]:
    """Groups are changed value by value, everything else is replaced."""
    merged = dict(before)
    for name, value in changed.items():
        known = merged.get(name)
        if isinstance(known, Mapping) and isinstance(value, Mapping):
            value = _merged(known, value)
        merged[name] = value
    return merged


def known_names() -> str:
    """Every name that can be changed, with its caps, a line each."""
    return "\n".join(("what can be changed:", *_names()))


def _names() -> Iterable[str]:
    for name, field in RiskSettings.model_fields.items():
        yield f"  {RISK}{name:<24} {field.default} by default, {_caps(field)}"
    for name, field in CortexSettings.model_fields.items():
        what = _CORTEX_HELP.get(name) or field.description
        suffix = ".STRATEGY.NAME" if name == "parameters" else ".STRATEGY" if name == "timeframes" else ""
        yield f"  {CORTEX}{name + suffix:<24} {what}"


def _caps(field: FieldInfo) -> str:
    found = [
        f"{word} {getattr(bound, attribute)}"
        for bound in _metadata(field)
        for kind, (word, attribute) in _BOUNDS.items()
        if isinstance(bound, kind)
    ]
    return " and ".join(found) or "true or false"


def _metadata(field: FieldInfo) -> Iterable[object]:
    """The bounds of a field; those of one that may be absent stand inside its type."""
    yield from field.metadata
    for inner in get_args(field.annotation):
        for each in get_args(inner):
            if isinstance(each, FieldInfo):
                yield from each.metadata
