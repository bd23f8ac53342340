"""Recorded and documented messages, sorted by tables of what is read and what is left out; frames spoiled by chance."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from nexus_ingest.domain.readings import BookRead, KlineRead, MarkRead, Reading, TradeRead

DATA = Path(__file__).parents[4] / "shared" / "data"
JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(["0", "-1", "NaN", "1e400", "", "Infinity", "1_0", "١", " 1", "0.00", [], {}, "0x1"]),
)


def messages(path: Path) -> Iterator[dict[str, Any]]:
    """The messages of a file: one, a list of them, or one a line under `msg`."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".jsonl":
        for line in text.splitlines():
            yield json.loads(line)["msg"]
        return
    document = json.loads(text)
    yield from document if isinstance(document, list) else [document]


def sorted_files(folder: Path, *tables: Mapping[str, Any]) -> list[list[Path]]:
    """The files of a folder by the table one of whose patterns fits their name.

    Raises:
        AssertionError: a file that fits no table or two, or a pattern that fits nothing.
    """
    found: list[list[Path]] = [[] for _ in tables]
    unused = {pattern for table in tables for pattern in table}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        fitting = [(n, p) for n, table in enumerate(tables) for p in table if fnmatch(name, p)]
        assert len(fitting) == 1, f"{name} has to be in one table, as read or as left out, is in {fitting}"
        unused.discard(fitting[0][1])
        found[fitting[0][0]].append(path)
    assert not unused, f"nothing is called {unused}"
    return found


def figures(reading: Reading) -> tuple[list[str], list[str]]:
    """What has to be positive in a reading, and what may be 0."""
    match reading:
        case TradeRead():
            return [reading.price, reading.quantity], []
        case BookRead():
            return [reading.bid, reading.ask], [reading.bid_quantity, reading.ask_quantity]
        case MarkRead():
            return [reading.mark_price, *([reading.index_price] if reading.index_price else [])], []
        case KlineRead():
            return [reading.open, reading.high, reading.low, reading.close], [reading.volume]
        case _:
            raise AssertionError(reading)


def assert_sound(reading: Reading) -> None:
    """Whatever came in, what comes out is a number as venues write them, of the right sign, at a time."""
    positive, others = figures(reading)
    for figure in (*positive, *others):
        assert set(figure) <= set("0123456789."), reading
    assert all(0 < float(figure) < float("inf") for figure in positive), reading
    assert all(0 <= float(figure) < float("inf") for figure in others), reading
    assert 0 < reading.at < 10**14, reading


@st.composite
def spoiled(draw: st.DrawFn, frames: list[str]) -> str | bytes:
    """A good frame with one value replaced by junk, or with bytes changed, lost or doubled."""
    frame = draw(st.sampled_from(frames))
    if draw(st.booleans()):
        document = json.loads(frame)
        _replace_one(draw, document)
        return json.dumps(document)
    raw = bytearray(frame.encode())
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(len(raw) - 1, 0)))
        match draw(st.sampled_from(["change", "lose", "double", "cut"])):
            case "change" if raw:
                raw[at] = draw(st.integers(0, 255))
            case "lose":
                del raw[at : at + draw(st.integers(1, 9))]
            case "double":
                raw[at:at] = raw[at : at + draw(st.integers(1, 30))]
            case _:
                del raw[at:]
    return bytes(raw)


def _replace_one(draw: st.DrawFn, document: Any) -> None:
    while True:
        keys = list(document) if isinstance(document, dict) else list(range(len(document)))
        if not keys:
            return
        key = draw(st.sampled_from(keys))
        if not isinstance(document[key], dict | list) or draw(st.integers(0, 3)) == 0:
            document[key] = draw(JUNK)
            return
        document = document[key]
