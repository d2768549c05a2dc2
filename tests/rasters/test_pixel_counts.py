"""Counts of pixels in files against numpy: nodata, alpha and mask bands, NaN, scales, strips, and class values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio

from geographer.base.errors import CorruptError, NotFoundError, UsageError
from geographer.rasters import pixel_counts
from geographer.rasters.pixel_counts import BandCounts, ImageCounts, RasterPath, count_class_pixels, count_images
from tests.sample_rasters import make_pixels, write_scene

NODATA = {"uint8": 7, "int8": -1, "uint16": 300, "int16": -32768, "int32": -9999, "uint32": 7, "int64": 7}
FLOATS = {"float32": np.nan, "float64": -9999.0}


def make_scene(dtype: str, seed: int) -> np.ndarray:
    """Make pixels, shape (2, 24, 20), of all values of the dtype, some of which are nodata, NaN or infinite."""
    rng = np.random.Generator(np.random.PCG64(seed))
    nodata = {**NODATA, **FLOATS}[dtype]
    if dtype in FLOATS:
        pixels = rng.normal(0, 5, (2, 24, 20)).astype(dtype)
        pixels[0, 3, :4] = [np.inf, -np.inf, 0.0, -0.0]
    else:
        limits = np.iinfo(dtype)
        pixels = rng.integers(limits.min, limits.max, (2, 24, 20), dtype, endpoint=True)
    pixels[rng.random(pixels.shape) < 0.2] = nodata
    return pixels


def read_valid(path: Path, band: int) -> np.ndarray:
    """Return the pixels that GDAL's mask marks as valid."""
    with rasterio.open(path) as raster:
        return raster.read(band)[raster.read_masks(band) != 0]


def check_band(band: BandCounts, paths: list[Path], number: int) -> None:
    valid = np.concatenate([read_valid(path, number) for path in paths])
    finite = valid[np.isfinite(valid)]
    found = band.make_distribution()
    total = sum(raster.width * raster.height for raster in map(rasterio.open, paths))
    assert (found.sum_counts(), band.non_finite, band.nodata) == (
        len(finite),
        len(valid) - len(finite),
        total - len(valid),
    )
    assert (found.minimum, found.maximum) == (finite.min(), finite.max())
    assert found.compute_mean() == pytest.approx(finite.mean(dtype=np.float64), rel=1e-12)
    assert found.compute_standard_deviation() == pytest.approx(finite.std(dtype=np.float64), rel=1e-12)
    wanted = np.percentile(finite.astype(np.float64), [2, 50, 98])
    assert found.compute_percentiles([2, 50, 98]) == wanted.tolist()


@pytest.mark.parametrize("dtype", [*NODATA, *FLOATS])
@pytest.mark.parametrize("strip_bytes", [1 << 25, 700])
def test_image_counts_equal_numpy(tmp_path, monkeypatch, dtype, strip_bytes):
    monkeypatch.setattr(pixel_counts, "_STRIP_BYTES", strip_bytes)
    nodata = {**NODATA, **FLOATS}[dtype]
    paths = [write_scene(tmp_path / f"{n}.tif", make_scene(dtype, n), nodata=nodata) for n in range(3)]
    images = count_images([RasterPath(str(path)) for path in paths])
    merged = ImageCounts.from_record(count_images([RasterPath(str(paths[2]))]).to_record())
    merged.merge_counts(count_images([RasterPath(str(path), with_sidecars=True) for path in paths[:2]]))
    for number in (1, 2):
        check_band(images.bands[number - 1], paths, number)
        check_band(merged.bands[number - 1], paths, number)


def test_alpha_and_mask_bands_decide(tmp_path):
    pixels = make_pixels(4, 20, 24, "uint8")
    pixels[3] = np.where(pixels[0] > 100, 0, 255)
    path = write_scene(tmp_path / "rgba.tif", pixels, photometric="RGB", alpha="yes")
    images = count_images([RasterPath(str(path))])
    assert [band.name for band in images.bands] == [None, None, None, "alpha"]
    for number in (1, 2, 3, 4):
        check_band(images.bands[number - 1], [path], number)
    assert images.bands[0].nodata == np.count_nonzero(pixels[0] > 100) > 0
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        masked = write_scene(tmp_path / "masked.tif", pixels[:2])
        with rasterio.open(masked, "r+") as raster:
            raster.write_mask(pixels[1] > 60)
    images = count_images([RasterPath(str(masked))])
    check_band(images.bands[1], [masked], 2)
    assert images.bands[1].nodata == np.count_nonzero(pixels[1] <= 60) > 0


def write_scaled(path: Path, pixels: np.ndarray, scale: float, offset: float) -> Path:
    write_scene(path, pixels, nodata=0)
    with rasterio.open(path, "r+") as raster:
        raster.scales, raster.offsets = [scale] * raster.count, [offset] * raster.count
        raster.descriptions = ["red", "nir"]
    return path


def test_files_with_other_scales_are_joined(tmp_path):
    scales = [(0.0001, -0.1), (0.0002, 0.0), (1.0, 0.0)]
    arrays = [make_pixels(2, 20, 24, "uint16", seed) for seed in range(3)]
    arrays[0][:, :3] = 0
    paths = [
        write_scaled(tmp_path / f"{n}.tif", array, *scale)
        for n, (array, scale) in enumerate(zip(arrays, scales, strict=True))
    ]
    images = count_images([RasterPath(str(path)) for path in paths])
    check_band(images.bands[1], paths, 2)
    assert [band.name for band in images.bands] == ["red", "nir"]
    found = images.bands[1].make_scaled_distribution()
    expected = np.concatenate(
        [read_valid(path, 2) * scale + offset for path, (scale, offset) in zip(paths, scales, strict=True)]
    )
    assert found is not None
    assert found.compute_percentiles([2, 50, 98]) == np.percentile(expected, [2, 50, 98]).tolist()
    assert found.compute_mean() == pytest.approx(expected.mean(), rel=1e-13)
    assert found.compute_standard_deviation() == pytest.approx(expected.std(), rel=1e-13)
    assert count_images([RasterPath(str(paths[2]))]).bands[0].make_scaled_distribution() is None
    many = [write_scaled(tmp_path / f"many{n}.tif", arrays[1], 1 + n, 0) for n in range(10)]
    images = count_images([RasterPath(str(path)) for path in many])
    assert images.bands[0].make_scaled_distribution() is None
    check_band(images.bands[0], many, 1)


def test_other_dtypes_and_names_are_joined(tmp_path):
    paths = [write_scene(tmp_path / f"{dtype}.tif", make_pixels(2, 9, 9, dtype)) for dtype in ("uint8", "float32")]
    paths.append(write_scaled(tmp_path / "named.tif", make_pixels(2, 9, 9, "uint8"), 1, 0))
    images = count_images([RasterPath(str(path)) for path in paths])
    check_band(images.bands[0], paths, 1)
    assert images.bands[0].name is None


def test_unusable_images_are_errors(tmp_path):
    two, three = (write_scene(tmp_path / f"{n}.tif", make_pixels(n, 9, 9)) for n in (2, 3))
    with pytest.raises(UsageError, match="has 3 bands, but others have 2"):
        count_images([RasterPath(str(two)), RasterPath(str(three))])
    complex_file = write_scene(tmp_path / "c.tif", np.ones((1, 9, 9), np.complex64))
    with pytest.raises(UsageError, match="complex pixels"):
        count_images([RasterPath(str(complex_file))])
    with pytest.raises(NotFoundError, match="not found"):
        count_images([RasterPath(str(tmp_path / "missing.tif"))])
    two.write_bytes(two.read_bytes()[:-200])
    with pytest.raises(CorruptError, match="is damaged"):
        count_images([RasterPath(str(two))])


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int32"])
def test_class_pixels_equal_numpy(tmp_path, dtype):
    arrays = [make_pixels(1, 13, 11, dtype, seed) // 30 for seed in range(3)]
    paths = [write_scene(tmp_path / f"{n}.tif", array) for n, array in enumerate(arrays)]
    counts = count_class_pixels([RasterPath(str(path)) for path in paths], is_multilabel=False, ignore=3)
    values, numbers = np.unique(np.stack(arrays), return_counts=True)
    assert counts.pixels == {"1": dict(zip(values.tolist(), numbers.tolist(), strict=True))}
    assert counts.has_classes
    for value in values:
        shown = sum(np.count_nonzero(array != 3) for array in arrays if value in array)
        assert counts.shown["1"][int(value)] == shown
    again = pixel_counts.ClassCounts.from_record(counts.to_record())
    assert (again.pixels, again.shown) == (counts.pixels, counts.shown)


def test_bands_of_multilabels_are_counted_by_name(tmp_path):
    pixels = (make_pixels(2, 8, 8, "uint8") > 60).astype(np.uint8)
    path = write_scaled(tmp_path / "a.tif", pixels, 1, 0)
    counts = count_class_pixels([RasterPath(str(path))], is_multilabel=True, ignore=None)
    assert {name: band[1] for name, band in counts.pixels.items()} == {
        "red": np.count_nonzero(pixels[0]),
        "nir": np.count_nonzero(pixels[1]),
    }
    for array in (pixels, pixels[:1].astype(np.float32)):
        other = write_scene(tmp_path / "b.tif", array)
        assert not count_class_pixels([RasterPath(str(other))], is_multilabel=False, ignore=None).has_classes
