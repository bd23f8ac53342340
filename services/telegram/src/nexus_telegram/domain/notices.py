"""What a user is told. Streams `notice-{user}`."""

from __future__ import annotations

from collections.abc import Sequence

from nexus_common.contracts.decider import Decider
from nexus_common.contracts.notice import ComposeNotice, NoticeComposed


def decide(command: ComposeNotice, composed: int) -> Sequence[NoticeComposed]:
    """One notice for each thing to tell; a repeat of its cause gives the same event id and is dropped there."""
    if not command.text.strip():
        return []
    notice = NoticeComposed(
        user=command.user, urgency=command.urgency, text=command.text, about=command.about
    )
    return [notice]


def evolve(composed: int, event: NoticeComposed) -> int:
    return composed + 1


NOTICE: Decider[ComposeNotice, int, NoticeComposed] = Decider("notice", 0, decide, evolve)
