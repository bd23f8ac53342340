"""One event, one spelling: canonical bytes, their hashes, and the way back."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from hashlib import sha256
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import nexus_ops.composition  # noqa: F401  # brings every family of messages in
from nexus_common.contracts.envelope import (
    GENESIS,
    Envelope,
    Recorded,
    canonical,
    category_of,
    chain_hash,
    content_hash,
    decode,
    encode,
    open_command,
    seal_command,
    seal_events,
)
from nexus_common.contracts.ids import event_id
from nexus_common.contracts.macro import MacroRead
from nexus_common.contracts.message import COMMANDS, EVENTS, Event, UnknownMessage
from nexus_common.contracts.values import AccountId
from nexus_common.runtime.bus import topology
from nexus_common.testing.generators import NOON, fixed, instances, instants, texts

ID = UUID("00000000-0000-5000-8000-000000000001")
STORY = UUID("00000000-0000-5000-8000-000000000002")
CAUSE = UUID("00000000-0000-5000-8000-000000000003")
READING = MacroRead(
    known_at=NOON, btc_dominance=Decimal("5.4E+1"), total_market_cap=Decimal("1E-7"), fear_greed=7
)
ENVELOPE: Envelope[Event] = Envelope(READING, ID, "macro-global", 3, STORY, CAUSE, AccountId("anna"), NOON)
BODY = (
    '{"account":"anna","causation":"00000000-0000-5000-8000-000000000003",'
    '"correlation":"00000000-0000-5000-8000-000000000002",'
    '"data":{"btc_dominance":"54","fear_greed":7,"known_at":"2026-03-02T12:00:00.000000Z",'
    '"total_market_cap":"0.0000001"},"id":"00000000-0000-5000-8000-000000000001",'
    '"occurred_at":"2026-03-02T12:00:00.000000Z","position":3,"stream":"macro-global",'
    '"type":"macro.read","version":1}'
)
OURS = {topology.RUN, *(category for owned in topology.OWNED.values() for category in owned)}
EVENT_TYPES = sorted(name for name in EVENTS if name.partition(".")[0] in OURS)


def test_the_body_is_sorted_without_exponents_and_in_utc() -> None:
    assert encode(ENVELOPE) == BODY
    assert decode(BODY) == ENVELOPE
    assert decode(BODY.encode()) == ENVELOPE


def test_times_of_other_zones_are_written_in_utc() -> None:
    elsewhere = NOON.astimezone(timezone(timedelta(hours=-5)))
    here = MacroRead(
        known_at=elsewhere, btc_dominance=54, total_market_cap=Decimal("0.0000001"), fear_greed=7
    )
    assert encode(replace(ENVELOPE, event=here)) == BODY


def test_hashes_are_what_they_have_always_been() -> None:
    assert content_hash(BODY).hex() == "abbdf622ce78558cd2689b7a57d2015efc44d12a0740f9eff5cd7c909465df77"
    first = chain_hash(GENESIS, BODY, NOON, "code/settings")
    assert first.hex() == "54822627c7b9c74fb124883bde4d0d43a3db14eca15a0b3d583d184b0231d702"
    second = chain_hash(first, BODY, NOON, "code/settings")
    assert second.hex() == "265d3fd03c5b908fe3c3c4fc67ce867bdb08d011f1f70e4d4a34c5b954e41299"


def test_the_content_hash_is_that_of_the_body() -> None:
    recorded = Recorded(ENVELOPE, BODY, 1, NOON, "", GENESIS)
    assert recorded.content_hash == sha256(BODY.encode()).digest()
    assert recorded.event is READING


def test_the_chain_hash_depends_on_all_that_it_seals() -> None:
    usual = {"previous": GENESIS, "body": BODY, "recorded_at": NOON, "fingerprint": "code/settings"}
    others = {
        "previous": bytes([1] * 32),
        "body": BODY + " ",
        "recorded_at": NOON + timedelta(microseconds=1),
        "fingerprint": "code/other",
    }

    def sealed(parts: dict[str, Any]) -> bytes:
        return chain_hash(**parts)

    found = {sealed(usual)} | {sealed({**usual, name: other}) for name, other in others.items()}
    assert len(found) == 5


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("event_id", STORY),
        ("stream", "macro-other"),
        ("position", 4),
        ("correlation_id", ID),
        ("causation_id", ID),
        ("account", None),
        ("occurred_at", NOON + timedelta(microseconds=1)),
        ("event", MacroRead(known_at=NOON)),
    ],
)
def test_the_body_holds_everything(field: str, value: Any) -> None:
    changed = replace(ENVELOPE, **{field: value})
    assert encode(changed) != BODY
    assert decode(encode(changed)) == changed


@pytest.mark.parametrize("type_name", EVENT_TYPES)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_every_event_comes_back_as_it_was(type_name: str, data: st.DataObject) -> None:
    event = data.draw(instances(EVENTS[type_name]))
    at, account = data.draw(instants), data.draw(st.none() | texts)
    envelope = Envelope(
        event, ID, "x-y", 1, STORY, CAUSE, None if account is None else AccountId(account), at
    )
    body = encode(envelope)
    assert decode(body) == envelope
    assert encode(decode(body)) == body
    assert canonical(json.loads(body)) == body


@pytest.mark.parametrize("type_name", sorted(COMMANDS))
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_every_command_comes_back_as_it_was(type_name: str, data: st.DataObject) -> None:
    command = data.draw(instances(COMMANDS[type_name]))
    sealed = seal_command(command, ID, "x-y", CAUSE, consumer="shield", correlation_id=STORY)
    opened = open_command(sealed)
    assert (opened.command, opened.consumer, opened.correlation_id) == (command, "shield", STORY)
    again = seal_command(opened.command, ID, "x-y", CAUSE, consumer="shield", correlation_id=STORY)
    assert again == sealed


@pytest.mark.parametrize("type_name", EVENT_TYPES)
def test_every_event_has_the_name_of_its_family(type_name: str) -> None:
    event = fixed(EVENTS[type_name])
    assert f"{event.family}." == type_name[: len(event.family) + 1]
    assert type_name.count(".") == 1


@pytest.mark.parametrize(
    "body",
    [
        "",
        "[]",
        "null",
        "7",
        '"text"',
        "{}",
        BODY[:-1],
        BODY.replace('"position":3,', ""),
        BODY.replace("0000-5", ""),
    ],
)
def test_what_is_no_body_is_a_value_error(body: str) -> None:
    with pytest.raises(ValueError):
        decode(body)


def test_what_a_newer_release_wrote_is_told_apart() -> None:
    with pytest.raises(UnknownMessage, match="newer"):
        decode(BODY.replace('"version":1', '"version":2'))
    with pytest.raises(UnknownMessage, match="not known"):
        decode(BODY.replace("macro.read", "macro.unheard"))


def test_a_payload_that_does_not_fit_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="fear_greed"):
        decode(BODY.replace('"fear_greed":7', '"fear_greed":"many"'))


def test_a_stream_names_its_category() -> None:
    assert category_of("order-nx1-abc") == "order"
    assert ENVELOPE.category == "macro"


def test_events_are_sealed_behind_the_stream_one_after_the_other() -> None:
    first, second = seal_events(
        [READING, READING],
        consumer="ingest",
        stream="macro-global",
        version=4,
        at=NOON,
        cause=CAUSE,
        correlation=None,
        account=None,
    )
    assert (first.position, second.position) == (5, 6)
    assert first.event_id == event_id(CAUSE, "ingest", "macro-global", 0)
    assert second.event_id == event_id(CAUSE, "ingest", "macro-global", 1)
    assert first.correlation_id == second.correlation_id == first.event_id
    assert {first.causation_id, second.causation_id} == {CAUSE}


def test_a_story_that_began_elsewhere_goes_on() -> None:
    (only,) = seal_events(
        [READING],
        consumer="ingest",
        stream="macro-global",
        version=0,
        at=NOON,
        cause=CAUSE,
        correlation=STORY,
        account=AccountId("anna"),
    )
    assert (only.correlation_id, only.account, only.position) == (STORY, "anna", 1)


def test_no_time_of_day_is_lost() -> None:
    at = datetime.fromisoformat("2026-03-02T12:00:00.000001Z")
    assert decode(encode(replace(ENVELOPE, occurred_at=at))).occurred_at == at
