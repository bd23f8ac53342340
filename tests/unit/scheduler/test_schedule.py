"""A schedule knows when its tasks are due, and is never late twice."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st

from nexus_common.contracts.schedule import (
    Advance,
    CancelTask,
    NoteClose,
    ScheduleTask,
    TaskCanceled,
    TaskDue,
    TaskKind,
    TaskRefused,
    TaskScheduled,
)
from nexus_common.contracts.values import Symbol, UserId
from nexus_common.testing.spec import given
from nexus_scheduler.domain.cron import BadCron, missed_until, next_after
from nexus_scheduler.domain.schedule import SCHEDULE

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
ANNA = UserId("anna")
DAILY = "5 0 * * *"
FIVE_PAST = datetime(2026, 1, 2, 0, 5, tzinfo=UTC)


def _ask(
    cron: str | None = DAILY, due: datetime | None = None, tasks_max: int = 20, task: str = "t1"
) -> ScheduleTask:
    return ScheduleTask(ANNA, task, TaskKind.REMINDER, "look", cron, due, None, None, None, tasks_max, NOON)


def _scheduled(cron: str | None = DAILY, next_due: datetime = FIVE_PAST, task: str = "t1") -> TaskScheduled:
    return TaskScheduled(
        user=ANNA, task=task, kind=TaskKind.REMINDER, cron=cron, next_due=next_due, text="look"
    )


def _due(due: datetime, next_due: datetime | None, missed: int = 0) -> TaskDue:
    return TaskDue(
        user=ANNA, task="t1", kind=TaskKind.REMINDER, due=due, next_due=next_due, missed=missed, text="look"
    )


ALERT = TaskScheduled(
    user=ANNA,
    task="t1",
    kind=TaskKind.PRICE_ALERT,
    cron=None,
    next_due=None,
    text="BTCUSDT above 100",
    symbol=Symbol("BTCUSDT"),
    price=Decimal(100),
    above=True,
)


def test_a_task_is_scheduled_for_the_next_time_of_its_cron_line() -> None:
    given(SCHEDULE).when(_ask()).then(_scheduled())


def test_a_task_is_scheduled_once_for_a_time() -> None:
    due = NOON + timedelta(hours=2)
    given(SCHEDULE).when(_ask(None, due)).then(_scheduled(None, due))


def test_a_task_that_exists_is_not_scheduled_again() -> None:
    given(SCHEDULE, _scheduled()).when(_ask()).then_nothing()


@pytest.mark.parametrize(
    "cron",
    ["0 8 * *", "0 8 * * * *", "61 * * * *", "x * * * *", "R * * * *", "H * * * *", "@reboot", "0 0 30 2 *"],
)
def test_a_cron_line_that_cannot_be_kept_is_refused_with_the_reason(cron: str) -> None:
    [refused] = given(SCHEDULE).when(_ask(cron)).events
    assert isinstance(refused, TaskRefused)
    assert cron in refused.reason


def test_there_is_a_most_that_a_user_can_have() -> None:
    [refused] = given(SCHEDULE, _scheduled()).when(_ask(tasks_max=1, task="t2")).events
    assert isinstance(refused, TaskRefused)
    assert "cancel one first" in refused.reason


def test_before_its_time_nothing_is_due() -> None:
    given(SCHEDULE, _scheduled()).when(Advance(ANNA, "t1", FIVE_PAST - timedelta(seconds=1))).then_nothing()


def test_at_its_time_a_repeated_task_is_due_and_knows_its_next_time() -> None:
    given(SCHEDULE, _scheduled()).when(Advance(ANNA, "t1", FIVE_PAST)).then(
        _due(FIVE_PAST, FIVE_PAST + timedelta(days=1))
    )


def test_times_that_were_missed_are_counted_and_told_once() -> None:
    late = FIVE_PAST + timedelta(days=3, hours=1)
    given(SCHEDULE, _scheduled()).when(Advance(ANNA, "t1", late)).then(
        _due(FIVE_PAST, FIVE_PAST + timedelta(days=4), missed=3)
    )


def test_a_task_without_a_cron_line_is_over_after_its_time() -> None:
    story = given(SCHEDULE, _scheduled(None)).when(Advance(ANNA, "t1", FIVE_PAST))
    story.then(_due(FIVE_PAST, None))
    assert story.state.tasks == {}


def test_a_task_can_be_canceled_while_it_is_to_come() -> None:
    command = CancelTask(ANNA, "t1", "canceled by the user", NOON)
    given(SCHEDULE, _scheduled()).when(command).then(
        TaskCanceled(user=ANNA, task="t1", reason="canceled by the user")
    )
    given(SCHEDULE).when(command).then_types(TaskRefused)


@pytest.mark.parametrize(
    ("above", "close", "crossed"),
    [(True, "100.1", True), (True, "100", False), (False, "99.9", True), (False, "100", False)],
)
def test_a_price_alert_is_due_at_the_first_close_beyond_its_price(
    above: bool, close: str, crossed: bool
) -> None:
    alert = ALERT.model_copy(update={"above": above})
    story = given(SCHEDULE, alert).when(NoteClose(ANNA, "t1", Decimal(close), NOON))
    assert len(story.events) == crossed
    assert ("t1" in story.state.tasks) is not crossed


@settings(deadline=None, max_examples=50)
@for_all(
    minutes=st.integers(0, 1_500),
    cron=st.sampled_from(
        ["*/7 * * * *", "5 0 * * *", "0 8-17/3 * * 1-5", "30 4 1,15 * *", "0 0 * * SUN", "@hourly"]
    ),
)
def test_counting_what_was_missed_agrees_with_going_from_one_time_to_the_next(
    minutes: int, cron: str
) -> None:
    first = next_after(cron, NOON)
    now = first + timedelta(minutes=minutes)
    missed, following = missed_until(cron, first, now)
    times = [first]
    while times[-1] <= now:
        times.append(next_after(cron, times[-1]))
    assert following == times[-1] > now
    assert missed == len(times) - 2
    assert following.tzinfo is UTC


def test_a_bad_line_is_named() -> None:
    with pytest.raises(BadCron, match="five fields"):
        next_after("often", NOON)
