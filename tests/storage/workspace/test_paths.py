"""Paths of stored files: which are accepted, in Python and SQL alike, and what blocks new files."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from pathlib import Path

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geographer.base.errors import ConflictError, NotFoundError, StorageError, UsageError
from geographer.storage.dvc.store import Store
from geographer.storage.events.row_tables import make_row_table
from geographer.storage.state import update
from geographer.storage.unit_of_work import UnitOfWork
from geographer.storage.workspace import paths
from geographer.storage.workspace.paths import (
    SafeFolder,
    check_new_paths,
    find_new_path_fault,
    find_path_fault,
    prepare_export_folder,
    require_inside,
)
from tests.compatibility.test_released_datasets import unpack_dataset

GOOD = (
    *("rasters/source/a.tif", "labels/mask/source/a.tif", "rasters/s-2_x.y/b c~0-1%20.tif", "rasters/ü/\u00e9.tif"),
    *("rasters/a/.hidden.tif", "rasters/a/tab\there", f"rasters/{'f' * 251}/{'n' * 255}", f"labels/ü/ö/{'ä' * 127}"),
    *("rasters/CON/aux.tif", "rasters/a./b. ", "rasters/-a/-b.tif", "rasters/a/x.dvc.tif", "rasters/xdvc/gitignore"),
)
BAD = {
    None: "missing",
    "": "missing",
    "/etc/passwd": "absolute",
    "/rasters/source/a.tif": "absolute",
    "rasters\\source\\a.tif": "backslash",
    "rasters/source/..\\..\\a.tif": "backslash",
    "rasters/source/a\0.tif": "NUL",
    "rasters/a\nb/c.tif": "control character",
    "../../outside.tif": "'..'",
    "rasters/../a.tif": "'..'",
    "rasters/source/..": "'..'",
    "rasters/./a.tif": "'.'",
    "rasters//a.tif": "empty",
    "rasters/source/": "empty",
    ".git/hooks/pre-commit": "not rasters/COLLECTION",
    "a.tif": "not rasters/COLLECTION",
    "rasters/a.tif": "not rasters/COLLECTION",
    "labels/mask/a.tif": "not rasters/COLLECTION",
    "rasters/a/b/c.tif": "not rasters/COLLECTION",
    "Rasters/source/a.tif": "not rasters/COLLECTION",
    "rasters/source/a.tif\n/x": "control character",
    "rasters/.git/config": "DVC",
    "labels/.mask/a/b.tif": "DVC",
    "rasters/foo.dvc/a.tif": "DVC",
    "rasters/foo/a.dvc": "DVC",
    "rasters/foo/.dvc": "DVC",
    "rasters/foo/.gitignore": "DVC",
    "labels/m/foo/.dvcignore": "DVC",
    "rasters/foo/.geographer-0123456789abcdef": "DVC",
    f"rasters/source/{'ü' * 128}": "255 bytes",
    f"rasters/{'𠀀' * 63}/a.tif": "255 bytes",
    f"rasters/{'f' * 252}/a.tif": "255 bytes",
}
_NAMES = ("a", "é", "x.dvc", ".DVC", ".gitignore", ".gitignore\n", ".geographer-1", "a\\b", ".hidden", "İ.dvc", "a\n")
_LONG_NAMES = ("f" * 251, "f" * 252, "ü" * 127, "ü" * 128)
PARTS = st.sampled_from(["rasters", "labels", "", ".", "..", *"\0\x1f\x7f\x85\n", *_NAMES, *_LONG_NAMES])


@pytest.fixture(scope="module")
def path_fault_sql():
    """A function that calls the macro path_fault."""
    with duckdb.connect() as connection:
        connection.execute(update.MACROS.with_name("path_fault.sql").read_text())
        yield lambda path: connection.execute("SELECT path_fault($1)", [path]).fetchall()[0][0]


@pytest.mark.parametrize("path", GOOD)
def test_find_path_fault_accepts_names(path):
    assert find_path_fault(path) is None


@pytest.mark.parametrize(("path", "reason"), BAD.items())
def test_find_path_fault_names_reason(path, reason):
    assert reason in (find_path_fault(path) or "")


def test_find_path_fault_rejects_invalid_text():
    assert find_path_fault("rasters/source/\udcff.tif") == "the path is not UTF-8"


@given(st.lists(PARTS, max_size=6).map("/".join) | st.text(alphabet="rastel/.\\\n\0dvcDVÜ~", max_size=30))
def test_path_fault_sql_agrees(path_fault_sql, path):
    assert path_fault_sql(path) == find_path_fault(path)


@pytest.mark.parametrize("path", [*GOOD, *BAD])
def test_path_fault_sql_agrees_on_examples(path_fault_sql, path):
    assert path_fault_sql(path) == find_path_fault(path)


def test_find_path_fault_accepts_released_paths(tmp_path):
    log = unpack_dataset("0.1.0", tmp_path) / ".geographer" / "log.duckdb"
    with duckdb.connect(str(log), read_only=True) as connection:
        queries = "SELECT path FROM raster_change WHERE storage = 'dvc' UNION SELECT path FROM label_change"
        recorded = [path for (path,) in connection.execute(queries).fetchall() if path is not None]
    assert len(recorded) > 80
    assert not any(map(find_new_path_fault, recorded))


@pytest.mark.parametrize("path", ["rasters/foo.DVC/a.tif", "rasters/foo/a.Dvc", "labels/m/foo/.DvcIgnore"])
def test_find_new_path_fault_ignores_case(path):
    """A version that did not check wrote such files; DVC takes only names in lower case for its own."""
    assert find_path_fault(path) is None
    assert "DVC" in (find_new_path_fault(path) or "")


@pytest.mark.parametrize("character", ["\t", "\n", "\x1b", "\x7f", "\x85"])
def test_find_new_path_fault_rejects_control_characters(character):
    path = f"rasters/source/a{character}.tif"
    assert find_path_fault(path) is None
    assert find_new_path_fault(path) == "the path has a control character"


class TestSafeFolder:
    def test_require_inside_joins_path(self, tmp_path):
        assert require_inside(tmp_path, "rasters/a/b.tif") == tmp_path / "rasters/a/b.tif"

    def test_require_inside_follows_link_to_root(self, tmp_path):
        (tmp_path / "dataset/rasters/a").mkdir(parents=True)
        (tmp_path / "link").symlink_to("dataset")
        assert require_inside(tmp_path / "link", "rasters/a/b.tif").parent.is_dir()

    @pytest.mark.parametrize("path", BAD)
    def test_require_inside_rejects_path(self, tmp_path, path):
        with pytest.raises(ConflictError, match=r"cannot use the path .*: .*\. Run geographer verify"):
            require_inside(tmp_path, path)

    @pytest.mark.parametrize("link", ["labels", "labels/mask", "labels/mask/a"])
    @pytest.mark.parametrize("target", ["outside", "missing"])
    def test_require_inside_rejects_links(self, tmp_path, link, target):
        (tmp_path / "outside/mask/a").mkdir(parents=True)
        (tmp_path / link).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / link).symlink_to(tmp_path / target)
        with pytest.raises(ConflictError, match=f"{link}' is a symbolic link"):
            require_inside(tmp_path, "labels/mask/a/b.tif")

    def test_require_inside_rejects_file_as_folder(self, tmp_path):
        (tmp_path / "rasters").write_text("")
        with pytest.raises(ConflictError, match="rasters' is a file in the place of a folder"):
            require_inside(tmp_path, "rasters/a/b.tif")

    def test_require_inside_checks_folder_once(self, tmp_path, monkeypatch):
        checked: list[Path] = []
        monkeypatch.setattr(paths, "require_real_folder", checked.append)
        folder = SafeFolder(tmp_path)
        for name in range(3):
            folder.require_inside(f"rasters/a/{name}")
        assert checked == [tmp_path / "rasters", tmp_path / "rasters/a"]


@pytest.fixture
def root(sample_history, tmp_path):
    return shutil.copytree(sample_history.root, tmp_path / "dataset")


NEW_CONTENT = b"new"
NEW_SHA256 = hashlib.sha256(NEW_CONTENT).hexdigest()


def check_rasters(root, *new_paths, removed=(), changed=()):
    """Check an event that adds rasters with ids 'new0', 'new1' …, removes rasters, and changes (id, path) pairs."""
    rows = [("added", f"new{index}", path) for index, path in enumerate(new_paths)]
    rows += [("removed", raster_id, None) for raster_id in removed]
    rows += [("changed", raster_id, path) for raster_id, path in changed]
    columns = dict(zip(("change", "raster_id", "path"), map(list, zip(*rows, strict=True)), strict=True))
    count = len(rows)
    columns |= {
        "storage": ["dvc"] * count,
        "size": [3] * count,
        "md5": ["0" * 32] * count,
        "sha256": [NEW_SHA256] * count,
    }
    check_rows(root, {"raster_change": make_row_table("raster_change", columns)})


def check_rows(root, rows):
    with Store(root) as store, UnitOfWork(root).open_revision() as revision:
        check_new_paths(revision, store, rows)


class TestCheckNewPaths:
    def test_accepts_new_changed_and_removed_files(self, root):
        check_rasters(root, "rasters/new/a.tif", "rasters/source/new.tif", removed=["b"])
        check_rasters(root, changed=[("a", "rasters/source/a.tif"), ("b", "rasters/source/b.tiff")])
        check_rasters(root, "rasters/source/b.tif", removed=["b"])

    def test_ignores_files_outside_dvc(self, root):
        check_rows(root, {"raster_change": make_row_table("raster_change", {"raster_id": ["x"], "path": ["/x.tif"]})})

    def test_reads_rows_of_relation(self, root):
        with Store(root) as store, UnitOfWork(root).open_revision() as revision:
            revision.connection.execute(
                "CREATE OR REPLACE TEMP TABLE planned AS SELECT 'added' AS change, 'mask' AS label, 'x' AS raster_id, "
                "'labels/mask/../x.tif' AS path, 1 AS size, '' AS md5, '' AS sha256"
            )
            with pytest.raises(UsageError, match=re.escape("a file at 'labels/mask/../x.tif': a part of the path is")):
                check_new_paths(revision, store, {"label_change": "planned"})

    def test_names_length_in_bytes(self, root):
        name = "ü" * 126 + ".tif"
        message = f"more than 255 bytes ('{name}' has 256). Give the raster, collection or label another name."
        with pytest.raises(UsageError, match=re.escape(message)):
            check_rasters(root, f"rasters/source/{name}")

    def test_rejects_long_path(self, root, monkeypatch):
        monkeypatch.setattr(os, "pathconf", lambda *_: 100)
        with pytest.raises(UsageError, match="too many for this system, where at most 100 fit"):
            check_rasters(root, f"rasters/source/{'n' * 90}")

    @pytest.mark.parametrize(
        ("new_path", "named_path", "other_path"),
        [
            ("rasters/source/A.tif", "rasters/source/A.tif", "rasters/source/a.tif"),
            ("rasters/source/a.TIF", "rasters/source/a.TIF", "rasters/source/a.tif"),
            ("rasters/Source/new.tif", "rasters/Source", "rasters/source"),
            ("labels/Mask/new/a.tif", "labels/Mask", "labels/mask"),
            ("labels/mask/Around/a.tif", "labels/mask/Around", "labels/mask/around"),
        ],
    )
    def test_rejects_names_that_differ_by_case(self, root, new_path, named_path, other_path):
        with pytest.raises(ConflictError, match=re.escape(f"'{named_path}' and '{other_path}' differ only by case")):
            check_rasters(root, new_path)

    def test_rejects_names_that_differ_by_normalisation(self, root):
        with pytest.raises(ConflictError, match="differ only by case or by the form of an accent"):
            check_rasters(root, "rasters/new/\u00fc.tif", "rasters/new/u\u0308.tif")

    def test_rejects_two_objects_with_one_file(self, root):
        for new_paths in (["rasters/source/a.tif"], ["rasters/new/x.tif"] * 2):
            with pytest.raises(ConflictError, match=f"two objects would have the file '{new_paths[0]}'"):
                check_rasters(root, *new_paths)

    def test_rejects_file_of_user(self, root):
        path = root / "rasters/new/x.tif"
        path.parent.mkdir()
        for content in (b"old", b"longer"):
            path.write_bytes(content)
            with pytest.raises(ConflictError, match=r"'rasters/new/x\.tif' would be overwritten"):
                check_rasters(root, "rasters/new/x.tif")
        path.write_bytes(NEW_CONTENT)
        check_rasters(root, "rasters/new/x.tif")
        path.unlink()
        path.mkdir()
        with pytest.raises(ConflictError, match=r"'rasters/new/x\.tif' would be overwritten"):
            check_rasters(root, "rasters/new/x.tif")
        path.rmdir()
        path.symlink_to("missing")
        with pytest.raises(ConflictError, match=r"'rasters/new/x\.tif' would be overwritten"):
            check_rasters(root, "rasters/new/x.tif")

    @pytest.mark.parametrize("change", ["added", "removed"])
    def test_rejects_links_to_folders(self, root, change):
        folder = root / "rasters/source"
        folder.rename(root.parent / "outside")
        folder.symlink_to(root.parent / "outside")
        with pytest.raises(ConflictError, match="rasters/source' is a symbolic link"):
            check_rasters(root, *(["rasters/source/x.tif"] if change == "added" else ()), removed=["b"])

    @pytest.mark.parametrize("name", ["rasters/new.dvc", "rasters/.gitignore"])
    def test_rejects_things_in_place_of_tracking_files(self, root, name):
        path = root / name
        path.unlink(missing_ok=True)
        path.mkdir()
        with pytest.raises(ConflictError, match=f"{name}' is not a file of DVC or Git"):
            check_rasters(root, "rasters/new/x.tif")
        path.rmdir()
        path.symlink_to(root.parent / "outside")
        with pytest.raises(ConflictError, match=f"{name}' is not a file of DVC or Git"):
            check_rasters(root, "rasters/new/x.tif")

    @pytest.mark.parametrize(
        "name",
        ["rasters", "rasters/source", "rasters/source.dvc", ".dvc/tmp", ".dvc/cache/files/md5", "rasters/.gitignore"],
    )
    def test_rejects_unwritable_places(self, root, monkeypatch, name):
        """The superuser may write everywhere, so the answer of the system is replaced."""
        (root / "rasters/.gitignore").touch()
        monkeypatch.setattr(os, "access", lambda path, _mode: Path(path) != root / name)
        with pytest.raises(StorageError, match=f"cannot write '{root / name}'"):
            check_rasters(root, removed=["b"])

    def test_rejects_unwritable_root_without_data_folder(self, root, monkeypatch):
        shutil.rmtree(root / "labels")
        monkeypatch.setattr(os, "access", lambda path, _mode: Path(path) != root)
        with pytest.raises(StorageError, match=f"cannot write '{root}'"):
            check_rasters(root, "labels/new/source/x.tif")

    def test_rejects_broken_repository(self, root):
        shutil.rmtree(root / ".dvc/cache")
        (root / ".dvc/cache").write_text("")
        with pytest.raises(StorageError, match="cache' is not a folder"):
            check_rasters(root, removed=["b"])
        (root / ".dvc/config").write_text("[core\n")
        with pytest.raises(UsageError, match="DVC cannot read the configuration"):
            check_rasters(root, removed=["b"])
        shutil.rmtree(root / ".dvc")
        with pytest.raises(NotFoundError, match="is not a DVC repository"):
            check_rasters(root, removed=["b"])


class TestPrepareExportFolder:
    def test_creates_folder(self, tmp_path):
        (tmp_path / "dataset").mkdir()
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "link").symlink_to("elsewhere")
        folder = prepare_export_folder(tmp_path / "dataset", tmp_path / "link/a/b")
        assert folder == tmp_path / "elsewhere/a/b"
        assert prepare_export_folder(tmp_path / "dataset", tmp_path / "dataset/exports/v1").is_dir()

    @pytest.mark.parametrize(
        "name", [".", "..", "rasters", "rasters/v1", "labels/x", ".dvc/v1", ".geographer", ".git/x"]
    )
    def test_rejects_folders_of_dataset(self, tmp_path, name):
        root = tmp_path / "dataset"
        root.mkdir()
        (tmp_path / "link").symlink_to("dataset")
        for base in (root, tmp_path / "link"):
            with pytest.raises(UsageError, match=r"the dataset is there\. Choose another folder for --to"):
                prepare_export_folder(root, base / name)
        assert not any(root.iterdir())

    def test_rejects_other_things(self, tmp_path, monkeypatch):
        (tmp_path / "file").write_text("")
        for name in ("file", "file/below"):
            with pytest.raises(ConflictError, match="file' is a file in the place of a folder"):
                prepare_export_folder(tmp_path / "dataset", tmp_path / name)
        (tmp_path / "export").mkdir()
        (tmp_path / "export/tables").symlink_to(tmp_path)
        with pytest.raises(ConflictError, match="tables' is a symbolic link"):
            prepare_export_folder(tmp_path / "dataset", tmp_path / "export")
        monkeypatch.setattr(os, "access", lambda _path, _mode: False)
        with pytest.raises(StorageError, match="cannot write"):
            prepare_export_folder(tmp_path / "dataset", tmp_path / "new")
