"""Ids are computed from their cause, so that deciding again gives the same ids and every repeat is seen."""

from __future__ import annotations

import base64
from datetime import datetime
from hashlib import sha256
from uuid import UUID, uuid5

from nexus_common.contracts.values import (
    AccountId,
    ClientOrderId,
    Symbol,
    Timeframe,
    UserId,
    Venue,
    format_instant,
)

NEXUS = UUID("6e657875-7300-5000-8000-000000000001")


def event_id(cause: UUID, consumer: str, stream: str, index: int) -> UUID:
    """The id of the index-th event that `consumer` appends to `stream` because of `cause`."""
    return uuid5(cause, f"{consumer}/{stream}/{index}")


def command_id(cause: UUID, consumer: str, stream: str) -> UUID:
    """The id of the one command that `consumer` sends to `stream` because of `cause`."""
    return uuid5(cause, f"{consumer}/{stream}/command")


def derived(cause: UUID, purpose: str) -> UUID:
    """A cause of its own for a second command that one message leads to on the same stream."""
    return uuid5(cause, purpose)


def candle_id(venue: Venue, symbol: Symbol, timeframe: Timeframe, open_time: datetime) -> UUID:
    """The cause of what a closed candle leads to."""
    return uuid5(NEXUS, f"candle/{venue}/{symbol}/{timeframe}/{format_instant(open_time)}")


def step_id(venue: Venue, partition: int, at: datetime) -> UUID:
    """The cause of what one market instant leads to."""
    return uuid5(NEXUS, f"step/{venue}/{partition}/{format_instant(at)}")


def fill_id(account: AccountId, symbol: Symbol, trade_id: str) -> UUID:
    """The cause that a venue's fill is; an account belongs to one venue."""
    return uuid5(NEXUS, f"fill/{account}/{symbol}/{trade_id}")


def venue_update_id(account: AccountId, sequence: int) -> UUID:
    """The cause that a numbered message of a venue's account stream is."""
    return uuid5(NEXUS, f"update/{account}/{sequence}")


def timer_id(name: str, due: datetime) -> UUID:
    """The cause that a timer is."""
    return uuid5(NEXUS, f"timer/{name}/{format_instant(due)}")


def input_id(user: UserId, number: str) -> UUID:
    """The cause that a person's input is (a Telegram update id, a line of a script)."""
    return uuid5(NEXUS, f"input/{user}/{number}")


def reply_id(submit_started: UUID, kind: str = "reply") -> UUID:
    """The cause that a venue's answer to a started submission is."""
    return uuid5(submit_started, kind)


def client_order_id(trade: UUID, leg: str, attempt: int = 1) -> ClientOrderId:
    """`^[A-Za-z0-9_-]{1,32}$`, the one format that all venues take; 130 bits of the hash."""
    digest = sha256(f"{trade}/{leg}/{attempt}".encode()).digest()
    return ClientOrderId("nx1" + base64.b32encode(digest).decode()[:26].lower())
