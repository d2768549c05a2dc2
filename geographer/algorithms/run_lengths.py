"""Run lengths of masks, as COCO has them: the numbers of equal pixels in turn, column by column."""

import numpy as np
from numpy.typing import NDArray


def encode_run_lengths(mask: NDArray[np.bool_], column: int, row: int, width: int, height: int) -> list[int]:
    """Return the run lengths of a mask on an image: pixels outside, inside, outside …, beginning with outside.

    Args:
        mask: A part of the image, shape (rows, columns); pixels elsewhere are outside of the object.
        column: The column of its first pixel on the image.
        row: The row of its first pixel on the image.
        width: The number of columns of the image.
        height: The number of rows of the image.
    """
    columns, rows = np.nonzero(mask.T)
    if not len(rows):
        return [width * height]
    pixels = (columns + column) * height + rows + row
    breaks = np.flatnonzero(np.diff(pixels) != 1)
    starts = pixels[np.concatenate([[0], breaks + 1])]
    ends = pixels[np.concatenate([breaks, [len(pixels) - 1]])] + 1
    edges = np.column_stack([starts, ends]).ravel()
    counts = np.diff(edges, prepend=0).tolist()
    rest = width * height - int(ends[-1])
    return [*counts, rest] if rest else counts
