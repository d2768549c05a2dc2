"""After any edits, an update leaves what the recipes would make from nothing: file for file, and byte for byte."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from geographer import Dataset
from tests.sample_history import NORTH, PIXEL, WEST, point, square, write_features
from tests.sample_rasters import pixels, write_scene

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


def scene(folder: Path, name: str, column: int, seed: int) -> Path:
    """A scene of 48 by 48 pixels that begins `column` pixels east of the first."""
    folder.mkdir(parents=True, exist_ok=True)
    return write_scene(
        folder / f"{name}.tif",
        pixels(1, SIDE, SIDE, "uint8", seed=seed),
        transform=(PIXEL, 0.0, WEST + PIXEL * column, 0.0, -PIXEL, NORTH),
        nodata=0,
    )


def files(dataset: Dataset, collection: str) -> dict[str, tuple[str, str]]:
    """What a collection holds: the SHA-256 of the file and the pixel digest, by the chip's name."""
    rows = dataset.rasters(where=f"collection = '{collection}'").to_pylist()
    return {row["raster_id"].partition("/")[2]: (row["sha256"], row["pixel_digest"]) for row in rows}


def labelled(dataset: Dataset, label: str) -> dict[str, str]:
    rows = dataset.labels(where=f"label = '{label}'").to_pylist()
    return {row["raster_id"]: row["md5"] for row in rows}


SHAPES = st.tuples(
    st.sampled_from(CLASSES),
    st.integers(0, 4 * 70).map(lambda quarter: quarter / 4),
    st.integers(0, 4 * 44).map(lambda quarter: quarter / 4),
    st.sampled_from([None, 2.0, 6.5, 17.0]),
)
"""A class, a place in the first scene's pixels, and the side of a square; None is a point."""

EDITS = st.one_of(
    st.tuples(st.just("add"), st.lists(SHAPES, min_size=1, max_size=4)),
    st.tuples(st.just("change"), st.tuples(st.integers(0, 20), SHAPES)),
    st.tuples(st.just("remove"), st.lists(st.integers(0, 20), min_size=1, max_size=3)),
    st.tuples(st.just("scene"), st.tuples(st.integers(0, 50), st.integers(1, 3))),
    st.tuples(st.just("scene gone"), st.integers(0, 5)),
    st.tuples(st.just("scene another"), st.tuples(st.integers(0, 5), st.integers(0, 50), st.integers(4, 6))),
    st.tuples(st.just("chip gone"), st.integers(0, 30)),
    st.tuples(st.just("update"), st.none()),
)


def drawn(shape: tuple[str, float, float, float | None]) -> tuple[str, dict]:
    kind, column, row, side = shape
    return kind, point(column + 0.5, row + 0.5) if side is None else square(column, row, side)


class Edits:
    """A person at work on a dataset."""

    def __init__(self, dataset: Dataset, folder: Path) -> None:
        self.dataset, self.folder = dataset, folder
        self.numbers = itertools.count()

    def do(self, what: str, how: Any) -> None:
        getattr(self, "_" + what.replace(" ", "_"))(how)

    def _add(self, shapes: list) -> None:
        named = {f"f{next(self.numbers):03}": drawn(shape) for shape in shapes}
        add_features(self.dataset, self.folder, named)

    def _change(self, how: tuple[int, tuple]) -> None:
        number, shape = how
        ids = self.dataset.features()["feature_id"].to_pylist()
        if ids:
            add_features(self.dataset, self.folder, {ids[number % len(ids)]: drawn(shape)}, replace=True)

    def _remove(self, numbers: list[int]) -> None:
        ids = self.dataset.features()["feature_id"].to_pylist()
        if ids:
            self.dataset.remove_features(sorted({ids[number % len(ids)] for number in numbers}))

    def _scene(self, how: tuple[int, int]) -> None:
        column, seed = how
        self.dataset.add_rasters(scene(self.folder, f"s{next(self.numbers):03}", column, seed))

    def _scene_gone(self, number: int) -> None:
        ids = self._ids("source")
        if len(ids) > 1:
            self.dataset.remove_rasters([ids[number % len(ids)]])

    def _scene_another(self, how: tuple[int, int, int]) -> None:
        number, column, seed = how
        ids = self._ids("source")
        name = ids[number % len(ids)]
        if seed % 2:
            self.dataset.add_rasters(scene(self.folder, name, column, seed), replace=True)
        else:
            self.dataset.remove_rasters([name])
            self.dataset.add_rasters(scene(self.folder, name, column, seed))

    def _chip_gone(self, number: int) -> None:
        ids = self._ids("around")
        if ids:
            self.dataset.remove_rasters([ids[number % len(ids)]])

    def _update(self, _: None) -> None:
        self.dataset.update()

    def _ids(self, collection: str) -> list[str]:
        return self.dataset.rasters(where=f"collection = '{collection}'")["raster_id"].to_pylist()


@pytest.fixture(scope="module")
def begun_once(empty_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("begun")
    dataset = Dataset.open(shutil.copytree(empty_dataset, folder / "dataset"))
    dataset.add_classes(CLASSES)
    generator = np.random.Generator(np.random.PCG64(7))
    named = {
        f"g{number}": drawn((CLASSES[number % 2], float(column), float(row), [None, 3.0, 15.0][number % 3]))
        for number, (column, row) in enumerate(generator.integers(0, 44, (7, 2)))
    }
    add_features(dataset, folder, named)
    dataset.add_rasters([scene(folder / "scenes", "a", 0, 1), scene(folder / "scenes", "b", 30, 2)])
    for name, cut in CUTS.items():
        cut(dataset, name)
    for name, label in LABELS.items():
        label(dataset, name, "around")
    return dataset.root


@settings(
    max_examples=10,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(edits=st.lists(EDITS, min_size=2, max_size=6))
def test_an_update_leaves_what_the_recipes_would_make_from_nothing(
    begun_once: Path, begun: Callable[[Path], Dataset], tmp_path: Path, edits: list[tuple[str, Any]]
) -> None:
    dataset = begun(begun_once)
    person = Edits(dataset, tmp_path)
    for what, how in edits:
        person.do(what, how)
    dataset.update()
    assert not any(recorded.changed for recorded in dataset.update())
    for name, cut in CUTS.items():
        cut(dataset, f"fresh-{name}")
        assert files(dataset, name) == files(dataset, f"fresh-{name}")
    for name, label in LABELS.items():
        label(dataset, f"fresh-{name}", "around")
        assert labelled(dataset, name) == labelled(dataset, f"fresh-{name}")
