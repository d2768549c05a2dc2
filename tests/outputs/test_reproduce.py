"""Reproduce a revision from the log and a remote alone: every byte is checked, and nothing else is used."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest

from geographer import Dataset
from geographer.base.errors import ConflictError, CorruptError, NotFoundError, StorageError
from tests.sample_history import flip_bit_of_file, read_contents


def read_rasters(folder):
    return {name: content for name, content in read_contents(folder).items() if name.endswith(".tif")}


def test_reproduce_uses_log_and_remote_alone(team):
    """With an empty cache and an empty workspace, a tag's files, tables and manifest are written and compared."""
    expected = read_rasters(team.ada)
    clone = Dataset.clone(str(team.remote), team.folder / "clone", pixels=False)
    clone.remove_rasters(["around/a_p1"])
    shutil.rmtree(clone.root / ".dvc/cache")
    result = clone.reproduce("v1", team.folder / "v1")
    assert (result.position, result.files, result.matches, result.source) == (4, 4, ["v1"], "remote 'origin'")
    assert result.content_digest == Dataset.open(team.ada).content_digest("v1")
    assert read_rasters(team.folder / "v1") == expected
    assert not (clone.root / ".dvc/cache").exists() or read_contents(clone.root / ".dvc/cache") == {}
    again = clone.reproduce("v1", team.folder / "v1")
    assert again.files == 4
    done = subprocess.run(
        [sys.executable, "-m", "geographer", "-C", str(team.folder / "v1"), "verify"], capture_output=True, check=False
    )
    assert done.returncode == 0


def test_reproduce_finds_altered_and_missing_objects(team):
    """One bit of a raster on the remote is flipped, or the file is gone: exit code 5, and the raster is named."""
    md5 = Dataset.open(team.ada).rasters(where="raster_id = 'b'").to_pylist()[0]["md5"]
    path = team.remote / "files/md5" / md5[:2] / md5[2:]
    flip_bit_of_file(path)
    command = [
        sys.executable,
        "-m",
        "geographer",
        "-C",
        str(team.ada),
        "reproduce",
        "v1",
        "--to",
        str(team.folder / "v1"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 5
    assert "altered on the remote 'origin': raster 'b'" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (team.folder / "v1/rasters/source/b.tif").exists()
    path.unlink()
    with pytest.raises(CorruptError, match="missing on the remote 'origin': raster 'b'"):
        Dataset.open(team.ada).reproduce("v1", team.folder / "other")


def test_reproduce_finds_tag_of_other_content(team, monkeypatch):
    """A tag that records another content digest than the log gives is not called reproduced."""
    from geographer.storage.queries.logged_content import LoggedContent

    monkeypatch.setattr(LoggedContent, "compute_digest", lambda *_: "0" * 64)
    with pytest.raises(CorruptError, match="'v1' records another content digest"):
        Dataset.open(team.ada).reproduce("v1", team.folder / "v1")


def test_reproduce_into_other_files_is_refused(team):
    (team.folder / "v1").mkdir()
    (team.folder / "v1/notes.txt").write_text("mine")
    with pytest.raises(ConflictError):
        Dataset.open(team.ada).reproduce("v1", team.folder / "v1")
    assert read_contents(team.folder / "v1") == {"notes.txt": b"mine"}


def test_reproduce_without_remote_uses_cache(team, tmp_path):
    (team.ada / ".dvc/config").write_text("[core]\n    analytics = false\n")
    result = Dataset.open(team.ada).reproduce("@2", tmp_path / "second")
    assert (result.files, result.source) == (2, "cache")
    with pytest.raises(NotFoundError):
        Dataset.open(team.ada).reproduce("v1", tmp_path / "v1", remote="other")


def test_reproduce_tells_unreachable_remote(team, tmp_path):
    shutil.rmtree(team.remote)
    with pytest.raises((CorruptError, StorageError)):
        Dataset.open(team.ada).reproduce("v1", tmp_path / "v1")
    assert json.loads((team.ada / "geographer.lock").read_bytes())["format"] == 1
