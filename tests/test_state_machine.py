"""Any history at all: the projection rebuilt is the one that grew, and every earlier revision reads the same later."""

from __future__ import annotations

import hashlib
import json
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
from geographer.storage.queries.tables import TableFilter, read_table
from tests.sample_rasters import CUSTOM, at, pixels, write_scene

UTM = "EPSG:32633"
WEST, NORTH, PIXEL = 500_000.0, 5_200_000.0, 10.0
TABLES = ("features", "rasters", "edges", "chips", "labels", "splits", "classes", "tags")
BACKGROUND = "water"
CLASSES = (BACKGROUND, "pond", "quarry", "reed")


@cache
def transformer(source: str, target: str) -> pyproj.Transformer:
    return pyproj.Transformer.from_crs(source, target, always_xy=True)


def moved(geometry: shapely.Geometry, source: str, target: str) -> shapely.Geometry:
    """The geometry in another CRS, vertex by vertex."""
    if source == target:
        return geometry
    return shapely.transform(geometry, transformer(source, target).transform, interleaved=False)


def _near(crs: str, east: float, south: float) -> tuple[float, float]:
    return transformer(UTM, crs).transform(WEST + east, NORTH - south)


LAYOUTS: dict[str, Callable[[], tuple[str, tuple[float, ...]]]] = {
    "here": lambda: (UTM, (PIXEL, 0, WEST, 0, -PIXEL, NORTH)),
    "east": lambda: (UTM, (PIXEL, 0, WEST + 480, 0, -PIXEL, NORTH)),
    "beside": lambda: (UTM, (PIXEL, 0, WEST + 640, 0, -PIXEL, NORTH)),
    "south-up": lambda: (UTM, (PIXEL, 0, WEST + 100, 0, PIXEL, NORTH - 700)),
    "turned": lambda: (UTM, (8, 3, WEST + 50, 3, -8, NORTH)),
    "degrees": lambda: ("EPSG:4326", (1e-4, 0, _near("EPSG:4326", 200, 0)[0], 0, -8e-5, _near("EPSG:4326", 0, 50)[1])),
    "custom": lambda: (CUSTOM, (PIXEL, 0, _near(CUSTOM, 500, 0)[0], 0, -PIXEL, _near(CUSTOM, 500, 0)[1])),
}
"""Where a scene of 64 by 64 pixels can lie: CRS and transform."""


@dataclass(frozen=True)
class Shape:
    """A feature to be: its kind, its place and reach in pixels of the first layout, and its class."""

    kind: str
    column: float
    row: float
    reach: float
    class_: str

    def geometry(self) -> shapely.Geometry:
        """In UTM."""
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
        "parts": st.sampled_from([{"train": 0.5, "test": 0.5}, {"train": 0.7, "val": 0.15, "test": 1 / 7}]),
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
    """Everything that can be read of a revision."""
    with dataset._recorder.open_revision(position) as revision:
        tables: dict[str, Any] = {name: read_table(revision, name, TableFilter()).arrow.to_pylist() for name in TABLES}
        tables["content_digest"] = revision.compute_content_digest()
    return tables


def projected(projection: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table of the projection, sorted, geometries as bytes."""
    with duckdb.connect(projection, read_only=True) as connection:
        columns: dict[str, list[str]] = {}
        for table, column, kind in connection.execute(
            "SELECT table_name, column_name, data_type FROM duckdb_columns() WHERE NOT internal ORDER BY ALL"
        ).fetchall():
            shown = f'hex(ST_AsWKB("{column}"))' if kind.startswith("GEOMETRY") else f'"{column}"'
            columns.setdefault(table, []).append(shown)
        return {
            table: sorted(connection.execute(f"SELECT {', '.join(shown)} FROM {table}").fetchall(), key=repr)
            for table, shown in columns.items()
        }


def files_in(root: Path) -> dict[str, tuple[str, str]]:
    """MD5 and SHA-256 of every data file of a workspace, by its path."""
    return {
        path.relative_to(root).as_posix(): tuple(
            hashlib.new(name, path.read_bytes(), usedforsecurity=False).hexdigest() for name in ("md5", "sha256")
        )
        for folder in ("rasters", "labels")
        for path in (root / folder).rglob("*")
        if path.is_file() and path.suffix != ".dvc" and path.name != ".gitignore"
    }


def write_features(path: Path, shapes: dict[str, Shape], crs: str) -> Path:
    """A GeoJSON file with the coordinates in `crs`, and a column of its own."""
    members = [
        {
            "type": "Feature",
            "properties": {"id": name, "class": shape.class_, "reach": shape.reach},
            "geometry": json.loads(shapely.to_geojson(moved(shape.geometry(), UTM, crs))),
        }
        for name, shape in shapes.items()
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": members}))
    return path


@dataclass(frozen=True)
class Beginning:
    """A dataset with features, scenes, chips, masks and a split, and what the machine knows of it."""

    root: Path
    shapes: dict[str, Shape]
    recipes: dict[str, dict[str, Any]]
    past: dict[int, dict[str, Any]]
    files: dict[int, dict[str, tuple[str, str]]]


class Histories(RuleBasedStateMachine):
    """Everything that can happen to a dataset, in any order."""

    def __init__(self, beginnings: list[Beginning], workshop: Path) -> None:
        super().__init__()
        self.beginnings = beginnings
        self.folder = workshop / "example"
        shutil.rmtree(self.folder, ignore_errors=True)
        self.inputs = self.folder / "inputs"
        self.inputs.mkdir(parents=True)
        self.root = self.folder / "dataset"
        self.projection = self.root / ".geographer" / "state.duckdb"
        self.shapes: dict[str, Shape] = {}
        self.recipes: dict[str, dict[str, Any]] = {}
        self.past: dict[int, dict[str, Any]] = {}
        self.files: dict[int, dict[str, tuple[str, str]]] = {}
        self.number = 0

    def open(self, root: Path) -> None:
        """Go on from a copy of the dataset in the folder `root`."""
        self.dataset = Dataset.open(shutil.copytree(root, self.root))
        self._look()

    @initialize(number=st.integers(0, 2))
    def begin(self, number: int) -> None:
        beginning = self.beginnings[number]
        self.shapes, self.recipes = dict(beginning.shapes), dict(beginning.recipes)
        self.past, self.files = dict(beginning.past), dict(beginning.files)
        self.open(beginning.root)

    # --- what is there --------------------------------------------------------------------------------------------

    @property
    def head(self) -> int:
        return max(self.past)

    @property
    def now(self) -> dict[str, Any]:
        return self.past[self.head]

    def _names(self, table: str, column: str) -> list[str]:
        return [row[column] for row in self.now[table]]

    def _scenes(self) -> list[str]:
        return [row["raster_id"] for row in self.now["rasters"] if row["collection"] == "source"]

    def _cuts(self) -> list[str]:
        return [name for name, recipe in self.recipes.items() if recipe["verb"] in ("around", "grid")]

    def _fresh(self, suffix: str) -> Path:
        self.number += 1
        return self.inputs / f"{self.number}{suffix}"

    def _scene(self, name: str, layout: str, seed: int) -> Path:
        path = self.inputs / f"{layout} {seed}" / f"{name}.tif"
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            crs, transform = LAYOUTS[layout]()
            array = pixels(2, 64, 64, "uint8", seed=seed)
            array[:, :6] = 0
            write_scene(path, array, transform=transform, crs=crs, nodata=0)
        return path

    def _look(self) -> None:
        """Keep what every new revision reads like while it is new."""
        for position in range(max(self.past, default=0) + 1, self.dataset.log(1)[0].position + 1):
            self.past[position] = tables_at(self.dataset, position)
            rows = self.past[position]["rasters"]
            owned = {row["path"]: (row["md5"], row["sha256"]) for row in rows if row["collection"] != "catalogue"}
            for row in self.past[position]["labels"]:
                owned[row["path"]] = (row["md5"], "")
            self.files[position] = owned

    def _unmoved(self, error: type[GeographerError], act: Callable[[], Any]) -> None:
        """The command fails in its family, and the log has not moved."""
        before = self.dataset.log(1)
        with pytest.raises(error):
            act()
        assert self.dataset.log(1) == before

    # --- adding and removing --------------------------------------------------------------------------------------

    @rule(shapes=st.dictionaries(FEATURE_IDS, SHAPES, min_size=1, max_size=3), crs=FEATURE_CRS)
    def add_features(self, shapes: dict[str, Shape], crs: str) -> None:
        """Ids that were removed come back, often as something else."""
        known = shapes.keys() & self.shapes.keys()
        if known:
            path = write_features(self._fresh(".geojson"), shapes, crs)
            self._unmoved(ConflictError, lambda: self.dataset.add_features(path, crs=crs))
            shapes = {name: shape for name, shape in shapes.items() if name not in known}
        if shapes:
            self.dataset.add_features(write_features(self._fresh(".geojson"), shapes, crs), crs=crs)
            self.shapes |= shapes
        self._look()

    @precondition(lambda self: self.shapes)
    @rule(data=st.data(), crs=FEATURE_CRS, new=st.dictionaries(FEATURE_IDS, SHAPES, max_size=1))
    def replace_features(self, data: st.DataObject, crs: str, new: dict[str, Shape]) -> None:
        """Known ids get other shapes, mostly; what is equal is not recorded again."""
        known = data.draw(st.lists(st.sampled_from(sorted(self.shapes)), min_size=1, max_size=3, unique=True))
        shapes = {name: data.draw(st.one_of(SHAPES, st.just(self.shapes[name]))) for name in known} | new
        path = write_features(self._fresh(".geojson"), shapes, crs)
        recorded = self.dataset.add_features(path, crs=crs, replace=True)
        assert recorded.summary["added"] == len(shapes.keys() - self.shapes.keys())
        assert sum(recorded.summary[name] for name in ("added", "changed", "unchanged")) == len(shapes)
        assert not self.dataset.add_features(path, crs=crs, replace=True).changed
        self.shapes |= shapes
        self._look()

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
        known = {row["class"] for row in self.now["classes"]}
        chosen = {name: target for name, target in mapping.items() if name in known}
        if not chosen:
            self._unmoved(NotFoundError, lambda: self.dataset.remap_classes(mapping))
            return
        self.dataset.remap_classes(chosen, prune_rasters=prune)
        became = {name: chosen.get(shape.class_, shape.class_) for name, shape in self.shapes.items()}
        self.shapes = {
            name: replace(self.shapes[name], class_=class_) for name, class_ in became.items() if class_ is not None
        }
        self._look()

    @precondition(lambda self: self.shapes)
    @rule(data=st.data())
    def remove_features(self, data: st.DataObject) -> None:
        ids = data.draw(st.lists(st.sampled_from(sorted(self.shapes)), min_size=1, max_size=3))
        self.dataset.remove_features(ids)
        for name in set(ids):
            del self.shapes[name]
        self._look()

    @rule(
        scenes=st.dictionaries(
            SCENE_IDS, st.tuples(st.sampled_from(list(LAYOUTS)), st.integers(1, 3)), min_size=1, max_size=2
        ),
        collection=st.sampled_from(["source", "source", "extra"]),
        mode=st.sampled_from(["copy", "link"]),
        footprint=st.sampled_from(["bounds", "valid"]),
    )
    def add_rasters(self, scenes: dict[str, tuple[str, int]], collection: str, mode: Any, footprint: Any) -> None:
        taken = set(self._names("rasters", "raster_id"))
        paths = {name: self._scene(name, *scene) for name, scene in scenes.items()}
        how = {"collection": collection, "mode": mode, "footprint": footprint}
        if taken & paths.keys():
            self._unmoved(ConflictError, lambda: self.dataset.add_rasters(list(paths.values()), **how))
        fresh = [path for name, path in paths.items() if name not in taken]
        if fresh:
            self.dataset.add_rasters(fresh, **how)
        self._look()

    @precondition(lambda self: self.now["rasters"])
    @rule(data=st.data(), scenes=st.booleans())
    def remove_rasters(self, data: st.DataObject, scenes: bool) -> None:
        known = self._scenes() if scenes and self._scenes() else sorted(self._names("rasters", "raster_id"))
        self.dataset.remove_rasters(data.draw(st.lists(st.sampled_from(known), min_size=1, max_size=3)))
        self._look()

    @precondition(lambda self: self._scenes())
    @rule(data=st.data(), layout=st.sampled_from(list(LAYOUTS)), seed=st.integers(1, 3), in_place=st.booleans())
    def replace_a_scene(self, data: st.DataObject, layout: str, seed: int, in_place: bool) -> None:
        """Another scene, mostly at another place, under the same id."""
        name = data.draw(st.sampled_from(self._scenes()))
        if not in_place:
            self.dataset.remove_rasters([name])
        self.dataset.add_rasters(self._scene(name, layout, seed), replace=in_place)
        self._look()

    # --- recipes --------------------------------------------------------------------------------------------------

    @precondition(lambda self: self._scenes())
    @rule(name=st.sampled_from(["around", "again"]), options=AROUND)
    def cut_around(self, name: str, options: dict[str, Any]) -> None:
        known = self.recipes.setdefault(name, {"verb": "around", **options})
        given = {key: value for key, value in known.items() if key != "verb"}
        if given != options:
            self._unmoved(ConflictError, lambda: self.dataset.cut_around_features(name, **options))
        self.dataset.cut_around_features(name, **given)
        self._look()
        self._chips_are_right(name)
        assert not self.dataset.cut_around_features(name, **given).changed

    @precondition(lambda self: self._scenes())
    @rule(options=GRID)
    def cut_grid(self, options: dict[str, Any]) -> None:
        known = self.recipes.setdefault("grid", {"verb": "grid", **options})
        self.dataset.cut_grid("grid", **{key: value for key, value in known.items() if key != "verb"})
        self._look()

    @precondition(lambda self: self._cuts())
    @rule(cut=CUTS)
    def label(self, cut: str) -> None:
        collection = cut if cut in self.recipes else self._cuts()[0]
        if not any(row["value"] for row in self.now["classes"]):
            return
        self.recipes[f"mask-{collection}"] = {"verb": "mask", "collection": collection}
        self.dataset.label_masks(f"mask-{collection}", collection=collection)
        self._look()
        self._masks_are_right(f"mask-{collection}")

    @precondition(lambda self: self._cuts())
    @rule(cut=CUTS, options=SPLIT, on_conflict=ON_CONFLICT)
    def split(self, cut: str, options: dict[str, Any], on_conflict: Any) -> None:
        collection = cut if cut in self.recipes else self._cuts()[0]
        name = f"split-{collection}"
        if not any(row["collection"] == collection for row in self.now["rasters"]):
            return
        known = self.recipes.get(name, {"verb": "split", "collection": collection, **options})
        given = {key: value for key, value in known.items() if key != "verb"}
        before = self.now["splits"]
        try:
            self.dataset.split(name, **given, on_conflict=on_conflict)
        except ConflictError:
            assert on_conflict is None
            assert name in self.recipes
            assert self.dataset.log(1)[0].position == self.head
            return
        self.recipes[name] = known
        self._look()
        if on_conflict is None:
            kept = [row for row in self.now["splits"] if row["split"] == name]
            assert all(row in kept for row in before if row["split"] == name)
        self._nothing_leaks(name)

    @rule(on_conflict=st.sampled_from(["exclude", "move"]))
    def update_with_a_choice(self, on_conflict: Any) -> None:
        self.update(on_conflict)

    @precondition(lambda self: self.recipes)
    @rule(on_conflict=st.none())
    def update(self, on_conflict: Any) -> None:
        try:
            self.dataset.update(on_conflict=on_conflict)
        except ConflictError:
            assert on_conflict is None
            self._look()
            return
        self._look()
        assert not any(recorded.changed for recorded in self.dataset.update(on_conflict=on_conflict))
        for name, recipe in self.recipes.items():
            if recipe["verb"] == "split":
                self._nothing_leaks(name)
            elif recipe["verb"] == "mask":
                self._masks_are_right(name)
            else:
                self._chips_are_right(name)

    # --- revisions ------------------------------------------------------------------------------------------------

    @rule(data=st.data())
    def check_out_and_come_back(self, data: st.DataObject) -> None:
        position = data.draw(st.sampled_from(sorted(self.past)))
        self.dataset.checkout(position)
        self._workspace_shows(position)
        assert self.dataset.verify(position) == []
        if position != self.head:
            self._unmoved(ConflictError, lambda: self.dataset.add_classes(["never"]))
        self.dataset.checkout()
        self._workspace_shows(self.head)

    # --- what happens besides -------------------------------------------------------------------------------------

    @rule(
        what=st.sampled_from(["footprint", "class", "tag", "difference", "projection", "failure", "repetition"]),
        data=st.data(),
    )
    def do_besides(self, what: str, data: st.DataObject) -> None:
        {
            "footprint": self._add_a_footprint,
            "class": self._add_a_class,
            "tag": self._tag,
            "difference": self._compare,
            "projection": self._disturb_the_projection,
            "failure": self._ask_for_what_can_not_be,
            "repetition": self._repeat_a_request,
        }[what](data)

    def _add_a_footprint(self, data: st.DataObject) -> None:
        name, shape, crs = data.draw(st.sampled_from(["S2", "L8"])), data.draw(SHAPES), data.draw(FEATURE_CRS)
        outline = shapely.envelope(shapely.buffer(shape.geometry(), 50))
        geometry = json.loads(shapely.to_geojson(moved(outline, UTM, crs)))
        member = {"type": "Feature", "properties": {"id": name, "cloud": shape.reach}, "geometry": geometry}
        path = self._fresh(".geojson")
        path.write_text(json.dumps({"type": "FeatureCollection", "features": [member]}))
        if name in self._names("rasters", "raster_id"):
            self._unmoved(ConflictError, lambda: self.dataset.add_catalogue(path, crs=crs))
        else:
            self.dataset.add_catalogue(path, crs=crs)
        self._look()

    def _add_a_class(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from([*CLASSES, "moor"]))
        if name in self._names("classes", "class"):
            self._unmoved(ConflictError, lambda: self.dataset.add_classes([name]))
        else:
            self.dataset.add_classes([name])
        self._look()

    def _tag(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(["v1", "v2"]))
        position = data.draw(st.sampled_from(sorted(self.past)))
        if name in self._names("tags", "tag"):
            self._unmoved(ConflictError, lambda: self.dataset.tag(name, position))
            return
        self.dataset.tag(name, position)
        self._look()
        (tag,) = [row for row in self.now["tags"] if row["tag"] == name]
        assert tag["content_digest"] == self.past[position]["content_digest"]

    def _compare(self, data: st.DataObject) -> None:
        """A diff names what the tables of the two revisions say."""
        a, b = (data.draw(st.sampled_from(sorted(self.past))) for _ in "ab")
        told = {(row["object"], row["id"], row["change"]) for row in self.dataset.diff(a, b).table.to_pylist()}
        keys = {
            "feature": ("features", lambda row: row["feature_id"]),
            "raster": ("rasters", lambda row: row["raster_id"]),
            "edge": ("edges", lambda row: f"{row['feature_id']} – {row['raster_id']}"),
            "label": ("labels", lambda row: f"{row['label']}/{row['raster_id']}"),
            "split": ("splits", lambda row: f"{row['split']}/{row['raster_id']}"),
            "class": ("classes", lambda row: row["class"]),
        }
        for thing, (table, key) in keys.items():
            was = {key(row): row for row in self.past[a][table]}
            became = {key(row): row for row in self.past[b][table]}
            due = {(thing, name, "added") for name in became.keys() - was.keys()}
            due |= {(thing, name, "removed") for name in was.keys() - became.keys()}
            assert {one for one in told if one[0] == thing and one[2] != "changed"} == due
            both = was.keys() & became.keys()
            # A column that came with later objects is no change of an earlier one.
            changed = {
                name
                for name in both
                if any(was[name][key] != became[name][key] for key in was[name].keys() & became[name])
            }
            assert changed <= {name for kind, name, change in told if (kind, change) == (thing, "changed")}

    def _disturb_the_projection(self, data: st.DataObject) -> None:
        """An older one comes back as after a crash between append and projection: many events are caught up with."""
        what = data.draw(st.sampled_from(["lost", "kept", "brought back"]))
        kept = self.folder / "kept.duckdb"
        if what == "kept" and self.projection.exists():
            shutil.copy(self.projection, kept)
        elif what == "brought back" and kept.exists():
            shutil.copy(kept, self.projection)
        elif what == "lost":
            self.projection.unlink(missing_ok=True)

    def _ask_for_what_can_not_be(self, data: st.DataObject) -> None:
        dataset = self.dataset
        raster = self._names("rasters", "raster_id")[:1]
        asked: dict[str, tuple[type[GeographerError], Callable[[], Any]]] = {
            "feature": (NotFoundError, lambda: dataset.remove_features([*sorted(self.shapes)[:1], "nobody"])),
            "raster": (NotFoundError, lambda: dataset.remove_rasters([*raster, "nothing"])),
            "collection": (NotFoundError, lambda: dataset.cut_grid("cells", size=8, source="nowhere")),
            "labelled": (NotFoundError, lambda: dataset.label_masks("mask", collection="nowhere")),
            "split": (NotFoundError, lambda: dataset.split("parts", collection="nowhere", parts={"a": 1.0})),
            "file": (NotFoundError, lambda: dataset.add_rasters(self.inputs / "nothing.tif")),
            "revision": (NotFoundError, lambda: dataset.checkout(self.head + 1)),
            "head": (ConflictError, lambda: dataset.add_classes(["never"], expected_head="f" * 64)),
            "name": (UsageError, lambda: dataset.cut_grid("a/b", size=8)),
            "nobody": (UsageError, lambda: dataset.remove_features([])),
            "class": (ConflictError, lambda: dataset.add_classes(["twice", "twice"])),
        }
        self._unmoved(*asked[data.draw(st.sampled_from(sorted(asked)))])

    def _repeat_a_request(self, data: st.DataObject) -> None:
        """The same key again changes nothing, and answers what was recorded."""
        name = data.draw(st.sampled_from(["moss", "fern"]))
        if name not in self._names("classes", "class"):
            first = self.dataset.add_classes([name], idempotency_key=name)
            assert first.changed
        again = self.dataset.add_classes([name], idempotency_key=name)
        assert not again.changed
        self._look()

    # --- what must be true ----------------------------------------------------------------------------------------

    @invariant()
    def the_head_is_as_told(self) -> None:
        assert self.dataset.log(1)[0].position == self.head
        assert {row["feature_id"]: row["class"] for row in self.now["features"]} == {
            name: shape.class_ for name, shape in self.shapes.items()
        }
        self._workspace_shows(self.head)

    def teardown(self) -> None:
        events = self.dataset.log()
        assert [event.parents for event in events[1:]] == [[event.digest] for event in events[:-1]]
        for position, tables in self.past.items():
            assert tables_at(self.dataset, position) == tables, f"@{position} reads otherwise now"
        grown = projected(self.projection)
        self.projection.unlink()
        assert self.dataset.verify() == []
        rebuilt = projected(self.projection)
        for table, rows in rebuilt.items():
            assert grown[table] == rows, f"{table} rebuilt is another"
        with Repo(str(self.root)) as repo:
            assert repo.status() == {}
        self.dataset._recorder.store.close()

    def _workspace_shows(self, position: int) -> None:
        found = files_in(self.root)
        due = self.files[position]
        assert found.keys() == due.keys()
        wrong = {
            path: sums for path, sums in due.items() if (found[path][0], found[path][1] if sums[1] else "") != sums
        }
        assert wrong == {}

    def _chips_are_right(self, recipe: str) -> None:
        """Each chip has its raster and its feature still, and what can lie in a chip does."""
        options = self.recipes[recipe]
        with self.dataset._recorder.open_revision(self.head) as revision:
            chips = revision.fetch_rows(
                "SELECT raster_id, parent_id, feature_id FROM raster_now WHERE recipe = $recipe ORDER BY raster_key",
                {"recipe": recipe},
            )
        assert {parent for _, parent, _ in chips} <= set(self._scenes())
        if options["verb"] == "grid":
            return
        assert {feature for *_, feature in chips} <= self.shapes.keys()
        if options["at_border"] != "shift":
            return
        contained = {
            (row["feature_id"], row["raster_id"]) for row in self.now["edges"] if row["relation"] == "contains"
        }
        for name, shape in self.shapes.items():
            selected = options["where"] is None or shape.class_ != "pond"
            small = shape.kind in ("point", "polygon") and shape.reach <= 2.5
            shown = any((name, scene) in contained for scene in self._scenes())
            if selected and small and shown:
                assert any((name, chip) in contained for chip, *_ in chips), f"{name} lies in no chip"

    def _nothing_leaks(self, name: str) -> None:
        """No two rasters of different parts share a feature that counts, or pixels, or lie nearer than the buffer."""
        recipe = self.recipes[name]
        part = {row["raster_id"]: row["part"] for row in self.now["splits"] if row["split"] == name and row["part"]}
        shown: dict[str, set[str]] = {raster: set() for raster in part}
        skipped = {n for n, shape in self.shapes.items() if recipe["where"] and shape.class_ == "reed"}
        for row in self.now["edges"]:
            if row["raster_id"] in part and row["feature_id"] not in skipped:
                shown[row["raster_id"]].add(row["feature_id"])
        ground = {raster: self._ground(raster) for raster in part}
        for a, b in combinations(sorted(part), 2):
            if part[a] == part[b]:
                continue
            assert not shown[a] & shown[b], f"{a} and {b} share {shown[a] & shown[b]}"
            if recipe["by"] == "overlap":
                shared = shapely.area(shapely.intersection(ground[a], ground[b]))
                assert shared < 0.01 * PIXEL**2, f"{a} and {b} share {shared} m²"
            if recipe["buffer"]:
                assert shapely.distance(ground[a], ground[b]) > 0.99 * recipe["buffer"], f"{a} is near {b}"

    def _ground(self, raster: str) -> shapely.Geometry:
        """What a raster covers, in UTM metres, as its file says."""
        (path,) = [row["path"] for row in self.now["rasters"] if row["raster_id"] == raster]
        with rasterio.open(self.root / path) as file:
            corners = [(0, 0), (file.width, 0), (file.width, file.height), (0, file.height)]
            outline = shapely.segmentize(
                shapely.Polygon([at(file.transform[:6], *corner) for corner in corners]), file.width
            )
            return moved(outline, file.crs.to_wkt(), UTM)

    def _masks_are_right(self, label: str) -> None:
        """Every mask lies on its raster's grid and shows the features that there are now."""
        value = {row["class"]: row["value"] for row in self.now["classes"]}
        paths = {row["raster_id"]: row["path"] for row in self.now["rasters"]}
        masks = [row for row in self.now["labels"] if row["label"] == label]
        collection = self.recipes[label]["collection"]
        assert {row["raster_id"] for row in masks} == {
            row["raster_id"] for row in self.now["rasters"] if row["collection"] == collection
        }
        for row in masks:
            with (
                rasterio.open(self.root / paths[row["raster_id"]]) as chip,
                rasterio.open(self.root / row["path"]) as mask,
            ):
                assert (mask.transform, mask.crs, mask.shape) == (chip.transform, chip.crs, chip.shape)
                drawn, transform, crs = mask.read(1), mask.transform, chip.crs.to_wkt()
            due, sure = self._drawn(value, drawn.shape, transform, crs)
            assert (drawn == due)[sure].all(), f"{row['raster_id']}\n{drawn}\n{due}"

    def _drawn(
        self, value: dict[str, int], shape: tuple[int, int], transform: Any, crs: str
    ) -> tuple[np.ndarray, np.ndarray]:
        """The class of each pixel by shapely, and where it leaves no doubt: lines and outlines are GDAL's affair."""
        rows, columns = np.mgrid[: shape[0], : shape[1]] + 0.5
        due, sure = np.zeros(shape, int), np.ones(shape, bool)
        origin = np.array([transform.c, transform.f])
        to_pixels = np.linalg.inv([[transform.a, transform.b], [transform.d, transform.e]]).T
        order = sorted(self.shapes.values(), key=lambda one: (value[one.class_] == 0, value[one.class_]))
        for one in order:
            here = shapely.transform(moved(one.geometry(), UTM, crs), lambda xy: (xy - origin) @ to_pixels)
            if one.kind == "line":
                sure &= shapely.distance(shapely.points(columns, rows), here) > 1.5
            elif one.kind.startswith("polygon"):
                due[shapely.contains_xy(here, columns, rows)] = value[one.class_]
                sure &= shapely.distance(shapely.points(columns, rows), shapely.boundary(here)) > 1e-4
                if not _holds_a_centre(here):
                    # It burns one of the pixels that it shares area with, wherever the grid ends.
                    sure &= ~shapely.intersects(here, shapely.box(columns - 0.5, rows - 0.5, columns + 0.5, rows + 0.5))
            else:
                for x, y in shapely.get_coordinates(here):
                    due[(np.floor(x) == columns - 0.5) & (np.floor(y) == rows - 0.5)] = value[one.class_]
                    sure &= np.maximum(np.abs(columns - x), np.abs(rows - y)) != 0.5
                    if min(abs(x - round(x)), abs(y - round(y))) < 1e-4:
                        sure &= np.maximum(np.abs(columns - x), np.abs(rows - y)) > 0.6
        return due, sure


def _holds_a_centre(area: shapely.Geometry) -> bool:
    """Whether an area in pixel coordinates holds the centre of any pixel, clear of its edge."""
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
BEGINNINGS: tuple[tuple[str, str, dict[str, Any], dict[str, Any]], ...] = (
    ("here", "east", {**PLAIN, "size": 8}, HALVES),
    (
        "degrees",
        "south-up",
        {**PLAIN, "size": (16, 12), "mode": "random", "target_count": 2},
        {**HALVES, "buffer": 45.0},
    ),
    ("turned", "custom", {**PLAIN, "size": 12, "at_border": "pad"}, {**HALVES, "by": "object", "stratify": "class"}),
)
"""The layouts of two scenes, and how chips are cut from them and split."""


def begun(number: int, folder: Path) -> Beginning:
    """One of the beginnings, told in `folder`."""
    first, second, around, split = BEGINNINGS[number]
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
    machine = Histories([], folder)
    machine.open(Dataset.init(folder / "empty", background=BACKGROUND, scm=False).root)
    machine.add_features(shapes, UTM)
    machine.dataset.add_rasters([machine._scene("a", first, 1), machine._scene("b", second, 2)])
    machine._look()
    machine.cut_around("around", around)
    machine.label("around")
    machine.split("around", split, None)
    return Beginning(machine.root, machine.shapes, machine.recipes, machine.past, machine.files)


@pytest.fixture(scope="module")
def beginnings(tmp_path_factory: pytest.TempPathFactory) -> list[Beginning]:
    return [begun(number, tmp_path_factory.mktemp("beginning")) for number in range(len(BEGINNINGS))]


def test_whatever_happens_the_rebuilt_projection_is_the_same_and_the_past_stays(
    beginnings: list[Beginning], tmp_path: Path
) -> None:
    run_state_machine_as_test(
        lambda: Histories(beginnings, tmp_path),
        settings=settings(
            max_examples=12,
            stateful_step_count=12,
            derandomize=True,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
