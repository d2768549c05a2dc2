"""Picture settings: which bands become a picture, and which pixel values become black and white, from texts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from geographer.base.errors import UsageError
from geographer.base.parameters import Parameter

if TYPE_CHECKING:
    from geographer.rasters.pictures import PictureSettings, Stretch

_NUMBER: Final = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_STRETCH: Final = re.compile(rf"({_NUMBER})([,:])({_NUMBER})")
_MAX_PERCENT: Final = 100


def parse_picture_bands(value: Any) -> str | None:
    """Return the bands of a picture as text, such as `4,3,2` or `red,green,blue`; `UsageError` for another number."""
    if value is None:
        return None
    texts = value.split(",") if isinstance(value, str) else [value] if isinstance(value, int) else [*value]
    names = [str(text).strip() for text in texts]
    if len(names) not in (1, 3) or not all(names):
        raise UsageError(f"invalid --bands '{value}'. Use one band or three, by number from 1 or by name: 4,3,2.")
    return ",".join(names)


def parse_stretch(value: Any) -> str | None:
    """Return a stretch as text: two percentiles `2,98`, two values `0:3000`, or `none`; else `UsageError`."""
    if value is None:
        return None
    if value == "none":
        return "none"
    text = value if isinstance(value, str) else ",".join(f"{number:g}" for number in value)
    if _find_stretch(text) is None:
        raise UsageError(
            f"invalid --stretch '{value}'. Use two percentiles such as 2,98, two values such as 0:3000, or none."
        )
    return text


def _find_stretch(text: str) -> Stretch | None:
    from geographer.rasters.pictures import Stretch

    match = _STRETCH.fullmatch(text.replace(" ", ""))
    if match is None:
        return None
    low, high, is_percentile = float(match[1]), float(match[3]), match[2] == ","
    is_valid = low < high < float("inf") and (not is_percentile or 0 <= low < high <= _MAX_PERCENT)
    return Stretch(low, high, is_percentile) if is_valid else None


def make_picture_settings(format: Literal["png", "jpeg"], bands: str | None, stretch: str | None) -> PictureSettings:
    """Return how rasters become pictures, by the texts of the parameters."""
    from geographer.rasters.pictures import UNSTRETCHED, PictureSettings

    chosen: Sequence[int | str] | None = None
    if bands is not None:
        chosen = [int(name) if name.isascii() and name.isdigit() else name for name in bands.split(",")]
    return PictureSettings(format, chosen, UNSTRETCHED if stretch == "none" else _find_stretch(stretch or ""))


PictureBands = Annotated[
    str | None,
    Parameter(
        "The bands of pictures: one, or red, green and blue; by number or name.",
        *("BANDS", "those that the file marks, else the first three or the first"),
        convert=parse_picture_bands,
    ),
]
PictureStretch = Annotated[
    str | None,
    Parameter(
        "What becomes black and white in pictures: two percentiles of each band, or two values.",
        *("2,98|0:3000|none", "2,98; uint8 stays as it is"),
        convert=parse_stretch,
    ),
]
