"""The workspace marker: damaged ones, and those of another log, say nothing about the workspace."""

from __future__ import annotations

import json
import shutil

import pytest

from geographer import Dataset
from geographer.storage.workspace.marker import WorkspaceMarker, read_marker, write_marker
from tests.sample_history import HEAD

DAMAGED = {
    "empty": b"",
    "no position": b"{}",
    "list": b"[]",
    "text": b'{"position": "25", "chosen": false}',
    "fraction": b'{"position": 2.5, "chosen": false}',
    "negative": b'{"position": -1, "chosen": false}',
    "huge": b'{"position": 99999999999999999999, "chosen": false}',
    "not UTF-8": b'{"position": 25, "chosen": false, "digest": "\xff"}',
}
OF_ANOTHER_LOG = {
    "later": {"position": HEAD + 1},
    "other digest": {"position": HEAD, "digest": "0" * 64},
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_damaged_marker_names_no_position(tmp_path, content):
    (tmp_path / "workspace.json").write_bytes(content)
    assert read_marker(tmp_path / "workspace.json") == WorkspaceMarker(None)


def test_missing_marker_names_no_position(tmp_path):
    (tmp_path / "folder").mkdir()
    assert read_marker(tmp_path / "workspace.json") == read_marker(tmp_path / "folder") == WorkspaceMarker(None)


def test_marker_is_read_as_written(tmp_path):
    marker = WorkspaceMarker(7, True, "0" * 64, {"rasters/source.dvc": "1 2 3 4"})
    write_marker(tmp_path / "workspace.json", marker)
    assert read_marker(tmp_path / "workspace.json") == marker
    (tmp_path / "workspace.json").write_text('{"position": 7, "chosen": true}')  # as version 0.1.0 wrote it
    assert read_marker(tmp_path / "workspace.json") == WorkspaceMarker(7, True)


def test_next_command_completes_workspace_without_known_position(sample_history, tmp_path):
    dataset = Dataset.open(shutil.copytree(sample_history.root, tmp_path / "dataset"))
    marker = dataset.root / ".geographer" / "workspace.json"
    for content in OF_ANOTHER_LOG.values():
        marker.write_text(json.dumps(content))
        assert dataset.status()["workspace"] is None
    (dataset.root / "rasters/source/c.tif").unlink()
    dataset.tag("v3")
    assert dataset.status()["workspace"] == HEAD + 1
    assert (dataset.root / "rasters/source/c.tif").is_file()
