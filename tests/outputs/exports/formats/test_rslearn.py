"""The folder of rslearn, read as its documentation says; `python -m tests.peers` reads it with rslearn itself."""

from __future__ import annotations

import json

import numpy as np
import pytest
import rasterio
import shapely

from geographer.base.errors import UsageError
from tests.outputs.exports.chip_dataset import BANDS, CRS

NAMES = [band.replace("_", "-") for band in BANDS]


def test_windows_have_exact_pixels_and_close_grids(chips, chip_samples, tmp_path):
    chips.export_samples("rslearn", tmp_path / "export", record=False)
    layers = json.loads((tmp_path / "export/config.json").read_text())["layers"]
    assert layers["image"]["band_sets"] == [{"dtype": "uint16", "bands": NAMES, "nodata_value": 0}]
    assert layers["mask"]["band_sets"][0]["class_names"] == [["background", "pond", "reef"]]
    assert layers.keys() == {"image", "mask", "instances", "multilabel", "objects"}
    windows = [*(tmp_path / "export/windows").glob("*/*")]
    assert len(windows) == len(chip_samples)
    for window in windows:
        metadata = json.loads((window / "metadata.json").read_text())
        sample = chip_samples[metadata["options"]["raster_id"]]
        assert window.parent.name == metadata["options"]["split"] == sample.row["part"]
        projection, bounds = metadata["projection"], metadata["bounds"]
        x, y = projection["x_resolution"], projection["y_resolution"]
        assert projection["crs"] == CRS
        declared = rasterio.Affine(x, 0, bounds[0] * x, 0, y, bounds[1] * y)
        exact = rasterio.Affine(*sample.row["transform"])
        for corner in ((0, 0), (16, 16)):
            assert np.allclose(~exact @ (declared @ corner), corner, atol=1e-3)
        for layer in ("image", "mask", "instances", "multilabel"):
            folder = window / "layers" / layer
            bands = layers[layer]["band_sets"][0]["bands"]
            with rasterio.open(folder / "_".join(bands) / "geotiff.tif") as raster:
                expected = sample.pixels if layer == "image" else sample.labels[layer]
                assert np.array_equal(raster.read(), expected)
                assert raster.transform == declared
                assert (raster.width, raster.height) == (bounds[2] - bounds[0], bounds[3] - bounds[1])
            assert (folder / "completed").is_file()
        check_objects(window, bounds, sample)


def check_objects(window, bounds, sample):
    """Compare the polygons, burned by their centres, with the mask."""
    found = json.loads((window / "layers/objects/data.geojson").read_text())
    columns, rows = np.meshgrid(np.arange(16) + 0.5 + bounds[0], np.arange(16) + 0.5 + bounds[1])
    for item in found["features"]:
        covered = shapely.contains_xy(shapely.geometry.shape(item["geometry"]), columns, rows)
        assert covered.any()
        assert {*sample.labels["mask"][0][covered]} <= {item["properties"]["value"], 255}
    assert {item["properties"]["class"] for item in found["features"]} == {*sample.row["classes"]}


def test_images_of_different_bands_are_refused(shapes, tmp_path):
    with pytest.raises(UsageError, match="one number of bands"):
        shapes.export_samples("rslearn", tmp_path / "export", record=False)
