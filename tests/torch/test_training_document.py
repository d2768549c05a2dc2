"""docs/training.md: its Python runs, and prints what its comments show."""

from __future__ import annotations

import re
from typing import Any

from tests import REPOSITORY

DOCUMENT = REPOSITORY / "docs" / "training.md"


def test_documented_python_prints_what_it_shows(folders, tmp_path, monkeypatch, capsys):
    (tmp_path / "ponds").symlink_to(folders.root)
    (tmp_path / "release").symlink_to(folders.checkout)
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, str(DOCUMENT), "exec"), names)
    shown = re.findall(r"^print\(.*\)  # (.*)$", "".join(blocks), re.MULTILINE)
    printed = capsys.readouterr().out.splitlines()
    assert [line for line in shown if line not in printed] == []
    assert len(shown) >= 8
