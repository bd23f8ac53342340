"""given(decider, events…).when(command).then(events…): a decider's rules as short stories."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from nexus_common.contracts.decider import AnyDecider, InvariantBroken
from nexus_common.contracts.message import Event


class Given:
    """What has happened on a stream before the story begins."""

    def __init__(self, decider: AnyDecider, history: Sequence[Event]) -> None:
        self._decider = decider
        self.state = decider.fold(history)

    def when(self, command: Any) -> Outcome:
        return Outcome(self._decider, self.state, command)


class Outcome:
    """What a command leads to."""

    def __init__(self, decider: AnyDecider, state: Any, command: Any) -> None:
        self._decider = decider
        self._before = state
        self._command = command

    @property
    def events(self) -> list[Event]:
        return list(self._decider.decide(self._command, self._before))

    @property
    def state(self) -> Any:
        """The state after the events that the command led to."""
        return self._decider.fold(self.events, self._before)

    def then(self, *expected: Event) -> Outcome:
        assert self.events == list(expected)
        return self

    def then_types(self, *expected: type[Event]) -> Outcome:
        """Like `then`, where the figures are another test's business."""
        assert [type(event) for event in self.events] == list(expected)
        return self

    def then_nothing(self) -> Outcome:
        assert self.events == []
        return self

    def then_broken(self, match: str = "") -> None:
        with pytest.raises(InvariantBroken, match=match):
            self._decider.decide(self._command, self._before)


def given(decider: AnyDecider, *history: Event) -> Given:
    return Given(decider, history)
