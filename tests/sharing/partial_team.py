"""A team whose dataset has scenes apart from each other, and what an oracle selects of it, from its tables alone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import shapely

from geographer import Dataset
from tests.sample_history import point_geometry, square_geometry, write_features, write_scenes
from tests.sample_rasters import make_pixels, write_scene
from tests.sample_team import REMOTE_SETTINGS, Team, commit_all, run_git

HEAD, V1, KEPT = 13, 10, 13
"""The positions of the head, of the event that tag v1 names, and of the one that keeps chips without their recipe."""
PONDS = "class = 'pond'"


class Selection(NamedTuple):
    """Conditions of a partial clone; `matches` says in Python for which features `where` is true."""

    conditions: Mapping[str, Any]
    matches: Callable[[Mapping[str, Any]], bool] | None = None


def create_partial_team(folder: Path) -> Team:
    """Create the dataset of a team with scenes a, b and c in a row, one at the antimeridian, chips, masks and a split.

    After tag v1, pond p2 is added in scene c, which the ponds did not need before, and p1 is removed from scene a. Then
    the recipe of the chips `grid` is removed, and its chips stay.
    """
    team = Team(folder)
    inputs = folder / "inputs"
    inputs.mkdir(parents=True)
    team.remote.mkdir()
    team.ada.mkdir()
    run_git(team.ada, "init", "--quiet", "--initial-branch=main")
    dataset = Dataset.init(team.ada, classes=["pond", "quarry", "reef"])
    dataset.add_rasters(write_scenes(inputs, "a", "b", "c"))
    sea = make_pixels(1, 64, 64, "uint8", seed=8)
    degrees = (0.01, 0.0, 179.7, 0.0, -0.01, 1.0)
    scene = write_scene(inputs / "sea.tif", sea, transform=degrees, crs="EPSG:4326", nodata=0)
    dataset.add_rasters([scene], collection="islands")
    ponds = {"p1": ("pond", point_geometry(10.5, 10.5))}
    quarries = {"q1": ("quarry", square_geometry(58, 20, 3)), "q2": ("quarry", point_geometry(130.5, 20.5))}
    dataset.add_features(write_features(inputs / "features.geojson", ponds | quarries), crs="EPSG:32633")
    reef = {"type": "Point", "coordinates": [-179.95, 0.7]}
    dataset.add_features(write_features(inputs / "reef.geojson", {"r1": ("reef", reef)}), crs="EPSG:4326")
    dataset.cut_around_features("around", size=16)
    dataset.cut_grid("grid", source="islands", size=(32, 32))
    dataset.label_masks("mask", collection="around")
    dataset.split("parts", collection="around", parts={"train": 0.5, "test": 0.5})
    dataset.tag("v1")
    (team.ada / ".dvc/config").write_text(REMOTE_SETTINGS)
    later = write_features(inputs / "later.geojson", {"p2": ("pond", point_geometry(140.5, 40.5))})
    dataset.add_features(later, crs="EPSG:32633")
    dataset.remove_features(["p1"])
    dataset.remove_recipe("grid", keep=True)
    commit_all(team.ada, "begin")
    dataset.push(revisions="all")
    return team


def copy_partial_team(team: Team, folder: Path) -> Team:
    """Copy a team, its clones included, to another folder."""
    return Team(Path(shutil.copytree(team.folder, folder, symlinks=True)))


class RevisionTables(NamedTuple):
    """The tables of a revision that the oracle reads; geometries are those of shapely."""

    rasters: Mapping[str, Mapping[str, Any]]
    parents: Mapping[str, str]
    labels: Sequence[Mapping[str, Any]]
    features: Sequence[Mapping[str, Any]]
    edges: Collection[tuple[str, str]]
    subsets: Collection[tuple[str, str]]
    recipes: Collection[str]


def read_tables(dataset: Dataset, at: int) -> RevisionTables:
    """Read the tables of a revision."""
    revision = f"@{at}"
    rasters = dataset.rasters(revision).to_geopandas().to_dict("records")
    return RevisionTables(
        {row["raster_id"]: row for row in rasters},
        {row["raster_id"]: row["parent_id"] for row in dataset.chips(revision).to_pylist()},
        dataset.labels(revision).to_pylist(),
        dataset.features(revision).to_geopandas().to_dict("records"),
        {(row["feature_id"], row["raster_id"]) for row in dataset.edges(revision).to_pylist()},
        {(row["raster_id"], f"{row['split']}/{row['part']}") for row in dataset.splits(revision).to_pylist()},
        {"around", "grid"} if at < KEPT else {"around"},
    )


def list_selected_paths(tables: RevisionTables, selection: Selection) -> dict[str, str]:
    """Return the paths, with MD5s, of the files that a selection takes of a revision, by plain Python and shapely."""
    chosen = {name for name in tables.rasters if _meets_conditions(tables, selection, name)}
    while True:
        remade = {name for name in chosen if tables.rasters[name]["collection"] in tables.recipes}
        needed = {tables.parents[name] for name in remade if tables.parents.get(name) in tables.rasters}
        if needed <= chosen:
            break
        chosen |= needed
    return {path: md5 for name, path, md5 in list_files(tables) if name in chosen}


def list_files(tables: RevisionTables) -> list[tuple[str, str, str]]:
    """Return raster, path and MD5 of all files of a revision."""
    rows = [*tables.rasters.values(), *tables.labels]
    return [(row["raster_id"], row["path"], row["md5"]) for row in rows]


def _meets_conditions(tables: RevisionTables, selection: Selection, name: str) -> bool:
    conditions, family = selection.conditions, [name]
    while family[-1] in tables.parents:
        family.append(tables.parents[family[-1]])
    if (ids := conditions.get("rasters")) is not None and name not in ids:
        return False
    if (names := conditions.get("collections")) is not None and not any(
        member in tables.rasters and tables.rasters[member]["collection"] in names for member in family
    ):
        return False
    if (subsets := conditions.get("subsets")) is not None and not any(
        (member, subset) in tables.subsets for member in family for subset in subsets
    ):
        return False
    return _meets_places(tables, selection, name)


def _meets_places(tables: RevisionTables, selection: Selection, name: str) -> bool:
    box, matches = _make_area(selection.conditions.get("bbox")), selection.matches
    if box is None and matches is None:
        return True
    chosen = {
        row["feature_id"]
        for row in tables.features
        if (matches is None or matches(row)) and (box is None or row["geometry"].intersects(box))
    }
    if any((feature, name) in tables.edges for feature in chosen):
        return True
    return matches is None and box is not None and bool(tables.rasters[name]["footprint"].intersects(box))


def _make_area(bbox: tuple[float, float, float, float] | None) -> shapely.Geometry | None:
    if bbox is None:
        return None
    west, south, east, north = bbox
    if west <= east:
        return shapely.box(west, south, east, north)
    return shapely.union(shapely.box(west, south, 180, north), shapely.box(-180, south, east, north))


def list_workspace_paths(root: Path) -> set[str]:
    """Return the paths of the rasters and labels in a workspace."""
    folders = ("rasters", "labels")
    return {
        path.relative_to(root).as_posix() for top in folders for path in (root / top).rglob("*.tif") if path.is_file()
    }


def list_listed_paths(root: Path) -> set[str]:
    """Return the paths that the `.dvc` files of a dataset name, by the listings in its cache."""
    paths: set[str] = set()
    for dvc_file in [*root.glob("rasters/*.dvc"), *root.glob("labels/*/*.dvc")]:
        lines = [line for line in dvc_file.read_text().splitlines() if "md5:" in line]
        address = lines[0].partition("md5:")[2].strip()
        listing = json.loads((root / ".dvc/cache/files/md5" / address[:2] / address[2:]).read_bytes())
        folder = dvc_file.relative_to(root).as_posix().removesuffix(".dvc")
        paths |= {f"{folder}/{entry['relpath']}" for entry in listing}
    return paths
