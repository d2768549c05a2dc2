"""Overlays: transparent pictures of labels, with translucent fills, patterns and outlines, to lay above an image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

FILL_ALPHA: Final = 72
PATTERN_ALPHA: Final = 170
OUTLINE_ALPHA: Final = 255
_PERIOD: Final = 14
"""The distance of the lines and dots of patterns, in pixels."""
_RAMP: Final = ((0, 114, 178), (86, 180, 233), (240, 228, 66))
_PIXELS_PER_OUTLINE: Final = 250
"""How wide a picture is for each pixel of the width of outlines."""

Colour = tuple[int, int, int]


class Paint(NamedTuple):
    """How an area is painted: red, green and blue from 0 to 255, and a pattern in letters of matplotlib's hatches."""

    colour: Colour
    hatch: str = ""


def parse_colour(text: str) -> Colour:
    """Return the red, green and blue of a colour such as `#0072b2`."""
    red, green, blue = bytes.fromhex(text.removeprefix("#"))
    return red, green, blue


def paint_values(
    values: NDArray[np.integer[Any]], paints: Mapping[int, Paint], outlines: NDArray[np.integer[Any]] | None = None
) -> NDArray[np.uint8]:
    """Return the areas of values as a picture with opacity, shape (4, rows, columns); other values are transparent.

    Args:
        values: Shape (rows, columns).
        paints: How to paint values.
        outlines: Numbers of objects, shape (rows, columns), whose borders are outlined; None: those of values.
    """
    picture = np.zeros((4, *values.shape), np.uint8)
    for value in np.unique(values).tolist():
        if value in paints:
            _fill_area(picture, values == value, paints[value])
    is_painted = picture[3] > 0
    picture[3][find_outlines(values if outlines is None else outlines) & is_painted] = OUTLINE_ALPHA
    return picture


def paint_ramp(values: NDArray[Any]) -> tuple[NDArray[np.uint8], float, float]:
    """Return numbers as colours from blue to yellow, and the lowest and highest; not finite ones are transparent."""
    numbers = values.astype(np.float64)
    is_finite = np.isfinite(numbers)
    picture = np.zeros((4, *values.shape), np.uint8)
    if not is_finite.any():
        return picture, 0.0, 0.0
    low, high = float(numbers[is_finite].min()), float(numbers[is_finite].max())
    shares = np.where(is_finite, (numbers - low) / (high - low or 1.0), 0.0)
    stops = np.linspace(0, 1, len(_RAMP))
    for band in range(3):
        picture[band] = np.round(np.interp(shares, stops, [colour[band] for colour in _RAMP]))
    picture[3] = np.where(is_finite, PATTERN_ALPHA, 0)
    return picture, low, high


def lay_over(below: NDArray[np.uint8], above: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return two pictures with opacity as one, shape (4, rows, columns), where the upper one hides more or less."""
    upper, lower = above[3] / 255.0, below[3] / 255.0
    opacity = upper + lower * (1 - upper)
    shares = np.divide(upper, opacity, out=np.zeros_like(upper), where=opacity > 0)
    colours = above[:3] * shares + below[:3] * (1 - shares)
    return np.concatenate([np.round(colours), np.round(opacity * 255)[None]]).astype(np.uint8)


def find_outlines(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Return the pixels along borders between values, on both sides of each, shape (rows, columns).

    The border of the picture counts, so that an area that is cut there has a closed outline.
    """
    rows, columns = values.shape
    width = max(1, round(max(values.shape) / _PIXELS_PER_OUTLINE))
    around = np.pad(values, width, mode="edge")
    outlines = np.zeros(values.shape, np.bool_)
    for distance in range(1, width + 1):
        for row, column in ((-distance, 0), (distance, 0), (0, -distance), (0, distance)):
            top, left = width + row, width + column
            outlines |= around[top : top + rows, left : left + columns] != values
    outlines[:width], outlines[-width:] = True, True
    outlines[:, :width], outlines[:, -width:] = True, True
    return outlines


def _fill_area(picture: NDArray[np.uint8], area: NDArray[np.bool_], paint: Paint) -> None:
    picture[:3, area] = np.array(paint.colour, np.uint8)[:, None]
    picture[3, area] = FILL_ALPHA
    if paint.hatch:
        picture[3, area & _make_pattern(paint.hatch, area.shape)] = PATTERN_ALPHA


def _make_pattern(hatch: str, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return the pixels of a pattern, shape (rows, columns)."""
    y, x = np.ogrid[: shape[0], : shape[1]]
    half = _PERIOD // 2
    near = ((x % _PERIOD) - half) ** 2 + ((y % _PERIOD) - half) ** 2
    rising, falling = (x + y) % _PERIOD == 0, (x - y) % _PERIOD == 0
    level, upright = (y % _PERIOD == half) & (x >= 0), (x % _PERIOD == half) & (y >= 0)
    patterns = {
        "/": rising,
        "\\": falling,
        "x": rising | falling,
        "-": level,
        "+": level | upright,
        ".": near <= 2,
        "o": (near >= 5) & (near <= 12),
    }
    return np.asarray(patterns[hatch])
