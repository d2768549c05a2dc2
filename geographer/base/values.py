"""Small frozen values that carry CRS, units and axis order, so that nobody mixes columns with rows."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from geographer.base.errors import UsageError

_WIDTH: Final = re.compile(r"\s*([0-9.]+(?:[eE][+-]?[0-9]+)?)\s*(px|m)?\s*")
_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)(?:x(\d+(?:\.\d+)?))?(m|px)?")


class Window(NamedTuple):
    """A rectangle of pixels: `col` and `row` of its upper-left pixel, then `width` and `height`, all in pixels.

    `col` and `row` may be negative, and the window may reach past the raster: what lies outside is padding.
    """

    col: int
    row: int
    width: int
    height: int


class Size(NamedTuple):
    """Width and height, in pixels (`px`, whole numbers) or in metres on the ground (`m`)."""

    width: float
    height: float
    unit: str = "px"

    @classmethod
    def parse(cls, given: int | tuple[int, int] | str) -> Size:
        """A size from pixels (`512`, `(640, 480)`) or from text (`'512'`, `'640x480'`, `'2560m'`, `'2560x1280m'`).

        Raises:
            UsageError: it is neither, or nothing is left of it.
        """
        if isinstance(given, str):
            match = _SIZE.fullmatch(given.strip().lower())
            if match is None:
                raise UsageError(f"'{given}' is no size: give pixels or metres, such as 512, 640x480 or 2560m")
            width, height, unit = match[1], match[2] or match[1], match[3] or "px"
        else:
            width, height = (given, given) if isinstance(given, int) else given
            unit = "px"
        size = cls(float(width), float(height), unit)
        if unit == "px" and not (size.width.is_integer() and size.height.is_integer()):
            raise UsageError(f"a chip of {size.width:g} x {size.height:g} px: give whole pixels, or metres as 2560m")
        if not (size.width > 0 and size.height > 0):
            raise UsageError(f"a chip of {size.width:g} x {size.height:g} {unit} has no pixels: pass more than 0")
        return size


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

    def for_window(self, window: Window) -> Transform:
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


class LineWidth(NamedTuple):
    """How wide lines and points are drawn: an `amount` of pixels ('px') or of metres ('m')."""

    amount: float
    unit: Literal["px", "m"]

    def __str__(self) -> str:
        """The text that `width_of` reads back: `3px`, `7.5m`."""
        return (
            f"{self.amount:g}{self.unit}" if float(f"{self.amount:g}") == self.amount else f"{self.amount}{self.unit}"
        )


def parse_line_width(given: str | float) -> LineWidth:
    """The width that a number (of pixels) or a text such as `3`, `3px` or `5m` names.

    Raises:
        UsageError: it names none, or one that is not above 0.
    """
    found = _WIDTH.fullmatch(str(given))
    try:
        amount = float(found[1]) if found else math.nan
    except ValueError:
        amount = math.nan
    if found is None or not 0 < amount < math.inf:
        raise UsageError(f"'{given}' is no width: give pixels or metres above 0, such as 3, 3px or 5m")
    return LineWidth(amount, "m" if found[2] == "m" else "px")


def validate_name(subject: str, name: str) -> None:
    """Raise `UsageError` unless `name` can name a folder on any file system."""
    allowed = all(letter.isalnum() or letter in "-_." for letter in name)
    if not name or not allowed or name.startswith(".") or len(name) > 100:
        raise UsageError(f"'{name}' can't name a {subject}: use letters, digits, '-', '_' and '.'")
