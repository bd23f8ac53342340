"""What a user is told. Owner: telegram, streams `notice-{user}`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from nexus_common.contracts.message import Event, command
from nexus_common.contracts.values import UserId


class Urgency(StrEnum):
    INFO = "info"
    TRADE = "trade"
    ALARM = "alarm"


class NoticeComposed(Event):
    """A message is to reach a user; `about` is the event it tells of."""

    type = "notice.composed"

    user: UserId
    urgency: Urgency
    text: str
    about: UUID


NoticeEvent = NoticeComposed


@command("notice.compose")
@dataclass(frozen=True, slots=True)
class ComposeNotice:
    user: UserId
    urgency: Urgency
    text: str
    about: UUID
    at: datetime


NoticeCommand = ComposeNotice
