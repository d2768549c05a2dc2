"""Train with torchgeo for one epoch on chips, and compare the speed of its dataset; `tests.training` runs it."""

from __future__ import annotations

import sys
import warnings
from functools import partial
from pathlib import Path
from typing import Any

from tests.benchmarks.measure import compare_values, format_table
from tests.benchmarks.training import BANDS, BATCH, count_batches, create_chips, measure_rate

ROUNDS = 3


def main() -> None:
    """Create chips in the folder of the first argument, train on them, and measure both datasets."""
    warnings.simplefilter("ignore")
    folder, side = Path(sys.argv[1]), int(sys.argv[2])
    print(f"torch {_find_version('torch')}, torchgeo {_find_version('torchgeo')}, rasterio {_find_version('rasterio')}")
    create_chips(folder, side)
    root = folder / "dataset"
    _add_labels(root)
    _train_models(root)
    print(format_table(_compare_speed(root)))


def _find_version(name: str) -> str:
    from importlib.metadata import version

    return version(name)


def _add_labels(root: Path) -> None:
    from geographer import Dataset

    dataset = Dataset.open(root)
    dataset.label_boxes("boxes", collection="chips", min_visible=0.1)
    dataset.cut_around_features("around", size=256)
    dataset.split("split", collection="chips", parts={"train": 0.5, "val": 0.25, "test": 0.25}, by="object")
    dataset.split("around_split", collection="around", parts={"train": 0.5, "val": 0.25, "test": 0.25}, by="object")


def _train_models(root: Path) -> None:
    """Fit and test torchgeo's tasks of segmentation, detection and classification, each for one epoch."""
    from lightning.pytorch import Trainer
    from torchgeo.trainers import ClassificationTask, ObjectDetectionTask, SemanticSegmentationTask

    from geographer.torch import ChipDataModule

    scale: dict[str, Any] = {"mean": [1500.0] * BANDS, "std": [300.0] * BANDS, "crs": True}
    segmentation = SemanticSegmentationTask(
        model="unet",
        backbone="resnet18",
        in_channels=BANDS,
        num_classes=4,
        task="multiclass",
        loss="ce",
        ignore_index=255,
    )
    classification = ClassificationTask(
        model="resnet18", in_channels=BANDS, num_classes=3, task="multiclass", loss="ce"
    )
    detection = ObjectDetectionTask(
        model="faster-rcnn", backbone="resnet18", in_channels=BANDS, num_classes=4, trainable_layers=0
    )
    runs: list[tuple[Any, dict[str, Any]]] = [
        (segmentation, {"split": "split", "labels": "mask", "sampler": "class", "batch_size": 8}),
        (classification, {"split": "around_split", "labels": [], "class_label": True, "class_values": "indices"}),
        (detection, {"split": "split", "labels": "boxes", "batch_size": 2, "num_samples": 8, "sampler": "component"}),
    ]
    for task, options in runs:
        module = ChipDataModule(root, num_workers=1, **{"batch_size": 8, **scale, **options})
        trainer = Trainer(
            max_epochs=1,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            limit_train_batches=16,
            limit_val_batches=2,
            limit_test_batches=2,
        )
        trainer.fit(task, datamodule=module)
        metrics = {name: round(float(value), 3) for name, value in trainer.callback_metrics.items()}
        trainer.test(task, datamodule=module, verbose=False)
        metrics |= {name: round(float(value), 3) for name, value in trainer.callback_metrics.items()}
        shown = {
            name: value
            for name, value in metrics.items()
            if "loss" in name or "Accuracy" in name or name.endswith("map")
        }
        print(f"{type(task).__name__}: {len(module.datasets['train'])} training chips, {shown}")


def _compare_speed(root: Path) -> list[Any]:
    """Compare chips per second with one worker: ChipDataset, and torchgeo's intersection of images and masks."""
    import torch
    from torchgeo.datasets import RasterDataset, stack_samples
    from torchgeo.samplers import PreChippedGeoSampler

    from geographer.torch import ChipDataset, collate_chips

    class Masks(RasterDataset):
        is_image = False

    torch.set_num_threads(1)
    chips = ChipDataset(root, collection="chips", labels="mask", max_open_files=1)
    peer = RasterDataset(root / "rasters" / "chips", cache=False) & Masks(
        root / "labels" / "mask" / "chips", cache=False
    )
    places = [*PreChippedGeoSampler(peer)]
    assert len(places) == len(chips)
    _require_equal_pixels(chips, peer, places)
    shared: dict[str, Any] = {"batch_size": BATCH, "num_workers": 1, "persistent_workers": True}
    loaders: dict[str, Any] = {
        "ours": torch.utils.data.DataLoader(chips, collate_fn=collate_chips, **shared),
        "torchgeo": torch.utils.data.DataLoader(peer, sampler=places, collate_fn=stack_samples, **shared),
    }
    rates: dict[str, list[tuple[float, float]]] = {name: [] for name in loaders}
    for loader in loaders.values():
        count_batches(loader)
    for _ in range(ROUNDS):
        for name, loader in loaders.items():
            rates[name].append(measure_rate(partial(count_batches, loader), len(chips)))
    return [
        compare_values(
            f"{len(chips):,} chips with masks, 1 worker",
            *(max(rate[number] for rate in rates[name]) for name in loaders),
            unit=unit,
            other_name="torchgeo",
            at_least=2,
        )
        for number, unit in enumerate(("chips/s", "chips/CPU s"))
    ]


def _require_equal_pixels(chips: Any, peer: Any, places: list[Any]) -> None:
    """Require that torchgeo reads the same images and masks, at the same places."""
    import torch

    own = {(sample["transform"][2].item(), sample["transform"][5].item()): sample for sample in chips}
    for place in places[:16]:
        sample = own[(float(place[0].start), float(place[1].stop))]
        other = peer[place]
        assert torch.equal(sample["image"], other["image"])
        assert torch.equal(sample["mask"], other["mask"])


if __name__ == "__main__":
    main()
