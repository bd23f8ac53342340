"""One address of the market side: what happens is worded, goes wrong where it shall, and reaches who listens."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from aiohttp import WSMsgType, web

from nexus_common.contracts.values import Symbol
from nexus_simvenue.market.broadcast import Broadcast, Line
from nexus_simvenue.market.dialect import MarketDialect, Worded
from nexus_simvenue.market.faults import NOISE, WRONG_FIGURES, MarketFault, MarketFaults, MarketRule, spoiled
from nexus_simvenue.market.happenings import Halt, Happening
from nexus_simvenue.market.history import PlayedHistory
from nexus_simvenue.wire.dialect import Frame, Socket, SocketRefused
from nexus_simvenue.wire.http import HttpRequest, HttpResponse
from nexus_simvenue.wire.incoming import headers_of

PING_SECONDS = 180.0


class MarketSide:
    """Serves one dialect. `now` is the venue's time; `skew` puts its clock wrong by that much."""

    def __init__(
        self,
        name: str,
        dialect: MarketDialect,
        history: PlayedHistory,
        faults: MarketFaults,
        now: Callable[[], datetime],
        skew: Callable[[timedelta], None],
    ) -> None:
        self.name = name
        self.history = history
        self.broadcast = Broadcast(dialect.wrapped)
        self._dialect = dialect
        self._faults = faults
        self._now = now
        self._skew = skew
        self._held: list[Worded] = []
        self._hold = 0
        self._shut_until = 0.0
        self._halted: set[Symbol] = set()

    # -- what happens -------------------------------------------------------------------------------

    def tell(self, symbol: Symbol, happening: Happening) -> None:
        """Word it for everybody who listens, and keep it for who asks later."""
        if not self.history.is_trading(symbol):
            return
        self.history.note(symbol, happening)
        worded = self._dialect.word(symbol, happening)
        if worded is None:
            return
        if not self._faults.rules and not self._hold and not self._halted:
            self.broadcast.spread(worded, time.monotonic())
            return
        rule = None if self._hold else self._faults.strike(self.name, symbol, worded.topic, happening.at)
        if rule is not None:
            self._strike(rule, symbol, happening, worded)
        elif symbol not in self._halted:
            self._pass(worded)

    def _strike(self, rule: MarketRule, symbol: Symbol, happening: Happening, worded: Worded) -> None:
        fault = rule.fault
        if fault in NOISE:
            for line in self.broadcast.hearing(worded):
                line.put(self._dialect.noise(str(fault)))
            self._pass(worded)
        elif fault in WRONG_FIGURES:
            spoilt = self._dialect.word(symbol, spoiled(happening, rule))
            if spoilt is not None:
                self._pass(spoilt)
        else:
            self._break(rule, symbol, happening, worded)

    def _break(self, rule: MarketRule, symbol: Symbol, happening: Happening, worded: Worded) -> None:
        match rule.fault:
            case MarketFault.CUT:
                for line in self.broadcast.hearing(worded):
                    line.cut()
            case MarketFault.ROTATE:
                self._pass(worded)
                for line in self.broadcast.hearing(worded):
                    line.close()
            case MarketFault.STALL:
                until = time.monotonic() + rule.seconds if rule.seconds else math.inf
                for line in self.broadcast.hearing(worded):
                    line.stalled_until = until
            case MarketFault.DUPLICATE:
                for _ in range(rule.count):
                    self._pass(worded)
            case MarketFault.DISORDER:
                self._hold = rule.count
                self._pass(worded)
            case MarketFault.MAINTENANCE:
                self.shut(rule.seconds)
            case MarketFault.HALT:
                self._halted.add(symbol)
                self._say(symbol, Halt(True, "T1", "Halt - News Pending", happening.at))
            case MarketFault.RESUME:
                self._halted.discard(symbol)
                self._say(symbol, Halt(False, "T3", "News and Resumption Times", happening.at))
            case MarketFault.VANISH:
                self.history.vanish(symbol)
            case MarketFault.CLOCK:
                self._skew(timedelta(seconds=rule.seconds))
                self._pass(worded)
            case _:  # DROP
                return

    def _say(self, symbol: Symbol, happening: Happening) -> None:
        worded = self._dialect.word(symbol, happening)
        if worded is not None:
            self.broadcast.spread(worded, time.monotonic())

    def _pass(self, worded: Worded) -> None:
        if not self._hold:
            self.broadcast.spread(worded, time.monotonic())
            return
        self._held.append(worded)
        if len(self._held) >= self._hold:
            self.release()

    def release(self) -> None:
        """Send what disorder still holds."""
        held, self._held, self._hold = self._held, [], 0
        for worded in reversed(held):
            self.broadcast.spread(worded, time.monotonic())

    async def room(self) -> None:
        """Wait for the sockets that are behind."""
        await self.broadcast.room()

    def drop_left_behind(self) -> None:
        """Cut off who does not read what it is sent."""
        self.broadcast.drop_left_behind()

    def shut(self, seconds: float) -> None:
        """Maintenance: every socket is closed, and nothing is answered for so long."""
        self._shut_until = time.monotonic() + seconds
        for line in self.broadcast.lines:
            line.close(1012)

    # -- questions ----------------------------------------------------------------------------------

    def get(self, request: HttpRequest) -> HttpResponse | None:
        """The market's answer; None for what is none of the market's."""
        if time.monotonic() < self._shut_until:
            return HttpResponse(503, "<html><body><h1>503 Service Unavailable</h1></body></html>")
        return self._dialect.get(request, self._now(), self.history)

    def accepts(self, path: str) -> bool:
        return self._dialect.accepts(path)

    # -- sockets ------------------------------------------------------------------------------------

    async def listen(self, request: web.Request) -> web.StreamResponse:
        """Serve a WebSocket to its end."""
        if time.monotonic() < self._shut_until:
            return web.Response(status=503, text="maintenance")
        socket = Socket(request.rel_url.path, dict(request.rel_url.query), headers=headers_of(request))
        try:
            greeting = self._dialect.opened(socket, self._now())
        except SocketRefused as error:
            return web.Response(status=error.status, text=str(error))
        # Compression would cost more than everything else here, and is not what is tested.
        response = web.WebSocketResponse(autoping=False, compress=False, heartbeat=PING_SECONDS)
        await response.prepare(request)
        transport = request.transport
        line = Line(socket, response, (lambda: None) if transport is None else transport.abort)
        for frame in greeting:
            line.put(frame)
        self.broadcast.follow(line)
        writing = asyncio.get_running_loop().create_task(line.write())
        try:
            await self._read(response, line)
        finally:
            socket.closed = True
            self.broadcast.leave(line)
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
        return response

    def hang_up(self) -> None:
        """Close every socket."""
        for line in self.broadcast.lines:
            line.close()

    async def _read(self, response: web.WebSocketResponse, line: Line) -> None:
        async for message in response:
            if message.type is WSMsgType.PING:
                line.pong(bytes(message.data))
            elif message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                self._hear(line, message.data)

    def _hear(self, line: Line, said: Frame) -> None:
        try:
            answers = self._dialect.heard(line.socket, said, self._now())
        except SocketRefused:
            line.close(1008)
            return
        for frame in answers:
            line.put(frame)
        self.broadcast.follow(line)
