"""The private WebSocket `/v5/private`: auth, subscribe, ping. Source: Bybit V5 documentation, Connect."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import orjson

from nexus_simvenue.bybit.access import Gate, milliseconds
from nexus_simvenue.bybit.book import Told
from nexus_simvenue.wire.dialect import Frame, Outgoing, Socket, SocketRefused

PATH: Final = "/v5/private"
TOPICS: Final = frozenset(("order", "execution", "position", "wallet"))
_ALIVE = re.compile(r"^(\d+)([sm])$")


class PrivateSockets:
    """What clients say on their sockets, answered."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._opened = 0

    def opened(self, socket: Socket) -> Sequence[Frame]:
        """Raises SocketRefused for another path, and for a `max_active_time` that is not 30 s to 10 min."""
        if socket.path != PATH:
            raise SocketRefused(404, f"there is no stream at {socket.path}")
        alive = socket.query.get("max_active_time")
        if alive is not None and not _is_alive_time(alive):
            raise SocketRefused(400, f"max_active_time {alive} is not between 30s and 10m")
        self._opened += 1
        socket.notes["conn"] = f"simulated-{self._opened}"
        return ()

    def heard(self, socket: Socket, frame: Frame, now: datetime) -> Sequence[Frame]:
        try:
            said = orjson.loads(frame)
        except orjson.JSONDecodeError:
            return (self._answer(socket, None, False, "error:json", "error"),)
        if not isinstance(said, dict):
            return (self._answer(socket, None, False, "error:request", "error"),)
        match said.get("op"):
            case "auth":
                return (self._auth(socket, said, now),)
            case "subscribe" | "unsubscribe":
                return (self._subscribe(socket, said),)
            case "ping":
                return (self._pong(socket, said, now),)
            case op:
                return (self._answer(socket, said, False, f"error:handler not found,topic:{op}", "error"),)

    def _auth(self, socket: Socket, said: dict[str, Any], now: datetime) -> Frame:
        args = said.get("args")
        if not isinstance(args, list) or len(args) != 3:
            return self._answer(socket, said, False, "Params Error", "auth")
        refused = self._gate.greets(args[0], args[1], args[2], now)
        if refused is not None:
            return self._answer(socket, said, False, str(refused), "auth", retCode=refused.code)
        socket.account = args[0]
        return self._answer(socket, said, True, "", "auth")

    def _subscribe(self, socket: Socket, said: dict[str, Any]) -> Frame:
        op, args = said["op"], said.get("args")
        if socket.account is None:
            return self._answer(socket, said, False, "Request not authorized", op)
        if not isinstance(args, list) or not args or not all(arg in TOPICS for arg in args):
            return self._answer(socket, said, False, f"error:handler not found,topic:{args}", op)
        if op == "subscribe":
            socket.topics.update(args)
        else:
            socket.topics.difference_update(args)
        return self._answer(socket, said, True, "", op)

    @staticmethod
    def _pong(socket: Socket, said: dict[str, Any], now: datetime) -> Frame:
        answer = {"op": "pong", "args": [str(milliseconds(now))], "conn_id": socket.notes["conn"]}
        if "req_id" in said:
            answer = {"req_id": said["req_id"], **answer}
        return orjson.dumps(answer).decode()

    @staticmethod
    def _answer(
        socket: Socket,
        said: dict[str, Any] | None,
        success: bool,
        message: str,
        op: str,
        **more: Any,
    ) -> Frame:
        answer = {"success": success, "ret_msg": message, "op": op, "conn_id": socket.notes["conn"], **more}
        if said is not None and "req_id" in said:
            answer["req_id"] = said["req_id"]
        return orjson.dumps(answer).decode()


def outgoing(account: str, told: Told, number: int) -> Outgoing:
    """A private message as it goes to the sockets that want its topic."""
    frame = {
        "id": f"{account}_{number}",
        "topic": told.topic,
        "creationTime": milliseconds(told.at),
        "data": [told.data],
    }
    return Outgoing(account, told.topic, told.kind, orjson.dumps(frame).decode())


def noise(unknown: bool) -> Frame:
    """A topic that nobody knows, or a frame that breaks off."""
    if unknown:
        return '{"topic":"weather","id":"1","creationTime":1,"data":[{"sky":"grey"}]}'
    return '{"topic":"execution","data":[{"execQty":"1","execPr'


def _is_alive_time(text: str) -> bool:
    found = _ALIVE.match(text)
    if found is None:
        return False
    return 30 <= int(found[1]) * (60 if found[2] == "m" else 1) <= 600
