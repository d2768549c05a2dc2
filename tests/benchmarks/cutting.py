"""4: a thousand chips from one scene, beside bare loops of rasterio reads and writes."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tests.benchmarks.measure import Cost, Row, apart, compared, geographer, spent, told

SIDE, CHIPS, SIZE, BANDS, BLOCK, ROUNDS = 10_980, 1_000, 256, 4, 512, 3
_WEST, _NORTH, _PIXEL = 399_960.0, 5_300_040.0, 10.0
_CRS = "EPSG:32633"
# What geographer writes chips with (rasters/write.py), so that the loops do the same work.
_OPTIONS = {
    "driver": "GTiff",
    "width": SIZE,
    "height": SIZE,
    "count": BANDS,
    "dtype": "uint16",
    "interleave": "pixel",
    "compress": "zstd",
    "zstd_level": 1,
    "predictor": 2,
    "tiled": False,
    "blockysize": 64,
}


class Chip(NamedTuple):
    """Where a chip lies in the scene, in pixels."""

    col: int
    row: int


def chips(folder: Path, scale: float) -> list[Row]:
    """4. 1,000 chips of 256² from one 10980² COG, beside a sorted loop, and one that opens the file for each chip."""
    told("cutting: generating a scene")
    folder.mkdir()
    scene = folder / "scene.tif"
    apart(_generate, folder, scene, scale)
    geographer(folder, "init", folder / "dataset", "--no-scm")
    geographer(folder / "dataset", "add", "features", folder / "features.parquet")
    geographer(folder / "dataset", "add", "rasters", scene, "--mode", "reference")
    wanted = apart(_wanted, folder / "dataset")
    rounds: dict[str, list[Cost]] = {}
    for number in range(ROUNDS):
        told(f"cutting {len(wanted):,} chips, round {number + 1} of {ROUNDS}")
        for name, work, *arguments in (
            ("loop", _loop, scene, wanted, folder / "out"),
            ("cut", _cut, scene, wanted, folder / "out"),
            ("command", _command, folder / "dataset", folder / "copy", 1),
            ("two", _command, folder / "dataset", folder / "copy", 2),
        ):
            rounds.setdefault(name, []).append(apart(work, *arguments))
    told("cutting with a loop that opens the scene for each chip")
    rounds["naive"] = [apart(_naive_loop, scene, wanted, folder / "out")]
    return _rows(rounds, len(wanted))


def _rows(rounds: dict[str, list[Cost]], count: int) -> list[Row]:
    """Chips a second, from the fastest round of each."""
    cpu = {name: count / min(cost.cpu for cost in costs) for name, costs in rounds.items()}
    wall = {name: count / min(cost.wall for cost in costs) for name, costs in rounds.items()}
    what, loop, naive = f"{count:,} chips, cut_around_features", "sorted loop", "opens for each chip"
    by_wall, by_cpu = "chips/s", "chips/CPU s"
    alone = "cutting alone (rasters.cut)"
    return [
        compared(f"{what}, 1 worker", wall["command"], wall["loop"], unit=by_wall, than=loop, at_least=0.9),
        compared(f"{what}, 1 worker", cpu["command"], cpu["loop"], unit=by_cpu, than=loop),
        compared(f"{alone}, 1 worker", wall["cut"], wall["loop"], unit=by_wall, than=loop),
        compared(f"{alone}, 1 worker", cpu["cut"], cpu["loop"], unit=by_cpu, than=loop),
        compared(f"{what}, 2 workers", wall["two"], wall["loop"], unit=by_wall, than=loop, at_least=1.8),
        compared(f"{what}, 2 workers", cpu["two"], cpu["loop"], unit=by_cpu, than=loop),
        compared(f"{what}, 2 workers", wall["two"], wall["command"], unit=by_wall, than="1 worker"),
        compared(f"{what}, 1 worker", cpu["command"], cpu["naive"], unit=by_cpu, than=naive, at_least=2),
    ]


def _generate(folder: Path, scene: Path, scale: float) -> None:
    """A scene with coarse and fine structure and noise, and points so far apart that each needs a chip of its own."""
    import geopandas
    import rasterio
    import rasterio.shutil

    rng = np.random.Generator(np.random.PCG64(4))
    side = max(round(SIDE * math.sqrt(scale)), 4 * SIZE)
    grid = rasterio.Affine(_PIXEL, 0, _WEST, 0, -_PIXEL, _NORTH)
    raw = folder / "raw.tif"
    profile = {"driver": "GTiff", "width": side, "height": side, "count": BANDS, "dtype": "uint16"}
    tiles = {"tiled": True, "blockxsize": BLOCK, "blockysize": BLOCK}
    with rasterio.open(raw, "w", crs=_CRS, transform=grid, **profile, **tiles) as raster:
        for band in range(1, BANDS + 1):
            raster.write(structure(rng, side), band)
    options = {"compress": "DEFLATE", "predictor": "YES", "blocksize": BLOCK, "overviews": "NONE"}
    rasterio.shutil.copy(raw, scene, driver="COG", **options)
    raw.unlink()
    per_side = math.ceil(math.sqrt(CHIPS * scale))
    cell = side / per_side
    columns, rows = (axis.ravel() for axis in np.meshgrid(np.arange(per_side), np.arange(per_side)))
    jitter = rng.uniform(-0.2, 0.2, (2, per_side**2)) * cell
    order = rng.permutation(per_side**2)[: round(CHIPS * scale)]
    xs, ys = grid @ ((columns + 0.5) * cell + jitter[0], (rows + 0.5) * cell + jitter[1])
    points = geopandas.points_from_xy(xs[order], ys[order])
    features = geopandas.GeoDataFrame({"feature_id": np.arange(len(order))}, geometry=points, crs=_CRS)
    features.to_parquet(folder / "features.parquet")


def structure(rng: np.random.Generator, side: int) -> np.ndarray:
    from scipy.ndimage import zoom

    def smooth(step: int) -> np.ndarray:
        nodes = rng.normal(size=(side // step + 2,) * 2).astype("float32")
        return zoom(nodes, step, order=1)[:side, :side]

    values = 2500 + 400 * smooth(90) + 250 * smooth(6)
    values += 70 * rng.standard_normal((side, side), dtype="float32")
    return values.clip(1, 20_000).astype("uint16")


def _wanted(dataset: Path) -> list[Chip]:
    """Where our chips lie, in the order of the features."""
    from geographer import Dataset

    copy = dataset.with_name("wanted")
    shutil.copytree(dataset, copy)
    cut = Dataset.open(copy)
    cut.cut_around_features("chips", size=SIZE)
    windows = cut.chips().arrow.select(["col", "row"]).to_pylist()
    shutil.rmtree(copy)
    return [Chip(**window) for window in windows]


def _command(dataset: Path, copy: Path, workers: int) -> Cost:
    """All of `cut_around_features`, from the request to chips in the cache, in the log and in the workspace."""
    import dvc.repo  # noqa: F401

    from geographer import Dataset

    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(dataset, copy)
    opened = Dataset.open(copy)
    opened.status()
    with spent() as cost:
        opened.cut_around_features("chips", size=SIZE, workers=workers)
    return cost


def _cut(scene: Path, wanted: list[Chip], out: Path) -> Cost:
    """Only the cutting of ours: reading, writing, and the digests."""
    from geographer.base.values import Window
    from geographer.operations.cut.render import ChipOrder, cut

    _emptied(out)
    orders = [
        ChipOrder(str(scene), Window(*chip, SIZE, SIZE), str(out / f"{number}.tif"))
        for number, chip in enumerate(wanted)
    ]
    with spent() as cost:
        for _ in cut(orders):
            pass
    return cost


def _loop(scene: Path, wanted: list[Chip], out: Path) -> Cost:
    """The bare loop: the scene opened once, chips in the order of its blocks."""
    import rasterio
    from rasterio.windows import Window

    _emptied(out)
    with spent() as cost, rasterio.open(scene) as source:
        crs = source.crs
        order = sorted(wanted, key=lambda chip: (chip.row // BLOCK, chip.col // BLOCK, chip.row, chip.col))
        for number, chip in enumerate(order):
            window = Window(*chip, SIZE, SIZE)
            place = {"crs": crs, "transform": source.window_transform(window)}
            with rasterio.open(out / f"{number}.tif", "w", **_OPTIONS, **place) as target:
                target.write(source.read(window=window))
    return cost


def _naive_loop(scene: Path, wanted: list[Chip], out: Path) -> Cost:
    """The loop that people write first: the scene opened for each chip, in the order of the features."""
    import rasterio
    from rasterio.windows import Window

    _emptied(out)
    with spent() as cost:
        for number, chip in enumerate(wanted):
            window = Window(*chip, SIZE, SIZE)
            with rasterio.open(scene) as source:
                place = {"crs": source.crs, "transform": source.window_transform(window)}
                with rasterio.open(out / f"{number}.tif", "w", **_OPTIONS, **place) as target:
                    target.write(source.read(window=window))
    return cost


def _emptied(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
