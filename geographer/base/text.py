"""Texts: counts in sentences, and whether a text can be recorded."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from urllib.parse import quote

from geographer.base.errors import quote_names


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


def quote_shell_word(text: str) -> str:
    """Return a text as one word of a shell's command line, in double quotes where that is easier to read."""
    word = shlex.quote(text)
    is_plain = not {'"', "$", "`", "\\", "!"} & {*text}
    return f'"{text}"' if word != text and is_plain else word


def encode_chip_id(text: str) -> str:
    """Return the id of the chip that is meant by its collection and unencoded name: `chips/b scene_f` has a `%20`.

    Names of chips are percent-encoded; what is encoded already is kept.
    """
    collection, slash, name = text.partition("/")
    return f"{collection}/{quote(name, safe='%~')}" if slash else text


def suggest_names(name: str, names: Iterable[str]) -> str:
    """Return `; similar: 'a', 'b'`, or an empty text if none is similar."""
    import difflib

    by_key = {candidate.casefold().replace("-", "_"): candidate for candidate in sorted(names)}
    key = name.casefold().replace("-", "_")
    similar = [by_key[match] for match in difflib.get_close_matches(key, by_key, n=5, cutoff=0.5)]
    similar += [known for fold, known in by_key.items() if key in fold and known not in similar][: 5 - len(similar)]
    return f"; similar: {quote_names(similar)}" if similar else ""
