"""Chip pictures: an image as PNG, and its labels as transparent PNGs to lay above it, and as boxes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from geographer.base.errors import CorruptError, NotFoundError, UsageError, quote_names
from geographer.outputs.pictures.palette import OTHER_COLOUR, Style, assign_styles
from geographer.outputs.pictures.settings import make_picture_settings, parse_picture_bands, parse_stretch
from geographer.outputs.samples.training_rows import list_training_labels

if TYPE_CHECKING:
    from geographer.outputs.pictures.files import LabelKey, PictureFile, PictureFiles
    from geographer.outputs.pictures.label_overlays import Overlay, OverlayClasses
    from geographer.outputs.samples.training_rows import TrainingLabel
    from geographer.rasters.pictures import PictureSettings
    from geographer.storage.dvc.store import Store
    from geographer.storage.queries.revision import Revision

_CLASSES: Final = "SELECT class FROM classes WHERE value > 0 ORDER BY value"
_LABELS: Final = "SELECT DISTINCT label FROM current_label ORDER BY label"
_OBJECTS: Final = (
    "SELECT label, raster_id, feature_id, class, instance, box FROM current_label_object "
    "WHERE label IN (SELECT unnest($labels::VARCHAR[])) AND raster_id IN (SELECT unnest($ids::VARCHAR[])) "
    "ORDER BY label, raster_id, instance, feature_id"
)
_SMALLEST_SIDE: Final = 256
"""The longer side of a picture is at least about this long, so that outlines are thin."""
_MAX_SIDE: Final = 4096
_OTHER_STYLE: Final = Style(OTHER_COLOUR, (), "diamond", ".")


class PictureOptions(NamedTuple):
    """How chips become pictures.

    Attributes:
        bands: One band or three, by number from 1 or by name, as text: `4,3,2`. None: those that the file marks as red,
            green and blue, else the first three, or the first.
        stretch: Two percentiles `2,98`, two values `0:3000`, or `none`. None: the percentiles 2 and 98; uint8 stays.
        labels: The labels to draw. None: all.
        max_side: The largest width and height of a picture in pixels; a larger raster is reduced.
        fetch: Whether to fetch missing files from the remote.
    """

    bands: str | None = None
    stretch: str | None = None
    labels: Sequence[str] | None = None
    max_side: int = 512
    fetch: bool = False


class PictureBox(NamedTuple):
    """A box of a label in pixels of the picture, x from the left and y from the top, with what to write at it."""

    xmin: float
    ymin: float
    xmax: float
    ymax: float
    class_name: str
    text: str


class ChipPicture(NamedTuple):
    """The picture of a raster.

    Attributes:
        raster_id: The raster.
        width: The width of the picture in pixels: that of the raster, reduced to `max_side`, or a multiple of it, so
            that outlines are thin.
        height: The height alike; the overlays have the same size.
        image: The image as PNG, grey or RGB, pixels without data black; None: see `problem`.
        overlays: Transparent PNGs (RGBA) by the name of the label, to lay above the image.
        boxes: The boxes of labels of boxes by the name of the label.
        styles: How the classes are drawn that the labels show, in the order of class values.
        problem: Why there is no image, or no overlay of a label, such as pixels that are not on this machine; or None.
    """

    raster_id: str
    width: int
    height: int
    image: bytes | None
    overlays: Mapping[str, bytes]
    boxes: Mapping[str, Sequence[PictureBox]]
    styles: Mapping[str, Style]
    problem: str | None = None

    @property
    def classes(self) -> dict[str, str]:
        """The classes that the labels show, with their colours `#rrggbb`."""
        return {name: style.colour for name, style in self.styles.items()}


def read_chip_pictures(
    revision: Revision, root: Path, store: Store, raster_ids: Sequence[str], options: PictureOptions
) -> Iterator[ChipPicture]:
    """Yield the pictures of rasters, in the order of `raster_ids`, from the bytes of the revision.

    The state is read before the first picture is yielded; afterwards, the revision may be closed.

    Raises:
        NotFoundError: the revision has no such raster or label.
        UsageError: a raster has no such band, or an option is invalid.
        StorageError: with `fetch`, the remote cannot be reached.
    """
    if not 1 <= options.max_side <= _MAX_SIDE:
        raise UsageError(f"invalid max_side {options.max_side}. Use 1 to {_MAX_SIDE} pixels.")
    settings = make_picture_settings("png", parse_picture_bands(options.bands), parse_stretch(options.stretch))
    facts = _read_facts(revision, root, store, raster_ids, options)
    return (_make_picture(raster_id, facts, settings, options.max_side) for raster_id in raster_ids)


def read_class_styles(revision: Revision) -> dict[str, Style]:
    """Return how the classes of a revision are drawn, by name in the order of values; the background is left out."""
    return assign_styles([name for (name,) in revision.fetch_rows(_CLASSES)])


def choose_picture_size(width: int, height: int, max_side: int) -> tuple[int, int]:
    """Return the width and height of the picture of a raster: a multiple of a small one's, or at most `max_side`."""
    longer = max(width, height)
    if longer > max_side:
        return max(1, round(width * max_side / longer)), max(1, round(height * max_side / longer))
    factor = max(1, min(_SMALLEST_SIDE, max_side) // longer)
    return width * factor, height * factor


class _Facts(NamedTuple):
    """What the state has of rasters: files, labels with their objects, and classes."""

    files: PictureFiles
    labels: Sequence[TrainingLabel]
    classes: OverlayClasses
    objects: Mapping[LabelKey, Sequence[tuple[Any, ...]]]


def _read_facts(
    revision: Revision, root: Path, store: Store, raster_ids: Sequence[str], options: PictureOptions
) -> _Facts:
    from geographer.outputs.pictures.files import locate_files
    from geographer.outputs.pictures.label_overlays import OverlayClasses

    names = _choose_labels(revision, options.labels)
    files = locate_files(revision, root, store, raster_ids, names, fetch=options.fetch)
    if unknown := [raster_id for raster_id in raster_ids if raster_id not in files.sizes]:
        raise NotFoundError(f"no raster {quote_names(unknown)} at @{revision.position}. See geographer rasters.")
    objects: dict[LabelKey, list[tuple[Any, ...]]] = {}
    for label, raster_id, *row in revision.fetch_rows(_OBJECTS, {"labels": names, "ids": [*raster_ids]}):
        objects.setdefault((label, raster_id), []).append(tuple(row))
    values = {value: name for name, value in revision.fetch_rows("SELECT class, value FROM classes ORDER BY value")}
    classes = OverlayClasses(values, read_class_styles(revision))
    return _Facts(files, list_training_labels(revision, names), classes, objects)


def _choose_labels(revision: Revision, wanted: Sequence[str] | None) -> list[str]:
    known = [name for (name,) in revision.fetch_rows(_LABELS)]
    if wanted is None:
        return known
    if unknown := [name for name in wanted if name not in known]:
        names = ", ".join(known) or "none yet"
        raise NotFoundError(f"no label {quote_names(unknown)} at @{revision.position}. The labels are: {names}.")
    return [*dict.fromkeys(wanted)]


def _make_picture(raster_id: str, facts: _Facts, settings: PictureSettings, max_side: int) -> ChipPicture:
    width, height = facts.files.sizes[raster_id]
    size = choose_picture_size(width, height, max_side)
    image, *problems = _read_image(facts.files.rasters[raster_id], settings._replace(size=size))
    boxes: dict[str, list[PictureBox]] = {}
    overlays: dict[str, bytes] = {}
    shown: dict[str, Style] = {}
    for label in facts.labels:
        key = label.name, raster_id
        if label.kind == "boxes":
            rows = facts.objects.get(key, ())
            boxes[label.name] = [_make_box(row, size[0] / width, size[1] / height) for row in rows]
        elif key in facts.files.labels:
            overlay = _read_overlay(facts, label, raster_id, size)
            if isinstance(overlay, str):
                problems.append(overlay)
            else:
                overlays[label.name] = overlay.image
                shown |= overlay.classes
    for name in [box.class_name for items in boxes.values() for box in items]:
        shown.setdefault(name, facts.classes.styles.get(name, _OTHER_STYLE))
    problem = "; ".join(dict.fromkeys(text for text in problems if text)) or None
    return ChipPicture(raster_id, *size, image, overlays, boxes, _sort_styles(shown, facts.classes), problem)


def _read_image(file: PictureFile, settings: PictureSettings) -> tuple[bytes | None, str | None]:
    """Return the image, or why there is none."""
    from geographer.rasters.pictures import encode_picture

    if file.path is None:
        return None, file.problem
    try:
        return encode_picture(file.path, settings, with_sidecars=file.with_sidecars), None
    except (CorruptError, NotFoundError) as error:
        return None, str(error)


def _read_overlay(facts: _Facts, label: TrainingLabel, raster_id: str, size: tuple[int, int]) -> Overlay | str:
    """Return the overlay of a label, or why there is none."""
    from geographer.outputs.pictures.label_overlays import draw_overlay

    key = label.name, raster_id
    file = facts.files.labels[key]
    if file.path is None:
        return f"label '{label.name}': {file.problem}"
    instances = {number: class_name for _, class_name, number, _ in facts.objects.get(key, ())}
    try:
        return draw_overlay(file.path, label, facts.classes, instances, size)
    except (CorruptError, NotFoundError, UsageError) as error:
        return str(error)


def _make_box(row: tuple[Any, ...], across: float, down: float) -> PictureBox:
    feature_id, class_name, _, (xmin, ymin, xmax, ymax) = row
    return PictureBox(xmin * across, ymin * down, xmax * across, ymax * down, class_name, str(feature_id))


def _sort_styles(shown: Mapping[str, Style], classes: OverlayClasses) -> dict[str, Style]:
    known = {name: shown[name] for name in classes.styles if name in shown}
    return known | dict(shown)
