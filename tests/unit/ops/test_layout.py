"""What explains is readable on a terminal of 80 columns."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nexus_ops.layout import chapters

words = st.lists(st.text("abcdefghij", min_size=1, max_size=30), min_size=1, max_size=40).map(" ".join)


def test_a_long_sentence_hangs_under_its_first_line() -> None:
    text = chapters([("Checks", "ok " + "word " * 30), ("Checks", "short"), ("Verdict", "approved")])
    lines = text.split("\n")
    assert lines[0] == "Checks"
    assert lines[1].startswith("  ok word")
    assert lines[2].startswith("      word")
    assert lines[-3:] == ["", "Verdict", "  approved"]


@given(st.lists(st.tuples(st.sampled_from(["Candle", "Signal"]), words), max_size=8))
def test_no_line_is_longer_than_80_columns_and_no_word_is_lost(lines: list[tuple[str, str]]) -> None:
    text = chapters(lines)
    assert all(len(line) <= 80 for line in text.split("\n"))
    for _, sentence in lines:
        assert sentence.split() == [word for word in sentence.split() if word in text]


def test_what_cannot_be_broken_stays_whole() -> None:
    assert "h" * 100 in chapters([("Hashes", "h" * 100)])
