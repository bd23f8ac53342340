"""Where settings are read from, and what is said about a wrong one. See `settings`."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import reduce
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, TomlConfigSettingsSource

from nexus_common.runtime.errors import ConfigurationError

PREFIX = "NEXUS__"
CONFIG_VARIABLE = "NEXUS_CONFIG"
CONFIG_FILE = "nexus.toml"
_FILE = "__FILE"

SettingsT = TypeVar("SettingsT", bound=BaseSettings)
KeyPath = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Source:
    """Nested values and how to name one of them to a person."""

    tree: Mapping[str, Any]
    kind: str

    def name(self, path: KeyPath) -> str:
        if self.kind == "environment":
            return f"{PREFIX}{'__'.join(path)}".upper()
        return f"{'.'.join(path)} in {self.kind}"


def read_sources(
    cls: type[SettingsT],
    overrides: Mapping[str, Any],
    defaults: Mapping[str, Any],
    variables: Mapping[str, str],
) -> SettingsT:
    """Merge all sources, strongest first, and build the settings; see `settings.load`."""
    sources = [
        Source(overrides, "the arguments"),
        _read_environment(cls, variables),
        _read_toml(cls, variables),
        Source(defaults, "the program's defaults"),
    ]
    known = list(_known(cls))
    problems = [problem for source in sources for problem in _unknown(cls, source, source.tree, known)]
    tree: dict[str, Any] = {}
    for source in reversed(sources):
        _merge(tree, source.tree)
    try:
        settings = cls(**_without_unknown(cls, tree))
    except ValidationError as error:
        problems.extend(_refused(error, sources, known))
    if problems:
        raise ConfigurationError("settings cannot be used:\n" + "\n".join(f"  - {each}" for each in problems))
    return settings


class _Environment(EnvSettingsSource):
    """pydantic's reader of nested variables, over variables that were handed in."""

    def __init__(self, cls: type[BaseSettings], variables: Mapping[str, str]) -> None:
        self._variables = variables
        super().__init__(
            cls, case_sensitive=False, env_prefix=PREFIX, env_nested_delimiter="__", env_ignore_empty=True
        )

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return {name.lower(): value for name, value in self._variables.items()}


def _read_environment(cls: type[BaseSettings], variables: Mapping[str, str]) -> Source:
    """The tree of all `NEXUS__` variables; `…__FILE` is replaced by what its file holds."""
    values: dict[str, str] = {}
    known = set(_known(cls))
    for name, value in sorted(variables.items()):
        upper = name.upper()
        if not upper.startswith(PREFIX):
            continue
        if upper.endswith(_FILE):
            upper, value = upper.removesuffix(_FILE), _read_secret(name, value)
            if upper in (other.upper() for other in variables):
                raise ConfigurationError(f"{upper} and {name} are both set: keep one of them")
        if value.strip() or tuple(upper.removeprefix(PREFIX).lower().split("__")) not in known:
            values[upper] = value  # an empty variable counts as unset, yet a wrong name is wrong
    tree: dict[str, Any] = dict(_Environment(cls, values)())
    for upper in values:
        # pydantic passes over sections it does not know; here they must be found.
        path = upper.removeprefix(PREFIX).lower().split("__")
        if path[0] not in cls.model_fields:
            _merge(tree, reduce(lambda inner, part: {part: inner}, reversed(path), {}))
    return Source(tree, "environment")


def _read_secret(variable: str, path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{variable} names {path}, which cannot be read: {error}") from error


def _read_toml(cls: type[BaseSettings], variables: Mapping[str, str]) -> Source:
    named = variables.get(CONFIG_VARIABLE)
    path = Path(named or CONFIG_FILE)
    if not path.is_file():
        if named:
            raise ConfigurationError(f"{CONFIG_VARIABLE} names {path}, which is not a file")
        return Source({}, CONFIG_FILE)
    try:
        return Source(TomlConfigSettingsSource(cls, toml_file=path)(), str(path))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} is not valid TOML: {error}") from error


def _merge(into: dict[str, Any], tree: Mapping[str, Any]) -> None:
    for key, value in tree.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = _copy(value)


def _copy(value: Any) -> Any:
    return {key: _copy(each) for key, each in value.items()} if isinstance(value, Mapping) else value


def submodel(field: FieldInfo) -> type[BaseModel] | None:
    """The model that a field is a group of settings of, if it is one."""
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _known(model: type[BaseModel], path: KeyPath = ()) -> Iterator[KeyPath]:
    for key, field in model.model_fields.items():
        inner = submodel(field)
        if inner is None:
            yield (*path, key)
        else:
            yield from _known(inner, (*path, key))


def _unknown(
    model: type[BaseModel],
    source: Source,
    tree: Mapping[str, Any],
    known: Sequence[KeyPath],
    path: KeyPath = (),
) -> Iterator[str]:
    for key, value in tree.items():
        here = (*path, str(key))
        field = model.model_fields.get(key)
        inner = None if field is None else submodel(field)
        if field is None:
            for unknown in _leaves(value, here):
                yield f"{source.name(unknown)} is not known{_nearest(source, unknown, known)}"
        elif inner is not None and isinstance(value, Mapping):
            yield from _unknown(inner, source, value, known, here)
        elif inner is not None:
            yield f"{source.name(here)} is a group of settings, not a value"


def _leaves(value: Any, path: KeyPath) -> Iterator[KeyPath]:
    if not isinstance(value, Mapping) or not value:
        yield path
        return
    for key, each in value.items():
        yield from _leaves(each, (*path, str(key)))


def _nearest(source: Source, path: KeyPath, known: Sequence[KeyPath]) -> str:
    names = {".".join(each): each for each in known}
    near = get_close_matches(".".join(path), names, n=1, cutoff=0.5)
    if not near:
        return ""
    return f"; did you mean {source.name(names[near[0]]).partition(' in ')[0]}?"


def _without_unknown(model: type[BaseModel], tree: Mapping[str, Any]) -> dict[str, Any]:
    """What is known, so that wrong values are reported beside wrong names."""
    kept: dict[str, Any] = {}
    for key, field in model.model_fields.items():
        inner = submodel(field)
        if inner is None and key in tree:
            kept[key] = tree[key]
        elif inner is not None and isinstance(tree.get(key), Mapping):
            kept[key] = _without_unknown(inner, tree[key])
    return kept


def _refused(error: ValidationError, sources: Sequence[Source], known: Sequence[KeyPath]) -> Iterator[str]:
    said: set[KeyPath] = set()
    for each in error.errors(include_url=False, include_context=False):
        place = tuple(str(part) for part in each["loc"])
        # What follows the setting's own name is a branch of a union or an item of a list.
        path = next((name for name in known if place[: len(name)] == name), place)
        if path not in said:
            said.add(path)
            where = next((source for source in sources if _holds(source.tree, path)), sources[-1])
            item = ".".join(place[len(path) :]) if isinstance(each["input"], str | int | float) else ""
            yield f"{where.name(path)}: {each['msg']}{f' ({item})' if item else ''}"


def _holds(tree: Any, path: KeyPath) -> bool:
    for part in path:
        if not isinstance(tree, Mapping) or part not in tree:
            return False
        tree = tree[part]
    return True
