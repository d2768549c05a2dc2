"""Soft labels, against sums of fractions for the centre of every pixel."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely

from geographer.base.values import LineWidth
from geographer.operations.label.rendering.pixel_geometries import Shown
from geographer.operations.label.rendering.probabilities import SoftDrawing
from geographer.operations.label.rendering.rasterize import SMALL
from tests.operations.label.rendering.visible_objects import blob, centres, drawn, grid, made, shown, window

NAMES = ("pond", "quarry", "track")
SHAPES = [blob(seed) for seed in range(14)]


def chances(seed: int) -> tuple[float, ...]:
    random = np.random.default_rng(seed)
    return tuple((random.dirichlet([0.5, 0.5, 0.5]) * random.uniform(0, 1)).tolist())


def objects(*lake: shapely.Geometry) -> tuple[Shown, ...]:
    where = grid()
    one_each = [
        shown(where, (f"f{seed}", 1, shape), probabilities=chances(seed))[0] for seed, shape in enumerate(SHAPES)
    ]
    return (*one_each, *shown(where, *((f"lake {n}", 0, shape) for n, shape in enumerate(lake))))


def due(combine: str, *lake: shapely.Geometry) -> np.ndarray:
    """The three bands, shape (3, rows, columns), from exact fractions."""
    found = np.zeros((3, 30, 40))
    points = centres(40, 30)
    covered = [shapely.contains(shape, points) for shape in SHAPES]
    erased = shapely.contains(shapely.union_all(lake), points) if lake else np.zeros((30, 40), bool)
    for row, column in np.ndindex(30, 40):
        here = [chances(seed) for seed, cover in enumerate(covered) if cover[row, column]]
        if not here or erased[row, column]:
            continue
        for band in range(3):
            values = [Fraction(one[band]) for one in here]
            found[band, row, column] = max(values) if combine == "max" else sum(values) / len(values)
    return found


@pytest.mark.parametrize("combine", ["mean", "max"])
def test_bands_hold_the_mean_or_the_largest_of_the_objects_that_cover_a_pixel(tmp_path: Path, combine: str):
    lake = blob(101)
    found = drawn(tmp_path / "s.tif", grid(), objects(lake), SoftDrawing(NAMES, combine=combine))
    assert found.dtype == "float32"
    assert np.abs(found - due(combine, lake)).max() < 1e-6
    assert 0 < (found > 0).mean() < 1


@pytest.mark.parametrize("combine", ["mean", "max"])
def test_the_order_of_objects_does_not_change_a_byte(tmp_path: Path, combine: str):
    given = objects(blob(101))
    random = np.random.default_rng(3)
    contents = set()
    for number in range(4):
        path = tmp_path / f"{number}.tif"
        turned = tuple(given[place] for place in random.permutation(len(given)))
        made(path, grid(), turned, SoftDrawing(NAMES, "rest", combine))
        contents.add(path.read_bytes())
    assert len(contents) == 1


@pytest.mark.parametrize("combine", ["mean", "max"])
def test_a_background_band_comes_first_and_holds_what_is_left_of_one(tmp_path: Path, combine: str):
    lake = blob(101)
    found = drawn(tmp_path / "s.tif", grid(), objects(lake), SoftDrawing(NAMES, "land", combine))
    assert np.abs(found[0] - np.clip(1 - due(combine, lake).sum(axis=0), 0, 1)).max() < 1e-6
    assert (found[0][shapely.contains(lake, centres(40, 30))] == 1).all()
    assert found.min() >= 0
    with rasterio.open(tmp_path / "s.tif") as label:
        assert label.descriptions == ("land", *NAMES)


def test_the_largest_of_several_can_leave_less_than_nothing_and_the_background_is_zero_then(tmp_path: Path):
    where, box = grid(), shapely.box(3, 3, 9, 9)
    both = (
        *shown(where, ("a", 1, box), probabilities=(0.9, 0.0, 0.0)),
        *shown(where, ("b", 2, box), probabilities=(0.0, 0.8, 0.0)),
    )
    found = drawn(tmp_path / "s.tif", where, both, SoftDrawing(NAMES, "land", "max"))
    assert found[:, 5, 5].tolist() == [0, np.float32(0.9), np.float32(0.8), 0]


def test_a_chip_s_soft_label_is_the_window_of_its_scene_s(tmp_path: Path):
    where = grid()
    thin = shown(where, ("road", 1, shapely.LineString([(0, 3), (39, 28)])), probabilities=(0.1, 0.2, 0.3))
    crumb = shown(where, ("crumb", 1, shapely.box(20.1, 9.8, 20.3, 10.1)), probabilities=(0.1, 0.0, 0.7))
    given, drawing = (*objects(blob(101)), *thin, *crumb), SoftDrawing(NAMES, "land", width=LineWidth(3, "px"))
    whole = drawn(tmp_path / "scene.tif", where, given, drawing)
    for column, row in ((0, 0), (11, 5), (20, 10), (24, 14)):
        part = drawn(tmp_path / "chip.tif", window(where, column, row, 16, 16), given, drawing)
        assert np.array_equal(part, whole[:, row : row + 16, column : column + 16])
    assert made(tmp_path / "scene.tif", where, given, drawing).told[SMALL] == ("crumb",)
