"""docs/from-geographer.md shows commands as they print, but for digests, and Python that runs."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest
import shapely
from click.testing import CliRunner

from geographer import Dataset
from geographer.cli import COMMANDS, geographer_command
from tests import REPOSITORY
from tests.old_library import write_directory
from tests.sample_history import write_scenes

DOCUMENT = (REPOSITORY / "docs" / "from-geographer.md").read_text()
VECTORS = {
    "p1": ({"type": "pond"}, shapely.box(15.001, 46.951, 15.002, 46.952)),
    "p2": ({"type": "pond"}, shapely.box(15.004, 46.949, 15.005, 46.950)),
    "r1": ({"type": "river"}, shapely.box(15.003, 46.949, 15.0033, 46.953)),
    "far": ({"type": "pond"}, shapely.box(15.1, 46.95, 15.101, 46.951)),
}


def hide_digests(line: str) -> str:
    return re.sub(r"\b[0-9a-f]{12,64}\b", "DIGEST", line).rstrip()


def test_documented_commands_print_what_they_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    footprint = shapely.box(15.0, 46.9479, 15.0084, 46.9536)
    directory = write_directory(tmp_path / "old", VECTORS, {"a.tif": ({}, footprint)}, classes=("pond",))
    write_scenes(directory / "rasters", "a")
    monkeypatch.chdir(tmp_path)
    for language, block in re.findall(r"```(console|python)\n(.*?)```", DOCUMENT, re.DOTALL):
        if language == "python":
            exec(compile(block, "docs/from-geographer.md", "exec"), {})
            continue
        for text in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, *shown = text.splitlines()
            words = shlex.split(command)
            if words[0] == "cd":
                monkeypatch.chdir(Path.cwd() / words[1])
                continue
            result = CliRunner().invoke(geographer_command, words[1:], catch_exceptions=False)
            assert result.exit_code == 0, command
            printed = [hide_digests(line) for line in result.output.splitlines()]
            assert [line for line in map(hide_digests, shown) if line not in printed] == [], command


def list_names(column: int) -> set[str]:
    """Return the commands or methods that a column of the table names."""
    _, _, table = DOCUMENT.partition("## What you did there")
    rows = [row.split(" | ") for row in table.splitlines() if row.startswith("| ") and "GeoGrapher 1.0" not in row]
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row[column])}


def test_named_commands_and_methods_exist() -> None:
    context, commands = click.Context(geographer_command), []
    for name in list_names(1):
        if method := re.match(r"dataset\.(\w+)", name):
            assert hasattr(Dataset, method[1]), name
        words = name.removeprefix("geographer ").split()
        if words[0] in COMMANDS:
            commands.append(name)
            command = geographer_command.get_command(context, words[0])
            if isinstance(command, click.Group) and len(words) > 1 and words[0] != "export":
                assert command.get_command(context, words[1]) is not None, name
    assert len(commands) > 20
