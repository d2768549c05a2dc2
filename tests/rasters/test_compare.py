"""Comparison of the pixels of two rasters, against numpy on whole arrays."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from geographer.rasters.compare import compare_rasters, count_value_changes
from tests.sample_rasters import write_scene

TRANSFORM = (10.0, 0.0, 500_000.0, 0.0, -10.0, 5_200_000.0)


def write_pair(folder, old, new, **settings):
    return [
        write_scene(folder / f"{name}.tif", pixels, transform=TRANSFORM, **settings)
        for name, pixels in (("old", old), ("new", new))
    ]


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
@pytest.mark.parametrize("nodata", [None, 0])
def test_comparison_agrees_with_numpy(tmp_path, dtype, nodata):
    rng = np.random.default_rng(5)
    old = rng.integers(0, 6, (3, 70, 50)).astype(dtype)
    new = np.where(rng.uniform(size=old.shape) < 0.2, rng.integers(0, 6, old.shape), old).astype(dtype)
    if dtype == "float32":
        old[0, :4], new[0, 2:6] = np.nan, np.nan
    change = compare_rasters(*write_pair(tmp_path, old, new, nodata=nodata))
    a, b = (np.ma.masked_invalid(side) if dtype == "float32" else np.ma.array(side) for side in (old, new))
    if nodata is not None:
        a, b = np.ma.masked_equal(a, nodata), np.ma.masked_equal(b, nodata)
    masks = np.ma.getmaskarray(a), np.ma.getmaskarray(b)
    differs = (masks[0] ^ masks[1]) | (
        ~masks[0] & ~masks[1] & (np.nan_to_num(old, nan=-1) != np.nan_to_num(new, nan=-1))
    )
    assert change is not None
    assert change.pixels == 70 * 50
    assert change.changed == differs.any(axis=0).sum()
    assert (change.old_nodata, change.new_nodata) == tuple(mask.all(axis=0).sum() for mask in masks)
    for band, summary in enumerate(change.bands):
        assert summary.changed == differs[band].sum()
        assert [summary.old_mean, summary.new_mean] == pytest.approx([a[band].mean(), b[band].mean()])
        gaps = np.ma.abs(b[band].astype(float) - a[band].astype(float))
        assert [summary.mean_difference, summary.max_difference] == pytest.approx([gaps.mean(), gaps.max()])


def test_other_shape_is_not_compared(tmp_path):
    old, new = np.zeros((1, 8, 8), "uint8"), np.zeros((1, 8, 9), "uint8")
    paths = write_pair(tmp_path, old, new)
    assert compare_rasters(*paths) is None
    assert count_value_changes(*paths) is None


def test_value_changes_count_pixels_by_value(tmp_path):
    rng = np.random.default_rng(6)
    old, new = rng.integers(0, 4, (2, 1, 40, 40)).astype("uint8")
    expected = Counter((1, int(a), int(b)) for a, b in zip(old.ravel(), new.ravel(), strict=True) if a != b)
    assert count_value_changes(*write_pair(tmp_path, old, new)) == expected
