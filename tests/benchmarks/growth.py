"""Benchmark 37: how costs grow with features, rasters, events and chips over three decades, beside a peer's.

`python -m tests.benchmarks.growth FOLDER [SCALE]` measures all curves in a folder for temporary files, draws them as
docs/images/growth.png, and prints the tables of docs/scale.md.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tests.benchmarks import cutting, edges, long_log_writer
from tests.benchmarks.growth_report import Curve, draw_curves, format_curves, format_needs
from tests.benchmarks.measure import (
    Cost,
    Row,
    measure_cost,
    report_progress,
    run_geographer,
    run_in_process,
    run_python,
)

FEATURES = (1_000, 10_000, 100_000, 1_000_000)
RASTERS = (10, 100, 1_000, 10_000)
EVENTS = (100, 1_000, 10_000, 100_000)
CHIPS = (10, 100, 1_000, 10_000)
ROUNDS, FIXED_FEATURES, FIXED_RASTERS, CHIP_SIZE, SCENE_SIDE = 1, 100_000, 1_000, 64, 10_240
IMAGE = Path(__file__).parents[2] / "docs" / "images" / "growth.png"
_SIDE_M = 17_000.0
_ZONE = "EPSG:32632"
_OPTIONS = {**cutting._OPTIONS, "width": CHIP_SIZE, "height": CHIP_SIZE, "count": 1}


class Chip(NamedTuple):
    """The position of a chip's first pixel in the scene."""

    col: int
    row: int


def measure_growth(folder: Path, scale: float) -> list[Row]:
    """37. Growth with features, rasters, events and chips over three decades, beside a peer's."""
    return [
        Row(
            f"{curve.subject}: exponent over the last decade",
            f"{curve.find_exponent(curve.ours):.2f}",
            f"{curve.find_exponent(curve.peer):.2f} ({curve.peer_name})",
        )
        for curve in measure_curves(folder, scale)
    ]


def measure_curves(folder: Path, scale: float) -> list[Curve]:
    """Measure all curves; `scale` multiplies the sizes."""
    folder.mkdir(parents=True, exist_ok=True)

    def scale_sizes(sizes: Sequence[int]) -> list[int]:
        return [max(round(size * scale), 1) for size in sizes]

    return [
        _measure_joins(folder, "features", [(size, FIXED_RASTERS) for size in scale_sizes(FEATURES)]),
        _measure_joins(folder, "rasters", [(FIXED_FEATURES, size) for size in scale_sizes(RASTERS)]),
        _measure_events(folder, scale_sizes(EVENTS)),
        _measure_chips(folder, scale_sizes(CHIPS)),
    ]


def _measure_best(measure: Callable[..., Cost], *arguments: object) -> Cost:
    """Return the cost with the fewest CPU seconds of several rounds, each in a new process."""
    return min((run_in_process(measure, *arguments) for _ in range(ROUNDS)), key=lambda cost: cost.cpu)


def _measure_joins(folder: Path, subject: str, sizes: Sequence[tuple[int, int]]) -> Curve:
    """Derive the state of a log with these numbers of features and footprints; the peer joins them to a sorted file."""
    ours, peer, disk = [], [], []
    for features, rasters in sizes:
        report_progress(f"growth: {features:,} features, {rasters:,} rasters")
        inputs, root = folder / "input", folder / "dataset"
        inputs.mkdir()
        run_in_process(_write_polygons, inputs, features, rasters)
        run_geographer(folder, "init", root, "--no-scm")
        run_geographer(root, "add", "features", inputs / "features.parquet")
        run_geographer(root, "add", "catalogue", inputs / "rasters.parquet")
        ours.append(_measure_best(_measure_state, root))
        peer.append(_measure_best(_join_with_sedonadb, inputs))
        disk.append(sum(path.stat().st_size for path in (root / ".geographer").glob("*.duckdb")))
        shutil.rmtree(inputs)
        shutil.rmtree(root)
    places = [size[0 if subject == "features" else 1] for size in sizes]
    return Curve(subject, "derive the state from the log", places, ours, "sedonadb, sorted pairs", peer, disk)


def _measure_state(root: Path) -> Cost:
    """Measure a rebuild of the state; the import of `Dataset` registers all kinds of events."""
    from geographer import Dataset

    Dataset.open(root)
    return edges.measure_rebuild(root).total


def _write_polygons(folder: Path, features: int, rasters: int) -> None:
    """Write small polygons of eight corners, and square scenes over them, all over the same area."""
    import geopandas
    import pyproj
    import shapely

    rng = np.random.Generator(np.random.PCG64(37))
    centres = np.array([9.0, 47.5]) + rng.uniform([-3.0, -2.5], [3.0, 2.5], (features, 2))
    radii = (0.0005 + 0.02 * rng.uniform(size=(features, 1)) ** 6) * rng.uniform(0.6, 1.0, (features, 8))
    angles = np.linspace(0, 2 * np.pi, 8, endpoint=False)
    ring = centres[:, None] + radii[..., None] * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    polygons = shapely.polygons(np.concatenate([ring, ring[:, :1]], axis=1))
    columns = {"feature_id": np.arange(features), "class": "field"}
    geopandas.GeoDataFrame(columns, geometry=polygons, crs="EPSG:4326").to_parquet(folder / "features.parquet")
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]) * _SIDE_M
    offsets = rng.uniform(-1, 1, (rasters, 2)) * [240_000, 270_000]
    metres = (np.array([500_000.0, 5_260_000.0]) + offsets)[:, None] + corners
    to_degrees = pyproj.Transformer.from_crs(_ZONE, "EPSG:4326", always_xy=True).transform
    degrees = np.stack(to_degrees(metres[..., 0], metres[..., 1]), axis=-1)
    frame = geopandas.GeoDataFrame(
        {"raster_id": np.arange(rasters)}, geometry=shapely.polygons(degrees), crs="EPSG:4326"
    )
    frame.to_parquet(folder / "rasters.parquet")


def _join_with_sedonadb(inputs: Path) -> Cost:
    """Measure a join from the files to a Parquet file of sorted pairs."""
    import sedonadb

    with measure_cost() as cost:
        sedona = sedonadb.connect()
        for view in ("features", "rasters"):
            sedona.read_parquet(inputs / f"{view}.parquet").to_view(view)
        pairs = sedona.sql(
            "SELECT feature_id, raster_id, ST_Contains(rasters.geometry, features.geometry) AS contains "
            "FROM features JOIN rasters ON ST_Intersects(rasters.geometry, features.geometry) "
            "ORDER BY feature_id, raster_id"
        )
        pairs.to_parquet(inputs / "pairs.parquet")
    return cost


def _measure_events(folder: Path, sizes: Sequence[int]) -> Curve:
    """Append one more event to a log; the peer commits one more change to a Git repository."""
    ours, peer, disk = [], [], []
    for events in sizes:
        report_progress(f"growth: {events:,} events")
        root, repository = folder / "log", folder / "repository"
        run_in_process(_write_log, root, events)
        ours.append(min((_append_event(root, number) for number in range(ROUNDS)), key=lambda cost: cost.cpu))
        _write_commits(repository, events)
        peer.append(min((_commit_change(repository, number) for number in range(ROUNDS)), key=lambda cost: cost.cpu))
        disk.append(sum(path.stat().st_size for path in (root / ".geographer").glob("*.duckdb")))
        shutil.rmtree(root)
        shutil.rmtree(repository)
    return Curve("events", "append one more event (a command)", sizes, ours, "git add and commit", peer, disk)


def _write_log(root: Path, events: int) -> None:
    long_log_writer.write_long_log(root, events)


def _append_event(root: Path, number: int) -> Cost:
    return run_geographer(root, "add", "classes", f"growth{number}")


def _write_commits(repository: Path, count: int) -> None:
    """Write a Git repository of `count` commits, each of which changes one of 100 small files."""
    import subprocess

    author = "committer A <a@example.org> 0 +0000"
    stream = "".join(
        f"commit refs/heads/main\n{author}\ndata 1\nm\nM 100644 inline {number % 100}\ndata <<EOF\n{number}\nEOF\n\n"
        for number in range(count)
    )
    subprocess.run(["git", "init", "-q", "-b", "main", repository], check=True)
    subprocess.run(["git", "fast-import", "--quiet"], input=stream, text=True, cwd=repository, check=True)
    subprocess.run(["git", "reset", "-q", "--hard"], cwd=repository, check=True)


def _commit_change(repository: Path, number: int) -> Cost:
    script = (
        "import pathlib, subprocess\n"
        f"pathlib.Path({str(repository / '0')!r}).write_text('change {number}')\n"
        f"for words in (['add', '0'], ['-c', 'user.name=A', '-c', 'user.email=a@example.org', 'commit', '-qm', 'm']):\n"
        f"    subprocess.run(['git', '-C', {str(repository)!r}, *words], check=True)\n"
    )
    return run_python("-c", script)


def _measure_chips(folder: Path, sizes: Sequence[int]) -> Curve:
    """Cut chips around points from one scene; the peer is a sorted loop of rasterio reads and writes."""
    ours, peer, disk = [], [], []
    for chips in sizes:
        report_progress(f"growth: {chips:,} chips")
        place = folder / "chips"
        place.mkdir()
        positions = run_in_process(_write_scene, place, chips)
        run_geographer(place, "init", place / "dataset", "--no-scm")
        run_geographer(place / "dataset", "add", "features", place / "points.parquet")
        run_geographer(place / "dataset", "add", "rasters", place / "scene.tif", "--mode", "reference")
        ours.append(_measure_best(_measure_cut, place))
        peer.append(_measure_best(_measure_loop, place, positions))
        disk.append(sum(path.stat().st_size for path in (place / "copy").rglob("*.tif")))
        shutil.rmtree(place)
    return Curve("chips", "cut chips of 64 px", sizes, ours, "sorted rasterio loop", peer, disk)


def _write_scene(place: Path, count: int) -> list[Chip]:
    """Write a scene, and a point in the middle of each of `count` cells of a grid; return the cells' first pixels."""
    import geopandas
    import rasterio

    per_side = SCENE_SIDE // CHIP_SIZE
    cells = np.sort(np.random.Generator(np.random.PCG64(5)).permutation(per_side**2)[:count])
    chips = [Chip(int(cell % per_side) * CHIP_SIZE, int(cell // per_side) * CHIP_SIZE) for cell in cells]
    transform = rasterio.Affine(10.0, 0, 399_960.0, 0, -10.0, 5_300_040.0)
    profile = {"driver": "GTiff", "width": SCENE_SIDE, "height": SCENE_SIDE, "count": 1, "dtype": "uint16"}
    tiles = {"tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate", "predictor": 2}
    band = cutting.make_textured_band(np.random.Generator(np.random.PCG64(4)), SCENE_SIDE)
    with rasterio.open(place / "scene.tif", "w", crs="EPSG:32633", transform=transform, **profile, **tiles) as scene:
        scene.write(band, 1)
    half = CHIP_SIZE / 2
    points = [transform @ (chip.col + half, chip.row + half) for chip in chips]
    geometry = geopandas.points_from_xy(*np.array(points).T)
    frame = geopandas.GeoDataFrame({"feature_id": np.arange(count)}, geometry=geometry, crs="EPSG:32633")
    frame.to_parquet(place / "points.parquet")
    return chips


def _measure_cut(place: Path) -> Cost:
    from geographer import Dataset

    shutil.rmtree(place / "copy", ignore_errors=True)
    shutil.copytree(place / "dataset", place / "copy")
    dataset = Dataset.open(place / "copy")
    dataset.status()
    with measure_cost() as cost:
        dataset.cut_around_features("chips", size=CHIP_SIZE, workers=1)
    return cost


def _measure_loop(place: Path, chips: Sequence[Chip]) -> Cost:
    import rasterio
    from rasterio.windows import Window

    out = place / "out"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    with measure_cost() as cost, rasterio.open(place / "scene.tif") as source:
        for number, chip in enumerate(sorted(chips, key=lambda chip: (chip.row // 512, chip.col // 512, chip.row))):
            window = Window(*chip, CHIP_SIZE, CHIP_SIZE)
            georeference = {"crs": source.crs, "transform": source.window_transform(window)}
            with rasterio.open(out / f"{number}.tif", "w", **_OPTIONS, **georeference) as target:
                target.write(source.read(window=window))
    return cost


def main() -> None:
    """Measure all curves, draw them and print the tables of the documentation."""
    curves = measure_curves(Path(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 1.0)
    draw_curves(curves, IMAGE)
    print(format_curves(curves), format_needs(curves), sep="\n\n")


if __name__ == "__main__":
    main()
