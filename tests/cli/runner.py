"""Run commands in this process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from geographer.cli import geographer_command


def run_command(root: Path, *arguments: str, stdin: str | None = None) -> str:
    """Return what a command prints to stdout; it must succeed."""
    command = ["-C", str(root), *arguments]
    result = CliRunner().invoke(geographer_command, command, input=stdin, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def read_rows(root: Path, *arguments: str, stdin: str | None = None) -> list[dict[str, Any]]:
    """Return the JSON lines that a command prints with --json."""
    return [json.loads(line) for line in run_command(root, *arguments, "--json", stdin=stdin).splitlines()]
