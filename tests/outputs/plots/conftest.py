"""A dataset with hostile names, on both sides of the antimeridian, without rasters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from geographer import Dataset
from tests.sample_history import SampleHistory

HOSTILE_CLASSES = (
    "<img src=x onerror=alert(1)>",
    "$a_{1}$ & \"q\" 's'",
    "_under",
    "日本語 🌋",
    "x" * 200,
    "line\tbreak",
)
COUNT = 100


def make_square(west: float, south: float, side: float) -> dict[str, Any]:
    corners = [(0.0, 0.0), (side, 0.0), (side, side), (0.0, side), (0.0, 0.0)]
    return {"type": "Polygon", "coordinates": [[[west + x, south + y] for x, y in corners]]}


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """100 classes of one feature each, in squares from 179.0 to 180.9 degrees."""
    folder = tmp_path_factory.mktemp("hostile")
    names = [*HOSTILE_CLASSES, *(f"class {number:02d}" for number in range(COUNT - len(HOSTILE_CLASSES)))]
    members = []
    for place, name in enumerate(names):
        west = 179.0 + 0.1 * (place % 20)
        geometry = make_square(west if west < 180 - 1e-6 else west - 360, -17.0 + 0.1 * (place // 20), 0.08)
        identity = f"{'y' * 190}{place}"
        members.append({"type": "Feature", "properties": {"id": identity, "class": name}, "geometry": geometry})
    path: Path = folder / "features.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": members}))
    dataset = Dataset.init(folder / "dataset", scm=False)
    dataset.add_features(path)
    return dataset


@pytest.fixture(scope="session")
def history(sample_history: SampleHistory) -> Dataset:
    """The dataset with every kind of event; read only."""
    return Dataset.open(sample_history.root)
