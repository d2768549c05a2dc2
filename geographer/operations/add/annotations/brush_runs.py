"""Brush runs: decode the masks of Label Studio's brush, alpha values in a run-length encoding of bits.

The encoding is that of the package thi.ng/rle-pack: a header (32 bits for the number of values, 5 for the bits of a
value less one, four times 4 for the bits of a count less one), then runs: a bit that says whether one value is
repeated, 2 bits that choose the bits of the count, the count less one, and the value or the values.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

_CHANNELS: Final = 4


class _BitReader:
    def __init__(self, data: bytes) -> None:
        self._bits = np.unpackbits(np.frombuffer(data, np.uint8))
        self._position = 0

    def read_numbers(self, count: int, width: int) -> NDArray[np.int64]:
        """Return the next `count` numbers of `width` bits; `ValueError` at the end of the data."""
        end = self._position + count * width
        if end > len(self._bits):
            raise ValueError("the data end early")
        bits = self._bits[self._position : end].reshape(count, width).astype(np.int64)
        self._position = end
        return np.asarray(bits @ (1 << np.arange(width - 1, -1, -1, dtype=np.int64)), np.int64)

    def read_number(self, width: int) -> int:
        return int(self.read_numbers(1, width)[0])


def decode_brush(data: Sequence[int], width: int, height: int) -> NDArray[np.bool_]:
    """Return the pixels that a brush mask has, shape (rows, columns): those whose alpha is not 0.

    `ValueError`, `TypeError` or `OverflowError` if the data are not those of an image of this size.
    """
    reader = _BitReader(bytes(data))
    count = reader.read_number(32)
    if count != width * height * _CHANNELS:
        raise ValueError("the mask has another size")
    value_width = reader.read_number(5) + 1
    count_widths = [reader.read_number(4) + 1 for _ in range(4)]
    parts, done = [], 0
    while done < count:
        is_run, choice = reader.read_number(1), reader.read_number(2)
        length = reader.read_number(count_widths[choice]) + 1
        if length > count - done:
            raise ValueError("the runs are longer than the mask")
        if is_run:
            parts.append(np.full(length, reader.read_number(value_width)))
        else:
            parts.append(reader.read_numbers(length, value_width))
        done += length
    return np.asarray(np.concatenate(parts).reshape(height, width, _CHANNELS)[..., 3] > 0)
