"""A small dataset with rasters, chips, masks and a split, and its two branches, which tests change and merge."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from geographer import Dataset
from geographer.storage.queries.remembered_removals import stage_remembered_removals
from tests.sample_history import PART_FRACTIONS, point_geometry, square_geometry, write_scenes

Edit = Callable[[Dataset, Path], Any]
"""Changes a dataset; the path is a folder for input files."""

FEATURES = {
    "p1": ("pond", square_geometry(10, 10, 4)),
    "p2": ("pond", square_geometry(40, 40, 6)),
    "q1": ("quarry", square_geometry(60, 20, 5)),
}


def add_features(
    dataset: Dataset, folder: Path, features: dict[str, tuple[str, dict]], *, replace: bool = False, **columns: Any
) -> Any:
    """Add features (id to class and geometry in EPSG:32633), with user columns."""
    members = [
        {"type": "Feature", "properties": {"id": name, "class": kind, **columns}, "geometry": geometry}
        for name, (kind, geometry) in features.items()
    ]
    path = folder / "features.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": members}))
    return dataset.add_features(path, crs="EPSG:32633", replace=replace)


def create_base(folder: Path) -> None:
    """Create the dataset in `folder / "dataset"`."""
    dataset = Dataset.init(folder / "dataset", background="water", scm=False)
    add_features(dataset, folder, FEATURES, depth=1)
    dataset.add_rasters(write_scenes(folder / "scenes", "a", "b"))
    dataset.cut_around_features("around", size=16)
    dataset.label_masks("mask", collection="around")
    dataset.split("parts", collection="around", parts=PART_FRACTIONS)


def fork(base: Path, folder: Path, left: Edit, right: Edit) -> Dataset:
    """Return a copy of the base with the branches `left` and `right`, each with its edit; `left` is in use."""
    dataset = Dataset.open(shutil.copytree(base, folder / "dataset", symlinks=True))
    for name, edit in (("right", right), ("left", left)):
        dataset.create_branch(name, "main")
        dataset.switch_branch(name)
        inputs = folder / name
        inputs.mkdir(exist_ok=True)
        edit(dataset, inputs)
    return dataset


def read_content(dataset: Dataset) -> dict[str, Any]:
    """Return all that two datasets of equal content have in common: rows, recipes, order, columns, removals, tags."""
    with dataset._unit_of_work.open_revision() as revision:
        fetch = revision.fetch_rows
        stage_remembered_removals(revision)
        return {
            "digest": revision.compute_content_digest(),
            "classes": fetch("SELECT class, value FROM classes"),
            "features": fetch("SELECT feature_id, class, crs, properties FROM current_feature ORDER BY ALL"),
            "rasters": fetch("SELECT raster_id, sha256, recipe, parent_id FROM current_raster ORDER BY ALL"),
            "labels": fetch("SELECT label, raster_id, sha256 FROM current_label ORDER BY ALL"),
            "splits": fetch("SELECT * FROM splits"),
            "recipes": fetch("SELECT name, kind, parameters FROM recipes"),
            "inputs": fetch("SELECT DISTINCT * FROM selected_input ORDER BY ALL"),
            "order": fetch(
                "SELECT feature_id FROM current_feature JOIN feature_order USING (feature_id) ORDER BY added, added_by, 1"
            ),
            "raster order": fetch(
                "SELECT raster_id FROM current_raster JOIN raster_order USING (raster_id) ORDER BY added, added_by, 1"
            ),
            "columns": {subject: revision.list_user_columns(subject) for subject in ("feature", "raster")},
            "removals": fetch("SELECT raster_id FROM remembered_removal ORDER BY ALL"),
            "tags": fetch("SELECT tag, digest FROM state.tag ORDER BY ALL"),
        }


def merge_both_ways(dataset: Dataset, **options: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Merge each branch into the other, update, and return both contents."""
    contents = []
    for own, other in (("left", "right"), ("right", "left")):
        name = f"{own}-first"
        dataset.create_branch(name, own)
        dataset.switch_branch(name)
        dataset.merge_branch(other, **options)
        list(dataset.update(on_conflict="exclude"))
        contents.append(read_content(dataset))
    return contents[0], contents[1]


POND = ("pond", point_geometry(20, 20))
