"""Benchmarks 35 and 36: chips from 20 scenes on the workers of a Dask cluster, compared with one worker and with processes."""

from __future__ import annotations

import math
import shutil
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from tests.benchmarks.measure import Cost, Row, compare_values, measure_cost, report_progress, run_in_process

SCENES, SIDE, SIZE, BANDS, ROUNDS = 20, 4096, 128, 3, 2
_PIXEL: Final = 10.0


def compare_workers(folder: Path, scale: float) -> list[Row]:
    """35. 20,000 chips of 128 px from 20 scenes: two workers of a Dask cluster, compared with one worker (wall time)."""
    dataset, count = _create_inputs(folder, scale)
    cut, render = [], []
    for number in range(ROUNDS):
        for workers in (1, 2):
            report_progress(f"{count:,} chips on {workers} Dask workers, round {number + 1} of {ROUNDS}")
            whole, rendering = run_in_process(_measure_cluster, dataset, folder / "copy", workers)
            cut.append((workers, whole.wall))
            render.append((workers, rendering.wall))
    rows = []
    for subject, costs in (("the command", cut), ("making the chips", render)):
        seconds = {workers: min(wall for other, wall in costs if other == workers) for workers in (1, 2)}
        target = 1.5 if costs is render else None
        rates = (f"35 {subject}, {count:,} chips", count / seconds[2], count / seconds[1])
        rows.append(compare_values(*rates, unit="chips/s", other_name="one worker", at_least=target))
    return rows


def compare_executors(folder: Path, scale: float) -> list[Row]:
    """36. The same chips on two Dask workers: CPU seconds of all processes, compared with two local processes."""
    dataset, count = _create_inputs(folder, scale)
    costs: dict[str, list[float]] = {"processes": [], "Dask": [], "Dask without a shared disk": []}
    for number in range(ROUNDS):
        report_progress(f"{count:,} chips with two processes and two Dask workers, round {number + 1} of {ROUNDS}")
        costs["processes"].append(run_in_process(_measure_cut, dataset, folder / "copy", 2).cpu)
        costs["Dask"].append(run_in_process(_measure_cluster, dataset, folder / "copy", 2)[0].cpu)
        store = folder / "store"
        without = run_in_process(_measure_cluster, dataset, folder / "copy", 2, store)[0].cpu
        costs["Dask without a shared disk"].append(without)
        shutil.rmtree(store)
    least = {name: min(values) for name, values in costs.items()}
    compare = partial(compare_values, other=least["processes"], unit="CPU s", other_name="processes")
    shared, through_store = (name for name in costs if name != "processes")
    return [
        compare(f"36 {shared}, {count:,} chips", least[shared], at_most=1.25),
        compare(f"36 {through_store}", least[through_store]),
    ]


def _create_inputs(folder: Path, scale: float) -> tuple[Path, int]:
    """Create a dataset that refers to the scenes; return its folder, and the number of chips of a grid."""
    folder.mkdir(parents=True)
    blocks = max(round(SIDE / SIZE * math.sqrt(scale)), 2)
    report_progress(f"distributing: generating {SCENES} scenes of {blocks * SIZE:,} px")
    run_in_process(_write_inputs, folder, blocks * SIZE)
    return folder / "dataset", SCENES * blocks**2


def _write_inputs(folder: Path, side: int) -> None:
    import rasterio

    from geographer import Dataset

    options: dict[str, Any] = {"driver": "GTiff", "width": side, "height": side, "count": BANDS, "dtype": "uint16"}
    options |= {"crs": "EPSG:32633", "tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "zstd"}
    (folder / "scenes").mkdir()
    for number in range(SCENES):
        noise = np.random.default_rng(number).integers(0, 256, (BANDS, side, side), dtype=np.uint16)
        transform = rasterio.Affine(_PIXEL, 0, 400_000 + number * side * _PIXEL, 0, -_PIXEL, 5_300_000)
        path = folder / "scenes" / f"{number:02}.tif"
        with rasterio.open(path, "w", **options, transform=transform, predictor=2) as scene:
            scene.write(noise + np.arange(side, dtype=np.uint16))
    dataset = Dataset.init(folder / "dataset", scm=False)
    dataset.add_rasters(folder / "scenes", mode="reference")


def _measure_cut(dataset: Path, copy: Path, workers: Any) -> Cost:
    """Measure `cut_grid` from the request to chips in the cache, the log and the workspace."""
    import dvc.repo  # noqa: F401

    from geographer import Dataset

    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(dataset, copy)
    opened = Dataset.open(copy)
    opened.status()
    with measure_cost() as cost:
        opened.cut_grid("chips", size=SIZE, workers=workers)
    return cost


def _measure_cluster(dataset: Path, copy: Path, workers: int, store: Path | None = None) -> tuple[Cost, Cost]:
    """Measure `cut_grid` on a cluster that has started, and only the making of its chips; with a store, through it."""
    from tests.dask.cluster import DaskCluster

    folder = copy.with_name("cluster")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    cluster = DaskCluster(folder)
    try:
        cluster.start(*(f"w{number}" for number in range(workers)))
        _measure_rendering(dataset, copy, cluster.address, is_warm_up=True)
        rendering = _measure_rendering(dataset, copy, cluster.address)
        if store is not None:
            _hide_disk(store)
        whole = _measure_cut(dataset, copy, cluster.address)
    finally:
        cluster.stop()
    return whole, rendering


def _measure_rendering(dataset: Path, copy: Path, address: str, *, is_warm_up: bool = False) -> Cost:
    """Measure the making of the chips alone; to warm up, only one of each scene: workers import what they need."""
    from geographer.base.executors.cluster_settings import ClusterSettings
    from geographer.base.executors.executor import make_executor
    from geographer.base.values import Window
    from geographer.operations.cut.render import ChipTask, cut_chips

    out = copy.with_name("chips")
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    tasks = []
    for scene in sorted((dataset.parent / "scenes").iterdir()):
        blocks = 1 if is_warm_up else _count_blocks(scene)
        for number in range(blocks**2):
            window = Window(number % blocks * SIZE, number // blocks * SIZE, SIZE, SIZE)
            tasks.append(ChipTask(str(scene), window, str(out / f"{scene.stem}-{number}.tif")))
    executor = make_executor(address, settings=ClusterSettings(out))
    with measure_cost() as cost:
        for _ in cut_chips(tasks, workers=executor):
            pass
    shutil.rmtree(out)
    return cost


def _count_blocks(scene: Path) -> int:
    import rasterio

    with rasterio.open(scene) as raster:
        return int(raster.width) // SIZE


def _hide_disk(store: Path) -> None:
    """Let workers find no marker, as if they did not see this disk; files go through a store in a folder."""
    import os

    from geographer.base.executors import client_files, dask_cluster

    vars(dask_cluster)["make_marker"] = lambda _folder: client_files.make_marker(None)
    store.mkdir()
    os.environ["GEOGRAPHER_STORE"] = store.as_uri()
