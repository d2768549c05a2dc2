"""Wave vectors: the spatial frequencies that describe an image, and how the 8 orientations of an image permute them.

A wave vector (kx, ky) counts cycles per side of the image. The coefficient at -k is the complex conjugate of that at k,
so one of the two is kept. Turning or mirroring an image permutes its coefficients.
"""

from functools import cache
from typing import Final, NamedTuple

import numpy as np

from geographer.algorithms.connected_components import Bools, Floats, Ints

MAX_FREQUENCY: Final = 16
"""Cycles per side of the finest details that are described: JPEG compression changes finer ones of small images."""
COARSE_FREQUENCY: Final = 10
"""Cycles per side of the finest details by which pairs are searched and aligned."""


class Orientation(NamedTuple):
    """One of the 8 orientations: the turned image has the coefficients `spectrum[rows]`, conjugated where it says so.

    `rows` and `is_conjugated` have shape (wave vectors,).
    """

    rows: Ints
    is_conjugated: Bools


@cache
def list_wave_vectors() -> Ints:
    """Return the wave vectors, one of each pair k and -k, shape (wave vectors, 2), as (kx, ky) in cycles per side.

    They are in order of frequency, so the coarse ones are the first.
    """
    steps = range(-MAX_FREQUENCY, MAX_FREQUENCY + 1)
    vectors = [(x, y) for x in steps for y in steps if (y, x) > (0, 0) and x * x + y * y <= MAX_FREQUENCY**2]
    return np.array(sorted(vectors, key=lambda vector: (vector[0] ** 2 + vector[1] ** 2, vector)), np.int64)


@cache
def count_coarse() -> int:
    """Return how many of the wave vectors are coarse; orientations permute these among themselves."""
    return int((np.linalg.norm(list_wave_vectors(), axis=1) <= COARSE_FREQUENCY).sum())


@cache
def list_orientations() -> tuple[Orientation, ...]:
    """Return the 8 orientations: first as it is; then mirrored left to right, top to bottom, both; the same transposed.

    An orientation and the next but one that mirrors both axes are turned by 180° against each other.
    """
    vectors = list_wave_vectors()
    turned = [
        side * np.array(signs) for side in (vectors, vectors[:, ::-1]) for signs in ((1, 1), (-1, 1), (1, -1), (-1, -1))
    ]
    return tuple(_find_vectors(side) for side in turned)


def _find_vectors(turned: Ints) -> Orientation:
    rows = {tuple(vector): row for row, vector in enumerate(list_wave_vectors().tolist())}
    found = [rows.get(tuple(vector), -1) for vector in turned.tolist()]
    opposite = [rows.get(tuple(vector), -1) for vector in (-turned).tolist()]
    index = np.array([row if row >= 0 else other for row, other in zip(found, opposite, strict=True)], np.int64)
    return Orientation(index, np.array(found) < 0)


@cache
def make_symmetry_basis() -> tuple[Floats, tuple[int, ...]]:
    """Return an orthonormal basis in which orientations change only signs of blocks, and where the blocks end.

    It is a basis of values at the coarse wave vectors, shape (coarse, coarse). The magnitudes of coefficients are equal
    at k and -k, so mirroring (f) and transposing (t) form a group of four on them. Block 0 is unchanged, 1 changes
    its sign under f, 2 under t, 3 under both; so magnitudes m of one image and n of another have, under the best
    orientation, the product c0 + max(c1 + c2 + c3, -c1 + c2 - c3, c1 - c2 - c3, -c1 - c2 + c3), where c are the
    products of blocks.
    """
    orientations = list_orientations()
    identity, mirrored, transposed, both = (orientations[number].rows[: count_coarse()] for number in (0, 1, 4, 5))
    blocks: list[list[Floats]] = [[], [], [], []]
    size = len(identity)
    for row in np.flatnonzero(identity == np.minimum.reduce([identity, mirrored, transposed, both])):
        for block, signs in zip(blocks, ((1, 1, 1), (-1, 1, -1), (1, -1, -1), (-1, -1, 1)), strict=True):
            vector = np.zeros(size)
            np.add.at(vector, [row, mirrored[row], transposed[row], both[row]], [1.0, *signs])
            if vector.any():
                block.append(vector / np.linalg.norm(vector))
    ends = np.cumsum([len(block) for block in blocks])
    return np.array([vector for block in blocks for vector in block]).T, tuple(ends.tolist())
