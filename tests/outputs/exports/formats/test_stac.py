"""The STAC catalogue of an export as pystac reads it."""

from __future__ import annotations

import re

import numpy as np
import pystac
import rasterio
import shapely

from tests.outputs.exports.chip_dataset import BANDS, CLASSES, CRS, LABELS, SIZE, run_usage


def test_items_have_images_labels_and_classes(chips, chip_samples, tmp_path):
    chips.export_samples("stac", tmp_path / "export", record=False)
    catalogue = pystac.Catalog.from_file(str(tmp_path / "export/catalog.json"))
    assert [child.id for child in catalogue.get_children()] == ["test", "train", "val"]
    items = {item.properties["geographer:raster_id"]: item for item in catalogue.get_items(recursive=True)}
    assert items.keys() == chip_samples.keys()
    for id, sample in chip_samples.items():
        item = items[id]
        assert item.collection_id == item.properties["geographer:part"] == sample.row["part"]
        assert item.assets.keys() == {"image", *(f"label-{name}" for name in LABELS)}
        assert all(re.fullmatch(r"[\w./~-]+", asset.href, re.ASCII) for asset in item.assets.values())
        footprint = shapely.from_wkb(sample.row["footprint"])
        assert shapely.hausdorff_distance(shapely.geometry.shape(item.geometry), footprint) < 1e-8
        assert np.allclose(np.array(item.bbox), footprint.bounds, atol=1e-8)
        assert (item.properties["proj:code"], item.properties["proj:transform"]) == (CRS, sample.row["transform"])
        with rasterio.open(item.assets["image"].get_absolute_href()) as image:
            assert np.array_equal(image.read(), sample.pixels)
        with rasterio.open(item.assets["label-mask"].get_absolute_href()) as mask:
            assert np.array_equal(mask.read(), sample.labels["mask"])
        described = item.assets["label-mask"].extra_fields["classification:classes"]
        assert {entry["name"]: entry["value"] for entry in described} == {"background": 0, **CLASSES, "ignore": 255}
    assert run_usage("stac", tmp_path / "export")["pixels"].shape == (len(BANDS), SIZE, SIZE)
    catalogue.validate()
    assert all(collection.validate() is not None for collection in catalogue.get_children())
