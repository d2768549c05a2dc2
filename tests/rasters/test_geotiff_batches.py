"""GeoTIFFs encoded at once: the bytes are those that GDAL gives each alone."""

import numpy as np
import pytest
from rasterio.crs import CRS

from geographer.base.values import Transform
from geographer.rasters import geotiff_batches
from geographer.rasters.geotiff_batches import GeoTiffEncoder
from geographer.rasters.write import GeoTiffMetadata, encode_geotiff

COUNT = 6
UTM = CRS.from_epsg(32633)


def make_pixels(seed: int, shape: tuple[int, int, int], dtype: str) -> list[np.ndarray]:
    """Empty, constant, patchy and noisy pixels."""
    rng = np.random.Generator(np.random.PCG64(seed))
    bands, height, width = shape
    patches = np.kron(rng.integers(0, 5, (bands, height // 8 + 1, width // 8 + 1)), np.ones((8, 8)))
    kinds = [np.zeros(shape), np.ones(shape), patches[:, :height, :width], rng.normal(size=shape) * 60]
    return [kinds[number % len(kinds)].astype(dtype) for number in range(COUNT)]


def make_transforms(*, e: float = -10.0, d: float = 0.0) -> list[Transform]:
    return [Transform(10, 0, 499_980.3 + 17 * number, d, e, 5_300_040 - 10 * number) for number in range(COUNT)]


def encode_each(pixels: list[np.ndarray], metadata: GeoTiffMetadata, transforms: list[Transform]) -> list[bytes]:
    return [encode_geotiff(item, metadata, transform) for item, transform in zip(pixels, transforms, strict=True)]


@pytest.mark.parametrize(
    ("shape", "dtype", "fields"),
    [
        ((1, 256, 256), "uint8", {}),
        ((4, 100, 130), "uint16", {"nodata": 0.0, "descriptions": ("a", "b", "c", "d"), "tags": {None: {"A": "é"}}}),
        ((2, 30, 20), "float32", {"nodata": np.nan, "scales": (0.1, 0.2), "offsets": (1.0, 0.0)}),
        ((1, 64, 512), "int16", {"colormap": None, "units": ("m",)}),
        ((3, 65, 1), "uint8", {}),
        ((1, 1, 300), "float64", {}),
    ],
)
def test_encode_gives_gdals_bytes(shape, dtype, fields, monkeypatch):
    """Several shapes, dtypes and metadata: every file is GDAL's, and GDAL writes only two of the second batch."""
    pixels, transforms = make_pixels(1, shape, dtype), make_transforms()
    metadata = GeoTiffMetadata(UTM, shape[0], dtype, **fields)
    expected = encode_each(pixels, metadata, transforms)
    encoder = GeoTiffEncoder(metadata, shape)
    assert encoder.encode_rasters(pixels, transforms) == expected
    monkeypatch.setattr(geotiff_batches, "encode_geotiff", None)
    assert encoder.encode_rasters(pixels[::-1], transforms) != expected
    assert encoder.encode_rasters(pixels, transforms) == expected


@pytest.mark.parametrize(
    ("shape", "dtype", "fields", "transforms"),
    [
        ((1, 520, 20), "uint8", {}, make_transforms()),
        ((1, 20, 20), "uint8", {}, make_transforms(e=10.0)),
        ((1, 20, 20), "uint8", {}, make_transforms(d=1.0)),
        ((1, 20, 20), "uint8", {"tags": {None: {"AREA_OR_POINT": "Point"}}}, make_transforms()),
        ((1, 20, 20), "int64", {"nodata": -(2**60) - 1}, make_transforms()),
    ],
)
def test_encode_leaves_other_layouts_to_gdal(shape, dtype, fields, transforms):
    """Tiles, grids that are not north up, pixels that are points, wide nodata: GDAL's bytes, too."""
    pixels, metadata = make_pixels(2, shape, dtype), GeoTiffMetadata(UTM, shape[0], dtype, **fields)
    assert GeoTiffEncoder(metadata, shape).encode_rasters(pixels, transforms) == encode_each(
        pixels, metadata, transforms
    )
