"""Annotated images: what exports for annotation tools share, PNG images and the shapes of the features on them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from geographer.base.errors import UsageError
from geographer.outputs.exports.exporter import Exporter
from geographer.outputs.pictures.settings import PictureBands, PictureStretch, make_picture_settings
from geographer.planning.exported_ids import HOLE_CLASS, make_exported_id

if TYPE_CHECKING:
    from geographer.outputs.exports.export import Export, ExportedSample
    from geographer.planning.shown_features import ShownFeature

_PAGE: Final = 200
"""How many images have their features in memory at once."""
_COLOURS: Final = ("#e6194b", "#3cb44b", "#4363d8", "#f58231", "#911eb4", "#008080", "#f032e6", "#9a6324", "#808000")


class Shape(NamedTuple):
    """A shape of a feature: a feature with several parts or holes has several.

    Attributes:
        kind: 'box', 'polygon', 'line' or 'point'.
        class_name: The class; that of holes for a hole.
        feature: The text that leads back to the feature, and to the exported revision.
        points: Its points (x, y) in pixel coordinates, a ring without its last one; the upper left and lower right
            corner of a box.
    """

    kind: str
    class_name: str
    feature: str
    points: Sequence[tuple[float, float]]

    @property
    def is_hole(self) -> bool:
        """Whether it is a hole of the feature."""
        return self.class_name == HOLE_CLASS


class AnnotationExporter(Exporter, kw_only=True, frozen=True):
    """A format for annotation tools: images that they show, and the features on them."""

    bands: PictureBands = None
    stretch: PictureStretch = None

    def write_images(self, export: Export) -> None:
        """Let the PNG images be written, whose paths are the ids of the rasters."""
        settings = make_picture_settings("png", self.bands, self.stretch)
        for sample in export.iter_samples():
            export.pictures.add_picture(f"images/{make_image_name(sample)}", sample.image, settings)


def make_image_name(sample: ExportedSample) -> str:
    """Return the path of a sample's image in the folder `images`."""
    return f"{sample.raster_id}.png"


def list_class_names(export: Export) -> list[str]:
    """Return the classes by value, the background too; `UsageError` if one has the name that holes have."""
    names = [name for (name,) in export.revision.fetch_rows("SELECT class FROM classes ORDER BY value, class")]
    if HOLE_CLASS in names:
        raise UsageError(f"the class '{HOLE_CLASS}' has the name that holes get. Rename it: geographer rename class")
    return names


def choose_colour(number: int) -> str:
    """Return the colour of a class by its number."""
    return _COLOURS[number % len(_COLOURS)]


def iter_shapes(export: Export, digest: str) -> Iterator[tuple[ExportedSample, list[Shape]]]:
    """Yield the samples with the shapes of the features that they show, in the order of ids and of addition."""
    page: list[ExportedSample] = []
    for sample in export.iter_samples():
        page.append(sample)
        if len(page) == _PAGE:
            yield from _read_page(export, page, digest)
            page = []
    yield from _read_page(export, page, digest)


def _read_page(
    export: Export, page: Sequence[ExportedSample], digest: str
) -> Iterator[tuple[ExportedSample, list[Shape]]]:
    from geographer.planning.shown_features import read_shown_features

    features: dict[str, list[ShownFeature]] = {}
    for item in read_shown_features(export.revision, [sample.raster_id for sample in page]):
        features.setdefault(item.raster_id, []).append(item)
    for sample in page:
        yield sample, [shape for item in features.get(sample.raster_id, []) for shape in _list_shapes(item, digest)]


def _list_shapes(item: ShownFeature, digest: str) -> Iterator[Shape]:
    import shapely

    feature = make_exported_id(item.feature_id, digest)
    for part in shapely.get_parts(item.geometry):
        if part.geom_type == "Polygon":
            yield _make_area(part, item.class_name, feature)
            for ring in part.interiors:
                yield Shape("polygon", HOLE_CLASS, feature, list(ring.coords)[:-1])
        else:
            kind = "line" if part.geom_type == "LineString" else "point"
            yield Shape(kind, item.class_name, feature, list(part.coords))


def _make_area(part: Any, class_name: str, feature: str) -> Shape:
    points = list(part.exterior.coords)[:-1]
    xmin, ymin, xmax, ymax = part.bounds
    corners = {(xmin, ymin), (xmin, ymax), (xmax, ymin), (xmax, ymax)}
    if len(points) == len(corners) and {*points} == corners and not part.interiors:
        return Shape("box", class_name, feature, [(xmin, ymin), (xmax, ymax)])
    return Shape("polygon", class_name, feature, points)
