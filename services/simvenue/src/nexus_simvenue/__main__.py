"""The simulated exchange as a process of its own: it keeps its own ledger and outlives whoever trades on it."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import orjson
import uvloop

from nexus_common.contracts.values import Symbol, Timeframe, Venue
from nexus_common.runtime.clock import WallClock
from nexus_common.runtime.errors import ConfigurationError
from nexus_data.bar_file import read_bars
from nexus_data.generated_market import SYMBOLS, GeneratedMarket
from nexus_data.playback import PlayedMarket
from nexus_data.recorded_market import RecordedMarket
from nexus_market.exchange import ExchangeSettings
from nexus_simvenue.clock import TimeSource
from nexus_simvenue.journal import RequestJournal
from nexus_simvenue.market.dialects import ADDRESSES
from nexus_simvenue.market.played import MarketScore, Match, Together
from nexus_simvenue.market.player import Score, SeriesScore, Served
from nexus_simvenue.server import Server, listen
from nexus_simvenue.venues import Venues


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="nexus_simvenue", description=__doc__)
    parser.add_argument("--journal", type=Path, required=True, help="file that remembers every request")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument(
        "--time",
        type=TimeSource,
        choices=list(TimeSource),
        default=TimeSource.MARKET,
        help="the venues' clock",
    )
    for name in ADDRESSES:
        parser.add_argument(f"--{name}-port", type=int, default=0, help=f"of {name}'s own protocol")
    parser.add_argument("--seed", type=int, default=0, help="of the slippage's jitter")
    parser.add_argument(
        "--series",
        type=_served,
        action="append",
        metavar="VENUE:SYMBOL:TIMEFRAME:FILE",
        help="serve a file of bars as the venue's candle stream; may be given several times",
    )
    parser.add_argument("--data", type=Path, metavar="DIR", help="play a data directory")
    parser.add_argument("--minutes", type=int, help="play so much of a market made from the seed")
    parser.add_argument("--symbols", type=_symbols, default=SYMBOLS, help="what to play, comma-separated")
    parser.add_argument("--from", dest="start", type=_instant, help="2025-03-03T00:00Z; with --data")
    parser.add_argument("--to", dest="end", type=_instant, help="with --data")
    parser.add_argument(
        "--played-as",
        type=_venues,
        metavar="VENUES",
        help="crypto venues that have this market, comma-separated (binance)",
    )
    parser.add_argument("--speed", type=_speed, default=1.0, help="market seconds in a second, or max")
    parser.add_argument("--hold", action="store_true", help="play when `market_play` is asked for")
    return parser.parse_args()


def _speed(text: str) -> float | None:
    return None if text == "max" else float(text)


def _symbols(text: str) -> tuple[Symbol, ...]:
    return tuple(Symbol(name) for name in text.upper().split(","))


def _venues(text: str) -> tuple[Venue, ...]:
    return tuple(map(Venue, text.split(",")))


def _instant(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _served(text: str) -> Served:
    venue, symbol, timeframe, path = text.split(":", 3)
    return Served(Venue(venue), Symbol(symbol), read_bars(Path(path), Timeframe(timeframe)))


def score_of(options: argparse.Namespace, match: Match) -> Score | None:
    """What the arguments want played; None when somebody else plays the market.

    Raises:
        ConfigurationError: the data or the span cannot be used.
    """
    if options.series:
        return SeriesScore(options.series)
    if options.data is None and options.minutes is None:
        return None
    scores = [MarketScore(market, options.speed, match) for market in _markets(options)]
    return scores[0] if len(scores) == 1 else Together(scores)


def _markets(options: argparse.Namespace) -> Iterator[PlayedMarket]:
    """One for each venue that has it; stocks are played once."""
    symbols = options.symbols
    for venue in options.played_as or (None,):
        if options.data is None:
            yield GeneratedMarket(
                options.seed, symbols, minutes=options.minutes, venue=venue or Venue.BINANCE
            )
        else:
            yield RecordedMarket(options.data, symbols, options.start, options.end, played_as=venue)
        symbols = tuple(symbol for symbol in symbols if symbol.endswith("USDT"))


async def serve(options: argparse.Namespace) -> None:
    """Recover, say where we are, and answer until told to stop."""
    journal = RequestJournal(options.journal, {"seed": options.seed})
    server = Server(Venues(ExchangeSettings(seed=options.seed)), journal, WallClock(), options.time)
    recovered = server.recover()
    score = score_of(options, server.match)
    if score is not None:
        server.play(score, options.speed)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    listening = await listen(server, options.host, options.port)
    port = listening.sockets[0].getsockname()[1]
    await server.speak(options.host, {name: getattr(options, f"{name}_port") for name in ADDRESSES})
    ready = {
        "address": f"tcp://{options.host}:{port}",
        "control": f"http://{options.host}:{port}",
        "recovered": recovered,
        **server.addresses,
    }
    sys.stdout.write(orjson.dumps(ready).decode() + "\n")
    sys.stdout.flush()
    playing = None if server.market is None or options.hold else server.market.begin()
    if playing is not None:
        playing.add_done_callback(lambda done: stop.set() if _failed(done) else None)
    await stop.wait()
    listening.close()
    await server.hush()
    journal.close()
    if playing is not None and _failed(playing):
        playing.result()


def _failed(playing: asyncio.Task[None]) -> bool:
    return playing.done() and not playing.cancelled() and playing.exception() is not None


def main() -> int:
    try:
        uvloop.run(serve(arguments()))
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
