"""Roots: references are recorded relative to named folders, which each machine sets."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from geographer import Dataset
from geographer.base.errors import CorruptError, NotFoundError, UsageError
from geographer.storage.events import CommitInfo
from geographer.storage.events.payload import parse_payload
from geographer.storage.events.row_tables import make_row_table
from geographer.storage.log.append import append_event
from geographer.storage.workspace.roots import (
    Roots,
    find_reference_fault,
    format_references,
    list_references,
    read_roots,
)
from tests.sample_rasters import make_pixels, write_scene


def write_raster(path: Path, seed: int = 1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_scene(path, make_pixels(1, 24, 32, seed=seed))


def read_paths(dataset: Dataset) -> dict[str, str]:
    return {row["raster_id"]: row["path"] for row in dataset.rasters().to_pylist()}


def read_root_folders(dataset: Dataset) -> dict[str, str | None]:
    return {row["name"]: row["folder"] for row in dataset.list_roots().to_pylist()}


@pytest.fixture(scope="module")
def template(empty_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `dataset`, which references `data/sentinel2/T33/a.tif`, and has chips of it."""
    folder = tmp_path_factory.mktemp("roots")
    dataset = Dataset.open(shutil.copytree(empty_dataset, folder / "dataset"))
    write_raster(folder / "data/sentinel2/T33/a.tif")
    dataset.set_root("sentinel2", folder / "data/sentinel2")
    dataset.add_rasters(folder / "data/sentinel2", mode="reference")
    dataset.cut_grid("chips", size=16)
    dataset.tag("v1")
    return folder


@pytest.fixture
def folder(template: Path, tmp_path: Path) -> Path:
    """The folder of another machine, which has set no root."""
    shutil.copytree(template, tmp_path / "machine")
    (tmp_path / "machine/dataset/.geographer/roots.json").unlink()
    return tmp_path / "machine"


def append_reference(dataset: Dataset, path: str, raster_id: str = "x") -> None:
    """Append what another machine, or version 0.1.0, recorded: raster 'a' under another id and path."""
    added = next(event for event in dataset.log() if event.kind == "rasters_added")
    row = dataset.sql("SELECT * FROM log.raster_change WHERE raster_id = 'a'").to_pylist()[0]
    columns = make_row_table("raster_change", {"raster_id": []}).column_names
    rows = make_row_table(
        "raster_change", {name: [{**row, "raster_id": raster_id, "path": path}[name]] for name in columns}
    )
    payload, work = parse_payload(added.kind, added.version, added.payload), dataset._unit_of_work
    append_event(work.database, payload, {"raster_change": rows}, CommitInfo("Ada"), work.read_head())


def test_each_machine_sets_its_folders(template, folder):
    dataset = Dataset.open(folder / "dataset")
    assert read_paths(dataset)["a"] == "{sentinel2}/T33/a.tif"
    assert str(template) not in json.dumps(dataset.rasters().drop_columns(["footprint"]).to_pylist(), default=str)
    dataset.set_root("sentinel2", folder / "data/sentinel2")
    assert dataset.verify() == []
    with dataset.open_raster("a", at="v1") as raster:
        assert Path(raster.name) == folder / "data/sentinel2/T33/a.tif"
    columns = {
        "name": "sentinel2",
        "folder": str(folder / "data/sentinel2"),
        "exists": True,
        "references": 1,
        "found": 1,
    }
    assert dataset.list_roots().to_pylist() == [columns]


def test_unset_root_is_named_with_command(folder):
    dataset = Dataset.open(folder / "dataset")
    assert read_root_folders(dataset) == {"sentinel2": None}
    message = r"root 'sentinel2' is not set on this machine.*raster 'a'.*geographer roots set sentinel2 DIR"
    with pytest.raises(NotFoundError, match=message):
        dataset.open_raster("a")
    with pytest.raises(NotFoundError, match=message):
        dataset.cut_grid("other", size=8)
    with pytest.raises(NotFoundError, match=message):
        dataset.take_in_rasters()
    (finding,) = dataset.verify()
    assert (finding.kind, finding.subject) == ("missing raster", "{sentinel2}/T33/a.tif")
    assert "root 'sentinel2' is not set here: geographer roots set sentinel2 DIR" in finding.detail
    assert [result.changed for result in dataset.update()] == [False]


def test_restore_names_unset_root(folder):
    dataset = Dataset.open(folder / "dataset")
    dataset.remove_rasters(["a"])
    with pytest.raises(NotFoundError, match="geographer roots set sentinel2 DIR"):
        dataset.restore_rasters(["a"])
    dataset.set_root("sentinel2", folder / "data/sentinel2")
    dataset.restore_rasters(["a"])
    assert read_paths(dataset)["a"] == "{sentinel2}/T33/a.tif"


def test_new_root_is_deepest_common_folder(dataset, tmp_path, caplog):
    files = [write_raster(tmp_path / "my scenes!/x" / f"{name}.tif", seed) for seed, name in enumerate("ab")]
    other = write_raster(tmp_path / "my scenes!/y/c.tif", 3)
    dataset.add_rasters([*files, other], mode="reference", dry_run=True)
    assert read_root_folders(dataset) == {}
    dataset.add_rasters([*files, other], mode="reference")
    assert read_paths(dataset) == {
        name: f"{{my-scenes}}/{name_folder}/{name}.tif" for name, name_folder in zip("abc", "xxy", strict=True)
    }
    folder = tmp_path / "my scenes!"
    assert caplog.messages == [
        f"root 'my-scenes' is {folder} on this machine; others set it with: geographer roots set my-scenes DIR"
    ]
    caplog.clear()
    dataset.add_rasters([write_raster(folder / "x/d.tif", 4)], mode="reference")
    assert (read_paths(dataset)["d"], caplog.messages) == ("{my-scenes}/x/d.tif", [])


def test_longest_root_counts_and_used_names_get_number(dataset, tmp_path):
    dataset.set_root("all", tmp_path)
    first = write_raster(tmp_path / "scenes/a.tif")
    dataset.set_root("deep", tmp_path / "scenes")
    dataset.add_rasters(first, mode="reference")
    assert read_paths(dataset) == {"a": "{deep}/a.tif"}
    (dataset.root / ".geographer/roots.json").unlink()
    elsewhere = write_raster(tmp_path / "other/deep/b.tif", 2)
    dataset.add_rasters(elsewhere, mode="reference")
    assert read_paths(dataset)["b"] == "{deep-2}/b.tif"


def test_absolute_path_of_older_log_is_used(folder):
    dataset = Dataset.open(folder / "dataset")
    file = write_raster(folder / "elsewhere/x.tif")
    assert file.read_bytes() == (folder / "data/sentinel2/T33/a.tif").read_bytes()
    append_reference(dataset, str(file))
    dataset = Dataset.open(folder / "dataset")
    assert read_paths(dataset)["x"] == str(file)
    with dataset.open_raster("x") as raster:
        assert Path(raster.name) == file
    assert [finding.subject for finding in dataset.verify() if "raster" in finding.kind] == ["{sentinel2}/T33/a.tif"]
    dataset.add_rasters(file, mode="reference", replace=True)
    assert read_paths(dataset)["x"] == "{elsewhere}/x.tif"


def test_folder_in_braces_is_no_root(dataset):
    dataset.add_rasters(write_raster(dataset.root / "{old}/a.tif"), mode="reference")
    assert read_paths(dataset) == {"a": "./{old}/a.tif"}
    assert dataset.verify() == []
    roots = Roots(dataset.root)
    assert roots.locate_file("{old}/a.tif") == dataset.root / "{old}/a.tif"
    assert (roots.find_unset_root("{old}/a.tif"), roots.find_unset_root("{old}/b.tif")) == (None, "old")


def test_path_out_of_root_is_unreadable(folder, caplog):
    dataset = Dataset.open(folder / "dataset")
    dataset.set_root("sentinel2", folder / "data/sentinel2")
    paths = ("{sentinel2}/../../etc/passwd", "{sentinel2}//etc/passwd", "{sentinel2}/T33/.")
    for number, path in enumerate(paths):
        append_reference(dataset, path, f"x{number}")
    dataset = Dataset.open(folder / "dataset")
    assert [name for name in read_paths(dataset) if name.startswith("x")] == []
    assert sum(finding.kind == "unreadable row" for finding in dataset.verify()) == len(paths)
    assert "after its root" in caplog.text
    for path in paths:
        with pytest.raises(CorruptError, match="cannot use the path"):
            Roots(dataset.root).locate_file(path)


def test_sql_agrees_on_faults_of_paths(dataset):
    paths = [
        "{x}/a",
        "{x}/..",
        "{x}//a",
        "{x}/",
        "{x}",
        "{x}a/../b",
        "/a/../b",
        "{}/../x",
        "{x}/..a",
        "{a/b}/..",
        "",
        "{x\n}/./a",
    ]
    with dataset._unit_of_work.database.open_connection(log="r") as connection:
        script = Path(find_reference_fault.__code__.co_filename).parents[1] / "state/path_fault.sql"
        connection.execute(script.read_text())
        faults = [connection.execute("SELECT reference_fault($1)", [path]).fetchone()[0] for path in paths]
    assert faults == [find_reference_fault(path) for path in paths]
    assert sum(fault is not None for fault in faults) == 5


def test_damaged_file_of_roots_is_reported(folder):
    dataset = Dataset.open(folder / "dataset")
    file = dataset.root / ".geographer/roots.json"
    for content in ("{", "[]", '{"x": 1}', '{"roots": {"a": 7}}', '{"roots": {"a": "b"}}', '{"roots": {"../a": "/b"}}'):
        file.write_text(content)
        with pytest.raises(CorruptError, match=r"is damaged.*geographer roots set"):
            read_roots(dataset.root)
    for command in (dataset.list_roots, lambda: dataset.open_raster("a"), lambda: dataset.set_root("b", folder)):
        with pytest.raises(CorruptError, match=r"roots\.json', the roots of this machine, is damaged"):
            command()
    assert len(dataset.rasters()) == 5


def test_invalid_root_is_refused(dataset, tmp_path):
    file = write_raster(tmp_path / "a.tif")
    with pytest.raises(NotFoundError, match="no such file"):
        dataset.set_root("a", tmp_path / "nowhere")
    with pytest.raises(UsageError, match="is a file, and a root is a folder"):
        dataset.set_root("a", file)
    with pytest.raises(UsageError, match="invalid root name 'a/b'"):
        dataset.set_root("a/b", tmp_path)
    assert read_root_folders(dataset) == {}


def test_repair_keeps_files_of_root_in_workspace(folder):
    dataset = Dataset.open(folder / "dataset")
    shutil.copytree(folder / "data/sentinel2", dataset.root / "rasters/own")
    dataset.set_root("sentinel2", dataset.root / "rasters/own")
    assert dataset.verify(repair=True) == []
    assert (dataset.root / "rasters/own/T33/a.tif").is_file()


def test_references_are_listed(folder):
    dataset = Dataset.open(folder / "dataset")
    with dataset._unit_of_work.open_revision() as revision:
        references = list_references(revision)
    assert references == [("a", "{sentinel2}/T33/a.tif")]
    one = "1 raster is a reference and stays on this machine: a; push --take-in copies them into DVC"
    assert format_references(references) == one.replace("them", "it")
    many = "7 rasters are references and stay on this machine: a, a, a, a, a and 2 more; push --take-in copies them into DVC"
    assert format_references(references * 7) == many


def test_folder_with_credential_is_no_root(dataset, tmp_path):
    file = write_raster(tmp_path / "https:" / "ada:s3cretpw@host.example" / "a.tif")
    for command in (lambda: dataset.add_rasters(file, mode="reference"), lambda: dataset.set_root("x", file.parent)):
        with pytest.raises(UsageError, match="holds a credential") as raised:
            command()
        assert "s3cretpw" not in str(raised.value)
    assert read_root_folders(dataset) == {}
