"""Small immutable values with their CRS, units and axis order: windows, sizes, grids, transforms, checksums."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from geographer.base.errors import UsageError

_WIDTH: Final = re.compile(r"\s*((?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)\s*(px|m)?\s*")
MAX_FILE_NAME_BYTES: Final = 255
MAX_FOLDER_NAME_BYTES: Final = MAX_FILE_NAME_BYTES - len(".dvc")
"""The largest number of UTF-8 bytes in the name of a file, and of a folder with a `.dvc` file beside it."""
_MAX_NAME_LENGTH: Final = 100
_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)(?:x(\d+(?:\.\d+)?))?(m|px)?")


LabelForm = Literal["mask", "multilabel", "probabilities"]
"""What the bands of a label are: one of class values; 0 and 1 for each class; numbers from 0 to 1 for each class."""


class Window(NamedTuple):
    """A rectangle of pixels: `col` and `row` of its upper-left pixel, then `width` and `height`, all in pixels.

    `col` and `row` may be negative, and the window may extend past the raster: pixels outside are padding.
    """

    col: int
    row: int
    width: int
    height: int


def clip_window(window: Window, width: int, height: int) -> Window | None:
    """Return the part of a window inside a raster of `width` x `height` pixels; None if no pixel is inside."""
    col, row = max(window.col, 0), max(window.row, 0)
    right, bottom = min(window.col + window.width, width), min(window.row + window.height, height)
    return Window(col, row, right - col, bottom - row) if right > col and bottom > row else None


class Size(NamedTuple):
    """Width and height, in pixels (`px`, whole numbers) or in metres on the ground (`m`)."""

    width: float
    height: float
    unit: str = "px"

    @classmethod
    def from_value(cls, value: int | tuple[int, int] | str) -> Size:
        """Parse pixels (`512`, `(640, 480)`), `'512'`, `'640x480'`, `'2560m'` or `'2560x1280m'`; else `UsageError`."""
        if isinstance(value, str):
            match = _SIZE.fullmatch(value.strip().lower())
            if match is None:
                raise UsageError(f"invalid size '{value}'. Use pixels or metres, e.g. 512, 640x480 or 2560m.")
            width, height, unit = match[1], match[2] or match[1], match[3] or "px"
        else:
            width, height = (value, value) if isinstance(value, int) else value
            unit = "px"
        size = cls(float(width), float(height), unit)
        text = f"{size.width:g} x {size.height:g} {unit}"
        if unit == "px" and not (size.width.is_integer() and size.height.is_integer()):
            raise UsageError(f"invalid size {text}. Use whole pixels, or metres, e.g. 2560m.")
        if not (0 < size.width < math.inf and 0 < size.height < math.inf):
            raise UsageError(f"invalid size {text}. Use a finite size above 0.")
        return size


class Checksums(NamedTuple):
    """The identity of a file: `size` in bytes, `md5` (its address in DVC) and `sha256` (the evidence), in hex."""

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
        """Return the transform of the pixels of `window`, whose upper-left pixel becomes (0, 0)."""
        col, row = window.col, window.row
        return self._replace(c=self.a * col + self.b * row + self.c, f=self.d * col + self.e * row + self.f)


@dataclass(frozen=True, slots=True)
class Grid:
    """The grid of a raster: CRS (`EPSG:32633`, or WKT where there is no code), transform, and size in pixels."""

    crs: str
    transform: Transform
    width: int
    height: int


class LineWidth(NamedTuple):
    """The drawn width of lines and points: an `amount` of pixels ('px') or of metres on the ground ('m')."""

    amount: float
    unit: Literal["px", "m"]

    def __str__(self) -> str:
        short = f"{self.amount:g}"
        return f"{short if float(short) == self.amount else self.amount}{self.unit}"


def parse_line_width(value: str | float) -> LineWidth:
    """Parse a positive number (of pixels) or a text such as `3`, `3px` or `5m`; else `UsageError`."""
    match = _WIDTH.fullmatch(str(value))
    amount = float(match[1]) if match else math.nan
    if match is None or not 0 < amount < math.inf:
        raise UsageError(f"invalid width '{value}'. Use pixels or metres above 0, e.g. 3, 3px or 5m.")
    return LineWidth(amount, "m" if match[2] == "m" else "px")


def validate_name(subject: str, name: str) -> None:
    """Raise `UsageError` unless `name` can name a folder, with a `.dvc` file beside it, on any file system."""
    size = len(name.encode(errors="surrogatepass"))
    if len(name) > _MAX_NAME_LENGTH or size > MAX_FOLDER_NAME_BYTES:
        limits = f"{_MAX_NAME_LENGTH} characters and {MAX_FOLDER_NAME_BYTES} bytes"
        raise UsageError(
            f"invalid {subject} name '{name}': it has {len(name)} characters and {size} bytes. Use at most {limits}."
        )
    if not name or name.startswith(".") or not all(letter.isalnum() or letter in "-_." for letter in name):
        raise UsageError(f"invalid {subject} name {name!r}. Use letters, digits, '-', '_' and '.'; not '.' first.")
    if name.lower().endswith(".dvc"):
        raise UsageError(f"invalid {subject} name '{name}': files of DVC end in .dvc. Use another ending.")
