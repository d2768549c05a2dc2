"""Objects in pixel coordinates to draw labels of, and the pixel centres that an oracle tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely

from geographer.base.values import Grid, Transform
from geographer.operations.label.base import LabelRecipe
from geographer.operations.label.masks import LabelInstances, LabelMask, LabelMultilabel
from geographer.operations.label.rendering.render import render_labels
from geographer.operations.label.tasks import LabelResult, LabelTask, VisibleObject
from geographer.planning.up_to_date_labels import LabelSettings
from tests.sample_rasters import NORTH_UP, to_xy

SETTINGS = LabelSettings(dtype="uint8", bands=["c1", "c2", "c3", "c4", "c5"])


def make_mask(**options: Any) -> LabelMask:
    return LabelMask(name="mask", collection="chips", **options)


def make_instances(**options: Any) -> LabelInstances:
    return LabelInstances(name="things", collection="chips", **options)


def make_multilabel(**options: Any) -> LabelMultilabel:
    return LabelMultilabel(name="classes", collection="chips", **options)


def make_grid(
    transform: tuple[float, ...] = NORTH_UP, width: int = 40, height: int = 30, crs: str = "EPSG:32633"
) -> Grid:
    return Grid(crs, Transform(*transform), width, height)


def make_chip_grid(grid: Grid, column: int, row: int, width: int, height: int) -> Grid:
    """The grid of a chip that is cut from `grid`."""
    x, y = to_xy(grid.transform, column, row)
    return Grid(grid.crs, grid.transform._replace(c=x, f=y), width, height)


def to_map(shape: shapely.Geometry, grid: Grid) -> shapely.Geometry:
    """Transform a geometry from pixel coordinates to the CRS of a grid."""
    return shapely.transform(shape, lambda xy: np.column_stack(to_xy(grid.transform, xy[:, 0], xy[:, 1])))


def make_objects(grid: Grid, *shapes: tuple[str, int, shapely.Geometry], **fields: Any) -> tuple[VisibleObject, ...]:
    """Objects (id, class value, geometry in pixels), in the order of addition; class 3 is named c3."""
    return tuple(
        VisibleObject(name, f"c{value}", value, shapely.to_wkb(to_map(shape, grid)), **fields)
        for name, value, shape in shapes
    )


def render_pixels(
    path: Path,
    grid: Grid,
    objects: tuple[VisibleObject, ...],
    recipe: LabelRecipe,
    raster_path: str = "",
    settings: LabelSettings = SETTINGS,
) -> np.ndarray:
    """The pixels of a label, shape (bands, rows, columns)."""
    render_one(path, grid, objects, recipe, raster_path, settings)
    with rasterio.open(path) as label:
        assert label.crs.to_epsg() == 32633
        assert label.transform[:6] == grid.transform
        return label.read()


def render_one(
    path: Path,
    grid: Grid,
    objects: tuple[VisibleObject, ...],
    recipe: LabelRecipe,
    raster_path: str = "",
    settings: LabelSettings = SETTINGS,
) -> LabelResult:
    (label,) = render_labels([LabelTask("a raster", grid, objects, str(path), raster_path)], recipe, settings)
    return label


def pixel_centres(width: int, height: int) -> np.ndarray:
    """The centres of pixels, as points in pixel coordinates; shape (rows, columns)."""
    columns, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    return shapely.points(columns, rows)


def pixel_squares(width: int, height: int) -> np.ndarray:
    """The pixels as polygons in pixel coordinates; shape (rows, columns)."""
    columns, rows = np.meshgrid(np.arange(width), np.arange(height))
    return shapely.box(columns, rows, columns + 1, rows + 1)


def make_blob(seed: int, width: int = 40, height: int = 30, largest: float = 12) -> shapely.Polygon:
    """An irregular polygon in pixel coordinates, perhaps partly outside, whose edge crosses no pixel centre."""
    random = np.random.default_rng(seed)
    angles = np.sort(random.uniform(0, 2 * np.pi, 20))
    radius = random.uniform(0.3, 1, 20) * random.uniform(2, largest)
    middle = random.uniform(0, 1, 2) * (width, height)
    return shapely.Polygon(np.column_stack([middle[0] + radius * np.cos(angles), middle[1] + radius * np.sin(angles)]))
