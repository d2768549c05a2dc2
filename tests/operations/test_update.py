"""Test that an update after any edits gives the same files, byte for byte, as new recipes."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from geographer import Dataset
from tests.sample_history import NORTH, PIXEL, WEST, point_geometry, square_geometry, write_features
from tests.sample_rasters import make_pixels, write_scene
from tests.sample_team import LONG

CLASSES = ("pond", "quarry")
SIDE = 48
CUTS: dict[str, Callable[..., Any]] = {
    "around": lambda dataset, name: dataset.cut_around_features(name, size=(14, 10)),
    "twice": lambda dataset, name: dataset.cut_around_features(
        name, size=9, mode="random", seed=3, target_count=2, order_by="random", where="class = 'pond'"
    ),
    "variable": lambda dataset, name: dataset.cut_around_features(
        name, mode="variable", scale=1.5, min_size=6, at_border="pad", order_by="raster_id DESC"
    ),
    "grid": lambda dataset, name: dataset.cut_grid(name, size=20, overlap=4, cells="with-features", edge="pad"),
}
LABELS: dict[str, Callable[..., Any]] = {
    "mask": lambda dataset, name, collection: dataset.label_masks(name, collection=collection),
}


def add_features(dataset: Dataset, folder: Path, shapes: dict[str, tuple[str, dict]], **options: Any) -> None:
    path = folder / f"{len(dataset.log())}.geojson"
    dataset.add_features(write_features(path, shapes), crs="EPSG:32633", **options)


def write_test_scene(folder: Path, name: str, column: int, seed: int) -> Path:
    """Write a scene of 48 by 48 pixels, `column` pixels east of the first."""
    folder.mkdir(parents=True, exist_ok=True)
    return write_scene(
        folder / f"{name}.tif",
        make_pixels(1, SIDE, SIDE, "uint8", seed=seed),
        transform=(PIXEL, 0.0, WEST + PIXEL * column, 0.0, -PIXEL, NORTH),
        nodata=0,
    )


def list_files(dataset: Dataset, collection: str) -> dict[str, tuple[str, str]]:
    """Return the SHA-256 and the pixel digest of each file of a collection, by the chip's name."""
    rows = dataset.rasters(where=f"collection = '{collection}'").to_pylist()
    return {row["raster_id"].partition("/")[2]: (row["sha256"], row["pixel_digest"]) for row in rows}


def list_labels(dataset: Dataset, label: str) -> dict[str, str]:
    rows = dataset.labels(where=f"label = '{label}'").to_pylist()
    return {row["raster_id"]: row["md5"] for row in rows}


FEATURE_SHAPES = st.tuples(
    st.sampled_from(CLASSES),
    st.integers(0, 4 * 70).map(lambda quarter: quarter / 4),
    st.integers(0, 4 * 44).map(lambda quarter: quarter / 4),
    st.sampled_from([None, 2.0, 6.5, 17.0]),
)
"""A class, a position in the first scene's pixels, and the side of a square; None makes a point."""

EDITS = st.one_of(
    st.tuples(st.just("add features"), st.lists(FEATURE_SHAPES, min_size=1, max_size=4)),
    st.tuples(st.just("change feature"), st.tuples(st.integers(0, 20), FEATURE_SHAPES)),
    st.tuples(st.just("remove features"), st.lists(st.integers(0, 20), min_size=1, max_size=3)),
    st.tuples(st.just("add scene"), st.tuples(st.integers(0, 50), st.integers(1, 3))),
    st.tuples(st.just("remove scene"), st.integers(0, 5)),
    st.tuples(st.just("replace scene"), st.tuples(st.integers(0, 5), st.integers(0, 50), st.integers(4, 6))),
    st.tuples(st.just("remove chip"), st.integers(0, 30)),
    st.tuples(st.just("update dataset"), st.none()),
)

FIRST_EDITS: list[tuple[str, Any]] = [
    ("add features", [("quarry", 45.25, 3.25, 17.0), ("pond", 23.25, 4.0, 2.0), ("pond", 70.0, 37.25, None)]),
    ("add scene", (12, 2)),
    ("remove chip", 8),
    ("update dataset", None),
    ("change feature", (4, ("pond", 69.25, 25.25, None))),
    ("replace scene", (0, 8, 4)),
]
SECOND_EDITS: list[tuple[str, Any]] = [
    ("remove scene", 1),
    ("remove features", [6, 3]),
    ("change feature", (1, ("quarry", 32.0, 39.0, 17.0))),
    ("remove chip", 2),
    ("add scene", (23, 1)),
    ("replace scene", (0, 30, 5)),
]
"""Together, both contain every kind of edit, and both ways to replace a scene."""


def make_feature(shape: tuple[str, float, float, float | None]) -> tuple[str, dict]:
    kind, column, row, side = shape
    return kind, point_geometry(column + 0.5, row + 0.5) if side is None else square_geometry(column, row, side)


class Edits:
    """Apply edits to a dataset."""

    def __init__(self, dataset: Dataset, folder: Path) -> None:
        self.dataset, self.folder = dataset, folder
        self.numbers = itertools.count()
        self.removed_chips: set[str] = set()

    def apply_edit(self, kind: str, argument: Any) -> None:
        getattr(self, "_" + kind.replace(" ", "_"))(argument)

    def _add_features(self, shapes: list) -> None:
        features = {f"f{next(self.numbers):03}": make_feature(shape) for shape in shapes}
        add_features(self.dataset, self.folder, features)

    def _change_feature(self, argument: tuple[int, tuple]) -> None:
        number, shape = argument
        ids = self.dataset.features()["feature_id"].to_pylist()
        if ids:
            add_features(self.dataset, self.folder, {ids[number % len(ids)]: make_feature(shape)}, replace=True)

    def _remove_features(self, numbers: list[int]) -> None:
        ids = self.dataset.features()["feature_id"].to_pylist()
        if ids:
            self.dataset.remove_features(sorted({ids[number % len(ids)] for number in numbers}))

    def _add_scene(self, argument: tuple[int, int]) -> None:
        column, seed = argument
        self.dataset.add_rasters(write_test_scene(self.folder, f"s{next(self.numbers):03}", column, seed))

    def _remove_scene(self, number: int) -> None:
        ids = self._list_ids("source")
        if len(ids) > 1:
            self.dataset.remove_rasters([ids[number % len(ids)]])

    def _replace_scene(self, argument: tuple[int, int, int]) -> None:
        number, column, seed = argument
        ids = self._list_ids("source")
        name = ids[number % len(ids)]
        # A chip of other pixels is another chip.
        self.removed_chips = {chip for chip in self.removed_chips if not chip.startswith(f"around/{name}_")}
        if seed % 2:
            self.dataset.add_rasters(write_test_scene(self.folder, name, column, seed), replace=True)
        else:
            self.dataset.remove_rasters([name])
            self.dataset.add_rasters(write_test_scene(self.folder, name, column, seed))

    def _remove_chip(self, number: int) -> None:
        ids = self._list_ids("around")
        if ids:
            self.dataset.remove_rasters([ids[number % len(ids)]])
            self.removed_chips.add(ids[number % len(ids)])

    def _update_dataset(self, _: None) -> None:
        self.dataset.update()

    def _list_ids(self, collection: str) -> list[str]:
        return self.dataset.rasters(where=f"collection = '{collection}'")["raster_id"].to_pylist()


@pytest.fixture(scope="module")
def dataset_template(empty_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("update")
    dataset = Dataset.open(shutil.copytree(empty_dataset, folder / "dataset"))
    dataset.add_classes(CLASSES)
    rng = np.random.Generator(np.random.PCG64(7))
    features = {
        f"g{number}": make_feature((CLASSES[number % 2], float(column), float(row), [None, 3.0, 15.0][number % 3]))
        for number, (column, row) in enumerate(rng.integers(0, 44, (7, 2)))
    }
    add_features(dataset, folder, features)
    dataset.add_rasters(
        [write_test_scene(folder / "scenes", "a", 0, 1), write_test_scene(folder / "scenes", "b", 30, 2)]
    )
    for name, cut in CUTS.items():
        cut(dataset, name)
    for name, label in LABELS.items():
        label(dataset, name, "around")
    return dataset.root


@settings(
    # HYPOTHESIS_PROFILE=long makes twelve more.
    max_examples=12,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate] if LONG else [Phase.explicit],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(edits=st.lists(EDITS, min_size=2, max_size=6))
@example(FIRST_EDITS)
@example(SECOND_EDITS)
def test_update_equals_new_recipes(
    dataset_template: Path, open_copy: Callable[[Path], Dataset], tmp_path: Path, edits: list[tuple[str, Any]]
) -> None:
    dataset = open_copy(dataset_template)
    editor = Edits(dataset, tmp_path)
    for kind, argument in edits:
        editor.apply_edit(kind, argument)
    dataset.update()
    assert not any(result.changed for result in dataset.update())
    for name, cut in CUTS.items():
        cut(dataset, f"fresh-{name}")
        fresh = list_files(dataset, f"fresh-{name}")
        removed = {chip for chip in fresh if f"{name}/{chip}" in editor.removed_chips}
        assert list_files(dataset, name) == {chip: fresh[chip] for chip in fresh.keys() - removed}
    for name, label in LABELS.items():
        label(dataset, f"fresh-{name}", "around")
        assert list_labels(dataset, name) == list_labels(dataset, f"fresh-{name}")
