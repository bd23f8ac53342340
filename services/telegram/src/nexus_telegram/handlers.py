"""Telegram's turns: opens sessions, plays scripted input, understands commands, composes notices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from nexus_common.contracts import ids
from nexus_common.contracts.envelope import Envelope
from nexus_common.contracts.limits import RiskSettings
from nexus_common.contracts.message import Event
from nexus_common.contracts.notice import ComposeNotice, Urgency
from nexus_common.contracts.session import AccountSpec, GrantRole, OpenSession, RefuseInput, Role, TakeInput
from nexus_common.contracts.values import AccountId, Mode, Profile, Service, UserId
from nexus_common.runtime.ports import Desk, Turn
from nexus_market.quiet import Quiet
from nexus_telegram.commands import COMMANDS, Answer, Ask, Refusal, understand
from nexus_telegram.domain.access import ACCESS
from nexus_telegram.domain.notices import NOTICE
from nexus_telegram.domain.session import SESSION, Session
from nexus_telegram.script import ScriptEntry
from nexus_telegram.telling import Notice, notices_of
from nexus_telegram.view import View

SCRIPT: Final = "script"
TOLD_AGAIN_AFTER: Final = timedelta(hours=1)
STRATEGIES: Final = ("trend", "scalping", "mean_reversion", "grid", "shark")


@dataclass(frozen=True, slots=True)
class SessionSpec:
    """A session to open where there is none yet; afterwards its user changes it himself."""

    user: UserId
    mode: Mode
    profile: Profile
    strategy: str
    accounts: tuple[AccountSpec, ...]
    role: Role = Role.OWNER


class TelegramReactor:
    """Works `session-*`, `access-*` and `notice-*`.

    `run` is not heard: which instance ran when must not change what users are told. Scripted input without a
    user is the first session's.
    """

    service = Service.TELEGRAM
    listens: Mapping[str, int | None] = {
        "access": None,
        "account": None,
        "feed": None,
        "guard": None,
        "instrument": None,
        "market": 0,  # corrections and halts are told as they come
        "model": None,
        "risk": None,
        "schedule": None,
        "session": None,
        "trade": None,
    }

    def __init__(
        self,
        sessions: Sequence[SessionSpec],
        script: Sequence[ScriptEntry] = (),
        strategies: Sequence[str] = STRATEGIES,
        risk: RiskSettings | None = None,
    ) -> None:
        if not sessions:
            raise ValueError("without a session nobody could ask for anything: name at least the owner's")
        self._sessions = tuple(sessions)
        self._script = tuple(script)
        self._strategies = tuple(strategies)
        self._risk = risk or RiskSettings()
        self._view = View()
        self._told: dict[tuple[UserId, str], datetime] = {}
        self._opened = False
        self._next = 0

    def observe(self, envelope: Envelope[Event]) -> None:
        self._view.observe(envelope)

    async def resume(self, desk: Desk) -> None:
        """Nothing is left open by a stop: what was taken was answered in the same commit."""

    async def quiet(self, at: datetime, desk: Desk) -> Quiet | None:
        """Until the script goes on."""
        if not self._opened:
            return None
        return Quiet(self._script[self._next].at if self._next < len(self._script) else None)

    async def react(self, turn: Turn, batch: Sequence[Envelope[Event]], desk: Desk) -> None:
        if not self._opened:
            await self._open_sessions(turn.at, desk)
            self._opened = True
        for envelope in batch:
            for notice in notices_of(envelope, self._view):
                if self._was_told(notice, turn.at):
                    continue
                await self._tell(notice.user, notice.urgency, notice.text, envelope, turn.at, desk)
        if self._next < len(self._script) and self._script[self._next].at <= turn.at:
            await self._play(turn.at, desk)

    def _was_told(self, notice: Notice, at: datetime) -> bool:
        """Whether a user has heard of this topic within the hour; he has from now on."""
        if notice.topic is None:
            return False
        key = (notice.user, notice.topic)
        told = self._told.get(key)
        if told is not None and told < at < told + TOLD_AGAIN_AFTER:
            return True
        self._told[key] = at
        return False

    async def take_input(
        self, user: UserId, source: str, number: int, text: str, at: datetime, desk: Desk
    ) -> Sequence[Envelope[Event]]:
        """Understand and answer what a user wrote. Each number of a source is taken once; a repeat does nothing."""
        cause = ids.input_id(user, f"{source}-{number}")
        noted = _noted(text)
        taken = await desk.handle(SESSION, user, TakeInput(user, source, number, noted, at), cause=cause)
        if not taken:
            return ()
        story = taken[0]
        try:
            answer = understand(_name(text), await self._ask(user, text, at, desk))
        except Refusal as refusal:
            reason = str(refusal)
            refused = RefuseInput(user, noted, reason, at)
            await desk.handle(SESSION, user, refused, cause=story.event_id, correlation=story.correlation_id)
            answer = Answer(f"Not done: {reason}")
        for index, request in enumerate(answer.requests):
            await desk.handle(
                request.decider,
                request.key,
                request.command,
                cause=story.event_id if index == 0 else ids.derived(story.event_id, str(index)),
                correlation=story.correlation_id,
                account=request.account,
            )
        await self._tell(user, Urgency.INFO, answer.say, story, at, desk)
        return taken

    async def _ask(self, user: UserId, text: str, at: datetime, desk: Desk) -> Ask:
        session: Session = await desk.state(SESSION, user)
        access = await desk.state(ACCESS, user)
        words = tuple(text.split()[1:])
        # Of a strategy that was added since, users hear with its first trade.
        others = sorted(self._view.strategies - set(self._strategies))
        known = (*self._strategies, *others)
        return Ask(user, access.role, words, at, session, self._view, known, self._risk)

    async def _open_sessions(self, at: datetime, desk: Desk) -> None:
        for spec in self._sessions:
            cause = ids.input_id(spec.user, "open")
            command = OpenSession(spec.user, spec.mode, spec.profile, spec.strategy, spec.accounts, at)
            opened = await desk.handle(SESSION, spec.user, command, cause=cause)
            if opened:
                # Only with the session: a role that was taken away later must not come back at a restart.
                grant = GrantRole(spec.user, spec.role, by="settings", by_role=None, at=at)
                story = opened[0].correlation_id
                await desk.handle(ACCESS, spec.user, grant, cause=cause, correlation=story)

    async def _play(self, at: datetime, desk: Desk) -> None:
        """Take the script's entries that are due.

        What was taken stands in the sessions; the index only spares asking them each turn. It passes an entry
        that was found taken at an earlier turn, so that a turn that was not committed is played again.
        """
        all_taken = True
        for entry in self._script[self._next :]:
            if entry.at > at:
                break
            user = entry.user or self._sessions[0].user
            session: Session = await desk.state(SESSION, user)
            if session.has_taken(SCRIPT, entry.number):
                self._next += all_taken
                continue
            all_taken = False
            await self.take_input(user, SCRIPT, entry.number, entry.command, at, desk)

    async def _tell(
        self, user: UserId, urgency: Urgency, text: str, about: Envelope[Event], at: datetime, desk: Desk
    ) -> None:
        account: AccountId | None = about.account
        subject: UUID = about.event_id
        command = ComposeNotice(user, urgency, text, subject, at)
        correlation = about.correlation_id
        await desk.handle(NOTICE, user, command, cause=subject, correlation=correlation, account=account)


def _name(text: str) -> str:
    """The command's name: `/Long@NexusBot BTC` is `long`."""
    first = text.split()[0] if text.split() else ""
    return first.removeprefix("/").partition("@")[0].lower()


def _noted(text: str) -> str:
    """What may be kept for ever: not the words of what is no command, which may be anything, a key included."""
    if not text.startswith("/"):
        return "(no command)"
    return text if _name(text) in COMMANDS else f"{text.split()[0][:32]} …"
