"""Small frozen values that carry CRS, units and axis order, so that nobody mixes columns with rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Window(NamedTuple):
    """A rectangle of pixels: `col` and `row` of its upper-left pixel, then `width` and `height`, all in pixels.

    `col` and `row` may be negative, and the window may reach past the raster: what lies outside is padding.
    """

    col: int
    row: int
    width: int
    height: int


class Checksums(NamedTuple):
    """What identifies a file's bytes: `size` in bytes, `md5` (DVC's address) and `sha256` (the evidence), in hex."""

    size: int
    md5: str
    sha256: str


class Transform(NamedTuple):
    """An affine transform from (column, row) to (x, y) of a CRS, in rasterio's order.

    `x = a * col + b * row + c` and `y = d * col + e * row + f`, where (0, 0) is the outer corner of the first pixel.
    """

    a: float
    b: float
    c: float
    d: float
    e: float
    f: float

    def of(self, window: Window) -> Transform:
        """The transform of the pixels of `window`, whose upper-left pixel becomes (0, 0)."""
        return self._replace(
            c=self.a * window.col + self.b * window.row + self.c,
            f=self.d * window.col + self.e * window.row + self.f,
        )


@dataclass(frozen=True, slots=True)
class Grid:
    """Where a raster's pixels lie: a CRS (`EPSG:32633`, or WKT where there is no code), a transform and a size."""

    crs: str
    transform: Transform
    width: int
    height: int
