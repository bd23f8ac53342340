"""A dialect on the network: one address a venue, HTTP and WebSocket, with the faults that are scripted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime, timedelta

import orjson
from aiohttp import WSMsgType, web

from nexus_simvenue.faults import Call, Fault, FaultScript, Rule
from nexus_simvenue.market.side import MarketSide
from nexus_simvenue.wire.dialect import Dialect, Frame, Outgoing, Socket, SocketRefused, Visibility
from nexus_simvenue.wire.http import HttpRequest, HttpResponse
from nexus_simvenue.wire.incoming import headers_of, is_handshake, read_request

Work = Callable[[HttpRequest], HttpResponse]
_SENT_FIRST = (Fault.MALFORMED, Fault.UNKNOWN_FRAME)


class _Line:
    """A socket's way out: everything leaves in the order in which it was put here, pongs included."""

    def __init__(self, socket: Socket, response: web.WebSocketResponse) -> None:
        self.socket = socket
        self._response = response
        self._queue: asyncio.Queue[tuple[str, Frame]] = asyncio.Queue()

    def put(self, frame: Frame) -> None:
        self._queue.put_nowait(("frame", frame))

    def pong(self, payload: bytes) -> None:
        self._queue.put_nowait(("pong", payload))

    def close(self) -> None:
        self._queue.put_nowait(("close", ""))

    async def write(self) -> None:
        with suppress(ConnectionError):
            while True:
                kind, frame = await self._queue.get()
                if kind == "close":
                    await self._response.close(code=1001)
                    return
                if kind == "pong":
                    await self._response.pong(frame if isinstance(frame, bytes) else frame.encode())
                elif isinstance(frame, bytes):
                    await self._response.send_bytes(frame)
                else:
                    await self._response.send_str(frame)


class Front:
    """Serves one dialect, and the venue's market at the same address where one is played here.

    `work` journals and works on a request; `now` is the venue's time.
    """

    def __init__(
        self,
        dialect: Dialect,
        work: Work,
        now: Callable[[], datetime],
        faults: FaultScript,
        visibility: Visibility,
        market: MarketSide | None = None,
    ) -> None:
        self._dialect = dialect
        self._market = market
        self._work = work
        self._now = now
        self._faults = faults
        self._visibility = visibility
        self._lines: dict[Socket, _Line] = {}
        self._stalled: set[str] = set()
        self._held: list[Outgoing] = []
        self._hold = 0
        self._runner: web.AppRunner | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen; port 0 takes a free one. Returns the port."""
        app = web.Application(client_max_size=1 << 20)
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port)
        await site.start()
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        for line in list(self._lines.values()):
            line.close()
        if self._market is not None:
            self._market.hang_up()
        if self._runner is not None:
            await self._runner.cleanup()

    # -- private streams ----------------------------------------------------------------------------

    def flush(self) -> None:
        """Send what has happened; to be called after everything that may change something."""
        for outgoing in self._dialect.outbox():
            self._send(outgoing)

    def _send(self, outgoing: Outgoing) -> None:
        call = Call("stream", outgoing.kind, outgoing.account, str(self._dialect.venue))
        if outgoing.account in self._stalled:
            return
        rule = None if self._hold else self._faults.next(call)
        if rule is None:
            self._deliver(outgoing)
            return
        match rule.fault:
            case Fault.DROP:
                return
            case Fault.STALL:
                self._stalled.add(outgoing.account)
                return
            case Fault.CUT:
                self._cut(outgoing.account)
                return
            case Fault.SHUFFLE:
                self._hold = rule.count
            case fault if fault in _SENT_FIRST:
                self._spread(outgoing, self._dialect.noise(fault is Fault.UNKNOWN_FRAME))
            case _:
                pass
        for _ in range(rule.count if rule.fault is Fault.DUPLICATE else 1):
            self._deliver(outgoing)

    def _deliver(self, outgoing: Outgoing) -> None:
        if not self._hold:
            self._spread(outgoing, outgoing.frame)
            return
        self._held.append(outgoing)
        if len(self._held) >= self._hold:
            held, self._held, self._hold = self._held, [], 0
            for each in reversed(held):
                self._spread(each, each.frame)

    def release(self) -> None:
        """Send what a shuffle still holds, and end stalls (a client that comes anew hears again)."""
        held, self._held, self._hold = self._held, [], 0
        for each in reversed(held):
            self._spread(each, each.frame)
        self._stalled.clear()

    def _spread(self, outgoing: Outgoing, frame: Frame) -> None:
        for socket, line in list(self._lines.items()):
            if self._dialect.wants(socket, outgoing):
                line.put(frame)

    def _cut(self, account: str) -> None:
        for socket, line in list(self._lines.items()):
            if socket.account == account:
                line.close()

    # -- requests -----------------------------------------------------------------------------------

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        if is_handshake(request):
            if self._market is not None and self._market.accepts(request.rel_url.path):
                return await self._market.listen(request)
            return await self._listen(request)
        asked = await read_request(request)
        call = self._dialect.call_of(asked)
        rule = self._faults.next(call)
        if rule is None:
            return _answered(self._worked(asked))
        return await self._wrong(request, asked, call, rule)

    def _worked(self, asked: HttpRequest) -> HttpResponse:
        response = None if self._market is None else self._market.get(asked)
        if response is None:
            response = self._work(asked)
        self.flush()
        return response

    async def _wrong(
        self, request: web.Request, asked: HttpRequest, call: Call, rule: Rule
    ) -> web.StreamResponse:
        match rule.fault:
            case Fault.LOSE_REQUEST:
                return _broken(request)
            case Fault.REFUSE:
                return _answered(self._dialect.refusal(rule.code, asked))
            case Fault.LIMIT:
                return _answered(self._dialect.limited(rule.status, rule.seconds, self._now()))
            case Fault.STATUS_UNWORKED:
                return web.Response(status=rule.status, text=rule.body)
            case Fault.HANG_UNWORKED:
                await asyncio.sleep(rule.seconds)
                return _broken(request)
            case Fault.LATE:
                return _answered(self._late(asked, call, rule))
            case _:
                response = self._worked(asked)
        match rule.fault:
            case Fault.LOSE_REPLY:
                return _broken(request)
            case Fault.HANG:
                await asyncio.sleep(rule.seconds)
                return _broken(request)
            case Fault.STATUS:
                return web.Response(status=rule.status, text=rule.body)
            case Fault.GARBAGE:
                return web.Response(status=200, text='{"orderId": 4', content_type="application/json")
            case Fault.TRUNCATE:
                return await _truncated(request, response)
            case _:
                return _answered(response)

    def _late(self, asked: HttpRequest, call: Call, rule: Rule) -> HttpResponse:
        """Worked on; the orders that it placed are not found by queries for a while."""
        until = self._now() + timedelta(seconds=rule.seconds)
        client = _client_order_id(asked)
        if client is not None and call.account is not None:
            self._visibility.hide(call.account, client, until)
        return self._worked(asked)

    # -- sockets ------------------------------------------------------------------------------------

    async def _listen(self, request: web.Request) -> web.StreamResponse:
        socket = Socket(request.rel_url.path, dict(request.rel_url.query), headers=headers_of(request))
        try:
            greeting = self._dialect.opened(socket, self._now())
        except SocketRefused as error:
            return web.Response(status=error.status, text=str(error))
        response = web.WebSocketResponse(autoping=False)
        await response.prepare(request)
        line = _Line(socket, response)
        if socket.account is not None:
            self._stalled.discard(socket.account)
        _put_all(line, greeting)
        self._lines[socket] = line
        writing = asyncio.get_running_loop().create_task(line.write())
        try:
            await self._read(response, line)
        finally:
            socket.closed = True
            self._lines.pop(socket, None)
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
        return response

    async def _read(self, response: web.WebSocketResponse, line: _Line) -> None:
        async for message in response:
            if message.type is WSMsgType.PING:
                line.pong(bytes(message.data))
            elif message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                before = line.socket.account
                _put_all(line, self._dialect.heard(line.socket, message.data, self._now()))
                if before is None and line.socket.account is not None:
                    self._stalled.discard(line.socket.account)


def _put_all(line: _Line, frames: Iterable[Frame]) -> None:
    for frame in frames:
        line.put(frame)


def _answered(response: HttpResponse) -> web.Response:
    return web.Response(status=response.status, body=response.body.encode(), headers=dict(response.headers))


def _broken(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)


async def _truncated(request: web.Request, response: HttpResponse) -> web.StreamResponse:
    body = response.body.encode()
    half = web.StreamResponse(status=response.status, headers={"Content-Length": str(len(body))})
    await half.prepare(request)
    await half.write(body[: len(body) // 2])
    _broken(request)
    return half


_CLIENT_ID_NAMES = ("newClientOrderId", "clientAlgoId", "orderLinkId", "client_order_id")


def _client_order_id(asked: HttpRequest) -> str | None:
    """The client order id in a request of any dialect: in the query, a form, or a JSON body."""
    fields = {**asked.query_fields()}
    try:
        document = orjson.loads(asked.body) if asked.body.startswith("{") else asked.form_fields()
        fields.update({k: str(v) for k, v in document.items()})
    except orjson.JSONDecodeError:
        return None
    return next((fields[name] for name in _CLIENT_ID_NAMES if fields.get(name)), None)
