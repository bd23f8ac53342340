"""What would have been decided with other settings, on the course that was recorded.

Every verdict is given again at its own moment: held positions, reservations, equity and prices are those of
the record, while pauses (breaker, cooldowns, rests) follow from the changed settings. Cortex runs again where
its settings change. No fill is invented: where decisions differ, what was held and earned afterwards would
have differed too, and that a backtest tells.

A figure that a user had set for himself stays his own, as it would in a run whose defaults were changed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from nexus_common.contracts.envelope import Envelope, category_of, open_command
from nexus_common.contracts.limits import RiskSettings
from nexus_common.contracts.message import Event
from nexus_common.contracts.risk import (
    AssessEntry,
    BreakerTripped,
    EntryApproved,
    EntryRefused,
    MarkEquity,
    NoteResult,
)
from nexus_common.contracts.session import RiskSettingChanged, SessionOpened
from nexus_common.contracts.signal import SignalRaised
from nexus_common.contracts.values import AccountId, Origin, UserId
from nexus_common.runtime.ports import EventStore, Reactor
from nexus_ops.decisions import PAGE, events_of
from nexus_ops.replay import Progress, rerun_cortex
from nexus_ops.whatif_report import Span, Trip, VerdictPair, WhatIf, signal_key, signal_pairs
from nexus_ops.whatif_settings import Changes
from nexus_shield.domain.requests import request_of_signal
from nexus_shield.domain.risk import RISK
from nexus_shield.domain.state import RiskState

_JUDGED: Final = (EntryApproved, EntryRefused)


@dataclass(slots=True)
class Owners:
    """Whose account each is, and which figures its user has set for himself, with the time of it."""

    users: dict[AccountId, UserId] = field(default_factory=dict)
    own: dict[UserId, dict[str, datetime]] = field(default_factory=lambda: defaultdict(dict))

    def figures(self, account: AccountId, changed: Mapping[str, Decimal], at: datetime) -> dict[str, Decimal]:
        """The changes that reach an account at an instant."""
        own = self.own.get(self.users.get(account, UserId("")), {})
        return {name: value for name, value in changed.items() if name not in own or own[name] > at}

    def kept(self, changed: Iterable[str]) -> tuple[str, ...]:
        """A sentence for each figure that a user had set for himself."""
        return tuple(
            f"{user} set {name} himself at {self.own[user][name]:%Y-%m-%d %H:%M}: from then on it stays as he set it"
            for user in sorted(self.own)
            for name in changed
            if name in self.own[user]
        )


@dataclass(slots=True)
class Signals:
    """The entries that cortex raised, by the id of their event: on record, and with the changed settings."""

    recorded: dict[UUID, SignalRaised]
    now: dict[UUID, SignalRaised]

    def counterpart(self, request_id: UUID) -> SignalRaised | None:
        return self._by_key.get(signal_key(self.recorded[request_id]))

    _by_key: dict[tuple[Any, ...], SignalRaised] = field(init=False)

    def __post_init__(self) -> None:
        self._by_key = {signal_key(signal): signal for signal in self.now.values()}


@dataclass(slots=True)
class Course:
    """One account's record, and its pauses under the changed settings."""

    recorded: RiskState = field(default_factory=RiskState)
    pauses: RiskState = field(default_factory=RiskState)

    @property
    def changed(self) -> RiskState:
        """What is held and what it is worth as recorded, with the pauses that the changes lead to."""
        pauses = self.pauses
        return replace(self.recorded, breaker=pauses.breaker, cooldowns=pauses.cooldowns, rests=pauses.rests)


async def what_if(
    store: EventStore,
    changes: Changes,
    cortex: Callable[[], Reactor],
    span: Span,
    progress: Progress = lambda count: None,
) -> WhatIf:
    """Compare the record with what `changes` would have decided in `span`. `cortex` makes a fresh reactor with them."""
    owners = await _owners(store)
    recorded = await _raised(store)
    now = recorded
    if changes.cortex is not None:
        now = {}
        await rerun_cortex(store, cortex(), lambda envelopes: now.update(_entries(envelopes)))
    signals = Signals(recorded, now)
    judge = _Judge(changes.risk, owners, signals)
    async for account, command in _risk_commands(store, progress):
        judge.take(account, command)
    pairs, raised = signal_pairs(recorded.values(), now.values(), span)
    return WhatIf(
        asked=changes.asked,
        signals=pairs,
        signals_both=raised,
        verdicts=tuple(pair for pair in judge.pairs if pair.at in span),
        trips_recorded=tuple(trip for trip in judge.trips_recorded if trip.at in span),
        trips_now=tuple(trip for trip in judge.trips_now if trip.at in span),
        kept=owners.kept(changes.risk),
    )


class _Judge:
    """Gives the verdicts of all accounts again, twice: as recorded and with the changes."""

    def __init__(self, changed: Mapping[str, Decimal], owners: Owners, signals: Signals) -> None:
        self._changed = changed
        self._owners = owners
        self._signals = signals
        self._courses: dict[AccountId, Course] = defaultdict(Course)
        self.pairs: list[VerdictPair] = []
        self.trips_recorded: list[Trip] = []
        self.trips_now: list[Trip] = []

    def take(self, account: AccountId, command: Any) -> None:
        course = self._courses[account]
        recorded = RISK.decide(command, course.recorded)
        now: list[Event] = []
        course.pauses = course.changed
        for other in self._with_changes(account, command):
            events = RISK.decide(other, course.pauses)
            course.pauses = RISK.fold(events, course.pauses)
            now += events
        self._compare(account, command, recorded, now)
        course.recorded = RISK.fold(recorded, course.recorded)

    def _with_changes(self, account: AccountId, command: Any) -> Iterator[Any]:
        """What stands in for a recorded command; without a signal nobody asks.

        A reading of equity that leads to nothing is not on record, and with other limits one may: equity is read
        where a verdict or a result tells it.
        """
        figures = self._owners.figures(account, self._changed, command.at)
        match command:
            case AssessEntry(context=context, at=at):
                other = self._asked_again(command, figures)
                if not context.unpriced:
                    yield MarkEquity(context.equity, _with(context.settings, figures), at)
                if other is not None:
                    yield other
            case NoteResult(equity=equity, settings=settings, at=at):
                yield replace(command, settings=_with(settings, figures))
                yield MarkEquity(equity, _with(settings, figures), at)
            case MarkEquity(settings=settings):
                yield replace(command, settings=_with(settings, figures))
            case _:
                yield command

    def _asked_again(self, command: AssessEntry, figures: Mapping[str, Decimal]) -> AssessEntry | None:
        settings = _with(command.context.settings, figures)
        request = command.request
        if request.origin is Origin.SIGNAL and request.request_id in self._signals.recorded:
            signal = self._signals.counterpart(request.request_id)
            if signal is None:
                return None
            request = request_of_signal(signal, request.request_id, settings)
        context = command.context.model_copy(update={"settings": settings})
        return replace(command, request=request, context=context)

    def _compare(
        self, account: AccountId, command: Any, recorded: Iterable[Event], now: Iterable[Event]
    ) -> None:
        self.trips_recorded += _trips(account, command.at, recorded)
        self.trips_now += _trips(account, command.at, now)
        if isinstance(command, AssessEntry):
            ours = next((event for event in now if isinstance(event, _JUDGED)), None)
            theirs = next(event for event in recorded if isinstance(event, _JUDGED))
            self.pairs.append(VerdictPair(command.at, account, theirs, ours))


def _with(settings: RiskSettings, figures: Mapping[str, Decimal]) -> RiskSettings:
    for name, value in figures.items():
        settings = settings.changed(name, value)
    return settings


def _trips(account: AccountId, at: datetime, events: Iterable[Event]) -> list[Trip]:
    return [Trip(at, account, event) for event in events if isinstance(event, BreakerTripped)]


async def _owners(store: EventStore) -> Owners:
    owners = Owners()
    async for recorded in events_of(store, ("session",)):
        event = recorded.event
        if isinstance(event, SessionOpened):
            for spec in event.accounts:
                owners.users.setdefault(spec.account, event.user)
        elif isinstance(event, RiskSettingChanged):
            owners.own[event.user].setdefault(event.name, recorded.envelope.occurred_at)
    return owners


async def _raised(store: EventStore) -> dict[UUID, SignalRaised]:
    return _entries([recorded.envelope async for recorded in events_of(store, ("signal",))])


def _entries(envelopes: Iterable[Envelope[Event]]) -> dict[UUID, SignalRaised]:
    return {
        envelope.event_id: envelope.event
        for envelope in envelopes
        if isinstance(envelope.event, SignalRaised) and envelope.event.action.is_entry
    }


async def _risk_commands(store: EventStore, progress: Progress) -> AsyncIterator[tuple[AccountId, Any]]:
    after = 0
    while page := await store.commands(after, PAGE):
        for number, sealed in page:
            after = number
            if category_of(sealed.stream) == RISK.category:
                yield AccountId(sealed.stream.partition("-")[2]), open_command(sealed).command
        progress(len(page))
