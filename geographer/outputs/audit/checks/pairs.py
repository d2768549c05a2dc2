"""Pairs of samples in different subsets, as the checks of levels make them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from geographer.outputs.audit.samples import Sample
from geographer.rasters.images import ImageFacts

Ints = npt.NDArray[np.int64]
NO_PAIRS = np.empty((0, 2), dtype=np.int64)


class ReadSamples(NamedTuple):
    """Samples with the facts of their images and, by number, their subsets; -1 is no subset."""

    samples: Sequence[Sample]
    facts: Sequence[ImageFacts]
    subset: Ints
    names: list[str]

    @property
    def has_split(self) -> bool:
        """Whether two subsets have samples."""
        return len(np.unique(self.subset[self.subset >= 0])) > 1


def pair_groups(groups: Iterable[Sequence[int]], subset: Ints) -> Ints:
    """Return all pairs of members of one group that are in different subsets, shape (n, 2)."""
    pairs = [NO_PAIRS]
    for members in groups:
        numbers = np.asarray(members, dtype=np.int64)
        numbers = numbers[subset[numbers] >= 0]
        by_subset = [numbers[subset[numbers] == value] for value in np.unique(subset[numbers])]
        for first, second in combinations(by_subset, 2):
            pairs.append(np.column_stack([np.repeat(first, len(second)), np.tile(second, len(first))]))
    return np.concatenate(pairs)


def group_values(values: Sequence[str | None]) -> list[list[int]]:
    """Return the indices of equal values, for those that occur more than once; None is no value."""
    by_value: dict[str, list[int]] = {}
    for index, value in enumerate(values):
        if value is not None:
            by_value.setdefault(value, []).append(index)
    return [members for members in by_value.values() if len(members) > 1]
