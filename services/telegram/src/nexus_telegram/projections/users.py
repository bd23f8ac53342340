"""`users`: who may do what. Key and owner: the user."""

from __future__ import annotations

from collections.abc import Sequence

from nexus_common.contracts.envelope import Envelope
from nexus_common.contracts.message import Event
from nexus_common.contracts.session import RoleGranted, RoleRevoked
from nexus_common.runtime.projection import Change, Drop, Put
from nexus_common.runtime.store.schema import users


class Users:
    """Whoever has no role any more is not in it."""

    name = "users"
    categories = ("access",)
    tables = (users,)

    def apply(self, envelope: Envelope[Event]) -> Sequence[Change]:
        event = envelope.event
        match event:
            case RoleGranted():
                granted = {
                    "user": event.user,
                    "role": str(event.role),
                    "by": event.by,
                    "since": envelope.occurred_at,
                }
                return [Put(users, event.user, granted, owner=event.user)]
            case RoleRevoked():
                return [Drop(users, event.user)]
            case _:
                return []
