"""The verb that runs the simulated venues alone."""

from __future__ import annotations

import asyncio
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nexus_common.runtime.settings import NexusSettings
from nexus_data.playback import PlayedMarket
from nexus_ops.commands import options
from nexus_ops.composition import rehearsed
from nexus_ops.market_options import MarketOptions
from nexus_ops.output import console, pairs, print_json, progress, stderr
from nexus_simvenue.clock import TimeSource
from nexus_telegram.bootstrap import owners_session

if TYPE_CHECKING:
    from nexus_ops.lone_venues import LoneVenues
    from nexus_simvenue.market.floor import MarketFloor

_LOOK_AGAIN = 0.2


def register(app: typer.Typer) -> None:
    app.command("simvenue")(simvenue)


def simvenue(
    data: options.Data = None,
    start: options.From = None,
    end: options.To = None,
    symbols: options.Symbols = None,
    venue: options.Venue = None,
    account_venue: options.AccountVenue = None,
    port: Annotated[
        int, typer.Option(min=0, max=65_500, help="of the control; the venues' own follow it. 0: free ones")
    ] = 0,
    speed: Annotated[str, typer.Option(help="market seconds in a second, or max")] = "1",
    time: Annotated[
        TimeSource, typer.Option(help="the venues' clock: the wall's, or the market's that is played")
    ] = TimeSource.WALL,
    seed: options.Seed = None,
    minutes: options.Minutes = None,
    as_json: options.Json = False,
) -> None:
    """Run the simulated venues alone and play a market into them; Ctrl-C stops."""
    market = MarketOptions(
        *(data, start, end, symbols, venue, speed),
        seed=seed,
        minutes=minutes,
        account_venue=account_venue,
    )
    _, settings, played = rehearsed(market.environment())
    with tempfile.TemporaryDirectory(prefix="nexus-simvenue-") as folder:
        asyncio.run(_serve(Path(folder), port, time, settings, played, as_json))


async def _serve(
    folder: Path,
    port: int,
    source: TimeSource,
    settings: NexusSettings,
    played: PlayedMarket,
    as_json: bool,
) -> None:
    from nexus_ops.lone_venues import Played, lone_venues  # the venues' dialects and their server

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    speed = None if settings.ingest.speed == "max" else float(settings.ingest.speed)
    accounts = owners_session(settings).accounts
    async with lone_venues(folder, port, source, accounts, Played(played, speed)) as venues:
        if as_json:
            print_json(venues.to_json())
        else:
            _show(venues)
        assert venues.market is not None
        if await _play(venues.market, stop):
            stderr.print("the market has been played to its end; Ctrl-C stops", style="dim")
            await stop.wait()


async def _play(market: MarketFloor, stop: asyncio.Event) -> bool:
    """Play and show how far the market has come, until its end (True) or until somebody stops it."""
    score, playing = market.player.score, market.begin()
    origin = score.start.timestamp()
    stopped = asyncio.ensure_future(stop.wait())
    with progress("playing", score.end.timestamp() - origin) as advance:
        while not playing.done() and not stopped.done():
            await asyncio.wait((playing, stopped), timeout=_LOOK_AGAIN, return_when=asyncio.FIRST_COMPLETED)
            at = market.player.now()
            advance(at.timestamp() - origin, f"{at:%Y-%m-%d %H:%M}")
    stopped.cancel()
    if playing.done():
        playing.result()
    return not stop.is_set()


def _show(venues: LoneVenues) -> None:
    console.print(pairs([*venues.addresses.items(), ("control", venues.control)]))
    for each in venues.to_json()["accounts"]:
        console.print()
        console.print(pairs((name, each[name]) for name in ("account", "balance", "key", "secret")))
