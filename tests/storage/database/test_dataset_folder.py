"""The folder `.geographer`: links and folders without permission are refused; staging folders of killed processes go."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from geographer.base.atomic_files import check_file
from geographer.base.errors import ConflictError, NotFoundError, StorageError
from geographer.base.values import Checksums
from geographer.storage.database.dataset_folder import (
    create_dataset_folder,
    find_dataset_root,
    make_staging_folder,
    require_new_dataset_folder,
    require_real_folder,
)
from tests import REPOSITORY

HOLD_FOLDER = (
    "import sys, time; from pathlib import Path; from geographer.storage.database.dataset_folder import "
    "make_staging_folder\nwith make_staging_folder(Path(sys.argv[1])) as folder:\n"
    "    (folder / 'chip.tif').touch(); print(folder, flush=True); time.sleep(60)\n"
)


def test_staging_folder_outlives_other_runs_but_not_its_process(tmp_path: Path) -> None:
    (tmp_path / ".geographer").mkdir()
    command = [sys.executable, "-c", HOLD_FOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY) as process:
        assert process.stdout is not None
        other = Path(process.stdout.readline().strip())
        try:
            with make_staging_folder(tmp_path) as folder:
                assert (folder.is_dir(), (other / "chip.tif").is_file()) == (True, True)
            assert [path.name for path in other.parent.iterdir() if path.is_dir()] == [other.name]
        finally:
            process.kill()
    with make_staging_folder(tmp_path) as folder:
        assert [path for path in other.parent.iterdir() if path.is_dir()] == [folder]
    assert list(other.parent.iterdir()) == []


def test_missing_folder_is_not_the_dataset_around_it(tmp_path: Path) -> None:
    (tmp_path / ".geographer").mkdir()
    (tmp_path / ".geographer/log.duckdb").touch()
    (tmp_path / "inside/deep").mkdir(parents=True)
    assert find_dataset_root(tmp_path / "inside/deep") == tmp_path
    (tmp_path / "file").touch()
    for name in ("no/such/folder", "file", "n" * 300):
        with pytest.raises(NotFoundError, match=f"{name}' is not an existing folder"):
            find_dataset_root(tmp_path / name)


@pytest.mark.parametrize(
    "file",
    [
        "rasters/source.dvc",
        "labels/mask/chips.dvc",
        "rasters/source/a.tif",
        "labels/a.json",
        ".geographer/state.duckdb",
    ],
)
def test_files_of_a_dataset_without_log_are_no_place_for_another(tmp_path: Path, file: str) -> None:
    path = tmp_path / "clone" / file
    path.parent.mkdir(parents=True)
    (path.parent / ".gitignore").touch()
    require_new_dataset_folder(tmp_path / "clone")
    path.touch()
    with pytest.raises(ConflictError, match=f"'{file}'.*but not its log, .geographer/log.duckdb. Get the log from"):
        require_new_dataset_folder(tmp_path / "clone")


def test_datasets_inside_files_of_another_are_rejected(tmp_path: Path) -> None:
    (tmp_path / "rasters").mkdir()
    require_new_dataset_folder(tmp_path / "rasters/own")
    (tmp_path / "rasters/source.dvc").touch()
    for folder in ("rasters", "rasters/own", "labels/own", ".dvc/tmp", ".geographer/x", ".git"):
        with pytest.raises(ConflictError, match="holds files of a dataset, of DVC or of Git"):
            require_new_dataset_folder(tmp_path / folder)
    require_new_dataset_folder(tmp_path / "elsewhere/own")


def test_failed_creation_leaves_nothing(tmp_path: Path) -> None:
    def fail(root: Path) -> None:
        with create_dataset_folder(root) as folder:
            (folder / ".geographer").mkdir()
            (root / ".dvc/tmp").mkdir(parents=True)
            (root / ".dvcignore").touch()
            raise StorageError("the disk is full")

    (tmp_path / "used").mkdir()
    (tmp_path / "used/notes").touch()
    for name in ("new/deep", "used"):
        with pytest.raises(StorageError):
            fail(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["used"]
    assert [path.name for path in (tmp_path / "used").iterdir()] == ["notes"]


def test_links_in_folder_are_rejected(tmp_path: Path) -> None:
    (tmp_path / ".geographer").mkdir()
    (tmp_path / ".geographer/log.duckdb").touch()
    assert find_dataset_root(tmp_path) == tmp_path
    for name in ("state.duckdb", "downloads"):
        link = tmp_path / ".geographer" / name
        link.symlink_to(tmp_path)
        with pytest.raises(ConflictError, match=f"{name}' is a symbolic link"):
            find_dataset_root(tmp_path)
        link.unlink()


def test_places_without_permission_are_storage_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The superuser may do everything, so the answers of the system are replaced."""
    (tmp_path / ".geographer/staging").mkdir(parents=True)

    def refuse(*_args: object, **_options: object) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda path, _mode: Path(path).name != "staging")
        with (
            pytest.raises(StorageError, match=r"cannot write '.*staging'. Make it writable"),
            make_staging_folder(tmp_path),
        ):
            pass
    with monkeypatch.context() as patch:
        patch.setattr(Path, "lstat", refuse)
        with pytest.raises(StorageError, match=r"cannot read '.*': Permission denied. Change its permissions"):
            require_real_folder(tmp_path)
    (tmp_path / "x").touch()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", refuse)
        with pytest.raises(StorageError, match=r"cannot read '.*/x': Permission denied. Make it readable"):
            check_file(tmp_path / "x", Checksums(1, "", ""))
    (tmp_path / "loop").symlink_to("loop")
    assert check_file(tmp_path / "loop", Checksums(1, "", "")) == "missing"
