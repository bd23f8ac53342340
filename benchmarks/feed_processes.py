"""The processes of the feeds benchmark: a server of recorded-like frames, an ingest, ccxt beside it, a week at speed.

`python -m benchmarks.feed_processes ROLE …`; each prints one JSON object when it is done.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from nexus_common.contracts.market import CandlesClosed, RecordCandles
from nexus_common.contracts.values import Symbol, Timeframe, Venue
from nexus_common.runtime.bus.jetstream import JetStreamBus
from nexus_common.runtime.clock import WallClock
from nexus_ingest.adapters.tick_publisher import TickPublisher
from nexus_ingest.domain.candle_stream import MARKET
from nexus_ingest.domain.market_watch import MarketWatch
from nexus_ingest.domain.watch_rules import WatchedVenue, WatchRules
from nexus_ingest.domain.watching import Heard, Opened, Output, Ticks, TimePassed
from nexus_ingest.live.intake import Intake
from nexus_ingest.live.market_time import MarketTime
from nexus_ingest.venues.binance.frames import BinanceTalk
from nexus_ingest.venues.connection import Line
from nexus_ingest.venues.socket import KeptSocket
from nexus_market.candles import from_millis, slot_millis, to_millis

SYMBOLS: Final = tuple(Symbol(f"COIN{number:02d}USDT") for number in range(51))
NAMES: Final = {str(symbol): symbol for symbol in SYMBOLS}
CONNECTION: Final = "main"
WEBSOCKET: Final = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
NO_FEEDS: Final[dict[Venue, Any]] = {}


# -- frames ---------------------------------------------------------------------------------------------


def trade(symbol: str, number: int, at: int, price: str) -> str:
    return (
        f'{{"stream":"{symbol.lower()}@trade","data":{{"e":"trade","E":{at},"T":{at},"s":"{symbol}","t":{number},'
        f'"p":"{price}","q":"0.006","X":"MARKET","m":false}}}}'
    )


def top(symbol: str, number: int, at: int, bid: str, ask: str) -> str:
    return (
        f'{{"stream":"{symbol.lower()}@bookTicker","data":{{"e":"bookTicker","u":{number},"s":"{symbol}",'
        f'"b":"{bid}","B":"2.507","a":"{ask}","A":"2.510","T":{at},"E":{at}}}}}'
    )


def kline(symbol: str, timeframe: Timeframe, opened: int, close: str, at: int, *, closed: bool) -> str:
    return (
        f'{{"stream":"{symbol.lower()}@kline_{timeframe}","data":{{"e":"kline","E":{at},"s":"{symbol}","k":{{'
        f'"t":{opened},"T":{opened + slot_millis(timeframe) - 1},"s":"{symbol}","i":"{timeframe}","f":1,"L":2,'
        f'"o":"100.00","c":"{close}","h":"101.00","l":"99.00","v":"12.5","n":2,"x":{"true" if closed else "false"},'
        f'"q":"1250","V":"6","Q":"600","B":"0"}}}}}}'
    )


def price(number: int) -> str:
    return f"{100 + number % 7 / 100:.2f}"


def tick(number: int, at: int, symbols: Sequence[str] = SYMBOLS) -> str:
    """Three book tops to a trade, as Binance's recordings have it."""
    symbol = symbols[number % len(symbols)]
    if number // len(symbols) % 4 == 0:
        return trade(symbol, number + 1, at, price(number))
    return top(symbol, number + 1, at, "99.99", "100.08")


# -- the server -----------------------------------------------------------------------------------------


def framed(text: str) -> bytes:
    """A WebSocket text frame as servers send it, unmasked."""
    data = text.encode()
    head = bytes([0x81, len(data)]) if len(data) < 126 else b"\x81\x7e" + len(data).to_bytes(2)
    return head + data


@dataclass(frozen=True, slots=True)
class Load:
    """What one connection is sent: `count` frames, `rate` a second (0: as fast as they are taken)."""

    count: int
    rate: int
    trades_only: bool


async def serve() -> None:
    """Serve `/COUNT/RATE/KIND` until killed; the port comes first on standard output."""
    server = await asyncio.start_server(_serve_one, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


async def _serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    request = (await reader.readuntil(b"\r\n\r\n")).decode()
    headers = dict(line.split(": ", 1) for line in request.split("\r\n")[1:] if ": " in line)
    key = next(value for name, value in headers.items() if name.lower() == "sec-websocket-key")
    accept = base64.b64encode(hashlib.sha1((key + WEBSOCKET).encode()).digest()).decode()
    count, rate, kind, *_ = request.split(" ")[1].strip("/").split("?")[0].split("/")
    load = Load(int(count), int(rate), kind == "trades")
    frames = [] if load.rate else _prepared(load)
    writer.write(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        + f"Sec-WebSocket-Accept: {accept}\r\n\r\n".encode()
    )
    try:
        await (_paced(load, writer) if load.rate else _flood(frames, writer))
        await reader.read()
    except ConnectionError:
        pass
    finally:
        writer.close()


def _prepared(load: Load) -> list[bytes]:
    at = time.time_ns() // 1_000_000
    symbols = ("BTCUSDT",) if load.trades_only else SYMBOLS
    frames = []
    for begin in range(0, load.count, 500):
        numbers = range(begin, min(begin + 500, load.count))
        texts = [
            trade(symbols[0], n + 1, at, price(n)) if load.trades_only else tick(n, at, symbols)
            for n in numbers
        ]
        frames.append(b"".join(map(framed, texts)))
    return frames


async def _flood(frames: Sequence[bytes], writer: asyncio.StreamWriter) -> None:
    for each in frames:
        writer.write(each)
        await writer.drain()


async def _paced(load: Load, writer: asyncio.StreamWriter) -> None:
    """Trades numbered by the nanosecond in which they are sent, evenly."""
    begun = time.perf_counter()
    sent = 0
    while sent < load.count:
        due = min(load.count, int((time.perf_counter() - begun) * load.rate) + 1)
        for number in range(sent, due):
            now = time.time_ns()
            symbol = SYMBOLS[number % len(SYMBOLS)]
            writer.write(framed(trade(symbol, now, now // 1_000_000, price(number))))
        sent = due
        await writer.drain()
        await asyncio.sleep(0.0005)


# -- an ingest ------------------------------------------------------------------------------------------


async def ingest(url: str, bus_url: str, ticks: int) -> dict[str, Any]:
    """Read until so many ticks came: socket, decoding, watch, bus. Ticks a second from first to last."""
    bus = await JetStreamBus.connect(bus_url, name="bench")
    publisher = TickPublisher(bus)
    done = asyncio.Event()
    count, first, last = 0, 0.0, 0.0

    def take(of: Ticks) -> None:
        nonlocal count, first, last
        last = time.perf_counter()
        first = first or last
        count += len(of.readings)
        publisher.put(of.venue, of.readings, to_millis(of.at))
        if count >= ticks:
            done.set()

    watch = MarketWatch(WatchRules(), [WatchedVenue(Venue.BINANCE, SYMBOLS, tuple(Timeframe))])
    intake = Intake(watch, MarketTime(WallClock()), NO_FEEDS, _nothing, _nothing, [take])
    socket = KeptSocket(Venue.BINANCE, Line(CONNECTION, url, lambda: BinanceTalk(NAMES)), intake)
    works = [asyncio.create_task(publisher.run()), asyncio.create_task(socket.run())]
    cpu = time.process_time()
    await done.wait()
    while publisher.health["waiting"] or publisher.health["under_way"]:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    seconds, cpu = time.perf_counter() - first, time.process_time() - cpu
    intake.close()
    for work in works:
        work.cancel()
    await asyncio.gather(*works, return_exceptions=True)
    await bus.close()
    return {"ticks": count, "per_second": count / seconds, "cpu_seconds": cpu, **publisher.health}


def _nothing(given: object) -> None:
    """Neither candles nor questions come of ticks."""


# -- ccxt beside it -------------------------------------------------------------------------------------


async def ccxt_trades(url: str, trades: int) -> dict[str, Any]:
    """`watch_trades` of ccxt.pro over the same server and frames."""
    import ccxt.pro

    exchange = ccxt.pro.binanceusdm({"newUpdates": True, "options": {"tradesLimit": 1_000}})
    market = exchange.safe_market_structure(
        {
            "id": "BTCUSDT",
            "lowercaseId": "btcusdt",
            "symbol": "BTC/USDT:USDT",
            "base": "BTC",
            "quote": "USDT",
            "settle": "USDT",
            "type": "swap",
            "swap": True,
            "contract": True,
            "linear": True,
            "spot": False,
            "precision": {"price": 0.01, "amount": 0.001},
            "active": True,
            "contractSize": 1.0,
        }
    )
    exchange.set_markets([market])
    exchange.options["watchTrades"] = {"name": "trade"}

    for kind in exchange.urls["api"]["ws"]:
        exchange.urls["api"]["ws"][kind] = url
    exchange.has["fetchCurrencies"] = False
    newest, first = 0, 0.0
    while newest < trades:
        # It keeps the last thousand; those pushed out before we were woken were parsed all the same.
        newest = int((await exchange.watch_trades("BTC/USDT:USDT"))[-1]["id"])
        first = first or time.perf_counter()
    seconds = time.perf_counter() - first
    await exchange.close()
    return {"ticks": newest, "per_second": newest / seconds}


# -- a week at speed ------------------------------------------------------------------------------------

WEEK_BEGINS: Final = datetime(2026, 1, 5, tzinfo=UTC)


def week(days: int) -> dict[str, Any]:
    """51 instruments with five timeframes: decoding, the watch and the candles' decider; megabytes after each day."""
    talk = BinanceTalk(NAMES)
    watch = MarketWatch(WatchRules(), [WatchedVenue(Venue.BINANCE, SYMBOLS, tuple(Timeframe))])
    state = MARKET.initial
    begins = to_millis(WEEK_BEGINS)
    candles = frames = 0
    memory: list[float] = []

    def take(outputs: Sequence[Output]) -> None:
        nonlocal state, candles
        for output in outputs:
            if isinstance(output, CandlesClosed):
                events = MARKET.decide(RecordCandles(output.at, output), state)
                state = MARKET.fold(events, state)
                candles += sum(len(event.candles) for event in events if isinstance(event, CandlesClosed))

    watch.take(Opened(Venue.BINANCE, CONNECTION, WEEK_BEGINS))
    for minute in range(days * 1_440):
        at = begins + minute * 60_000
        for millis, text in _minute(minute, at):
            frames += 1
            while (due := watch.deadline()) is not None and to_millis(due) < millis:
                take(watch.take(TimePassed(due)))
            take(watch.take(Heard(Venue.BINANCE, CONNECTION, talk.hear(text), from_millis(millis))))
        if (minute + 1) % 1_440 == 0:
            memory.append(resident_mb())
    return {"frames": frames, "candles": candles, "memory_mb": memory}


def _minute(minute: int, at: int) -> list[tuple[int, str]]:
    """What a minute says, in order of time (ms): tops, trades, half-made and closed candles of every instrument."""
    said = []
    for second in (1, 4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 44, 48, 52, 56):
        millis = at + second * 1_000
        symbol = SYMBOLS[(minute + second) % len(SYMBOLS)]
        said.append((millis, kline(symbol, Timeframe.M1, at, price(minute), millis, closed=False)))
    for index, symbol in enumerate(SYMBOLS):
        millis = at + 30_000 + index
        said.append((millis, trade(symbol, minute * 100 + index, millis, price(minute))))
        said.append((millis, top(symbol, minute, millis, "99.99", "100.08")))
    ends = at + 60_000
    for timeframe in Timeframe:
        if ends % slot_millis(timeframe) == 0:
            opened = ends - slot_millis(timeframe)
            said += [
                (ends + 30, kline(symbol, timeframe, opened, price(minute), ends, closed=True))
                for symbol in SYMBOLS
            ]
    return sorted(said, key=lambda each: each[0])


def resident_mb() -> float:
    """Memory of this process, in megabytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4_096 / 1e6


def main(role: str, *given: str) -> None:
    if role == "serve":
        asyncio.run(serve())
        return
    roles: dict[str, Callable[[], dict[str, Any]]] = {
        "ingest": lambda: asyncio.run(ingest(given[0], given[1], int(given[2]))),
        "ccxt": lambda: asyncio.run(ccxt_trades(given[0], int(given[1]))),
        "week": lambda: week(int(given[0])),
    }
    print(json.dumps(roles[role]()), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
