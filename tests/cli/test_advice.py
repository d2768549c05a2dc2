"""The commands that errors and warnings advise exist."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from geographer.cli import COMMANDS

PACKAGE = Path(__file__).parents[2] / "geographer"
ADVICE = re.compile(r"(?:[Rr]un|[Ss]ee|with|[Uu]se|:) geographer ([a-z][a-z-]+)")


def iter_texts(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def test_advised_commands_exist() -> None:
    advised = {word for path in PACKAGE.rglob("*.py") for text in iter_texts(path) for word in ADVICE.findall(text)}
    assert len(advised) > 20
    assert advised <= COMMANDS.keys()
