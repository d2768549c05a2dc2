"""Benchmark 24: statistics of a thousand chips with masks, compared with loops that only read the files.

Run `python -m tests.benchmarks --only 24`; `--scale 0.1` takes 100 chips.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from tests.benchmarks.cutting import CHIPS, ROUNDS, SIZE, _write_inputs
from tests.benchmarks.measure import (
    Cost,
    Row,
    check_limit,
    compare_values,
    measure_cost,
    report_progress,
    run_geographer,
    run_in_process,
)

_FEW: Final = 10
_CACHE: Final = Path(".geographer", "statistics")


def compare_statistics(folder: Path, scale: float) -> list[Row]:
    """24. Statistics of 1,000 chips of 256 px and their masks, compared with loops that read the same files.

    In the first round, all files are compared with their checksums; later ones know that they are right.
    """
    report_progress("statistics: generating a scene, chips and masks")
    folder.mkdir()
    scene, dataset = folder / "scene.tif", folder / "dataset"
    run_in_process(_write_inputs, folder, scene, scale)
    run_geographer(folder, "init", dataset, "--no-scm")
    run_geographer(dataset, "add", "features", folder / "features.parquet")
    run_geographer(dataset, "add", "rasters", scene, "--mode", "reference")
    run_geographer(dataset, "cut", "around", "chips", "--size", str(SIZE))
    run_geographer(dataset, "label", "mask", "masks", "--collection", "chips", "--width", "20px")
    run_geographer(dataset, "split", "split", "--collection", "chips", "--parts", "train=0.7,val=0.2,test=0.1")
    run_geographer(dataset, "split", "few", "--collection", "chips", "--parts", f"few={1 / _FEW},rest={1 - 1 / _FEW}")
    files = run_in_process(_list_files, dataset)
    rounds: dict[str, list[Cost]] = {}
    for number in range(ROUNDS):
        report_progress(f"statistics of {len(files):,} files, round {number + 1} of {ROUNDS}")
        for name, measure, *arguments in (
            ("loop", _measure_loop, files, False),
            ("tuned loop", _measure_loop, files, True),
            ("stats", _measure_statistics, dataset, None),
            ("few", _measure_statistics, dataset, "few"),
            ("again", _measure_repetition, dataset),
        ):
            rounds.setdefault(name, []).append(run_in_process(measure, *arguments))
    cpu = {name: min(cost.cpu for cost in costs) for name, costs in rounds.items()}
    peak = {name: min(cost.peak for cost in costs) for name, costs in rounds.items()}
    chips = f"{round(CHIPS * scale):,} chips of {SIZE} px, statistics"
    loop, tuned = "rasterio loop", "loop that lists no folder"
    first = rounds["stats"][0].cpu
    return [
        compare_values(chips, cpu["stats"], cpu["loop"], unit="CPU s", at_most=1.1, other_name=loop),
        compare_values(f"{chips}, with checksums", first, cpu["loop"], unit="CPU s", other_name=loop),
        compare_values(chips, cpu["stats"], cpu["tuned loop"], unit="CPU s", other_name=tuned),
        compare_values(f"{chips}, again", cpu["again"], cpu["loop"], unit="CPU s", other_name=loop),
        check_limit(f"{chips}, more memory than of a tenth", peak["stats"] - peak["few"], 50, unit="MB"),
    ]


def _list_files(dataset: Path) -> list[tuple[str, str]]:
    """Return the image and the mask of each chip."""
    from geographer import Dataset

    samples = Dataset.open(dataset).samples(split="split").arrow
    return [*zip(samples["path"].to_pylist(), samples["label_masks"].to_pylist(), strict=True)]


def _measure_loop(files: list[tuple[str, str]], is_tuned: bool) -> Cost:
    import rasterio

    options = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"} if is_tuned else {}
    with measure_cost() as cost, rasterio.Env(**options):
        for paths in files:
            for path in paths:
                with rasterio.open(path) as raster:
                    raster.read()
    return cost


def _measure_statistics(dataset: Path, part: str | None) -> Cost:
    """Measure the statistics of all samples, or of a part of the split `few`, whose files were checked before."""
    import rasterio

    from geographer import Dataset

    assert rasterio
    shutil.rmtree(dataset / _CACHE, ignore_errors=True)
    opened = Dataset.open(dataset)
    opened.status()
    split = "few" if part else "split"
    with measure_cost() as cost:
        statistics = opened.compute_statistics(split=split, subset=part)
    assert statistics.all.bands[0].valid == SIZE * SIZE * statistics.all.samples
    return cost


def _measure_repetition(dataset: Path) -> Cost:
    from geographer import Dataset

    opened = Dataset.open(dataset)
    opened.compute_statistics(split="split")
    with measure_cost() as cost:
        opened.compute_statistics(split="split")
    return cost
