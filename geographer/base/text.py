"""Texts: counts in sentences, and whether a text can be recorded."""

from __future__ import annotations


def format_count(count: int, noun: str) -> str:
    """Return a count with its noun, such as '1 class' or '2 classes'."""
    plural = f"{noun}es" if noun.endswith(("s", "x")) else f"{noun}s"
    return f"{count:,} {noun if count == 1 else plural}"


def quote_start(text: str, length: int = 80) -> str:
    """Return a text for use in a message, of which it would fill too much: its start and an ellipsis."""
    return text if len(text) <= length else f"{text[:length]}…"


def is_unicode(text: str) -> bool:
    """Return whether UTF-8 can encode a text: not lone surrogates, which undecodable bytes become."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
