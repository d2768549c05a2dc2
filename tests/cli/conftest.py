"""The command line, run in this process as a shell would run it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from geographer.cli import main


class Ended(NamedTuple):
    """How a command ended: its exit code, and what it wrote."""

    code: int
    out: str
    err: str


Run = Callable[..., Ended]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `geographer -C ROOT …` to its exit."""
    # What the command line does without must stay importable for the tests after this one.
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])

    def command(root: Path, *arguments: object) -> Ended:
        line = ["-C", str(root), *map(str, arguments)]
        monkeypatch.setattr(sys, "argv", ["geographer", *line])
        with pytest.raises(SystemExit) as end:
            main(line)
        written = capsys.readouterr()
        return Ended(int(end.value.code or 0), written.out, written.err)

    return command
