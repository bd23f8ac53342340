"""An export is checked by a script that needs nothing but Python; whatever was changed is named."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from nexus_common.contracts.run import Head, HeadsRecorded
from nexus_common.runtime.store.export import export
from nexus_common.runtime.store.memory import MemoryStore
from nexus_common.runtime.store.verify_chain import Verifier, main, verify_lines
from nexus_common.testing.store_contract import FixedClock, an_append, appended, reading

SCRIPT = Path(__file__).parents[3] / "tools/verify_chain.py"
FIELDS = (
    "position",
    "stream",
    "stream_position",
    "recorded_at",
    "fingerprint",
    "body",
    "content_hash",
    "chain_hash",
)


async def a_recorded_store() -> MemoryStore:
    """Two streams of five and three events, their heads, and two events after that."""
    store = MemoryStore(fingerprint="code/settings", clock=FixedClock())
    a = await appended(store, an_append("macro-a", [reading(n) for n in range(5)]))
    b = await appended(store, an_append("macro-b", [reading(n) for n in range(3)]))
    heads, up_to = await store.heads(["macro"], 0)
    note = HeadsRecorded(up_to=up_to, heads=tuple(Head(s, p, chain.hex()) for s, p, chain in heads))
    await appended(store, an_append("run-ingest", [note]))
    await appended(store, an_append("macro-a", [reading(6)], after=a[-1]))
    await appended(store, an_append("macro-b", [reading(7)], after=b[-1]))
    return store


@pytest.fixture
async def lines() -> list[bytes]:
    return [line.encode() async for line in export(await a_recorded_store())]


def named(verifier: Verifier) -> set[tuple[str, int]]:
    return {(finding.stream, finding.position) for finding in verifier.findings}


def line_of(lines: list[bytes], stream: str, position: int) -> int:
    for index, line in enumerate(lines):
        fields = json.loads(line)
        if (fields["stream"], fields["stream_position"]) == (stream, position):
            return index
    raise LookupError(stream)


def test_an_untouched_export_holds(lines: list[bytes]) -> None:
    summary = verify_lines(lines).summary()
    assert summary["ok"]
    assert (summary["events"], summary["streams"], summary["heads_checked"]) == (11, 3, 2)


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize(
    ("stream", "position"), [("macro-a", 1), ("macro-a", 3), ("macro-b", 2), ("run-ingest", 1)]
)
def test_a_flipped_byte_in_any_field_names_the_event(
    lines: list[bytes], field: str, stream: str, position: int
) -> None:
    index = line_of(lines, stream, position)
    fields = json.loads(lines[index])
    # A raised global position shows at the event after it, which names both.
    after = json.loads(lines[index + 1])
    neighbour = {(after["stream"], after["stream_position"])} if field == "position" else set()
    value = fields[field]
    fields[field] = value + 1 if isinstance(value, int) else _flipped(value)
    lines[index] = json.dumps(fields).encode()
    verifier = verify_lines(lines)
    assert named(verifier) == neighbour or named(verifier) == {(stream, position)}
    assert any(f"{stream} position {position}" in str(finding) for finding in verifier.findings)


def test_every_single_byte_of_a_line_counts(lines: list[bytes]) -> None:
    index = line_of(lines, "macro-b", 2)
    original = lines[index]
    for at in range(len(original)):
        lines[index] = original[:at] + bytes([original[at] ^ 1]) + original[at + 1 :]
        assert verify_lines(lines).findings, f"byte {at} of {original!r}"


def test_a_removed_event_is_missed(lines: list[bytes]) -> None:
    del lines[line_of(lines, "macro-a", 3)]
    (finding,) = verify_lines(lines).findings
    assert str(finding) == "macro-a position 4: nothing is there at position 3 before it"


def test_a_cut_tail_shows_through_the_recorded_heads(lines: list[bytes]) -> None:
    cut = [
        line for line in lines if json.loads(line)["stream"] != "macro-b" or b'"stream_position":1' in line
    ]
    (finding,) = verify_lines(cut).findings
    assert str(finding) == "macro-b position 3: a recorded head stands here, but the stream ends at 1"


def test_a_removed_stream_shows_through_the_recorded_heads(lines: list[bytes]) -> None:
    left = [line for line in lines if json.loads(line)["stream"] != "macro-b"]
    (finding,) = verify_lines(left).findings
    assert str(finding) == "macro-b position 3: a recorded head names this stream, which is not there"


async def test_a_stream_written_anew_shows_through_the_recorded_heads(lines: list[bytes]) -> None:
    forger = MemoryStore(fingerprint="code/settings", clock=FixedClock())
    await appended(forger, an_append("macro-b", [reading(n) for n in (50, 51, 52, 53)]))
    forged = iter([line async for line in export(forger)])
    rewritten = []
    for line in lines:
        fields = json.loads(line)
        if fields["stream"] == "macro-b":
            fields = {**json.loads(next(forged)), "position": fields["position"]}
        rewritten.append(json.dumps(fields).encode())
    (finding,) = verify_lines(rewritten).findings
    assert str(finding) == "macro-b position 3: the chain hash is not the one that was recorded as head"


def test_swapped_events_are_named(lines: list[bytes]) -> None:
    lines[1], lines[2] = lines[2], lines[1]
    assert {("macro-a", 2), ("macro-a", 3)} & named(verify_lines(lines))


def test_what_is_no_event_is_named_by_line_and_as_far_as_can_be_told(lines: list[bytes]) -> None:
    index = line_of(lines, "macro-a", 6)
    lines[index] = lines[index][:-1]
    (finding,) = verify_lines(lines).findings
    assert str(finding).startswith(f"macro-a position 6: line {index + 1} cannot be read")


def test_the_script_runs_without_any_package(lines: list[bytes], tmp_path: Path) -> None:
    good, bad = tmp_path / "good.jsonl", tmp_path / "bad.jsonl"
    good.write_bytes(b"\n".join(lines) + b"\n")
    bad.write_bytes(b"\n".join(lines).replace(b"code/settings", b"code/settingz", 1))

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-I", "-S", str(SCRIPT), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    assert run(str(good)).returncode == 0
    found = run(str(bad))
    assert found.returncode == 1
    assert found.stdout == "macro-a position 1: the chain hash does not follow from the event before it\n"
    document = json.loads(run(str(bad), "--json").stdout)
    assert [(one["stream"], one["position"]) for one in document["findings"]] == [("macro-a", 1)]
    assert run(str(tmp_path / "absent")).returncode == 2


def test_the_digest_tells_two_stores_apart(lines: list[bytes], capsys: pytest.CaptureFixture[str]) -> None:
    whole, shorter = verify_lines(lines).summary(), verify_lines(lines[:-1]).summary()
    assert whole["ok"]
    assert shorter["ok"]
    assert whole["digest"] != shorter["digest"]
    with pytest.raises(SystemExit):
        main([])
    assert "export" in capsys.readouterr().err


def _flipped(text: str) -> str:
    middle = len(text) // 2
    return text[:middle] + chr(ord(text[middle]) ^ 1) + text[middle + 1 :]
