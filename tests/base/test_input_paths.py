"""Input paths: files and folders are accepted; other things are refused with the reason."""

from __future__ import annotations

import os

import pytest

from geographer.base.errors import NotFoundError, StorageError, UsageError
from geographer.base.input_paths import require_input_path


def test_files_and_folders_are_accepted(tmp_path):
    (tmp_path / "a.tif").touch()
    assert require_input_path(str(tmp_path / "a.tif")) == tmp_path / "a.tif"
    assert require_input_path(tmp_path) == tmp_path


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("missing", NotFoundError),
        ("a.tif/inside", NotFoundError),
        ("a\0b", NotFoundError),
        ("x" * 300, StorageError),
        ("loop", StorageError),
        ("pipe", UsageError),
        (os.fsdecode(b"\xff"), UsageError),
    ],
)
def test_other_paths_are_refused(tmp_path, name, error):
    (tmp_path / "a.tif").touch()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(error) as caught:
        require_input_path(tmp_path / name)
    assert type(caught.value) is error
