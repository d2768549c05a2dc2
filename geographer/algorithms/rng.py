"""Random numbers that belong to a name, so that one more feature moves no other feature's chip."""

from __future__ import annotations

import hashlib
import json

import numpy as np


def make_rng(seed: int, *names: str) -> np.random.Generator:
    """A generator of its own for `names` (a feature's id, a raster's id …) under a recipe's `seed`.

    PCG64 seeded with the SHA-256 of the JSON array `[seed, *names]` (ASCII, no spaces). JSON keeps the names
    apart (`'ab', 'c'` is not `'a', 'bc'`), and neither the platform nor the hash seed has a part in it, so
    equal arguments give equal numbers everywhere.
    """
    text = json.dumps([int(seed), *names], separators=(",", ":"))
    digest = hashlib.sha256(text.encode("ascii")).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "big")))
