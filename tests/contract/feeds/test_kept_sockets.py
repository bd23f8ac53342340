"""What keeps a feed's connections open, against servers that refuse, say nothing, say too much, or are not there."""

from __future__ import annotations

import asyncio
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import pytest
from aiohttp import WSMsgType, web

from contract.feeds.recipients import Recipient
from nexus_common.contracts.values import Side, Symbol, Venue
from nexus_common.runtime.settings_sections import FeedsSettings
from nexus_ingest.domain.readings import Reading, TradeRead, UnreadableFrame
from nexus_ingest.venues.connection import FRAME_LIMIT, MESSAGE_LIMIT, Line, TurnedAway
from nexus_ingest.venues.feed import RawFrame
from nexus_ingest.venues.socket import KeptSocket, Patience

IMPATIENT = Patience(overlap=0.02, opening=0.3, retry=0.02, retry_max=0.05, settled=30.0)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class EchoTalk:
    """Says hello, waits for the answer, takes every other frame for a trade; `bad`, `away` are what they say."""

    def __init__(self) -> None:
        self.refused: list[str] = []
        self.subscribed = False

    def opening(self) -> Sequence[RawFrame]:
        return ("hello", "subscribe")

    def answers(self) -> Sequence[RawFrame]:
        return ()

    def memory(self) -> object:
        return None

    def ping(self) -> RawFrame | None:
        return "ping"

    def hear(self, frame: RawFrame) -> Sequence[Reading]:
        match frame:
            case "subscribed":
                self.subscribed = True
                return ()
            case "bad":
                raise UnreadableFrame("bad")
            case "away":
                raise TurnedAway("too many connections")
            case str():
                return (TradeRead(Symbol("X"), "1", "1", Side.BUY, frame, 1),)
            case _:
                return ()


@asynccontextmanager
async def served(handler: Handler) -> AsyncIterator[str]:
    app = web.Application(client_max_size=2 * MESSAGE_LIMIT)
    app.router.add_get("/{path:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"ws://127.0.0.1:{runner.addresses[0][1]}/stream"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def kept(line: Line, recipient: Recipient, patience: Patience = IMPATIENT) -> AsyncIterator[KeptSocket]:
    socket = KeptSocket(Venue.BINANCE, line, recipient, patience)
    task = asyncio.create_task(socket.run())
    try:
        yield socket
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until(is_so: Callable[[], bool]) -> None:
    """Look again and again: what is waited for happens at the other end, or tells nobody."""
    async with asyncio.timeout(10.0):
        while not is_so():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


def line_to(url: str, **fields: float) -> Line:
    return Line("line", url, EchoTalk, **fields)  # type: ignore[arg-type]


def venue(*frames: str | bytes, autoping: bool = True, heard: list[str] | None = None) -> Handler:
    """Answers the subscription with `subscribed` and these frames, then listens."""

    async def handle(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(autoping=autoping, max_msg_size=0)
        await socket.prepare(request)
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                continue
            if heard is not None:
                heard.append(message.data)
            if message.data == "subscribe":
                await socket.send_str("subscribed")
                for frame in frames:
                    await (socket.send_str(frame) if isinstance(frame, str) else socket.send_bytes(frame))
        return socket

    return handle


async def test_a_connection_is_told_open_when_it_is_subscribed() -> None:
    recipient, heard = Recipient(), list[str]()
    async with served(venue("1", heard=heard)) as url, kept(line_to(url), recipient) as socket:
        await recipient.until(lambda: recipient.readings[TradeRead] == 1 and recipient.times("opened") == 1)
    assert heard == ["hello", "subscribe"]
    assert (socket.opened, socket.failures) == (1, 0)


async def test_the_venues_own_ping_is_sent_and_messages_keep_their_distance() -> None:
    recipient, heard, begun = Recipient(), list[str](), time.monotonic()
    async with served(venue("1", heard=heard)) as url:
        line = line_to(url, ping_seconds=0.05, message_seconds=0.1)
        async with kept(line, recipient):
            await until(lambda: heard.count("ping") == 2)
    assert time.monotonic() - begun >= 2 * 0.1 + 2 * 0.05
    assert heard[:3] == ["hello", "subscribe", "ping"]


async def test_a_subscription_that_nobody_answers_is_tried_again() -> None:
    async def silent(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.receive()
        await socket.receive()
        await socket.receive()
        return socket

    recipient = Recipient()
    async with served(silent) as url, kept(line_to(url), recipient) as socket:
        await until(lambda: socket.failures == 2)
    assert recipient.happened == []


async def test_a_refused_handshake_is_respected_as_long_as_the_venue_says() -> None:
    attempts: list[float] = []
    welcome = venue("1")

    async def busy(request: web.Request) -> web.StreamResponse:
        attempts.append(time.monotonic())
        if len(attempts) == 1:
            return web.Response(status=429, headers={"Retry-After": "1"})
        return await welcome(request)

    recipient = Recipient()
    async with served(busy) as url, kept(line_to(url), recipient):
        await recipient.until(lambda: recipient.times("opened") == 1)
    assert attempts[1] - attempts[0] >= 1.0


async def test_a_venue_that_is_not_there_is_tried_until_it_is() -> None:
    recipient = Recipient()
    async with served(venue()) as url:
        pass
    async with kept(line_to(url), recipient) as socket:
        await until(lambda: socket.failures == 3)
    assert recipient.happened == []


async def test_a_venue_that_turns_us_away_is_left_with_its_reason() -> None:
    recipient = Recipient()
    async with served(venue("1", "away")) as url, kept(line_to(url), recipient) as socket:
        await recipient.until(lambda: recipient.times("closed: too many connections") >= 2)
        assert socket.failures >= 2


async def test_a_long_frame_is_refused_and_an_endless_one_ends_the_connection() -> None:
    recipient = Recipient()
    frames = ("1", "x" * (FRAME_LIMIT + 1), "bad", "2", b"\x00" * (MESSAGE_LIMIT + 1), "3")
    async with served(venue(*frames)) as url, kept(line_to(url), recipient):
        await recipient.until(lambda: recipient.times("closed") == 1)
    assert recipient.refusals == {"oversized": 1, "bad": 1}
    assert recipient.readings == {TradeRead: 2}
    assert "1009" in recipient.happened[1][0]


async def test_a_half_open_connection_is_found_by_its_heartbeat() -> None:
    recipient = Recipient()
    async with (
        served(venue("1", autoping=False)) as url,
        kept(replace(line_to(url), ping_seconds=0.1), recipient),
    ):
        await recipient.until(lambda: recipient.times("closed: broken") >= 1, seconds=10.0)


async def test_a_slow_listener_loses_nothing() -> None:
    class Slow(Recipient):
        def heard(self, *args: object) -> None:
            super().heard(*args)  # type: ignore[arg-type]
            time.sleep(0.00002)

    recipient = Slow()
    frames = [str(number) for number in range(20_000)]
    async with served(venue(*frames)) as url, kept(line_to(url), recipient):
        await recipient.until(lambda: recipient.readings[TradeRead] == len(frames))
    assert recipient.times("closed") == 0


async def test_a_connection_goes_through_its_proxy() -> None:
    seen: list[tuple[str, str | None]] = []
    welcome = venue("1")

    async def proxy(request: web.Request) -> web.StreamResponse:
        seen.append((request.host, request.headers.get("Proxy-Authorization")))
        return await welcome(request)

    recipient = Recipient()
    async with served(proxy) as url:
        address = url.replace("ws://", "http://user:secret@").removesuffix("/stream")
        line = Line("line", "ws://venue.invalid/stream", EchoTalk, proxy=address)
        async with kept(line, recipient):
            await recipient.until(lambda: recipient.times("opened") == 1)
    assert seen == [("venue.invalid", "Basic " + b64encode(b"user:secret").decode())]


def test_waits_double_up_to_a_bound() -> None:
    patience = Patience(retry=0.5, retry_max=3.0)
    assert [patience.delay(failures) for failures in (0, 1, 2, 3, 4, 9_999)] == [0.0, 0.5, 1.0, 2.0, 3.0, 3.0]


@pytest.mark.parametrize(("speed", "seconds"), [("1", 72_000.0), ("720", 100.0)])
def test_connections_age_in_market_time(speed: str, seconds: float) -> None:
    feeds = FeedsSettings.model_validate({"rotation_hours": 20, "market_speed": speed})
    assert Patience.of(feeds).rotation == seconds


class FrameKeeper(Recipient):
    def __init__(self) -> None:
        super().__init__()
        self.frames: list[object] = []

    def heard(self, *args: object) -> None:
        self.frames.append(args[2])
        super().heard(*args)  # type: ignore[arg-type]

    def refused(self, venue: Venue, connection: str, frame: RawFrame, reason: str, received_ns: int) -> None:
        self.frames.append(frame)
        super().refused(venue, connection, frame, reason, received_ns)


async def test_a_key_that_the_venue_repeats_is_passed_on_to_nobody() -> None:
    """Neither in an answer nor in what cannot be read: both go on tape, and a sample of the latter on record."""
    recipient = FrameKeeper()
    async with (
        served(venue(b"no entry for K3Y", "bad", "1")) as url,
        kept(replace(line_to(url), secrets=("K3Y", "bad")), recipient),
    ):
        await recipient.until(lambda: recipient.readings[TradeRead] == 1)
    assert recipient.frames == ["subscribed", b"no entry for ***", "***", "1"]
