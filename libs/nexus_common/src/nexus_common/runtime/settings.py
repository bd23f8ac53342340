"""What can be set, and where it is read from. The only reader of the environment.

Strongest first: arguments of a program, `NEXUS__SECTION__KEY` in the environment (`…__FILE` names a file that
holds the value, for secrets), `nexus.toml` (or the file that NEXUS_CONFIG names), the program's own defaults,
the defaults below. A key that nobody knows is an error wherever it stands.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from annotated_types import Ge, Gt, Le, Lt
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from nexus_common.contracts.envelope import canonical
from nexus_common.contracts.limits import GuardSettings, RiskSettings
from nexus_common.contracts.values import Mode, Profile, Symbol, UserId, Venue, format_decimal, format_instant
from nexus_common.runtime.settings_sources import PREFIX, KeyPath, read_sources, submodel

_SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "BNBUSDT", "XRPUSDT", "DOGEUSDT", "LINKUSDT", "AVAXUSDT")
_SHARK_TARGETS = (
    *("SOLUSDT", "DOGEUSDT", "WIFUSDT", "1000PEPEUSDT", "1000SHIBUSDT", "1000BONKUSDT", "1000FLOKIUSDT"),
    *("SUIUSDT", "SEIUSDT", "INJUSDT", "AVAXUSDT", "LINKUSDT"),
)
# Where a program stands and how it logs decides nothing about trades: two places may share a hash.
_PLACE = ("store", "bus", "exchange", "runtime")


def _listed(value: object) -> object:
    """Environment variables hold lists as `a,b,c` or as JSON."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text.startswith("["):
        return json.loads(text)
    return [part.strip() for part in text.split(",") if part.strip()]


def _mapped(value: object) -> object:
    return json.loads(value) if isinstance(value, str) else value


def _as_utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


List = BeforeValidator(_listed)
Map = BeforeValidator(_mapped)
# Dates and times without a zone are UTC, as everywhere in what people write to Nexus.
WrittenInstant = Annotated[
    datetime, AfterValidator(_as_utc), PlainSerializer(format_instant, return_type=str)
]
Speed = Annotated[Decimal, Field(gt=0)] | Literal["max"]


class _Secret:
    """Marks a text that may hold a password."""


Address = Annotated[str, _Secret(), Field(repr=False)]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class StoreSettings(Section):
    url: Address = Field(
        "postgresql://nexus@127.0.0.1:5432/nexus", description="address of the Postgres event store"
    )


class BusSettings(Section):
    url: Address = Field("nats://127.0.0.1:4222", description="address of NATS, or several by comma")


class ExchangeSettings(Section):
    url: str = Field("tcp://127.0.0.1:8700", description="address of the simulated exchange")
    timeout_seconds: float = Field(
        5.0, gt=0, description="how long an answer may take before it counts as unknown"
    )


class RuntimeSettings(Section):
    instance: Annotated[int, Ge(1)] | Literal["auto"] = Field(
        1, description="number of this replica of a service; auto: the first that no other host has"
    )
    replicas: int = Field(
        1,
        ge=1,
        description="how many numbered replicas of a service share its partitions; auto counts itself",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="least level that is logged"
    )
    log_repeat_seconds: float = Field(
        5.0, ge=0, description="repeats of a record within this time are counted only"
    )
    health_host: str = Field("127.0.0.1", description="address that the health page listens on")
    health_port: int = Field(0, ge=0, le=65_535, description="port of the health page")
    trace_dir: Path | None = Field(
        None, description="where each service keeps what it was doing; absent: nowhere"
    )


class IngestSettings(Section):
    data_dir: Path | None = Field(None, description="recorded market to play; absent: a generated one")
    symbols: Annotated[tuple[Symbol, ...], List] = Field(
        tuple(Symbol(name) for name in _SYMBOLS), min_length=1, description="instruments, by comma"
    )
    sources: Annotated[tuple[str, ...], List] = Field(
        ("binance_um", "bybit_linear", "us", "binance_spot"),
        description="order in which recorded series are taken",
    )
    start: WrittenInstant | None = Field(
        None, description="first instant of trading (UTC, inclusive); earlier bars warm up"
    )
    end: WrittenInstant | None = Field(None, description="end of trading (UTC, exclusive)")
    speed: Speed = Field("max", description="market seconds in a second, or max")
    seed: int = Field(5, ge=0, description="what a generated market is drawn from")
    minutes: int = Field(4_320, ge=1, description="length of a generated market")


class CortexSettings(Section):
    strategy: str = Field("auto", description="auto obeys the regime; a name runs that strategy alone")
    parameters: Annotated[dict[str, Annotated[dict[str, Decimal], Map]], Map] = Field(
        {}, description="overrides of strategy parameters: strategy, then parameter, then value"
    )
    shark_targets: Annotated[tuple[Symbol, ...], List] = Field(
        tuple(Symbol(name) for name in _SHARK_TARGETS),
        description="instruments that shark may short, by comma",
    )


class ShieldSettings(Section):
    risk: RiskSettings = Field(RiskSettings(), description="what users start with; each may change his own")
    guard: GuardSettings = Field(GuardSettings(), description="the sentinel, one for the whole installation")


class ExecutorSettings(Section):
    proposal_minutes: int = Field(5, ge=1, description="how long a COPILOT proposal waits for an answer")


class TelegramSettings(Section):
    owner: UserId = Field(
        UserId("owner"), min_length=1, pattern=r"^[A-Za-z0-9_]+$", description="the owner's name"
    )
    mode: Mode = Field(Mode.WATCHER, description="the owner's mode at first: watcher, copilot or pilot")
    profile: Profile = Field(Profile.NEXUS, description="the owner's profile at first")
    strategy: str = Field("auto", description="the owner's strategy at first")
    venues: Annotated[tuple[Venue, ...], List] = Field(
        (Venue.BINANCE,), description="venues of the owner's paper accounts, by comma"
    )
    paper_usdt: Decimal = Field(
        Decimal(10_000), gt=0, description="opening balance of a crypto paper account, USDT"
    )
    paper_usd: Decimal = Field(
        Decimal(100_000), gt=0, description="opening balance of a stock paper account, USD"
    )
    script: Path | None = Field(None, description="file of timed commands to play")
    token: SecretStr | None = Field(None, description="the Telegram bot's token")


class SchedulerSettings(Section):
    daily_summary_cron: str = Field("5 0 * * *", description="when users get the summary of their day (UTC)")
    tasks_max: int = Field(20, ge=1, description="tasks a user may have")


class NexusSettings(BaseSettings):
    """All settings of one installation; a service reads its own section and what is common."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", enable_decoding=False)

    store: StoreSettings = StoreSettings()
    bus: BusSettings = BusSettings()
    exchange: ExchangeSettings = ExchangeSettings()
    runtime: RuntimeSettings = RuntimeSettings()
    ingest: IngestSettings = IngestSettings()
    cortex: CortexSettings = CortexSettings()
    shield: ShieldSettings = ShieldSettings()
    executor: ExecutorSettings = ExecutorSettings()
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
        public = {k: v for k, v in self.public_dump().items() if k.partition(".")[0] not in _PLACE}
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
    return "SecretStr" in str(field.annotation) or any(isinstance(mark, _Secret) for mark in field.metadata)


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
