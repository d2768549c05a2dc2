"""Folders of GeoTIFFs as geopandas and rasterio read them, and TerraTorch's configuration."""

from __future__ import annotations

from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
import yaml

from geographer import Dataset
from geographer.base.errors import UsageError
from tests.outputs.exports.chip_dataset import BANDS, CRS, SIZE, read_file, run_usage
from tests.sample_rasters import ROTATED, make_pixels, write_scene


@pytest.fixture(scope="module")
def folder(chips, tmp_path_factory):
    folder = tmp_path_factory.mktemp("folder") / "export"
    chips.export_samples("folder", folder, record=False)
    return folder


def test_index_leads_to_images_and_labels(folder, chip_samples):
    index = geopandas.read_parquet(folder / "samples.parquet").set_index("raster_id")
    assert sorted(index.index) == sorted(chip_samples)
    for id, sample in chip_samples.items():
        entry = index.loc[id]
        with rasterio.open(folder / entry["image"]) as image:
            assert np.array_equal(image.read(), sample.pixels)
            assert (image.crs.to_string(), list(image.transform)[:6]) == (entry["crs"], list(entry["transform"]))
            assert (entry["crs"], image.descriptions, image.nodata) == (CRS, BANDS, 0)
        assert list(entry["transform"]) == sample.row["transform"]
        assert (entry["part"], list(entry["classes"])) == (sample.row["part"], sample.row["classes"])
        for name, pixels in sample.labels.items():
            assert np.array_equal(read_file(folder / entry[f"label_{name}"]), pixels)
        assert (folder / entry["label_boxes"]).suffix == ".json"
        assert entry["image"].startswith(f"images/{entry['part']}/")
    assert index.crs.to_epsg() == 4326 or index.crs.to_string() == "OGC:CRS84"
    assert index.geometry.iloc[0].intersects(
        geopandas.GeoSeries.from_wkb([chip_samples[index.index[0]].row["footprint"]])[0]
    )


def test_readme_reads_the_folder(folder):
    assert run_usage("folder", folder)["pixels"].shape == (len(BANDS), SIZE, SIZE)


def test_lists_name_the_files_of_each_subset(folder, chip_samples):
    for part in ("train", "val", "test"):
        names = (folder / f"splits/{part}.txt").read_text().split()
        assert sorted(path.name for path in (folder / "images" / part).iterdir()) == sorted(names)
        assert len(names) == sum(sample.row["part"] == part for sample in chip_samples.values())


def test_objects_name_features_of_instances(folder, chip_samples):
    objects = geopandas.pd.read_parquet(folder / "objects.parquet")
    assert set(objects["label"]) == {"boxes", "instances"}
    numbered = objects[objects["label"] == "instances"].groupby("raster_id")["instance"].apply(set)
    for id, sample in chip_samples.items():
        assert numbered[id] == set(np.unique(sample.labels["instances"])) - {0}


def test_terratorch_configuration_has_exact_statistics(folder, chip_samples):
    text = (folder / "terratorch-mask.yaml").read_text()
    arguments = yaml.safe_load(text)["data"]["init_args"]
    assert '{"class_names": ["background", "pond", "reef"], "ignore_index": 255}' in text
    pixels = np.stack([sample.pixels for sample in chip_samples.values() if sample.row["part"] == "train"])
    valid = np.ma.masked_equal(pixels.astype(float), 0)
    assert np.allclose(arguments["means"], valid.mean(axis=(0, 2, 3)), rtol=1e-12)
    assert np.allclose(arguments["stds"], valid.std(axis=(0, 2, 3)), rtol=1e-12)
    assert arguments["dataset_bands"] == list(BANDS)
    for subset in ("train", "val", "test"):
        images = folder / arguments[f"{subset}_data_root"]
        masks = folder / arguments[f"{subset}_label_data_root"]
        assert [path.name for path in sorted(images.glob("*.tif"))] == [
            path.name for path in sorted(masks.glob("*.tif"))
        ]


@pytest.mark.parametrize("present", ["val", "test"])
def test_terratorch_gets_no_subset_in_the_place_of_another(chips, tmp_path, present):
    missing = {"val": "test", "test": "val"}[present]
    chips.export_samples("folder", tmp_path / "export", subset=["train", present], labels="mask", record=False)
    text = (tmp_path / "export/terratorch-mask.yaml").read_text()
    arguments = yaml.safe_load(text)["data"]["init_args"]
    assert {name for name in arguments if name.endswith("_data_root")} == {
        f"{subset}{kind}_data_root" for subset in ("train", present) for kind in ("", "_label")
    }
    assert f"no subset {missing}, so {missing}_data_root is missing" in text


def test_classification_needs_one_class_each(chips, tmp_path):
    with pytest.raises(UsageError, match=r"6 of 12 samples show several classes.*--task segmentation"):
        chips.export_samples("folder", tmp_path / "classes", task="classification", record=False)
    assert not (tmp_path / "classes").exists()


def test_missing_masks_are_refused(chips, tmp_path):
    with pytest.raises(UsageError, match=r"2 of 2 samples have no label 'mask'.*--labels"):
        chips.export_samples("folder", tmp_path / "scenes", collection="source", labels="mask", record=False)


def test_rotated_png_becomes_geotiff_but_no_window(tmp_path):
    dataset = Dataset.init(tmp_path / "dataset", scm=False)
    pixels = make_pixels(1, 16, 16, "uint8")
    options: dict[str, Any] = {"driver": "PNG", "compress": None, "tiled": False, "WORLDFILE": "YES"}
    scene = write_scene(tmp_path / "scene.png", pixels, transform=ROTATED, **options)
    dataset.add_rasters([scene], mode="reference", crs=CRS)
    dataset.export_samples("folder", tmp_path / "export", record=False)
    with rasterio.open(tmp_path / "export/images/all/scene.tif") as image:
        assert np.array_equal(image.read(), pixels)
        assert (image.driver, image.crs.to_string(), image.transform[:6]) == ("GTiff", CRS, ROTATED)
    with pytest.raises(UsageError, match="no rotated grids: 'scene'"):
        dataset.export_samples("rslearn", tmp_path / "windows", record=False)
