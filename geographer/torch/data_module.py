"""`ChipDataModule`: the subsets of a split as data loaders for a Lightning trainer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, Literal, Unpack

from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader

import geographer
from geographer.base.errors import UsageError
from geographer.dataset.filters import RevisionSpec
from geographer.outputs.manifest import find_exported_folder
from geographer.torch.chip_dataset import ChipDataset
from geographer.torch.collate import collate_chips
from geographer.torch.options import ReadingArguments, Sample
from geographer.torch.samplers import BalancedSampler, ClassBalancedSampler, ComponentBalancedSampler

_SAMPLERS: Final[dict[str, Callable[..., BalancedSampler]]] = {
    "class": ClassBalancedSampler,
    "component": ComponentBalancedSampler,
}
_STAGES: Final = {"fit": ("train", "val"), "validate": ("val",), "test": ("test",), "predict": ("test",)}


class ChipDataModule(LightningDataModule):
    """The subsets of a split as data loaders for training, validation and test.

    `datasets` has the `ChipDataset` of each of 'train', 'val' and 'test' that `setup` made.
    """

    def __init__(
        self,
        dataset: geographer.Dataset | str | Path,
        *,
        split: str | None = None,
        train: str | Sequence[str] = "train",
        val: str | Sequence[str] = "val",
        test: str | Sequence[str] = "test",
        collection: str | None = None,
        labels: str | Sequence[str] | None = None,
        at: RevisionSpec = None,
        batch_size: int = 32,
        num_workers: int = 0,
        sampler: Literal["class", "component"] | None = None,
        num_samples: int | None = None,
        train_transforms: Callable[[Sample], Sample] | None = None,
        loader_options: dict[str, Any] | None = None,
        **reading: Unpack[ReadingArguments],
    ) -> None:
        """Remember what to load; `setup` opens the dataset.

        Args:
            dataset: The dataset, its folder, or the folder of a release or checkout.
            split: The split; None: the only one.
            train: The part, or parts, to train on.
            val: The part to validate on.
            test: The part to test on, and to predict.
            collection: See `Dataset.samples`.
            labels: See `Dataset.samples`.
            at: The revision; not of a release.
            batch_size: The number of samples in a batch.
            num_workers: The number of worker processes of each loader.
            sampler: 'class' or 'component' balances the batches of training; None shuffles.
            num_samples: How many samples to draw in an epoch of balanced training; None: as many as there are.
            train_transforms: Transforms of samples of training; `transforms` are those of all others.
            loader_options: Further arguments of `torch.utils.data.DataLoader`.
            **reading: How chips are read: see `ReadingOptions`. `seed` is that of sampling, too; default 0.
        """
        super().__init__()
        if sampler is not None and sampler not in _SAMPLERS:
            raise UsageError(f"invalid sampler {sampler!r}. Use 'class', 'component' or None.")
        self._source, self._at = dataset, at
        self._selection = {"split": split, "collection": collection, "labels": labels}
        self._parts = {"train": train, "val": val, "test": test}
        self._loader_options: dict[str, Any] = {"collate_fn": collate_chips, **(loader_options or {})}
        self._loader_options |= {"batch_size": batch_size, "num_workers": num_workers}
        self._sampler, self._num_samples = sampler, num_samples
        self._seed = reading.get("seed") or 0
        self._reading, self._train_transforms = reading, train_transforms
        self.datasets: dict[str, ChipDataset] = {}

    def setup(self, stage: str) -> None:
        """Open the subsets that a stage needs: 'fit', 'validate', 'test' or 'predict'; errors as of `ChipDataset`."""
        if stage not in _STAGES:
            raise UsageError(f"invalid stage {stage!r}. Use 'fit', 'validate', 'test' or 'predict'.")
        for name in _STAGES[stage]:
            if name not in self.datasets:
                self.datasets[name] = self._open_subset(name)

    def _open_subset(self, name: str) -> ChipDataset:
        reading: Any = dict(self._reading)
        if name == "train":
            reading |= {"transforms": self._train_transforms, "seed": self._seed}
        selection: Any = {**self._selection, "subset": self._parts[name]}
        if isinstance(self._source, str | Path) and (folder := find_exported_folder(Path(self._source))):
            if self._at is not None:
                raise UsageError(f"'{folder}' holds one revision. Leave out at.")
            return ChipDataset.from_release(folder, **selection, **reading)
        return ChipDataset(self._source, at=self._at, **selection, **reading)

    def train_dataloader(self) -> DataLoader[Sample]:
        """Return the batches of training, shuffled or balanced."""
        dataset = self._find_dataset("train")
        if self._sampler is None:
            return DataLoader(dataset, sampler=self._make_shuffler(dataset), **self._loader_options)
        sampler = _SAMPLERS[self._sampler](dataset, num_samples=self._num_samples, seed=self._seed)
        return DataLoader(dataset, sampler=sampler, **self._loader_options)

    def _find_dataset(self, name: str) -> ChipDataset:
        if name not in self.datasets:
            raise UsageError(f"the samples of '{name}' are not open. Call setup('fit') or setup('test') first.")
        return self.datasets[name]

    def _make_shuffler(self, dataset: ChipDataset) -> BalancedSampler:
        """Return a sampler that draws each chip once: all are one group."""
        import numpy as np

        return BalancedSampler(dataset, [np.arange(len(dataset))], seed=self._seed)

    def val_dataloader(self) -> DataLoader[Sample]:
        """Return the batches of validation, in order."""
        return DataLoader(self._find_dataset("val"), **self._loader_options)

    def test_dataloader(self) -> DataLoader[Sample]:
        """Return the batches of the test, in order."""
        return DataLoader(self._find_dataset("test"), **self._loader_options)

    def predict_dataloader(self) -> DataLoader[Sample]:
        """Return the batches to predict: those of the test."""
        return self.test_dataloader()
