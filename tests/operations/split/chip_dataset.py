"""Six chips of a scene without common features or pixels, and helpers that read their parts."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

from geographer import Dataset
from tests.sample_history import point_geometry, square_geometry, write_features

SIZE = 8
PONDS = {f"p{number}": (6.5 + 20 * number, 30.5) for number in range(6)}
"""Six points 20 pixels apart: their chips of 8 pixels are 12 pixels (120 m) from each other."""
HALVES = {"train": 0.5, "test": 0.5}

Point = tuple[float, float]


def add_points(dataset: Dataset, inputs: Path, points: dict[str, Point], class_name: str = "pond") -> None:
    inputs.mkdir(exist_ok=True)
    path = inputs / f"{len(dataset.log())}.geojson"
    write_features(path, {name: (class_name, point_geometry(*position)) for name, position in points.items()})
    dataset.add_features(path, crs="EPSG:32633")


def add_marsh(dataset: Dataset, inputs: Path, name: str, column: float, side: float) -> None:
    """Add a square that begins in the chip at `column` and reaches `side` pixels east."""
    inputs.mkdir(exist_ok=True)
    path = write_features(inputs / f"{name}.geojson", {name: ("marsh", square_geometry(column, 30, side))})
    dataset.add_features(path, crs="EPSG:32633")


def map_parts(dataset: Dataset, split: str = "parts") -> dict[str, str | None]:
    rows = dataset.splits(where=f"split = '{split}'").to_pylist()
    return {row["raster_id"].removeprefix("chips/a_"): row["part"] for row in rows}


def group_by_part(parts: dict[str, str | None]) -> set[frozenset[str]]:
    """The sets of rasters in the same part."""
    return {frozenset(name for name in parts if parts[name] == part) for part in set(parts.values())}


def find_leaks(dataset: Dataset) -> list[tuple[str, str]]:
    """Pairs of chips of different parts that share a feature or a pixel."""
    part = {row["raster_id"]: row["part"] for row in dataset.splits().to_pylist() if row["part"]}
    features_of: dict[str, set[str]] = {name: set() for name in part}
    for edge in dataset.edges().to_pylist():
        if edge["raster_id"] in part:
            features_of[edge["raster_id"]].add(edge["feature_id"])
    box = {chip["raster_id"]: (chip["col"], chip["row"]) for chip in dataset.chips().to_pylist()}

    def overlap(a: str, b: str) -> bool:
        return all(abs(start - other_start) < SIZE for start, other_start in zip(box[a], box[b], strict=True))

    return [
        (a, b)
        for a, b in combinations(sorted(part), 2)
        if part[a] != part[b] and (features_of[a] & features_of[b] or overlap(a, b))
    ]
