"""Examples: which chips are shown, for each class and subset, and their pictures as data that the page holds."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from geographer.outputs.pictures.chip_pictures import ChipPicture, PictureOptions, read_chip_pictures
from geographer.storage.queries.revision import Revision
from geographer.storage.unit_of_work import UnitOfWork

_EXAMPLES: Final = Path(__file__).with_name("examples.sql")
_COLLECTION: Final = Path(__file__).with_name("example_collections.sql")
_OPTIONS: Final = PictureOptions(max_side=192)
_NO_PART: Final = "no subset"


class ExampleLabel(NamedTuple):
    """A label above the image: its name, its overlay as data URL or None, and its boxes."""

    name: str
    overlay: str | None
    boxes: list[Any]


class Example(NamedTuple):
    """A chip of the page.

    Attributes:
        raster_id: Its id.
        part: Its subset.
        classes: The classes that it is an example of.
        width, height: The size of the picture in pixels.
        image: The image as data URL; None if there is none.
        labels: Its labels.
        colours: The colours of the classes that the labels show.
        problem: Why something is missing.
    """

    raster_id: str
    part: str
    classes: list[str]
    width: int
    height: int
    image: str | None
    labels: list[ExampleLabel]
    colours: dict[str, str]
    problem: str | None

    @property
    def image_text(self) -> str:
        """The image in words."""
        return f"Chip {self.raster_id}, subset {self.part}, shows {', '.join(self.classes) or 'no feature'}"


class Examples(NamedTuple):
    """The chips, where they come from, and why some have no picture."""

    chips: list[Example]
    origin: str
    problem: str | None


def read_examples(work: UnitOfWork, revision: Revision, split: str | None, count: int) -> Examples:
    """Return at most `count` chips that show each class in each part of a split, or in the largest collection."""
    collection = None if split else revision.fetch_value(_COLLECTION.read_text())
    if count <= 0 or (split is None and collection is None):
        return Examples([], "", "the revision has no rasters with pixels" if count > 0 else "none was asked for")
    values = {"split": split, "collection": collection, "each": count}
    chosen: dict[str, tuple[str, list[str]]] = {}
    for _, part, name, raster_id in revision.fetch_rows(_EXAMPLES.read_text(), values):
        if raster_id not in chosen and len(chosen) == count:
            continue
        _, classes = chosen.setdefault(raster_id, (part or _NO_PART, []))
        if name is not None and name not in classes:
            classes.append(name)
    order = sorted(chosen, key=lambda raster_id: (chosen[raster_id][0], raster_id))
    pictures = read_chip_pictures(revision, work.root, work.file_store, order, _OPTIONS) if order else ()
    chips = [_make_example(picture, *chosen[picture.raster_id]) for picture in pictures]
    origin = f"parts of split '{split}'" if split else f"collection '{collection}'"
    missing = sum(chip.image is None for chip in chips)
    problem = f"{missing:,} of {len(chips):,} have no picture here; see the reason at each" if missing else None
    return Examples(chips, origin, problem)


def _make_example(picture: ChipPicture, part: str, classes: list[str]) -> Example:
    return Example(
        picture.raster_id,
        part,
        classes,
        picture.width,
        picture.height,
        _encode_image(picture.image) if picture.image else None,
        [*_iter_labels(picture)],
        dict(picture.classes),
        picture.problem,
    )


def _iter_labels(picture: ChipPicture) -> Iterator[ExampleLabel]:
    for name, overlay in picture.overlays.items():
        yield ExampleLabel(name, _encode_image(overlay), [])
    for name, boxes in picture.boxes.items():
        yield ExampleLabel(name, None, [*boxes])


def _encode_image(content: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(content).decode('ascii')}"
