"""Benchmark 17: the pixels of 1 % of 10,000 rasters, compared between two revisions."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.benchmarks.measure import Row, compare_values, measure_cost, report_progress, run_in_process

RASTERS, CHANGED_SHARE, SIDE, BANDS = 10_000, 0.01, 160, 3


def compare_changed_pixels(folder: Path, scale: float) -> list[Row]:
    """17. `diff --pixels` of revisions with 1 % of 10,000 rasters changed, compared with reading all rasters once."""
    count = round(RASTERS * scale)
    report_progress(f"pixels: generating and adding {count:,} rasters, and replacing 1 %")
    run_in_process(_create_dataset, folder, count)
    report_progress("pixels: comparing")
    without, with_pixels, opened, reading = run_in_process(_measure_diff, folder)
    subject = f"diff of {count:,} rasters, 1 % changed"
    return [
        compare_values(
            f"{subject}, --pixels", with_pixels, reading, unit="CPU s", other_name="reading all", at_most=0.03
        ),
        compare_values(f"{subject}, without pixels", without, reading, unit="CPU s", other_name="reading all"),
        compare_values(f"{subject}, without pixels", opened, 1, unit="files opened", other_name="one", at_most=0),
    ]


def _create_dataset(folder: Path, count: int) -> None:
    from geographer import Dataset

    _write_rasters(folder / "first", np.arange(count), seed=0)
    dataset = Dataset.init(folder / "dataset", scm=False)
    dataset.add_rasters(folder / "first")
    rng = np.random.Generator(np.random.PCG64(17))
    changed = np.sort(rng.choice(count, max(1, round(count * CHANGED_SHARE)), replace=False))
    _write_rasters(folder / "second", changed, seed=1)
    dataset.add_rasters(folder / "second", replace=True)


def _write_rasters(folder: Path, numbers: np.ndarray, seed: int) -> None:
    import rasterio

    folder.mkdir(parents=True)
    profile = {"driver": "GTiff", "width": SIDE, "height": SIDE, "count": BANDS, "dtype": "uint16", "compress": "zstd"}
    for number in numbers.tolist():
        pixels = np.random.Generator(np.random.PCG64([seed, number])).integers(0, 3000, (BANDS, SIDE, SIDE), "uint16")
        row, column = divmod(number, 100)
        transform = rasterio.Affine(10, 0, 400_000 + 10 * SIDE * column, 0, -10, 5_300_000 - 10 * SIDE * row)
        with rasterio.open(
            folder / f"r{number:05}.tif", "w", crs="EPSG:32633", transform=transform, **profile
        ) as raster:
            raster.write(pixels)


def _measure_diff(folder: Path) -> tuple[float, float, int, float]:
    """Return the CPU seconds of a diff without and with pixels, the files that the former opens, and reading all."""
    import rasterio

    from geographer import Dataset

    dataset = Dataset.open(folder / "dataset")
    dataset.diff()
    opened: list[object] = []
    original = rasterio.open

    def count_opened(*arguments: object, **options: object) -> object:
        opened.append(arguments)
        return original(*arguments, **options)

    rasterio.open = count_opened
    with measure_cost() as without:
        dataset.diff()
    n_opened = len(opened)
    with measure_cost() as with_pixels:
        files = dataset.diff(pixels=True).files
    rasterio.open = original
    assert all(file.change is not None and file.change.changed for file in files)
    with measure_cost() as reading:
        for path in sorted((folder / "dataset" / "rasters" / "source").glob("*.tif")):
            with rasterio.open(path) as raster:
                raster.read()
    return without.cpu, with_pixels.cpu, n_opened, reading.cpu
