"""Audit a dataset with planted leaks: `python -m tests.benchmarks.audit_planted [IMAGES] [WORKERS]`.

The script makes IMAGES georeferenced images (3,000 if omitted) in three subsets, and plants leaks of every kind, whose
pairs it knows: files listed twice, copies, equal pixels in another file format, near duplicates (8 orientations, shifts
up to 5 %, brightness ±20 %, JPEG of quality 50), footprints that overlap in one CRS and in two, and neighbours within the
buffer; and faults: missing, truncated and altered files, files in no subset, and labels that contradict. The audit must
find exactly these. It prints recall and precision by kind, time and peak memory.
"""

from __future__ import annotations

import hashlib
import json
import resource
import shutil
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import rasterio
from rasterio.errors import NotGeoreferencedWarning
from rasterio.warp import transform
from scipy.ndimage import gaussian_filter

from geographer.outputs.audit.report import AuditReport
from geographer.outputs.audit.run import audit_dataset

SUBSETS = ("train", "val", "test")
SIZE = 64
PIXEL_M = 10.0
STEP_M = 3_000.0
"""Distance between the grid points at which images lie: far more than their side and the buffer."""
BUFFER_M = 500.0
_COLUMNS = 60

Pair = tuple[str, str, str]
"""Kind, a, b."""


class PlantedDataset(NamedTuple):
    """A dataset with its leaks: (kind, a, b), and its faults: (kind, subject)."""

    root: Path
    pairs: set[Pair]
    faults: set[tuple[str, str]]


class DatasetMaker:
    """Makes images at separate grid points, and remembers what it planted."""

    def __init__(self, root: Path, seed: int) -> None:
        self.root, self.rng = root, np.random.Generator(np.random.PCG64(seed))
        self.rows: list[tuple[str, str]] = []
        self.pairs: set[Pair] = set()
        self.faults: set[tuple[str, str]] = set()
        self.number = 0

    def make_pixels(self) -> np.ndarray:
        """Make a texture of three bands like that of land: smooth and rough noise, most of it common to all bands."""
        noise = self.rng.normal(size=(4, SIZE, SIZE))
        smooth = sum(gaussian_filter(noise, (0, sigma, sigma)) * sigma for sigma in (1.0, 2.5, 6.0))
        bands = smooth[:1] + 0.3 * smooth[1:]
        scaled = (bands - bands.min()) / np.ptp(bands)
        return (30 + 180 * scaled).astype(np.uint8)

    def take_place(self) -> tuple[float, float]:
        """Return the corner of the next grid point, in EPSG:32632."""
        self.number += 1
        row, column = divmod(self.number, _COLUMNS)
        return 400_000.0 + column * STEP_M, 5_400_000.0 - row * STEP_M

    def write_image(
        self,
        subset: str | None,
        pixels: np.ndarray,
        corner: tuple[float, float] | None = None,
        crs: str = "EPSG:32632",
        suffix: str = ".tif",
        **options: Any,
    ) -> str:
        """Write an image with a new name, list it in a subset, and return its path."""
        if corner is None:
            corner = self.take_place()
        name = f"images/i{len(self.rows) + len(self.faults):06d}{suffix}"
        path = self.root / name
        path.parent.mkdir(exist_ok=True, parents=True)
        count, height, width = pixels.shape
        affine = rasterio.Affine(PIXEL_M, 0, corner[0], 0, -PIXEL_M, corner[1])
        driver = {".tif": "GTiff", ".png": "PNG", ".jpg": "JPEG"}[suffix]
        georeference = {"crs": crs, "transform": affine} if suffix == ".tif" else {}
        profile = {"driver": driver, "count": count, "height": height, "width": width, "dtype": "uint8"}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(path, "w", **profile, **georeference, **options) as raster:
                raster.write(pixels)
        if subset is not None:
            self.rows.append((name, subset))
        return name

    def plant(self, kind: str, a: str, b: str) -> None:
        """Remember a planted pair."""
        first, second = sorted((a, b))
        self.pairs.add((kind, first, second))

    def list_again(self, name: str, subset: str) -> None:
        """List a file in a second subset."""
        self.rows.append((name, subset))
        self.plant("same file", name, name)

    def copy_file(self, name: str, subset: str) -> None:
        """Plant a copy of a file."""
        copy = f"images/copy_of_{Path(name).stem}{Path(name).suffix}"
        shutil.copyfile(self.root / name, self.root / copy)
        self.rows.append((copy, subset))
        self.plant("identical file", name, copy)


def make_planted_dataset(root: Path, images: int = 90, each: int = 3, seed: int = 7) -> PlantedDataset:
    """Make a dataset of about `images` images with `each` leaks of every kind, and a list `split.csv`."""
    maker = DatasetMaker(root, seed)
    for number in range(images):
        maker.write_image(SUBSETS[number % 3], maker.make_pixels())
    for number in range(each):
        one, other = SUBSETS[number % 3], SUBSETS[(number + 1) % 3]
        maker.list_again(maker.write_image(one, maker.make_pixels()), other)
        maker.copy_file(maker.write_image(one, maker.make_pixels()), other)
        _plant_equal_pixels(maker, one, other)
        _plant_near_duplicates(maker, one, other, number)
        _plant_overlaps(maker, one, other, number)
        _plant_neighbours(maker, one, other)
    _plant_faults(maker)
    lines = ["file,split", *(f"{name},{subset}" for name, subset in sorted(maker.rows))]
    (root / "split.csv").write_text("\n".join(lines) + "\n")
    return PlantedDataset(root, maker.pairs, maker.faults)


def _plant_equal_pixels(maker: DatasetMaker, one: str, other: str) -> None:
    pixels = maker.make_pixels()
    maker.plant("identical pixels", maker.write_image(one, pixels), maker.write_image(other, pixels, suffix=".png"))


def _plant_near_duplicates(maker: DatasetMaker, one: str, other: str, number: int) -> None:
    """Plant a turned or mirrored, a shifted, a brighter and a compressed twin."""
    pixels = maker.make_pixels()
    turned = np.rot90(pixels, number % 4, axes=(1, 2))
    turned = turned[:, :, ::-1] if number % 8 >= 4 or number % 4 == 0 else turned
    shift = 1 + number % 3
    shifted = maker.make_pixels()
    base = np.pad(shifted, ((0, 0), (0, shift), (0, shift)), mode="reflect")
    bright = maker.make_pixels()
    squeezed = maker.make_pixels()
    twins: tuple[tuple[np.ndarray, np.ndarray, dict[str, Any]], ...] = (
        (pixels, turned, {}),
        (shifted, base[:, shift:, shift:], {}),
        (bright, np.clip(bright * (1.2 if number % 2 else 0.8), 0, 255).astype(np.uint8), {}),
        (squeezed, squeezed, {"suffix": ".jpg", "quality": 50}),
    )
    for original, twin, options in twins:
        a, b = maker.write_image(one, original), maker.write_image(other, np.ascontiguousarray(twin), **options)
        maker.plant("near duplicate", a, b)


def _plant_overlaps(maker: DatasetMaker, one: str, other: str, number: int) -> None:
    """Plant footprints that share ground in one CRS, and in two; the pixels have nothing in common."""
    side = SIZE * PIXEL_M
    x, y = maker.take_place()
    part = (0.9, 0.5, 0.02)[number % 3]
    a = maker.write_image(one, maker.make_pixels(), (x, y))
    b = maker.write_image(other, maker.make_pixels(), (x + side * (1 - part), y))
    maker.plant("overlap", a, b)
    x, y = maker.take_place()
    a = maker.write_image(one, maker.make_pixels(), (x, y))
    (east,), (north,) = transform("EPSG:32632", "EPSG:32633", [x + side / 2], [y - side / 2])
    b = maker.write_image(other, maker.make_pixels(), (east, north), crs="EPSG:32633")
    maker.plant("overlap", a, b)


def _plant_neighbours(maker: DatasetMaker, one: str, other: str) -> None:
    """Plant neighbours that touch, and neighbours that are 300 m apart: within the buffer, without shared ground."""
    side = SIZE * PIXEL_M
    for gap in (0.0, 300.0):
        x, y = maker.take_place()
        a = maker.write_image(one, maker.make_pixels(), (x, y))
        b = maker.write_image(other, maker.make_pixels(), (x + side + gap, y))
        maker.plant("too close", a, b)


def _plant_faults(maker: DatasetMaker) -> None:
    maker.rows.append(("images/gone.tif", "train"))
    maker.faults.add(("missing file", "images/gone.tif"))
    truncated = maker.write_image("train", maker.make_pixels(), compress="deflate")
    path = maker.root / truncated
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    maker.faults.add(("unreadable file", truncated))
    squeezed = maker.write_image("val", maker.make_pixels(), suffix=".jpg", quality=90)
    path = maker.root / squeezed
    path.write_bytes(path.read_bytes()[:-300])
    maker.faults.add(("unreadable file", squeezed))
    noise = maker.root / "images/noise.png"
    noise.write_bytes(bytes(maker.rng.integers(0, 256, 999, dtype=np.uint8)))
    maker.rows.append(("images/noise.png", "val"))
    maker.faults.add(("unreadable file", "images/noise.png"))
    maker.faults.add(("file in no subset", maker.write_image(None, maker.make_pixels())))
    blank = maker.write_image("test", np.full((3, SIZE, SIZE), 7, dtype=np.uint8))
    maker.faults.add(("blank image", blank))


def compare_report(planted: PlantedDataset, report: AuditReport) -> dict[str, tuple[int, int, int]]:
    """Return, by kind, the numbers of planted pairs, of planted pairs that were found, and of pairs found."""
    found = {(r["kind"], r["a"], r["b"]) for r in report.iter_findings() if "a" in r}
    kinds = sorted({kind for kind, _, _ in planted.pairs | found})
    counts = {}
    for kind in kinds:
        expected = {pair for pair in planted.pairs if pair[0] == kind}
        actual = {pair for pair in found if pair[0] == kind}
        counts[kind] = len(expected), len(expected & actual), len(actual)
    return counts


def compute_digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main(images: int, workers: int) -> None:
    """Make the dataset, audit it and print what was found."""
    folder = Path(tempfile.mkdtemp(prefix="audit_planted_"))
    try:
        planted = make_planted_dataset(folder, images, each=max(3, images // 50))
        start, cpu = time.perf_counter(), time.process_time()
        report = audit_dataset(folder, buffer=BUFFER_M, workers=workers)
        print(
            f"{sum(report.subsets.values()):,} images: {time.perf_counter() - start:.1f} s, CPU {time.process_time() - cpu:.1f} s"
        )
        print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB")
        for kind, (expected, hits, actual) in compare_report(planted, report).items():
            print(
                f"{kind:18} planted {expected:5,}  recall {hits / max(1, expected):.4f}  precision {hits / max(1, actual):.4f}"
            )
        found = {(finding.kind, finding.subject) for finding in report.findings}
        print(f"faults: {len(planted.faults & found)} of {len(planted.faults)}")
        print(json.dumps(report.to_dict()["leaks_by_kind"]))
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3_000, int(sys.argv[2]) if len(sys.argv) > 2 else 1)
