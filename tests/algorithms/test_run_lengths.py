"""Run lengths, against pycocotools."""

from __future__ import annotations

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from geographer.algorithms.run_lengths import encode_run_lengths


@pytest.mark.parametrize("seed", range(30))
def test_run_lengths_are_those_of_pycocotools(seed):
    random = np.random.default_rng(seed)
    height, width = random.integers(1, 9, 2).tolist()
    rows, columns = random.integers(1, height + 1), random.integers(1, width + 1)
    row, column = random.integers(0, height - rows + 1), random.integers(0, width - columns + 1)
    part = random.random((rows, columns)) < random.choice([0.0, 0.5, 1.0])
    image = np.zeros((height, width), np.uint8, order="F")
    image[row : row + rows, column : column + columns] = part
    counts = encode_run_lengths(part, int(column), int(row), width, height)
    encoded = coco_mask.frPyObjects({"counts": counts, "size": [height, width]}, height, width)
    assert encoded == coco_mask.encode(image)
    assert sum(counts) == width * height
