"""Read the windows of an export with rslearn, and compare them; run by `python -m tests.peers`."""

from __future__ import annotations

import json
import sys
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np
import rasterio
from rslearn.dataset import Dataset
from upath import UPath

warnings.simplefilter("ignore")


def main(folder: Path) -> None:
    rows = {row["raster_id"]: row for row in json.loads((folder / "expected.json").read_text())}
    arrays = np.load(folder / "expected.npz")
    dataset = Dataset(UPath(folder / "rslearn"))
    largest, objects, seen = 0.0, 0, []
    for window in dataset.load_windows():
        row = rows[window.options["raster_id"]]
        assert window.group == window.options["split"] == row["part"]
        assert window.projection.crs.to_string() == row["crs"]
        for layer in ("image", "mask"):
            assert window.is_layer_completed(layer)
            bands = dataset.layers[layer].band_sets[0]
            raster = window.data.read_raster(layer, bands.bands, bands.instantiate_raster_format())
            assert np.array_equal(raster.get_chw_array(), arrays[f"{row['raster_id']}:{layer}"])
        x, y = window.projection.x_resolution, window.projection.y_resolution
        declared = rasterio.Affine(x, 0, window.bounds[0] * x, 0, y, window.bounds[1] * y)
        size = (window.bounds[2] - window.bounds[0], window.bounds[3] - window.bounds[1])
        for corner in ((0, 0), size):
            largest = max(
                largest,
                float(np.abs(np.subtract(~rasterio.Affine(*row["transform"]) * (declared * corner), corner)).max()),
            )
        vector_format = dataset.layers["objects"].instantiate_vector_format()
        features = window.data.read_vector("objects", vector_format)
        assert {feature.properties["class"] for feature in features} == {*row["classes"]}
        objects += len(features)
        seen.append(row["raster_id"])
    assert sorted(seen) == sorted(rows)
    print(
        f"rslearn {version('rslearn')}: images and masks of {len(seen)} windows equal, {objects} objects; grids agree "
        f"to {largest:.1e} pixels"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
