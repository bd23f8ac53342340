"""The exchange on the wire: one JSON document a line over TCP, and `GET /ledger` for whoever brings a browser.

A request is `{"id": n, "method": …, "params": {…}}`, its answer `{"id": n, "result": {…}}` or
`{"id": n, "error": {"code": …, "reason": …}}`. Requests of all connections are worked on one after another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import timedelta
from functools import partial
from typing import Any, cast

import orjson

from nexus_common.contracts.values import Venue, format_instant
from nexus_common.runtime.ports import Clock
from nexus_simvenue.clock import TimeSource, VenueClock
from nexus_simvenue.faults import Fault, FaultScript, call_of
from nexus_simvenue.journal import Entry, RequestJournal
from nexus_simvenue.market.floor import MarketFloor
from nexus_simvenue.market.player import Player, Score
from nexus_simvenue.venues import BadRequest, Venues
from nexus_simvenue.wire.dialect import Dialect
from nexus_simvenue.wire.front import Front
from nexus_simvenue.wire.http import HttpRequest, HttpResponse, decode_response

_UNWORKED = (Fault.LOSE_REQUEST, Fault.HANG_UNWORKED)
_PAGES = {b"/ledger": "ledger", b"/status": "status"}


class Server:
    """Journals what changes something, then has the venues work on it."""

    def __init__(
        self,
        venues: Venues,
        journal: RequestJournal,
        clock: Clock,
        source: TimeSource = TimeSource.MARKET,
    ) -> None:
        self._venues = venues
        self.time = VenueClock(source, clock, venues.market_time)
        self.fronts: dict[Venue, Front] = {}
        self._journal = journal
        self._clock = clock
        self._sessions: dict[str, Session] = {}
        self.faults = FaultScript()
        self.market: MarketFloor | None = None
        self.addresses: dict[str, str] = {}
        self._own: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "faults": self._replace_faults,
            "faults_fired": self._list_fired,
            "set_clock": self._set_clock,
            "addresses": self._addresses,
        }

    def recover(self) -> int:
        """Go through the journal; returns how many requests it held."""
        count = 0
        for entry in self._journal.entries():
            count += 1
            try:
                self._venues.call(entry.method, entry.params, entry.wall)
            except BadRequest:
                continue  # it was refused then, too
        return count

    def work(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """Answer one request; raises BadRequest."""
        own = self._own.get(method)
        if own is not None:
            try:
                return own(params)
            except (KeyError, TypeError, ValueError) as error:
                raise BadRequest("bad-request", f"{method} does not fit: {error!r}") from error
        wall = self._clock.now()
        if self._venues.changes(method, params):
            self._journal.append(Entry(wall, method, params))
        try:
            return self._venues.call(method, params, wall)
        finally:
            for front in self.fronts.values():
                front.flush()

    def _replace_faults(self, params: dict[str, Any]) -> dict[str, Any]:
        for front in self.fronts.values():
            front.release()
        return {"rules": self.faults.replace(params["rules"])}

    def _list_fired(self, params: dict[str, Any]) -> dict[str, Any]:
        """What fired behind the first `after`."""
        fired = self.faults.fired[int(params.get("after", 0)) :]
        return {"fired": [{"fault": f.fault, "label": f.label, **asdict(f.call)} for f in fired]}

    def _set_clock(self, params: dict[str, Any]) -> dict[str, Any]:
        self.time.offset = timedelta(seconds=float(params["offset_seconds"]))
        return {"now": format_instant(self.time.now())}

    def _addresses(self, _params: dict[str, Any]) -> dict[str, Any]:
        return dict(self.addresses)

    # -- a market that is played here ---------------------------------------------------------------

    def play(self, score: Score, speed: float | None) -> Player:
        """Have a market of our own, to be called before `speak`; market time is its time from here on.

        After `recover` it goes on where it had come.
        """
        self.market = MarketFloor(
            score,
            speed,
            lambda venue: self._venues.exchange(venue).instruments,
            self.time,
            self._venues.market_time(),
        )
        self.time.follow(self.market.player.now)
        self._own.update(self.market.methods)
        return self.market.player

    def match(self, venue: Venue, step: Mapping[str, Any]) -> None:
        """Have a venue's engine work on a step of the market."""
        self.work("step", {"venue": str(venue), **step})

    # -- the venues' own protocols ------------------------------------------------------------------

    async def speak(self, host: str, ports: Mapping[str, int]) -> None:
        """Listen for the venues' own protocols, each on a port of its own; 0 takes a free one."""
        for venue, dialect in self._venues.dialects.items():
            front = Front(
                dialect,
                partial(self._http, dialect),
                self.time.now,
                self.faults,
                self._venues.visibility,
                None if self.market is None else self.market.sides.get(str(venue)),
            )
            self.fronts[venue] = front
            self._note_address(str(venue), host, await front.start(host, ports.get(venue, 0)))
        for name, address in self.market.others.items() if self.market is not None else ():
            port = await address.start(host, ports.get(name, 0))
            self._note_address(name, host, port, streams=address.has_streams)

    def _note_address(self, name: str, host: str, port: int, *, streams: bool = True) -> None:
        self.addresses[name] = f"http://{host}:{port}"
        if streams:
            self.addresses[f"{name}_ws"] = f"ws://{host}:{port}"

    def _http(self, dialect: Dialect, request: HttpRequest) -> HttpResponse:
        return decode_response(
            self.work("http", self._venues.answer(dialect.venue, request, self.time.now()))
        )

    async def hush(self) -> None:
        """Stop playing and listening."""
        if self.market is not None:
            await self.market.stop()
        for front in self.fronts.values():
            await front.stop()
        self.fronts.clear()

    def greet(self, name: str, session: Session) -> None:
        """A client's new connection ends its older one, unread requests and all."""
        older = self._sessions.get(name)
        if older is not None and older is not session:
            older.abandon()
        self._sessions[name] = session

    def forget(self, name: str, session: Session) -> None:
        if self._sessions.get(name) is session:
            del self._sessions[name]


class Session(asyncio.Protocol):
    """One connection."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._unread = b""
        self._name: str | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclass of asyncio's.
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._name is not None:
            self._server.forget(self._name, self)

    def abandon(self) -> None:
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        *lines, self._unread = (self._unread + data).split(b"\n")
        for line in lines:
            if self._transport is None:
                return
            if line.startswith(b"GET "):
                self._page(line)
                return
            self._answer(line)

    def _answer(self, line: bytes) -> None:
        number: Any = None
        try:
            request = orjson.loads(line)
            number, method, params = request["id"], request["method"], request["params"]
            result = self._work(method, params)
            if result is None:
                return
            reply = {"id": number, "result": result}
        except BadRequest as error:
            reply = {"id": number, "error": {"code": error.code, "reason": error.reason}}
        except (ValueError, KeyError, TypeError) as error:
            reply = {"id": number, "error": {"code": "bad-request", "reason": f"not a request: {error!r}"}}
        if self._transport is not None:
            self._transport.write(orjson.dumps(reply) + b"\n")

    def _work(self, method: str, params: dict[str, Any]) -> dict[str, Any] | None:
        """The result, or None when a fault leaves the request without one."""
        if method == "hello":
            self._name = str(params["name"])
            self._server.greet(self._name, self)
            return {}
        rule = self._server.faults.next(call_of(method, params))
        if rule is None:
            return self._server.work(method, params)
        if rule.fault is Fault.REFUSE:
            return {"refused": {"code": rule.code, "reason": "refused by the fault script"}}
        if rule.fault not in _UNWORKED:
            self._server.work(method, params)
        if rule.fault in (Fault.HANG, Fault.HANG_UNWORKED):
            return None
        if rule.fault is Fault.GARBAGE and self._transport is not None:
            self._transport.write(b'{"id": 4, \n')
            return None
        self.abandon()
        return None

    def _page(self, line: bytes) -> None:
        if self._transport is None:
            return
        method = _PAGES.get(line.split(b" ")[1].strip().split(b"?")[0])
        status, body = (
            (b"404 Not Found", b"{}")
            if method is None
            else (b"200 OK", orjson.dumps(self._server.work(method, {})))
        )
        head = b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
        self._transport.write(head % (status, len(body)) + body)
        self._transport.close()
        self._transport = None


async def listen(server: Server, host: str, port: int) -> asyncio.Server:
    """Start to answer; port 0 takes a free one."""
    return await asyncio.get_running_loop().create_server(lambda: Session(server), host, port)
