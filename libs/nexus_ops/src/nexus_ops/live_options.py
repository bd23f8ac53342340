"""The options of `nexus up` for live markets, as settings of the services."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from nexus_common.contracts.values import Symbol
from nexus_common.runtime.errors import ConfigurationError
from nexus_common.runtime.settings import NexusSettings
from nexus_cortex import bootstrap as cortex
from nexus_market.instruments import DEFAULT_INSTRUMENTS
from nexus_ops.composition import settings_for
from nexus_ops.output import parse_instant
from nexus_scheduler import bootstrap as scheduler
from nexus_shield import bootstrap as shield
from nexus_telegram import bootstrap as telegram

# At a venue's own speed a request has 5 s; where a minute passes in a second, that is no time at all.
PATIENT_WINDOW = "60"
SIMULATED_SPEED = "60"
SIMULATED_KEY = "simulated"


class MarketKind(StrEnum):
    PLAYED = "played"
    LIVE = "live"
    SIMULATED = "simulated"


@dataclass(frozen=True, slots=True)
class LiveOptions:
    """What `up` takes for the venues' own feeds, or for those of simulated venues; absent means the default."""

    kind: MarketKind
    symbols: str | None = None
    mode: str | None = None
    strategy: str | None = None
    protocol: str | None = None
    data: Path | None = None
    start: str | None = None
    end: str | None = None
    minutes: int | None = None
    seed: int | None = None
    speed: str | None = None

    def environment(self) -> dict[str, str]:
        """The options as environment variables of the services; raises ConfigurationError."""
        if self.kind is MarketKind.LIVE and (self.data or self.speed or self.start or self.end):
            raise ConfigurationError(
                "a live market is not played: leave out --data, --from, --to and --speed"
            )
        given: dict[str, str | None] = {
            "INGEST__MARKET": "live",
            **self._symbols(),
            "TELEGRAM__MODE": None if self.mode is None else self.mode.lower(),
            "TELEGRAM__STRATEGY": self.strategy,
            "CORTEX__STRATEGY": self.strategy,
            "EXCHANGE__PROTOCOL": self.protocol,
        }
        if self.kind is MarketKind.SIMULATED:
            given |= self._simulated()
        return {f"NEXUS__{key}": value for key, value in given.items() if value is not None}

    def _symbols(self) -> dict[str, str | None]:
        if self.symbols is None:
            return {}
        chosen = [Symbol(each) for each in self.symbols.upper().split(",")]
        crypto = [each for each in chosen if any(each in names for names in _crypto_names())]
        stocks = [each for each in chosen if each not in crypto]
        venues = (["binance"] if crypto else []) + (["alpaca"] if stocks else [])
        return {
            "FEEDS__SYMBOLS": ",".join(crypto),
            "FEEDS__STOCKS": ",".join(stocks),
            "FEEDS__VENUES": None if _is_set("FEEDS__VENUES") else ",".join(venues),
        }

    def _simulated(self) -> dict[str, str | None]:
        window = {
            f"VENUES__{venue}__RECEIVE_WINDOW_SECONDS": PATIENT_WINDOW
            for venue in ("BINANCE", "BYBIT", "ALPACA")
        }
        return {
            "FEEDS__MARKET_SPEED": self.speed or SIMULATED_SPEED,
            "FEEDS__VENUES": None
            if _is_set("FEEDS__VENUES")
            else self._symbols().get("FEEDS__VENUES") or "binance",
            "FEEDS__ALPACA_KEY": SIMULATED_KEY,
            "FEEDS__ALPACA_SECRET": SIMULATED_KEY,
            "EXCHANGE__PLAYS_ITSELF": "true",
            "EXCHANGE__PROTOCOL": self.protocol or "native",
            **window,
        }

    def plays(self, settings: NexusSettings) -> list[str]:
        """The arguments with which the exchange plays a market itself; none for real venues."""
        if self.kind is not MarketKind.SIMULATED:
            return []
        feeds = settings.feeds
        crypto = [venue for venue in feeds.venues if venue.is_crypto]
        given: dict[str, object | None] = {
            "--data": None if self.data is None else self.data.resolve(),
            "--minutes": self.minutes if self.data is not None or self.minutes else settings.ingest.minutes,
            "--seed": self.seed,
            "--from": None if self.start is None else parse_instant(self.start).isoformat(),
            "--to": None if self.end is None else parse_instant(self.end).isoformat(),
            "--symbols": ",".join((*(feeds.symbols if crypto else ()), *feeds.stocks)),
            "--played-as": ",".join(crypto) or None,
            "--speed": feeds.market_speed,
        }
        return [word for option, value in given.items() if value is not None for word in (option, str(value))]


def rehearsed_live(options: LiveOptions) -> tuple[dict[str, str], list[str]]:
    """Everything a live run is made of, tried out before anything is started.

    Returns the variables, with an account at each venue that is followed, and the exchange's arguments. Accounts
    are on paper unless NEXUS__TELEGRAM__LIVE_VENUES names their venue.

    Raises:
        ConfigurationError: a setting cannot be used.
    """
    # It brings the venues' SDKs, which take a second to import.
    from nexus_ingest.live.bootstrap import follows_of

    environment = options.environment()
    venues = ",".join(settings_for(environment).feeds.venues)
    unsaid = {} if _is_set("TELEGRAM__VENUES") else {"NEXUS__TELEGRAM__VENUES": venues}
    complete = {**unsaid, **environment}
    settings = settings_for(complete)
    follows_of(settings)
    if settings.telegram.live_venues and options.kind is MarketKind.SIMULATED:
        raise ConfigurationError(
            f"accounts at {', '.join(settings.telegram.live_venues)} are live, and this market is simulated: "
            "leave NEXUS__TELEGRAM__LIVE_VENUES empty to trade it on paper"
        )
    for put_together in (cortex.reactor, shield.reactor, telegram.reactor, scheduler.reactor):
        put_together(settings)
    return complete, options.plays(settings)


def _is_set(name: str, environment: Mapping[str, str] = os.environ) -> bool:
    return f"NEXUS__{name}" in environment


def _crypto_names() -> list[set[Symbol]]:
    return [
        {each.symbol for each in listed} for venue, listed in DEFAULT_INSTRUMENTS.items() if venue.is_crypto
    ]
