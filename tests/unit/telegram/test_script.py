"""A script of timed commands is read as it is written, and what is wrong in it is named with file and line."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from nexus_common.runtime.errors import ConfigurationError
from nexus_telegram.script import parse_script, read_script


def _times_and_commands(text: str) -> list[tuple[datetime, str]]:
    return [(entry.at, entry.command) for entry in parse_script(text, "s")]


HALF_PAST = datetime(2021, 5, 19, 11, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    "line",
    [
        "2021-05-19T11:30:00Z /long BTCUSDT 5%",
        "2021-05-19 11:30 /long BTCUSDT 5%",
        "2021-05-19T13:30:00+02:00   /long BTCUSDT 5%",
        '{"at": "2021-05-19T11:30:00Z", "command": "/long BTCUSDT 5%"}',
        '[{"at": "2021-05-19 11:30", "command": "/long BTCUSDT 5%"}]',
    ],
)
def test_each_way_of_writing_gives_the_same_entry(line: str) -> None:
    assert _times_and_commands(line) == [(HALF_PAST, "/long BTCUSDT 5%")]


def test_entries_come_in_the_order_of_time_and_of_their_lines() -> None:
    text = "# a day\n2021-05-19 11:31 /status\n\n2021-05-19 11:30 /kill\n2021-05-19 11:30 /resume\n"
    entries = parse_script(text, "s")
    assert [(entry.number, entry.line, entry.command) for entry in entries] == [
        (1, 4, "/kill"),
        (2, 5, "/resume"),
        (3, 2, "/status"),
    ]


def test_an_entry_may_name_its_user() -> None:
    [entry] = parse_script('{"at": "2021-05-19T11:30:00Z", "command": "/status", "user": "bert"}', "s")
    assert entry.user == "bert"


def test_an_array_may_span_lines() -> None:
    text = '[\n {"at": "2021-05-19 11:30", "command": "/status"},\n {"at": "2021-05-19 11:31", "command": "/kill"}\n]\n'
    assert [(entry.line, entry.command) for entry in parse_script(text, "s")] == [
        (2, "/status"),
        (3, "/kill"),
    ]


def test_an_empty_script_is_one_without_entries() -> None:
    assert parse_script("", "s") == ()
    assert parse_script("[]", "s") == ()


@pytest.mark.parametrize(
    ("text", "place", "what"),
    [
        ("2021-05-19 11:30 /status\nnonsense", "s, line 2", "expected a time and a command"),
        ("2021-13-45 11:30 /status", "s, line 1", "is not a time"),
        ("# c\n2021-05-19 11:30 long BTC", "s, line 2", "commands begin with /"),
        ('{"at": "2021-05-19 11:30"}', "s, line 1", "'command' is missing"),
        ('{"at": 5, "command": "/status"}', "s, line 1", "'at' is missing or not a text"),
        ('{"at": "2021-05-19 11:30", "cmd": "/status"}', "s, line 1", "unknown key 'cmd'"),
        ('{"at": "2021-05-19 11:30", "command": "/x", "user": "a b"}', "s, line 1", "not a user's name"),
        ('{"at": ', "s, line 1", "not JSON"),
        (
            '[\n{"at": "2021-05-19 11:30", "command": "/status"},\n{"at": "noon", "command": "/x"}]',
            "s, line 3",
            "time",
        ),
        ('[\n{"at": "2021-05-19 11:30", "command": "/status"}\n', "s, line 3", "not JSON"),
        ("[\n5]", "s, line 2", "expected an object"),
    ],
)
def test_what_is_wrong_is_named_with_file_and_line(text: str, place: str, what: str) -> None:
    with pytest.raises(ConfigurationError, match=what) as caught:
        parse_script(text, "s")
    assert str(caught.value).startswith(place)


def test_a_script_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="gone"):
        read_script(tmp_path / "gone")
    (tmp_path / "here").write_text("2021-05-19 11:30 /status")
    assert len(read_script(tmp_path / "here")) == 1
