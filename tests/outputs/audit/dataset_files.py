"""Small datasets of many layouts: images are NumPy files, which take little time to write."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np


def write_images(root: Path, *paths: str, size: int = 4) -> None:
    """Write images whose pixels differ from path to path."""
    for path in paths:
        seed = int.from_bytes(hashlib.sha256(path.encode()).digest()[:4], "big")
        pixels = np.random.Generator(np.random.PCG64(seed)).integers(0, 255, (1, size, size)).astype(np.uint8)
        write_array(root, path, pixels)


def write_array(root: Path, path: str, pixels: np.ndarray) -> None:
    """Write an array as a NumPy file, whatever the suffix of its path says."""
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("wb") as stream:
        np.save(stream, pixels)


def write_text(root: Path, path: str, text: str) -> Path:
    """Write a text file, and return its path."""
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def write_json(root: Path, path: str, content: Any) -> Path:
    """Write a JSON file, and return its path."""
    return write_text(root, path, json.dumps(content))


def make_coco(images: Mapping[int, str], boxes: Mapping[int, list[float]] | None = None, **more: Any) -> dict[str, Any]:
    """Make the content of an annotation file: images by id, and for each box (by image id) an annotation."""
    annotations = [
        {"id": number, "image_id": image_id, "category_id": 1, "bbox": box}
        for number, (image_id, box) in enumerate((boxes or {}).items(), 1)
    ]
    listed = [{"id": number, "file_name": name, "width": 4, "height": 4, **more} for number, name in images.items()]
    return {"images": listed, "annotations": annotations, "categories": [{"id": 1, "name": "tree"}]}
