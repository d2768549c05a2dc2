"""Formats of images with objects: how images are written, and which objects, in all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Final, Literal

from geographer.base.errors import UsageError, quote_names
from geographer.base.parameters import Parameter
from geographer.outputs.exports.exporter import ObjectExporter
from geographer.outputs.pictures.settings import PictureBands, PictureStretch, make_picture_settings

if TYPE_CHECKING:
    from geographer.outputs.exports.export import Export, ExportedSample, LabelInfo, LabelKind
    from geographer.outputs.exports.objects import ObjectOptions
    from geographer.rasters.pictures import PictureSettings

_SUFFIXES: Final = {"geotiff": ".tif", "png": ".png", "jpeg": ".jpg"}

ImageFormat = Annotated[
    Literal["geotiff", "png", "jpeg"],
    Parameter("The images: as recorded, or 8-bit pictures for tools that read no others."),
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
        """Write the image of a sample to a folder of the export, a picture later, and return its name.

        Raises:
            CorruptError: the file has other bytes than those recorded.
            UsageError: GeoTIFF cannot store the raster.
        """
        name = sample.stem + _SUFFIXES[self.images]
        if self.images == "geotiff":
            from geographer.outputs.exports.geotiff import read_image_geotiff

            export.folder.write_bytes(f"{folder}/{name}", read_image_geotiff(sample))
        else:
            export.pictures.add_picture(f"{folder}/{name}", sample.image, self.make_settings())
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
