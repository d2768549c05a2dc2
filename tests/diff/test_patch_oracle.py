"""Patches against pygeodiff on the same features: the same changed ids and columns, the same inverse, joined and applied results."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pygeodiff
import pytest
import shapely

from geographer import Dataset
from geographer.diff.patch import Patch, concat_patches, invert_patch, read_patch, write_patch

COUNT = 60
CLASSES = ("pond", "quarry", "field")


def make_features(rng: np.random.Generator, ids: np.ndarray) -> geopandas.GeoDataFrame:
    columns = {
        "fid": ids,
        "class": [CLASSES[index] for index in rng.integers(0, 3, len(ids))],
        "depth": rng.integers(0, 9, len(ids)),
        "name": [f"n{number} ö" for number in rng.integers(0, 99, len(ids))],
    }
    corners = rng.uniform([6, 45], [12, 50], (len(ids), 2))
    boxes = shapely.box(*corners.T, *(corners.T + rng.uniform(0.1, 0.5, (2, len(ids)))))
    return geopandas.GeoDataFrame(columns, geometry=boxes, crs="EPSG:4326")


def change_features(rng: np.random.Generator, features: geopandas.GeoDataFrame, next_id: int) -> geopandas.GeoDataFrame:
    """Remove, change and add some features; each changed one differs in one or two columns."""
    changed = features.drop(index=rng.choice(len(features), 5, replace=False)).reset_index(drop=True)
    other = make_features(rng, changed["fid"].to_numpy())
    for row in rng.choice(len(changed), 15, replace=False):
        for name in rng.choice(["class", "depth", "name", "geometry"], rng.integers(1, 3), replace=False):
            changed.loc[row, name] = other.loc[row, name]
    added = make_features(rng, np.arange(next_id, next_id + 6))
    return geopandas.GeoDataFrame(geopandas.pd.concat([changed, added], ignore_index=True), crs="EPSG:4326")


class Versions:
    """Three versions of features: as GeoPackages, and as the revisions @2, @3 … of a dataset."""

    def __init__(self, folder: Path, seed: int) -> None:
        rng = np.random.default_rng(seed)
        first = make_features(rng, np.arange(1, COUNT + 1))
        second = change_features(rng, first, 100)
        self.tables = [first, second, change_features(rng, second, 200)]
        self.files = [folder / f"{number}.gpkg" for number in range(3)]
        self.dataset = Dataset.init(folder / "dataset", classes=CLASSES, scm=False)
        self.positions: list[int] = []
        previous: set[int] = set()
        for table, file in zip(self.tables, self.files, strict=True):
            table.set_index("fid").to_file(file, layer="features", driver="GPKG", index=True, SPATIAL_INDEX="NO")
            if gone := sorted(previous - set(table["fid"])):
                self.dataset.remove_features(gone)
            self.dataset.add_features(table, id="fid", replace=bool(previous))
            self.positions.append(self.dataset.log()[-1].position)
            previous = set(table["fid"])

    def write_patch(self, first: int, second: int, path: Path) -> Patch:
        self.dataset.write_patch(self.positions[first], self.positions[second], path)
        return read_patch(path)


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> Versions:
    return Versions(tmp_path_factory.mktemp("oracle"), seed=4)


@pytest.fixture(scope="module")
def geodiff() -> Any:
    return pygeodiff.GeoDiff()


def list_patch_columns(patch: Patch) -> dict[int, tuple[str, set[str]]]:
    """Return the kind of change of each feature, and of changed ones the columns that differ."""
    found = {}
    for change in patch.changes:
        if change.table != "feature_change":
            continue
        kind = "insert" if change.old is None else "delete" if change.new is None else "update"
        old, new = (flatten_values(side or {}) for side in (change.old, change.new))
        names = {name for name in {*old, *new} if old.get(name) != new.get(name)} if kind == "update" else set()
        found[int(change.key[0])] = (kind, names)
    return found


def flatten_values(values: dict[str, Any] | Any) -> dict[str, Any]:
    return {name: values[name] for name in ("class", "geometry") if name in values} | json.loads(
        values.get("properties") or "{}"
    )


def list_oracle_columns(geodiff: Any, changeset: Path, names: list[str]) -> dict[int, tuple[str, set[str]]]:
    listing = changeset.with_suffix(".json")
    geodiff.list_changes(str(changeset), str(listing))
    found = {}
    for entry in json.loads(listing.read_text())["geodiff"]:
        if entry["table"] != "features":
            continue
        values = {change["column"]: change for change in entry["changes"]}
        key = values[0].get("old", values[0].get("new"))
        updated = {names[column] for column in values if column != 0} if entry["type"] == "update" else set()
        found[key] = (entry["type"], updated)
    return found


@pytest.mark.parametrize(("first", "second"), [(0, 1), (1, 2), (0, 2), (2, 0)])
def test_same_changes_as_pygeodiff(versions: Versions, geodiff: Any, tmp_path: Path, first: int, second: int) -> None:
    changeset, patch = tmp_path / "x.diff", versions.write_patch(first, second, tmp_path / "x.patch")
    geodiff.create_changeset(str(versions.files[first]), str(versions.files[second]), str(changeset))
    columns = ["fid", "geometry", "class", "depth", "name"]
    assert list_patch_columns(patch) == list_oracle_columns(geodiff, changeset, columns)


def test_same_results_as_pygeodiff(versions: Versions, geodiff: Any, tmp_path: Path) -> None:
    """Joined, inverted and applied: the tables are those of the GeoPackages that pygeodiff changes."""
    patches = [versions.write_patch(*pair, tmp_path / f"{pair[0]}.patch") for pair in ((0, 1), (1, 2))]
    changesets = [tmp_path / f"{number}.diff" for number in range(2)]
    for number, changeset in enumerate(changesets):
        geodiff.create_changeset(*map(str, versions.files[number : number + 2]), str(changeset))
    joined, inverse = tmp_path / "joined.diff", tmp_path / "inverse.diff"
    geodiff.concat_changes(list(map(str, changesets)), str(joined))
    geodiff.invert_changeset(str(joined), str(inverse))
    both = concat_patches(*patches)
    table = shutil.copy(versions.files[0], tmp_path / "table.gpkg")
    undo = tmp_path / "undo.patch"
    write_patch(invert_patch(both), undo)
    write_patch(both, tmp_path / "both.patch")
    # The dataset is at the last version: undo, then do again.
    dataset = Dataset.open(shutil.copytree(versions.dataset.root, tmp_path / "dataset"))
    dataset.apply_patch(undo)
    assert read_rows(dataset) == read_table(table)
    geodiff.apply_changeset(str(table), str(joined))
    dataset.apply_patch(tmp_path / "both.patch")
    assert read_rows(dataset) == read_table(table) == read_table(versions.files[2])
    geodiff.apply_changeset(str(table), str(inverse))
    dataset.apply_patch(undo)
    assert read_rows(dataset) == read_table(table) == read_table(versions.files[0])


def read_rows(dataset: Dataset) -> dict[int, tuple[Any, ...]]:
    rows = dataset.features().to_pylist()
    return {row["feature_id"]: (row["class"], row["depth"], row["name"], bytes(row["geometry"])) for row in rows}


def read_table(path: Path | str) -> dict[int, tuple[Any, ...]]:
    table = geopandas.read_file(path, fid_as_index=True)
    wkb = shapely.to_wkb(table.geometry.to_numpy(), byte_order=1)
    columns = (table["class"], table["depth"], table["name"], wkb)
    return {int(key): values for key, values in zip(table.index, zip(*columns, strict=True), strict=True)}
