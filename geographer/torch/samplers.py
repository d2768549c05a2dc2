"""Samplers that draw chips so that each class, or each component of the split, is shown equally often."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from geographer.base.errors import UsageError
from geographer.torch.chip_dataset import ChipDataset
from geographer.torch.chip_index import NO_COMPONENT, Ints


class BalancedSampler(torch.utils.data.DistributedSampler[Any]):
    """Draws as many chips of each group: the numbers of draws differ by at most one.

    The chips of a group are drawn in turn, each time in another order, so that none repeats before all have been drawn.
    Draws depend on seed and epoch only; each process of a distributed training gets its share of them.
    """

    def __init__(
        self,
        dataset: ChipDataset,
        groups: Sequence[Ints],
        *,
        num_samples: int | None = None,
        seed: int = 0,
        num_replicas: int | None = None,
        rank: int | None = None,
    ) -> None:
        """Balance groups of chips.

        Args:
            dataset: The dataset; `set_epoch` sets its epoch, too.
            groups: The numbers of the chips of each group; a chip may be in several.
            num_samples: How many chips to draw in an epoch, for all processes; None: as many as the dataset has.
            seed: The seed.
            num_replicas: The number of processes; None: that of `torch.distributed`, or 1.
            rank: The number of this process; None: that of `torch.distributed`, or 0.
        """
        if not torch.distributed.is_available() or not torch.distributed.is_initialized():
            num_replicas, rank = num_replicas or 1, rank or 0
        for name, value, least in (("num_samples", num_samples, 1), ("seed", seed, 0)):
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
                raise UsageError(f"invalid {name} {value!r}. Use a whole number of at least {least}.")
        super().__init__(dataset, num_replicas=num_replicas, rank=rank, seed=seed)
        self._chips = dataset
        self._groups = [group for group in groups if len(group)]
        self.total_draws = num_samples or len(dataset)
        self.num_samples = -(-self.total_draws // self.num_replicas)

    def __iter__(self) -> Iterator[int]:
        """Iterate over the numbers of the chips that this process reads in the epoch."""
        draws = self.draw_epoch()
        size = self.num_samples * self.num_replicas
        return iter(np.resize(draws, size)[self.rank : size : self.num_replicas].tolist())

    def set_epoch(self, epoch: int) -> None:
        """Set the number of the epoch, here and in the dataset."""
        super().set_epoch(epoch)
        self._chips.set_epoch(epoch)

    def draw_epoch(self) -> Ints:
        """Return the numbers of the chips that all processes draw in the epoch, int64, shape (draws,)."""
        rng = np.random.Generator(np.random.PCG64([self.seed, self.epoch]))
        n_groups = len(self._groups)
        counts = np.full(n_groups, self.total_draws // n_groups)
        counts[rng.permutation(n_groups)[: self.total_draws % n_groups]] += 1
        draws = [_draw_in_turn(rng, group, count) for group, count in zip(self._groups, counts.tolist(), strict=True)]
        return rng.permutation(np.concatenate(draws))


class ClassBalancedSampler(BalancedSampler):
    """Draws as many chips of each class. A chip that shows several classes is drawn for each of them.

    A chip belongs to the classes of the features that it shows; those that show none are one class, too.
    """

    def __init__(self, dataset: ChipDataset, **options: Any) -> None:
        """Balance the classes of a dataset; see `BalancedSampler` for the options."""
        super().__init__(dataset, group_by_class(_require_chips(dataset)), **options)


class ComponentBalancedSampler(BalancedSampler):
    """Draws as many chips of each component of the split, so that a large cluster does not dominate.

    A component is a set of chips that the split keeps together, because they show the same objects, share pixels, or
    lie near each other.
    """

    def __init__(self, dataset: ChipDataset, **options: Any) -> None:
        """Balance the components of a dataset; see `BalancedSampler` for the options. `UsageError` without a split."""
        super().__init__(dataset, group_by_component(_require_chips(dataset)), **options)


def group_by_class(dataset: ChipDataset) -> list[Ints]:
    """Return the numbers of the chips that show each class; those that show none are the last group."""
    starts, values = dataset.chip_index.shown
    chips = np.repeat(np.arange(len(dataset)), np.diff(starts))
    groups = [chips[values == value] for value in np.unique(values)]
    return [*groups, np.flatnonzero(np.diff(starts) == 0)]


def group_by_component(dataset: ChipDataset) -> list[Ints]:
    """Return the numbers of the chips of each component; `UsageError` if the components are not known."""
    components = dataset.components
    if (components == NO_COMPONENT).any():
        raise UsageError("the components of the chips are not known. Select the chips of a split: split='NAME'.")
    return [np.flatnonzero(components == component) for component in np.unique(components)]


def _draw_in_turn(rng: np.random.Generator, group: Ints, count: int) -> Ints:
    rounds = [rng.permutation(group) for _ in range(-(-count // len(group)))]
    return np.concatenate([*rounds, group[:0]])[:count]


def _require_chips(dataset: object) -> ChipDataset:
    if not isinstance(dataset, ChipDataset):
        raise UsageError(f"invalid dataset {type(dataset).__name__}. Use a ChipDataset.")
    return dataset
