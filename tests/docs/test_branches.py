"""docs/branches.md shows commands as they print, but for digests and times."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys

import duckdb
from click.testing import CliRunner

from geographer.base.errors import GeographerError
from geographer.cli import geographer_command
from tests import REPOSITORY

DOCUMENT = REPOSITORY / "docs" / "branches.md"
SCRIPT = REPOSITORY / "docs" / "recompute_digests.py"
MERGE_TABLES = ("merge_conflict", "object_order")
LAKES = {
    "lakes.geojson": [("mead", 10, 0.0), ("como", 20, 1.0)],
    "surveyed.geojson": [("mead", 12, 0.0)],
    "again.geojson": [("mead", 15, 0.5)],
    "erie.geojson": [("erie", 64, 3.0)],
}


def hide_digests(line: str) -> str:
    return re.sub(r"\b[0-9a-f]{12,64}\b", "DIGEST", line).rstrip()


def test_documented_merge_prints_what_it_shows(tmp_path, monkeypatch):
    for name, lakes in LAKES.items():
        features = [
            {
                "type": "Feature",
                "properties": {"id": lake, "class": "lake", "depth": depth},
                "geometry": {"type": "Point", "coordinates": [latitude // 1, latitude]},
            }
            for lake, depth, latitude in lakes
        ]
        (tmp_path / name).write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    monkeypatch.chdir(tmp_path)
    for block in re.findall(r"```console\n(.*?)```", DOCUMENT.read_text(), re.DOTALL):
        for text in re.split(r"^\$ geographer ", block, flags=re.MULTILINE)[1:]:
            command, *shown = text.splitlines()
            result = CliRunner().invoke(geographer_command, shlex.split(command))
            error = f"Error: {result.exception}" if isinstance(result.exception, GeographerError) else ""
            printed = [hide_digests(line) for line in [*result.output.splitlines(), error]]
            assert [line for line in map(hide_digests, shown) if line not in printed] == [], command
            if command.startswith("init"):
                monkeypatch.chdir(tmp_path / "lakes")
                for name in LAKES:
                    (tmp_path / name).rename(tmp_path / "lakes" / name)
    # The rows of merges have digests, too.
    log = tmp_path / "lakes" / ".geographer" / "log.duckdb"
    assert all(duckdb.connect(str(log), read_only=True).sql(f"FROM {table}").fetchall() for table in MERGE_TABLES)
    done = subprocess.run(
        [sys.executable, "-I", str(SCRIPT), str(log), "--quiet"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
