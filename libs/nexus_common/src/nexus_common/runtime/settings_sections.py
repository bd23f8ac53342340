"""The groups of settings, one for each service and one for each thing they meet. See `settings`."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Ge
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, SecretStr

from nexus_common.contracts.limits import GuardSettings, RiskSettings
from nexus_common.contracts.values import (
    Mode,
    Profile,
    Symbol,
    Timeframe,
    UserId,
    Venue,
    format_instant,
)

_SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "BNBUSDT", "XRPUSDT", "DOGEUSDT", "LINKUSDT", "AVAXUSDT")
_SHARK_TARGETS = (
    *("SOLUSDT", "DOGEUSDT", "WIFUSDT", "1000PEPEUSDT", "1000SHIBUSDT", "1000BONKUSDT", "1000FLOKIUSDT"),
    *("SUIUSDT", "SEIUSDT", "INJUSDT", "AVAXUSDT", "LINKUSDT"),
)


def _listed(value: object) -> object:
    """Environment variables hold lists as `a,b,c` or as JSON."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text.startswith("["):
        return json.loads(text)
    return [part.strip() for part in text.split(",") if part.strip()]


def _mapped(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except json.JSONDecodeError as error:
        raise ValueError('expected a JSON object, such as {"NAME": VALUE}') from error


def _as_utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


List = BeforeValidator(_listed)
Map = BeforeValidator(_mapped)
# Dates and times without a zone are UTC, as everywhere in what people write to Nexus.
WrittenInstant = Annotated[
    datetime, AfterValidator(_as_utc), PlainSerializer(format_instant, return_type=str)
]
Speed = Annotated[Decimal, Field(gt=0)] | Literal["max"]


class Secret:
    """Marks a text that may hold a password."""


Address = Annotated[str, Secret(), Field(repr=False)]
_PROXY = "proxy with a static address for REST and WebSocket, such as http://user:password@host:port"


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
    protocol: Literal["exchange", "native"] = Field(
        "exchange",
        description="how paper accounts reach it: by its own protocol, or by their venue's through the vendor's SDK",
    )
    plays_itself: bool = Field(
        False, description="it has a market of its own; otherwise ingest tells it the bars to match on"
    )
    binance_url: str = Field(
        "http://127.0.0.1:8701", description="where it speaks Binance's protocol, WebSocket included"
    )
    bybit_url: str = Field("http://127.0.0.1:8702", description="where it speaks Bybit's")
    alpaca_url: str = Field("http://127.0.0.1:8703", description="where it speaks Alpaca's")

    def venue_url(self, venue: Venue) -> str:
        """Where it speaks a venue's own protocol."""
        return {
            Venue.BINANCE: self.binance_url,
            Venue.BYBIT: self.bybit_url,
            Venue.ALPACA: self.alpaca_url,
        }[venue]


# May hold a password, as addresses of servers may.
Proxy = Annotated[str | None, Secret(), Field(None, repr=False, description=_PROXY)]


class VenueSettings(Section):
    """How live accounts reach a venue."""

    rest_url: str
    stream_url: str
    proxy: Proxy = None
    receive_window_seconds: int = Field(
        5, ge=1, le=60, description="how long after it was signed a request may still be worked on"
    )
    timeout_seconds: float = Field(
        5.0, gt=0, description="how long an answer may take before it counts as unknown"
    )


class BinanceSettings(VenueSettings):
    rest_url: str = Field("https://fapi.binance.com", description="USDT-M futures, REST")
    stream_url: str = Field("wss://fstream.binance.com", description="USDT-M futures, WebSocket")


class BybitSettings(VenueSettings):
    rest_url: str = Field("https://api.bybit.com", description="V5, REST")
    stream_url: str = Field("wss://stream.bybit.com", description="V5, WebSocket")


class AlpacaSettings(VenueSettings):
    rest_url: str = Field("", description="trading, REST; absent: Alpaca's side that `live` chooses")
    stream_url: str = Field("", description="trade updates; absent: as above")
    live: bool = Field(False, description="real money; otherwise accounts are on Alpaca's own paper side")

    @property
    def host(self) -> str:
        """Alpaca has two sides, with keys of their own."""
        return "api.alpaca.markets" if self.live else "paper-api.alpaca.markets"

    @property
    def trading_url(self) -> str:
        return self.rest_url or f"https://{self.host}"


class VenuesSettings(Section):
    binance: BinanceSettings = BinanceSettings()
    bybit: BybitSettings = BybitSettings()
    alpaca: AlpacaSettings = AlpacaSettings()

    def of(self, venue: Venue) -> VenueSettings:
        return {Venue.BINANCE: self.binance, Venue.BYBIT: self.bybit, Venue.ALPACA: self.alpaca}[venue]


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
    market: Literal["played", "live"] = Field(
        "played", description="a recorded or generated market in lock step, or the venues' own feeds"
    )
    data_dir: Path | None = Field(None, description="recorded market to play; absent: a generated one")
    symbols: Annotated[tuple[Symbol, ...], List] = Field(
        tuple(Symbol(name) for name in _SYMBOLS), min_length=1, description="instruments, by comma"
    )
    sources: Annotated[tuple[str, ...], List] = Field(
        ("binance_um", "bybit_linear", "us", "binance_spot"),
        description="order in which recorded series are taken",
    )
    account_venue: Venue | None = Field(
        None, description="crypto venue that the market is played as; absent: where it was recorded"
    )
    start: WrittenInstant | None = Field(
        None, description="first instant of trading (UTC, inclusive); earlier bars warm up"
    )
    end: WrittenInstant | None = Field(None, description="end of trading (UTC, exclusive)")
    speed: Speed = Field("max", description="market seconds in a second, or max")
    seed: int = Field(5, ge=0, description="what a generated market is drawn from")
    minutes: int = Field(4_320, ge=1, description="length of a generated market")


class FeedsSettings(Section):
    """Live market data: which venues and instruments, what counts as silence, where the tape goes."""

    venues: Annotated[tuple[Venue, ...], List] = Field(
        (Venue.BINANCE, Venue.BYBIT), min_length=1, description="venues whose feeds are read, by comma"
    )
    symbols: Annotated[tuple[Symbol, ...], List] = Field(
        tuple(Symbol(name) for name in _SYMBOLS), description="crypto instruments, by comma"
    )
    stocks: Annotated[tuple[Symbol, ...], List] = Field(
        (), description="stocks and ETFs, by comma; they need alpaca among the venues"
    )
    stock_feed: Literal["iex", "sip"] = Field("iex", description="Alpaca's stock feed: one exchange, or all")
    stock_source: Literal["alpaca", "polygon"] = Field(
        "alpaca", description="who streams stocks: Alpaca, or Polygon as the premium feed"
    )
    market_speed: Speed = Field(
        Decimal(1), description="market seconds in a second at simulated venues; 1 for real ones"
    )
    beat_seconds: float = Field(1.0, gt=0, description="how often services get a turn between candles")
    flush_milliseconds: int = Field(
        20, ge=1, description="how long closing candles are waited for, from the first one on"
    )
    rotation_hours: float = Field(
        23.0, gt=0, le=24, description="age at which a connection is replaced by a new one, with overlap"
    )
    silence_seconds: float = Field(
        5.0, gt=0, description="how long a connection may say nothing before it is opened anew"
    )
    candle_silence_seconds: float = Field(
        8.0, gt=0, description="how long after its end a candle may be out before REST is asked"
    )
    trade_silence_seconds: float = Field(
        120.0, gt=0, description="how long an instrument's trades, book or mark may be silent"
    )
    clock_off_milliseconds: int = Field(1_000, gt=0, description="difference of clocks from which it is told")
    price_jump: Decimal = Field(
        Decimal("0.2"),
        gt=0,
        description="fraction beyond which a price is doubted unless others confirm it",
    )
    tape_dir: Path | None = Field(None, description="folder of the tape; absent: nothing is taped")
    tape_frames: bool = Field(True, description="whether raw frames are taped beside ticks")
    tape_segment_minutes: int = Field(60, ge=1, description="length of a segment of the tape")
    tape_keep_days: int = Field(14, ge=1, description="age at which sealed segments are dropped")
    macro_seconds: int = Field(600, ge=1, description="how often macro figures are asked for")
    registry_hours: float = Field(24.0, gt=0, description="how often venues' instruments are read anew")
    alpaca_data_url: str = Field("https://data.alpaca.markets", description="Alpaca's market data, REST")
    alpaca_stream_url: str = Field(
        "wss://stream.data.alpaca.markets", description="Alpaca's market data, WebSocket"
    )
    alpaca_key: SecretStr | None = Field(None, description="key for Alpaca's market data and calendar")
    alpaca_secret: SecretStr | None = Field(None, description="its secret")
    polygon_url: str = Field("https://api.polygon.io", description="Polygon, REST")
    polygon_stream_url: str = Field("wss://socket.polygon.io", description="Polygon, WebSocket")
    polygon_key: SecretStr | None = Field(None, description="key for Polygon")
    coinmarketcap_url: str = Field("https://pro-api.coinmarketcap.com", description="CoinMarketCap")
    coinmarketcap_key: SecretStr | None = Field(None, description="its key; absent: not asked")
    fear_greed_url: str = Field("https://api.alternative.me", description="fear & greed index")


class CortexSettings(Section):
    strategy: str = Field("auto", description="auto obeys the regime; a name runs that strategy alone")
    parameters: Annotated[dict[str, Annotated[dict[str, Decimal], Map]], Map] = Field(
        {}, description="overrides of strategy parameters: strategy, then parameter, then value"
    )
    timeframes: Annotated[dict[str, Timeframe], Map] = Field(
        {}, description="strategies that run on another timeframe than their own: strategy, then timeframe"
    )
    shark_targets: Annotated[tuple[Symbol, ...], List] = Field(
        tuple(Symbol(name) for name in _SHARK_TARGETS),
        description="instruments that shark may short, by comma",
    )
    model: Path | None = Field(
        None,
        description="folder of a model that reads the regime whatever the registry says; absent: the registry's "
        "champion, in a backtest the rules",
    )
    promote_shadow: bool = Field(
        False, description="whether a shadow that meets the rule becomes champion without being asked for"
    )


class ShieldSettings(Section):
    risk: RiskSettings = Field(RiskSettings(), description="what users start with; each may change his own")
    guard: GuardSettings = Field(GuardSettings(), description="the sentinel, one for the whole installation")


class ExecutorSettings(Section):
    proposal_minutes: int = Field(5, ge=1, description="how long a COPILOT proposal waits for an answer")
    progressive_targets: bool = Field(
        False, description="on the way to its target a trade's target moves further out"
    )
    reconcile_seconds: int = Field(
        300, ge=10, description="how often accounts are compared with their venues (market time)"
    )
    credentials_file: Path | None = Field(
        None, description="TOML file with keys of live accounts, readable by its owner alone"
    )


class TelegramSettings(Section):
    owner: UserId = Field(
        UserId("owner"), min_length=1, pattern=r"^[A-Za-z0-9_]+$", description="the owner's name"
    )
    mode: Mode = Field(Mode.WATCHER, description="the owner's mode at first: watcher, copilot or pilot")
    profile: Profile = Field(Profile.NEXUS, description="the owner's profile at first")
    strategy: str = Field("auto", description="the owner's strategy at first")
    venues: Annotated[tuple[Venue, ...], List] = Field(
        (Venue.BINANCE,), description="venues of the owner's accounts, by comma"
    )
    live_venues: Annotated[tuple[Venue, ...], List] = Field(
        (), description="those of them where the account is the venue's own instead of a paper account"
    )
    primary_venue: Venue | None = Field(
        None, description="crypto venue that signals trade at; absent: the first of the owner's"
    )
    second_venue: bool = Field(False, description="signals trade at the owner's other crypto venue too")
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
