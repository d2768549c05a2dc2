"""Withdrawn rasters: their bytes are deleted everywhere, digests and reason stay, and they cannot come back."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from geographer import Dataset
from geographer.base.errors import ConflictError, GeographerError, NotFoundError, UsageError
from geographer.storage.workspace.chain_objects import list_chain_objects
from geographer.storage.workspace.chain_objects import list_withdrawn_md5s as list_withdrawn_of_chain
from geographer.storage.workspace.withdrawn_files import MARKER, delete_withdrawn_objects, list_withdrawn_md5s
from tests.cli.runner import read_rows, run_command
from tests.operations.pond_dataset import add_points
from tests.sample_rasters import make_pixels, write_scene

REASON = "the licence ended"


@pytest.fixture(scope="module")
def template(
    pond_template: Path, open_copy: Callable[[Path], Dataset], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    dataset = open_copy(pond_template)
    dataset.add_rasters(write_scene(tmp_path_factory.mktemp("extra") / "kept.tif", make_pixels(1, 8, 8, seed=9)))
    dataset.cut_around_features("around", size=12)
    dataset.label_masks("mask", collection="around")
    dataset.tag("v1")
    return shutil.copytree(dataset.root, tmp_path_factory.mktemp("withdrawn") / "dataset")


@pytest.fixture
def dataset(template: Path, open_copy: Callable[[Path], Dataset]) -> Dataset:
    """Chips around points with masks, and a raster without chips; the tag v1 names the head."""
    return open_copy(template)


def list_rasters(dataset: Dataset, at: str | None = None) -> dict[str, str]:
    table = dataset.rasters(at=at)
    return dict(zip(table["raster_id"].to_pylist(), table["md5"].to_pylist(), strict=True))


def has_object(dataset: Dataset, md5: str) -> bool:
    return any(path.is_file() for path in (dataset.root / ".dvc" / "cache").glob(f"**/md5/{md5[:2]}/{md5[2:]}"))


def test_withdrawal_deletes_bytes_everywhere(dataset: Dataset, tmp_path: Path) -> None:
    before = list_rasters(dataset)
    withdrawn = {
        raster_id: md5 for raster_id, md5 in before.items() if raster_id == "a" or raster_id[:9] == "around/a_"
    }
    assert len(withdrawn) > 1
    dataset._unit_of_work.file_store.retain_objects(withdrawn.values())
    result = dataset.withdraw_rasters("a", reason=REASON)
    assert (result.kind, result.summary["rasters"], result.summary["files"]) == (
        "rasters_withdrawn",
        len(withdrawn),
        len(withdrawn),
    )
    assert result.summary["labels"] == len(withdrawn) - 1
    assert list_rasters(dataset).keys() == before.keys() - withdrawn.keys()
    assert [md5 for md5 in withdrawn.values() if has_object(dataset, md5)] == []
    assert all(has_object(dataset, md5) for raster_id, md5 in before.items() if raster_id not in withdrawn)
    verified = dataset.verify(all_tags=True)
    assert verified == []
    assert f"withdrawn: 1 file of raster 'a' since @{result.position} ({REASON})" in verified.report.withdrawn
    with dataset._unit_of_work.open_revision("v1") as revision:
        assert list_withdrawn_md5s(revision) == {*withdrawn.values()}
        query = "SELECT DISTINCT md5, valid_from FROM state.withdrawn_file ORDER BY md5"
        assert revision.fetch_rows(query) == [(md5, result.position) for md5 in sorted(withdrawn.values())]


def test_earlier_revisions_show_what_is_withdrawn(dataset: Dataset, tmp_path: Path) -> None:
    position = dataset.withdraw_rasters(["a"], reason=REASON).position
    with pytest.raises(NotFoundError, match=f"raster 'a' has no file at .*: withdrawn @{position}: {REASON}"):
        dataset.open_raster("a", at="v1")
    paths = dict(zip(*(dataset.rasters(at="v1")[name].to_pylist() for name in ("raster_id", "path")), strict=True))
    assert (paths["a"], Path(dataset.root, paths["kept"]).is_file()) == (None, True)
    dataset.open_raster("kept", at="v1").close()
    export = tmp_path / "export"
    result = dataset.checkout("v1", to=export)
    assert {file.raster_id for file in result.withdrawn} >= {"a"}
    assert "/a.tif" not in (export / "MANIFEST").read_text()
    assert (export / "rasters/source/kept.tif").is_file()
    assert len(dataset.checkout("v1").withdrawn) == len(result.withdrawn)
    assert not (dataset.root / "rasters/source/a.tif").exists()
    assert dataset.verify() == []
    assert f"withdrawn: 1 file of raster 'a' since @{position} ({REASON})" in run_command(
        dataset.root, "checkout", "v1"
    )
    dataset.checkout("HEAD")
    assert dataset.verify() == []


def test_withdrawn_bytes_do_not_come_back(dataset: Dataset, tmp_path: Path, empty_dataset: Path) -> None:
    source = shutil.copy(dataset.root / "rasters/source/a.tif", tmp_path / "copy.tif")
    chips = [raster_id for raster_id in list_rasters(dataset) if raster_id.startswith("around/a_")]
    dataset.withdraw_rasters(["a"], reason=REASON)
    head = dataset.show().position
    for restored in (["a"], chips[:1]):
        with pytest.raises(ConflictError, match=REASON):
            dataset.restore_rasters(restored)
    for dry_run in (False, True):
        with pytest.raises(ConflictError, match=f"raster 'copy' has bytes that were withdrawn @{head}: {REASON}"):
            dataset.add_rasters(source, dry_run=dry_run)
    with pytest.raises(ConflictError, match=f"already withdrawn @{head}"):
        dataset.withdraw_rasters(["a"], reason="again")
    dataset.update()
    assert {*list_rasters(dataset)}.isdisjoint(["a", *chips])
    other = Dataset.open(shutil.copytree(empty_dataset, tmp_path / "other"))
    with pytest.raises(ConflictError, match=f"raster '.*' was withdrawn @{head}: {REASON}"):
        other.import_dataset(dataset.root, at="v1")
    other.import_dataset(dataset.root)
    assert "a" not in list_rasters(other)


def test_withdrawn_chip_is_not_cut_again(dataset: Dataset, tmp_path: Path) -> None:
    chips = [raster_id for raster_id in list_rasters(dataset) if raster_id.startswith("around/a_")]
    dataset.remove_rasters(chips[:1])
    dataset.withdraw_rasters(chips[:1], reason="a face")
    add_points(dataset, tmp_path / "inputs", {"near": (21.5, 21.5)})
    dataset.update()
    dataset.cut_around_features("around", size=12, replace=True)
    assert chips[0] not in list_rasters(dataset)
    assert chips[1] in list_rasters(dataset)
    assert dataset.verify(all_tags=True) == []


def test_interrupted_deletion_is_completed(dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    md5 = list_rasters(dataset)["a"]
    stored = next(path for path in dataset.root.glob(f".dvc/cache/**/{md5[:2]}/{md5[2:]}"))
    saved = shutil.copy(stored, tmp_path / "saved")
    with monkeypatch.context() as patch:
        patch.setattr("geographer.storage.workspace.withdrawn_files.delete_withdrawn_objects", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            dataset.withdraw_rasters(["a"], reason=REASON)
    assert has_object(dataset, md5)
    assert "withdrawn file still present" in {finding.kind for finding in dataset.verify()}
    dataset.add_classes(["lagoon"])
    assert not has_object(dataset, md5)
    assert (dataset.root / ".geographer" / MARKER).is_file()
    for path in (stored, dataset.root / "rasters/source/a.tif"):
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(saved, path)
    (finding,) = dataset.verify()
    assert (finding.subject, REASON in finding.detail, "--repair" in finding.remedy) == ("raster a", True, True)
    assert "in DVC's cache and in the workspace" in finding.detail
    assert dataset.verify(repair=True) == dataset.verify() == []
    assert not has_object(dataset, md5)
    assert not (dataset.root / "rasters/source/a.tif").exists()


def test_bytes_in_use_are_not_deleted(dataset: Dataset) -> None:
    """An event of someone else can say that bytes are withdrawn which a raster of the head has."""
    md5 = list_rasters(dataset)["kept"]
    dataset.withdraw_rasters(["a"], reason=REASON)
    with dataset._unit_of_work.database.open_connection(log="w") as connection:
        connection.execute("UPDATE log.withdrawn_file SET md5 = $1 WHERE raster_id = 'a'", [md5])
    with dataset._unit_of_work.open_revision() as revision:
        delete_withdrawn_objects(revision, dataset._unit_of_work.file_store)
    assert has_object(dataset, md5)


def test_other_files_are_not_withdrawn(dataset: Dataset) -> None:
    """An event of someone else can say that a raster had bytes which it never had."""
    kept, store = list_rasters(dataset)["kept"], dataset._unit_of_work.file_store
    dataset.remove_rasters(["kept"])
    position = dataset.withdraw_rasters(["a"], reason=REASON).position
    for md5 in (kept, "0" * 32, "../../../../victim", "0" * 31):
        stored = dataset.root / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
        stored.parent.mkdir(parents=True, exist_ok=True)
        stored.touch()
        with dataset._unit_of_work.database.open_connection(log="w") as connection:
            connection.execute("UPDATE log.withdrawn_file SET md5 = $1 WHERE raster_id = 'a'", [md5])
        with dataset._unit_of_work.open_revision() as revision:
            delete_withdrawn_objects(revision, store)
            withdrawn = list_withdrawn_md5s(revision)
            assert stored.exists()
            assert md5 not in withdrawn != set()
            assert list_withdrawn_of_chain(revision.connection, "main", position) == withdrawn
            assert list_withdrawn_of_chain(revision.connection, "main", position - 1) == set()
            needed = list_chain_objects(revision.connection, "main", position, "all").files
            assert not withdrawn & needed.keys()


def test_invalid_md5_is_no_object(dataset: Dataset) -> None:
    """An event of someone else can name a path instead of an MD5."""
    md5, position = list_rasters(dataset)["kept"], dataset.show().position
    with dataset._unit_of_work.database.open_connection(log="w") as connection:
        before = list_chain_objects(connection, "main", position, "all").files
        connection.execute("UPDATE log.raster_change SET md5 = '../../../../victim' WHERE raster_id = 'kept'")
        assert list_chain_objects(connection, "main", position, "all").files.keys() == before.keys() - {md5}


@pytest.fixture(scope="module")
def refusing_dataset(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """A dataset with two rasters of the same bytes, and a reference; the tests must not change it."""
    folder = tmp_path_factory.mktemp("refusing")
    dataset = Dataset.open(shutil.copytree(template, folder / "dataset"))
    for name in ("first", "second"):
        write_scene(folder / f"{name}.tif", make_pixels(1, 8, 8, seed=3))
    dataset.add_rasters([folder / "first.tif", folder / "second.tif"])
    dataset.add_rasters(write_scene(folder / "linked.tif", make_pixels(1, 8, 8, seed=4)), mode="reference")
    return dataset


@pytest.mark.parametrize(
    ("ids", "reason", "error", "message"),
    [
        (["a"], " ", UsageError, "invalid --reason"),
        (["a"], "see https://ada:secret@host/x", UsageError, "credential"),
        ([], REASON, UsageError, "no raster id given"),
        (["nosuch"], REASON, NotFoundError, "never had raster 'nosuch'"),
        (["linked"], REASON, UsageError, "stores no bytes of references"),
        (["first"], REASON, ConflictError, "raster 'second' has the bytes of raster 'first'"),
    ],
)
def test_withdrawal_is_refused(
    refusing_dataset: Dataset, ids: list[str], reason: str, error: type[GeographerError], message: str
) -> None:
    head = refusing_dataset.show().position
    with pytest.raises(error, match=message):
        refusing_dataset.withdraw_rasters(ids, reason=reason)
    assert refusing_dataset.show().position == head


def test_removed_rasters_are_withdrawn_from_history(dataset: Dataset) -> None:
    md5 = list_rasters(dataset)["kept"]
    dataset.remove_rasters(["kept"])
    (printed,) = read_rows(dataset.root, "withdraw", "kept", "--reason", REASON)
    assert (printed["files"], printed["rasters"]) == (1, 0)
    assert not has_object(dataset, md5)
    assert "withdrawn: 1 file of raster 'kept'" in run_command(dataset.root, "verify", "--all")
