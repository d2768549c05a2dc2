"""Write the map of the area of applicability of a model that is trained on the samples of a split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from geographer.base.errors import ConflictError, NotFoundError, UsageError
from geographer.base.html import render_object
from geographer.planning.raster_middles import locate_rasters
from geographer.storage.queries.revision import Revision

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from geographer.algorithms.applicability import TrainedSpace

BAND_NAMES: Final = ("dissimilarity index", "applicable")
_MEMBERS: Final = "SELECT raster_id, part FROM splits WHERE split = $split AND part IS NOT NULL ORDER BY raster_id"
_FEWEST_SAMPLES: Final = 3


class ApplicabilityMap(NamedTuple):
    """What was mapped.

    Attributes:
        samples: How many rasters of the split are samples.
        left_out: How many others lie outside the covariates, or where one is missing.
        threshold: The largest dissimilarity index that is inside the area of applicability.
        applicable: The share of the mapped pixels that is inside.
        pixels: How many pixels are mapped: those where all covariates are known.
        covariates: The names of the covariates.
    """

    samples: int
    left_out: int
    threshold: float
    applicable: float
    pixels: int
    covariates: list[str]

    def _repr_html_(self) -> str:
        return render_object(self)


def map_applicability(
    revision: Revision, split: str, covariates: Sequence[str], weights: Mapping[str, float], path: Path
) -> ApplicabilityMap:
    """Write a GeoTIFF of dissimilarity indices, and whether they are within the threshold, on the first grid.

    Raises:
        NotFoundError: there is no such split, or no such file.
        ConflictError: the file is one of the covariates.
        UsageError: there are too few samples or parts, a covariate does not vary, or a weight is wrong.
    """
    from geographer.algorithms.applicability import train_space
    from geographer.rasters.covariates import CovariateStack, parse_covariates

    members = revision.fetch_rows(_MEMBERS, {"split": split})
    if not members:
        raise NotFoundError(f"no split '{split}' with rasters. geographer splits lists them.")
    bands = parse_covariates(covariates)
    if path.resolve() in {band.path.resolve() for band in bands}:
        raise ConflictError(f"'{path}' is a covariate, which the map would overwrite. Choose another file for --to.")
    names = [band.name for band in bands]
    factors = _list_weights(names, weights)
    with CovariateStack(bands) as stack:
        values = stack.sample_places(locate_rasters(revision, [raster for raster, _ in members]))
        known = np.isfinite(values).all(axis=1)
        folds = np.unique([part for _, part in members], return_inverse=True)[1].reshape(-1)[known]
        _require_samples(values[known], folds, names)
        counter = _Counter(train_space(values[known], folds, factors))
        stack.write_map(path, counter.compute_bands, BAND_NAMES)
    share = counter.inside / counter.pixels if counter.pixels else 0.0
    counts = int(known.sum()), int((~known).sum())
    return ApplicabilityMap(*counts, round(counter.space.threshold, 6), round(share, 6), counter.pixels, names)


def _list_weights(names: Sequence[str], weights: Mapping[str, float]) -> NDArray[np.float64]:
    if unknown := sorted(set(weights) - set(names)):
        raise UsageError(f"there is no covariate '{unknown[0]}', which --weight names. They are {', '.join(names)}.")
    factors = np.array([float(weights.get(name, 1.0)) for name in names])
    if not (np.isfinite(factors).all() and (factors >= 0).all() and factors.any()):
        raise UsageError("the weights of covariates are 0 or more, and not all 0. Correct --weight.")
    return factors


def _require_samples(values: NDArray[np.float64], folds: NDArray[np.int64], names: Sequence[str]) -> None:
    parts = len(set(folds.tolist()))
    if len(values) < _FEWEST_SAMPLES or parts < 2:
        raise UsageError(
            f"{len(values)} samples in {parts} parts have all covariates; at least {_FEWEST_SAMPLES} in 2 parts are "
            "needed. Check that the covariates cover the rasters."
        )
    if constant := [name for name, spread in zip(names, np.ptp(values, axis=0), strict=True) if not spread]:
        raise UsageError(f"the covariate '{constant[0]}' is the same at all samples. Leave it out.")


class _Counter:
    """Computes the bands of the map, and counts its pixels."""

    def __init__(self, space: TrainedSpace) -> None:
        self.space = space
        self.pixels = self.inside = 0

    def compute_bands(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        indices = self.space.measure_dissimilarity(values)
        known = np.isfinite(indices)
        is_inside = np.where(known, indices <= self.space.threshold, np.nan)
        self.pixels += int(known.sum())
        self.inside += int(np.nansum(is_inside))
        return np.stack([indices, is_inside])
