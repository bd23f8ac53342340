"""Ingest put together: the market to play, the exchange that plays along, and the pace."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import TypeVar

from nexus_common.contracts.envelope import Envelope
from nexus_common.contracts.instrument import Instrument
from nexus_common.contracts.message import Event
from nexus_common.contracts.values import Service, Symbol, Venue
from nexus_common.runtime.desk import WorkDesk
from nexus_common.runtime.errors import ConfigurationError
from nexus_common.runtime.exchange_client import ExchangeClient
from nexus_common.runtime.ports import EventStore
from nexus_common.runtime.service import Context, Work
from nexus_common.runtime.settings import NexusSettings
from nexus_common.runtime.settings_sections import IngestSettings
from nexus_data.generated_market import GeneratedMarket
from nexus_data.market_feed import Market, Step
from nexus_data.playback import PlayedMarket
from nexus_data.recorded_market import RecordedMarket
from nexus_ingest.exchange import tell_step
from nexus_ingest.handlers import Recorder
from nexus_ingest.player import Player
from nexus_ingest.rounds import Rounds
from nexus_market.candles import Ohlcv
from nexus_market.instruments import DEFAULT_INSTRUMENTS

T = TypeVar("T")


def market(settings: IngestSettings) -> PlayedMarket:
    """The market that the settings name; raises ConfigurationError for data that cannot be played."""
    venue = settings.account_venue
    if venue is not None and not venue.is_crypto:
        raise ConfigurationError(f"a crypto market cannot be played as {venue}'s: choose binance or bybit")
    if settings.data_dir is not None:
        preferred = settings.sources[0] if settings.sources else None
        return RecordedMarket(
            settings.data_dir, settings.symbols, settings.start, settings.end, preferred, venue
        )
    given = {"start": settings.start} if settings.start is not None else {}
    return GeneratedMarket(
        settings.seed, settings.symbols, minutes=settings.minutes, venue=venue or Venue.BINANCE, **given
    )


def instruments_of(played: Market) -> list[Instrument]:
    """The instruments of a market, in its order; raises ConfigurationError for one that no venue lists."""
    known = {(each.venue, each.symbol): each for listed in DEFAULT_INSTRUMENTS.values() for each in listed}
    found = []
    for symbol in played.symbols:
        instrument = known.get((played.venue_of(symbol), symbol))
        if instrument is None:
            raise ConfigurationError(
                f"{symbol} is not among the instruments of {played.venue_of(symbol)}: leave it out of the symbols"
            )
        found.append(instrument)
    return found


def recorder(played: Market) -> Recorder:
    return Recorder(played, instruments_of(played))


def desk(store: EventStore, context: Context | None = None) -> WorkDesk:
    """Ingest's desk: what it records are inputs, there is nothing to decide again."""
    lease = (lambda: context.leases.guard) if context is not None else (lambda: None)
    return WorkDesk(store, Service.INGEST.value, _nothing_to_remember, lease=lease, keep_commands=False)


def _nothing_to_remember(envelope: Envelope[Event]) -> None:
    """Ingest's memory is its streams."""


class Pace:
    """Lets market time pass `speed` times as fast as the wall clock; without a speed, as fast as it can."""

    def __init__(self, speed: float | None) -> None:
        self._speed = speed
        self._origin: tuple[datetime, float] | None = None

    async def __call__(self, at: datetime) -> None:
        if self._speed is None:
            return
        if self._origin is None:
            self._origin = (at, time.monotonic())
        origin, begun = self._origin
        due = begun + (at - origin).total_seconds() / self._speed
        await asyncio.sleep(max(0.0, due - time.monotonic()))


async def tell(exchange: ExchangeClient, played: Market, step: Step) -> None:
    """Have the exchange match a step at each venue, until it has; asked again it answers the same."""
    for venue in sorted({played.venue_of(symbol) for symbol in played.symbols}):
        await tell_step(exchange, venue, *of_venue(played, step, venue))


def of_venue(
    played: Market, step: Step, venue: Venue
) -> tuple[datetime, dict[Symbol, Ohlcv], dict[Symbol, Ohlcv], dict[Symbol, Decimal]]:
    """The instant, bars, next bars and funding of a step that concern one venue."""

    def here(figures: Mapping[Symbol, T]) -> dict[Symbol, T]:
        return {symbol: each for symbol, each in figures.items() if played.venue_of(symbol) is venue}

    return step.at, here(step.bars), here(step.next_bars), here(step.funding)


async def build(context: Context) -> Work:
    guard = context.leases.guard
    epoch = guard.epoch if guard else 0
    rounds = Rounds(context.bus, context.relay, epoch, context.leases.number, context.trace)
    if context.settings.ingest.market == "live":
        # The venues' SDKs take a second to import, and a market that is played needs none of them.
        from nexus_ingest.live.bootstrap import build_live

        return build_live(context, desk(context.store, context), rounds)
    return _build_played(context, rounds)


def _build_played(context: Context, rounds: Rounds) -> Work:
    settings: NexusSettings = context.settings
    played = market(settings.ingest)
    exchange = ExchangeClient(settings.exchange.url, name="ingest", timeout=settings.exchange.timeout_seconds)
    context.closing.push_async_callback(exchange.close)

    async def tell_exchange(step: Step) -> None:
        await tell(exchange, played, step)

    player = Player(
        played,
        recorder(played),
        desk(context.store, context),
        context.store,
        context.relay,
        rounds,
        tell_exchange,
        Pace(None if settings.ingest.speed == "max" else float(settings.ingest.speed)),
        trace=context.trace,
        health=context.health,
    )
    return player.run
