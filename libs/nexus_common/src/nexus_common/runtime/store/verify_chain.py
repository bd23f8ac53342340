"""Check an export of the event store with nothing but the Python standard library.

    python3 verify_chain.py EXPORT.jsonl [--json]

The export has one event a line:
{"position", "stream", "stream_position", "recorded_at", "fingerprint", "body", "content_hash", "chain_hash"}.

- content hash = SHA-256(body)
- chain hash   = SHA-256(chain hash of the event before it in its stream, or 32 zero bytes; body; recorded_at;
  fingerprint)
- positions within a stream count from 1 without a gap; global positions rise
- each `run.heads_recorded` event lists stream, position and chain hash of streams as they stood then: what is
  missing there was cut off or removed

Exit code 0: all is as it was written. 1: not; one line a finding. 2: wrong usage. This file imports nothing of
Nexus, so that whoever checks need not trust, or have, the program that wrote.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterable
from hashlib import sha256
from typing import Any, NamedTuple

GENESIS = bytes(32)
HASH_BYTES = 32
HEADS = '"type":"run.heads_recorded"'
TEXTS = ("stream", "recorded_at", "fingerprint", "body", "content_hash", "chain_hash")
NUMBERS = ("position", "stream_position")


class Finding(NamedTuple):
    """Something that is not as it was written. `position` counts within the stream; 0 where it is not known."""

    stream: str
    position: int
    problem: str

    def __str__(self) -> str:
        return f"{self.stream} position {self.position}: {self.problem}"


class _Tail:
    """A stream as far as it was read. `hashes` holds the chain hash of every event so far, 32 bytes each."""

    def __init__(self, stream: str) -> None:
        # Only the envelope's own "position" comes last among a body's sorted keys, before stream, type and version.
        self.spelled = f'"stream":{json.dumps(stream, ensure_ascii=False)},"type":'
        self.position = 0
        self.hashes = bytearray()
        self.stored = GENESIS
        self.computed = GENESIS

    def hash_at(self, position: int) -> bytes:
        return bytes(self.hashes[(position - 1) * HASH_BYTES : position * HASH_BYTES])

    def advance(self, position: int, stored: bytes, computed: bytes) -> None:
        """Go on to an event, over a gap if there is one."""
        self.hashes += bytes(HASH_BYTES * (position - self.position - 1))
        self.hashes += stored if len(stored) == HASH_BYTES else bytes(HASH_BYTES)
        self.position, self.stored, self.computed = position, stored, computed


class Verifier:
    """Takes events in the order of the store; collects what is wrong with them."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.events = 0
        self.heads_checked = 0
        self.last_position = 0
        self._last_place = ("", 0)
        self._tails: dict[str, _Tail] = {}
        self._heads: list[tuple[str, int, str]] = []
        self._digest = sha256()

    def check(
        self,
        position: int,
        stream: str,
        stream_position: int,
        recorded_at: str,
        fingerprint: str,
        body: str,
        content_hash: bytes,
        chain_hash: bytes,
    ) -> None:
        """Check one event against its own hashes and against those before it."""
        self.events += 1
        text = body.encode("utf-8", "surrogatepass")
        rest = text + (recorded_at + fingerprint).encode("utf-8", "surrogatepass")
        tail = self._tails.get(stream)
        # Nearly all events are as they should be; what is wrong with another is found out in peace.
        if (
            tail is not None
            and stream_position == tail.position + 1
            and position > self.last_position
            and sha256(tail.stored + rest).digest() == chain_hash
            and sha256(text).digest() == content_hash
            and body.startswith(f'"position":{stream_position},{tail.spelled}', body.rfind('"position":'))
        ):
            tail.hashes += chain_hash
            tail.position, tail.stored, tail.computed = stream_position, chain_hash, chain_hash
            self.last_position, self._last_place = position, (stream, stream_position)
            sound = True
        else:
            found = len(self.findings)
            self._investigate(position, stream, stream_position, body, rest, content_hash, chain_hash)
            sound = len(self.findings) == found
        self._digest.update(chain_hash)
        if sound and HEADS in body:
            self._heads += [(name, int(at), chain) for name, at, chain in json.loads(body)["data"]["heads"]]

    def _investigate(
        self,
        position: int,
        stream: str,
        stream_position: int,
        body: str,
        rest: bytes,
        content_hash: bytes,
        chain_hash: bytes,
    ) -> None:
        """All checks one after the other. Also the way of the first event of a stream."""
        intact = sha256(body.encode("utf-8", "surrogatepass")).digest() == content_hash
        # An intact body knows its place; the columns beside it are only believed where it does not.
        place = _place_in(body) if intact else None
        if place is not None and place != (stream, stream_position):
            self.find(*place, f"is filed as {stream} position {stream_position}")
            stream, stream_position = place
        elif not intact:
            self.find(stream, stream_position, "the content hash does not fit the body")
        self._check_order(position, stream, stream_position)
        self._check_chain(stream, stream_position, rest, chain_hash)

    def finish(self) -> list[Finding]:
        """Compare the recorded heads with what was seen; all findings."""
        for stream, position, chain in self._heads:
            self.heads_checked += 1
            tail = self._tails.get(stream)
            if tail is None:
                self.find(stream, position, "a recorded head names this stream, which is not there")
            elif tail.position < position:
                self.find(
                    stream, position, f"a recorded head stands here, but the stream ends at {tail.position}"
                )
            elif tail.hash_at(position).hex() != chain:
                self.find(stream, position, "the chain hash is not the one that was recorded as head")
        self._heads.clear()
        return self.findings

    def unreadable(self, place: str, stream: str, stream_position: int, reason: str) -> None:
        """Note an event that cannot even be taken apart."""
        self.events += 1
        self.find(stream, stream_position, f"{place} cannot be read: {reason}")

    def summary(self) -> dict[str, Any]:
        """What was checked. `digest` covers every chain hash in order: note it down, and compare it later."""
        return {
            "ok": not self.findings,
            "events": self.events,
            "streams": len(self._tails),
            "heads_checked": self.heads_checked,
            "last_position": self.last_position,
            "digest": self._digest.hexdigest(),
            "findings": [finding._asdict() for finding in self.findings],
        }

    def find(self, stream: str, position: int, problem: str) -> None:
        """Note something wrong with one event."""
        self.findings.append(Finding(stream, position, problem))

    def _check_order(self, position: int, stream: str, stream_position: int) -> None:
        if position <= self.last_position:
            last, at = self._last_place
            self.find(
                stream,
                stream_position,
                f"global position {position} does not rise above {self.last_position} of {last} position {at}",
            )
        self.last_position, self._last_place = position, (stream, stream_position)

    def _tail(self, stream: str) -> _Tail:
        tail = self._tails.get(stream)
        if tail is None:
            tail = self._tails[stream] = _Tail(stream)
        return tail

    def _check_chain(self, stream: str, stream_position: int, rest: bytes, chain_hash: bytes) -> None:
        tail = self._tail(stream)
        expected = tail.position + 1
        if stream_position < expected:
            self.find(stream, stream_position, f"comes again, or late: position {expected} was to follow")
            return
        right = sha256(tail.stored + rest).digest()
        if stream_position > expected:
            missing = (
                f"{expected}" if stream_position == expected + 1 else f"{expected} to {stream_position - 1}"
            )
            self.find(stream, stream_position, f"nothing is there at position {missing} before it")
            right = chain_hash  # what it was chained to is gone
        elif right != chain_hash and tail.computed != tail.stored:
            # The event before carries a false chain hash; this one may still follow from the right one.
            right = sha256(tail.computed + rest).digest()
        if right != chain_hash:
            self.find(stream, stream_position, "the chain hash does not follow from the event before it")
        tail.advance(stream_position, chain_hash, right)


def _place_in(body: str) -> tuple[str, int] | None:
    try:
        fields = json.loads(body)
        return str(fields["stream"]), int(fields["position"])
    except (ValueError, KeyError, TypeError):
        return None


def verify_lines(lines: Iterable[bytes]) -> Verifier:
    """Check the lines of an export."""
    verifier = Verifier()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            fields = _fields(line)
        except ValueError as error:
            stream, position = _guess_place(line)
            verifier.unreadable(f"line {number}", stream, position, str(error))
            continue
        verifier.check(**fields)
    verifier.finish()
    return verifier


def _fields(line: bytes) -> dict[str, Any]:
    fields = json.loads(line)
    if not isinstance(fields, dict):
        raise ValueError("not an object")
    for name, kind in (*((text, str) for text in TEXTS), *((number, int) for number in NUMBERS)):
        if type(fields.get(name)) is not kind:
            raise ValueError(f"{name} is missing, or not of type {kind.__name__}")
    picked = {name: fields[name] for name in (*NUMBERS, *TEXTS)}
    for name in ("content_hash", "chain_hash"):
        try:
            picked[name] = bytes.fromhex(fields[name])
        except ValueError:
            picked[name] = b""  # no hash of anything: the checks will say so, with the event's name
    return picked


def _guess_place(line: bytes) -> tuple[str, int]:
    text = line.decode("utf-8", "replace")
    stream = re.search(r'"stream"\s*:\s*"([^"]*)"', text)
    position = re.search(r'"stream_position"\s*:\s*(\d+)', text)
    return stream[1] if stream else "?", int(position[1]) if position else 0


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Check an export of the Nexus event store.")
    parser.add_argument(
        "export", help="JSON lines as `nexus events export` writes them; - reads standard input"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args(arguments)
    try:
        if options.export == "-":
            verifier = verify_lines(sys.stdin.buffer)
        else:
            with open(options.export, "rb") as lines:
                verifier = verify_lines(lines)
    except OSError as error:
        parser.error(f"cannot read the export: {error}")
    summary = verifier.summary()
    if options.json:
        lines_out = [json.dumps(summary)]
    else:
        lines_out = [str(finding) for finding in verifier.findings] or [_all_is_well(summary)]
    sys.stdout.writelines(f"{line}\n" for line in lines_out)
    return 0 if summary["ok"] else 1


def _all_is_well(summary: dict[str, Any]) -> str:
    return (
        "{events} events in {streams} streams up to position {last_position}: hashes, chains, order and "
        "{heads_checked} recorded heads hold. Digest {digest}".format(**summary)
    )


if __name__ == "__main__":
    sys.exit(main())
