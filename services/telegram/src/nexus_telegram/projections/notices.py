"""`notices`: what users were told. Key: the event; owner: the user."""

from __future__ import annotations

from collections.abc import Sequence

from nexus_common.contracts.envelope import Envelope
from nexus_common.contracts.message import Event
from nexus_common.contracts.notice import NoticeComposed
from nexus_common.runtime.projection import Change, Put
from nexus_common.runtime.store.schema import notices


class Notices:
    """In the order they were composed; `about` is the event that a notice tells of."""

    name = "notices"
    categories = ("notice",)
    tables = (notices,)

    def apply(self, envelope: Envelope[Event]) -> Sequence[Change]:
        event = envelope.event
        if not isinstance(event, NoticeComposed):
            return []
        told = {**event.model_dump(mode="json"), "at": envelope.occurred_at}
        return [Put(notices, str(envelope.event_id), told, owner=event.user)]
