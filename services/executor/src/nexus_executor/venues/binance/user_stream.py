"""The user data stream: a listen key that is kept alive, a socket, and the certainty to have read everything."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from nexus_common.contracts.values import ClientOrderId, Symbol
from nexus_executor.venues.binance import fields, messages
from nexus_executor.venues.binance.fields import UnreadableFrame
from nexus_executor.venues.binance.messages import Heard
from nexus_executor.venues.binance.rest import Refusal, Rest
from nexus_executor.venues.binance.vendor import NoAnswer, VendorLine
from nexus_executor.venues.broker import UpdateKind, VenueDown, VenueUpdate
from nexus_executor.venues.private_stream import PrivateStream

# A key lives for 60 minutes, and a connection for 24 hours.
_KEEP_ALIVE: Final = timedelta(minutes=30)
_KEY_LIFE: Final = timedelta(minutes=60)
_CONNECTION_LIFE: Final = timedelta(hours=23)


class UserStream:
    """Reads what comes, in order, into `waiting`, and counts what cannot be read.

    `about` and `done` are the orders it has said something, or the last word, of. Where an ACCOUNT_UPDATE comes
    right before the fill that it is about, the fill is told with its wallet. `is_torn`: a message could not be
    read, and what it said may be asked for.
    """

    def __init__(self, rest: Rest, private: PrivateStream, timeout: float, currency: str) -> None:
        self._rest = rest
        self._private = private
        self._timeout = timeout
        self._currency = currency
        self._line: VendorLine | None = None
        self._key: str | None = None
        self._key_at: datetime | None = None
        self._connected_at: datetime | None = None
        self._pongs: dict[bytes, asyncio.Future[None]] = {}
        self._pings = 0
        self._wallet: tuple[datetime, Decimal] | None = None
        self._wallets = 0
        self._wallet_emitted = 0
        self.about: set[ClientOrderId] = set()
        self.done: set[ClientOrderId] = set()
        self.changed: set[Symbol] = set()
        self.waiting: list[VenueUpdate] = []
        self.frames = 0
        self.is_torn = False

    async def connect(self, now: datetime) -> None:
        """Open a socket in place of the one there is; raises VenueDown."""
        await self.disconnect()
        key = await self._rest.ask("new listen key")
        try:
            self._key = fields.text(key if isinstance(key, dict) else {}, "listenKey")
            self._line = await self._rest.session.connect(self._key, self._heard, self._ponged)
        except (UnreadableFrame, NoAnswer) as error:
            raise VenueDown(f"Binance's user stream: {error}") from error
        self._key_at = self._connected_at = now
        await self.barrier()

    async def disconnect(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            await line.close()

    async def is_whole(self, now: datetime) -> bool:
        """Whether everything sent so far was read from a stream without a gap. Raises VenueDown."""
        if self._line is None or not self._line.alive or self._connected_at is None:
            return False
        if now - self._connected_at >= _CONNECTION_LIFE or not await self._keep_alive(now):
            return False
        try:
            await self.barrier()
        except VenueDown:
            return False
        return self._line is not None

    async def _keep_alive(self, now: datetime) -> bool:
        """Extend the key when half of its life is over; False when it is gone."""
        if self._key_at is None or now - self._key_at >= _KEY_LIFE:
            return False
        if now - self._key_at < _KEEP_ALIVE:
            return True
        try:
            await self._rest.ask("extend listen key")
        except Refusal:
            return False
        self._key_at = now
        return True

    async def barrier(self) -> None:
        """Wait until all that was sent before now has been read; raises VenueDown."""
        if self._line is None:
            raise VenueDown("Binance's user stream is not connected")
        self._pings += 1
        payload = f"read {self._pings}".encode()
        pong: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pongs[payload] = pong
        try:
            await self._line.ping(payload)
            await asyncio.wait_for(pong, self._timeout)
        except (NoAnswer, TimeoutError) as error:
            raise VenueDown(f"Binance's user stream does not answer: {error}") from error
        finally:
            del self._pongs[payload]
        self._tell_wallet()

    # -- what comes in ------------------------------------------------------------------------------

    def _ponged(self, payload: bytes) -> None:
        pong = self._pongs.get(payload)
        if pong is not None and not pong.done():
            pong.set_result(None)

    def _heard(self, frame: str | bytes) -> None:
        try:
            heard = messages.read(frame, self._currency)
        except UnreadableFrame as error:
            self._private.refuse(str(error))
            self.is_torn = self.is_torn or not isinstance(error, messages.UnknownEvent)
            return
        self.frames += 1
        self._note(heard)
        self.waiting += [self._with_wallet(update) for update in heard.updates]
        if heard.wallet is not None and heard.emitted > self._wallet_emitted:
            self._wallet_emitted = heard.emitted
            self._tell_wallet()
            self._wallet = heard.at, heard.wallet

    def _note(self, heard: Heard) -> None:
        if heard.about is not None:
            self.about.add(heard.about)
            if heard.done:
                self.done.add(heard.about)
        if heard.changed is not None:
            self.changed.add(heard.changed)
        if heard.lost_key:
            # The socket stays and says nothing any more.
            self._key_at = None

    def _with_wallet(self, update: VenueUpdate) -> VenueUpdate:
        if self._wallet is None or update.kind not in (UpdateKind.FILL, UpdateKind.LIQUIDATION):
            return update
        at, wallet = self._wallet
        if at != update.at:
            return update
        self._wallet = None
        return replace(update, wallet=wallet)

    def _tell_wallet(self) -> None:
        """A wallet whose fill did not follow is told by itself."""
        if self._wallet is None:
            return
        at, wallet = self._wallet
        self._wallet = None
        self.waiting.append(self.balance(at, wallet, "fill"))

    def balance(self, at: datetime, wallet: Decimal, reason: str) -> VenueUpdate:
        """The wallet at a time, which has no identity at the venue."""
        self._wallets += 1
        key = f"wallet/{fields.millis(at)}/{self._wallets}"
        return VenueUpdate(0, at, UpdateKind.BALANCE, wallet=wallet, reason=reason, key=key)
