"""Formats of images with objects: how images are written, and which objects, in all of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from geographer.base.errors import UsageError, quote_names
from geographer.base.parameters import Parameter
from geographer.outputs.exports.exporter import ObjectExporter

if TYPE_CHECKING:
    from geographer.outputs.exports.export import Export, ExportedSample, LabelInfo, LabelKind
    from geographer.outputs.exports.objects import ObjectOptions
    from geographer.rasters.pictures import PictureSettings, Stretch

_NUMBER: Final = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_STRETCH: Final = re.compile(rf"({_NUMBER})([,:])({_NUMBER})")
_MAX_PERCENT: Final = 100
_SUFFIXES: Final = {"geotiff": ".tif", "png": ".png", "jpeg": ".jpg"}

ImageFormat = Annotated[
    Literal["geotiff", "png", "jpeg"],
    Parameter("The images: as recorded, or 8-bit pictures for tools that read no others."),
]


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


class PictureExporter(ObjectExporter, kw_only=True, frozen=True):
    """A format of images with objects, that other tools show or train on.

    The objects are the features that the image contains or intersects. With --labels NAME of a label of boxes or
    instances, they are the objects of that label, as it has them.
    """

    images: ImageFormat = "png"
    bands: PictureBands = None
    stretch: PictureStretch = None

    def write_image(self, export: Export, sample: ExportedSample, folder: str) -> str:
        """Write the image of a sample to a folder of the export, and return its name.

        Raises:
            CorruptError: the file has other bytes than those recorded, or is damaged.
            UsageError: the raster lacks a band, or GeoTIFF cannot store it.
        """
        name = sample.stem + _SUFFIXES[self.images]
        if self.images == "geotiff":
            from geographer.outputs.exports.geotiff import read_image_geotiff

            export.folder.write_bytes(f"{folder}/{name}", read_image_geotiff(sample))
        else:
            from geographer.rasters.pictures import encode_picture

            path, settings, with_sidecars = sample.image.path, self.make_settings(), sample.image.with_sidecars
            export.folder.write_content(
                f"{folder}/{name}", lambda: encode_picture(path, settings, with_sidecars=with_sidecars)
            )
        return name

    def count_bands(self, sample: ExportedSample) -> int:
        """Return the number of bands of the image that is written."""
        if self.images == "geotiff":
            return sample.bands
        return 3 if (sample.bands >= 3 if self.bands is None else "," in self.bands) else 1

    def make_settings(self) -> PictureSettings:
        """Return how rasters become pictures."""
        return make_picture_settings("jpeg" if self.images == "jpeg" else "png", self.bands, self.stretch)

    def choose_objects(
        self, export: Export, *, also: Sequence[LabelKind] = (), marked_where: str | None = None, flag: str = ""
    ) -> ObjectOptions:
        """Return which objects to list; `also` are kinds of labels that the format has a place for.

        `UsageError` if --labels names a label that it has no place for, or several with objects.
        """
        of_objects = export.list_labels("boxes", "instances")
        others = [label for label in export.labels if label not in of_objects and label.kind not in also]
        if others:
            raise UsageError(
                f"the format {self.format} has no place for label {quote_names([label.name for label in others])} "
                f"({others[0].kind}). Name a label of {_join_words(['boxes', 'instances', *also])}, or none: then the "
                "features on each image are written."
            )
        if len(of_objects) > 1:
            names = quote_names([label.name for label in of_objects])
            raise UsageError(f"labels {names} both have objects. Name one of them with --labels.")
        label: LabelInfo | None = of_objects[0] if of_objects else None
        return self.object_options._replace(label=label, marked_where=marked_where, mark_flag=flag)


def _join_words(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"
