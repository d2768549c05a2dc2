"""Candidates for near-duplicates: pairs of images with similar signatures, by blocked matrix products."""

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np

from geographer.algorithms.connected_components import NO_LINKS, Bools, Ints, Links
from geographer.algorithms.near_duplicates.descriptor import Halves, Singles
from geographer.algorithms.near_duplicates.wave_vectors import make_symmetry_basis

MIN_SIMILARITY: Final = 0.58
"""Signatures that are less similar, under the best orientation, are of other images."""
MIN_SIMILARITY_OF_MANY, MANY_IMAGES = 0.66, 50_000
"""The same for more images than that: each has about half as many candidates, and 0.3 to 2 % of pairs are lost."""
BLOCK_SIZE: Final = 1024
"""How many images are compared with as many others at a time: six matrices of 4 MB."""
CLASS_SIGNS: Final = {0: (1, 1, 1, 1), 1: (1, -1, 1, -1), 4: (1, 1, -1, -1), 5: (1, -1, -1, 1)}
"""The signs of blocks of `make_symmetry_basis` by orientation; turning by 180° leaves magnitudes as they are."""


class Candidates(NamedTuple):
    """Pairs i < j of images, shape (m, 2), and the orientation under which their signatures are similar."""

    pairs: Links
    orientation: int


def iter_candidates(signature: Halves, groups: Ints | None) -> Iterator[Candidates]:
    """Yield candidate pairs by orientation, in a fixed order of blocks.

    `signature` has the shape (n, wave vectors); `groups`, shape (n,): only pairs of different groups; None: all.
    """
    least = MIN_SIMILARITY if len(signature) <= MANY_IMAGES else MIN_SIMILARITY_OF_MANY
    blocks = [slice(start, start + BLOCK_SIZE) for start in range(0, len(signature), BLOCK_SIZE)]
    for number, rows in enumerate(blocks):
        left, found = signature[rows].astype(np.float32), [NO_LINKS]
        for columns in blocks[number:]:
            right = signature[columns].astype(np.float32)
            is_similar = compute_similarities(left, right) >= least
            if groups is not None:
                is_similar &= groups[rows][:, None] != groups[columns]
            pairs = np.argwhere(is_similar) + np.array([rows.start, columns.start])
            found.append(pairs[pairs[:, 0] < pairs[:, 1]])
        yield from _assign_orientations(signature, np.concatenate(found), least)


def _assign_orientations(signature: Halves, pairs: Links, least: float) -> Iterator[Candidates]:
    """Yield the pairs by each orientation under which their signatures are similar."""
    is_similar = [
        _find_similar_orientations(signature, pairs[start : start + BLOCK_SIZE], least)
        for start in range(0, len(pairs), BLOCK_SIZE)
    ]
    for number, orientation in enumerate(CLASS_SIGNS):
        yield Candidates(pairs[np.concatenate([[], *(rows[number] for rows in is_similar)]).astype(bool)], orientation)


def _find_similar_orientations(signature: Halves, pairs: Links, least: float) -> Bools:
    """Return whether the signatures of pairs are similar under each orientation, shape (orientations, pairs)."""
    left, right = (signature[column].astype(np.float32) for column in pairs.T)
    products = np.add.reduceat(left * right, (0, *make_symmetry_basis()[1][:-1]), axis=1)
    return np.asarray(np.array([*CLASS_SIGNS.values()]) @ products.T >= least)


def compute_similarities(left: Singles, right: Singles) -> Singles:
    """Return the products of signatures under the best orientation, shape (left, right); see `make_symmetry_basis`."""
    ends = make_symmetry_basis()[1]
    same, mirrored, transposed, both = (
        left[:, start:end] @ right[:, start:end].T for start, end in zip((0, *ends), ends, strict=False)
    )
    # The largest of four signed sums is c3 plus or minus what c1 and c2 add with equal or opposite signs.
    total, difference = mirrored + transposed, mirrored - transposed
    np.abs(total, out=total)
    np.abs(difference, out=difference)
    total += both
    difference -= both
    np.maximum(total, difference, out=total)
    total += same
    return np.asarray(total)
