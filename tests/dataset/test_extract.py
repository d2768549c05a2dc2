"""Extraction of a collection into a new dataset, which goes on by itself, and takes later changes over."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from geographer import Dataset
from geographer.base.errors import ConflictError, GeographerError, NotFoundError, UsageError
from geographer.cli import geographer_command
from tests.cli.runner import read_rows
from tests.sample_history import point_geometry, write_features


@pytest.fixture(scope="module")
def source(sample_history: Any, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    root = tmp_path_factory.mktemp("source") / "dataset"
    dataset = Dataset.open(shutil.copytree(sample_history.root, root, symlinks=True))
    dataset.set_attributes({"sensor": "S2"})
    return dataset


@pytest.fixture(scope="module")
def template(source: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return source.extract_collection("around", tmp_path_factory.mktemp("extracted") / "chips", scm=False)


@pytest.fixture
def extracted(template: Dataset, tmp_path: Path) -> Dataset:
    return Dataset.open(shutil.copytree(template.root, tmp_path / "chips", symlinks=True))


def list_rows(dataset: Dataset, table: str, *columns: str, at: str | None = None, **filters: Any) -> list[Any]:
    return dataset.read_table(table, at, columns=columns, **filters).to_pylist()


def test_extracted_dataset_has_what_rasters_show(source: Dataset, template: Dataset) -> None:
    chips = source.rasters(collection="around")["raster_id"].to_pylist()
    edges = list_rows(source, "edges", "feature_id", "raster_id", "relation", raster_id=chips)
    shown = sorted({row["feature_id"] for row in edges})
    key = lambda row: sorted(row.items())  # noqa: E731
    assert sorted(list_rows(template, "edges", "feature_id", "raster_id", "relation"), key=key) == sorted(
        edges, key=key
    )
    columns = ("raster_id", "collection", "sha256", "pixel_digest", "crs", "width", "height")
    assert list_rows(template, "rasters", *columns) == list_rows(source, "rasters", *columns, raster_id=chips)
    assert template.features().to_pylist() == source.features(feature_id=shown).to_pylist()
    for table, names in (("labels", ("label", "raster_id", "md5")), ("splits", ("split", "raster_id", "part"))):
        assert list_rows(template, table, *names) == list_rows(source, table, *names, raster_id=chips) != []
    assert [row["class"] for row in template.classes().to_pylist()] == [
        row["class"] for row in source.classes().to_pylist()
    ]
    assert template.chips().num_rows == 0
    assert template.read_attributes() == {"sensor": "S2"}


def test_extracted_log_says_where_it_came_from(source: Dataset, template: Dataset) -> None:
    event: Any = template.show(2)
    assert event.kind == "collection_imported"
    assert event.payload["dataset"] == source.show(1).digest
    assert event.payload["history"]["digest"] == source.show().digest
    assert event.payload["history"]["content_digest"] == source.content_digest()
    assert event.payload["request"]["collection"] == "around"
    raster = template.rasters()["raster_id"][0].as_py()
    assert template.history(raster)[0]["history"] == source.show().digest
    assert "collection of another dataset" in " ".join(template.explain_object(raster)["sentences"])


def test_extracted_dataset_goes_on_by_itself(extracted: Dataset, tmp_path: Path) -> None:
    assert list(extracted.verify()) == []
    assert not any(result.changed for result in extracted.update())
    features = write_features(tmp_path / "more.geojson", {"more": ("pond", point_geometry(22, 22))})
    extracted.add_features(features, crs="EPSG:32633")
    results = {result.kind: result for result in extracted.update()}
    assert "labels_made" in results
    extracted.cut_grid("tiles", source="around", size=8)
    assert extracted.chips().num_rows
    assert list(extracted.verify()) == []


def test_extraction_of_an_older_revision(source: Dataset, tmp_path: Path) -> None:
    old = source.extract_collection("source", tmp_path / "old", at="v1", scm=False)
    columns = ("raster_id", "sha256")
    assert list_rows(old, "rasters", *columns) == list_rows(source, "rasters", *columns, at="v1", collection="source")
    shown = {row["feature_id"] for row in source.edges("v1").to_pylist()}
    assert {row["feature_id"] for row in old.features().to_pylist()} <= shown
    assert old.read_attributes() == {}


def test_later_changes_are_imported_again(source: Dataset, extracted: Dataset, tmp_path: Path) -> None:
    grown = Dataset.open(shutil.copytree(source.root, tmp_path / "grown", symlinks=True))
    own = write_features(tmp_path / "own.geojson", {"own": ("pond", point_geometry(5_000, 5_000))})
    extracted.add_features(own, crs="EPSG:32633")
    gone, kept = extracted.features()["feature_id"].to_pylist()[:2]
    moved = write_features(tmp_path / "moved.geojson", {kept: ("quarry", point_geometry(20, 20))})
    grown.add_features(moved, crs="EPSG:32633", replace=True)
    grown.remove_features([gone])
    chips = grown.rasters(collection="around")["raster_id"].to_pylist()
    grown.remove_rasters(chips[:1])
    result = extracted.import_dataset(grown.root, collection="around")
    assert result.changed
    features = {row["feature_id"]: row["class"] for row in extracted.features().to_pylist()}
    assert gone not in features
    assert features["own"] == "pond"
    assert extracted.rasters()["raster_id"].to_pylist() == chips[1:]
    assert features.get(kept, "quarry") == "quarry"
    again = extracted.import_dataset(grown.root, collection="around", dry_run=True).summary
    assert (again["features"], again["rasters"]) == (0, 0)


def test_splits_stay_out_of_datasets_with_rasters(source: Dataset, tmp_path: Path) -> None:
    dataset = source.extract_collection("boxes", tmp_path / "boxes", scm=False)
    dataset.import_dataset(source.root, collection="around")
    assert dataset.splits().num_rows == 0
    assert any("splits not imported" in text for text in dataset.show().payload["warnings"])
    assert set(dataset.rasters()["collection"].to_pylist()) == {"around", "boxes"}


def test_failed_extraction_leaves_nothing(source: Dataset, extracted: Dataset, tmp_path: Path) -> None:
    target = tmp_path / "new"
    cases: list[tuple[type[GeographerError], dict[str, Any], str]] = [
        (NotFoundError, {"collection": "nothing"}, "no collection 'nothing'"),
        (NotFoundError, {"at": "v9"}, "v9"),
        (NotFoundError, {"collection": "around", "at": 1}, "no collection"),
        (UsageError, {"collection": 3}, "invalid collection"),
        (ConflictError, {"to": extracted.root}, "contains a dataset"),
        (ConflictError, {"to": source.root / "rasters" / "x"}, "holds files of a dataset"),
    ]
    for error, arguments, message in cases:
        with pytest.raises(error, match=message):
            source.extract_collection(**{"collection": "around", "to": target, "scm": False, **arguments})
    copy = Dataset.open(shutil.copytree(source.root, tmp_path / "copy", symlinks=True))
    with pytest.raises(UsageError, match="is a copy of this dataset"):
        copy.import_dataset(source.root, collection="around")
    with pytest.raises(NotFoundError, match="has no collection 'nothing'"):
        extracted.import_dataset(source.root, collection="nothing")
    shutil.rmtree(copy.root / ".dvc" / "cache")
    shutil.rmtree(copy.root / "rasters")
    with pytest.raises(GeographerError, match="missing or altered"):
        copy.extract_collection("around", target / "inner", scm=False)
    assert not target.exists()
    (target / "rasters").mkdir(parents=True)
    (target / ".gitignore").write_text("*.log\n")
    (target / "notes.txt").write_text("mine")
    with pytest.raises(GeographerError, match="missing or altered"):
        copy.extract_collection("around", target, scm=False)
    assert {path.name for path in target.rglob("*")} == {"rasters", ".gitignore", "notes.txt"}
    assert (target / ".gitignore").read_text() == "*.log\n"


def test_extract_command(source: Dataset, tmp_path: Path) -> None:
    (status,) = read_rows(source.root, "extract", "catalogue", "--to", str(tmp_path / "a"), "--no-scm", "-m", "for Ada")
    dataset = Dataset.open(tmp_path / "a")
    assert status == dataset.status()
    assert {event.message for event in dataset.log()} == {"for Ada"}
    arguments = ["-C", str(source.root), "extract", "cover", "--to", str(tmp_path / "b"), "--no-scm"]
    result = CliRunner().invoke(geographer_command, arguments)
    assert result.exit_code == 0
    assert "3 features, 2 rasters, 0 labels in" in result.stdout
    assert "Warning: labels not imported: 2 (label 'bounds' has a --width, which may draw lines" in result.stderr
    assert CliRunner().invoke(geographer_command, arguments[:-3]).exit_code == 2
