"""The cost of a report: 100,000 chips, 1,000,000 features and 10,000 events.

`python -m tests.benchmarks.reporting FOLDER [SCALE]` makes the dataset in a folder, and prints CPU seconds, peak memory and
the size of the page. Making it takes ten CPU minutes. The chips have no files, so none is shown.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from geographer import Dataset
from tests.benchmarks import history
from tests.benchmarks.measure import run_geographer, run_in_process

if TYPE_CHECKING:
    import pyarrow as pa

CHIPS, FEATURES, EVENTS = 100_000, 1_000_000, 10_000
CUT: dict[str, Any] = {
    **{"bands": [], "cells": "all", "edge": "shift", "max_nodata": None, "order_by": None, "overlap": 0},
    **{"pad_value": None, "rasters_where": None, "seed": 0, "size": [64, 64, "px"], "source": "source", "where": None},
}
MASK: dict[str, Any] = {
    **{"all_touched": False, "collection": "chips", "ignore": None, "ignore_where": None, "overlap": "class-order"},
    "width": None,
}


def create_dataset(root: Path, scale: float) -> None:
    """Write a log with chips, a square in each and a mask of each, points in many events, a split and a tag."""
    chips, events = round(CHIPS * scale), round(EVENTS * scale)
    Dataset.init(root, classes=history.CLASSES, scm=False)
    history._append_events(
        root, [*_list_chip_events(root, chips), *_iter_points(round(FEATURES * scale) - chips, events)]
    )
    dataset = Dataset.open(root)
    work = dataset._unit_of_work
    head = work.read_head()
    # The files do not exist, so the workspace is said to be up to date.
    work._mark_workspace(head.position, head.digest)
    dataset.split("parts", collection="chips", parts={"train": 0.8, "test": 0.2})
    dataset.tag("v1")


def _list_chip_events(root: Path, count: int) -> list[tuple[Any, dict[str, pa.Table]]]:
    """Return events of a scene, one feature and one chip in each cell of a grid, and a mask of each chip."""
    from geographer.operations.add.events import FeatureIds, FeaturesAdded, RastersAdded
    from geographer.operations.cut.events import ChipsCut
    from geographer.operations.label.events import LabelsMade
    from geographer.storage.events.payload import RecipeRecord

    side = math.isqrt(count - 1) + 1
    numbers = np.arange(count)
    added: dict[str, Any] = {"request": {}, "columns": {}, "skipped": 0}
    ids = FeatureIds("column", "id")
    features = FeaturesAdded(source="", features=count, classes=[], crs=history.CRS, ids=ids, **added)
    cut, mask = RecipeRecord("chips", "cut grid", CUT), RecipeRecord("mask", "label mask", MASK)
    scene = history._make_rasters(np.zeros(1, int), side, "source")
    rows = [history._make_squares(numbers, side), scene, history._make_rasters(numbers, side, "chips")]
    events: list[Any] = [features, RastersAdded(rasters=1, collection="source", **added)]
    events += [ChipsCut(recipe=cut, chips=count, retired=0, unmet={})]
    events += [LabelsMade(recipe=mask, masks=count, retired=0, dtype="uint8")]
    rows.append(history._make_masks(root, numbers))
    return [(event, {name: table}) for event, (name, table) in zip(events, rows, strict=True)]


def _iter_points(count: int, events: int) -> Iterator[tuple[Any, dict[str, pa.Table]]]:
    """Yield events that add points: most of them the first, the others one each."""
    from geographer.operations.add.events import FeatureIds, FeaturesAdded

    ids = FeatureIds("column", "id")
    payload = FeaturesAdded(
        request={}, source="", columns={}, features=0, skipped=0, classes=[], crs="EPSG:4326", ids=ids
    )
    rng = np.random.Generator(np.random.PCG64(16))
    for numbers in (np.arange(count - events), *(np.array([count + number]) for number in range(events))):
        yield payload, {"feature_change": history._make_rows("added", numbers, rng)}


def main() -> None:
    """Make the dataset unless the folder has it, and measure."""
    root, scale = Path(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 1.0
    if not root.exists():
        run_in_process(create_dataset, root, scale)
    page = root.with_suffix(".html")
    cost = run_geographer(root, "report", "v1", "--html", page)
    print(f"report: {cost.cpu:.1f} CPU s, {cost.wall:.1f} s, {cost.peak:.0f} MB, {page.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
