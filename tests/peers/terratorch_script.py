"""Read the folders of an export with TerraTorch and torchgeo, and compare them; run by `python -m tests.peers`."""

from __future__ import annotations

import json
import os
import sys
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import yaml

warnings.simplefilter("ignore")


def main(folder: Path) -> None:
    rows = {Path(row["raster_id"]).name: row for row in json.loads((folder / "expected.json").read_text())}
    arrays = np.load(folder / "expected.npz")
    check_segmentation(folder / "folder", rows, arrays)
    check_classification(folder / "classes")
    check_torchgeo(folder / "folder", rows, arrays)


def check_segmentation(folder: Path, rows: dict[str, Any], arrays: Any) -> None:
    """Make the data module of the configuration, and compare images, masks and normalized batches."""
    from terratorch.datamodules import GenericNonGeoSegmentationDataModule

    os.chdir(folder)
    arguments = yaml.safe_load(Path("terratorch-mask.yaml").read_text())["data"]["init_args"]
    module = GenericNonGeoSegmentationDataModule(**{**arguments, "num_workers": 0, "batch_size": 2})
    module.setup("fit")
    module.setup("test")
    seen = []
    for part in ("train", "val", "test"):
        for sample in getattr(module, f"{part}_dataset"):
            name = Path(sample["filename"]).stem
            row = rows[name]
            assert row["part"] == part
            assert np.array_equal(np.asarray(sample["image"]), arrays[f"{row['raster_id']}:image"].astype("float32"))
            assert np.array_equal(np.asarray(sample["mask"]), arrays[f"{row['raster_id']}:mask"][0])
            seen.append(name)
    assert sorted(seen) == sorted(rows)
    batch = module.aug(next(iter(module.train_dataloader())))
    print(
        f"terratorch {version('terratorch')}: {len(seen)} images and masks equal in 3 subsets; a batch is "
        f"{tuple(batch['image'].shape)}, normalized to mean {float(batch['image'].mean()):.3f}"
    )


def check_classification(folder: Path) -> None:
    from terratorch.datasets import GenericNonGeoClassificationDataset

    dataset = GenericNonGeoClassificationDataset(folder / "images/all", num_classes=2)
    for sample in dataset:
        path = Path(sample["filename"])
        with rasterio.open(path) as image:
            assert np.array_equal(np.asarray(sample["image"]), image.read().astype("float32"))
        assert dataset.classes[sample["label"]] == path.parent.name
    print(f"terratorch {version('terratorch')}: {len(dataset)} images of the classes {dataset.classes} equal")


def check_torchgeo(folder: Path, rows: dict[str, Any], arrays: Any) -> None:
    """Query images and masks by the bounds of each file."""
    from torchgeo.datasets import RasterDataset

    class Masks(RasterDataset):
        is_image = False

    checked = 0
    for part in ("train", "val", "test"):
        images, masks = RasterDataset(folder / "images" / part), Masks(folder / "labels/mask" / part)
        for path in sorted((folder / "images" / part).iterdir()):
            with rasterio.open(path) as file:
                bounds, crs = file.bounds, file.crs
            assert images.crs == crs
            time = slice(images.index.index[0].left, images.index.index[0].right)
            query = (slice(bounds.left, bounds.right), slice(bounds.bottom, bounds.top), time)
            id = rows[path.stem]["raster_id"]
            assert np.array_equal(np.asarray(images[query]["image"]), arrays[f"{id}:image"].astype("float32"))
            assert np.array_equal(np.asarray(masks[query]["mask"]).squeeze(), arrays[f"{id}:mask"][0])
            checked += 1
    print(f"torchgeo {version('torchgeo')}: {checked} images and masks equal, by bounds in {crs}")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
