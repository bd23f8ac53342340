"""Whatever comes over the private stream: refused with a reason, counted, never a crash, never read as zero."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contract.bybit.test_documents import ROW
from nexus_executor.venues.broker import UpdateKind
from nexus_executor.venues.bybit import messages
from nexus_executor.venues.bybit.history import statement_rows
from nexus_executor.venues.bybit.listener import Listener
from nexus_executor.venues.bybit.reading import read_document
from nexus_executor.venues.private_stream import PrivateStream, UnreadableFrame

FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
NUMBERS = ("execQty", "execPrice", "execFee", "qty", "cumExecQty", "triggerPrice", "leavesQty")
ODD = st.sampled_from(
    ["", "0", "-1", "NaN", "Infinity", "1e999", "9" * 60, "1,5", "٣", "0x10", None, 1.5, True, [], {}, "12 "]
)
ROWS = st.dictionaries(st.sampled_from([*ROW, "coin", "size", "entryPrice", "positionIdx"]), JSON | ODD)
TOPICS = st.sampled_from(["order", "execution", "position", "wallet"])


def listener() -> tuple[Listener, PrivateStream]:
    """One that is not connected; frames are put into it by hand."""
    stream = PrivateStream()
    return Listener(None, None, None, stream, "USDT", None, lambda row: None), stream  # type: ignore[arg-type]


def plain(numbers: Any) -> Any:
    return json.dumps(numbers)


@FUZZ
@given(st.text() | st.binary().map(lambda b: b.decode("utf-8", "replace")) | JSON.map(plain))
def test_any_text_is_a_reason_or_nothing(text: str) -> None:
    heard, stream = listener()
    heard._heard(text)
    assert stream.take(0) == []


@FUZZ
@given(TOPICS, st.lists(st.tuples(ROWS, st.booleans()), max_size=3))
def test_any_row_is_told_whole_or_refused(topic: str, changes: list[tuple[dict[str, Any], bool]]) -> None:
    heard, stream = listener()
    data = [{**(ROW if keep else {}), **changed} for changed, keep in changes]
    heard._heard(json.dumps({"topic": topic, "id": "1", "creationTime": 1746270400355, "data": data}))
    told = stream.take(0)
    for update in told:
        assert update.key
        if update.kind in (UpdateKind.FILL, UpdateKind.LIQUIDATION):
            assert update.quantity is not None
            assert update.quantity > 0
            assert update.price is not None
            assert update.price > 0
            assert update.fee is not None
        if update.kind is UpdateKind.TRIGGERED:
            assert update.price is not None
            assert update.price > 0
        if update.kind is UpdateKind.BALANCE:
            assert update.wallet is not None
            assert update.wallet.is_finite()


@FUZZ
@given(st.sampled_from(NUMBERS), ODD)
def test_a_number_that_is_none_is_never_zero(name: str, value: Any) -> None:
    row = read_document(json.dumps({**ROW, name: value}))
    for read in (messages.execution, messages.order_changes, messages.standing_order):
        try:
            told = read(row)
        except UnreadableFrame:
            continue
        shown = repr(told)
        if value not in ("", "0", None) and value is not True:
            assert "Decimal('0')" not in shown or value in ("-1", 1.5)


@pytest.mark.parametrize(
    "name", ["execId", "execQty", "execPrice", "execFee", "execTime", "side", "isMaker", "symbol"]
)
@pytest.mark.parametrize("missing", ["absent", "empty"])
def test_an_execution_that_lacks_something_is_refused(name: str, missing: str) -> None:
    row = {key: value for key, value in ROW.items() if key != name}
    if missing == "empty":
        row[name] = ""
    with pytest.raises(UnreadableFrame):
        messages.execution(row)


def test_frames_that_are_torn_doubled_or_late_change_nothing() -> None:
    heard, stream = listener()
    frame = json.dumps({"topic": "execution", "id": "1", "creationTime": 1746270400355, "data": [ROW]})
    for cut in range(len(frame)):
        heard._heard(frame[:cut])
    assert stream.take(0) == []
    assert sum(stream.refused.values()) == len(frame)
    for _ in range(5):
        heard._heard(frame)
    assert len(stream.take(0)) == 1

    def wallet(at: int, amount: str) -> str:
        coin = {"coin": "USDT", "walletBalance": amount}
        body = {"topic": "wallet", "id": f"w{at}", "creationTime": at, "data": [{"coin": [coin]}]}
        return json.dumps(body)

    heard._heard(wallet(1746270400400, "10"))
    heard._heard(wallet(1746270400300, "9"))
    assert [update.wallet for update in stream.take(1)] == [10], "an older balance does not come back"


@FUZZ
@given(
    st.dictionaries(st.sampled_from(["id", "type", "change", "fee", "transactionTime", "symbol"]), JSON | ODD)
)
def test_a_statement_line_is_read_whole_or_refused(row: dict[str, Any]) -> None:
    try:
        parts = statement_rows(row)
    except UnreadableFrame:
        return
    assert all(part.amount.is_finite() for part in parts)


def test_control_frames_resolve_what_waits_for_them() -> None:
    async def go() -> None:
        heard, stream = listener()
        loop = asyncio.get_running_loop()
        heard._pongs["b1"] = waiting = loop.create_future()
        heard._heard('{"op":"pong","args":["1"],"conn_id":"c"}')
        heard._heard('{"req_id":"b1","op":"pong","args":["1"],"conn_id":"c"}')
        assert waiting.done()
        assert not stream.refused

    asyncio.run(go())
