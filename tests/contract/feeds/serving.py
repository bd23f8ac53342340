"""The simulated venues' market side for conformance tests: bars in, addresses and a hand on the market out.

    async with serving([Served(Venue.BINANCE, Symbol("BTCUSDT"), series)]) as market:   # in this process
    async with serving_files([File(Venue.BINANCE, ..., Timeframe.M1, path)]) as market:  # a process of its own

        market.addresses["binance"], market.addresses["binance_ws"]     # as a venue's client is given them
        await market.heard("binance", {"btcusdt@kline_1m"})             # until these topics have a listener
        await market.play()                                             # tells what happens, from the start on
        await market.ended()
        await market.faults({"fault": "cut", "address": "binance", "skip": 100})   # see market/faults.py
        await market.fired()
        await market.status()                                           # {"at", "told", "ended", "topics"}

Each bar is told as two unclosed candles and the closed one; behind a series' last bar the next candle is told
as it opens. Speed None goes as fast as clients read. Nothing is told before `play`; REST answers from the
beginning on, up to the market's own time. A whole market is served by `serving(market=…)`, or from a process
of its own by `serving_process("--minutes=600", "--symbols=BTCUSDT,ETHUSDT", "--played-as=binance,bybit")`.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from nexus_common.contracts.values import Symbol, Timeframe, Venue
from nexus_common.runtime.clock import WallClock
from nexus_common.runtime.exchange_client import ExchangeClient
from nexus_data.playback import PlayedMarket
from nexus_market.exchange import ExchangeSettings
from nexus_simvenue.journal import RequestJournal
from nexus_simvenue.market.played import MarketScore
from nexus_simvenue.market.player import Score, SeriesScore, Served
from nexus_simvenue.server import Server, listen
from nexus_simvenue.venues import Venues

DATA = Path(__file__).parents[4] / "shared" / "data"
_LOOK_AGAIN = 0.02

__all__ = ["DATA", "File", "Served", "ServedMarket", "serving", "serving_files", "serving_process"]


@dataclass(frozen=True, slots=True)
class File:
    """A file of bars, told as `venue`'s own candles of that timeframe."""

    venue: Venue
    symbol: Symbol
    timeframe: Timeframe
    path: Path


class ServedMarket:
    """Where the venues answer, and what the test may do to their market."""

    def __init__(self, addresses: dict[str, str], control: ExchangeClient) -> None:
        self.addresses = addresses
        self.control = control

    async def play(self) -> None:
        """Let the market run."""
        await self.control.call("market_play")

    async def status(self) -> dict[str, Any]:
        return await self.control.call("market_status")

    async def heard(self, address: str, topics: Collection[str], seconds: float = 20.0) -> None:
        """Wait until each of the topics has a listener; raises TimeoutError."""
        await self._until(lambda status: set(topics) <= status["topics"][address].keys(), seconds)

    async def ended(self, seconds: float = 60.0) -> None:
        """Wait until all has been told; raises TimeoutError."""
        await self._until(lambda status: status["ended"], seconds)

    async def _until(self, holds: Callable[[dict[str, Any]], bool], seconds: float) -> None:
        async with asyncio.timeout(seconds):
            status = await self.status()
            while not holds(status):
                await asyncio.sleep(_LOOK_AGAIN)
                status = await self.status()

    async def faults(self, *rules: dict[str, Any]) -> None:
        """Put these rules in place of all before."""
        await self.control.call("market_faults", {"rules": list(rules)})

    async def fired(self) -> list[dict[str, Any]]:
        return list((await self.control.call("market_faults_fired"))["fired"])


@asynccontextmanager
async def serving(
    served: Sequence[Served] = (),
    *,
    score: Score | None = None,
    market: PlayedMarket | None = None,
    speed: float | None = None,
) -> AsyncIterator[ServedMarket]:
    """Serve series, a score, or a whole market from this process: for a few thousand frames."""
    with tempfile.TemporaryDirectory(prefix="nexus-served-") as folder:
        journal = RequestJournal(Path(folder) / "journal.jsonl", {})
        server = Server(Venues(ExchangeSettings()), journal, WallClock())
        if market is not None:
            score = MarketScore(market, speed, server.match)
        server.play(score or SeriesScore(served), speed)
        listening = await listen(server, "127.0.0.1", 0)
        await server.speak("127.0.0.1", {})
        control = ExchangeClient(f"tcp://127.0.0.1:{listening.sockets[0].getsockname()[1]}")
        try:
            yield ServedMarket(dict(server.addresses), control)
        finally:
            await control.close()
            await server.hush()
            listening.close()
            await listening.wait_closed()
            journal.close()


@asynccontextmanager
async def serving_files(files: Sequence[File], speed: float | None = None) -> AsyncIterator[ServedMarket]:
    """Serve files from a process of its own: for millions of frames."""
    series = [f"--series={f.venue}:{f.symbol}:{f.timeframe}:{f.path}" for f in files]
    async with serving_process(f"--speed={speed or 'max'}", *series) as market:
        yield market


@asynccontextmanager
async def serving_process(*arguments: str) -> AsyncIterator[ServedMarket]:
    """A process of its own with these arguments of `python -m nexus_simvenue`; it plays when it is told to."""
    with tempfile.TemporaryDirectory(prefix="nexus-served-") as folder:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "nexus_simvenue", f"--journal={folder}/journal.jsonl", "--hold"),
            *arguments,
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        try:
            addresses = orjson.loads(await process.stdout.readline())
            control = ExchangeClient(addresses["control"], timeout=60.0)
            try:
                yield ServedMarket(addresses, control)
            finally:
                await control.close()
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()
