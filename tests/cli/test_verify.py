"""The command `verify`: its lines, its JSON, its exit code, and what it tells users to do."""

from __future__ import annotations

import json
import shutil

import pytest
from click.testing import CliRunner

from geographer.base.errors import CorruptError
from geographer.cli import geographer_command
from tests.cli.runner import run_command
from tests.sample_history import HEAD, V1, flip_bit_of_file

CHIP = "rasters/around/a_q1.tif"


@pytest.fixture
def root(sample_history, tmp_path):
    return shutil.copytree(sample_history.root, tmp_path / "dataset")


def test_success_states_what_was_checked(root):
    lines = run_command(root, "verify", "v1").splitlines()
    assert lines[0].startswith(f"verified @{V1} ")
    assert lines[0].endswith(f": the log and the files of @{V1} (v1) are as recorded")
    assert lines[1].startswith(f"checked: {HEAD} events, 79 rows, 6 files of the workspace, 16 objects in DVC's cache")
    assert lines[2] == "matched: content digest of tag v1"
    assert f"not checked: files of the workspace, at @{HEAD} (HEAD), that @{V1} (v1) lacks" in lines


def test_json_ends_with_a_summary(root):
    (summary,) = [json.loads(line) for line in run_command(root, "verify", "--json", "--all").splitlines()]
    assert (summary["findings"], summary["position"], summary["not_checked"]) == (0, HEAD, [])
    flip_bit_of_file(root / CHIP)
    result = CliRunner().invoke(geographer_command, ["-C", str(root), "verify", "--json"])
    assert isinstance(result.exception, CorruptError)
    assert "geographer checkout HEAD" in str(result.exception)
    finding, summary = [json.loads(line) for line in result.stdout.splitlines()]
    assert (finding["what"], finding["which"], finding["since"]) == ("altered raster", CHIP, 5)
    assert summary["findings"] == 1


def test_all_and_a_revision_exclude_each_other(root):
    result = CliRunner().invoke(geographer_command, ["-C", str(root), "verify", "v1", "--all"])
    assert "Leave the revision out" in str(result.exception)
