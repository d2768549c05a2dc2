"""Datasets and readers for tests of the page of a difference."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from geographer import Dataset

HOSTILE_NAMES = (
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(2)</script>",
    "\"'&amp;",
    "🌊 μ",
    "x" * 200,
    "{{ 7 * 7 }}",
)


def write_squares(path: Path, squares: dict[str, tuple[str, float, float, float]]) -> Path:
    """Write squares as GeoJSON: id to class, west, south, and side in degrees."""
    members = []
    for name, (class_name, west, south, side) in squares.items():
        ring = [(0, 0), (side, 0), (side, side), (0, side), (0, 0)]
        geometry = {"type": "Polygon", "coordinates": [[[west + x, south + y] for x, y in ring]]}
        properties = {"id": name, "class": class_name, "note": f"<b>{name[:20]}</b>"}
        members.append({"type": "Feature", "properties": properties, "geometry": geometry})
    path.write_text(json.dumps({"type": "FeatureCollection", "features": members}))
    return path


def create_hostile_dataset(root: Path, inputs: Path) -> Dataset:
    """Create a dataset near the antimeridian whose ids, classes and messages are HTML; its last event removes one."""
    inputs.mkdir(parents=True, exist_ok=True)
    dataset = Dataset.init(root, scm=False)
    first = {name: (name[:40], 179.0 + index / 8, 10.0, 0.05) for index, name in enumerate(HOSTILE_NAMES)}
    dataset.add_features(write_squares(inputs / "first.geojson", first), message="<u>first</u>")
    second = {"west": ("plain", 179.2, 10.2, 0.05), "east": ("plain", -179.8, 10.2, 0.05)}
    dataset.add_features(write_squares(inputs / "second.geojson", second), message="</textarea><u>second</u>")
    dataset.remove_features([HOSTILE_NAMES[0]], message="<script>alert(3)</script>")
    return dataset


def read_data(page: str, name: str) -> Any:
    """Return a JSON element of a page."""
    found = re.search(rf'<script type="application/json" id="{name}">(.*?)</script>', page, re.DOTALL)
    assert found
    return json.loads(found.group(1))
