"""The table of planted faults: what is done wrong, where, and which tests must notice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_EXECUTOR: Final = "services/executor/src/nexus_executor"
_RUNTIME: Final = "libs/nexus_common/src/nexus_common/runtime"
_MARKET: Final = "libs/nexus_market/src/nexus_market"
_UNIT: Final = "tests/unit/executor"
_MATRIX: Final = "tests/faults/test_matrix.py"
_BROKERS: Final = "tests/contract/test_broker.py"


@dataclass(frozen=True, slots=True)
class Plant:
    """`old` stands exactly once in `file`."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


PLANTS: Final[tuple[Plant, ...]] = (
    Plant(
        "an unknown outcome is sent again blindly",
        f"{_EXECUTOR}/fence.py",
        "            reply: SubmitReply = await broker.submit(_request(state), started.at)\n",
        "            reply: SubmitReply = await broker.submit(_request(state), started.at)\n"
        "            if isinstance(reply, Unknown):\n"
        "                reply = await broker.submit(_request(state), started.at)\n",
        (f"{_UNIT}/test_fence.py", _MATRIX),
    ),
    Plant(
        "a request leaves before its intent is committed",
        f"{_EXECUTOR}/fence.py",
        "            await self._write_down(change, at, desk)\n        await desk.commit()\n",
        "            await self._write_down(change, at, desk)\n",
        (f"{_UNIT}/test_kills.py", _MATRIX),
    ),
    Plant(
        "no inbox: what was handled is handled again",
        f"{_RUNTIME}/desk.py",
        "new = [envelope for envelope in batch if envelope.position > self._inbox.get(envelope.stream, 0)]",
        "new = list(batch)",
        ("tests/unit/runtime/test_desk.py",),
    ),
    Plant(
        "the number read up to is not committed with what was read",
        f"{_EXECUTOR}/updates.py",
        "            desk.note_handled(source(account), update.sequence)\n",
        "",
        (f"{_UNIT}/test_reactor.py", _MATRIX),
    ),
    Plant(
        "a hole in the numbers of updates is passed over",
        f"{_EXECUTOR}/updates.py",
        "            if update.sequence != expected:\n",
        "            if update.sequence < expected:\n",
        (_UNIT,),
    ),
    Plant(
        "a fill told twice counts twice",
        f"{_EXECUTOR}/domain/order.py",
        "    if command.fill_id in state.fills:\n        return ()\n",
        "",
        (f"{_UNIT}/test_order.py",),
    ),
    Plant(
        "a message told twice is handed out twice",
        f"{_EXECUTOR}/venues/private_stream.py",
        "            if update.key in self._seen:\n                continue\n",
        "",
        (f"{_UNIT}/test_private_stream.py",),
    ),
    Plant(
        "the lease's epoch is ignored by the store",
        f"{_RUNTIME}/store/memory.py",
        "        if batch.lease is not None and not self._holds(batch.lease):\n",
        "        if batch.lease is not None and not self._leases:\n",
        ("tests/contract/test_event_store.py",),
    ),
    Plant(
        "the holder's epoch is ignored by the exchange",
        f"{_MARKET}/exchange/engine.py",
        "        if epoch < account.epoch:\n            return False\n",
        "",
        (_BROKERS,),
    ),
    Plant(
        "quantities go through floats",
        f"{_MARKET}/instruments.py",
        "    return quantity // instrument.step_size * instrument.step_size\n",
        "    return Decimal(float(quantity // instrument.step_size) * float(instrument.step_size))\n",
        ("tests/unit/market/test_instruments.py",),
    ),
    Plant(
        "no answer is read as a refusal",
        f"{_EXECUTOR}/venues/paper.py",
        "            # Also what never left: the same rule for both, a lookup settles it.\n"
        "            return Unknown(str(error))\n",
        '            return Refused("lost", str(error))\n',
        (_BROKERS, _MATRIX),
    ),
    Plant(
        "an unreadable answer is taken for yes",
        f"{_EXECUTOR}/venues/paper.py",
        '        return Unknown(f"unreadable answer {answer}: {error!r}")\n',
        '        return Accepted("")  # type: ignore[return-value]\n',
        (_BROKERS,),
    ),
)
