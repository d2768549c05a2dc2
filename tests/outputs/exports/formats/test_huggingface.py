"""The Parquet dataset as the library datasets reads it."""

from __future__ import annotations

import os

import numpy as np
import pytest
from rasterio.io import MemoryFile

from geographer.base.errors import UsageError
from geographer.outputs.exports.formats.huggingface import name_splits
from tests.outputs.exports.chip_dataset import BANDS, CLASSES, CRS, SIZE, run_usage


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning")
def test_datasets_reads_bands_and_georeference(chips, chip_samples, tmp_path, monkeypatch):
    chips.export_samples("huggingface", tmp_path / "export", shard_size=4, record=False)
    assert sorted(path.name for path in (tmp_path / "export/data").glob("train-*")) == [
        "train-00000-of-00002.parquet",
        "train-00001-of-00002.parquet",
    ]
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "HF_HUB_DISABLE_TELEMETRY"):
        monkeypatch.setitem(os.environ, name, "1")
    monkeypatch.setitem(os.environ, "HF_HOME", str(tmp_path / "home"))
    from datasets import disable_progress_bars, load_dataset

    disable_progress_bars()
    loaded = load_dataset(str(tmp_path / "export"), cache_dir=str(tmp_path / "cache"))
    assert loaded["train"].features["class"].names == [*CLASSES]
    assert run_usage("huggingface", tmp_path / "export")["pixels"].shape == (len(BANDS), SIZE, SIZE)
    seen = []
    for part, samples in loaded.items():
        for row in samples:
            sample = chip_samples[row["raster_id"]]
            with MemoryFile(row["image"]) as file, file.open() as image:
                assert np.array_equal(image.read(), sample.pixels)
                assert (image.count, image.dtypes[0], image.descriptions) == (5, "uint16", BANDS)
                assert (image.crs.to_string(), [*image.transform][:6]) == (row["crs"], row["transform"])
            for name, label in sample.labels.items():
                with MemoryFile(row[f"label_{name}"]) as file, file.open() as raster:
                    assert np.array_equal(raster.read(), label)
            assert (row["crs"], row["transform"], part) == (CRS, sample.row["transform"], sample.row["part"])
            names = [samples.features["class"].int2str(number) for number in row["classes"]]
            assert names == sample.row["classes"]
            assert row["class"] == (row["classes"][0] if len(names) == 1 else -1)
            seen.append(row["raster_id"])
    assert sorted(seen) == sorted(chip_samples)


def test_splits_have_names_that_datasets_allows():
    assert name_splits([]) == {"all": "train"}
    assert name_splits(["fold-1", "val"]) == {"fold-1": "fold_1", "val": "val"}
    for parts in (["all", "val"], ["a-b", "a_b"]):
        with pytest.raises(UsageError, match="letters, digits and '_'"):
            name_splits(parts)
