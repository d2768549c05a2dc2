"""Datasets that released versions wrote are read, verified, checked out and extended.

`make_dataset.py` wrote the archives. A new version adds an archive here; existing ones never change.
"""

from __future__ import annotations

import hashlib
import shutil
import tarfile
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq
import pytest

from geographer import Dataset
from tests.compatibility.example_commands import OTHERS, SOFT, write_features

FOLDER = Path(__file__).parent
TABLES = ("features", "rasters", "edges", "chips", "labels", "objects", "splits")


class TaggedRevision(NamedTuple):
    """The expected content of a tagged revision.

    Attributes:
        position: Of the event that is tagged.
        digest: Of that event.
        content_digest: Of the state.
        rows: How many rows each table has.
        files: How many files a checkout has.
        files_digest: SHA-256 of the lines `<path> <sha256>\\n` of these files, sorted by path.
    """

    position: int
    digest: str
    content_digest: str
    rows: dict[str, int]
    files: int
    files_digest: str


RELEASED = {
    "0.1.0": {  # written by commit 92ba812
        "v1": TaggedRevision(
            position=19,
            digest="84d52187fe9e0f7ecf22ba1d468a488266e3a2af3b0fb313065076cf684c772b",
            content_digest="b48250bd9dba6d9c3578e1c0fab74c239c9fd3088b13080ea5d40b33b2eaae43",
            rows={
                "features": 9, "rasters": 34, "edges": 65, "chips": 29, "labels": 48, "objects": 16, "splits": 10,
            },
            files=80,
            files_digest="c32f43400f31fd715f8196ad2d028f03b7044336706d936d0248dd4157a31364",
        ),
        "v2": TaggedRevision(
            position=53,
            digest="46c9f4cf939ad1e403f6395651761cef1c297f23199471b2fff006b5b16bea3f",
            content_digest="6a0e2c734989df251a600fc2b518a0d436a9d977b62dc82bb67cc94ee65ab28a",
            rows={
                "features": 15, "rasters": 40, "edges": 84, "chips": 33, "labels": 58, "objects": 19, "splits": 11,
            },
            files=96,
            files_digest="a6b867c4b83d5d5980cc7398164c4fda72c696fe2177abcc38e3c8800998342f",
        ),
    },
}  # fmt: skip
HEADS = {"0.1.0": (54, "7b456ca91b46b0d985783998b8349fa25fa172578f05784ae3ce666c82984398")}
"""The position and digest of the last event of each archive."""

REVISIONS = [(version, tag) for version, tags in RELEASED.items() for tag in tags]


def unpack_dataset(version: str, folder: Path) -> Path:
    """Unpack an archive and return the dataset's folder."""
    with tarfile.open(FOLDER / f"dataset-{version}.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    return folder / "ponds"


@pytest.fixture(scope="module")
def read_only(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Dataset]:
    """The dataset of each archive, by version; only for reading."""
    return {version: Dataset.open(unpack_dataset(version, tmp_path_factory.mktemp("released"))) for version in RELEASED}


def read_tables(dataset: Dataset, tag: str) -> dict[str, list[dict[str, Any]]]:
    return {name: getattr(dataset, name)(at=tag).to_pylist() for name in TABLES}


def hash_files(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of the rasters and labels in a folder, by path; not of DVC's own files."""
    paths = [path for part in ("rasters", "labels") for path in (folder / part).rglob("*") if path.is_file()]
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in paths
        if path.suffix in (".tif", ".json")
    }


def compute_files_digest(files: dict[str, str]) -> str:
    return hashlib.sha256("".join(f"{path} {files[path]}\n" for path in sorted(files)).encode()).hexdigest()


@pytest.mark.parametrize("version", RELEASED)
def test_archive_holds_an_old_state(version: str) -> None:
    """Without one, the tests do not show that a state of another version is replaced."""
    with tarfile.open(FOLDER / f"dataset-{version}.tar.gz") as archive:
        assert {"ponds/.geographer/log.duckdb", "ponds/.geographer/state.duckdb"} <= set(archive.getnames())


@pytest.mark.parametrize("version", RELEASED)
def test_log_ends_at_recorded_digest(version: str, read_only: dict[str, Dataset]) -> None:
    last = read_only[version].log()[-1]
    assert (last.position, last.digest) == HEADS[version]


@pytest.mark.parametrize(("version", "tag"), REVISIONS)
def test_tag_names_recorded_revision(version: str, tag: str, read_only: dict[str, Dataset]) -> None:
    expected = RELEASED[version][tag]
    (row,) = (row for row in read_only[version].tags().to_pylist() if row["tag"] == tag)
    assert (row["position"], row["digest"], row["content_digest"]) == expected[:3]


@pytest.mark.parametrize(("version", "tag"), REVISIONS)
def test_tables_and_content_digest_are_as_released(version: str, tag: str, read_only: dict[str, Dataset]) -> None:
    expected = RELEASED[version][tag]
    tables = read_tables(read_only[version], tag)
    assert {name: len(rows) for name, rows in tables.items()} == expected.rows
    assert read_only[version].content_digest(tag) == expected.content_digest


@pytest.mark.parametrize("version", RELEASED)
def test_verify_finds_nothing(version: str, read_only: dict[str, Dataset]) -> None:
    assert [read_only[version].verify(revision) for revision in ("v1", "v2", None)] == [[], [], []]


@pytest.mark.parametrize("version", RELEASED)
def test_rerun_makes_old_files_again(
    version: str, read_only: dict[str, Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an older version planned and made, this one plans and makes again, byte for byte."""
    monkeypatch.syspath_prepend(str(FOLDER))
    report = read_only[version].rerun_revision("v1")
    assert {item.result for item in report.files} == {"identical bytes"}
    assert {item.plan for item in report.events} == {"same"}
    assert all(item.software[0].recorded == version for item in report.events)


@pytest.mark.parametrize(("version", "tag"), REVISIONS)
def test_checkout_restores_recorded_files(
    version: str, tag: str, read_only: dict[str, Dataset], tmp_path: Path
) -> None:
    expected = RELEASED[version][tag]
    read_only[version].checkout(tag, to=tmp_path / "files")
    files = hash_files(tmp_path / "files")
    assert (len(files), compute_files_digest(files)) == (expected.files, expected.files_digest)
    table = pq.read_table(tmp_path / "files" / "tables" / "rasters.parquet", columns=["path", "sha256"])
    recorded = {row["path"]: row["sha256"] for row in table.to_pylist() if row["sha256"]}
    assert {path: sha256 for path, sha256 in recorded.items() if path.startswith("rasters/")} == {
        path: sha256 for path, sha256 in files.items() if path.startswith("rasters/")
    }


@pytest.mark.parametrize("version", RELEASED)
def test_rebuilt_state_equals_archived_state(version: str, read_only: dict[str, Dataset], tmp_path: Path) -> None:
    folder = unpack_dataset(version, tmp_path)
    (folder / ".geographer" / "state.duckdb").unlink()
    without_state = Dataset.open(folder)
    for tag in RELEASED[version]:
        assert read_tables(without_state, tag) == read_tables(read_only[version], tag)


@pytest.mark.parametrize("version", RELEASED)
def test_released_dataset_can_be_extended(version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """New features reach the chips, labels and splits of recipes that the old version recorded; old tags stay."""
    monkeypatch.syspath_prepend(str(FOLDER))  # the recipes name their plugins as example_plugins:NAME
    dataset = Dataset.open(unpack_dataset(version, tmp_path))
    position, _ = HEADS[version]
    new = {f"new-{name}": OTHERS[name] for name in OTHERS} | {"new-soft": SOFT["s1"]}
    write_features(tmp_path / "new.geojson", new)

    dataset.add_features(tmp_path / "new.geojson", crs="EPSG:32633")
    dataset.update(workers=1)
    dataset.tag("v3")

    assert dataset.log()[position].kind == "features_added"
    assert {event.kind for event in dataset.log()[position:]} >= {"chips_cut", "labels_made", "revision_tagged"}
    assert len(dataset.features().to_pylist()) == RELEASED[version]["v2"].rows["features"] + len(new)
    assert [dataset.verify(revision) for revision in ("v1", "v2", "v3")] == [[], [], []]
    for tag, expected in RELEASED[version].items():
        assert dataset.content_digest(tag) == expected.content_digest
    shutil.rmtree(tmp_path / "ponds" / "rasters")
    dataset.checkout("v1")
    assert compute_files_digest(hash_files(dataset.root)) == RELEASED[version]["v1"].files_digest
