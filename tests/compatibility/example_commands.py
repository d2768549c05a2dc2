"""The example dataset as `geographer` command lines that record every kind of event, and the inputs they read.

`compare_commits.py` runs them under two versions; `make_dataset.py` makes the archive of a release from them. As a
script, `python example_commands.py RESULTS` runs them in the current folder under the geographer that PYTHONPATH names.
Nothing here imports geographer or another test: those are renamed between the versions that are compared.
"""

from __future__ import annotations

import contextlib
import io
import json
import runpy
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

WEST, NORTH, PIXEL, SIDE = 500_000.0, 5_200_000.0, 10.0, 64
"""The upper left corner of scene a in metres of EPSG:32633, and the size of its pixels and of every scene in pixels."""
CRS = ("--crs", "EPSG:32633")
ONE = ("--workers", "1")


class Command(NamedTuple):
    """One `geographer` command line.

    Attributes:
        arguments: What follows `geographer`.
        exit_code: The expected one.
        printed: Compare stdout too: only for commands that print JSON lines.
    """

    arguments: tuple[str, ...]
    exit_code: int = 0
    printed: bool = False


def _on_ponds(*arguments: str, exit_code: int = 0, printed: bool = False) -> Command:
    return Command(("-C", "ponds", *arguments), exit_code, printed)


def _on_other(*arguments: str) -> Command:
    return Command(("-C", "other", *arguments))


def _read_table(name: str, *arguments: str) -> Command:
    return _on_ponds(name, *arguments, "--json", printed=True)


FIRST_REVISION = (
    Command(("init", "ponds", "--class", "pond", "--class", "quarry", "--background", "land", "--no-scm", "-m", "begin")),
    _on_ponds("add", "classes", "track"),
    _on_ponds("add", "features", "inputs/first.geojson", *CRS, "--on-error", "skip", "-m", "first survey"),
    _on_ponds("add", "rasters", "inputs/scenes", "--idempotency-key", "scenes"),
    _on_ponds("add", "rasters", "ponds/archive/d.tif", "--mode", "reference", "--collection", "archive"),
    _on_ponds("add", "rasters", "inputs/more", "--mode", "link", "--footprint", "valid", "--tag", "MISSION", "--acquired", "TAKEN"),
    _on_ponds("add", "catalogue", "inputs/catalogue.geojson", *CRS, "--acquired", "taken"),
    _on_ponds("cut", "around", "around", "--size", "16", *ONE),
    _on_ponds("cut", "grid", "grid", "--size", "160mx320m", "--bands", "2", "--edge", "pad", "--overlap", "4", *ONE, exit_code=2),
    _on_ponds("cut", "grid", "grid", "--size", "32", "--bands", "2", "--max-nodata", "0.9", *ONE),
    _on_ponds("cut", "boxes", "boxes", "inputs/boxes.geojson", *CRS, "--at-border", "pad", *ONE),
    _on_ponds(
        "cut", "cover", "cover", "--size", "200m", "--where", "@example_plugins:select_ponds",
        "--rasters-where", "raster_id <> 'c'", *ONE,
    ),
    _on_ponds("cut", "own", "corners", "--cutter", "example_plugins:Corners", "--size", "8", "-O", "inset=2", *ONE),
    _on_ponds("label", "mask", "mask", "--collection", "around", "--ignore", "255", "--width", "2px", *ONE),
    _on_ponds("label", "soft", "soft", "--collection", "grid", "--background-band", "--combine", "max", *ONE),
    _on_ponds("label", "instances", "instances", "--collection", "grid", *ONE),
    _on_ponds("label", "multilabel", "multilabel", "--collection", "around", *ONE),
    _on_ponds("label", "boxes", "bounds", "--collection", "cover", "--min-visible", "0.5", "--width", "30m", *ONE),
    _on_ponds(
        "label", "own", "depths", "--collection", "cover", "--maker", "example_plugins:Depths", "--option", "scale=2",
        *ONE,
    ),
    _on_ponds(
        "split", "parts", "--collection", "around", "--parts", "train=0.5,test=0.5", "--by", "object",
        "--stratify", "class", "--seed", "3",
    ),
    _on_ponds("tag", "v1", "-m", "as published"),
)  # fmt: skip
"""The dataset up to its tag v1."""

REFUSED = (
    # The same request with the same idempotency key records nothing; another request is refused.
    _on_ponds("add", "rasters", "inputs/scenes", "--idempotency-key", "scenes"),
    _on_ponds("add", "rasters", "inputs/again", "--idempotency-key", "scenes", exit_code=4),
    _on_ponds("remove", "features", "p1", "--dry-run"),
    _on_ponds("update", *ONE),
    Command(("init", "ponds"), 4),
    _on_ponds("tag", "v1", exit_code=4),
    _on_ponds("add", "features", "inputs/later.geojson", *CRS, exit_code=4),
    _on_ponds("add", "features", "inputs/invalid.geojson", *CRS, exit_code=2),
    _on_ponds("add", "features", "inputs/none.geojson", exit_code=3),
    _on_ponds("add", "features", "inputs/later.geojson", "--on-error", "never", exit_code=2),
    _on_ponds("add", "rasters", "inputs/again", exit_code=4),
    _on_ponds("add", "classes", "quay", "--expect-head", "0000", exit_code=4),
    _on_ponds("remove", "features", "nobody", exit_code=3),
    _on_ponds("cut", "grid", "grid", "--size", "12", *ONE, exit_code=4),
    _on_ponds("cut", "grid", "other", "--size", "512q", exit_code=2),
    _on_ponds("label", "mask", "other", "--collection", "nowhere", *ONE, exit_code=3),
    _on_ponds("show", "v9", exit_code=3),
    _on_ponds("features", "--where", "nosuch = 1", exit_code=3),
    _on_ponds("verify", "--expect", "000000", exit_code=5),
    Command(("-C", "inputs", "status"), 3),
)
"""Requests that record nothing, and the exit codes of their families."""

SECOND_REVISION = (
    # One product of the two is not on the shelf: that is recorded, and makes the exit code 6.
    _on_ponds(
        "download", "shelf", "--source", "example_plugins:Shelf", "--source-option", "folder=inputs/shelf",
        "--start", "2026-05-01", "--end", "2026-08-31", "--where", "feature_id >= 'x'", "--workers", "1", exit_code=6,
    ),
    _on_ponds("add", "features", "inputs/later.geojson", *CRS, "--replace", "-m", "second survey"),
    _on_ponds("add", "rasters", "inputs/again", "--replace"),
    _on_ponds("update", "--no-downloads", "--on-conflict", "exclude", *ONE),
    _on_ponds("remove", "features", "q2"),
    _on_ponds("remove", "rasters", "c", "S2A"),
    _on_ponds("remove", "recipe", "corners"),
    _on_ponds("remove", "recipe", "shelf", "--keep"),
    _on_ponds("classes", "remap", "quarry=pit", "track=", "--prune-rasters"),
    _on_ponds("add", "features", "inputs/soft.geojson", *CRS),
    _on_ponds("classes", "harden", "--threshold", "0.5"),
    _on_ponds("import", "geographer", "inputs/old", "--collection", "old"),
    Command(("init", "other", "--class", "pond", "--class", "lake", "--no-scm")),
    _on_other("add", "features", "inputs/others.geojson", *CRS),
    _on_other("add", "rasters", "inputs/others", "--collection", "scenes"),
    _on_other("cut", "grid", "grid", "--from", "scenes", "--size", "32", *ONE),
    _on_other("label", "mask", "mask", "--collection", "grid", *ONE),
    _on_other("tag", "given"),
    _on_ponds(
        "import", "dataset", "other", "--at", "given", "--prefix", "o-", "--rename", "grid=their-grid",
        "--rename", "mask=their-mask",
    ),
    _on_ponds("update", "--on-conflict", "move", "--afresh", *ONE),
    _on_ponds("tag", "v2"),
)  # fmt: skip
"""The dataset from v1 to its tag v2."""

READ = (
    *(_read_table(name, "--at", tag) for tag in ("v1", "v2") for name in ("features", "rasters", "edges")),
    *(_read_table(name) for name in ("chips", "labels", "objects", "splits")),
    _read_table("classes", "list"),
    _read_table("components", "--collection", "around"),
    _read_table("diff", "v1", "v2"),
    _read_table("history", "p2"),
    _read_table("sql", "SELECT part, count(*) AS rasters FROM splits GROUP BY part ORDER BY part"),
    _on_ponds("checkout", "v1", "--to", "v1"),
    _on_ponds("verify"),
)
"""Questions about the dataset, which change nothing."""


# --- Running -------------------------------------------------------------------------------------------------------


def skip_signature_checks() -> None:
    """Let DuckDB load the spatial extension without a check of its signature, which takes 0.3 CPU seconds a command."""
    import duckdb

    connect: Any = duckdb.connect

    def connect_unchecked(*arguments: Any, config: dict[str, Any] | None = None, **options: Any) -> Any:
        return connect(*arguments, config={**(config or {}), "allow_unsigned_extensions": True}, **options)

    duckdb.connect = connect_unchecked


def run_command(arguments: tuple[str, ...]) -> tuple[int, str, str]:
    """Run `geographer ARGUMENTS` in this process, as `python -m geographer` does: exit code, stdout and stderr."""
    out, errors = io.StringIO(), io.StringIO()
    previous, sys.argv = sys.argv, ["geographer", *arguments]
    exit_code: Any = 0
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
            runpy.run_module("geographer", run_name="__main__")
    except SystemExit as end:
        exit_code = end.code or 0
    except Exception as error:  # compare tracebacks, too
        exit_code = 70
        errors.write(f"{type(error).__name__}: {error}")
    finally:
        sys.argv = previous
    return int(exit_code), out.getvalue(), errors.getvalue()


def run_all(commands: tuple[Command, ...]) -> list[dict[str, Any]]:
    """Run commands in the current folder. Return of each its arguments, exit codes and what it printed."""
    results = []
    for command in commands:
        exit_code, out, errors = run_command(command.arguments)
        results.append(
            {
                "command": " ".join(command.arguments),
                "exit_code": exit_code,
                "expected": command.exit_code,
                "printed": out if command.printed else None,
                "errors": errors,
            }
        )
    return results


def read_content_digests() -> list[str]:
    """Return the content digest at every position of the dataset `ponds`, as the version that runs derives it."""
    import geographer

    head = json.loads(run_command(("-C", "ponds", "log", "-n", "1", "--json"))[1])["position"]
    dataset = geographer.Dataset.open("ponds")
    return [dataset.content_digest(f"@{position}") for position in range(1, head + 1)]


def main(results_path: Path) -> None:
    """Run all commands in the current folder, and write their results."""
    import geographer

    skip_signature_checks()
    results = run_all(FIRST_REVISION + REFUSED + SECOND_REVISION + READ)
    report = {"package": geographer.__file__, "results": results, "content_digests": read_content_digests()}
    results_path.write_text(json.dumps(report))


# --- Inputs --------------------------------------------------------------------------------------------------------


def locate(column: float, row: float) -> list[float]:
    """Return the coordinates in EPSG:32633 of a pixel position in scene a."""
    return [WEST + PIXEL * column, NORTH - PIXEL * row]


def make_point(column: float, row: float) -> dict[str, Any]:
    """Return a point as GeoJSON."""
    return {"type": "Point", "coordinates": locate(column, row)}


def make_line(*positions: tuple[float, float]) -> dict[str, Any]:
    """Return a line as GeoJSON."""
    return {"type": "LineString", "coordinates": [locate(*position) for position in positions]}


def make_polygon(*corners: tuple[float, float]) -> dict[str, Any]:
    """Return a polygon as GeoJSON."""
    return {"type": "Polygon", "coordinates": [[locate(*corner) for corner in (*corners, corners[0])]]}


def make_square(column: float, row: float, side: float, down: float | None = None) -> dict[str, Any]:
    """Return a square, or a rectangle `down` pixels high, as GeoJSON."""
    bottom = row + (side if down is None else down)
    return make_polygon((column, row), (column + side, row), (column + side, bottom), (column, bottom))


Features = dict[str, tuple[dict[str, Any], dict[str, Any]]]
"""Id to properties and geometry."""

FIRST: Features = {
    "p1": ({"class": "pond", "depth": 1.5}, make_point(10.5, 10.5)),
    "p2": ({"class": "pond", "depth": 2.0, "prob_of_class_pond": 0.75}, make_square(12, 11, 4)),
    "p3": ({"class": "pond", "depth": 0.25, "note": 'the "third"'}, make_square(50, 44, 6)),
    "q1": ({"class": "quarry", "depth": 9.0, "prob_of_class_quarry": 0.5}, make_square(38, 40, 14)),
    "q2": ({"class": "quarry", "note": None}, make_point(75.5, 20.5)),
    "t1": ({"class": "track"}, make_line((2.5, 60.5), (30.5, 40.5), (44.5, 58.5))),
    "l1": ({"class": "land"}, make_square(42, 44, 3)),
    "bent": ({"class": "pond"}, make_polygon((30, 30), (34, 34), (34, 30), (30, 34))),
    "x1": ({"class": "pond", "depth": 3.0}, make_square(1_010, 10, 5)),
    "x2": ({"class": "pond", "depth": 3.5}, make_point(1_210.5, 10.5)),
}
LATER: Features = {
    "p2": ({"class": "pond", "depth": 2.5, "prob_of_class_pond": 0.875}, make_square(11, 10, 6)),
    "p3": ({"class": "pond", "depth": 0.25, "note": 'the "third"'}, make_square(50, 44, 6)),
    "p4": ({"class": "pond", "depth": 4.0}, make_square(24, 8, 9)),
    "w1": ({"class": "pond", "depth": 5.0}, make_line((13.5, 13.5), (40.5, 42.5))),
}
SOFT: Features = {
    "s1": (
        {"class": "pond", "prob_of_class_pond": 0.25, "prob_of_class_pit": 0.625, "prob_of_class_land": 0.125},
        make_square(20, 50, 4),
    ),
    "s2": (
        {"class": "pond", "prob_of_class_pond": 0.375, "prob_of_class_pit": 0.375, "prob_of_class_land": 0.25},
        make_point(5.5, 50.5),
    ),
}
OTHERS: Features = {
    "p1": ({"class": "pond", "depth": 7.0}, make_square(2_010, 10, 5)),
    "o1": ({"class": "lake", "colour": "blue"}, make_square(2_030, 30, 8)),
}
INVALID: Features = {"crossed": ({"class": "pond"}, make_polygon((70, 30), (74, 34), (74, 30), (70, 34)))}
BOXES: Features = {"north": ({}, make_square(4, 5, 9)), "south": ({}, make_square(58, 50, 12))}


def write_inputs(folder: Path) -> None:
    """Write all files that the commands read: into `inputs`, and a raster into `ponds/archive`, which is referred to."""
    inputs = folder / "inputs"
    inputs.mkdir(parents=True)
    for name in ("first", "later", "soft", "others", "invalid", "boxes"):
        write_features(inputs / f"{name}.geojson", globals()[name.upper()])
    catalogue = {"S2A": ({"cloud": 7, "taken": "2026-06-01T10:00:00"}, make_square(0, 0, 100))}
    write_features(inputs / "catalogue.geojson", catalogue)
    write_scene(inputs / "scenes" / "a.tif", seed=1)
    write_scene(inputs / "scenes" / "b.tif", column=48, seed=2)
    tags = {"MISSION": "example", "TAKEN": "2026-06-02T11:30:00"}
    write_scene(inputs / "more" / "c.tif", column=30, row=30, seed=3, empty_columns=20, tags=tags)
    write_scene(inputs / "again" / "b.tif", column=48, seed=5)
    write_scene(inputs / "others" / "o.tif", column=2_000, seed=6)
    write_scene(folder / "ponds" / "archive" / "d.tif", column=40, row=40, seed=4)
    write_shelf(inputs / "shelf")
    write_old_directory(inputs / "old")


def write_features(path: Path, features: Features) -> None:
    """Write GeoJSON whose coordinates are metres of EPSG:32633."""
    members = [
        {"type": "Feature", "properties": {"id": name, **properties}, "geometry": geometry}
        for name, (properties, geometry) in features.items()
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": members}))


def write_scene(
    path: Path,
    *,
    seed: int,
    column: int = 0,
    row: int = 0,
    empty_columns: int = 0,
    tags: dict[str, str] | None = None,
) -> None:
    """Write a GeoTIFF of 2 bands and 64 by 64 pixels that begins at a pixel of scene a; 0 is nodata.

    Args:
        path: Of the file.
        seed: Of the pixels' values.
        column: Where it begins, in pixels of scene a.
        row: Where it begins, in pixels of scene a.
        empty_columns: How many of the last columns are nodata.
        tags: GDAL tags.
    """
    import rasterio

    values = np.random.Generator(np.random.PCG64(seed)).integers(1, 9, (2, SIDE, SIDE)).astype("uint8")
    if empty_columns:
        values[:, :, -empty_columns:] = 0
    path.parent.mkdir(parents=True, exist_ok=True)
    west, north = locate(column, row)
    layout = {"tiled": True, "blockxsize": 16, "blockysize": 16, "compress": "deflate"}
    with rasterio.open(
        path, "w", driver="GTiff", count=2, width=SIDE, height=SIDE, dtype="uint8", nodata=0, crs="EPSG:32633",
        transform=rasterio.Affine(PIXEL, 0, west, 0, -PIXEL, north), **layout,
    ) as raster:  # fmt: skip
        raster.write(values)
        raster.update_tags(**(tags or {}))


def write_shelf(folder: Path) -> None:
    """Write the archive of the plugin `Shelf`: three products, one of which has no file."""
    import shapely
    from pyproj import Transformer

    to_degrees = Transformer.from_crs("EPSG:32633", "EPSG:4326", always_xy=True)
    entries = []
    for number, (name, column, cloud) in enumerate((("one", 1_000, 5.0), ("worse", 1_000, 80.0), ("two", 1_200, 10.0))):
        path = folder / f"{name}.tif"
        write_scene(path, seed=10 + number, column=column)
        outline = shapely.box(*locate(column, SIDE), *locate(column + SIDE, 0))
        footprint = shapely.transform(outline, lambda xy: np.column_stack(to_degrees.transform(xy[:, 0], xy[:, 1])))
        entries.append(
            {
                "id": name,
                "outline": outline.wkt,
                "footprint": footprint.wkt,
                "acquired": f"2026-06-0{number + 1}T10:00:00",
                "cloud_cover": cloud,
                "size": path.stat().st_size,
                "properties": {"platform": "example", "relative_orbit": 12, "processing_level": "L2A"},
            }
        )
    (folder / "two.tif").unlink()
    (folder / "index.json").write_text(json.dumps(entries))


def write_old_directory(folder: Path) -> None:
    """Write a data directory of GeoGrapher 1.0: two vectors, a raster with and one without a file, one wrong edge."""
    connector = folder / "connector"
    connector.mkdir(parents=True)
    attributes = {
        "task_vector_classes": ["pond", "canal"],
        "background_class": None,
        "crs_epsg_code": 4326,
        "raster_count_col_name": "raster_count",
    }
    (connector / "attrs.json").write_text(json.dumps(attributes))
    box = {"type": "Polygon", "coordinates": [[[15.0, 46.9], [15.1, 46.9], [15.1, 47.0], [15.0, 47.0], [15.0, 46.9]]]}
    vectors = {
        "v1": ({"type": "canal", "raster_count": 1}, {"type": "Point", "coordinates": [15.05, 46.95]}),
        "v2": ({"type": "pond", "raster_count": 0}, {"type": "Point", "coordinates": [15.2, 46.95]}),
    }
    write_scene(folder / "rasters" / "with-file.tif", seed=20, column=3_000)
    rasters: dict[str, tuple[dict[str, Any], Any]] = {
        "without-file.tif": ({}, box),
        "with-file.tif": ({}, _bounds_in_degrees(folder / "rasters" / "with-file.tif")),
    }
    for name, index, objects in (("vectors", "vector_name", vectors), ("rasters", "raster_name", rasters)):
        members = [
            {"type": "Feature", "properties": {index: key, **properties}, "geometry": geometry}
            for key, (properties, geometry) in objects.items()
        ]
        crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:OGC:1.3:CRS84"}}
        collection = {"type": "FeatureCollection", "name": name, "crs": crs, "features": members}
        (connector / f"{name}.geojson").write_text(json.dumps(collection))
    graph = {
        "vectors": {"v1": {"without-file.tif": "contains"}, "v2": {"without-file.tif": "intersects"}},
        "rasters": {"without-file.tif": {"v1": "contains", "v2": "intersects"}, "with-file.tif": {}},
    }
    (connector / "graph.json").write_text(json.dumps(graph))


def _bounds_in_degrees(path: Path) -> dict[str, Any]:
    import rasterio
    from rasterio.warp import transform_geom
    from shapely.geometry import box, mapping

    with rasterio.open(path) as raster:
        return dict(transform_geom(raster.crs, "EPSG:4326", mapping(box(*raster.bounds))))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
