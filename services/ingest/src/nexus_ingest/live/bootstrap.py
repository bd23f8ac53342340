"""Ingest put together for live markets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Final

from nexus_common.contracts.values import Symbol, Venue
from nexus_common.runtime.desk import WorkDesk
from nexus_common.runtime.errors import ConfigurationError
from nexus_common.runtime.exchange_client import ExchangeClient
from nexus_common.runtime.service import Context, Work
from nexus_common.runtime.settings import NexusSettings
from nexus_common.runtime.settings_sections import FeedsSettings
from nexus_ingest.adapters.bus_desk import take_nudges, tell_prices
from nexus_ingest.adapters.coinmarketcap import CoinMarketCap
from nexus_ingest.adapters.fear_greed import FearGreed
from nexus_ingest.adapters.macro_source import MacroSource
from nexus_ingest.adapters.tape_writer import TapeWriter
from nexus_ingest.adapters.tick_publisher import TickPublisher
from nexus_ingest.domain.watch_rules import WatchRules
from nexus_ingest.live.conductor import Conductor, Follows
from nexus_ingest.live.market_time import MarketTime
from nexus_ingest.live.paper import PaperMarket
from nexus_ingest.live.recording import Known
from nexus_ingest.live.steps import Steps
from nexus_ingest.rounds import Rounds
from nexus_ingest.venues.feed import Feed
from nexus_ingest.venues.table import FEEDS

MILLISECONDS: Final = 1_000
ARRIVES_WITHIN_MS: Final = 250
PATIENCE: Final = (
    *("scan_ms", "flush_ms", "connection_silence_ms", "candle_silence_ms", "closed_candle_silence_ms"),
    *("stream_silence_ms", "clock_off_ms", "witness_fresh_ms", "trade_disorder_ms", "confirm_ms"),
    *("repair_ms", "answer_ms", "retry_first_ms", "retry_most_ms"),
)


def speed_of(feeds: FeedsSettings) -> float:
    """Raises ConfigurationError for `max`: live markets keep a time of their own."""
    if feeds.market_speed == "max":
        raise ConfigurationError("feeds.market_speed has to be a number: live markets keep their own time")
    return float(feeds.market_speed)


def rules_of(feeds: FeedsSettings) -> WatchRules:
    """The watch's rules. It counts in the market's time; patience with networks and processes is of ours."""
    rules = WatchRules(
        flush_ms=feeds.flush_milliseconds,
        connection_silence_ms=round(feeds.silence_seconds * MILLISECONDS),
        candle_silence_ms=round(feeds.candle_silence_seconds * MILLISECONDS),
        stream_silence_ms=round(feeds.trade_silence_seconds * MILLISECONDS),
        clock_off_ms=feeds.clock_off_milliseconds,
        price_jump=feeds.price_jump,
    )
    speed = speed_of(feeds)
    spans = {name: round(getattr(rules, name) * speed) for name in PATIENCE}
    # A candle takes its time from the venue to us, in which a fast market goes on.
    fresh = max(rules.fresh_ms, round(ARRIVES_WITHIN_MS * speed))
    return replace(rules, **spans, fresh_ms=fresh)


def follows_of(settings: NexusSettings) -> Follows:
    """What the settings say is to be followed.

    Raises:
        ConfigurationError: a venue without instruments, or instruments without their venue.
    """
    feeds = settings.feeds
    if feeds.stocks and Venue.ALPACA not in feeds.venues:
        raise ConfigurationError(
            f"stocks ({', '.join(feeds.stocks)}) need alpaca among feeds.venues, which are {', '.join(feeds.venues)}"
        )
    symbols = {venue: feeds.symbols if venue.is_crypto else feeds.stocks for venue in feeds.venues}
    for venue, chosen in symbols.items():
        if not chosen:
            kind = "symbols" if venue.is_crypto else "stocks"
            raise ConfigurationError(f"{venue} is among feeds.venues, but there are no feeds.{kind}")

    def make_feed(venue: Venue, chosen: Sequence[Symbol]) -> Feed:
        kind = "symbols" if venue.is_crypto else "stocks"
        return FEEDS[venue](feeds.model_copy(update={kind: tuple(chosen)}), settings.venues)

    return Follows(
        symbols=symbols,
        make_feed=make_feed,
        readers={venue: feeds.stock_source if venue is Venue.ALPACA else str(venue) for venue in symbols},
        rules=rules_of(feeds),
        registry_hours=feeds.registry_hours,
        macro=macro_sources(feeds),
        macro_seconds=feeds.macro_seconds,
    )


def macro_sources(feeds: FeedsSettings) -> list[MacroSource]:
    """Fear & greed needs no key."""
    sources: list[MacroSource] = [FearGreed(feeds.fear_greed_url)]
    if feeds.coinmarketcap_key is not None:
        key = feeds.coinmarketcap_key.get_secret_value()
        sources.append(CoinMarketCap(feeds.coinmarketcap_url, key))
    return sources


def tape_of(feeds: FeedsSettings) -> TapeWriter | None:
    if feeds.tape_dir is None:
        return None
    return TapeWriter(
        feeds.tape_dir,
        feeds.venues[0],
        frames=feeds.tape_frames,
        segment_minutes=feeds.tape_segment_minutes,
        keep_days=feeds.tape_keep_days,
    )


def paper_market(context: Context) -> PaperMarket | None:
    """The exchange that has to be told the market; None where it plays one itself."""
    exchange = context.settings.exchange
    if exchange.plays_itself:
        return None
    client = ExchangeClient(exchange.url, name="ingest", timeout=exchange.timeout_seconds)
    context.closing.push_async_callback(client.close)
    return PaperMarket(client)


async def nobody(at: datetime, items: Sequence[Known]) -> None:
    """The exchange plays itself: there is nobody to tell."""


def build_live(context: Context, desk: WorkDesk, rounds: Rounds) -> Work:
    """Raises ConfigurationError for settings that cannot be followed."""
    settings: NexusSettings = context.settings
    speed = speed_of(settings.feeds)
    # Whoever plays a market has a time of its own, also where it passes as fast as ours.
    is_played = settings.exchange.plays_itself or speed != 1
    time = MarketTime(context.clock, speed if is_played else None)
    paper = paper_market(context)
    steps = Steps(
        desk,
        context.store,
        context.relay,
        rounds,
        time,
        nobody if paper is None else paper.tell,
        settings.feeds.beat_seconds,
        context.trace,
        context.health,
    )
    conductor = Conductor(
        follows_of(settings),
        time,
        steps,
        context.store,
        TickPublisher(context.bus),
        context.health,
        tape_of(settings.feeds),
        None if paper is None else paper.hear,
    )
    context.beside.append(partial(take_nudges, context.bus, steps.agenda.nudge))
    for venue in settings.feeds.venues:
        if venue.is_crypto:
            context.beside.append(partial(tell_prices, context.bus, venue, conductor.feeds))
    return conductor.run
