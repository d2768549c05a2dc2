"""Chips of a page: the pictures of chips on both sides, with their labels, each image once."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from geographer.outputs.pictures.chip_pictures import ChipPicture, PictureOptions, read_chip_pictures

if TYPE_CHECKING:
    from geographer.outputs.pages.diff.facts import PageSide
    from geographer.outputs.pages.diff.layers import Rasters
    from geographer.outputs.pages.diff.rows import DiffRow, Place

DEFAULT_CHIPS: Final = 24
MAX_BYTES: Final = 5_000_000
"""The most bytes of PNG in a page whose number of chips was not chosen."""
_LAST_RANK: Final = 3
PICTURE_SIDE: Final = 256
"""The largest side of the picture of a chip, in pixels."""


def list_chips(rows: Sequence[DiffRow], rasters: Rasters) -> list[str]:
    """Return the chips of rows: flagged, changed, added or removed ones, and those that only changed their subset."""
    ranks: dict[str, int] = {}
    for row in rows:
        if row.place is None or row.place[0] != "raster":
            continue
        raster_id = row.place[1]
        sides = rasters.get(raster_id, ())
        if any(side is not None and side.is_chip for side in sides):
            ranks[raster_id] = min(
                ranks.get(raster_id, _LAST_RANK), _rank_chip(row, is_on_both_sides=None not in sides)
            )
    return sorted(ranks, key=lambda raster_id: ranks[raster_id])


def _rank_chip(row: DiffRow, *, is_on_both_sides: bool) -> int:
    if row.flags:
        return 0
    if row.item.kind == "split":
        return _LAST_RANK
    return 1 if is_on_both_sides else 2


def read_side_pictures(side: PageSide, raster_ids: Sequence[str], max_bytes: int | None) -> dict[str, ChipPicture]:
    """Return the pictures of chips on one side by id, the first ones until they have `max_bytes` bytes."""
    pictures: dict[str, ChipPicture] = {}
    if not raster_ids:
        return pictures
    options = PictureOptions(max_side=PICTURE_SIDE)
    size = 0
    with side.open_revision() as revision:
        for picture in read_chip_pictures(revision, side.root, side.store, raster_ids, options):
            size += len(picture.image or b"") + sum(map(len, picture.overlays.values()))
            if max_bytes is not None and size > max_bytes and pictures:
                break
            pictures[picture.raster_id] = picture
    return pictures


def encode_pairs(
    chips: Sequence[str],
    places: Mapping[Place, int],
    sides: tuple[Mapping[str, ChipPicture], Mapping[str, ChipPicture]],
) -> dict[str, Any]:
    """Return the pictures of chips on both sides as JSON, each image once; `diff.js` reads it."""
    images: dict[str, int] = {}
    pairs = [
        [places["raster", raster_id], [_encode_picture(pictures.get(raster_id), images) for pictures in sides]]
        for raster_id in chips
    ]
    classes: dict[str, str] = {}
    for pictures in sides:
        for picture in pictures.values():
            classes |= picture.classes
    return {"images": list(images), "names": list(chips), "pairs": pairs, "classes": dict(sorted(classes.items()))}


def _encode_picture(picture: ChipPicture | None, images: dict[str, int]) -> dict[str, Any] | None:
    if picture is None:
        return None
    return {
        "width": picture.width,
        "height": picture.height,
        "image": None if picture.image is None else _number_image(picture.image, images),
        "overlays": {name: _number_image(content, images) for name, content in picture.overlays.items()},
        "boxes": {name: [list(box) for box in boxes] for name, boxes in picture.boxes.items()},
        "problem": picture.problem,
    }


def _number_image(content: bytes, images: dict[str, int]) -> int:
    return images.setdefault(base64.b64encode(content).decode(), len(images))
