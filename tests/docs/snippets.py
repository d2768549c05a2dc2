"""The snippets of all documents: where they are, in which language, and why one is not run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from tests import REPOSITORY

PATTERNS = ("README.md", "CONTRIBUTING.md", "RELEASING.md", "docs/**/*.md", "examples/*/README.md")
LANGUAGES = ("bash", "console", "py", "python", "sh", "shell", "shellsession", "sql")
"""Languages of code to run; others, such as text and JSON, show data."""
_FENCE = re.compile(
    r"^(?:<!-- not run: (?P<reason>[^\n]+) -->\n)?(?P<fence>```+)(?P<language>\w+)[^\n]*\n(?P<text>.*?)^(?P=fence)$",
    re.DOTALL | re.MULTILINE,
)


class Snippet(NamedTuple):
    """A block of code in a document, and the line on which it starts."""

    document: str
    line: int
    language: str
    text: str
    reason: str
    """Why it cannot be run, from a comment above it; else empty."""

    def __str__(self) -> str:
        return f"{self.document}:{self.line} ({self.language})"


def list_documents() -> list[str]:
    """Return the paths of all documents in the repository."""
    paths = {path for pattern in PATTERNS for path in REPOSITORY.glob(pattern)}
    return sorted(path.relative_to(REPOSITORY).as_posix() for path in paths)


def list_snippets(document: str) -> list[Snippet]:
    """Return the snippets of a document, in order."""
    return [*iter_snippets(document, (REPOSITORY / document).read_text())]


def iter_snippets(document: str, text: str) -> Iterator[Snippet]:
    """Yield the snippets in the text of a document."""
    for match in _FENCE.finditer(text):
        if match["language"] in LANGUAGES:
            line = text.count("\n", 0, match.start("fence")) + 1
            yield Snippet(document, line, match["language"], match["text"], match["reason"] or "")
