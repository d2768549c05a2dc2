"""Thumbnails of images: one mixture of all bands at 64x64 pixels, and what JPEG compression may change of it.

All sizes of images are averaged (or interpolated) to the same number of pixels, so that pairs can be compared block by
block after alignment.
"""

from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from geographer.algorithms.connected_components import Floats

SIDE: Final = 64
"""Rows and columns of a thumbnail."""
MARGIN: Final = 5
"""Pixels along each border that are not compared: they may lie outside the other image after a shift."""
BLOCK_SIDE: Final = 9
"""Rows and columns of a block that is compared by itself: 6x6 blocks within the margin."""
BLOCKS: Final = ((SIDE - 2 * MARGIN) // BLOCK_SIDE) ** 2
NOISE_FLOOR: Final = 0.02
"""The least variance of noise in steps of 8 bits: the rounding of a thumbnail."""
_CONTRAST: Final = 0.3
"""How much weights of bands differ from 1, so that bands which cancel in their sum are seen."""
_QUALITY_50: Final = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ],
    np.float32,
)
"""The quantization table of JPEG for brightness at quality 50 (ITU-T T.81, annex K)."""


class Thumbnail(NamedTuple):
    """A thumbnail.

    Attributes:
        pixels: Shape (64, 64), in units of `step` above the least value.
        step: The unit of `pixels`, in steps of 8 bits of the image.
        noise: The standard deviation that compression adds to each block, in steps of 8 bits, shape (blocks,).
        texture: How many blocks have structure that exceeds this noise, from 0 to 36.
    """

    pixels: npt.NDArray[np.uint8]
    step: float
    noise: npt.NDArray[np.float16]
    texture: float


def make_thumbnail(pixels: Floats, band_scale: Floats, dtype: np.dtype[Any]) -> Thumbnail:
    """Return the thumbnail of centred bands, shape (bands, rows, columns), of an image of some dtype.

    `band_scale`, shape (bands,): bands are divided by it before they are mixed.
    """
    mixture = _mix_in_steps(pixels, band_scale, dtype)
    rows, columns = (_make_averages(size) for size in mixture.shape)
    small = rows @ mixture @ columns.T
    least = small.min()
    step = max(float(small.max() - least) / 255.0, 1e-6)
    error = smooth_images((rows @ _simulate_compression(mixture) @ columns.T)[None])
    noise = np.sqrt((split_blocks(error[:, MARGIN:-MARGIN, MARGIN:-MARGIN]) ** 2).mean(axis=2)[0])
    energy = measure_energy(smooth_images(small[None]))[0]
    texture = float((energy / (energy + noise**2 + NOISE_FLOOR)).sum())
    return Thumbnail(
        np.clip(np.round((small - least) / step), 0, 255).astype(np.uint8), step, noise.astype(np.float16), texture
    )


def _mix_in_steps(pixels: Floats, band_scale: Floats, dtype: np.dtype[Any]) -> Floats:
    """Return a mixture of bands, shape (rows, columns), in the steps of 8 bits to which their range is scaled."""
    count = len(pixels)
    contrast = np.cos(2.0 * np.pi * 0.618034 * np.arange(count) + 0.5)
    contrast -= contrast.mean()
    contrast /= max(float(np.abs(contrast).max()), 1e-9)
    weights = (1.0 + _CONTRAST * contrast) / band_scale
    units = np.ones(count) if dtype.kind in "iu" and dtype.itemsize == 1 else np.ptp(pixels, axis=(1, 2)) / 255.0
    total = float(weights @ units)
    return np.tensordot((weights / (total or 1.0)).astype(np.float32), pixels, 1)


@lru_cache(maxsize=64)
def _make_averages(size: int) -> Floats:
    """Return the matrix that averages `size` pixels to 64, or interpolates between fewer, shape (64, size)."""
    if size >= SIDE:
        edges = np.arange(SIDE + 1) * size / SIDE
        ends = np.minimum(edges[1:, None], np.arange(1, size + 1))
        weights = np.maximum(ends - np.maximum(edges[:-1, None], np.arange(size)), 0.0)
    else:
        centres = np.clip((np.arange(SIDE) + 0.5) * size / SIDE - 0.5, 0, size - 1)
        weights = np.maximum(1.0 - np.abs(centres[:, None] - np.arange(size)), 0.0)
    return np.asarray((weights / weights.sum(axis=1, keepdims=True)).astype(np.float32))


@lru_cache(maxsize=1)
def _make_cosines() -> Floats:
    """Return the matrix of the cosine transform of 8 pixels, shape (8, 8)."""
    frequency = np.arange(8)[:, None]
    size = np.sqrt(np.where(frequency == 0, 1.0, 2.0) / 8.0)
    return np.asarray((size * np.cos(np.pi * (2 * np.arange(8) + 1) * frequency / 16.0)).astype(np.float32))


def _simulate_compression(image: Floats) -> Floats:
    """Return what JPEG at quality 50 changes of an image, shape (rows, columns); 0 in an incomplete last block."""
    rows, columns = (size // 8 * 8 for size in image.shape)
    change = np.zeros_like(image)
    if rows and columns:
        transform = _make_cosines()
        blocks = image[:rows, :columns].reshape(rows // 8, 8, columns // 8, 8).transpose(0, 2, 1, 3)
        coefficients = transform @ blocks @ transform.T
        lost = np.round(coefficients / _QUALITY_50) * _QUALITY_50 - coefficients
        change[:rows, :columns] = (transform.T @ lost @ transform).transpose(0, 2, 1, 3).reshape(rows, columns)
    return change


def smooth_images(images: Floats) -> Floats:
    """Return images, shape (m, rows, columns), averaged with weights 1, 2, 1: finer details do not survive JPEG."""
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1)), mode="edge")
    columns = padded[:, :, :-2] + 2.0 * padded[:, :, 1:-1] + padded[:, :, 2:]
    return np.asarray((columns[:, :-2] + 2.0 * columns[:, 1:-1] + columns[:, 2:]) / 16.0)


def split_blocks(images: Floats) -> Floats:
    """Return the blocks of images, shape (m, rows, columns), as shape (m, blocks, pixels)."""
    count, per_side = len(images), images.shape[1] // BLOCK_SIDE
    blocks = images.reshape(count, per_side, BLOCK_SIDE, per_side, BLOCK_SIDE).transpose(0, 1, 3, 2, 4)
    return blocks.reshape(count, per_side**2, BLOCK_SIDE**2)


@lru_cache(maxsize=1)
def _make_planes() -> Floats:
    """Return an orthonormal basis of the planes of a block, shape (3, pixels)."""
    position = np.arange(BLOCK_SIDE) - (BLOCK_SIDE - 1) / 2.0
    rows, columns = np.meshgrid(position, position, indexing="ij")
    planes = np.stack([np.ones_like(rows), rows, columns]).reshape(3, -1)
    return np.asarray((planes / np.linalg.norm(planes, axis=1, keepdims=True)).astype(np.float32))


def remove_planes(blocks: Floats) -> Floats:
    """Return blocks, shape (m, blocks, pixels), less the plane that fits each best: a slope fits any other one."""
    return np.asarray(blocks - (blocks @ _make_planes().T) @ _make_planes())


def measure_energy(images: Floats) -> Floats:
    """Return the variance within each block of smoothed images, less its plane, shape (m, blocks)."""
    blocks = remove_planes(split_blocks(images[:, MARGIN:-MARGIN, MARGIN:-MARGIN]))
    return np.asarray((blocks**2).mean(axis=2))
