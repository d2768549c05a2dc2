"""Mask runs: alternate runs of pixels outside and inside of a mask, plain or as COCO's compressed text."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

_FIRST_CODE: Final = 48
_BITS: Final = 5
_SIGN: Final = 16
_MORE: Final = 32
_MAX_BITS: Final = 60
"""The bits of a character of compressed runs, and how long a number may be."""

WRONG_RUNS: Final = "the runs of its mask are not as many pixels as its size"


def decode_runs(counts: list[int] | str, width: int, height: int) -> NDArray[np.bool_]:
    """Return the mask, shape (rows, columns), of COCO's runs, which go down the columns.

    `ValueError` if they are not those of a mask of this size.
    """
    runs = parse_runs(counts) if isinstance(counts, str) else counts
    if runs is None:
        raise ValueError(WRONG_RUNS)
    return repeat_runs(runs, width * height).reshape(width, height).T


def repeat_runs(runs: list[int], count: int) -> NDArray[np.bool_]:
    """Return the `count` pixels of alternate runs, of which the first is outside of the mask.

    `ValueError`, before anything is allocated, if the runs are not as many pixels.
    """
    if min(runs, default=0) < 0 or sum(runs) != count:
        raise ValueError(WRONG_RUNS)
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs)


def parse_runs(text: str) -> list[int] | None:
    """Return the runs of COCO's compressed text; None if it is damaged.

    A character holds 5 bits of a number, lowest first, and whether more follow; the last one has the sign. From the
    fourth run on, a number is the difference to the run before the last one.
    """
    runs: list[int] = []
    number = shift = 0
    for character in text:
        code = ord(character) - _FIRST_CODE
        if not 0 <= code < 2 * _MORE or shift > _MAX_BITS:
            return None
        number |= (code & (_MORE - 1)) << shift
        shift += _BITS
        if code & _MORE:
            continue
        number -= (1 << shift) if code & _SIGN else 0
        runs.append(number + (runs[-2] if len(runs) > 2 else 0))
        number = shift = 0
    return None if shift else runs
