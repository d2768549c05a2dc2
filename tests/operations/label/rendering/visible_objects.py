"""Objects to draw labels of, made in pixel coordinates, and what an oracle says of the centres of pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely

from geographer.base.values import Grid, Transform
from geographer.operations.label.rendering.pixel_geometries import Shown
from geographer.operations.label.rendering.render import Drawing, LabelMade, LabelOrder, burn
from tests.sample_rasters import NORTH_UP, at


def grid(transform: tuple[float, ...] = NORTH_UP, width: int = 40, height: int = 30, crs: str = "EPSG:32633") -> Grid:
    return Grid(crs, Transform(*transform), width, height)


def window(of: Grid, column: int, row: int, width: int, height: int) -> Grid:
    """The grid of a chip."""
    x, y = at(of.transform, column, row)
    return Grid(of.crs, of.transform._replace(c=x, f=y), width, height)


def placed(shape: shapely.Geometry, where: Grid) -> shapely.Geometry:
    """A geometry given in pixel coordinates, in the CRS of a grid."""
    return shapely.transform(shape, lambda xy: np.column_stack(at(where.transform, xy[:, 0], xy[:, 1])))


def shown(where: Grid, *shapes: tuple[str, int, shapely.Geometry], **more: Any) -> tuple[Shown, ...]:
    """Objects (name, class value, geometry in pixels), in the order in which they were added; class 3 is named c3."""
    wkb = [shapely.to_wkb(placed(shape, where)) for _, _, shape in shapes]
    return tuple(
        Shown(name, f"c{value}", value, one, **more) for (name, value, _), one in zip(shapes, wkb, strict=True)
    )


def drawn(path: Path, where: Grid, objects: tuple[Shown, ...], drawing: Drawing, raster: str = "") -> np.ndarray:
    """The pixels of a label, shape (bands, rows, columns)."""
    made(path, where, objects, drawing, raster)
    with rasterio.open(path) as label:
        assert label.crs.to_epsg() == 32633
        assert label.transform[:6] == where.transform
        return label.read()


def made(path: Path, where: Grid, objects: tuple[Shown, ...], drawing: Drawing, raster: str = "") -> LabelMade:
    (label,) = burn([LabelOrder("a raster", where, objects, str(path), raster)], drawing)
    return label


def centres(width: int, height: int) -> np.ndarray:
    """The centres of pixels, as points in pixel coordinates; shape (rows, columns)."""
    columns, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    return shapely.points(columns, rows)


def squares(width: int, height: int) -> np.ndarray:
    """The pixels as polygons in pixel coordinates; shape (rows, columns)."""
    columns, rows = np.meshgrid(np.arange(width), np.arange(height))
    return shapely.box(columns, rows, columns + 1, rows + 1)


def blob(seed: int, width: int = 40, height: int = 30, largest: float = 12) -> shapely.Polygon:
    """An irregular polygon in pixel coordinates, perhaps partly outside, whose edge runs through no pixel's centre."""
    random = np.random.default_rng(seed)
    angles = np.sort(random.uniform(0, 2 * np.pi, 20))
    radius = random.uniform(0.3, 1, 20) * random.uniform(2, largest)
    middle = random.uniform(0, 1, 2) * (width, height)
    return shapely.Polygon(np.column_stack([middle[0] + radius * np.cos(angles), middle[1] + radius * np.sin(angles)]))
