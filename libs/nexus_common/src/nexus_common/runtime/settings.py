"""What can be set, and where it is read from. The only reader of the environment.

Strongest first: arguments of a program, `NEXUS__SECTION__KEY` in the environment (`…__FILE` names a file that
holds the value, for secrets), `nexus.toml` (or the file that NEXUS_CONFIG names), the program's own defaults,
the defaults below. A key that nobody knows is an error wherever it stands.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from decimal import Decimal
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from nexus_common.contracts.envelope import canonical
from nexus_common.contracts.values import format_decimal
from nexus_common.runtime.settings_sections import (
    BusSettings,
    CortexSettings,
    ExchangeSettings,
    ExecutorSettings,
    FeedsSettings,
    IngestSettings,
    RuntimeSettings,
    SchedulerSettings,
    Secret,
    ShieldSettings,
    StoreSettings,
    TelegramSettings,
    VenuesSettings,
)
from nexus_common.runtime.settings_sources import PREFIX, KeyPath, read_sources, submodel

# Where a program stands and how it logs decides nothing about trades: two places may share a hash.
_PLACE = ("store", "bus", "exchange", "runtime")
_PLACES = ("executor.credentials_file", "feeds.tape_dir")


class NexusSettings(BaseSettings):
    """All settings of one installation; a service reads its own section and what is common."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", enable_decoding=False)

    store: StoreSettings = StoreSettings()
    bus: BusSettings = BusSettings()
    exchange: ExchangeSettings = ExchangeSettings()
    runtime: RuntimeSettings = RuntimeSettings()
    ingest: IngestSettings = IngestSettings()
    feeds: FeedsSettings = FeedsSettings()
    cortex: CortexSettings = CortexSettings()
    shield: ShieldSettings = ShieldSettings()
    executor: ExecutorSettings = ExecutorSettings()
    venues: VenuesSettings = VenuesSettings()
    telegram: TelegramSettings = TelegramSettings()
    scheduler: SchedulerSettings = SchedulerSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        # `load` reads the sources, so that it can tell for each value where it came from.
        return (init_settings,)

    def public_dump(self) -> dict[str, str]:
        """`section.key` and its value as text, sorted, without secrets and addresses that may hold one."""
        hidden = {".".join(path) for path, field in fields() if is_secret(field)}
        return {key: value for key, value in sorted(_flat(self.model_dump(mode="json"))) if key not in hidden}

    def settings_hash(self) -> str:
        """SHA-256 of what can change a decision: everything public but addresses and logging."""
        public = {
            k: v
            for k, v in self.public_dump().items()
            if k.partition(".")[0] not in _PLACE and k not in _PLACES
        }
        return sha256(canonical(public).encode()).hexdigest()

    def secret_values(self) -> tuple[str, ...]:
        """What must never be logged: hand it to `log.configure`."""
        found: list[str] = []
        for path, field in fields():
            if not is_secret(field):
                continue
            value: Any = self
            for part in path:
                value = getattr(value, part)
            if isinstance(value, SecretStr):
                found.append(value.get_secret_value())
            elif value:
                found.extend(_passwords(value))
        return tuple(found)


def load(
    overrides: Mapping[str, Any] | None = None,
    *,
    defaults: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
) -> NexusSettings:
    """Read every source and check all of it.

    `overrides` and `defaults` are nested (`{"ingest": {"seed": 7}}`), the one stronger than every source, the
    other weaker. `environment` stands in for the process's own.

    Raises:
        ConfigurationError: one line for each wrong key or value, with where it stands.
    """
    variables = os.environ if environment is None else environment
    return read_sources(NexusSettings, overrides or {}, defaults or {}, variables)


def describe() -> list[tuple[str, str, str]]:
    """(variable, default, description) of everything that can be set, section by section."""
    return [
        (
            f"{PREFIX}{'__'.join(path)}".upper(),
            _shown(field.get_default(call_default_factory=False)),
            _described(field),
        )
        for path, field in fields()
    ]


def fields(
    model: type[BaseModel] = NexusSettings, path: tuple[str, ...] = ()
) -> Iterator[tuple[KeyPath, FieldInfo]]:
    """Every single setting with its path."""
    for key, field in model.model_fields.items():
        inner = submodel(field)
        if inner is None:
            yield (*path, key), field
        else:
            yield from fields(inner, (*path, key))


def is_secret(field: FieldInfo) -> bool:
    return "SecretStr" in str(field.annotation) or any(isinstance(mark, Secret) for mark in field.metadata)


def _passwords(addresses: str) -> list[str]:
    """The passwords in one or several addresses."""
    found = (urlsplit(address).password for address in addresses.split(","))
    return [password for password in found if password]


def _described(field: FieldInfo) -> str:
    if field.description:
        return field.description
    signs = {Gt: ("above", "gt"), Ge: ("from", "ge"), Le: ("up to", "le"), Lt: ("below", "lt")}
    limits = [
        f"{word} {getattr(mark, attribute)}"
        for mark in field.metadata
        for kind, (word, attribute) in signs.items()
        if isinstance(mark, kind)
    ]
    return ", ".join(limits)


def _shown(default: object) -> str:
    match default:
        case None:
            return ""
        case bool():
            return str(default).lower()
        case Decimal():
            return format_decimal(default)
        case tuple():
            return ",".join(str(each) for each in default)
        case dict():
            return json.dumps(default)
        case _:
            return str(default)


def _flat(tree: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    for key, value in tree.items():
        name = f"{path}.{key}" if path else key
        if isinstance(value, dict):
            yield from _flat(value, name)
        elif isinstance(value, list):
            yield name, ",".join(str(each) for each in value)
        else:
            yield name, "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
