"""Text in chapters that fits a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Iterable
from textwrap import wrap

WIDTH = 80
MARGIN = "  "
HANGING = "      "


def chapters(lines: Iterable[tuple[str, str]], width: int = WIDTH) -> str:
    """(chapter, sentence) pairs as text: a heading for each chapter, long sentences wrapped and indented behind
    their first line. What cannot be broken, such as a hash, stays whole."""
    out: list[str] = []
    current: str | None = None
    for chapter, text in lines:
        if chapter != current:
            current = chapter
            out.append(("" if not out else "\n") + chapter)
        out.append(folded(text, width))
    return "\n".join(out)


def folded(text: str, width: int = WIDTH) -> str:
    """A sentence inside the margins, wrapped and indented behind its first line."""
    lines = wrap(
        text,
        width,
        initial_indent=MARGIN,
        subsequent_indent=HANGING,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "\n".join(lines)
