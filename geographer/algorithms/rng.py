"""Random generators seeded per object, so that adding one feature does not change the chips of another."""

import hashlib
import json

import numpy as np


def make_rng(seed: int, *names: str) -> np.random.Generator:
    """Return a generator that depends on a recipe's `seed` and on `names` (ids of a feature, a raster …) only.

    PCG64 is seeded with the SHA-256 of the JSON array `[seed, *names]` (ASCII, no spaces), read as a big-endian
    integer, so the numbers depend neither on the platform nor on Python's hash seed.
    """
    text = json.dumps([int(seed), *names], separators=(",", ":"))
    digest = hashlib.sha256(text.encode("ascii")).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "big")))
