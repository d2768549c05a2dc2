"""Probability labels, against sums of fractions for the centre of every pixel."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import rasterio
import shapely

from geographer.operations.label.probabilities import LabelProbabilities
from geographer.operations.label.tasks import VisibleObject
from geographer.planning.up_to_date_labels import LabelSettings
from tests.operations.label.rendering.visible_objects import (
    make_blob,
    make_chip_grid,
    make_grid,
    make_objects,
    pixel_centres,
    render_one,
    render_pixels,
)

Combine = Literal["mean", "max"]
NAMES = ("pond", "quarry", "track")
BANDS = LabelSettings(bands=[*NAMES])
BANDS_AND_LAND = LabelSettings(bands=["land", *NAMES])
SHAPES = [make_blob(seed) for seed in range(14)]


def make_recipe(**options: Any) -> LabelProbabilities:
    return LabelProbabilities(name="soft", collection="chips", **options)


def draw_probabilities(seed: int) -> tuple[float, ...]:
    random = np.random.default_rng(seed)
    return tuple((random.dirichlet([0.5, 0.5, 0.5]) * random.uniform(0, 1)).tolist())


def make_objects_with_probabilities(*lake: shapely.Geometry) -> tuple[VisibleObject, ...]:
    grid = make_grid()
    foreground = [
        make_objects(grid, (f"f{seed}", 1, shape), probabilities=draw_probabilities(seed))[0]
        for seed, shape in enumerate(SHAPES)
    ]
    return (*foreground, *make_objects(grid, *((f"lake {n}", 0, shape) for n, shape in enumerate(lake))))


def compute_expected_bands(combine: Combine, *lake: shapely.Geometry) -> np.ndarray:
    """The three bands, shape (3, rows, columns), from exact fractions."""
    bands = np.zeros((3, 30, 40))
    points = pixel_centres(40, 30)
    covered = [shapely.contains(shape, points) for shape in SHAPES]
    erased = shapely.contains(shapely.union_all(lake), points) if lake else np.zeros((30, 40), bool)
    for row, column in np.ndindex(30, 40):
        covering = [draw_probabilities(seed) for seed, cover in enumerate(covered) if cover[row, column]]
        if not covering or erased[row, column]:
            continue
        for band in range(3):
            values = [Fraction(probabilities[band]) for probabilities in covering]
            bands[band, row, column] = max(values) if combine == "max" else sum(values) / len(values)
    return bands


@pytest.mark.parametrize("combine", ["mean", "max"])
def test_bands_hold_mean_or_max(tmp_path: Path, combine: Combine):
    lake = make_blob(101)
    actual = render_pixels(
        tmp_path / "s.tif",
        make_grid(),
        make_objects_with_probabilities(lake),
        make_recipe(combine=combine),
        settings=BANDS,
    )
    assert actual.dtype == "float32"
    assert np.abs(actual - compute_expected_bands(combine, lake)).max() < 1e-6
    assert 0 < (actual > 0).mean() < 1


@pytest.mark.parametrize("combine", ["mean", "max"])
def test_object_order_does_not_change_bytes(tmp_path: Path, combine: Combine):
    objects = make_objects_with_probabilities(make_blob(101))
    random = np.random.default_rng(3)
    contents = set()
    for number in range(4):
        path = tmp_path / f"{number}.tif"
        shuffled = tuple(objects[index] for index in random.permutation(len(objects)))
        render_one(
            path, make_grid(), shuffled, make_recipe(background_band=True, combine=combine), settings=BANDS_AND_LAND
        )
        contents.add(path.read_bytes())
    assert len(contents) == 1


@pytest.mark.parametrize("combine", ["mean", "max"])
def test_background_band_is_remainder_of_one(tmp_path: Path, combine: Combine):
    lake = make_blob(101)
    actual = render_pixels(
        tmp_path / "s.tif",
        make_grid(),
        make_objects_with_probabilities(lake),
        make_recipe(background_band=True, combine=combine),
        settings=BANDS_AND_LAND,
    )
    assert np.abs(actual[0] - np.clip(1 - compute_expected_bands(combine, lake).sum(axis=0), 0, 1)).max() < 1e-6
    assert (actual[0][shapely.contains(lake, pixel_centres(40, 30))] == 1).all()
    assert actual.min() >= 0
    with rasterio.open(tmp_path / "s.tif") as label:
        assert label.descriptions == ("land", *NAMES)


def test_background_band_is_clipped_to_zero(tmp_path: Path):
    """With `max`, the classes can sum to more than 1."""
    grid, box = make_grid(), shapely.box(3, 3, 9, 9)
    both = (
        *make_objects(grid, ("a", 1, box), probabilities=(0.9, 0.0, 0.0)),
        *make_objects(grid, ("b", 2, box), probabilities=(0.0, 0.8, 0.0)),
    )
    actual = render_pixels(
        tmp_path / "s.tif", grid, both, make_recipe(background_band=True, combine="max"), settings=BANDS_AND_LAND
    )
    assert actual[:, 5, 5].tolist() == [0, np.float32(0.9), np.float32(0.8), 0]


def test_chip_label_equals_scene_window(tmp_path: Path):
    grid = make_grid()
    line = make_objects(grid, ("road", 1, shapely.LineString([(0, 3), (39, 28)])), probabilities=(0.1, 0.2, 0.3))
    crumb = make_objects(grid, ("crumb", 1, shapely.box(20.1, 9.8, 20.3, 10.1)), probabilities=(0.1, 0.0, 0.7))
    objects, recipe = (
        (*make_objects_with_probabilities(make_blob(101)), *line, *crumb),
        make_recipe(background_band=True, width=3),
    )
    whole = render_pixels(tmp_path / "scene.tif", grid, objects, recipe, settings=BANDS_AND_LAND)
    for column, row in ((0, 0), (11, 5), (20, 10), (24, 14)):
        part = render_pixels(
            tmp_path / "chip.tif", make_chip_grid(grid, column, row, 16, 16), objects, recipe, settings=BANDS_AND_LAND
        )
        assert np.array_equal(part, whole[:, row : row + 16, column : column + 16])
    assert render_one(tmp_path / "scene.tif", grid, objects, recipe, settings=BANDS_AND_LAND).notes["subpixel"] == (
        "crumb",
    )
