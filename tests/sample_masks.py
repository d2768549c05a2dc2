"""Masks of the sample scenes, as users have them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tests.sample_history import NORTH, PIXEL, WEST
from tests.sample_rasters import write_scene


def make_mask(seed: int = 1, *, values: int = 3, size: int = 64) -> np.ndarray:
    """Make pixels, shape (1, size, size), of class values from 0 to below `values`."""
    return np.random.default_rng(seed).integers(0, values, (1, size, size)).astype(np.uint8)


def write_mask(path: Path, pixels: np.ndarray | None = None, *, scene: int = 0, **options: Any) -> Path:
    """Write a mask on the grid of the scene with this number, see `write_scenes`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    transform = (PIXEL, 0.0, WEST + 480 * scene, 0.0, -PIXEL, NORTH)
    return write_scene(path, make_mask() if pixels is None else pixels, **{"transform": transform, **options})
