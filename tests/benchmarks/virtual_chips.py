"""Benchmark 34: a training epoch of virtual chips beside one of files, and what is read of a remote scene for 100 chips."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from tests.benchmarks.measure import Row, compare_values, report_progress, run_in_process
from tests.benchmarks.training import SIDE, SIZE, create_chips, measure_rate, read_each
from tests.range_server import serve_ranges

ROUNDS, CHIPS = 5, 100


def compare_virtual_chips(folder: Path, scale: float) -> list[Row]:
    """34. Epochs of 1,024 virtual chips with masks beside files; bytes read of a remote COG for 100 chips."""
    side = max(round(SIDE * scale**0.5 / SIZE), 4) * SIZE
    report_progress("virtual chips: cutting and labelling")
    run_in_process(create_chips, folder, side)
    sizes = run_in_process(add_virtual_chips, folder)
    rates: dict[str, tuple[float, float]] = {}
    for _ in range(ROUNDS):
        for name, found in run_in_process(measure_epochs, folder / "dataset").items():
            best = rates.get(name, (0.0, 0.0))
            rates[name] = max(found[0], best[0]), max(found[1], best[1])
    count = (side // SIZE) ** 2
    rows = [
        compare_values(
            f"{count:,} virtual chips with masks, {unit}",
            rates["windows"][number],
            rates["chips"][number],
            unit=unit,
            other_name="files",
            at_least=1.0 if number else None,
        )
        for number, unit in enumerate(("chips/s", "chips/CPU s"))
    ]
    rows.append(compare_values("disk of virtual chips", sizes[0], sizes[1], unit="MB", other_name="files", at_most=0.1))
    report_progress("virtual chips: reading a remote scene")
    sent, size, requests = run_in_process(read_remote_chips, folder)
    chips = f"{CHIPS} chips of a remote scene"
    rows.append(
        compare_values(f"{chips}, bytes", sent / 1e6, size / 1e6, unit="MB", other_name="its file", at_most=0.25)
    )
    rows.append(compare_values(f"{chips}, requests", requests, CHIPS, unit="requests", other_name="chips", at_most=2))
    return rows


def add_virtual_chips(folder: Path) -> tuple[float, float]:
    """Cut the same chips as windows, with masks; return the MB that windows took on disk, and those of the files."""
    from geographer import Dataset

    dataset = Dataset.open(folder / "dataset")
    before = count_bytes(folder / "dataset")
    dataset.cut_grid("windows", size=SIZE, virtual=True)
    grown = count_bytes(folder / "dataset") - before
    dataset.label_masks("windows-mask", collection="windows")
    return grown / 1e6, count_bytes(folder / "dataset/rasters/chips") / 1e6


def count_bytes(folder: Path) -> int:
    """Return the bytes of all files of a folder."""
    return sum((Path(parent) / name).lstat().st_size for parent, _, names in os.walk(folder) for name in names)


def measure_epochs(root: Path) -> dict[str, tuple[float, float]]:
    """Return chips per wall second and per CPU second of an epoch of files, each opened when it is read, and of windows."""
    import torch

    from geographer.torch import ChipDataset

    torch.set_num_threads(1)
    rates = {}
    for name, label in (("chips", "mask"), ("windows", "windows-mask")):
        chips = ChipDataset(root, collection=name, labels=label, max_open_files=1)
        rates[name] = measure_rate(partial(read_each, chips), len(chips))
    return rates


def read_remote_chips(folder: Path) -> tuple[int, int, int]:
    """Read 100 virtual chips of a scene at a URL; return the bytes that were sent, the file's, and the requests."""
    import rasterio
    from rasterio.shutil import copy

    from geographer import Dataset

    with rasterio.open(folder / "scene.tif") as scene:
        copy(scene, folder / "cog.tif", driver="COG", compress="deflate", blocksize=256, overviews="none")
    dataset = Dataset.init(folder / "remote", scm=False)
    dataset.add_features(folder / "features.geojson", crs="EPSG:32633")
    with serve_ranges() as server:
        server.files["/cog.tif"] = (folder / "cog.tif").read_bytes()
        dataset.add_rasters(f"{server.url}/cog.tif", mode="reference")
        dataset.cut_around_features("windows", size=64, virtual=True)
        ids = [row["raster_id"] for row in dataset.chips().to_pylist()][:CHIPS]
        for raster_id in ids:
            with dataset.open_raster(raster_id) as chip:
                chip.read()
        scale = CHIPS / len(ids)
        return round(server.count_bytes() * scale), len(server.files["/cog.tif"]), round(len(server.sent) * scale)
