"""The spectrum of an image: Fourier coefficients of its bands at low frequencies, under a window that fades borders.

The window (a Hann window) makes a small shift multiply each coefficient by a phase alone, and takes weight from the
content that a shift brings in or loses at the borders. Frequencies are in cycles per side, so images of different
sizes have comparable spectra.
"""

from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from geographer.algorithms.connected_components import Bools, Floats
from geographer.algorithms.near_duplicates.wave_vectors import MAX_FREQUENCY, list_wave_vectors

Pixels = npt.NDArray[Any]
Spectrum = npt.NDArray[np.complex64]

COMPRESSION_NOISE: Final = 2.5
"""Standard deviation that JPEG compression may add to a pixel of 8 bits, in its units; other types are scaled to it."""
NOISE_DOUBLING: Final = 0.16
"""Cycles per pixel at which compression adds twice as much noise; four times as far, 17 times as much."""
ROUNDING_UNIT: Final = 0.3
"""The least such unit of whole numbers, which are rounded."""
RANGE_DEVIATIONS: Final = 6.0
"""How many standard deviations of other types than 8 bits are scaled to the 255 steps of 8 bits."""


@lru_cache(maxsize=64)
def _make_projection(size: int) -> tuple[Floats, Floats]:
    """Return the window, shape (size,), and its product with cosines and minus sines, shape (size, 2 frequencies)."""
    position = (np.arange(size) + 0.5) / size - 0.5
    window = np.cos(np.pi * position) ** 2
    window /= window.sum()
    phase = 2.0 * np.pi * position[:, None] * np.arange(MAX_FREQUENCY + 1)
    projection = window[:, None] * np.hstack([np.cos(phase), -np.sin(phase)])
    return window.astype(np.float32), projection.astype(np.float32)


def centre_pixels(image: Pixels, valid: Bools | None) -> Floats:
    """Return the bands as float32 less their weighted means; invalid pixels become 0.

    `image` has the shape (bands, rows, columns) and any dtype, `valid` (rows, columns) or (bands, rows, columns).
    """
    if image.dtype.kind == "c":
        image = np.concatenate([image.real, image.imag])
    pixels = image.astype(np.float32)
    columns, rows = _make_projection(image.shape[2])[0], _make_projection(image.shape[1])[0]
    if image.dtype.kind == "f":
        finite = np.isfinite(pixels)
        valid = finite if valid is None else finite & valid
    if valid is None or valid.all():
        return pixels - ((pixels @ columns) @ rows)[:, None, None]
    weights = np.broadcast_to(valid, pixels.shape) * (rows[:, None] * columns)
    pixels = np.where(valid, pixels, np.float32(0))
    total = weights.sum(axis=(1, 2))
    means = (pixels * weights).sum(axis=(1, 2)) / np.where(total > 0, total, 1)
    return np.where(valid, pixels - means[:, None, None].astype(np.float32), np.float32(0))


def project_bands(pixels: Floats) -> Spectrum:
    """Return the coefficients of centred bands, shape (bands, wave vectors)."""
    columns, rows = _make_projection(pixels.shape[2])[1], _make_projection(pixels.shape[1])[1]
    products = rows.T @ (pixels @ columns)
    first, last = slice(0, MAX_FREQUENCY + 1), slice(MAX_FREQUENCY + 1, None)
    even, odd_x = products[:, first, first], products[:, first, last]
    odd_y, odd = products[:, last, first], products[:, last, last]
    vectors = list_wave_vectors()
    x, y = np.abs(vectors[:, 0]), vectors[:, 1]
    is_right = vectors[:, 0] >= 0
    real = np.where(is_right, (even - odd)[:, y, x], (even + odd)[:, y, x])
    imaginary = np.where(is_right, (odd_y + odd_x)[:, y, x], (odd_y - odd_x)[:, y, x])
    return (real + 1j * imaginary).astype(np.complex64)


def estimate_noise(pixels: Floats, dtype: np.dtype[Any]) -> Floats:
    """Return the standard deviation that compression may add to a coefficient of each band, shape (bands,)."""
    unit = np.ones(len(pixels))
    if dtype.kind not in "iu" or dtype.itemsize > 1:
        unit = RANGE_DEVIATIONS * pixels.std(axis=(1, 2)) / 255.0
        unit = np.maximum(unit, ROUNDING_UNIT) if dtype.kind in "iu" else unit
    columns, rows = _make_projection(pixels.shape[2])[0], _make_projection(pixels.shape[1])[0]
    return np.asarray(COMPRESSION_NOISE * unit * np.sqrt((columns @ columns) * (rows @ rows)))


def compute_noise_profile(shape: tuple[int, ...]) -> Floats:
    """Return the growth of the noise with the frequency in an image of some rows and columns, shape (wave vectors,)."""
    per_pixel = list_wave_vectors() / np.array([shape[1], shape[0]])
    return np.asarray(1.0 + (per_pixel**2).sum(axis=1) / NOISE_DOUBLING**2)


def scale_bands(bands: Spectrum, noise: Floats) -> Floats:
    """Return the root of the energy of each band and its noise, shape (bands,); 1 for a band of one value."""
    energy = (np.abs(bands.astype(np.complex128)) ** 2).sum(axis=1)
    scale = np.sqrt(energy + bands.shape[1] * noise**2)
    return np.where(scale > 0, scale, 1.0)


def mix_bands(bands: Spectrum, noise: Floats, scale: Floats) -> tuple[Spectrum, float]:
    """Return two mixtures of all bands, shape (2, wave vectors), and the noise of their coefficients.

    Bands have equal weights after division by their `scale`; see `scale_bands`. The second mixture has weights of both
    signs that add up to 0, so that bands which cancel in the first one are seen.
    """
    count = len(bands)
    contrast = np.cos(2.0 * np.pi * 0.618034 * np.arange(count) + 0.5)
    contrast -= contrast.mean()
    contrast /= max(float(np.sqrt((contrast**2).mean())), 1e-9)
    weights = np.stack([np.ones(count), contrast if count > 1 else np.zeros(count)]) / (scale * count)
    return (weights @ bands).astype(np.complex64), float(np.sqrt(((noise / scale) ** 2).sum()) / count)
