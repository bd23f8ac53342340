"""Shows on a terminal what users are sent."""

from __future__ import annotations

from typing import TextIO

from nexus_common.contracts.envelope import Envelope
from nexus_common.contracts.message import Event
from nexus_common.contracts.notice import NoticeComposed, Urgency

_MARKS = {Urgency.INFO: " ", Urgency.TRADE: "*", Urgency.ALARM: "!"}
_INDENT = " " * 22


class ConsolePrinter:
    """Writes each notice once it is committed; other events are passed over."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __call__(self, envelope: Envelope[Event]) -> None:
        if isinstance(envelope.event, NoticeComposed):
            self._stream.write(as_lines(envelope.event, f"{envelope.occurred_at:%Y-%m-%d %H:%M:%S}"))
            self._stream.flush()


def as_lines(notice: NoticeComposed, when: str) -> str:
    """`time mark user: text`, the text's further lines indented below its first."""
    first, *rest = notice.text.splitlines()
    lines = [
        f"{when} {_MARKS[notice.urgency]} {notice.user}: {first}",
        *(f"{_INDENT}{line}" for line in rest),
    ]
    return "\n".join(line.rstrip() for line in lines) + "\n"
