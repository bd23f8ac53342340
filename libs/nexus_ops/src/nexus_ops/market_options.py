"""The options that say which market is played and for whom, as settings of the services."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from nexus_common.contracts.values import Timeframe
from nexus_common.runtime.errors import ConfigurationError
from nexus_cortex.domain.strategies import AUTO
from nexus_ops.output import parse_instant
from nexus_ops.signals import moved_to


@dataclass(frozen=True, slots=True)
class MarketOptions:
    """What `up`, `demo`, `backtest` and `signals` take; absent means the setting's own default."""

    data: Path | None = None
    start: str | None = None
    end: str | None = None
    symbols: str | None = None
    venue: str | None = None
    speed: str | None = None
    mode: str | None = None
    strategy: str | None = None
    script: Path | None = None
    seed: int | None = None
    minutes: int | None = None
    protocol: str | None = None
    account_venue: str | None = None
    timeframe: str | None = None

    def environment(self) -> dict[str, str]:
        """The options as environment variables of the services.

        Raises:
            ConfigurationError: a time or timeframe cannot be read, no strategy runs on it, or a file is not there.
        """
        if self.script is not None and not self.script.is_file():
            raise ConfigurationError(f"there is no script {self.script}: give a file of timed commands")
        given: dict[str, object | None] = {
            "INGEST__DATA_DIR": None if self.data is None else self.data.resolve(),
            "INGEST__START": None if self.start is None else parse_instant(self.start).isoformat(),
            "INGEST__END": None if self.end is None else parse_instant(self.end).isoformat(),
            "INGEST__SYMBOLS": self.symbols,
            "INGEST__SPEED": self.speed,
            "INGEST__SEED": self.seed,
            "INGEST__MINUTES": self.minutes,
            "INGEST__SOURCES": self._sources(),
            "INGEST__ACCOUNT_VENUE": self.account_venue,
            "EXCHANGE__PROTOCOL": self.protocol,
            "TELEGRAM__MODE": None if self.mode is None else self.mode.lower(),
            "TELEGRAM__STRATEGY": self.strategy,
            "CORTEX__STRATEGY": self.strategy,
            "CORTEX__TIMEFRAMES": self._timeframes(),
            "TELEGRAM__SCRIPT": None if self.script is None else self.script.resolve(),
        }
        return {f"NEXUS__{key}": str(value) for key, value in given.items() if value is not None}

    def _sources(self) -> str | None:
        """A venue that is asked for comes first; the others follow in their usual order."""
        if self.venue is None:
            return None
        usual = ["binance_um", "bybit_linear", "us", "binance_spot"]
        return ",".join([self.venue, *(each for each in usual if each != self.venue)])

    def _timeframes(self) -> str | None:
        """Every strategy that can, or the one that is asked for, moved to the timeframe asked for."""
        if self.timeframe is None:
            return None
        if self.timeframe not in [*Timeframe]:
            raise ConfigurationError(f"{self.timeframe!r} is no timeframe; there are {', '.join(Timeframe)}")
        return json.dumps(moved_to(Timeframe(self.timeframe), self.strategy or AUTO))
