"""One line a record, repeats counted, secrets never."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from nexus_common.runtime import log as logs
from nexus_common.runtime.redaction import HIDDEN, Redaction

CANARY = "canary/9+c2=never shown"
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Hand:
    """A clock whose hand is moved by the test."""

    def __init__(self) -> None:
        self.time = NOON

    def now(self) -> datetime:
        return self.time

    def forward(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


class Desk:
    """A configured log and what it has written."""

    def __init__(self, **options: Any) -> None:
        self.clock = Hand()
        self.stream = io.StringIO()
        self.lines_out = logs.configure(
            "shield", 2, clock=self.clock, stream=self.stream, console=False, **options
        )
        self.log = logs.get_logger("test")

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.stream.getvalue().split("\n") if line]


@pytest.fixture(autouse=True)
def _leave_logging_as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(logs, "redaction", Redaction())
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    structlog.reset_defaults()
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


def test_a_record_is_one_line_with_time_level_service_and_instance() -> None:
    desk = Desk()
    desk.log.info("order submitted", order="nx1a", quantity=3)
    [record] = desk.records
    assert record == {
        "at": "2026-01-01T12:00:00.000000Z",
        "service": "shield",
        "instance": "2",
        "module": "test",
        "level": "info",
        "event": "order submitted",
        "order": "nx1a",
        "quantity": 3,
    }


def test_what_is_bound_stands_in_every_record_of_the_block() -> None:
    desk = Desk()
    with logs.bound(correlation="c-1"):
        desk.log.info("inside")
    desk.log.info("outside")
    assert desk.records[0]["correlation"] == "c-1"
    assert "correlation" not in desk.records[1]


def test_records_below_the_level_are_not_written() -> None:
    desk = Desk(level="warning")
    desk.log.info("quiet")
    desk.log.warning("loud")
    assert [record["event"] for record in desk.records] == ["loud"]


def test_repeats_are_counted_and_told_once_with_the_next_one() -> None:
    desk = Desk(repeat_seconds=5)
    for _ in range(4):
        desk.log.warning("bus does not answer", reason="refused")
        desk.clock.forward(1)
    desk.clock.forward(2)
    desk.log.warning("bus does not answer", reason="refused")
    assert [record.get("repeated") for record in desk.records] == [None, 4]


def test_repeats_are_told_before_the_next_record_of_another_kind() -> None:
    desk = Desk(repeat_seconds=5)
    desk.log.warning("a")
    desk.log.warning("a")
    desk.clock.forward(6)
    desk.log.warning("b")
    assert [(record["event"], record.get("repeated")) for record in desk.records] == [
        ("a", None),
        ("a", 1),
        ("b", None),
    ]


def test_repeats_are_told_at_the_end() -> None:
    desk = Desk(repeat_seconds=5)
    desk.log.warning("a")
    desk.log.warning("a")
    desk.lines_out.flush()
    assert desk.records[-1]["repeated"] == 1


def test_records_that_differ_in_a_field_are_no_repeats_but_times_and_numbers_do_not_count() -> None:
    desk = Desk()
    desk.log.warning("refused", symbol="BTCUSDT", attempt=1, correlation="x")
    desk.log.warning("refused", symbol="ETHUSDT", attempt=1, correlation="x")
    desk.log.warning("refused", symbol="BTCUSDT", attempt=2, correlation="y")
    assert [record["symbol"] for record in desk.records] == ["BTCUSDT", "ETHUSDT"]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 4)), max_size=60))
def test_every_record_is_either_written_or_counted(said: list[tuple[str, float]]) -> None:
    desk = Desk(repeat_seconds=3)
    for event, pause in said:
        desk.log.warning(event)
        desk.clock.forward(pause)
    desk.lines_out.flush()
    for event in "abc":
        told = [record for record in desk.records if record["event"] == event]
        assert sum(record.get("repeated", 1) for record in told) == sum(each == event for each, _ in said)


def test_fields_with_a_secrets_name_are_hidden_at_any_depth() -> None:
    desk = Desk()
    desk.log.info("keys", api_key=CANARY, nested={"password": CANARY, "list": [{"Authorization": CANARY}]})
    assert "canary" not in desk.stream.getvalue()
    assert desk.records[0]["nested"] == {"password": HIDDEN, "list": [{"Authorization": HIDDEN}]}


def test_a_registered_secret_is_hidden_wherever_it_stands() -> None:
    desk = Desk(secrets=[CANARY])
    desk.log.info(f"got {CANARY}", text=f"url?key={CANARY}", bytes=CANARY.encode(), **{CANARY: 1})
    desk.log.info("encoded", text="canary%2F9%2Bc2%3Dnever%20shown")
    assert "canary" not in desk.stream.getvalue()


def test_a_secret_in_an_exception_is_hidden() -> None:
    desk = Desk(secrets=[CANARY])
    try:
        raise ValueError(CANARY)
    except ValueError:
        desk.log.exception("failed")
    assert "canary" not in desk.stream.getvalue()
    assert "ValueError" in desk.records[0]["exception"]


def test_the_password_of_an_address_is_hidden_without_being_registered() -> None:
    desk = Desk()
    desk.log.info("connecting", to="postgresql://nexus:hunter22@db:5432/nexus")
    assert desk.records[0]["to"] == f"postgresql://nexus:{HIDDEN}@db:5432/nexus"


def test_records_of_libraries_come_out_the_same_way() -> None:
    desk = Desk(secrets=[CANARY])
    logging.getLogger("nats").warning("lost %s", CANARY)
    [record] = desk.records
    assert (record["module"], record["level"], record["service"]) == ("nats", "warning", "shield")
    assert "canary" not in desk.stream.getvalue()


@given(
    st.dictionaries(
        st.text(min_size=1), st.one_of(st.integers(), st.floats(), st.text(), st.binary()), max_size=4
    )
)
def test_nothing_that_is_logged_breaks_the_log(fields: dict[str, Any]) -> None:
    cleaned = Redaction().clean(fields)
    desk = Desk()
    desk.log.info("odd", odd=cleaned, raw=fields)
    assert len(desk.records) == 1


def test_a_terminal_gets_plain_text() -> None:
    stream = io.StringIO()
    logs.configure("shield", clock=Hand(), stream=stream, console=True)
    logs.get_logger().warning("bus does not answer", reason="refused")
    assert stream.getvalue() == "12:00:00.000 warning  bus does not answer  service=shield reason=refused\n"
