"""A durable consumer read through a standing request, which heals whatever happens to the server.

The server holds our request and sends messages as they come: a message costs no round trip. Half of the
request is renewed when half is used up. Heartbeats tell a quiet stream from a dead one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import nats.errors
import orjson
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from nexus_common.runtime.bus import topology
from nexus_common.runtime.bus.jetstream.link import NOT_FOUND, ApiError, Link
from nexus_common.runtime.errors import BusUnavailable
from nexus_common.runtime.log import get_logger
from nexus_common.runtime.ports import Delivery

BATCH: Final = 128
EXPIRES_SECONDS: Final = 30.0
HEARTBEAT_SECONDS: Final = 0.5
SILENCE_SECONDS: Final = 1.6  # three heartbeats did not come
TICK_SECONDS: Final = 0.25
LOOK_SECONDS: Final = 2.0
RETRY_SECONDS: Final = 0.05
EVENTS: Final = topology.EVENTS.name
log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Receipt:
    """Where a delivery is acknowledged. A consumer made anew hands out the same messages with new receipts."""

    puller: Puller
    generation: int
    reply: str


Floor = tuple[str, int]
"""When the stream was made, and the sequence up to which all of it that concerns us is acknowledged."""


class Puller:
    """Reads EVENTS for one durable name."""

    def __init__(self, link: Link, durable: str, subjects: Sequence[str], floor: Floor | None = None) -> None:
        self.durable = durable
        self._link = link
        self._subjects = list(subjects)
        self._generation = 0
        self._number = -1
        self._broken = True
        self._subscription: Subscription | None = None
        self._inbox = ""
        self._queue: deque[Delivery] = deque()
        self._requested = 0
        self._handed_out: dict[int, None] = {}
        self._created, self._floor = floor or ("", 0)
        self._heard_at = self._moved_at = self._looked_at = 0.0
        self._was_waiting = False
        self._waiter: asyncio.Future[None] | None = None

    @property
    def floor(self) -> Floor:
        return self._created, self._floor

    async def next(self) -> Delivery:
        """The next message; waits as long as it takes."""
        while True:
            if self._broken or self._number != self._link.number:
                await self._resume()
            if self._queue:
                delivery = self._queue.popleft()
                self._requested -= 1
                self._handed_out[delivery.sequence] = None
                await self._request()
                return delivery
            await self._request()
            if not self._queue:
                await self._wait()

    async def ack(self, delivery: Delivery) -> None:
        """Tell the server; an acknowledgement that gets lost brings the message once more."""
        receipt: Receipt = delivery.handle
        if receipt.generation != self._generation:
            return  # the number may belong to another message by now
        self._handed_out.pop(delivery.sequence, None)
        self._floor = max(self._floor, next(iter(self._handed_out), delivery.sequence + 1) - 1)
        try:
            await self._link.client.publish(receipt.reply)
        except (BusUnavailable, nats.errors.Error) as error:
            log.debug("acknowledgement lost", durable=self.durable, reason=str(error))

    async def close(self) -> None:
        self._generation += 1
        if self._subscription is not None and self._link.is_up:
            try:
                await self._subscription.unsubscribe()
            except nats.errors.Error as error:
                log.debug("unsubscribing failed", reason=str(error))
        self._subscription = None

    async def _resume(self) -> None:
        """Make stream and consumer right and read on behind the last message that was acknowledged."""
        while True:
            number = self._link.number
            try:
                await self._link.ready()
                await self.close()
                await self._position()
                await self._subscribe()
            except (BusUnavailable, ApiError, nats.errors.Error) as error:
                log.debug("consumer cannot resume yet", durable=self.durable, reason=str(error))
                self._link.suspect()
                await asyncio.sleep(RETRY_SECONDS)
                continue
            self._number = number
            self._broken = False
            return

    async def _position(self) -> None:
        """Have the durable consumer stand behind its last acknowledged message, with our subjects."""
        # A killed server has forgotten the acknowledgements of its last moments; we have not.
        floor = self._floor if self._created == self._link.created else 0
        info = await self._info()
        if info is not None:
            floor = max(floor, info["ack_floor"]["stream_seq"])
            delivered = info["delivered"]["stream_seq"]
            if info["num_ack_pending"] == 0 and delivered >= floor and self._listens_to(info["config"]):
                self._floor = delivered
                return
            await self._link.api(f"CONSUMER.DELETE.{EVENTS}.{self.durable}")
        await self._link.api(
            f"CONSUMER.CREATE.{EVENTS}.{self.durable}",
            {
                "stream_name": EVENTS,
                "action": "create",
                "config": {
                    "name": self.durable,
                    "durable_name": self.durable,
                    "filter_subjects": self._subjects,
                    "deliver_policy": "by_start_sequence",
                    "opt_start_seq": floor + 1,
                    "ack_policy": "explicit",
                    "ack_wait": 60 * 10**9,
                    "max_ack_pending": -1,
                    "replay_policy": "instant",
                },
            },
        )
        self._floor = floor

    async def _info(self) -> Any:
        try:
            return await self._link.api(f"CONSUMER.INFO.{EVENTS}.{self.durable}")
        except ApiError as error:
            if error.err_code in NOT_FOUND:
                return None
            raise

    def _listens_to(self, config: Any) -> bool:
        single = config.get("filter_subject")
        return sorted(config.get("filter_subjects") or [single]) == sorted(self._subjects)

    async def _subscribe(self) -> None:
        self._generation += 1
        self._created = self._link.created
        self._queue.clear()
        self._handed_out.clear()
        self._requested = 0
        self._heard_at = self._moved_at = asyncio.get_running_loop().time()
        client = self._link.client
        self._inbox = client.new_inbox()
        self._subscription = await client.subscribe(self._inbox, cb=partial(self._take, self._generation))

    async def _request(self) -> None:
        """Keep between half and all of a batch requested; the queue is bounded by it."""
        if self._requested > BATCH // 2:
            return
        request = {
            "batch": BATCH - self._requested,
            "expires": int(EXPIRES_SECONDS * 10**9),
            "idle_heartbeat": int(HEARTBEAT_SECONDS * 10**9),
        }
        try:
            await self._link.client.publish(
                f"$JS.API.CONSUMER.MSG.NEXT.{EVENTS}.{self.durable}", orjson.dumps(request), self._inbox
            )
        except (BusUnavailable, nats.errors.Error):
            return  # reconnecting; the next connection starts with a new request
        self._requested = BATCH

    async def _take(self, generation: int, msg: Msg) -> None:
        if generation != self._generation:
            return
        self._heard_at = asyncio.get_running_loop().time()
        status = msg.headers.get("Status") if msg.headers else None
        if status is None:
            self._moved_at = self._heard_at
            self._was_waiting = False
            receipt = Receipt(self, generation, msg.reply)
            sequence = _stream_sequence(msg.reply)
            self._queue.append(Delivery(msg.subject, msg.data, msg.headers or {}, sequence, receipt))
        elif status == "100":
            return
        elif status == "408":
            unfilled = (msg.headers or {}).get("Nats-Pending-Messages", str(BATCH))
            self._requested = max(len(self._queue), self._requested - int(unfilled))
        else:
            log.debug("consumer interrupted", durable=self.durable, status=status, headers=msg.headers)
            self._broken = True
        self._wake()

    async def _wait(self) -> None:
        """Until something arrives or it is time to look whether all is well."""
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        tick = loop.call_later(TICK_SECONDS, self._wake)
        try:
            await self._waiter
        finally:
            tick.cancel()
            self._waiter = None
        if not self._queue and not self._broken and self._link.is_up:
            await self._look(loop.time())

    async def _look(self, now: float) -> None:
        if now - self._heard_at > SILENCE_SECONDS:
            self._link.suspect()
            self._broken = True
        elif now - max(self._moved_at, self._looked_at) > LOOK_SECONDS:
            self._looked_at = now
            try:
                info = await self._info()
            except (BusUnavailable, ApiError):
                return
            waiting = info is not None and info["num_pending"] > 0
            if info is None or (waiting and self._was_waiting):
                await self._remake(info)
            self._was_waiting = waiting

    async def _remake(self, info: Any) -> None:
        """The server has messages for us and does not send them, or does not know us any more."""
        log.warning("consumer stands still and is made anew", durable=self.durable)
        self._link.suspect()
        self._broken = True
        self._was_waiting = False
        if info is not None:
            self._floor = max(self._floor, info["ack_floor"]["stream_seq"])
            try:
                await self._link.api(f"CONSUMER.DELETE.{EVENTS}.{self.durable}")
            except (BusUnavailable, ApiError) as error:
                log.debug("consumer could not be deleted", durable=self.durable, reason=str(error))

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def _stream_sequence(reply: str) -> int:
    """`$JS.ACK.[domain.account.]stream.consumer.delivered.SEQUENCE.…`"""
    tokens = reply.split(".")
    return int(tokens[5] if len(tokens) < 11 else tokens[7])
