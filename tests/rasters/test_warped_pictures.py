"""Warped pictures: pixels where pyproj says, and rasters across the antimeridian."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyproj
import pytest
import rasterio

from geographer.base.values import Grid, Transform
from geographer.rasters.pictures import UNSTRETCHED, PictureSettings
from geographer.rasters.warped_pictures import LonLatGrid, read_warped_picture

SETTINGS = PictureSettings("png", stretch=UNSTRETCHED)


def write_raster(path: Path, pixels: np.ndarray, crs: str, transform: rasterio.Affine, **options) -> Grid:
    count, height, width = pixels.shape
    profile = {"driver": "GTiff", "count": count, "height": height, "width": width, "dtype": pixels.dtype, **options}
    with rasterio.open(path, "w", crs=crs, transform=transform, **profile) as raster:
        raster.write(pixels)
    return Grid(crs, Transform(*transform[:6]), width, height)


@pytest.mark.parametrize("angle", [0.0, 30.0])
def test_pixels_lie_where_pyproj_says(tmp_path: Path, angle: float) -> None:
    pixels = np.arange(10, 110, dtype=np.uint8).reshape(1, 10, 10)
    transform = rasterio.Affine(1000, 0, 500_000, 0, -1000, 5_000_000) @ rasterio.Affine.rotation(angle)
    grid = write_raster(tmp_path / "a.tif", pixels, "EPSG:32633", transform)
    target = LonLatGrid(14.9, 44.9, 15.2, 45.2, 600, 600)
    picture = read_warped_picture(tmp_path / "a.tif", grid, SETTINGS, target)
    to_degrees = pyproj.Transformer.from_crs("EPSG:32633", "EPSG:4326", always_xy=True)
    for row in range(10):
        for column in range(10):
            lon, lat = to_degrees.transform(*(transform @ (column + 0.5, row + 0.5)))
            x, y = int((lon - target.west) / 0.3 * 600), int((target.north - lat) / 0.3 * 600)
            assert picture[:, y, x].tolist() == [pixels[0, row, column]] * 3 + [255]
    area = (picture[3] == 255).mean() * (0.3 * 78_600 * 0.3 * 111_150) / 1e8
    assert abs(area - 1) < 0.05


@pytest.mark.parametrize(
    ("crs", "transform"),
    [
        ("EPSG:4326", rasterio.Affine(0.2, 0, 179, 0, -0.2, 1)),
        ("EPSG:4326", rasterio.Affine(0.2, 0, -181, 0, -0.2, 1)),
        ("EPSG:32601", rasterio.Affine(22_264, 0, 55_000, 0, -22_120, 110_600)),
    ],
)
def test_antimeridian_is_crossed(tmp_path: Path, crs: str, transform: rasterio.Affine) -> None:
    pixels = np.tile(np.arange(100, 200, 10, dtype=np.uint8), (1, 10, 1))
    grid = write_raster(tmp_path / "a.tif", pixels, crs, transform)
    for west in (179.0, -181.0):
        picture = read_warped_picture(tmp_path / "a.tif", grid, SETTINGS, LonLatGrid(west, -1, west + 2, 1, 40, 40))
        assert (picture[3, 2:-2, 2:-2] == 255).all()
        # Columns are about those of the raster.
        assert np.abs(picture[0, 20, 2::4].astype(int) - pixels[0, 0]).max() <= 10


def test_invalid_pixels_are_transparent(tmp_path: Path) -> None:
    transform = rasterio.Affine(0.1, 0, 0, 0, -0.1, 1)
    target = LonLatGrid(-1, 0, 1, 1, 40, 20)
    values = np.ones((1, 10, 10), np.float32)
    values[:, :, :5] = np.nan
    for name, pixels, options in (
        ("nan", values, {}),
        ("nodata", np.where(np.isnan(values), 0, 7).astype(np.uint16), {"nodata": 0}),
    ):
        path = tmp_path / f"{name}.tif"
        picture = read_warped_picture(
            path, write_raster(path, pixels, "EPSG:4326", transform, **options), SETTINGS, target
        )
        assert (picture[3, :, 30:] == 255).all()
        assert (picture[3, :, :30] == 0).all()
