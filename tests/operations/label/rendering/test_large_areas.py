"""Areas of many vertices: reduced to what a raster shows, they are drawn as if they were whole."""

import numpy as np
import pytest
import rasterio
import shapely
from rasterio.features import rasterize

from geographer.base.values import Grid, Transform
from geographer.operations.label.rendering.large_areas import LargeAreas
from geographer.rasters.pixel_geometries import transform_to_pixels

SIZE = 64
"""Columns and rows of a chip."""


def make_coast(rng: np.random.Generator, radius: float, count: int) -> np.ndarray:
    """A closed ring with bays and spikes, also horizontal and vertical edges; shape (n, 2), in pixels around 0."""
    angles = np.sort(rng.uniform(0, 2 * np.pi, count))
    lengths = radius * (0.7 + 0.2 * np.sin(5 * angles) + 0.1 * rng.uniform(-1, 1, count))
    points = np.column_stack([np.cos(angles), np.sin(angles)]) * lengths[:, np.newaxis]
    is_on_grid = rng.uniform(size=count) < 0.3
    points[is_on_grid] = np.round(points[is_on_grid] * 2) / 2
    points[1::7, 1] = points[: len(points[1::7]) * 7 : 7, 1]
    return points


def make_area(rng: np.random.Generator, *, is_valid: bool) -> shapely.Geometry:
    """An area of 1 or 2 parts with holes, one of them on an island; invalid ones cross themselves."""
    parts = []
    for radius in rng.uniform(60, 400, rng.integers(1, 3)):
        shell = make_coast(rng, radius, 1500)
        holes = [make_coast(rng, radius / 6, 300) + rng.uniform(-0.3, 0.3, 2) * radius for _ in range(rng.integers(3))]
        parts.append(shapely.Polygon(shell, holes))
    area = shapely.MultiPolygon(parts) if len(parts) > 1 else parts[0]
    return area.buffer(0) if is_valid else area


@pytest.mark.parametrize("is_valid", [True, False])
def test_large_areas_are_drawn_as_whole_ones(is_valid):
    """Random areas on random chips, also far outside: the pixels equal those of the whole area, bit for bit."""
    rng = np.random.Generator(np.random.PCG64(19))
    drawn = 0
    for _ in range(6):
        area = make_area(rng, is_valid=is_valid)
        pixel, origin = rng.choice([0.1, 1.0, 10.0, 1 / 3]), rng.uniform(-1e6, 1e6, 2)
        wkb = shapely.to_wkb(shapely.transform(area, lambda points: points * [pixel, -pixel] + origin))  # noqa: B023
        areas = LargeAreas()
        for column, row in rng.integers(-450, 450, (12, 2)).tolist():
            grid = Grid(
                "", Transform(pixel, 0, origin[0] + column * pixel, 0, -pixel, origin[1] - row * pixel), SIZE, SIZE
            )
            reduced = areas.reduce_object(wkb, grid)
            if reduced is None:
                continue
            (whole,) = transform_to_pixels([wkb], grid)
            for all_touched in (False, True):
                expected, pixels = (burn_area(geometry, all_touched=all_touched) for geometry in (whole, reduced))
                np.testing.assert_array_equal(pixels, expected)
                drawn += 0 < expected.sum() < SIZE**2
            assert shapely.get_num_coordinates(reduced) < shapely.get_num_coordinates(whole)
    assert drawn > 20


def burn_area(area: shapely.Geometry, *, all_touched: bool) -> np.ndarray:
    """The pixels that an area covers by GDAL, shape (rows, columns)."""
    parts = [(part, 1) for part in shapely.get_parts(area) if not part.is_empty]
    if not parts:
        return np.zeros((SIZE, SIZE), np.uint8)
    transform = rasterio.Affine.identity()
    return rasterize(parts, out_shape=(SIZE, SIZE), transform=transform, all_touched=all_touched, dtype="uint8")
