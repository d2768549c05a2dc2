"""Descriptors of images: fixed in size, equal in meaning for any number of bands, data type and image size."""

from collections.abc import Sequence
from functools import cache
from hashlib import blake2b
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from geographer.algorithms.connected_components import Bools, Floats
from geographer.algorithms.near_duplicates.spectrum import (
    Pixels,
    Spectrum,
    centre_pixels,
    compute_noise_profile,
    estimate_noise,
    mix_bands,
    project_bands,
    scale_bands,
)
from geographer.algorithms.near_duplicates.thumbnail import BLOCKS, SIDE, make_thumbnail
from geographer.algorithms.near_duplicates.wave_vectors import (
    count_coarse,
    list_wave_vectors,
    make_symmetry_basis,
)

Halves = npt.NDArray[np.float16]
Singles = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.int8]

STEPS: Final = 32
"""Steps of 1 in which coefficients are kept as whole numbers."""

MIN_RELIABLE: Final = 6.0
"""How many coefficients must exceed the noise of compression, so that an image can be compared."""
MIN_TEXTURE: Final = 6.5
"""How many of 36 blocks must exceed the noise of compression; in pairs, too."""
_SMOOTHING: Final = 0.8
"""Cycles per side: the width of the ring of frequencies over which energy is averaged."""
_DIGEST_SIZE: Final = 16
_MAX_RESOLUTION: Final = 0.45
"""Cycles per pixel: finer details cannot be distinguished from coarser ones."""
_MAX_NOISE: Final = 100.0
"""Noise, relative to the energy of a ring, from which on nothing is known of it."""


class ImageDescriptor(NamedTuple):
    """What is compared of an image.

    Attributes:
        digest: A digest of data type, shape and pixels: equal for equal pixels.
        spectrum: Coefficients of two mixtures of the bands, scaled so that each ring of frequencies has the energy 1,
            in steps of 1 / 32; real parts first, then imaginary parts; shape (2, 2, wave vectors).
        noise: What compression may add to the coefficients, in the same units, shape (wave vectors,).
        signature: Magnitudes at coarse wave vectors less their local mean, in the basis of `make_symmetry_basis`, shape
            (coarse,), of length 1.
        thumbnail: See `Thumbnail`, shape (64, 64).
        step: The unit of `thumbnail`.
        block_noise: The noise of `Thumbnail`, shape (blocks,).
        is_comparable: Whether the image has enough texture; without it, only equal pixels say something.
    """

    digest: bytes
    spectrum: Bytes
    noise: Halves
    signature: Halves
    thumbnail: npt.NDArray[np.uint8]
    step: float
    block_noise: Halves
    is_comparable: bool


class ImageDescriptors(NamedTuple):
    """The descriptors of n images: arrays with n rows of the attributes of `ImageDescriptor`."""

    digest: npt.NDArray[np.void]
    spectrum: Bytes
    noise: Halves
    signature: Halves
    thumbnail: npt.NDArray[np.uint8]
    step: Singles
    block_noise: Halves
    is_comparable: Bools

    @classmethod
    def from_rows(cls, rows: Sequence[ImageDescriptor]) -> "ImageDescriptors":
        """Return the descriptors in the order of the images."""
        size = len(list_wave_vectors())
        return cls(
            np.array([row.digest for row in rows], f"V{_DIGEST_SIZE}").reshape(len(rows)),
            np.array([row.spectrum for row in rows], np.int8).reshape(len(rows), 2, 2, size),
            np.array([row.noise for row in rows], np.float16).reshape(len(rows), size),
            np.array([row.signature for row in rows], np.float16).reshape(len(rows), count_coarse()),
            np.array([row.thumbnail for row in rows], np.uint8).reshape(len(rows), SIDE, SIDE),
            np.array([row.step for row in rows], np.float32),
            np.array([row.block_noise for row in rows], np.float16).reshape(len(rows), BLOCKS),
            np.array([row.is_comparable for row in rows], np.bool_),
        )


def describe_image(image: Pixels, valid: Bools | None = None) -> ImageDescriptor:
    """Describe an image.

    Args:
        image: Pixels of any dtype, shape (bands, rows, columns). All bands count.
        valid: Which pixels are valid, shape (rows, columns) or (bands, rows, columns); None: all that are finite.

    Returns:
        The descriptor; its memory does not depend on the image.
    """
    digest = compute_digest(image)
    pixels = centre_pixels(image, valid)
    bands, band_noise = project_bands(pixels), estimate_noise(pixels, image.dtype)
    scale = scale_bands(bands, band_noise)
    mixtures, coefficient_noise = mix_bands(bands, band_noise, scale)
    thumbnail = make_thumbnail(pixels, scale, image.dtype)
    spectrum, noise = whiten_spectrum(mixtures, coefficient_noise * compute_noise_profile(image.shape[1:]))
    noise = np.where(find_resolved(image.shape[1:]), noise, _MAX_NOISE)
    weights = weigh_rings(noise)
    roots = np.sqrt(np.sqrt((np.abs(spectrum) ** 2).sum(axis=0)))
    contrast = (roots - _make_ring_means() @ roots) * weights
    signature = make_symmetry_basis()[0].T @ contrast[: count_coarse()]
    length = float(np.linalg.norm(signature))
    return ImageDescriptor(
        digest,
        np.clip(np.round(STEPS * np.stack([spectrum.real, spectrum.imag], axis=1)), -127, 127).astype(np.int8),
        noise.astype(np.float16),
        (signature / (length if length > 0 else 1.0)).astype(np.float16),
        thumbnail.pixels,
        thumbnail.step,
        thumbnail.noise,
        bool(weights.sum() >= MIN_RELIABLE and thumbnail.texture >= MIN_TEXTURE),
    )


def compute_digest(image: Pixels) -> bytes:
    """Return a digest of data type, shape and pixels."""
    pixels = np.ascontiguousarray(image)
    pixels = pixels.astype(pixels.dtype.newbyteorder("<"), copy=False)
    digest = blake2b(f"{pixels.dtype.str}{pixels.shape}".encode(), digest_size=_DIGEST_SIZE)
    digest.update(pixels.data)
    return digest.digest()


def find_resolved(shape: tuple[int, ...]) -> Bools:
    """Return whether an image of some rows and columns has enough pixels for each wave vector, (wave vectors,)."""
    rows, columns = shape
    x, y = np.abs(list_wave_vectors()).T
    return np.asarray((x <= _MAX_RESOLUTION * columns) & (y <= _MAX_RESOLUTION * rows))


def weigh_rings(noise: Floats) -> Floats:
    """Return the fraction of the energy at each wave vector that is not noise; `noise` as in `ImageDescriptor`."""
    return np.maximum(1.0 - noise**2, 0.0)


@cache
def _make_ring_means() -> Floats:
    """Return the matrix that averages over rings of frequencies, shape (wave vectors, wave vectors)."""
    radius = np.linalg.norm(list_wave_vectors(), axis=1)
    weights = np.exp(-0.5 * ((radius[:, None] - radius) / _SMOOTHING) ** 2)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def whiten_spectrum(spectrum: Spectrum, noise: Floats) -> tuple[Spectrum, Floats]:
    """Return the spectrum with the energy 1 in each ring, and the noise in the same units, shape (wave vectors,)."""
    energy = np.sqrt(_make_ring_means() @ (np.abs(spectrum) ** 2).sum(axis=0))
    is_flat = energy <= noise / _MAX_NOISE
    scale = np.where(is_flat, 1.0, energy)
    return np.where(is_flat, 0.0, spectrum / scale), np.where(is_flat, _MAX_NOISE, noise / scale)
