"""The connection to NATS, and whether the streams behind it are still the ones we published to."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import nats
import nats.errors
import orjson
from nats.aio.client import Client
from nats.aio.msg import Msg

from nexus_common.runtime.bus import topology
from nexus_common.runtime.errors import BusError, BusUnavailable, ConfigurationError, DependencyMissing
from nexus_common.runtime.log import get_logger

API_SECONDS: Final = 2.0
RECONNECT_SECONDS: Final = 0.05
PING_SECONDS: Final = 5
NOT_FOUND: Final = (10014, 10037, 10059)  # consumer, message, stream
STREAM_CONFIGURED_OTHERWISE: Final = 10058
MESSAGE_ID: Final = "Nats-Msg-Id"
log = get_logger(__name__)


class ApiError(BusError):
    """JetStream refused a request about streams or consumers."""

    def __init__(self, subject: str, error: Mapping[str, Any]) -> None:
        super().__init__(f"{subject}: {error.get('description')} ({error.get('err_code')})")
        self.code: int = error.get("code", 0)
        self.err_code: int = error.get("err_code", 0)


class Link:
    """One connection that comes back by itself, for ever.

    `number` grows each time the connection breaks. `incarnation` grows when EVENTS turns out to have lost what it
    had acknowledged: it was created anew, or the last message of ours is not where it was.
    """

    def __init__(self, servers: Sequence[str], name: str, replicas: int) -> None:
        self.number = 0
        self.incarnation = 0
        self.created = ""
        self._servers = list(servers)
        self._name = name
        self._replicas = replicas
        self._client = Client()
        self._verified = -1
        self._verifying = asyncio.Lock()
        self._last_sequence = 0
        self._last_named: tuple[int, str] = (0, "")
        self._asking: set[asyncio.Future[Msg]] = set()
        self._on_break: list[Callable[[], None]] = []
        self._is_open = False
        self._refused = asyncio.Event()
        self._reopening: asyncio.Task[None] | None = None
        self._problem = ""

    @property
    def client(self) -> Client:
        """The client to send with; raises BusUnavailable while there is no connection."""
        if not self._client.is_connected:
            raise BusUnavailable(
                f"no connection to NATS at {self._where()}: {self._problem or 'reconnecting'}"
            )
        return self._client

    @property
    def is_up(self) -> bool:
        return bool(self._client.is_connected)

    def on_break(self, callback: Callable[[], None]) -> None:
        """Call back when the connection breaks: what was under way got lost."""
        self._on_break.append(callback)

    async def open(self, timeout: float) -> None:
        """Raises DependencyMissing when nobody answers in time, ConfigurationError when we are refused."""
        connecting = asyncio.ensure_future(self._connect())
        refused = asyncio.ensure_future(self._refused.wait())
        try:
            await asyncio.wait([connecting, refused], timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            if self._refused.is_set():
                raise ConfigurationError(
                    f"NATS at {self._where()} refuses the user or password of the bus address: correct it"
                )
            if not connecting.done():
                raise DependencyMissing(
                    f"NATS does not answer at {self._where()} within {timeout:g} s ({self._problem}): "
                    "start it, or correct the bus address"
                )
            connecting.result()
        except BaseException as error:
            connecting.cancel()
            with suppress(Exception):
                await self._client.close()
            if isinstance(error, (OSError, nats.errors.Error)):
                raise DependencyMissing(f"no connection to NATS at {self._where()}: {error}") from error
            raise
        finally:
            refused.cancel()
        self._is_open = True

    async def close(self) -> None:
        self._is_open = False
        if self._reopening is not None:
            self._reopening.cancel()
        with suppress(Exception):
            await self._client.flush(1)
        with suppress(Exception):
            await self._client.close()

    async def ready(self) -> None:
        """Return when connected to streams that were looked at since the last reconnection."""
        if self._verified != self.number or not self._client.is_connected:
            await self._verify()

    def suspect(self) -> None:
        """Have the streams looked at before the next use."""
        self._verified = -1

    def acknowledged(self, sequence: int, message_id: str) -> None:
        """Remember the last message that EVENTS took from us. A sequence run backwards means a new stream."""
        if sequence <= self._last_sequence:
            self._lost("its sequence ran backwards")
        self._last_sequence = sequence
        if message_id:
            self._last_named = (sequence, message_id)

    async def api(self, subject: str, request: Mapping[str, Any] | None = None) -> Any:
        """Ask the JetStream API; raises ApiError or BusUnavailable."""
        payload = b"" if request is None else orjson.dumps(request)
        fields = orjson.loads(await self.ask(f"$JS.API.{subject}", payload, API_SECONDS))
        if "error" not in fields:
            return fields
        problem = fields["error"]
        if problem.get("code") == 503:
            raise BusUnavailable(f"JetStream is not available: {problem.get('description')}")
        raise ApiError(subject, problem)

    async def ask(self, subject: str, payload: bytes, timeout: float) -> bytes:
        """A request that ends with the connection: the answer to it would never come. Raises BusUnavailable."""
        asking = asyncio.ensure_future(self.client.request(subject, payload, timeout=timeout))
        self._asking.add(asking)
        try:
            await asyncio.wait([asking])
            if asking.cancelled():
                raise BusUnavailable(f"the connection to NATS broke before {subject} was answered")
            return asking.result().data
        except (nats.errors.Error, TimeoutError, OSError) as error:
            raise BusUnavailable(f"nobody answers {subject}: {error!r}") from error
        finally:
            asking.cancel()
            self._asking.discard(asking)

    async def message(
        self, stream: str, query: Mapping[str, Any]
    ) -> tuple[int, dict[str, str], bytes] | None:
        """A stored message by `seq` or `last_by_subj`: sequence, headers, data. None when it is not there."""
        try:
            found = (await self.api(f"STREAM.MSG.GET.{stream}", query))["message"]
        except ApiError as error:
            if error.err_code in NOT_FOUND:
                return None
            raise
        headers = base64.b64decode(found.get("hdrs", "")).decode()
        lines = (line.partition(": ") for line in headers.split("\r\n")[1:] if line)
        return (
            found["seq"],
            {name: value for name, _, value in lines},
            base64.b64decode(found.get("data", "")),
        )

    async def _verify(self) -> None:
        async with self._verifying:
            number = self.number
            if self._verified == number and self._client.is_connected:
                return
            for stream in topology.STREAMS:
                info = await self._ensure(stream)
                if stream is topology.EVENTS:
                    await self._compare(info)
            self._verified = number

    async def _ensure(self, stream: topology.Stream) -> Any:
        wanted = {
            "name": stream.name,
            "subjects": list(stream.subjects),
            "retention": "limits",
            "storage": "file",
            "discard": "old",
            "max_age": stream.age_seconds * 10**9,
            "num_replicas": self._replicas,
            "allow_direct": True,
        }
        try:
            return await self.api(f"STREAM.CREATE.{stream.name}", wanted)
        except ApiError as error:
            if error.err_code != STREAM_CONFIGURED_OTHERWISE:
                raise
            return await self.api(f"STREAM.UPDATE.{stream.name}", wanted)

    async def _compare(self, info: Mapping[str, Any]) -> None:
        if self.created and info["created"] != self.created:
            self._lost("the stream was created anew")
        self.created = info["created"]
        sequence, message_id = self._last_named
        state = info["state"]
        if self._last_sequence > state["last_seq"]:
            self._lost("its end is missing")
        elif message_id and sequence >= state["first_seq"]:
            found = await self.message(topology.EVENTS.name, {"seq": sequence})
            if found is None or found[1].get(MESSAGE_ID) != message_id:
                self._lost("another message stands in the place of ours")

    def _lost(self, how: str) -> None:
        self.incarnation += 1
        self._last_sequence = 0
        self._last_named = (0, "")
        log.warning("events were lost by the bus and are published again", how=how, bus=self._name)

    async def _connect(self) -> None:
        self._client = Client()
        await self._client.connect(
            self._servers,
            name=self._name,
            max_reconnect_attempts=-1,
            reconnect_time_wait=RECONNECT_SECONDS,  # type: ignore[arg-type]  # it is only slept
            connect_timeout=2,
            ping_interval=PING_SECONDS,
            max_outstanding_pings=2,
            pending_size=-1,  # nothing is kept back while disconnected: it would go out late, past newer events
            error_cb=self._on_error,
            disconnected_cb=self._on_disconnected,
            reconnected_cb=self._on_reconnected,
            closed_cb=self._on_closed,
        )
        self._problem = ""

    async def _on_error(self, error: Exception) -> None:
        self._problem = str(error) or type(error).__name__
        if "Authorization" in self._problem:
            self._refused.set()
        log.debug("nats client", reason=self._problem)

    async def _on_disconnected(self) -> None:
        if self._is_open:
            log.warning("connection to the bus lost", reason=self._problem, bus=self._name)
            self._broke()

    async def _on_reconnected(self) -> None:
        self._problem = ""
        log.info("connected to the bus again", bus=self._name)

    async def _on_closed(self) -> None:
        # The client gives up for good on some errors of the server; a service does not.
        if self._is_open and self._reopening is None:
            self._broke()
            self._reopening = asyncio.get_running_loop().create_task(self._reopen())

    async def _reopen(self) -> None:
        while True:
            try:
                await self._connect()
                break
            except (OSError, TimeoutError, nats.errors.Error) as error:
                self._problem = str(error)
                await asyncio.sleep(1.0)
        self._reopening = None
        await self._on_reconnected()

    def _broke(self) -> None:
        # Counted here and not when it is back, so that nothing is sent over a new connection unlooked at.
        self.number += 1
        for asking in self._asking:
            asking.cancel()
        for callback in self._on_break:
            callback()

    def _where(self) -> str:
        return ", ".join(server.rpartition("@")[2].removeprefix("nats://") for server in self._servers)
