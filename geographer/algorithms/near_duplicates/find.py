"""Find near-duplicate pairs among the descriptors of many images."""

from typing import Final, NamedTuple

import numpy as np

from geographer.algorithms.connected_components import NO_LINKS, Bools, Floats, Ints, Links
from geographer.algorithms.near_duplicates.alignment import Alignments, align_pairs
from geographer.algorithms.near_duplicates.candidates import iter_candidates
from geographer.algorithms.near_duplicates.descriptor import MIN_TEXTURE, ImageDescriptors
from geographer.algorithms.near_duplicates.verification import verify_pairs

MIN_SCORE: Final = 0.5
"""The least agreement of the phases of near-duplicates, by which pairs are chosen for verification."""
MIN_EVIDENCE: Final = 8.0
"""How many coefficients must be reliable in both images."""
MIN_AGREEMENT: Final = 0.6
"""The least mean correlation of blocks."""
MAX_RESIDUAL: Final = 0.6
"""The largest difference, relative to that of an image from itself after a displacement."""
MAX_SHIFT: Final = 0.055
"""The largest shift of near-duplicates along an axis, as a fraction of the side: 5 %, and the error of the estimate."""
_MAX_PHASE_SHIFT: Final = 0.08
"""The largest shift by phases that verification may still improve."""


class NearDuplicates(NamedTuple):
    """Near-duplicate pairs i < j of n images, sorted.

    Attributes:
        pairs: The indices, shape (m, 2).
        score: The agreement of phases after orientation and shift, 1 for identical pixels, shape (m,).
        is_identical: Whether the pixels are equal, shape (m,).
        not_comparable: Images with too little texture, shape (k,); of them, only identical ones are paired.
    """

    pairs: Links
    score: Floats
    is_identical: Bools
    not_comparable: Ints


def find_near_duplicates(descriptors: ImageDescriptors, groups: Ints | None = None) -> NearDuplicates:
    """Return the near-duplicate pairs of n images, in an order that depends on their order alone.

    Args:
        descriptors: Of the images; see `describe_image`.
        groups: The group of each image, such as its subset, shape (n,): only pairs of different groups are returned; a
            negative one: no pair. None: all pairs.
    """
    identical = find_identical(descriptors, groups)
    comparable = np.flatnonzero(
        descriptors.is_comparable if groups is None else descriptors.is_comparable & (groups >= 0)
    )
    some_groups = None if groups is None else groups[comparable]
    pairs, scores = [NO_LINKS], [np.empty(0)]
    for candidates, orientation in iter_candidates(descriptors.signature[comparable], some_groups):
        candidates = comparable[candidates]
        aligned = align_pairs(descriptors, candidates, orientation)
        is_near = find_verified(descriptors, candidates, aligned)
        pairs.append(candidates[is_near])
        scores.append(aligned.score[is_near])
    return _join_pairs(descriptors, identical, np.concatenate(pairs), np.concatenate(scores))


def find_verified(descriptors: ImageDescriptors, pairs: Links, aligned: Alignments) -> Ints:
    """Return the rows of the aligned pairs that are near-duplicates."""
    is_likely = (aligned.score >= MIN_SCORE) & (aligned.evidence >= MIN_EVIDENCE)
    is_likely &= np.abs(aligned.shift).max(axis=1, initial=0.0) <= _MAX_PHASE_SHIFT
    rows = np.flatnonzero(is_likely)
    verified = verify_pairs(descriptors, pairs[rows], aligned.orientation[rows], aligned.shift[rows])
    is_near = (verified.agreement >= MIN_AGREEMENT) & (verified.residual <= MAX_RESIDUAL)
    is_near &= (verified.texture >= MIN_TEXTURE) & (np.abs(verified.shift).max(axis=1, initial=0.0) <= MAX_SHIFT)
    return np.asarray(rows[is_near])


def find_identical(descriptors: ImageDescriptors, groups: Ints | None) -> Links:
    """Return the pairs of images with equal pixels, of different `groups` if they are given."""
    order = np.argsort(descriptors.digest, kind="stable")
    starts = np.flatnonzero(descriptors.digest[order][1:] != descriptors.digest[order][:-1]) + 1
    pairs = [NO_LINKS]
    for members in np.split(order, starts):
        i, j = np.triu_indices(len(members), 1)
        pairs.append(np.sort(np.column_stack([members[i], members[j]]), axis=1))
    found: Links = np.concatenate(pairs)
    if groups is None:
        return found
    a, b = groups[found].T
    return np.asarray(found[(a != b) & (a >= 0) & (b >= 0)])


def _join_pairs(descriptors: ImageDescriptors, identical: Links, near: Links, score: Floats) -> NearDuplicates:
    """Return identical and other pairs, each once, with the best score of any orientation."""
    order = np.lexsort((-score, near[:, 1], near[:, 0]))
    near, score = near[order], score[order]
    is_new = descriptors.digest[near[:, 0]] != descriptors.digest[near[:, 1]]
    is_new[1:] &= (near[1:] != near[:-1]).any(axis=1)
    pairs = np.concatenate([identical, near[is_new]])
    scores = np.concatenate([np.ones(len(identical)), score[is_new]])
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    is_identical = np.arange(len(pairs)) < len(identical)
    not_comparable = np.flatnonzero(~descriptors.is_comparable)
    return NearDuplicates(pairs[order], scores[order], is_identical[order], not_comparable)
