"""The arrays of an export as the library zarr reads them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import zarr

from geographer.base.errors import UsageError
from tests.outputs.exports.chip_dataset import BANDS, CLASSES, SIZE, run_usage

PARTS = ("train", "val", "test")


def test_arrays_are_the_pixels_of_the_dataset(chips, chip_samples, tmp_path):
    chips.export_samples("zarr", tmp_path / "export", record=False)
    root: Any = zarr.open_group(tmp_path / "export/samples.zarr", mode="r")
    assert dict(root.attrs) == {"classes": CLASSES, "nodata": 0}
    assert run_usage("zarr", tmp_path / "export")["pixels"].shape == (len(BANDS), SIZE, SIZE)
    seen = []
    for part in PARTS:
        group = root[part]
        ids = [*group["raster_id"][:]]
        assert group["image"].shape == (len(ids), len(BANDS), SIZE, SIZE)
        assert group["image"].chunks == (1, len(BANDS), SIZE, SIZE)
        assert group["image"].metadata.dimension_names == ("sample", "band", "y", "x")
        for index, id in enumerate(ids):
            sample = chip_samples[id]
            assert np.array_equal(group["image"][index], sample.pixels)
            assert group["image"].dtype == sample.pixels.dtype
            for name, label in sample.labels.items():
                expected = label if name == "multilabel" else label[0]
                assert np.array_equal(group[f"labels/{name}"][index], expected)
                assert group[f"labels/{name}"].dtype == label.dtype
            assert group.attrs["crs"][group["crs"][index]] == sample.row["crs"]
            assert [*group["transform"][index]] == sample.row["transform"]
            shown = sample.row["classes"]
            assert group["class"][index] == (CLASSES[shown[0]] if len(shown) == 1 else 0)
        seen += ids
    assert sorted(seen) == sorted(chip_samples)


def test_images_of_different_shapes_are_refused(shapes, tmp_path):
    with pytest.raises(UsageError, match=r"the samples have 2: 64x48 with 3 bands of uint8, 64x48 with 4 bands"):
        shapes.export_samples("zarr", tmp_path / "export", record=False)
