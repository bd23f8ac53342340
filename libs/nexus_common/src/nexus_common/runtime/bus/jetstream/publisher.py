"""Sends messages in order without waiting in between, and collects their acknowledgements."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import nats.errors
import orjson
from nats.aio.client import Client
from nats.aio.msg import Msg

from nexus_common.runtime.bus import topology
from nexus_common.runtime.bus.jetstream.link import MESSAGE_ID, Link
from nexus_common.runtime.bus.transport import Message
from nexus_common.runtime.errors import BusError, BusUnavailable

ACK_SECONDS: Final = 5.0
IN_FLIGHT_MAX: Final = 500
NO_RESPONDERS: Final = "503"
ATTEMPTS: Final = 3


class _Round:
    """The acknowledgements of one round trip, in the order of its messages; None stands for `no stream`."""

    def __init__(self, size: int) -> None:
        self.answers: list[dict[str, Any] | None] = [None] * size
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.done.add_done_callback(_look_at_error)
        self._missing = size

    def answer(self, index: int, msg: Msg) -> None:
        stream_is_there = not (msg.headers and msg.headers.get("Status") == NO_RESPONDERS)
        self.answers[index] = orjson.loads(msg.data) if stream_is_there else None
        self._missing -= 1
        if self._missing == 0 and not self.done.done():
            self.done.set_result(None)

    def fail(self, reason: str) -> None:
        if not self.done.done():
            self.done.set_exception(BusUnavailable(reason))


def _look_at_error(done: asyncio.Future[None]) -> None:
    """Sending itself may have failed first; then nobody asks for this error, which asyncio would report."""
    if not done.cancelled():
        done.exception()


class Publisher:
    """Publishes to the streams of a link. One subscription takes all acknowledgements."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._client: Client | None = None
        self._inbox = ""
        self._count = 0
        self._waiting: dict[str, tuple[_Round, int]] = {}
        link.on_break(self._break)

    async def publish_all(self, messages: Sequence[Message]) -> None:
        """Publish in this order; returns when all are acknowledged, raises BusUnavailable."""
        start = attempt = 0
        while start < len(messages):
            await self._link.ready()
            chunk = messages[start : start + IN_FLIGHT_MAX]
            taken = await self._round_trip(chunk)
            start += taken
            if taken == len(chunk):
                continue
            # The stream is gone: look at it, which makes it anew, and send the rest.
            attempt += 1
            self._link.suspect()
            if attempt == ATTEMPTS:
                raise BusUnavailable(f"no stream takes {messages[start][0]}")

    async def _round_trip(self, messages: Sequence[Message]) -> int:
        """Send all, wait for all; returns how many at the front were taken."""
        client = await self._subscribed()
        this = _Round(len(messages))
        tokens = []
        try:
            async with asyncio.timeout(ACK_SECONDS):
                for index, (subject, data, headers, message_id) in enumerate(messages):
                    self._count += 1
                    token = str(self._count)
                    tokens.append(token)
                    self._waiting[token] = (this, index)
                    marked = {**headers, MESSAGE_ID: message_id} if message_id else dict(headers)
                    await client.publish(
                        subject, data, reply=f"{self._inbox}.{token}", headers=marked or None
                    )
                await this.done
        except nats.errors.MaxPayloadError as error:
            largest = max(len(message[1]) for message in messages)
            raise BusError(
                f"a message of {largest} bytes exceeds max_payload of nats-server: raise it"
            ) from error
        except (nats.errors.Error, TimeoutError, OSError) as error:
            self._link.suspect()
            raise BusUnavailable(f"no acknowledgement from JetStream: {error!r}") from error
        finally:
            for token in tokens:
                self._waiting.pop(token, None)
        return self._taken(messages, this)

    def _taken(self, messages: Sequence[Message], this: _Round) -> int:
        for index, (message, answer) in enumerate(zip(messages, this.answers, strict=True)):
            if answer is None:
                return index
            if "error" in answer:
                raise BusUnavailable(f"JetStream refused {message[0]}: {answer['error'].get('description')}")
            if answer["stream"] == topology.EVENTS.name and not answer.get("duplicate"):
                self._link.acknowledged(answer["seq"], message[3])
        return len(messages)

    async def _subscribed(self) -> Client:
        client = self._link.client
        if client is not self._client:
            self._inbox = client.new_inbox()
            await client.subscribe(f"{self._inbox}.*", cb=self._on_answer)
            self._client = client
        return client

    async def _on_answer(self, msg: Msg) -> None:
        found = self._waiting.pop(msg.subject.rpartition(".")[2], None)
        if found is not None:
            this, index = found
            this.answer(index, msg)

    def _break(self) -> None:
        for this, _ in self._waiting.values():
            this.fail("the connection to NATS broke before the acknowledgement came")
