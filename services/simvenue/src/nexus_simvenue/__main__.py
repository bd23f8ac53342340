"""The simulated exchange as a process of its own: it keeps its own ledger and outlives whoever trades on it."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from pathlib import Path

import orjson
import uvloop

from nexus_common.contracts.values import Symbol, Timeframe, Venue
from nexus_common.runtime.clock import WallClock
from nexus_common.runtime.errors import ConfigurationError
from nexus_data.bar_file import read_bars
from nexus_market.exchange import ExchangeSettings
from nexus_simvenue.clock import TimeSource
from nexus_simvenue.journal import RequestJournal
from nexus_simvenue.market.player import SeriesScore, Served
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
    for venue in Venue:
        parser.add_argument(f"--{venue}-port", type=int, default=0, help=f"of {venue}'s own protocol")
    parser.add_argument("--seed", type=int, default=0, help="of the slippage's jitter")
    parser.add_argument(
        "--series",
        type=_served,
        action="append",
        metavar="VENUE:SYMBOL:TIMEFRAME:FILE",
        help="serve a file of bars as the venue's candle stream; may be given several times",
    )
    parser.add_argument("--speed", type=_speed, default=1.0, help="market seconds in a second, or max")
    parser.add_argument("--hold", action="store_true", help="play when `market_play` is asked for")
    return parser.parse_args()


def _speed(text: str) -> float | None:
    return None if text == "max" else float(text)


def _served(text: str) -> Served:
    venue, symbol, timeframe, path = text.split(":", 3)
    return Served(Venue(venue), Symbol(symbol), read_bars(Path(path), Timeframe(timeframe)))


async def serve(options: argparse.Namespace) -> None:
    """Recover, say where we are, and answer until told to stop."""
    journal = RequestJournal(options.journal, {"seed": options.seed})
    server = Server(Venues(ExchangeSettings(seed=options.seed)), journal, WallClock(), options.time)
    recovered = server.recover()
    if options.series:
        server.play(SeriesScore(options.series), options.speed)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    listening = await listen(server, options.host, options.port)
    port = listening.sockets[0].getsockname()[1]
    await server.speak(options.host, {venue: getattr(options, f"{venue}_port") for venue in Venue})
    ready = {
        "address": f"tcp://{options.host}:{port}",
        "control": f"http://{options.host}:{port}",
        "recovered": recovered,
        **server.addresses,
    }
    sys.stdout.write(orjson.dumps(ready).decode() + "\n")
    sys.stdout.flush()
    if server.market is not None and not options.hold:
        server.market.begin()
    await stop.wait()
    listening.close()
    await server.hush()
    journal.close()


def main() -> int:
    try:
        uvloop.run(serve(arguments()))
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
