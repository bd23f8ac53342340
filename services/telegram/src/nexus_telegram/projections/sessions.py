"""`sessions`: what each user has chosen. Key and owner: the user."""

from __future__ import annotations

from collections.abc import Sequence

from nexus_common.contracts.envelope import Envelope
from nexus_common.contracts.message import Event
from nexus_common.contracts.session import (
    ModeChanged,
    ProfileChanged,
    RiskSettingChanged,
    SessionOpened,
    StrategyChosen,
    StrategySwitched,
)
from nexus_common.runtime.projection import Amend, Change, Put
from nexus_common.runtime.store.schema import sessions


class Sessions:
    """`strategy.NAME` is there once that strategy was switched, `risk.NAME` once that figure was changed."""

    name = "sessions"
    categories = ("session",)
    tables = (sessions,)

    def apply(self, envelope: Envelope[Event]) -> Sequence[Change]:
        event = envelope.event
        match event:
            case SessionOpened():
                opened = event.model_dump(mode="json")
                return [
                    Put(sessions, event.user, {**opened, "opened_at": envelope.occurred_at}, owner=event.user)
                ]
            case ModeChanged():
                return [Amend(sessions, event.user, {"mode": str(event.mode)})]
            case ProfileChanged():
                return [Amend(sessions, event.user, {"profile": str(event.profile)})]
            case StrategyChosen():
                return [Amend(sessions, event.user, {"strategy": event.strategy})]
            case StrategySwitched():
                return [Amend(sessions, event.user, {f"strategy.{event.strategy}": event.enabled})]
            case RiskSettingChanged():
                return [Amend(sessions, event.user, {f"risk.{event.name}": event.value})]
            case _:
                return []
