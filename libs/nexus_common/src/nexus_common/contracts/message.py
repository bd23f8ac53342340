"""Events and commands: their stored names, versions, and the way back from bytes.

An event says what happened; a command says what somebody wants. Both are registered under a stored type
name when their class is defined, so a class may be renamed or moved without touching history.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import is_dataclass
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter

Payload = Mapping[str, Any]
Upcast = Callable[[Payload], Payload]
CommandT = TypeVar("CommandT")

EVENTS: dict[str, type[Event]] = {}
COMMANDS: dict[str, type[Any]] = {}
_UPCASTS: dict[tuple[str, int], Upcast] = {}


class UnknownMessage(LookupError):
    """No class of this release carries the stored type name: run the release that wrote it, or newer."""


class Event(BaseModel):
    """A past fact. Subclasses state `type` and, from the second version on, `version`.

    `later` names optional fields that a version gained after it was first written: while they hold their
    default they are left out of the body, so that what was said before is still spelled as it was.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: ClassVar[str]
    version: ClassVar[int] = 1
    later: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        name = cls.__dict__.get("type")
        if name is None:
            raise TypeError(f"{cls.__name__} has no stored type name")
        other = EVENTS.get(name)
        if other is not None and other.__qualname__ != cls.__qualname__:
            raise TypeError(f"{cls.__name__} and {other.__name__} are both stored as {name!r}")
        EVENTS[name] = cls

    @property
    def family(self) -> str:
        return self.type.partition(".")[0]

    def payload(self) -> dict[str, Any]:
        """The fields as JSON-ready data, as they are stored."""
        data = self.model_dump(mode="json")
        for name in self.later:
            if getattr(self, name) == type(self).model_fields[name].default:
                del data[name]
        return data


def upcasts(type_name: str, *, from_version: int) -> Callable[[Upcast], Upcast]:
    """Register the step from one version of an event to the next."""

    def register(step: Upcast) -> Upcast:
        if (type_name, from_version) in _UPCASTS:
            raise TypeError(f"two upcasts lead from {type_name} version {from_version}")
        _UPCASTS[type_name, from_version] = step
        return step

    return register


def decode_event(type_name: str, version: int, payload: Payload) -> Event:
    """Build the newest class from a stored payload of any version.

    Raises:
        UnknownMessage: the type, or its version, is newer than this release.
        pydantic.ValidationError: the payload does not fit.
    """
    cls = EVENTS.get(type_name)
    if cls is None:
        raise UnknownMessage(f"event type {type_name!r} is not known to this release")
    if version > cls.version:
        raise UnknownMessage(f"{type_name} version {version} is newer than this release's {cls.version}")
    for old in range(version, cls.version):
        step = _UPCASTS.get((type_name, old))
        if step is None:
            raise UnknownMessage(f"no upcast leads from {type_name} version {old} to {old + 1}")
        payload = step(payload)
    return cls.model_validate(payload)


def command(type_name: str) -> Callable[[type[CommandT]], type[CommandT]]:
    """Register a frozen dataclass as a command under its stored name."""

    def register(cls: type[CommandT]) -> type[CommandT]:
        other = COMMANDS.get(type_name)
        if other is not None and other.__qualname__ != cls.__qualname__:
            raise TypeError(f"{cls.__name__} and {other.__name__} are both stored as {type_name!r}")
        if not is_dataclass(cls):
            raise TypeError(f"{cls.__name__} must be a dataclass before it can be a command")
        COMMANDS[type_name] = cls
        _COMMAND_NAMES[cls] = type_name
        return cls

    return register


_COMMAND_NAMES: dict[type[Any], str] = {}


def command_type(cls: type[Any]) -> str:
    """The stored name of a command class."""
    return _COMMAND_NAMES[cls]


_ADAPTERS: dict[type[Any], TypeAdapter[Any]] = {}


def _adapter(cls: type[Any]) -> TypeAdapter[Any]:
    if cls not in _ADAPTERS:
        _ADAPTERS[cls] = TypeAdapter(cls)
    return _ADAPTERS[cls]


def command_payload(value: object) -> Any:
    """A command as JSON-ready data."""
    return _adapter(type(value)).dump_python(value, mode="json")


def decode_command(type_name: str, payload: Payload) -> Any:
    """Build a command from stored data; raises UnknownMessage for a name this release does not know."""
    cls = COMMANDS.get(type_name)
    if cls is None:
        raise UnknownMessage(f"command type {type_name!r} is not known to this release")
    return _adapter(cls).validate_python(payload)
