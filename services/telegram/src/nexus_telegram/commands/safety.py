"""Stopping and starting again: /kill, /resume, /resetpilot."""

from __future__ import annotations

from nexus_common.contracts.session import RequestBreakerReset, RequestKill, RequestResume
from nexus_telegram.commands.command import Answer, Ask, to_session


def kill(ask: Ask) -> Answer:
    say = "KILL: entries are canceled, everything is closed, nothing new until /resume."
    return to_session(ask, RequestKill(ask.user, ask.at), say)


def resume(ask: Ask) -> Answer:
    return to_session(
        ask, RequestResume(ask.user, ask.at), "Asked to resume: a halt and a block of longs end."
    )


def resetpilot(ask: Ask) -> Answer:
    say = "Asked to reset the circuit breaker: its peak, losses and day start anew."
    return to_session(ask, RequestBreakerReset(ask.user, None, ask.at), say)
