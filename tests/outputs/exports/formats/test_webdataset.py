"""Shards as the library webdataset reads them."""

from __future__ import annotations

import json
import tarfile
import warnings

import numpy as np
import pytest
import webdataset
from rasterio.io import MemoryFile

from geographer.base.errors import UsageError
from tests.outputs.exports.chip_dataset import BANDS, CLASSES, CRS, LABELS, SIZE, run_usage

PARTS = ("train", "val", "test")


def read_shards(folder, part):
    """Return the decoded samples of a subset in their order."""
    urls = sorted(str(path) for path in folder.glob(f"{part}-*.tar"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # The library leaves the files open.
        return [*webdataset.WebDataset(urls, shardshuffle=False, empty_check=False).decode()]


def decode(content):
    with MemoryFile(content) as file, file.open() as raster:
        return raster.read(), raster.crs.to_string(), [*raster.transform][:6]


def test_members_are_those_of_the_dataset(chips, chip_samples, tmp_path):
    chips.export_samples("webdataset", tmp_path / "export", shard_size=4, record=False)
    seen = []
    for part in PARTS:
        for members in read_shards(tmp_path / "export", part):
            record = members["json"]
            sample = chip_samples[record["raster_id"]]
            pixels, crs, transform = decode(members["image.tif"])
            assert np.array_equal(pixels, sample.pixels)
            assert crs == record["crs"] == CRS
            assert transform == record["transform"] == sample.row["transform"]
            for name, label in sample.labels.items():
                assert np.array_equal(decode(members[f"{name}.tif"])[0], label)
            assert members["boxes.json"]["raster"] == record["raster_id"]
            boxes = {item["feature_id"]: item["box"] for item in members["boxes.json"]["objects"]}
            assert {item["feature_id"]: item["box"] for item in members["objects.json"]} == boxes
            assert (record["part"], record["classes"]) == (part, sample.row["classes"])
            shown = sample.row["classes"]
            assert members.get("cls") == (CLASSES[shown[0]] if len(shown) == 1 else None)
            seen.append(record["raster_id"])
    assert sorted(seen) == sorted(chip_samples)
    assert run_usage("webdataset", tmp_path / "export")["pixels"].shape == (len(BANDS), SIZE, SIZE)
    shards = json.loads((tmp_path / "export/shards.json").read_text())
    assert [shard["nsamples"] for shard in shards["train"]] == [4, 2]
    with tarfile.open(tmp_path / "export/train-000000.tar") as tar:
        assert {(member.mtime, member.uname, member.mode) for member in tar} == {(0, "geographer", 0o644)}


def test_arrays_are_decoded_and_seed_orders_samples(chips, chip_samples, tmp_path):
    orders = []
    for name, options in {"plain": {}, "seed-1": {"seed": 1}, "seed-2": {"seed": 2}}.items():
        chips.export_samples("webdataset", tmp_path / name, labels="mask", pixels="npy", record=False, **options)
        samples = read_shards(tmp_path / name, "train")
        orders.append([members["json"]["raster_id"] for members in samples])
        for members in samples:
            assert np.array_equal(members["image.npy"], chip_samples[members["json"]["raster_id"]].pixels)
            assert members.keys().isdisjoint({"boxes.json", "instances.npy"})
    assert orders[0] == sorted(orders[0]) == sorted(orders[1]) == sorted(orders[2])
    assert len({*map(tuple, orders)}) == 3


def test_label_with_the_name_of_a_member_is_refused(chips, tmp_path):
    from geographer.outputs.exports.export import LabelInfo
    from geographer.outputs.exports.formats.webdataset import require_member_names

    require_member_names([LabelInfo(name, "mask", None) for name in LABELS])
    with pytest.raises(UsageError, match=r"label 'Image'.*--labels"):
        require_member_names([LabelInfo("Image", "mask", None)])
    with pytest.raises(UsageError, match="label 'a'"):
        require_member_names([LabelInfo("a", "mask", None), LabelInfo("A", "mask", None)])
