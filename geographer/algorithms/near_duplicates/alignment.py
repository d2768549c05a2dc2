"""Align pairs of images: the orientation and the shift that fit best, and how well coefficients agree under them."""

from functools import cache
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from geographer.algorithms.connected_components import Floats, Ints, Links
from geographer.algorithms.near_duplicates.descriptor import STEPS, ImageDescriptors, weigh_rings
from geographer.algorithms.near_duplicates.spectrum import Spectrum
from geographer.algorithms.near_duplicates.wave_vectors import count_coarse, list_orientations, list_wave_vectors

LAG_STEP: Final = 0.025
"""The step of the shifts that are tried, as a fraction of the side; between them, a parabola gives the best shift."""
LAG_STEPS: Final = 5
"""How many steps in each direction are tried: up to 12.5 % of the side."""
MIN_STRENGTH: Final = 0.2
"""Coefficients below this fraction of the energy of their ring say little: compression and shifts change them."""
REFINEMENTS: Final = 2
"""Steps of least squares that improve a shift."""
MIN_CORRELATION: Final = 0.3
MAX_COARSE_SHIFT: Final = 0.075
"""Pairs that correlate less by their coarse details, or are shifted more, are not compared in detail."""
_BATCH_SIZE: Final = 512
_HALF_TURN: Final = {0: 3, 1: 2, 4: 7, 5: 6}
"""The orientations to test, and each turned by 180°: the coefficients of that one are the conjugates."""


class Alignments(NamedTuple):
    """How m pairs of images fit best.

    Attributes:
        orientation: The number of the orientation of the second image; see `list_orientations`.
        shift: The shift of columns and rows as a fraction of the side, shape (m, 2).
        score: The mean cosine of the phase differences of coefficients, weighted by their reliability, shape (m,).
        evidence: The sum of these weights: how many coefficients agree or disagree, shape (m,).

    Score and evidence are 0 for pairs that do not fit by their coarse details.
    """

    orientation: Ints
    shift: Floats
    score: Floats
    evidence: Floats


class _Fit(NamedTuple):
    """The best shift for one orientation by coarse details: correlation, shift, and whether it is turned by 180°."""

    correlation: Floats
    shift: Floats
    is_half_turned: npt.NDArray[np.bool_]


@cache
def _make_lag_phases() -> Floats:
    """Return the matrix that maps products of coefficients to correlations by lag, shape (2 coarse, lags)."""
    lags = np.arange(-LAG_STEPS, LAG_STEPS + 1) * LAG_STEP
    columns, rows = (axis.ravel() for axis in np.meshgrid(lags, lags, indexing="ij"))
    phase = 2.0 * np.pi * (list_wave_vectors()[: count_coarse()] @ np.stack([columns, rows]))
    return np.vstack([np.cos(phase), -np.sin(phase)]).astype(np.float32)


def align_pairs(descriptors: ImageDescriptors, pairs: Links, orientation: int) -> Alignments:
    """Return how pairs of images fit best, shape (m, 2), if the second one has an orientation, or is turned by 180°.

    `orientation` is 0, 1, 4 or 5; see `list_orientations`.
    """
    starts = range(0, len(pairs), _BATCH_SIZE)
    aligned = [_align_batch(descriptors, pairs[start : start + _BATCH_SIZE], orientation) for start in starts]
    if not aligned:
        return Alignments(np.empty(0, np.int64), np.empty((0, 2)), np.empty(0), np.empty(0))
    return Alignments(*(np.concatenate(column) for column in zip(*aligned, strict=True)))


def _align_batch(descriptors: ImageDescriptors, pairs: Links, orientation: int) -> Alignments:
    fit = _fit_coarse(descriptors, pairs, orientation)
    shift, score, evidence = fit.shift, np.zeros(len(pairs)), np.zeros(len(pairs))
    rows = np.flatnonzero(
        (fit.correlation >= MIN_CORRELATION) & (np.abs(shift).max(axis=1, initial=0.0) <= MAX_COARSE_SHIFT)
    )
    if len(rows):
        half_turn = fit.is_half_turned[rows]
        shift[rows], score[rows], evidence[rows] = _compare_details(
            descriptors, pairs[rows], orientation, half_turn, shift[rows]
        )
    return Alignments(np.where(fit.is_half_turned, _HALF_TURN[orientation], orientation), shift, score, evidence)


def _fit_coarse(descriptors: ImageDescriptors, pairs: Links, orientation: int) -> _Fit:
    """Return the best shift of each pair by the coarse wave vectors."""
    left, right = (
        _read_spectra(descriptors, column, count_coarse())
        * weigh_rings(descriptors.noise[column, : count_coarse()].astype(np.float32))[:, None]
        for column in pairs.T
    )
    return _find_shifts(left, _turn_spectra(right, orientation))


def _turn_spectra(spectra: Spectrum, orientation: int) -> Spectrum:
    rows, is_conjugated = list_orientations()[orientation]
    count = spectra.shape[2]
    turned = spectra[:, :, rows[:count]]
    np.negative(turned.imag, out=turned.imag, where=is_conjugated[:count])
    return turned


def _compare_details(
    descriptors: ImageDescriptors,
    pairs: Links,
    orientation: int,
    is_half_turned: npt.NDArray[np.bool_],
    shift: Floats,
) -> tuple[Floats, Floats, Floats]:
    """Return better shifts, shape (m, 2), and the scores and the evidence of `Alignments`, by all wave vectors."""
    left, right = (_read_spectra(descriptors, column, len(list_wave_vectors())) for column in pairs.T)
    turned = _turn_spectra(right, orientation)
    turned = np.where(is_half_turned[:, None, None], turned.conj(), turned)
    left_noise, right_noise = (descriptors.noise[column].astype(np.float32) for column in pairs.T)
    weights = _weigh_coefficients(left, left_noise) * _weigh_coefficients(turned, right_noise)
    product = left * turned.conj()
    size = np.abs(product)
    weighted = (product * (weights / np.where(size > 0, size, 1.0))).sum(axis=1)
    weights = weights.sum(axis=1)
    shift = _refine_shifts(weighted, weights, shift)
    evidence = weights.sum(axis=1)
    agreement = (weighted * _make_phases(shift)).real.sum(axis=1)
    return shift, agreement / np.where(evidence > 0, evidence, 1.0), evidence


def _make_phases(shift: Floats) -> Spectrum:
    """Return the factors that undo shifts, shape (m, 2); shape (m, wave vectors)."""
    return np.asarray(np.exp(2j * np.pi * (shift @ list_wave_vectors().T)).astype(np.complex64))


def _refine_shifts(weighted: Spectrum, weights: Floats, shift: Floats) -> Floats:
    """Return better shifts by a step of least squares: what remains of the phases should not depend on the wave vector.

    `weighted` are unit products of coefficients times `weights`, shape (m, wave vectors). A step exceeds no lag step.
    """
    vectors = 2.0 * np.pi * list_wave_vectors()
    x, y = vectors.T
    xx, xy, yy = (weights @ (x * x), weights @ (x * y), weights @ (y * y))
    for _ in range(REFINEMENTS):
        remaining = (weighted * _make_phases(shift)).imag
        slope = -(remaining @ vectors)
        determinant = np.maximum(xx * yy - xy * xy, 1e-9)
        step = np.stack([yy * slope[:, 0] - xy * slope[:, 1], xx * slope[:, 1] - xy * slope[:, 0]], axis=1)
        shift = shift + np.clip(step / determinant[:, None], -LAG_STEP / 2, LAG_STEP / 2)
    return shift


def _read_spectra(descriptors: ImageDescriptors, rows: Ints, count: int) -> Spectrum:
    """Return the first coefficients of some images, shape (m, 2, count)."""
    parts = descriptors.spectrum[rows, :, :, :count].astype(np.float32)
    parts /= STEPS
    spectra = np.empty((len(rows), 2, count), np.complex64)
    spectra.real, spectra.imag = parts[:, :, 0], parts[:, :, 1]
    return spectra


def _weigh_coefficients(spectrum: Spectrum, noise: Floats) -> Floats:
    """Return the reliability of coefficients, from 0 to 1."""
    energy = spectrum.real**2 + spectrum.imag**2
    return np.asarray(energy / (energy + (noise**2 + MIN_STRENGTH**2)[:, None]))


def _find_shifts(left: Spectrum, turned: Spectrum) -> _Fit:
    """Return the best shift of each pair, and whether it is better if the second image is turned by 180°, too."""
    count, width = len(left), 2 * LAG_STEPS + 1
    products = np.empty((count, 2, 2 * left.shape[2]), np.float32)
    for half_turn, second in enumerate((turned.conj(), turned)):
        product = (left * second).sum(axis=1)
        products[:, half_turn] = np.hstack([product.real, product.imag])
    correlations = (products.reshape(2 * count, -1) @ _make_lag_phases()).reshape(count, 2, width, width)
    best = correlations.reshape(count, -1).argmax(axis=1)
    half_turn, column, row = np.unravel_index(best, correlations.shape[1:])
    every = np.arange(count)
    by_column, by_row = correlations[every, half_turn, :, row], correlations[every, half_turn, column, :]
    shift = np.stack([_find_peaks(by_column, column), _find_peaks(by_row, row)], axis=1)
    energy = np.sqrt(_sum_squares(left) * _sum_squares(turned))
    correlation = correlations[every, half_turn, column, row] / np.where(energy > 0, energy, 1.0)
    return _Fit(correlation, shift, half_turn == 1)


def _sum_squares(spectra: Spectrum) -> Floats:
    return np.asarray((spectra.real**2 + spectra.imag**2).sum(axis=(1, 2)))


def _find_peaks(correlations: Floats, position: Ints) -> Floats:
    """Return the shifts of the peaks of curves, shape (m, lags), near their largest values, by parabolas."""
    every, last = np.arange(len(correlations)), correlations.shape[1] - 1
    before, peak, after = (correlations[every, np.clip(position + step, 0, last)] for step in (-1, 0, 1))
    bend = before - 2.0 * peak + after
    is_inside = (position > 0) & (position < last) & (bend < 0)
    offset = np.where(is_inside, 0.5 * (before - after) / np.where(is_inside, bend, 1.0), 0.0)
    return np.asarray((position - LAG_STEPS + offset) * LAG_STEP)
