"""Verify aligned pairs by their thumbnails: block by block, with the exact shift.

Images along one straight edge, on one slope or of one kind of texture agree in their spectra. After exact alignment,
near-duplicates differ by no more than compression explains; others differ about as much as an image differs from
itself if it is displaced. Blocks have equal weights, so that a strong edge does not decide alone, and an image
whose texture is lost in compression, or which looks the same if displaced along an edge, is not paired.
"""

from typing import Final, NamedTuple

import numpy as np

from geographer.algorithms.connected_components import Floats, Ints, Links
from geographer.algorithms.near_duplicates.descriptor import ImageDescriptors
from geographer.algorithms.near_duplicates.thumbnail import (
    BLOCKS,
    MARGIN,
    NOISE_FLOOR,
    SIDE,
    remove_planes,
    smooth_images,
    split_blocks,
)

DISPLACEMENTS: Final = ((5, 0), (5, 2), (4, 4), (2, 5), (0, 5), (-2, 5), (-4, 4), (-5, 2))
"""Columns and rows by which an image is displaced against itself: about 8 % of the side, in all directions."""
_BATCH_SIZE: Final = 128
_STEPS: Final = 3
_MAX_STEP: Final = 1.5
"""Pixels of a thumbnail by which one step changes a shift at most."""

_MAX_EXPLAINED: Final = np.array([[1.0], [1.0], [0.2]])
"""Pixels along columns and rows, and the change of the gain, that do not count as a difference after a displacement."""


class Verification(NamedTuple):
    """How m pairs agree after exact alignment.

    Attributes:
        shift: Columns and rows as a fraction of the side, shape (m, 2).
        agreement: The mean correlation of blocks, weighted by how far their texture exceeds compression, shape (m,).
        residual: The difference of the two images, relative to that of each from itself after a displacement, (m,).
        texture: The sum of the weights of blocks, from 0 to 36, shape (m,).
    """

    shift: Floats
    agreement: Floats
    residual: Floats
    texture: Floats


class _Comparison(NamedTuple):
    """The blocks of pairs: energy of left and right, product, noise, all of shape (m, blocks), and gain, shape (m,)."""

    left: Floats
    right: Floats
    product: Floats
    noise: Floats
    gain: Floats


def verify_pairs(descriptors: ImageDescriptors, pairs: Links, orientation: Ints, shift: Floats) -> Verification:
    """Compare the thumbnails of pairs, shape (m, 2), from their orientations and shifts as of `Alignments`."""
    shifts, numbers = np.zeros((len(pairs), 2)), np.zeros((3, len(pairs)))
    for turn in range(8):
        turned = np.flatnonzero(orientation == turn)
        for start in range(0, len(turned), _BATCH_SIZE):
            rows = turned[start : start + _BATCH_SIZE]
            shifts[rows], *numbers[:, rows] = _verify_batch(descriptors, pairs[rows], turn, shift[rows])
    return Verification(shifts, *numbers)


def _verify_batch(descriptors: ImageDescriptors, pairs: Links, orientation: int, shift: Floats) -> Verification:
    left, left_noise = _read_thumbnails(descriptors, pairs[:, 0], 0)
    right, right_noise = _read_thumbnails(descriptors, pairs[:, 1], orientation)
    noise = (left_noise**2 + right_noise**2) / 2.0 + NOISE_FLOOR
    pixels, compared = _align_pixels(left, right, noise, -shift * SIDE)
    energy = np.sqrt(compared.left * compared.right)
    weights = energy / (energy + noise)
    texture = weights.sum(axis=1)
    correlation = compared.product / np.maximum(energy, 1e-9)
    agreement = (weights * correlation).sum(axis=1) / np.maximum(texture, 1e-9)
    share = 1.0 / (energy + 2.0 * noise)
    difference = compared.left + compared.right - 2.0 * compared.product
    displaced = _measure_displaced(left, share) + compared.gain[:, None] ** 2 * _measure_displaced(right, share)
    least = displaced.min(axis=1) / 2.0
    residual = (share * difference).sum(axis=1) / np.maximum(least, 1e-9)
    return Verification(-pixels / SIDE, agreement, residual, texture)


def _read_thumbnails(descriptors: ImageDescriptors, rows: Ints, orientation: int) -> tuple[Floats, Floats]:
    """Return smoothed thumbnails, shape (m, 64, 64), and noise, shape (m, blocks), turned by an orientation."""
    pixels: Floats = np.asarray(descriptors.thumbnail[rows] * descriptors.step[rows, None, None])
    per_side = int(BLOCKS**0.5)
    noise: Floats = np.asarray(descriptors.block_noise[rows].astype(np.float32).reshape(-1, per_side, per_side))
    turned = _turn_images(noise, orientation).reshape(len(rows), BLOCKS)
    return smooth_images(_turn_images(pixels, orientation)), turned


def _turn_images(images: Floats, orientation: int) -> Floats:
    """Return images, shape (m, rows, columns), in an orientation of `list_orientations`."""
    if orientation & 1:
        images = images[:, :, ::-1]
    if orientation & 2:
        images = images[:, ::-1]
    return images.transpose(0, 2, 1) if orientation & 4 else images


def _align_pixels(left: Floats, right: Floats, noise: Floats, shift: Floats) -> tuple[Floats, _Comparison]:
    """Return shifts of columns and rows in pixels, improved by least squares, and the comparison after them."""
    inner = slice(MARGIN, -MARGIN)
    target = remove_planes(split_blocks(left[:, inner, inner]))
    slopes = [remove_planes(part) for part in _measure_slopes(left)]
    energy = _multiply_blocks(target, target)
    weights = 1.0 / (energy + 2.0 * noise)
    xx, xy, yy = ((weights * _multiply_blocks(slopes[a], slopes[b])).sum(axis=1) for a, b in ((0, 0), (0, 1), (1, 1)))
    determinant = xx * yy - xy * xy + 1e-3 * (xx + yy) ** 2 + 1e-12
    for step in range(_STEPS + 1):
        moved = remove_planes(split_blocks(_move_images(right, shift)))
        moved_energy, product = _multiply_blocks(moved, moved), _multiply_blocks(target, moved)
        gain = (weights * product).sum(axis=1) / np.maximum((weights * moved_energy).sum(axis=1), 1e-12)
        gain = np.clip(gain, 1 / 3, 3)
        if step == _STEPS:
            break
        remaining = target - gain[:, None, None] * moved
        x, y = ((weights * _multiply_blocks(slope, remaining)).sum(axis=1) for slope in slopes)
        move = np.stack([yy * x - xy * y, xx * y - xy * x], axis=1) / determinant[:, None]
        shift = np.clip(shift + np.clip(move, -_MAX_STEP, _MAX_STEP), -MARGIN, MARGIN)
    return shift, _Comparison(energy, moved_energy * gain[:, None] ** 2, product * gain[:, None], noise, gain)


def _multiply_blocks(first: Floats, second: Floats) -> Floats:
    """Return the mean products of blocks, shape (m, blocks)."""
    return np.asarray(np.einsum("mbp,mbp->mb", first, second) / first.shape[2])


def _move_images(images: Floats, shift: Floats) -> Floats:
    """Return images at positions shifted by columns and rows, shape (m, 2), without the margin; linear in between."""
    whole = np.clip(np.floor(shift), -MARGIN, MARGIN - 1).astype(np.int64)
    x, y = (shift - whole).astype(np.float32).T[:, :, None, None]
    position = np.arange(MARGIN, SIDE - MARGIN + 1)
    rows, columns = whole[:, 1, None] + position, whole[:, 0, None] + position
    part = images[np.arange(len(images))[:, None, None], rows[:, :, None], columns[:, None, :]]
    part = part[:, :-1] * (1.0 - y) + part[:, 1:] * y
    return np.asarray(part[:, :, :-1] * (1.0 - x) + part[:, :, 1:] * x)


def _measure_displaced(images: Floats, share: Floats) -> Floats:
    """Return how images differ from themselves after each displacement, shape (m, displacements).

    `share` weighs blocks, shape (m, blocks). What a small shift or a gain more explains is no difference: an edge
    that is nearly parallel to a displacement looks the same.
    """
    inner = slice(MARGIN, SIDE - MARGIN)
    blocks = split_blocks(images[:, inner, inner])
    weights = np.sqrt(share / blocks.shape[2])[:, :, None].astype(np.float32)
    explained = np.stack([remove_planes(part) * weights for part in (*_measure_slopes(images), blocks)], axis=1)
    explained = explained.reshape(len(images), 3, -1)
    covariance = explained @ explained.transpose(0, 2, 1)
    stabilized = covariance + (1e-6 + 1e-4 * np.trace(covariance, axis1=1, axis2=2))[:, None, None] * np.eye(3)
    differences = []
    for x, y in DISPLACEMENTS:
        displaced = images[:, MARGIN + y : SIDE - MARGIN + y, MARGIN + x : SIDE - MARGIN + x]
        difference = (remove_planes(split_blocks(displaced) - blocks) * weights).reshape(len(images), -1, 1)
        products = explained @ difference
        change = np.clip(np.linalg.solve(stabilized, products), -_MAX_EXPLAINED, _MAX_EXPLAINED)
        total = (difference**2).sum(axis=(1, 2))
        left = (change * (covariance @ change - 2.0 * products)).sum(axis=(1, 2))
        differences.append(np.maximum(total + left, 0.0))
    return np.stack(differences, axis=1)


def _measure_slopes(images: Floats) -> list[Floats]:
    """Return the blocks of the slopes of images along columns and along rows, each of shape (m, blocks, pixels)."""
    inner = slice(MARGIN, -MARGIN)
    before, after = slice(MARGIN - 1, -MARGIN - 1), slice(MARGIN + 1, 1 - MARGIN)
    sides = ((images[:, inner, after], images[:, inner, before]), (images[:, after, inner], images[:, before, inner]))
    return [split_blocks((end - start) / 2.0) for end, start in sides]
