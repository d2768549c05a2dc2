"""Brush runs: decode the masks of Label Studio's brush, alpha values in a run-length encoding of bits.

The encoding is that of the package thi.ng/rle-pack: a header (32 bits for the number of values, 5 for the bits of a
value less one, four times 4 for the bits of a count less one), then runs: a bit that says whether one value is
repeated, 2 bits that choose the bits of the count, the count less one, and the value or the values.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_CHANNELS: Final = 4
_BYTE: Final = 8


class _BitReader:
    def __init__(self, data: bytes) -> None:
        self._bits = np.unpackbits(np.frombuffer(data, np.uint8))
        self._position = 0

    def read_number(self, width: int) -> int:
        """Return the next number of `width` bits; `ValueError` at the end of the data."""
        number = 0
        for bit in self._read_bits(width).tolist():
            number = 2 * number + bit
        return number

    def read_bytes(self, count: int, width: int) -> NDArray[np.uint8]:
        """Return the next `count` numbers of `width` bits, at most 8; `ValueError` at the end of the data."""
        bits = self._read_bits(count * width).reshape(count, width)
        return np.packbits(bits, axis=1)[:, 0] >> np.uint8(_BYTE - width)

    def _read_bits(self, count: int) -> NDArray[np.uint8]:
        end = self._position + count
        if end > len(self._bits):
            raise ValueError("the data end early")
        bits = self._bits[self._position : end]
        self._position = end
        return bits


def decode_brush(data: Any, width: int, height: int) -> NDArray[np.bool_]:
    """Return the pixels that a brush mask has, shape (rows, columns): those whose alpha is not 0.

    `data` are the bytes, as a list of numbers. `ValueError` if they are not those of an image of this size.
    """
    try:
        return _decode_alpha(bytes(data if isinstance(data, list) else ()), width, height) > 0
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError("its value is not that of brushlabels") from error


def _decode_alpha(data: bytes, width: int, height: int) -> NDArray[np.uint8]:
    """Return the alpha values, shape (rows, columns)."""
    reader = _BitReader(data)
    count = reader.read_number(32)
    if count != width * height * _CHANNELS:
        raise ValueError("the mask has another size")
    value_width = reader.read_number(5) + 1
    if value_width > _BYTE:
        raise ValueError("the values are longer than a byte")
    count_widths = [reader.read_number(4) + 1 for _ in range(4)]
    values, done = np.zeros(count, np.uint8), 0
    while done < count:
        is_run, choice = reader.read_number(1), reader.read_number(2)
        length = reader.read_number(count_widths[choice]) + 1
        if length > count - done:
            raise ValueError("the runs are longer than the mask")
        values[done : done + length] = reader.read_bytes(1 if is_run else length, value_width)
        done += length
    return values.reshape(height, width, _CHANNELS)[..., _CHANNELS - 1]
