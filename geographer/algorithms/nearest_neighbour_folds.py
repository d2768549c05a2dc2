"""Folds for cross-validation whose nearest-neighbour distances match those of a prediction area (kNNDM).

In an honest cross-validation the distance from a test sample to the nearest training sample is distributed like the
distance from a place of the area, for which a model will predict, to the nearest sample. Random folds of clustered
samples are far too close. Source: Linnenbrink et al. 2024, https://doi.org/10.5194/gmd-17-5897-2024.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial import cKDTree
from scipy.stats import wasserstein_distance

from geographer.algorithms.connected_components import Floats, Ints
from geographer.algorithms.rng import make_rng

EARTH_RADIUS: Final = 6_371_008.8
"""Metres; the mean radius of the Earth. Distances are along great circles."""
MAX_LINKED: Final = 4_000
"""The largest number of groups that Ward's clustering, quadratic in memory, joins; more are first put into cells."""
CANDIDATES: Final = 40
"""How many numbers of clusters are tried, from the number of folds to that of groups, in equal ratios."""
MAX_SHARE: Final = 0.5
"""The largest share of the samples that a fold may have, as long as a smaller one is possible."""
MAX_IMPROVED, MAX_MOVES = 3, 100
"""How many of the best assignments are improved, and how many moves of a cluster to another fold are tried for each."""
RANDOM_ORDERS: Final = 4
"""How many random assignments of clusters to folds are tried for each number of clusters."""


class FoldAssignment(NamedTuple):
    """Folds of n samples, and how well they match.

    Attributes:
        folds: The fold of each sample, 0 to k - 1; shape (n,).
        distance: Wasserstein's W, in metres, between the distances of samples to the nearest sample of another fold and
            those of places of the area to the nearest sample.
        random_distance: The same of random folds of the groups.
        clusters: The number of clusters that were spread over the folds.
    """

    folds: Ints
    distance: float
    random_distance: float
    clusters: int


def compute_unit_vectors(lonlat: Floats) -> Floats:
    """Return points on the unit sphere, shape (n, 3), for longitudes and latitudes in degrees, shape (n, 2)."""
    lon, lat = np.radians(lonlat).T
    return np.column_stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])


def measure_nearest(points: Floats, others: Floats) -> Floats:
    """Return the distance in metres from each point to the nearest of `others`; both are unit vectors."""
    chords, _ = cKDTree(others).query(points)
    return EARTH_RADIUS * 2 * np.arcsin(np.clip(np.asarray(chords) / 2, 0, 1))


def measure_fold_distances(points: Floats, folds: Ints) -> Floats:
    """Return the distance in metres from each sample to the nearest one of another fold; shape (n,)."""
    distances = np.empty(len(points))
    for fold in np.unique(folds):
        inside = folds == fold
        distances[inside] = measure_nearest(points[inside], points[~inside])
    return distances


def assign_random_folds(groups: Ints, count: int, seed: int) -> Ints:
    """Return random folds, 0 to `count` - 1, of nearly as many groups each; shape (n,). A group is not divided."""
    return _spread_clusters(make_rng(seed, "random folds").permutation(int(groups.max()) + 1), count)[groups]


def assign_matching_folds(lonlat: Floats, groups: Ints, area: Floats, count: int, seed: int) -> FoldAssignment:
    """Assign samples to folds so that their distances match those of a prediction area.

    Args:
        lonlat: Longitude and latitude of the samples in degrees, shape (n, 2).
        groups: The group of each sample, 0, 1, 2 …; a group is never divided. Shape (n,).
        area: Longitude and latitude of places that represent the prediction area, shape (m, 2).
        count: The number of folds, 2 or more, at most the number of groups.
        seed: Decides which of equally good assignments is taken.

    Returns:
        The best assignment found: of random folds, of numbers of clusters, and of moves of single clusters from there.
    """
    points, rng = compute_unit_vectors(lonlat), make_rng(seed, "folds")
    target = measure_nearest(compute_unit_vectors(area), points)
    centres, sizes = _find_centres(points, groups)
    random_folds = assign_random_folds(np.arange(len(centres)), count, seed)
    problem = _Problem(points, groups, sizes, target, count)
    best = random_best = _Candidate(problem.compute_distance(random_folds), np.arange(len(centres)), random_folds)
    candidates = [best]
    for clusters in _iter_clusterings(centres, count):
        for folds in _iter_cluster_folds(centres, sizes, clusters, count, rng):
            if problem.is_balanced(folds[clusters]):
                candidates.append(_Candidate(problem.compute_distance(folds[clusters]), clusters, folds))
    candidates.sort(key=lambda item: item.distance)
    improved = [_improve_candidate(problem, item, rng) for item in candidates[:MAX_IMPROVED]]
    best = min(improved, key=lambda item: item.distance)
    return FoldAssignment(
        best.folds[best.clusters][groups], best.distance, random_best.distance, int(best.clusters.max()) + 1
    )


class _Candidate(NamedTuple):
    """An assignment: W, the cluster of each group, the fold of each cluster."""

    distance: float
    clusters: Ints
    folds: Ints


class _Problem(NamedTuple):
    """What decides how good folds of groups are."""

    points: Floats
    groups: Ints
    sizes: Ints
    target: Floats
    number: int

    def compute_distance(self, group_folds: Ints) -> float:
        """Return W, in metres, of the folds of the groups."""
        return float(wasserstein_distance(measure_fold_distances(self.points, group_folds[self.groups]), self.target))

    def is_balanced(self, group_folds: Ints) -> bool:
        """Return whether every fold has samples, and none more than its share."""
        shares = np.bincount(group_folds, self.sizes, self.number) / self.sizes.sum()
        return bool(shares.min() > 0 and shares.max() <= max(MAX_SHARE, self.sizes.max() / self.sizes.sum()))


def _find_centres(points: Floats, groups: Ints) -> tuple[Floats, Ints]:
    """Return the mean unit vector and the number of samples of each group."""
    sizes = np.bincount(groups)
    sums = np.column_stack([np.bincount(groups, points[:, axis]) for axis in range(3)])
    return sums / sizes[:, None], sizes


def _iter_clusterings(centres: Floats, count: int) -> list[Ints]:
    """Return the cluster of each group for several numbers of clusters."""
    cells = _find_cells(centres)
    cell_centres, _ = _find_centres(centres, cells)
    if len(cell_centres) <= count:
        return []
    tree = linkage(cell_centres, "ward")
    numbers = np.unique(np.geomspace(count, len(cell_centres), CANDIDATES).round().astype(int))
    return [np.unique(fcluster(tree, number, "maxclust"), return_inverse=True)[1][cells] for number in numbers]


def _find_cells(centres: Floats) -> Ints:
    """Return the cell of each group: the group itself, or a cube of a grid with at most `MAX_LINKED` cells in use."""
    if len(centres) <= MAX_LINKED:
        return np.arange(len(centres))
    divisions = 2**16
    while True:
        indices = np.floor(centres * divisions).astype(np.int64)
        _, cells = np.unique(indices, axis=0, return_inverse=True)
        cells = cells.reshape(-1)
        if cells.max() < MAX_LINKED:
            return cells
        divisions //= 2


def _order_along_axis(centres: Floats, sizes: Ints, clusters: Ints) -> Ints:
    """Return the rank of each cluster along the first principal component of their centres."""
    weights = np.bincount(clusters, sizes)
    means = np.column_stack([np.bincount(clusters, centres[:, axis] * sizes) for axis in range(3)]) / weights[:, None]
    deviations = means - means.mean(axis=0)
    axes = np.linalg.eigh(deviations.T @ deviations)[1]
    axis = axes[:, -1] * np.sign(axes[np.abs(axes[:, -1]).argmax(), -1])
    return np.argsort(np.argsort(np.round(deviations @ axis, 12), kind="stable"), kind="stable")


def _iter_cluster_folds(
    centres: Floats, sizes: Ints, clusters: Ints, count: int, rng: np.random.Generator
) -> Iterator[Ints]:
    """Yield folds of the clusters: neighbours in different folds, neighbours in the same fold, and random ones."""
    ranks = _order_along_axis(centres, sizes, clusters)
    weights = np.bincount(clusters, sizes)
    yield _spread_clusters(ranks, count)
    order = np.argsort(ranks)
    middles = np.cumsum(weights[order]) - weights[order] / 2
    blocks = np.empty(len(order), dtype=np.int64)
    blocks[order] = np.minimum(middles / weights.sum() * count, count - 1).astype(np.int64)
    yield blocks
    for _ in range(RANDOM_ORDERS):
        yield _spread_clusters(rng.permutation(len(ranks)), count)


def _spread_clusters(ranks: Ints, count: int) -> Ints:
    """Return the fold of each cluster: neighbours in rank are in different folds."""
    return ranks % count


def _improve_candidate(problem: _Problem, candidate: _Candidate, rng: np.random.Generator) -> _Candidate:
    """Move single clusters to other folds as long as W becomes smaller, in random order."""
    best = candidate
    for _ in range(MAX_MOVES):
        cluster, fold = int(rng.integers(len(best.folds))), int(rng.integers(problem.number))
        folds = best.folds.copy()
        folds[cluster] = fold
        if fold == best.folds[cluster] or not problem.is_balanced(folds[best.clusters]):
            continue
        distance = problem.compute_distance(folds[best.clusters])
        if distance < best.distance:
            best = _Candidate(distance, best.clusters, folds)
    return best
