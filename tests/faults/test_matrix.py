"""The fault matrix, played and judged by the venue's own ledger; counts are printed.

One cell alone: `pytest tests/faults/test_matrix.py --cell NAME`, with the name that a failure prints.
"""

from __future__ import annotations

import statistics
import sys
from collections import Counter
from collections.abc import Sequence
from random import Random

import pytest

from contract.settings import ROWS, spoken
from faults.cells import Cell
from faults.matrix import UNFIRED, cells
from faults.play import Outcome, play, play_all

pytestmark = pytest.mark.faults

VENUES = tuple(row.name for row in spoken() if row.name != "paper-local")
SAMPLE = 96
SEED = 20_261_127
CELLS_MIN = 3_000
LINES_MAX = 40
SHARE_MAX = 0.8


def failures(outcomes: Sequence[Outcome]) -> str:
    """A line for each failed cell, by which it is played again; the first of them."""
    failed = [outcome for outcome in outcomes if not outcome.passed]
    lines = [f"--cell {outcome.cell.name}: {'; '.join(outcome.finding.problems)}" for outcome in failed]
    return "\n".join([*lines[:LINES_MAX], f"{len(failed)} cells failed"]) if failed else ""


def table(outcomes: Sequence[Outcome]) -> str:
    """Fault by venue: how many fired, and how many of these passed."""
    fired = Counter((o.cell.fault, o.cell.venue) for o in outcomes if o.fired)
    passed = Counter((o.cell.fault, o.cell.venue) for o in outcomes if o.fired and o.passed)
    venues = list(dict.fromkeys(o.cell.venue for o in outcomes))
    faults = list(dict.fromkeys(o.cell.fault for o in outcomes))
    width = max(map(len, faults))
    lines = [f"{'fault':{width}}" + "".join(f"{venue:>16}" for venue in venues)]
    for fault in faults:
        counts = [f"{passed[fault, venue]}/{fired[fault, venue]}" for venue in venues]
        lines.append(f"{fault:{width}}" + "".join(f"{'-' if c == '0/0' else c:>16}" for c in counts))
    sums = [sum(n for (_, at), n in fired.items() if at == venue) for venue in venues]
    lines.append(f"{'fired in all':{width}}" + "".join(f"{n:>16}" for n in sums))
    return "\n".join(lines)


def figures(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """Seconds of venue time."""
    adopted = [s for o in outcomes for s in o.finding.adopted]
    # Where an id is one order for ever a way out is sent again under it, and absent only when that is over.
    absent = [s for o in outcomes if not o.cell.row.traits.ids_are_for_ever for s in o.finding.absent]
    again = [s for o in outcomes if o.cell.row.traits.ids_are_for_ever for s in o.finding.absent]
    naked = sorted(s for o in outcomes if not o.cell.is_silent for s in o.finding.naked)
    return {
        "unknown outcomes adopted, median": statistics.median(adopted or [0.0]),
        "unknown outcomes adopted, longest": max(adopted, default=0.0),
        "absence proven after the deadline, longest": max(absent, default=0.0),
        "the same where it is sent again, longest": max(again, default=0.0),
        "unprotected where the venue tells, p99": naked[int(len(naked) * 0.99)] if naked else 0.0,
    }


@pytest.mark.parametrize("venue", VENUES)
def test_a_sample_of_the_matrix(venue: str, request: pytest.FixtureRequest) -> None:
    wanted = request.config.getoption("--cell", default=None)
    every = cells((venue,))
    if wanted:
        chosen = [cell for cell in every if cell.name == wanted]
        if not chosen:
            pytest.skip(f"{wanted} is no cell of {venue}")
    else:
        chosen = Random(SEED).sample(every, SAMPLE)
    outcomes = play(chosen)
    failed = failures(outcomes)
    assert not failed, failed
    assert len([o for o in outcomes if o.fired]) >= len(outcomes) / 2 or wanted
    assert len([o for o in outcomes if o.finding.fills]) >= len(outcomes) / 2 or wanted


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_the_whole_matrix() -> None:
    """Zero duplicates, zero lost fills, zero naked positions; every pair of venue and fault at least once."""
    outcomes = play_all(cells(VENUES))
    numbers = figures(outcomes)
    fired = [outcome for outcome in outcomes if outcome.fired]
    share = max(outcome.finding.share for outcome in outcomes)
    lines = [
        table(outcomes),
        "",
        *(f"{name:45} {seconds:8.1f} s" for name, seconds in numbers.items()),
        f"{'most of a limit that an account used':45} {share:8.0%}",
        f"{'cells made, fired, failed':45} {len(outcomes)}, {len(fired)}, {_failed(outcomes)}",
        f"{'fills in them':45} {sum(outcome.finding.fills for outcome in fired)}",
        *(
            f"never fired: {venue:12} {fault:24} {reason or 'WITHOUT A REASON'}"
            for (venue, fault), reason in sorted(_unfired(outcomes).items())
        ),
    ]
    sys.stdout.write("\n" + "\n".join(lines) + "\n")
    failed = failures(outcomes)
    assert not failed, failed
    assert all(_unfired(outcomes).values())
    assert len(fired) >= CELLS_MIN
    assert share <= SHARE_MAX
    assert numbers["unknown outcomes adopted, median"] < 8
    assert numbers["absence proven after the deadline, longest"] < 30


def _failed(outcomes: Sequence[Outcome]) -> int:
    return sum(1 for outcome in outcomes if not outcome.passed)


def _unfired(outcomes: Sequence[Outcome]) -> dict[tuple[str, str], str]:
    """Pairs of venue and fault that never came together, and why they cannot."""
    happened = {(o.cell.venue, o.cell.fault) for o in outcomes if o.fired}
    columns = dict.fromkeys(o.cell.fault for o in outcomes)
    return {
        (venue, fault): UNFIRED.get((venue, fault)) or _not_there(venue, fault)
        for venue in VENUES
        for fault in columns
        if (venue, fault) not in happened
    }


def _not_there(venue: str, fault: str) -> str:
    """A pair of which no cell is made, because the venue's protocol has no such thing."""
    made: list[Cell] = [cell for cell in cells((venue,)) if cell.fault == fault]
    if made:
        return ""
    return f"{ROWS[venue].name} has no such thing"
