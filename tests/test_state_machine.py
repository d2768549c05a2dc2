"""Random histories: the rebuilt state equals the one that grew, and earlier revisions never change.

HYPOTHESIS_PROFILE=long runs more histories.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyproj
import pytest
import rasterio
import shapely
from dvc.repo import Repo
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from geographer import Dataset
from geographer.base.errors import ConflictError, GeographerError, NotFoundError, UsageError
from geographer.storage.queries.read_tables import read_table
from geographer.storage.queries.selection import TableFilter
from tests.sample_rasters import CUSTOM_CRS, make_pixels, to_xy, write_scene
from tests.sample_team import LONG

UTM = "EPSG:32633"
WEST, NORTH, PIXEL = 500_000.0, 5_200_000.0, 10.0
TABLES = ("features", "rasters", "edges", "chips", "labels", "splits", "classes", "tags")
BACKGROUND = "water"
CLASSES = (BACKGROUND, "pond", "quarry", "reed")


@cache
def transformer(source: str, target: str) -> pyproj.Transformer:
    return pyproj.Transformer.from_crs(source, target, always_xy=True)


def reproject(geometry: shapely.Geometry, source: str, target: str) -> shapely.Geometry:
    """Transform a geometry to another CRS, vertex by vertex."""
    if source == target:
        return geometry
    return shapely.transform(geometry, transformer(source, target).transform, interleaved=False)


def _offset_in_crs(crs: str, east: float, south: float) -> tuple[float, float]:
    return transformer(UTM, crs).transform(WEST + east, NORTH - south)


LAYOUTS: dict[str, Callable[[], tuple[str, tuple[float, ...]]]] = {
    "here": lambda: (UTM, (PIXEL, 0, WEST, 0, -PIXEL, NORTH)),
    "east": lambda: (UTM, (PIXEL, 0, WEST + 480, 0, -PIXEL, NORTH)),
    "beside": lambda: (UTM, (PIXEL, 0, WEST + 640, 0, -PIXEL, NORTH)),
    "south-up": lambda: (UTM, (PIXEL, 0, WEST + 100, 0, PIXEL, NORTH - 700)),
    "turned": lambda: (UTM, (8, 3, WEST + 50, 3, -8, NORTH)),
    "degrees": lambda: (
        "EPSG:4326",
        (1e-4, 0, _offset_in_crs("EPSG:4326", 200, 0)[0], 0, -8e-5, _offset_in_crs("EPSG:4326", 0, 50)[1]),
    ),
    "custom": lambda: (
        CUSTOM_CRS,
        (PIXEL, 0, _offset_in_crs(CUSTOM_CRS, 500, 0)[0], 0, -PIXEL, _offset_in_crs(CUSTOM_CRS, 500, 0)[1]),
    ),
}
"""CRS and transform of scenes of 64 by 64 pixels."""


@dataclass(frozen=True)
class Shape:
    """A feature to add: its kind, position and size in pixels of the first layout, and class."""

    kind: str
    column: float
    row: float
    reach: float
    class_: str

    def make_geometry(self) -> shapely.Geometry:
        """Return the geometry in UTM."""
        x, y, r = WEST + PIXEL * self.column, NORTH - PIXEL * self.row, PIXEL * self.reach
        line = shapely.LineString([(x, y), (x + r, y - r / 2), (x + r, y + r)])
        square = shapely.box(x, y - r, x + r, y)
        return {
            "point": shapely.Point(x, y),
            "points": shapely.MultiPoint([(x, y), (x + r, y)]),
            "line": line,
            "polygon": square,
            "polygons": shapely.MultiPolygon([square, shapely.box(x + 2 * r, y, x + 3 * r, y + r)]),
        }[self.kind]


SHAPES = st.builds(
    Shape,
    kind=st.sampled_from(["point", "points", "line", "polygon", "polygons"]),
    column=st.integers(-16, 480).map(lambda n: n / 4),
    row=st.integers(-16, 272).map(lambda n: n / 4),
    reach=st.sampled_from([0.3, 1.0, 2.5, 6.0, 30.0]),
    class_=st.sampled_from(CLASSES),
)
FEATURE_IDS = st.sampled_from(["a_b", "ö/1", "007", "x y", *(f"f{number}" for number in range(8))])
SCENE_IDS = st.sampled_from(["a", "b", "c", "d"])
FEATURE_CRS = st.sampled_from([UTM, "EPSG:4326", "EPSG:3035"])

AROUND = st.fixed_dictionaries(
    {
        "size": st.sampled_from([8, (16, 12), 24]),
        "mode": st.sampled_from(["centered", "random"]),
        "seed": st.integers(0, 3),
        "target_count": st.integers(1, 2),
        "where": st.sampled_from([None, None, "class <> 'pond' AND feature_id <> 'ü'"]),
        "at_border": st.sampled_from(["shift", "pad", "skip"]),
        "bands": st.sampled_from([None, [2]]),
    }
)
GRID = st.fixed_dictionaries(
    {
        "size": st.sampled_from([32, (40, 30)]),
        "edge": st.sampled_from(["shift", "pad", "drop"]),
        "cells": st.sampled_from(["all", "with-features"]),
    }
)
SPLIT = st.fixed_dictionaries(
    {
        "parts": st.sampled_from([{"train": 0.5, "test": 0.5}, {"train": 0.7, "val": 0.15, "test": 0.15}]),
        "by": st.sampled_from(["overlap", "overlap", "object"]),
        "buffer": st.sampled_from([0.0, 0.0, 45.0]),
        "stratify": st.sampled_from([None, "class"]),
        "seed": st.integers(0, 3),
        "where": st.sampled_from([None, None, "class <> 'reed'"]),
    }
)
CUTS = st.sampled_from(["around", "around", "again", "grid"])
ON_CONFLICT = st.sampled_from([None, "exclude", "move"])


def tables_at(dataset: Dataset, position: int) -> dict[str, Any]:
    """Read all tables of a revision."""
    with dataset._unit_of_work.open_revision(position) as revision:
        tables: dict[str, Any] = {name: read_table(revision, name, TableFilter()).arrow.to_pylist() for name in TABLES}
        tables["content_digest"] = revision.compute_content_digest()
    return tables


def read_state(projection: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Read every row of every table of the state, sorted; geometries as bytes."""
    with duckdb.connect(projection, read_only=True) as connection:
        columns: dict[str, list[str]] = {}
        for table, column, kind in connection.execute(
            "SELECT table_name, column_name, data_type FROM duckdb_columns() WHERE NOT internal ORDER BY ALL"
        ).fetchall():
            expression = f'hex(ST_AsWKB("{column}"))' if kind.startswith("GEOMETRY") else f'"{column}"'
            columns.setdefault(table, []).append(expression)
        return {
            table: sorted(connection.execute(f"SELECT {', '.join(expressions)} FROM {table}").fetchall(), key=repr)
            for table, expressions in columns.items()
        }


def hash_files(root: Path) -> dict[str, tuple[str, str]]:
    """Compute MD5 and SHA-256 of every data file of a workspace, by its path."""
    return {
        path.relative_to(root).as_posix(): (
            hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest(),
            hashlib.sha256(path.read_bytes()).hexdigest(),
        )
        for folder in ("rasters", "labels")
        for path in (root / folder).rglob("*")
        if path.is_file() and path.suffix != ".dvc" and path.name != ".gitignore"
    }


def write_features(path: Path, shapes: dict[str, Shape], crs: str) -> Path:
    """Write a GeoJSON file with coordinates in `crs` and a user column."""
    members = [
        {
            "type": "Feature",
            "properties": {"id": name, "class": shape.class_, "reach": shape.reach},
            "geometry": json.loads(shapely.to_geojson(reproject(shape.make_geometry(), UTM, crs))),
        }
        for name, shape in shapes.items()
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": members}))
    return path


@dataclass(frozen=True)
class InitialDataset:
    """A dataset with features, scenes, chips, masks and a split, and its expected content.

    Attributes:
        root: The dataset's folder.
        shapes: The features by id.
        recipes: The options of each recipe by name.
        past: The tables of each revision by position, as first read.
        files: The checksums of each revision's files by position and path.
    """

    root: Path
    shapes: dict[str, Shape]
    recipes: dict[str, dict[str, Any]]
    past: dict[int, dict[str, Any]]
    files: dict[int, dict[str, tuple[str, str]]]


class Histories(RuleBasedStateMachine):
    """The commands that change a dataset, in any order, with checks after each."""

    def __init__(self, find_initial_dataset: Callable[[int], InitialDataset] | None, folder: Path) -> None:
        super().__init__()
        self.find_initial_dataset = find_initial_dataset
        self.folder = folder / "example"
        shutil.rmtree(self.folder, ignore_errors=True)
        self.inputs = self.folder / "inputs"
        self.inputs.mkdir(parents=True)
        self.root = self.folder / "dataset"
        self.state_file = self.root / ".geographer" / "state.duckdb"
        self.shapes: dict[str, Shape] = {}
        self.recipes: dict[str, dict[str, Any]] = {}
        self.past: dict[int, dict[str, Any]] = {}
        self.files: dict[int, dict[str, tuple[str, str]]] = {}
        self.number = 0
        self.thinned_recipes: set[str] = set()
        """The recipes of which chips were removed by id: they leave these out."""

    def open_copy(self, root: Path) -> None:
        """Continue from a copy of the dataset in the folder `root`."""
        self.dataset = Dataset.open(shutil.copytree(root, self.root))
        self._remember_new_revisions()

    @initialize(number=st.integers(0, 2))
    def start_from_initial_dataset(self, number: int) -> None:
        assert self.find_initial_dataset is not None
        initial = self.find_initial_dataset(number)
        self.shapes, self.recipes = dict(initial.shapes), dict(initial.recipes)
        self.past, self.files = dict(initial.past), dict(initial.files)
        self.open_copy(initial.root)

    # --- present content --------------------------------------------------------------------------------------------

    @property
    def head(self) -> int:
        return max(self.past)

    @property
    def current_tables(self) -> dict[str, Any]:
        return self.past[self.head]

    def _list_names(self, table: str, column: str) -> list[str]:
        return [row[column] for row in self.current_tables[table]]

    def _list_scenes(self) -> list[str]:
        return [row["raster_id"] for row in self.current_tables["rasters"] if row["collection"] == "source"]

    def _list_cuts(self) -> list[str]:
        return [name for name, recipe in self.recipes.items() if recipe["verb"] in ("around", "grid")]

    def _make_input_path(self, suffix: str) -> Path:
        self.number += 1
        return self.inputs / f"{self.number}{suffix}"

    def _write_scene(self, name: str, layout: str, seed: int) -> Path:
        path = self.inputs / f"{layout} {seed}" / f"{name}.tif"
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            crs, transform = LAYOUTS[layout]()
            array = make_pixels(2, 64, 64, "uint8", seed=seed)
            array[:, :6] = 0
            write_scene(path, array, transform=transform, crs=crs, nodata=0)
        return path

    def _remember_new_revisions(self) -> None:
        """Read and remember the tables of every new revision."""
        for position in range(max(self.past, default=0) + 1, self.dataset.log(1)[0].position + 1):
            self.past[position] = tables_at(self.dataset, position)
            rows = self.past[position]["rasters"]
            owned = {row["path"]: (row["md5"], row["sha256"]) for row in rows if row["collection"] != "catalogue"}
            for row in self.past[position]["labels"]:
                owned[row["path"]] = (row["md5"], "")
            self.files[position] = owned

    def _check_rejected(self, error: type[GeographerError], command: Callable[[], Any]) -> None:
        """Check that a command raises an error of this class and appends no event."""
        before = self.dataset.log(1)
        with pytest.raises(error):
            command()
        assert self.dataset.log(1) == before

    # --- adding and removing --------------------------------------------------------------------------------------

    @rule(shapes=st.dictionaries(FEATURE_IDS, SHAPES, min_size=1, max_size=3), crs=FEATURE_CRS)
    def add_features(self, shapes: dict[str, Shape], crs: str) -> None:
        """Add features, also under ids that were removed; ids in the dataset are rejected."""
        existing = shapes.keys() & self.shapes.keys()
        if existing:
            path = write_features(self._make_input_path(".geojson"), shapes, crs)
            self._check_rejected(ConflictError, lambda: self.dataset.add_features(path, crs=crs))
            shapes = {name: shape for name, shape in shapes.items() if name not in existing}
        if shapes:
            self.dataset.add_features(write_features(self._make_input_path(".geojson"), shapes, crs), crs=crs)
            self.shapes |= shapes
        self._remember_new_revisions()

    @precondition(lambda self: self.shapes)
    @rule(data=st.data(), crs=FEATURE_CRS, new=st.dictionaries(FEATURE_IDS, SHAPES, max_size=1))
    def replace_features(self, data: st.DataObject, crs: str, new: dict[str, Shape]) -> None:
        """Replace existing features, mostly by other shapes; equal ones are not recorded."""
        existing = data.draw(st.lists(st.sampled_from(sorted(self.shapes)), min_size=1, max_size=3, unique=True))
        shapes = {name: data.draw(st.one_of(SHAPES, st.just(self.shapes[name]))) for name in existing} | new
        path = write_features(self._make_input_path(".geojson"), shapes, crs)
        result = self.dataset.add_features(path, crs=crs, replace=True)
        assert result.summary["added"] == len(shapes.keys() - self.shapes.keys())
        assert sum(result.summary[name] for name in ("added", "changed", "unchanged")) == len(shapes)
        assert not self.dataset.add_features(path, crs=crs, replace=True).changed
        self.shapes |= shapes
        self._remember_new_revisions()

    @rule(
        mapping=st.sampled_from(
            [
                {"pond": "reed", "reed": "pond"},
                {"quarry": "pond", "reed": None},
                {"pond": "quarry"},
                {"quarry": BACKGROUND},
            ]
        ),
        prune=st.booleans(),
    )
    def remap_classes(self, mapping: dict[str, str | None], prune: bool) -> None:
        existing = {row["class"] for row in self.current_tables["classes"]}
        applicable = {name: target for name, target in mapping.items() if name in existing}
        if not applicable:
            self._check_rejected(NotFoundError, lambda: self.dataset.remap_classes(mapping))
            return
        self.dataset.remap_classes(applicable, prune_rasters=prune)
        classes = {name: applicable.get(shape.class_, shape.class_) for name, shape in self.shapes.items()}
        self.shapes = {
            name: replace(self.shapes[name], class_=class_) for name, class_ in classes.items() if class_ is not None
        }
        self._remember_new_revisions()

    @precondition(lambda self: self.shapes)
    @rule(data=st.data())
    def remove_features(self, data: st.DataObject) -> None:
        ids = data.draw(st.lists(st.sampled_from(sorted(self.shapes)), min_size=1, max_size=3))
        self.dataset.remove_features(ids)
        for name in set(ids):
            del self.shapes[name]
        self._remember_new_revisions()

    @rule(
        scenes=st.dictionaries(
            SCENE_IDS, st.tuples(st.sampled_from(list(LAYOUTS)), st.integers(1, 3)), min_size=1, max_size=2
        ),
        collection=st.sampled_from(["source", "source", "extra"]),
        mode=st.sampled_from(["copy", "link"]),
        footprint=st.sampled_from(["bounds", "valid"]),
    )
    def add_rasters(self, scenes: dict[str, tuple[str, int]], collection: str, mode: Any, footprint: Any) -> None:
        taken = set(self._list_names("rasters", "raster_id"))
        paths = {name: self._write_scene(name, *scene) for name, scene in scenes.items()}
        options = {"collection": collection, "mode": mode, "footprint": footprint}
        if taken & paths.keys():
            self._check_rejected(ConflictError, lambda: self.dataset.add_rasters(list(paths.values()), **options))
        new_paths = [path for name, path in paths.items() if name not in taken]
        if new_paths:
            self.dataset.add_rasters(new_paths, **options)
        self._remember_new_revisions()

    @precondition(lambda self: self.current_tables["rasters"])
    @rule(data=st.data(), scenes=st.booleans())
    def remove_rasters(self, data: st.DataObject, scenes: bool) -> None:
        candidates = (
            self._list_scenes() if scenes and self._list_scenes() else sorted(self._list_names("rasters", "raster_id"))
        )
        ids = data.draw(st.lists(st.sampled_from(candidates), min_size=1, max_size=3))
        self.dataset.remove_rasters(ids)
        self.thinned_recipes |= {raster_id.partition("/")[0] for raster_id in ids if "/" in raster_id}
        self._remember_new_revisions()

    @precondition(lambda self: self._list_scenes())
    @rule(data=st.data(), layout=st.sampled_from(list(LAYOUTS)), seed=st.integers(1, 3), in_place=st.booleans())
    def replace_scene(self, data: st.DataObject, layout: str, seed: int, in_place: bool) -> None:
        """Add another scene, mostly at another place, under the same id."""
        name = data.draw(st.sampled_from(self._list_scenes()))
        if not in_place:
            self.dataset.remove_rasters([name])
        self.dataset.add_rasters(self._write_scene(name, layout, seed), replace=in_place)
        self._remember_new_revisions()

    # --- recipes --------------------------------------------------------------------------------------------------

    @precondition(lambda self: self._list_scenes())
    @rule(name=st.sampled_from(["around", "again"]), options=AROUND)
    def cut_around(self, name: str, options: dict[str, Any]) -> None:
        recipe = self.recipes.setdefault(name, {"verb": "around", **options})
        options_of_recipe = {key: value for key, value in recipe.items() if key != "verb"}
        if options_of_recipe != options:
            self._check_rejected(ConflictError, lambda: self.dataset.cut_around_features(name, **options))
        self.dataset.cut_around_features(name, **options_of_recipe)
        self._remember_new_revisions()
        self._check_chips(name)
        assert not self.dataset.cut_around_features(name, **options_of_recipe).changed

    @precondition(lambda self: self._list_scenes())
    @rule(options=GRID)
    def cut_grid(self, options: dict[str, Any]) -> None:
        recipe = self.recipes.setdefault("grid", {"verb": "grid", **options})
        self.dataset.cut_grid("grid", **{key: value for key, value in recipe.items() if key != "verb"})
        self._remember_new_revisions()

    @precondition(lambda self: self._list_cuts())
    @rule(cut=CUTS)
    def label(self, cut: str) -> None:
        collection = cut if cut in self.recipes else self._list_cuts()[0]
        if not any(row["value"] for row in self.current_tables["classes"]):
            return
        self.recipes[f"mask-{collection}"] = {"verb": "mask", "collection": collection}
        self.dataset.label_masks(f"mask-{collection}", collection=collection)
        self._remember_new_revisions()
        self._check_masks(f"mask-{collection}")

    @precondition(lambda self: self._list_cuts())
    @rule(cut=CUTS, options=SPLIT, on_conflict=ON_CONFLICT)
    def split(self, cut: str, options: dict[str, Any], on_conflict: Any) -> None:
        collection = cut if cut in self.recipes else self._list_cuts()[0]
        name = f"split-{collection}"
        if not any(row["collection"] == collection for row in self.current_tables["rasters"]):
            return
        recipe = self.recipes.get(name, {"verb": "split", "collection": collection, **options})
        options_of_recipe = {key: value for key, value in recipe.items() if key != "verb"}
        before = self.current_tables["splits"]
        try:
            self.dataset.split(name, **options_of_recipe, on_conflict=on_conflict)
        except ConflictError:
            assert on_conflict is None
            assert name in self.recipes
            assert self.dataset.log(1)[0].position == self.head
            return
        self.recipes[name] = recipe
        self._remember_new_revisions()
        if on_conflict is None:
            current = [row for row in self.current_tables["splits"] if row["split"] == name]
            assert all(row in current for row in before if row["split"] == name)
        self._check_split(name)

    @rule(on_conflict=st.sampled_from(["exclude", "move"]))
    def update_with_conflict_option(self, on_conflict: Any) -> None:
        self.update(on_conflict)

    @precondition(lambda self: self.recipes)
    @rule(on_conflict=st.none())
    def update(self, on_conflict: Any) -> None:
        try:
            self.dataset.update(on_conflict=on_conflict)
        except ConflictError:
            assert on_conflict is None
            self._remember_new_revisions()
            return
        self._remember_new_revisions()
        assert not any(result.changed for result in self.dataset.update(on_conflict=on_conflict))
        for name, recipe in self.recipes.items():
            if recipe["verb"] == "split":
                self._check_split(name)
            elif recipe["verb"] == "mask":
                self._check_masks(name)
            else:
                self._check_chips(name)

    # --- revisions ------------------------------------------------------------------------------------------------

    @rule(data=st.data())
    def check_out_and_return(self, data: st.DataObject) -> None:
        position = data.draw(st.sampled_from(sorted(self.past)))
        self.dataset.checkout(position)
        self._check_workspace(position)
        assert self.dataset.verify(position) == []
        if position != self.head:
            self._check_rejected(ConflictError, lambda: self.dataset.add_classes(["never"]))
        self.dataset.checkout()
        self._check_workspace(self.head)

    # --- other commands -------------------------------------------------------------------------------------

    @rule(
        command=st.sampled_from(["footprint", "class", "tag", "diff", "state", "failure", "repetition"]),
        data=st.data(),
    )
    def run_other_command(self, command: str, data: st.DataObject) -> None:
        {
            "footprint": self._add_footprint,
            "class": self._add_class,
            "tag": self._set_tag,
            "diff": self._check_diff,
            "state": self._replace_state_file,
            "failure": self._request_impossible_change,
            "repetition": self._repeat_keyed_request,
        }[command](data)

    def _add_footprint(self, data: st.DataObject) -> None:
        name, shape, crs = data.draw(st.sampled_from(["S2", "L8"])), data.draw(SHAPES), data.draw(FEATURE_CRS)
        outline = shapely.envelope(shapely.buffer(shape.make_geometry(), 50))
        geometry = json.loads(shapely.to_geojson(reproject(outline, UTM, crs)))
        member = {"type": "Feature", "properties": {"id": name, "cloud": shape.reach}, "geometry": geometry}
        path = self._make_input_path(".geojson")
        path.write_text(json.dumps({"type": "FeatureCollection", "features": [member]}))
        if name in self._list_names("rasters", "raster_id"):
            self._check_rejected(ConflictError, lambda: self.dataset.add_catalogue(path, crs=crs))
        else:
            self.dataset.add_catalogue(path, crs=crs)
        self._remember_new_revisions()

    def _add_class(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from([*CLASSES, "moor"]))
        if name in self._list_names("classes", "class"):
            self._check_rejected(ConflictError, lambda: self.dataset.add_classes([name]))
        else:
            self.dataset.add_classes([name])
        self._remember_new_revisions()

    def _set_tag(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(["v1", "v2"]))
        position = data.draw(st.sampled_from(sorted(self.past)))
        if name in self._list_names("tags", "tag"):
            self._check_rejected(ConflictError, lambda: self.dataset.tag(name, position))
            return
        refusal = None
        try:
            self.dataset.tag(name, position)
        except ConflictError as error:
            refusal = str(error)
        if refusal is not None:
            assert re.match("split '.*' leaks: ", refusal)
            assert self.dataset.log(1)[0].position == self.head
            return
        if position == self.head:
            for recipe in self.recipes:
                if self.recipes[recipe]["verb"] == "split":
                    self._check_split(recipe)
        self._remember_new_revisions()
        (tag,) = [row for row in self.current_tables["tags"] if row["tag"] == name]
        assert tag["content_digest"] == self.past[position]["content_digest"]

    def _check_diff(self, data: st.DataObject) -> None:
        """Check that a diff lists the differences between the tables of two revisions."""
        a, b = (data.draw(st.sampled_from(sorted(self.past))) for _ in "ab")
        listed = {(row["object"], row["id"], row["change"]) for row in self.dataset.diff(a, b).table.to_pylist()}
        keys = {
            "feature": ("features", lambda row: row["feature_id"]),
            "raster": ("rasters", lambda row: row["raster_id"]),
            "edge": ("edges", lambda row: f"{row['feature_id']} – {row['raster_id']}"),
            "label": ("labels", lambda row: f"{row['label']}/{row['raster_id']}"),
            "split": ("splits", lambda row: f"{row['split']}/{row['raster_id']}"),
            "class": ("classes", lambda row: row["class"]),
        }
        for kind, (table, key) in keys.items():
            old = {key(row): row for row in self.past[a][table]}
            new = {key(row): row for row in self.past[b][table]}
            expected = {(kind, name, "added") for name in new.keys() - old.keys()}
            expected |= {(kind, name, "removed") for name in old.keys() - new.keys()}
            assert {entry for entry in listed if entry[0] == kind and entry[2] != "changed"} == expected
            both = old.keys() & new.keys()
            # A new user column of other objects is not a change of an earlier object.
            changed = {
                name for name in both if any(old[name][key] != new[name][key] for key in old[name].keys() & new[name])
            }
            assert changed <= {entry[1] for entry in listed if (entry[0], entry[2]) == (kind, "changed")}

    def _replace_state_file(self, data: st.DataObject) -> None:
        """Delete the state, or restore an older one as after a crash, so that the next command derives many events."""
        action = data.draw(st.sampled_from(["delete", "save", "restore"]))
        saved = self.folder / "saved.duckdb"
        if action == "save" and self.state_file.exists():
            shutil.copy(self.state_file, saved)
        elif action == "restore" and saved.exists():
            shutil.copy(saved, self.state_file)
        elif action == "delete":
            self.state_file.unlink(missing_ok=True)

    def _request_impossible_change(self, data: st.DataObject) -> None:
        dataset = self.dataset
        raster = self._list_names("rasters", "raster_id")[:1]
        requests: dict[str, tuple[type[GeographerError], Callable[[], Any]]] = {
            "feature": (NotFoundError, lambda: dataset.remove_features([*sorted(self.shapes)[:1], "unknown"])),
            "raster": (NotFoundError, lambda: dataset.remove_rasters([*raster, "nothing"])),
            "collection": (NotFoundError, lambda: dataset.cut_grid("cells", size=8, source="nowhere")),
            "labelled": (NotFoundError, lambda: dataset.label_masks("mask", collection="nowhere")),
            "split": (NotFoundError, lambda: dataset.split("parts", collection="nowhere", parts={"a": 1.0})),
            "file": (NotFoundError, lambda: dataset.add_rasters(self.inputs / "nothing.tif")),
            "revision": (NotFoundError, lambda: dataset.checkout(self.head + 1)),
            "head": (ConflictError, lambda: dataset.add_classes(["never"], expected_head="f" * 64)),
            "name": (UsageError, lambda: dataset.cut_grid("a/b", size=8)),
            "no features": (UsageError, lambda: dataset.remove_features([])),
            "class": (ConflictError, lambda: dataset.add_classes(["twice", "twice"])),
        }
        self._check_rejected(*requests[data.draw(st.sampled_from(sorted(requests)))])

    def _repeat_keyed_request(self, data: st.DataObject) -> None:
        """Repeat a request with its idempotency key, which changes nothing."""
        name = data.draw(st.sampled_from(["moss", "fern"]))
        if name not in self._list_names("classes", "class"):
            first = self.dataset.add_classes([name], idempotency_key=name)
            assert first.changed
        again = self.dataset.add_classes([name], idempotency_key=name)
        assert not again.changed
        self._remember_new_revisions()

    # --- invariants ----------------------------------------------------------------------------------------

    @invariant()
    def head_is_as_expected(self) -> None:
        assert self.dataset.log(1)[0].position == self.head
        assert {row["feature_id"]: row["class"] for row in self.current_tables["features"]} == {
            name: shape.class_ for name, shape in self.shapes.items()
        }
        self._check_workspace(self.head)

    def teardown(self) -> None:
        events = self.dataset.log()
        assert [event.parents for event in events[1:]] == [[event.digest] for event in events[:-1]]
        for position, tables in self.past.items():
            assert tables_at(self.dataset, position) == tables, f"@{position} changed"
        grown = read_state(self.state_file)
        self.state_file.unlink()
        assert self.dataset.verify() == []
        rebuilt = read_state(self.state_file)
        for table, rows in rebuilt.items():
            assert grown[table] == rows, f"{table} differs after a rebuild"
        with Repo(str(self.root)) as repo:
            assert repo.status() == {}
        self.dataset._unit_of_work.file_store.close()

    def _check_workspace(self, position: int) -> None:
        actual = hash_files(self.root)
        expected = self.files[position]
        assert actual.keys() == expected.keys()
        wrong = {
            path: sums
            for path, sums in expected.items()
            if (actual[path][0], actual[path][1] if sums[1] else "") != sums
        }
        assert wrong == {}

    def _check_chips(self, recipe: str) -> None:
        """Check that each chip has its raster and feature, and that small features are in a chip."""
        options = self.recipes[recipe]
        with self.dataset._unit_of_work.open_revision(self.head) as revision:
            chips = revision.fetch_rows(
                "SELECT raster_id, parent_id, feature_id FROM current_raster WHERE recipe = $recipe ORDER BY raster_key",
                {"recipe": recipe},
            )
        assert {parent for _, parent, _ in chips} <= set(self._list_scenes())
        if options["verb"] == "grid":
            return
        assert {feature for *_, feature in chips} <= self.shapes.keys()
        if options["at_border"] != "shift" or recipe in self.thinned_recipes:
            return
        contained = {
            (row["feature_id"], row["raster_id"])
            for row in self.current_tables["edges"]
            if row["relation"] == "contains"
        }
        for name, shape in self.shapes.items():
            selected = options["where"] is None or shape.class_ != "pond"
            small = shape.kind in ("point", "polygon") and shape.reach <= 2.5
            shown = any((name, scene) in contained for scene in self._list_scenes())
            if selected and small and shown:
                assert any((name, chip) in contained for chip, *_ in chips), f"{name} is in no chip"

    def _check_split(self, name: str) -> None:
        """Check that rasters of different parts share no feature and no pixels and are farther apart than the buffer."""
        recipe = self.recipes[name]
        part = {
            row["raster_id"]: row["part"]
            for row in self.current_tables["splits"]
            if row["split"] == name and row["part"]
        }
        shown: dict[str, set[str]] = {raster: set() for raster in part}
        skipped = {n for n, shape in self.shapes.items() if recipe["where"] and shape.class_ == "reed"}
        for row in self.current_tables["edges"]:
            if row["raster_id"] in part and row["feature_id"] not in skipped:
                shown[row["raster_id"]].add(row["feature_id"])
        ground = {raster: self._read_ground_area(raster) for raster in part}
        for a, b in combinations(sorted(part), 2):
            if part[a] == part[b]:
                continue
            assert not shown[a] & shown[b], f"{a} and {b} share {shown[a] & shown[b]}"
            if recipe["by"] == "overlap":
                shared = shapely.area(shapely.intersection(ground[a], ground[b]))
                assert shared < 0.01 * PIXEL**2, f"{a} and {b} share {shared} m²"
            if recipe["buffer"]:
                assert shapely.distance(ground[a], ground[b]) > 0.99 * recipe["buffer"], f"{a} is near {b}"

    def _read_ground_area(self, raster: str) -> shapely.Geometry:
        """Return the area that a raster file covers, in UTM metres."""
        (path,) = [row["path"] for row in self.current_tables["rasters"] if row["raster_id"] == raster]
        with rasterio.open(self.root / path) as file:
            corners = [(0, 0), (file.width, 0), (file.width, file.height), (0, file.height)]
            outline = shapely.segmentize(
                shapely.Polygon([to_xy(file.transform[:6], *corner) for corner in corners]), file.width
            )
            return reproject(outline, file.crs.to_wkt(), UTM)

    def _check_masks(self, label: str) -> None:
        """Check that every mask is on its raster's grid and has the present features."""
        value = {row["class"]: row["value"] for row in self.current_tables["classes"]}
        paths = {row["raster_id"]: row["path"] for row in self.current_tables["rasters"]}
        masks = [row for row in self.current_tables["labels"] if row["label"] == label]
        collection = self.recipes[label]["collection"]
        assert {row["raster_id"] for row in masks} == {
            row["raster_id"] for row in self.current_tables["rasters"] if row["collection"] == collection
        }
        for row in masks:
            with (
                rasterio.open(self.root / paths[row["raster_id"]]) as chip,
                rasterio.open(self.root / row["path"]) as mask,
            ):
                assert (mask.transform, mask.crs, mask.shape) == (chip.transform, chip.crs, chip.shape)
                pixels, transform, crs = mask.read(1), mask.transform, chip.crs.to_wkt()
            expected, certain = self._rasterize_by_shapely(value, pixels.shape, transform, crs)
            assert (pixels == expected)[certain].all(), f"{row['raster_id']}\n{pixels}\n{expected}"

    def _rasterize_by_shapely(
        self, value: dict[str, int], shape: tuple[int, int], transform: Any, crs: str
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the class value of each pixel by shapely, and which are certain: GDAL decides lines and borders."""
        rows, columns = np.mgrid[: shape[0], : shape[1]] + 0.5
        expected, certain = np.zeros(shape, int), np.ones(shape, bool)
        origin = np.array([transform.c, transform.f])
        to_pixels = np.linalg.inv([[transform.a, transform.b], [transform.d, transform.e]]).T
        order = sorted(self.shapes.values(), key=lambda feature: (value[feature.class_] == 0, value[feature.class_]))
        for feature in order:
            area = shapely.transform(reproject(feature.make_geometry(), UTM, crs), lambda xy: (xy - origin) @ to_pixels)
            if feature.kind == "line":
                certain &= shapely.distance(shapely.points(columns, rows), area) > 1.5
            elif feature.kind.startswith("polygon"):
                expected[shapely.contains_xy(area, columns, rows)] = value[feature.class_]
                certain &= shapely.distance(shapely.points(columns, rows), shapely.boundary(area)) > 1e-4
                if not _has_pixel_centre(area):
                    # Such a polygon gets one of the pixels that it overlaps.
                    certain &= ~shapely.intersects(
                        area, shapely.box(columns - 0.5, rows - 0.5, columns + 0.5, rows + 0.5)
                    )
            else:
                for x, y in shapely.get_coordinates(area):
                    expected[(np.floor(x) == columns - 0.5) & (np.floor(y) == rows - 0.5)] = value[feature.class_]
                    certain &= np.maximum(np.abs(columns - x), np.abs(rows - y)) != 0.5
                    if min(abs(x - round(x)), abs(y - round(y))) < 1e-4:
                        certain &= np.maximum(np.abs(columns - x), np.abs(rows - y)) > 0.6
        return expected, certain


def _has_pixel_centre(area: shapely.Geometry) -> bool:
    """Return whether an area in pixel coordinates contains the centre of a pixel, not on its border."""
    west, south, east, north = area.bounds
    columns, rows = np.meshgrid(np.arange(np.floor(west), east) + 0.5, np.arange(np.floor(south), north) + 0.5)
    return bool(shapely.contains_xy(shapely.buffer(area, -1e-4), columns, rows).any())


PLAIN = {"mode": "centered", "seed": 0, "target_count": 1, "where": None, "at_border": "shift", "bands": None}
HALVES = {
    "parts": {"train": 0.5, "test": 0.5},
    "by": "overlap",
    "buffer": 0.0,
    "stratify": None,
    "seed": 0,
    "where": None,
}
INITIAL_DATASETS: tuple[tuple[str, str, dict[str, Any], dict[str, Any]], ...] = (
    ("here", "east", {**PLAIN, "size": 8}, HALVES),
    (
        "degrees",
        "south-up",
        {**PLAIN, "size": (16, 12), "mode": "random", "target_count": 2},
        {**HALVES, "buffer": 45.0},
    ),
    ("turned", "custom", {**PLAIN, "size": 12, "at_border": "pad"}, {**HALVES, "by": "object", "stratify": "class"}),
)
"""The layouts of two scenes, and the options to cut and split them."""


def create_initial_dataset(number: int, folder: Path) -> InitialDataset:
    """Create one of the initial datasets in `folder`."""
    first, second, around, split = INITIAL_DATASETS[number]
    draw = np.random.Generator(np.random.PCG64(number))
    shapes = {
        f"f{n}": Shape(
            str(draw.choice(["point", "points", "line", "polygon", "polygons"])),
            float(draw.integers(0, 440) / 4),
            float(draw.integers(0, 240) / 4),
            float(draw.choice([0.3, 1.0, 2.5])),
            CLASSES[n % len(CLASSES)],
        )
        for n in range(8)
    }
    machine = Histories(None, folder)
    machine.open_copy(Dataset.init(folder / "empty", background=BACKGROUND, scm=False).root)
    machine.add_features(shapes, UTM)
    machine.dataset.add_rasters([machine._write_scene("a", first, 1), machine._write_scene("b", second, 2)])
    machine._remember_new_revisions()
    machine.cut_around("around", around)
    machine.label("around")
    machine.split("around", split, None)
    return InitialDataset(machine.root, machine.shapes, machine.recipes, machine.past, machine.files)


@pytest.fixture(scope="module")
def find_initial_dataset(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], InitialDataset]:
    """Return a function that makes an initial dataset when a history first begins with it."""
    return cache(lambda number: create_initial_dataset(number, tmp_path_factory.mktemp("initial")))


def test_random_histories(find_initial_dataset: Callable[[int], InitialDataset], tmp_path: Path) -> None:
    """HYPOTHESIS_PROFILE=long has twelve times as many histories."""
    run_state_machine_as_test(
        lambda: Histories(find_initial_dataset, tmp_path),  # type: ignore[arg-type]
        settings=settings(
            max_examples=24 if LONG else 2,
            stateful_step_count=12,
            derandomize=True,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
