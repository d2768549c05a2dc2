"""Counts in sentences."""

from __future__ import annotations


def format_count(count: int, noun: str) -> str:
    """Return a count with its noun, such as '1 class' or '2 classes'."""
    plural = f"{noun}es" if noun.endswith(("s", "x")) else f"{noun}s"
    return f"{count:,} {noun if count == 1 else plural}"
