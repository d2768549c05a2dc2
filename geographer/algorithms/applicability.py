"""Area of applicability: where a model that was trained on given samples can be expected to do as in cross-validation.

The dissimilarity index of a place is its distance, in the space of the covariates, to the nearest training sample,
divided by the mean distance between training samples. Source: Meyer and Pebesma 2021,
https://doi.org/10.1111/2041-210X.13650.
"""

from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

from geographer.algorithms.connected_components import Floats, Ints

_CHUNK = 1_000
_WHISKER = 1.5


class TrainedSpace(NamedTuple):
    """The space of p covariates with the training samples in it.

    Attributes:
        means: The mean of each covariate over the samples, shape (p,).
        factors: What its deviations from the mean are multiplied with: weight / standard deviation; shape (p,).
        samples: The n samples in the space, shape (n, p).
        mean_distance: The mean distance between two samples.
        threshold: The largest dissimilarity index that is inside the area of applicability.
        indices: The dissimilarity index of each sample to those of other folds, shape (n,).
    """

    means: Floats
    factors: Floats
    samples: Floats
    mean_distance: float
    threshold: float
    indices: Floats

    def measure_dissimilarity(self, values: Floats) -> Floats:
        """Return the dissimilarity index of places with the covariates `values`, shape (m, p); NaN where one is NaN."""
        result = np.full(len(values), np.nan)
        known = np.isfinite(values).all(axis=1)
        if known.any():
            points = (values[known] - self.means) * self.factors
            result[known] = np.asarray(cKDTree(self.samples).query(points)[0]) / self.mean_distance
        return result


def train_space(values: Floats, folds: Ints, weights: Floats) -> TrainedSpace:
    """Return the space of the training samples, and the threshold that their cross-validation gives.

    Args:
        values: The covariates of the samples, shape (n, p), all finite; each covariate varies.
        folds: The fold of each sample, shape (n,); at least two.
        weights: The weight of each covariate, 0 or more, such as the importance that a model gives it; shape (p,).

    Returns:
        The space. The threshold is the largest index of a sample that is no outlier: at most 1.5 times the range
        between the hinges above the upper hinge (Tukey's fences).
    """
    means, deviations = values.mean(axis=0), values.std(axis=0, ddof=1)
    factors = weights / deviations
    samples = (values - means) * factors
    total = sum(
        float(cdist(samples[start : start + _CHUNK], samples).sum()) for start in range(0, len(samples), _CHUNK)
    )
    mean_distance = total / (len(samples) * (len(samples) - 1))
    indices = np.empty(len(samples))
    for fold in np.unique(folds):
        inside = folds == fold
        indices[inside] = np.asarray(cKDTree(samples[~inside]).query(samples[inside])[0]) / mean_distance
    return TrainedSpace(means, factors, samples, mean_distance, _find_upper_whisker(indices), indices)


def _find_upper_whisker(values: Floats) -> float:
    """Return the largest value that is not above the upper hinge by more than 1.5 times the range of the hinges."""
    ordered = np.sort(values)
    depth = (np.floor((len(ordered) + 3) / 2) / 2) - 1
    lower = (ordered[int(np.floor(depth))] + ordered[int(np.ceil(depth))]) / 2
    upper = (ordered[::-1][int(np.floor(depth))] + ordered[::-1][int(np.ceil(depth))]) / 2
    return float(ordered[ordered <= upper + _WHISKER * (upper - lower)].max())
