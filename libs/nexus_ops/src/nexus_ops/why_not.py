"""Why an instrument was not traded: what its last close says, what was withheld or refused, what holds it back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from nexus_common.contracts.envelope import Recorded
from nexus_common.contracts.feed import FeedLost, FeedRestored
from nexus_common.contracts.instrument import Instrument, InstrumentsListed
from nexus_common.contracts.message import Event
from nexus_common.contracts.risk import EntryRefused
from nexus_common.contracts.signal import RegimeRead, SignalRaised, SignalWithheld
from nexus_common.contracts.values import Mode, Symbol, Venue, format_instant, instrument_key
from nexus_common.runtime.errors import ConfigurationError
from nexus_common.runtime.ports import EventStore
from nexus_cortex.handlers import CortexReactor
from nexus_ops.decisions import events_of
from nexus_ops.macro_context import MacroContext, macro_context, recorded_mood
from nexus_ops.recorded_models import recorded_reigns
from nexus_ops.regime_words import read_by
from nexus_ops.rules_now import RulesNow, rules_now
from nexus_ops.timetravel import folded, last_close
from nexus_shield.domain.guard import GuardState
from nexus_shield.domain.state import RiskState
from nexus_telegram.domain.session import Session

SHOWN = 5


@dataclass(frozen=True, slots=True)
class WhyNot:
    """All that is known up to `at`: the newest of each kind last. `hindrances` are sentences."""

    venue: Venue
    symbol: Symbol
    at: datetime
    rules: RulesNow
    macro: MacroContext
    regime: Recorded[Event] | None
    raised: tuple[Recorded[Event], ...]
    withheld: tuple[Recorded[Event], ...]
    refused: tuple[Recorded[Event], ...]
    hindrances: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "venue": str(self.venue),
            "symbol": str(self.symbol),
            "at": format_instant(self.at),
            "close": None if self.rules.close is None else format_instant(self.rules.close),
            "regime": _document(self.regime),
            "regime_now": None if self.rules.regime is None else self.rules.regime.model_dump(mode="json"),
            "macro": self.macro.to_json(),
            "sangria": self.rules.sangria,
            "strategies": [each.to_json() for each in self.rules.strategies],
            "hindrances": list(self.hindrances),
            "withheld": [_document(each) for each in self.withheld],
            "refused": [_document(each) for each in self.refused],
            "raised": [_document(each) for each in self.raised],
        }

    def lines(self) -> Iterator[tuple[str, str]]:
        """(chapter, sentence) pairs."""
        closed = self.rules.close
        close = "no candle yet" if closed is None else f"last 15m close {closed:%Y-%m-%d %H:%M}"
        yield "Instrument", f"{self.symbol} on {self.venue} at {self.at:%Y-%m-%d %H:%M} UTC, {close}"
        for sentence in self._regime():
            yield "Regime", sentence
        for sentence in self.macro.lines():
            yield "Market as a whole", sentence
        yield "Market as a whole", f"Sangria: {self.rules.sangria or 'no'}"
        for strategy in self.rules.strategies:
            yield from strategy.lines()
        for hindrance in self.hindrances or ("nothing",):
            yield "Holds entries back now", hindrance
        for each in self.withheld:
            held = cast(SignalWithheld, each.event)
            action = held.action.replace("_", " ")
            yield (
                "Withheld before",
                f"{_when(each)}  {held.strategy} {action}: {held.failed_rule}, {held.detail}",
            )
        for each in self.refused:
            yield from _refusal(each)
        for each in self.raised:
            given = cast(SignalRaised, each.event)
            yield "Signals before", f"{_when(each)}  {given.strategy} {given.action.replace('_', ' ')}"

    def _regime(self) -> Iterator[str]:
        if self.regime is not None:
            read = cast(RegimeRead, self.regime.event)
            yield f"{read.regime} since {read.candle_close:%Y-%m-%d %H:%M}, which calls for {read.strategy}"
        now = self.rules.regime
        if now is None:
            yield "not read yet: the main view (15m) warms up"
            return
        beside = f", and {' and '.join(now.also)} beside it" if now.also else ""
        yield f"at the last close {now.regime} with confidence {now.confidence:.2f}: {now.strategy}{beside}"
        yield from read_by(now.model_version, now.fallback, now.inputs)


def _refusal(recorded: Recorded[Event]) -> Iterator[tuple[str, str]]:
    event = cast(EntryRefused, recorded.event)
    failed = "; ".join(f"{check.name}: {check.detail}" for check in event.checks if not check.passed)
    account = recorded.envelope.account or recorded.envelope.stream
    yield "Refused before", f"{_when(recorded)}  {account} {event.strategy} {event.direction}: {failed}"


def _when(recorded: Recorded[Event]) -> str:
    return f"{recorded.envelope.occurred_at:%Y-%m-%d %H:%M}"


def _document(recorded: Recorded[Event] | None) -> dict[str, Any] | None:
    if recorded is None:
        return None
    return {
        "event_id": str(recorded.envelope.event_id),
        "occurred_at": format_instant(recorded.envelope.occurred_at),
        "account": recorded.envelope.account,
        **recorded.event.model_dump(mode="json"),
    }


async def why_not(store: EventStore, cortex: CortexReactor, symbol: Symbol, until: datetime | None) -> WhyNot:
    """Why `symbol` is not traded as of an instant (None: now). `cortex` is a fresh reactor with the run's settings.

    Raises:
        ConfigurationError: the symbol was never listed, or there is nothing on record yet.
    """
    listed = await _listed(store, symbol)
    venue = listed.venue
    at = until or await last_close(store)
    if at is None:
        raise ConfigurationError("no candle has closed yet: there is nothing to explain")
    signals = await _stream(store, f"signal-{instrument_key(venue, symbol)}", at)
    reigns = await recorded_reigns(store)
    if reigns is not None:
        cortex.read_with(reigns)
    async for recorded in events_of(store, sorted(cortex.listens)):
        if recorded.envelope.occurred_at <= at:
            cortex.observe(recorded.envelope)
    return WhyNot(
        venue=venue,
        symbol=symbol,
        at=at,
        rules=rules_now(cortex, venue, symbol),
        macro=macro_context(await recorded_mood(store), at),
        regime=next(iter(_last(signals, RegimeRead, 1)), None),
        raised=_last(signals, SignalRaised, SHOWN),
        withheld=_last(signals, SignalWithheld, SHOWN),
        refused=_last(await _refusals(store, symbol, at), EntryRefused, SHOWN),
        hindrances=tuple(await _hindrances(store, listed, at)),
    )


async def _listed(store: EventStore, symbol: Symbol) -> Instrument:
    listed: dict[Symbol, Instrument] = {}
    async for recorded in events_of(store, ("instrument",)):
        if isinstance(recorded.event, InstrumentsListed):
            listed.update({each.symbol: each for each in recorded.event.instruments})
    if symbol not in listed:
        known = ", ".join(sorted(listed)) or "none was listed yet"
        raise ConfigurationError(f"{symbol} is not among the instruments of this run: {known}")
    return listed[symbol]


async def _stream(store: EventStore, stream: str, at: datetime) -> list[Recorded[Event]]:
    return [each for each in await store.read_stream(stream) if each.envelope.occurred_at <= at]


async def _refusals(store: EventStore, symbol: Symbol, at: datetime) -> list[Recorded[Event]]:
    return [
        recorded
        async for recorded in events_of(store, ("risk",))
        if isinstance(recorded.event, EntryRefused)
        and recorded.event.symbol == symbol
        and recorded.envelope.occurred_at <= at
    ]


def _last(events: Sequence[Recorded[Event]], kind: type[Event], count: int) -> tuple[Recorded[Event], ...]:
    return tuple([each for each in events if isinstance(each.event, kind)][-count:])


async def _hindrances(store: EventStore, listed: Instrument, at: datetime) -> list[str]:
    found = list(await _lost_feed(store, listed.venue, at))
    guards: Mapping[str, GuardState] = await folded(store, "guard", at)
    found += [
        f"the sentinel ({name}) blocks longs" for name, state in sorted(guards.items()) if state.blocks(at)
    ]
    risks: Mapping[str, RiskState] = await folded(store, "risk", at)
    for account, risk in sorted(risks.items()):
        found += [f"{account}: {hindrance}" for hindrance in _of_account(risk, listed.symbol, at)]
    sessions: Mapping[str, Session] = await folded(store, "session", at)
    for user, session in sorted(sessions.items()):
        found += [f"{user}: {hindrance}" for hindrance in _of_session(session, listed)]
    return found


async def _lost_feed(store: EventStore, venue: Venue, at: datetime) -> Iterator[str]:
    lost: str | None = None
    for recorded in await _stream(store, f"feed-{venue}", at):
        if isinstance(recorded.event, FeedLost):
            lost = recorded.event.reason
        elif isinstance(recorded.event, FeedRestored):
            lost = None
    return iter(() if lost is None else (f"the feed of {venue} is lost: {lost}",))


def _of_account(risk: RiskState, symbol: Symbol, at: datetime) -> Iterator[str]:
    if risk.breaker is not None:
        yield f"the circuit breaker is open: {risk.breaker}"
    if risk.halted_by is not None:
        yield f"entries were halted by {risk.halted_by}"
    cooldown = risk.cooldowns.get(symbol)
    if cooldown is not None and cooldown > at:
        yield f"{symbol} cools down until {cooldown:%Y-%m-%d %H:%M}"
    for (strategy, rested), until in sorted(risk.rests.items()):
        if rested == symbol and until > at:
            yield f"{strategy} rests on {symbol} until {until:%Y-%m-%d %H:%M}"
    for exposure in risk.exposures:
        if exposure.symbol == symbol:
            yield f"a {exposure.direction} of {exposure.strategy} is held or reserved already"


def _of_session(session: Session, listed: Instrument) -> Iterator[str]:
    if session.is_open and session.mode is Mode.WATCHER:
        yield "the mode is WATCHER, which trades nothing"
    if session.is_open and session.strategy != "auto":
        yield f"only {session.strategy} is traded"
    for strategy in session.switched_off:
        yield f"{strategy} is switched off"
    if listed.group is not None and listed.group in session.groups_off:
        yield f"the group {listed.group} is switched off"
